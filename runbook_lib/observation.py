"""Observation: read everything that an audit needs off the target, without writing to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from runbook_lib import catalog, differences, fingerprints, halves, postgres
from runbook_lib.catalog import Catalog
from runbook_lib.forensics import Target
from runbook_lib.versions import VersionRows

Progress = Callable[[str], None]

_SHAPE = """
SELECT CASE WHEN a.atttypid = 'varchar'::regtype AND a.atttypmod > 4 THEN a.atttypmod - 4 END,
       EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'version_num'
WHERE n.nspname = %s AND c.relname = %s
"""

_OTHERS = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %s AND n.nspname <> %s AND c.relkind IN ('r', 'p')
  AND n.nspname NOT LIKE 'pg\\_%%'
ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One reading of the target: who it is, its version rows and its catalog without them."""

    target: Target
    versions: VersionRows
    live: Catalog


def look(
    connection: Any, schema: str, table: str, another: Callable[[], Any] | None = None
) -> Look:
    """Read the target. ``schema`` and ``table`` are the version table's, unquoted.

    Where ``another`` opens a second connection, the catalog is read over both at once.
    """
    versions = read_versions(connection, schema, table)
    excluded = (versions.table, *versions.others)
    return Look(
        target=postgres.target(connection, versions.table),
        versions=versions,
        live=halves.snapshot(connection, another, exclude=excluded)
        if another
        else catalog.snapshot(connection, exclude=excluded),
    )


def filled(connection: Any, keys: Iterable[str]) -> tuple[str, ...]:
    """Return which of the tables and columns, named by their keys, hold data.

    Raises GateError where the user may not read them whole.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET row_security = off")  # hidden rows are an error, and not none
    return tuple(
        key
        for key in keys
        if any(_exists(connection, *where) for where in differences.data_of(key))
    )


def _exists(connection: Any, table: str, condition: str) -> bool:
    sql = f"SELECT EXISTS (SELECT FROM {table} WHERE {condition})"
    return bool(fingerprints.query(connection, sql, table)[0][0])


def read_versions(connection: Any, schema: str, table: str) -> VersionRows:
    """Read the version table's rows and shape. Raises GateError without the privilege."""
    name = postgres.fetch(connection, "SELECT quote_ident(%s), quote_ident(%s)", (schema, table))
    rows = postgres.version_rows(connection, schema, table)
    shape = postgres.fetch(connection, _SHAPE, (schema, table))
    others = postgres.fetch(connection, _OTHERS, (table, schema))
    return VersionRows(
        table=".".join(name[0]),
        rows=rows,
        width=shape[0][0] if shape else 32,
        has_key=bool(shape[0][1]) if shape else True,
        others=tuple(row[0] for row in others),
    )
