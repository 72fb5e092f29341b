"""Filling: rows for the tables of a tree that nobody here wrote, parents before children."""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg2

from faults.worlds import connected
from runbook_lib.dsn import Dsn

REQUIRED = """
SELECT c.oid::regclass::text, array_agg(ARRAY[
    quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), t.typcategory::text,
    coalesce((SELECT min(enumlabel)::text FROM pg_enum WHERE enumtypid = t.oid), ''),
    coalesce(f.parent, ''), coalesce(f.name, '')])
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN LATERAL (
    SELECT k.confrelid::regclass::text AS parent, quote_ident(p.attname) AS name
    FROM pg_constraint k JOIN pg_attribute p ON p.attrelid = k.confrelid
        AND p.attnum = k.confkey[array_position(k.conkey, a.attnum)]
    WHERE k.contype = 'f' AND k.conrelid = c.oid AND a.attnum = ANY (k.conkey) LIMIT 1
) f ON true
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    AND c.relname <> 'alembic_version'
GROUP BY c.oid ORDER BY 1
"""
VALUES = {
    "S": "größe {n}", "N": "{n}", "B": "true", "D": "2024-03-0{n}", "T": "{n} days", "A": "{{}}",
    "json": '{{"n": {n}}}', "jsonb": '{{"n": {n}}}', "bytea": "\\x0{n}",
    "uuid": "00000000-0000-0000-0000-00000000000{n}",
}  # fmt: skip


def fill(dsn: Dsn, count: int = 2) -> int:
    """Put ``count`` rows into every table of ``public`` that takes them; return how many took."""
    with connected(dsn) as cursor:
        cursor.execute(REQUIRED)
        waiting = dict(cursor.fetchall())
        before = len(waiting)
        took = [""]
        while took:  # a child waits for its parents' rows
            took = [
                table
                for table, columns in waiting.items()
                if _insert(cursor, table, columns, count)
            ]
            waiting = {table: columns for table, columns in waiting.items() if table not in took}
        return before - len(waiting)


def _insert(cursor: Any, table: str, columns: list[list[str]], count: int) -> bool:
    names = ", ".join(column[0] for column in columns)
    rows = (", ".join(_value(*column[1:], n) for column in columns) for n in range(1, count + 1))
    with contextlib.suppress(psycopg2.Error):
        cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({'), ('.join(rows)})")
        return True
    return False


def _value(kind: str, category: str, label: str, parent: str, name: str, n: int) -> str:
    if parent:
        return f"(SELECT {name} FROM {parent} ORDER BY 1 OFFSET {n - 1} LIMIT 1)"
    given = label or VALUES.get(kind, VALUES.get(category, "{n}")).format(n=n)
    return f"'{given}'::{kind}"
