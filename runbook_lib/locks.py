"""Locks: the table locks that statements take, for people who read a plan. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

MODES = (
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
"""The weakest first, in the manual's order."""

_LOCKS = (
    (re.compile(r"^\s*ALTER TABLE (?:ONLY )?(?:IF EXISTS )?([\w.\"]+)", re.I), "ACCESS EXCLUSIVE"),
    (re.compile(r"^\s*DROP TABLE (?:IF EXISTS )?([\w.\"]+)", re.I), "ACCESS EXCLUSIVE"),
    (
        re.compile(
            r"^\s*CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY).* ON (?:ONLY )?([\w.\"]+)", re.I
        ),
        "SHARE",
    ),
    (
        re.compile(r"^\s*CREATE (?:UNIQUE )?INDEX CONCURRENTLY.* ON ([\w.\"]+)", re.I),
        "SHARE UPDATE EXCLUSIVE",
    ),
    (re.compile(r"^\s*CREATE TRIGGER .* ON ([\w.\"]+)", re.I | re.S), "SHARE ROW EXCLUSIVE"),
    (re.compile(r"^\s*(?:UPDATE|DELETE FROM|INSERT INTO) ([\w.\"]+)", re.I), "ROW EXCLUSIVE"),
)
_TABLE = re.compile(r"^\s*(?:CREATE|ALTER) TABLE\b", re.I)
_REFERENCED = re.compile(r"\bREFERENCES ([\w.\"]+)", re.I)


def locks_of(sql: str) -> tuple[str, ...]:
    """Return the table locks that a statement takes, by the documentation's table.

    Source: PostgreSQL manual, "Explicit Locking", table-level locks; CREATE TABLE, REFERENCES.
    """
    found = next(
        ([f"{lock} on {told[1]}"] for pattern, lock in _LOCKS if (told := pattern.match(sql))), []
    )
    if _TABLE.match(sql):
        found += [f"SHARE ROW EXCLUSIVE on {table}" for table in _REFERENCED.findall(sql)]
    return tuple(found)


def strongest(locks: Iterable[str]) -> str:
    """Return the strongest lock on each table, the tables in order: "MODE on TABLE; …"."""
    modes: dict[str, str] = {}
    for lock in filter(None, locks):
        mode, _, table = lock.partition(" on ")
        modes[table] = max(mode, modes.get(table, mode), key=MODES.index)
    return "; ".join(f"{mode} on {table}" for table, mode in sorted(modes.items()))
