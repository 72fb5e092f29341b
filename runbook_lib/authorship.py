"""Authorship: what a revision's file says that its upgrade makes, read without running it. Pure.

Only a first guess: names that are computed stay unknown, and a branch that never runs counts. The
replay corrects it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

from runbook_lib.catalog import Aspects, parts, split, table_of
from runbook_lib.identifiers import unquoted

_NAME = r'((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))*)'
_WRITTEN = re.compile(
    r"\bCREATE\s+(?:OR\s+REPLACE\s+|UNIQUE\s+|UNLOGGED\s+|MATERIALIZED\s+|CONSTRAINT\s+)*"
    r"(TABLE|INDEX|TYPE|DOMAIN|VIEW|SEQUENCE|FUNCTION|PROCEDURE|TRIGGER|SCHEMA|EXTENSION)\s+"
    rf"(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}",
    re.I,
)
_ADDED = re.compile(rf"\bADD\s+(COLUMN|CONSTRAINT)\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}", re.I)
_RENAMED = re.compile(rf"\bRENAME\s+(?:(?:COLUMN\s+|CONSTRAINT\s+)?{_NAME}\s+)?TO\s+{_NAME}", re.I)
_RETOLD = re.compile(
    rf"\bALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{_NAME}\s+"
    rf"RENAME\s+(?:(?:COLUMN\s+)?(?!TO\b|CONSTRAINT\b){_NAME}\s+)?TO\s+{_NAME}",
    re.I,
)
_NAMERS = ("create_index", "create_primary_key", "create_unique_constraint", "create_foreign_key",
           "create_check_constraint", "create_exclude_constraint")  # fmt: skip
UNKNOWN = "table:?"


def made(text: str) -> frozenset[str]:
    """Return what the upgrade makes, such as ``table:users``, ``column:users.email``, ``name:ix``.

    A column of a table whose name is computed is ``column:*.email``; a table whose own name is
    computed is UNKNOWN.
    """
    statements, known = _upward(text)
    return frozenset(item for one in statements for item in _within(one, known))


def renamed(text: str) -> dict[str, str]:
    """Return the new bare name of what the upgrade renames, by ``table:old``, ``column:table.old``.

    Those whose names are computed are left out.
    """
    statements, known = _upward(text)
    found = (pair for one in statements for pair in _renamings(one, known))
    return {old: new for old, new in found if new and not old.endswith((":", "."))}


def named_anew(renames: Mapping[str, str]) -> frozenset[str]:
    """Return what ``made`` says of the objects that are only renamed."""
    places = ((old.rpartition("." if old.startswith("column:") else ":"), new)
              for old, new in renames.items())  # fmt: skip
    return frozenset(
        one for (place, mark, _), new in places for one in (f"{place}{mark}{new}", f"name:{new}")
    )


def _upward(text: str) -> tuple[list[ast.stmt], dict[str, str]]:
    """Return the file's statements without its downgrade, and its constant texts by name."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        return [], {}
    known = {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }
    down = [
        one for one in module.body
        if isinstance(one, ast.FunctionDef) and one.name == "downgrade"
    ]  # fmt: skip
    return [one for one in module.body if one not in down], known


