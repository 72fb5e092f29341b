"""Violations: rows that would not fit a constraint which the heads promise and the data lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import psycopg2

from runbook_lib import observation, postgres
from runbook_lib.agent.wire import PRIVATE
from runbook_lib.catalog import Aspects, Catalog, ObjectChange, diff, parts, split, table_of
from runbook_lib.dsn import Dsn
from runbook_lib.identifiers import identifier, sql_name, unquoted

SAMPLE = 5
_FOREIGN = re.compile(r"FOREIGN KEY \((.+?)\) REFERENCES (.+?)\((.+?)\)")
_COLUMNS = re.compile(r"^(?:PRIMARY KEY|UNIQUE(?: NULLS NOT DISTINCT)?) \((.+?)\)")
_CHECK = re.compile(r"^CHECK \((.*)\)(?: NO INHERIT)?$", re.S)


def find(dsn: Dsn, expected: Catalog, version: tuple[str, str]) -> tuple[str, ...]:
    """Return one sentence per violated constraint: how many rows, and keys of some of them.

    Only constraints on tables and columns that are there already can be violated.
    """
    connection = postgres.connect(dsn)
    try:
        live = observation.look(connection, *version).live
        found = [_sentence(connection, change) for change in diff(live, expected)]
    finally:
        connection.close()
    return tuple(sentence for sentence in found if sentence)


def _sentence(connection: Any, change: ObjectChange) -> str:
    for table, condition, keys in _questions(change):
        try:
            rows = postgres.fetch(
                connection,
                f"SELECT count(*), array_to_string((array_agg(DISTINCT {keys}))[1:{SAMPLE}], ', ')"
                f" FROM {table} AS t WHERE {condition}",
            )
        except psycopg2.Error:
            continue  # a column of it is missing as well: nothing to violate yet
        count, sample = rows[0]
        if count:
            shown = keys.removeprefix("t.").removeprefix("ROW")
            return _told(change, count, f"of {table}; for example where {shown} is {sample}.")
    return ""


def _told(change: ObjectChange, count: int, where: str) -> str:
    kind, name = split(change.object)
    if kind == "column" and change.before is None:
        return (
            f"{count} row{'s' * (count != 1)} would have no value in {kind} {name}, which is new "
            f"and NOT NULL, {where} Give it a default in its revision; the runbook deletes nothing."
        )
    what = "1 row violates" if count == 1 else f"{count} rows violate"
    rule = "NOT NULL of " if kind == "column" else ""
    return f"{what} {rule}{kind} {name} {where} Mend them; the runbook deletes nothing."


def _questions(change: ObjectChange) -> Iterable[tuple[str, str, str]]:
    """Yield (table, condition that a violating row meets, what to show of it)."""
    after = change.after
    owner = table_of(change.object, after)
    if after is None or not owner:  # views, types, functions hold no rows
        return
    kind, name = split(change.object)
    table = sql_name(owner)
    if kind == "constraint":
        yield from _constraint(table, after)
    elif kind == "index" and after.get("unique") == "yes":
        columns = re.search(r"\(([^()]+)\)", after.get("definition", ""))
        if columns and " WHERE " not in after.get("definition", ""):
            yield _repeated(table, columns.group(1))
    elif kind == "column" and after.get("nullable") == "no":
        column = identifier(unquoted(parts(name)[-1]))
        if change.before:
            yield table, f"t.{column} IS NULL", "t.ctid"
        elif not {"default", "identity", "generated"} & after.keys():
            yield table, "true", "t.ctid"  # a new column that has no value for the rows there are


def _constraint(table: str, after: Aspects) -> Iterable[tuple[str, str, str]]:
    definition = after.get("definition", "")
    unique = _COLUMNS.match(definition)
    check = _CHECK.match(definition)
    foreign = _FOREIGN.search(definition)
    if unique:
        yield _repeated(table, unique.group(1))
    elif check:
        yield table, f"NOT ({check.group(1)})", "t.ctid"
    elif foreign:
        yield _orphaned(table, *foreign.groups())


def _repeated(table: str, columns: str) -> tuple[str, str, str]:
    condition = (
        f"({columns}) IN (SELECT {columns} FROM {table} GROUP BY {columns} HAVING count(*) > 1)"
    )
    return table, condition, _shown(columns)


def _orphaned(table: str, columns: str, other: str, targets: str) -> tuple[str, str, str]:
    own, theirs = columns.split(", "), targets.split(", ")
    matches = " AND ".join(f"o.{b} = t.{a}" for a, b in zip(own, theirs, strict=True))
    filled = " AND ".join(f"t.{a} IS NOT NULL" for a in own)
    condition = f"{filled} AND NOT EXISTS (SELECT FROM {other} AS o WHERE {matches})"
    return table, condition, _shown(columns)


def _shown(columns: str) -> str:
    """Return what to show of a row: its key, but nothing of what is named as a secret."""
    if PRIVATE.search(columns):
        return "t.ctid"
    return f"ROW({columns})" if "," in columns else columns
