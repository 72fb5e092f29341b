"""Source: what one revision file says of itself, read with ``ast`` and never imported."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from runbook_lib import bodies

# Alembic's own rules (alembic.script.base): which files it loads, and its oldest file names.
REVISION_FILE = re.compile(r"(?!\.\#|__init__)(.*\.py)$")
LEGACY_NAME = re.compile(r"([a-f0-9]+)\.py$")

IDENTIFIERS = ("revision", "down_revision", "depends_on", "branch_labels")
_TEMPLATE_LINE = re.compile(r"\s*(Revision ID|Revises|Create Date)\s*:", re.IGNORECASE)
_CREATE_DATE = re.compile(r"^[ \t]*Create Date[ \t]*:[ \t]*(.*\S)", re.MULTILINE)
_QUOTED = re.compile(r"""(['"])([^'"\n]+)\1""")

Constant = str | int | float | bytes | bool | None | tuple["Constant", ...]


class Dynamic(Exception):
    """The expression is not made of constants; ``line`` is where it stands."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a file says. ``error`` is "" when Alembic can read it; else ``line`` says where.

    With an error, the ids are what a search of the text found, so they may be incomplete.
    """

    revision_id: str = ""
    down_revisions: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    branch_labels: tuple[str, ...] = ()
    doc: str = ""
    created: str = ""
    operations: tuple[str, ...] = ()
    has_downgrade: bool = False
    commits: tuple[int, ...] = ()
    error: str = ""
    line: int = 0


@lru_cache(maxsize=20_000)
def read(name: str, text: str) -> Facts:
    """Return what the file ``name`` (without folder) with the content ``text`` says."""
    try:
        module = ast.parse(text.removeprefix("\ufeff"))
    except SyntaxError as error:
        grammar = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        return _guess(name, text, f"{error.msg} ({grammar} grammar)", error.lineno or 1)
    except (ValueError, RecursionError, MemoryError) as error:
        return _guess(name, text, str(error) or type(error).__name__, 1)
    try:
        return _facts(name, text, module)
    except Dynamic as error:
        return _guess(name, text, "an identifier is computed, not a constant", error.line)
    except ValueError as error:
        return _guess(name, text, str(error), 1)


def _facts(name: str, text: str, module: ast.Module) -> Facts:
    values = identifiers(module)
    revision_id = values.get("revision", _legacy(name))
    if not isinstance(revision_id, str) or not revision_id:
        raise ValueError(
            "it declares no revision id, and Alembic loads every .py file of a version location"
        )
    if "down_revision" not in values:
        raise ValueError("it declares no down_revision")
    functions = {item.name: item for item in module.body if isinstance(item, bodies.Function)}
    body = bodies.Body(functions)
    docstring = ast.get_docstring(module) or ""
    return Facts(
        revision_id=revision_id,
        down_revisions=_ids(values["down_revision"], "down_revision"),
        depends_on=_ids(values.get("depends_on"), "depends_on"),
        branch_labels=_ids(values.get("branch_labels"), "branch_labels"),
        doc=purpose(docstring),
        created=created(docstring),
        operations=bodies.operations(body),
        has_downgrade=_goes_back(functions.get("downgrade")),
        commits=bodies.commits(body, text),
    )


def _goes_back(downgrade: bodies.Function | None) -> bool:
    """Return whether there is a downgrade that does something, or says why it does nothing."""
    return downgrade is not None and (
        bodies.does_something(downgrade) or bodies.says_why(downgrade)
    )


def _legacy(name: str) -> str | None:
    match = LEGACY_NAME.match(name)
    return match.group(1) if match else None


def _ids(value: Constant, name: str) -> tuple[str, ...]:
    items = value if isinstance(value, tuple) else () if value is None else (value,)
    if not all(isinstance(item, str) for item in items):
        raise ValueError(f"its {name} is neither a text, a sequence of texts nor None")
    return tuple(dict.fromkeys(str(item) for item in items))


def purpose(docstring: str) -> str:
    """Return the message of a revision's docstring: its first line that is not Alembic's own."""
    lines = (line.strip() for line in docstring.splitlines() if not _TEMPLATE_LINE.match(line))
    return next((line for line in lines if line), "")


def created(docstring: str) -> str:
    """Return the text of the docstring's Create Date line (ISO order), or ""."""
    match = _CREATE_DATE.search(docstring)
    return match.group(1) if match else ""


# --- constants ----------------------------------------------------------------------------


def assignments(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield the module-level assignments in order as (name, value expression).

    Both arms of an ``if`` and all of a ``try`` count: the last one in the text goes.
    """
    yield from _assigned(module.body)


def _assigned(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for item in body:
        if isinstance(item, ast.AnnAssign) and item.value and isinstance(item.target, ast.Name):
            yield item.target.id, item.value
        elif isinstance(item, ast.Assign):
            for target in item.targets:
                yield from _unpack(target, item.value)
        elif isinstance(item, ast.If):
            yield from _assigned([*item.body, *item.orelse])
        elif isinstance(item, ast.Try):
            yield from _assigned([*item.body, *item.orelse, *item.finalbody])


def _unpack(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, part in zip(target.elts, value.elts, strict=False):
            yield from _unpack(one, part)


def identifiers(module: ast.Module) -> dict[str, Constant]:
    """Return the values of revision, down_revision, depends_on and branch_labels, where bound.

    Raises Dynamic when one of the first two is not made of constants.
    """
    known: dict[str, Constant] = {}
    for name, expression in assignments(module):
        try:
            known[name] = evaluate(expression, known)
        except Dynamic:
            known.pop(name, None)
            if name in ("revision", "down_revision"):
                raise
            if name in IDENTIFIERS:
                known[name] = _as_far_as_known(name, expression, known)
    return {name: known[name] for name in IDENTIFIERS if name in known}


def _as_far_as_known(
    name: str, expression: ast.expr, known: Mapping[str, Constant]
) -> tuple[Constant, ...]:
    """Read labels or dependencies of which some are computed: Alembic will know these.

    A computed label is named by its own expression; a computed dependency stays unknown.
    """
    is_sequence = isinstance(expression, ast.Tuple | ast.List | ast.Set)
    found: list[Constant] = []
    for item in expression.elts if is_sequence else [expression]:  # type: ignore[attr-defined]
        try:
            found.append(evaluate(item, known))
        except Dynamic:
            found.extend([ast.unparse(item)] if name == "branch_labels" else [])
    return tuple(found)


def evaluate(node: ast.expr, known: Mapping[str, Constant]) -> Constant:
    """Return the value of a constant expression; lists and sets become tuples. Raises Dynamic."""
    match node:
        case ast.Constant(value=value) if value is not ...:
            return value  # type: ignore[return-value]
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(_items(items, known))
        case ast.Set(elts=items):
            return tuple(sorted(_items(items, known), key=str))
        case ast.JoinedStr(values=parts):
            return "".join(str(_formatted(part, known)) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _sum(evaluate(left, known), evaluate(right, known), node.lineno)
        case ast.Call(func=ast.Name(id="tuple" | "list" | "set" | "frozenset"), args=[argument]):
            return evaluate(argument, known)
    raise Dynamic(node.lineno)


def _items(nodes: list[ast.expr], known: Mapping[str, Constant]) -> Iterator[Constant]:
    for node in nodes:
        value = evaluate(node.value if isinstance(node, ast.Starred) else node, known)
        if isinstance(node, ast.Starred) and isinstance(value, tuple):
            yield from value
        else:
            yield value


def _formatted(part: ast.expr, known: Mapping[str, Constant]) -> Constant:
    if not isinstance(part, ast.FormattedValue):
        return evaluate(part, known)
    if part.format_spec or part.conversion != -1:
        raise Dynamic(part.lineno)
    return evaluate(part.value, known)


def _sum(left: Constant, right: Constant, line: int) -> Constant:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(left, tuple) and isinstance(right, tuple):
        return left + right
    raise Dynamic(line)


# --- files that Python cannot read --------------------------------------------------------


def _guess(name: str, text: str, error: str, line: int) -> Facts:
    """Read the ids from a broken file's text, so that its place in the graph is known."""
    found = {key: _search(key, text) for key in IDENTIFIERS}
    revision_id = found["revision"] or _template("Revision ID", text)
    return Facts(
        revision_id=revision_id[0] if revision_id else (_legacy(name) or ""),
        down_revisions=found["down_revision"] or _template("Revises", text),
        depends_on=found["depends_on"],
        branch_labels=found["branch_labels"],
        error=error,
        line=line,
    )


def _search(key: str, text: str) -> tuple[str, ...]:
    match = re.search(rf"^{key}\s*(?::[^=\n]+)?=\s*([(\[{{][^)\]}}]*|[^\n#]*)", text, re.MULTILINE)
    found = _QUOTED.findall(match.group(1)) if match else []
    return tuple(dict.fromkeys(value for _, value in found))


def _template(key: str, text: str) -> tuple[str, ...]:
    match = re.search(rf"^{key}[ \t]*:[ \t]*([^\n]*)", text, re.MULTILINE)
    return tuple(re.findall(r"[^\s,]+", match.group(1))) if match else ()
