"""Locks: the strongest table lock that a statement takes, for people who read a plan. Pure."""

from __future__ import annotations

import re

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


def lock_of(sql: str) -> str:
    """Return the strongest table lock that a statement takes, by the documentation's table.

    Source: PostgreSQL manual, "Explicit Locking", table-level locks.
    """
    for pattern, lock in _LOCKS:
        match = pattern.match(sql)
        if match:
            return f"{lock} on {match.group(1)}"
    return ""