def _renamings(statement: ast.stmt, known: dict[str, str]) -> Iterator[tuple[str, str]]:
    batches = dict(_batches(statement, known))
    for node in ast.walk(statement):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _rewritten(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            batch = batches.get(owner.id, "") if isinstance(owner, ast.Name) else ""
            if node.func.attr == "rename_table":
                old = _text(node, 0, "old_table_name", known)
                yield f"table:{old}", _text(node, 1, "new_table_name", known)
            elif node.func.attr == "alter_column":
                table = batch or _text(node, 0, "table_name", known)
                old = _text(node, 0 if batch else 1, "column_name", known)
                yield f"column:{table}.{old}", _text(node, 99, "new_column_name", known)


def _rewritten(sql: str) -> Iterator[tuple[str, str]]:
    """Give what a text of SQL renames, spelled as ``renamed`` does."""
    for table, column, new in _RETOLD.findall(sql):
        old, (owner, name) = (
            unquoted(parts(column)[-1]) if column else "",
            (unquoted(parts(one)[-1]) for one in (table, new)),
        )
        yield f"column:{owner}.{old}" if old else f"table:{owner}", name


def makes(found: Iterable[str], key: str, aspects: Aspects) -> bool:
    """Say whether one of the things that ``made`` found is the object or the table it is in."""
    kind, name = split(key)
    bare = unquoted(parts(name)[-1]).partition("(")[0]
    table = unquoted(parts(table_of(key, aspects) or name)[-1])
    if kind == "label":
        table, bare = "", unquoted(parts(name)[-2])
    wanted = {f"table:{table}", f"name:{bare}"} if kind != "column" else {f"table:{table}"}
    if kind == "column":
        wanted |= {f"column:{table}.{bare}", f"column:*.{bare}"}
    return not wanted.isdisjoint(found)


def _within(statement: ast.stmt, known: dict[str, str]) -> Iterator[str]:
    batches = dict(_batches(statement, known))
    for node in ast.walk(statement):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from written(node.value)
        elif isinstance(node, ast.Call):
            yield from _called(node, batches, known)


def _batches(statement: ast.stmt, known: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Give (variable, table) of every ``with op.batch_alter_table(table) as variable``."""
    for node in ast.walk(statement):
        for item in node.items if isinstance(node, ast.With) else ():
            if isinstance(item.context_expr, ast.Call) and isinstance(item.optional_vars, ast.Name):
                yield item.optional_vars.id, _text(item.context_expr, 0, "table_name", known) or "*"


def _called(node: ast.Call, batches: dict[str, str], known: dict[str, str]) -> Iterator[str]:
    function = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    batch = batches.get(owner.id) if isinstance(owner, ast.Name) else None
    if function == "create_table":
        name = _text(node, 0, "table_name", known)
        yield f"table:{name}" if name else UNKNOWN
    elif function == "rename_table":
        yield f"table:{_text(node, 1, 'new_table_name', known)}"
    elif function == "add_column":
        table = batch or _text(node, 0, "table_name", known) or "*"
        column = next((one for one in node.args if isinstance(one, ast.Call)), None)
        if column:
            yield f"column:{table}.{_text(column, 0, 'name', known)}"
    elif function == "alter_column":
        table = batch or _text(node, 0, "table_name", known) or "*"
        yield f"column:{table}.{_text(node, 9, 'new_column_name', known)}"
    elif function in _NAMERS:
        yield f"name:{_text(node, 0, 'name', known)}"
    if not function.startswith("drop_"):
        yield f"name:{_text(node, 99, 'name', known)}"


def _text(node: ast.Call, position: int, keyword: str, known: dict[str, str]) -> str:
    """Return a constant text among the arguments, "" when it is computed or not there."""
    named = [one.value for one in node.keywords if one.arg == keyword]
    given = named or node.args[position : position + 1]
    for value in given:
        if isinstance(value, ast.Call) and value.args:  # op.f("ix_name")
            value = value.args[0]
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
        if isinstance(value, ast.Name):
            return known.get(value.id, "")
    return ""


def written(sql: str) -> Iterator[str]:
    """Give what a text of SQL makes, spelled as ``made`` does."""
    for kind, name in _WRITTEN.findall(sql):
        bare = unquoted(parts(name)[-1])
        yield f"table:{bare}" if kind.upper() == "TABLE" else f"name:{bare}"
    table = re.search(rf"\bALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{_NAME}", sql, re.I)
    owner = unquoted(parts(table[1])[-1]) if table else "*"
    for kind, name in _ADDED.findall(sql):
        bare = unquoted(parts(name)[-1])
        yield f"column:{owner}.{bare}" if kind.upper() == "COLUMN" else f"name:{bare}"
    for old, new in _RENAMED.findall(sql):
        bare = unquoted(parts(new)[-1])
        yield from (f"column:{owner}.{bare}", f"name:{bare}") if old else (f"table:{bare}",)
