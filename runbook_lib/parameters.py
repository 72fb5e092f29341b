"""Parameters: hold what a notebook is given against its annotated ``parameters`` cell."""

from __future__ import annotations

import ast
import difflib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook_lib.errors import ConfigurationError

_KINDS: Mapping[str, tuple[type, ...]] = types.MappingProxyType(
    {
        "str": (str,),
        "bool": (bool,),
        "int": (int,),
        "float": (int, float),
        "list": (list, tuple),
        "tuple": (list, tuple),
        "dict": (dict,),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One line of the ``parameters`` cell; ``kind`` is "" where nothing tells the type."""

    name: str
    kind: str
    default: Any = None


def declared_parameters(source: str) -> tuple[Parameter, ...]:
    """Read the annotated literals of a ``parameters`` cell. Raises ConfigurationError."""
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ConfigurationError(
            f"The parameters cell cannot be read: {error.msg} in line {error.lineno}.",
            'Write one line each: name: str = "value"  # what it is',
        ) from error
    found = []
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append(_parameter(node.target.id, node.annotation, node.value))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.append(_parameter(node.targets[0].id, None, node.value))
    return tuple(found)


def _parameter(name: str, annotation: ast.expr | None, value: ast.expr | None) -> Parameter:
    try:
        default = ast.literal_eval(value) if value is not None else None
    except ValueError:
        default = None
    kind = ast.unparse(annotation).split("[")[0].strip("'\"") if annotation is not None else ""
    if not kind and default is not None:
        kind = type(default).__name__
    return Parameter(name=name, kind=kind if kind in _KINDS else "", default=default)


def check_parameters(
    given: Mapping[str, Any], declared: tuple[Parameter, ...], notebook: str
) -> None:
    """Raise ConfigurationError on an unknown name or a value of the wrong type.

    A revision id such as ``123456789012`` or ``4e1234567890`` becomes a number on papermill's
    ``-p``: for a text that is an error, never a silent change of the id.
    """
    known = {parameter.name: parameter for parameter in declared}
    for name, value in given.items():
        if name not in known:
            raise _unknown(name, known, notebook)
        _require_kind(known[name], value, notebook)


def _unknown(name: str, known: Mapping[str, Parameter], notebook: str) -> ConfigurationError:
    near = difflib.get_close_matches(name, known, 1)
    return ConfigurationError(
        f"{notebook} has no parameter {name!r}.",
        f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(known) or 'none'}.",
    )


def _require_kind(parameter: Parameter, value: Any, notebook: str) -> None:
    if not parameter.kind:
        return
    wrong_bool = isinstance(value, bool) and parameter.kind != "bool"
    if isinstance(value, _KINDS[parameter.kind]) and not wrong_bool:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    hint = f"It has to be: {parameter.kind}."
    if parameter.kind == "str" and (is_number or value is None or isinstance(value, bool)):
        hint = f"papermill's -p turns such texts into other types: use -r {parameter.name} VALUE."
    raise ConfigurationError(
        f"The parameter {parameter.name!r} of {notebook} is declared as {parameter.kind}, and "
        f"{type(value).__name__} was given.",
        hint,
    )
