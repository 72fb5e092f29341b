"""Narrowing: the snapshot's query for a few tables only, for use after single statements."""

from __future__ import annotations

from functools import cache

from runbook_lib.catalog import PREPARE_SQL, SNAPSHOT_SQL

# For a few tables nested loops are right, and planning each time is not (PostgreSQL 12 or newer).
NARROW_SQL = PREPARE_SQL.replace("'enable_nestloop', 'off'", "'enable_nestloop', 'on'")
GENERIC_PLANS = (
    "SELECT pg_catalog.set_config(name, 'force_generic_plan', false)"
    " FROM pg_catalog.pg_settings WHERE name = 'plan_cache_mode'"
)

# The lines of SNAPSHOT_SQL that choose relations, types and functions, and what they become.
_CHOICES = (
    (
        "WHERE c.oid >= 16384 AND",
        "WHERE c.oid IN (SELECT unnest($1)"
        " UNION ALL SELECT x.indexrelid FROM pg_catalog.pg_index x WHERE x.indrelid = ANY ($1)"
        " UNION ALL SELECT x.confrelid FROM pg_catalog.pg_constraint x"
        " WHERE x.conrelid = ANY ($1)"
        " UNION ALL SELECT x.objid FROM pg_catalog.pg_depend x"
        " WHERE x.refclassid = CAST('pg_catalog.pg_class' AS regclass) AND x.refobjid = ANY ($1)"
        " AND x.classid = CAST('pg_catalog.pg_class' AS regclass) AND x.deptype IN ('a', 'i')) AND",
    ),
    (  # an expression of a table outside of the choice has columns that nobody can name
        "FROM pg_catalog.pg_attrdef\n",
        "FROM pg_catalog.pg_attrdef WHERE adrelid IN (SELECT attrelid FROM att)\n",
    ),
    ("WHERE t.oid >= 16384 AND", "WHERE false AND"),
    ("WHERE p.oid >= 16384 AND", "WHERE false AND"),
)


@cache
def part_sql() -> str:
    """Return SNAPSHOT_SQL for a few tables ($1, their oids); "" if it is not as it was."""
    text = SNAPSHOT_SQL
    for line, narrower in _CHOICES:
        if text.count(line) != 1:
            return ""
        text = text.replace(line, narrower)
    return text
