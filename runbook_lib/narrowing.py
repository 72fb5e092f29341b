"""Narrowing: functions that read what a revision changed, and no more of the catalog than that."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

from runbook_lib.catalog import SETTINGS, SNAPSHOT_SQL

# Planning the queries at every call would take longer than running them (PostgreSQL 12 or newer).
GENERIC_PLANS = (
    "SELECT pg_catalog.set_config(name, 'force_generic_plan', false)"
    " FROM pg_catalog.pg_settings WHERE name = 'plan_cache_mode'"
)
KINDS = ("sequences", "tables", "columns", "foreign", "indexes")
"""The sections of SNAPSHOT_SQL, by the word that their comment begins with, about a table itself.

The others are read by kind, where a statement is about that kind.
"""
PRIVILEGES = "privileges"
BESIDE = ("enum", "values", "views", "functions", "triggers", "rules", "row security", "extended")
"""The sections about what stands beside the tables, and is read as a whole without them."""

# The lines of SNAPSHOT_SQL that choose by the number of an object, and what they become.
_REACH = "= ANY (runbook_reach)"
_CHOICES = (
    ("WHERE CAST(attrelid AS bigint) >= 16384 AND", f"WHERE attrelid {_REACH} AND"),
    ("WHERE CAST(indexrelid AS bigint) >= 16384", f"WHERE indexrelid {_REACH}"),
    ("WHERE s.seqrelid >= 16384", f"WHERE s.seqrelid {_REACH}"),
    (
        "pg_depend d ON d.objid = s.seqrelid",
        f"pg_depend d ON d.objid {_REACH} AND d.objid = s.seqrelid",
    ),
    ("WHERE CAST(adrelid AS bigint) >= 16384", f"WHERE adrelid {_REACH}"),
    ("WHERE CAST(k.conrelid AS bigint) >= 16384 AND", "WHERE k.conrelid = ANY ($1) AND"),
    ("), note AS (", "), note AS NOT MATERIALIZED ("),
    ("\n    WHERE objoid >= 16384", ""),  # each is found by the index, however many there are
    ("), def AS (", "), def AS MATERIALIZED ("),  # else worked out anew for every column
    # of a table that a foreign key leads to, the columns' names are all that counts
    ("CASE WHEN a.attislocal AND", "CASE WHEN a.attrelid = ANY ($1) AND a.attislocal AND"),
    # a table that has parents, children or another server is not read in part
    ("'partition_of', CASE WHEN r.relispartition THEN", "'partition_of', CASE WHEN false THEN"),
    ("'server', CASE WHEN r.relkind = 'f' THEN", "'server', CASE WHEN false THEN"),
    ("JOIN rel p ON p.oid = i.inhparent\n        GROUP", "JOIN rel p ON false\n        GROUP"),
)
_NO_MEMBER = """
        AND NOT EXISTS (
            SELECT FROM member m
            WHERE m.classid = CAST('pg_catalog.{kind}' AS regclass) AND m.objid = {oid})"""
_INHERITED = """
    LEFT JOIN (
        SELECT i.inhrelid, string_agg(p.name, ', ' ORDER BY i.inhseqno) AS parents
        FROM pg_catalog.pg_inherits i
        JOIN rel p ON false
        GROUP BY i.inhrelid
    ) i ON i.inhrelid = r.oid
"""
_TYPES, _ROUTINES = "WHERE t.oid >= 16384 AND", "WHERE p.oid >= 16384 AND"
_ALONE = (
    ("WHERE CAST(c.oid AS bigint) >= 16384 AND", f"WHERE c.oid {_REACH} AND"),
    (_TYPES, "WHERE false AND"),
    (_ROUTINES, "WHERE false AND"),
    # no revision changes an extension's own tables, and the look at it all leaves them out
    (_NO_MEMBER.format(kind="pg_namespace", oid="n.oid"), ""),
    (_NO_MEMBER.format(kind="pg_class", oid="c.oid"), ""),
    (_INHERITED, "\n    CROSS JOIN (SELECT CAST(NULL AS text) AS parents) i\n"),
)
_TOGETHER = (
    ("WHERE CAST(c.oid AS bigint) >= 16384 AND", "WHERE c.oid = ANY (runbook_near) AND"),
    (_TYPES, f"WHERE 'types' = ANY ($2) AND {_TYPES[6:]}"),
    (_ROUTINES, f"WHERE ('functions' = ANY ($2) OR p.proname = ANY ($3)) AND {_ROUTINES[6:]}"),
    *(
        (line, f"{line} AND ('{kind}' = ANY ($2) OR {table} = ANY ($1))")
        for kind, table, line in (
            ("views", "r.oid", "WHERE r.relkind IN ('v', 'm')"),
            ("triggers", "tgrelid", "WHERE NOT tgisinternal AND tgparentid = 0"),
            ("rules", "w.ev_class", "WHERE w.rulename <> '_RETURN'"),
        )
    ),
    *(
        (line, f"{line} AND '{kind}' = ANY ($2)")
        for kind, line in (
            ("policies", "JOIN rel r ON r.oid = p.polrelid"),
            ("statistics", "JOIN rel r ON r.oid = s.stxrelid"),
        )
    ),
)
# The privileges on a view's columns are read with the view.
_VIEWS = """\
        UNION ALL SELECT x.oid FROM pg_class x
            WHERE x.relkind = 'v' AND x.oid >= 16384 AND 'views' = ANY ($2)
