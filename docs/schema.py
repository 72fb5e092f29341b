"""JSON Schema, and readable type names, from the library's frozen dataclasses."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
WORDS = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null"}

Schema = dict[str, Any]


def document(cls: type, title: str = "") -> Schema:
    """Return the whole schema of an artifact: every type that it holds stands under ``$defs``."""
    return {
        "$schema": DIALECT,
        "title": title or cls.__name__,
        "$ref": f"#/$defs/{cls.__name__}",
        "$defs": definitions(cls),
    }


def definitions(*classes: type) -> Schema:
    """Return the definition of every dataclass that is reached from ``classes``, by name."""
    return {item.__name__: _definition(item) for item in reached(*classes)}


def reached(*classes: type) -> tuple[type, ...]:
    """Return the dataclasses in ``classes`` and in the types of their fields, each once."""
    found: list[type] = []
    todo = list(classes)
    while todo:
        cls = todo.pop(0)
        if cls not in found:
            found.append(cls)
            todo += [item for hint in get_type_hints(cls).values() for item in _within(hint)]
    return tuple(found)


def _within(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
    for part in get_args(hint):
        yield from _within(part)


def _definition(cls: type) -> Schema:
    hints = get_type_hints(cls)
    names = [item.name for item in fields(cls)]
    return {
        "type": "object",
        "description": doc(cls),
        "properties": {name: of(hints[name]) for name in names},
        "required": names,
        "additionalProperties": False,
    }


def of(hint: Any) -> Schema:
    """Return the schema of one type as ``artifacts.to_json`` writes its values."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint in PLAIN:
        return {"type": PLAIN[hint]}
    if origin is Literal:
        return {"enum": list(parts)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [of(part) for part in parts]}
    if origin is tuple and parts[-1] is ...:
        return {"type": "array", "items": of(parts[0])}
    if origin is tuple:
        sizes = {"minItems": len(parts), "maxItems": len(parts)}
        return {"type": "array", "prefixItems": [of(part) for part in parts], **sizes}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": of(parts[1])}
    if is_dataclass(hint) and isinstance(hint, type):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    raise TypeError(f"no JSON Schema for {hint!r}")


def words(hint: Any) -> str:
    """Return the type in Markdown, for people; a dataclass links to its heading."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint in WORDS:
        return WORDS[hint]
    if origin is Literal:
        return ", ".join(f'`"{part}"`' for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(words(part) for part in parts)
    if origin is tuple and parts[-1] is ...:
        return f"list of {words(parts[0])}"
    if origin is tuple:
        return f"list of {len(parts)}: {', '.join(words(part) for part in parts)}"
    if origin in (dict, Mapping):
        return f"object, each value: {words(parts[1])}"
    return f"[{hint.__name__}](#{hint.__name__.lower()})"


def doc(cls: type) -> str:
    """Return a class's docstring as one line of Markdown."""
    return " ".join((inspect.getdoc(cls) or "").replace("``", "`").split())