"""
# The relations that others are read with.
_NEAR = """\
    runbook_near = runbook_reach;
    IF cardinality($2) > 0 THEN
        runbook_near = runbook_reach || ARRAY(
            SELECT x.oid FROM pg_class x
            WHERE x.oid >= 16384 AND (x.relkind = 'c' AND 'types' = ANY ($2)
                OR x.relkind IN ('r', 'p', 'f', 'v', 'm')
                AND $2 && ARRAY['views', 'triggers', 'rules', 'policies', 'statistics']));
    END IF;
"""


@cache
def functions() -> tuple[str, ...]:
    """Return the statements that make the functions, in the session's temporary schema."""
    text = resources.files("runbook_lib").joinpath("sql/witness.sql").read_text("utf-8")
    places = {
        "narrow": _settings(enable_nestloop="on", enable_seqscan="off"),
        "wide": _settings(),
        "whole": SNAPSHOT_SQL,
    }
    text = _filled(text, **places)
    made = [f"CREATE {item}" for item in text.split("\nCREATE ")[1:]]
    (part,) = (item for item in made if "<<part>>" in item)
    made.remove(part)
    granted = (*KINDS, PRIVILEGES)
    together = part_sql(_CHOICES + _TOGETHER, (*granted, *BESIDE))
    return (
        *made,
        _filled(
            part,
            function="runbook_part(oid[])",
            views="",
            near="",
            part=part_sql(_CHOICES + _ALONE, KINDS),
            granted=part_sql(_CHOICES + _ALONE, granted),
        ),
        _filled(
            part,
            function="runbook_beside(oid[], text[], text[])",
            views=_VIEWS,
            near=_NEAR,
            part=together,
            granted=together,
        ),
    )


def _filled(text: str, **places: str) -> str:
    for name, given in places.items():
        text = text.replace(f"<<{name}>>", given)
    return text


def _settings(**others: str) -> str:
    return "\n".join(f"SET {name} TO '{value}'" for name, value in {**SETTINGS, **others}.items())


def part_sql(choices: Sequence[tuple[str, str]], kinds: tuple[str, ...]) -> str:
    """Return the sections ``kinds`` of SNAPSHOT_SQL, lines replaced by those beside them.

    Raises ValueError when SNAPSHOT_SQL is not what this was made for.
    """
    text = SNAPSHOT_SQL
    for line, narrower in choices:
        if text.count(line) != 1:
            raise ValueError(f"snapshot.sql has not exactly one line with: {line}")
        text = text.replace(line, narrower)
    head, body = text.split(_FIRST)
    body, tail = body.rsplit(_LAST, 1)
    chosen = [item for item in body.split(_SECTION) if item.startswith(kinds)]
    if len(chosen) != len(kinds):
        raise ValueError(f"snapshot.sql has not one section for each of: {', '.join(kinds)}")
    return head + _FIRST[: -len("    -- ")] + _SECTION.join([_NAMED, *chosen]) + _LAST + tail


_FIRST, _SECTION, _LAST = "object AS (\n    -- ", "\n\n    UNION ALL -- ", "\n)\nSELECT concat("
# Gives the columns of the sections their names, which the first section does in SNAPSHOT_SQL.
_NAMED = """\
    SELECT '' AS kind, '' AS name, CAST(0 AS oid) AS class, CAST(0 AS oid) AS oid, 0 AS sub,
        '' AS aspects
    WHERE false"""
