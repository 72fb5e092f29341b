"""Catalog: the schema of one database as one immutable value, and the difference of two.

A catalog maps an object's key to its aspects. The key is ``kind:name`` with the name always
qualified by its schema, for example ``table:public.users``, ``column:public.users.email``,
``constraint:public.users.users_pkey``, ``index:public.ix_users_email``, ``label:public.mood.happy``
(one value of an enum), ``grant:table:public.users``. A part of a name that is not a plain
lower-case word stands in double quotes. Aspects are short texts by name, such as ``{"type":
"character varying(50)", "nullable": "no"}``; an aspect that does not apply is left out. That a key
is there means that the object exists.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

import orjson

from runbook_lib import spelling
from runbook_lib.artifacts import Artifact

Aspects = Mapping[str, str]

SNAPSHOT_SQL = resources.files("runbook_lib").joinpath("sql/snapshot.sql").read_text("utf-8")
"""One SELECT, one text cell: the catalog as JSON. Run it between PREPARE_SQL and RESTORE_SQL."""

SETTINGS = {
    "search_path": "pg_catalog",
    "jit": "off",
    "work_mem": "64MB",
    "enable_nestloop": "off",
    "enable_mergejoin": "off",
    "max_parallel_workers_per_gather": "0",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "quote_all_identifiers": "off",
}

PREPARE_SQL = "SELECT " + ", ".join(
    f"pg_catalog.set_config('runbook.{name}', pg_catalog.current_setting('{name}'), true), "
    f"pg_catalog.set_config('{name}', '{value}', true)"
    for name, value in SETTINGS.items()
)
"""Sets what the spelling of a definition depends on, for this transaction; keeps the old values."""

RESTORE_SQL = "SELECT " + ", ".join(
    f"pg_catalog.set_config('{name}', pg_catalog.current_setting('runbook.{name}'), true)"
    for name in SETTINGS
)
"""Puts back what PREPARE_SQL set, within the same transaction."""

READING = {
    "prepare": PREPARE_SQL,
    "query": SNAPSHOT_SQL,
    "restore": RESTORE_SQL,
    "spelling": {"signs": spelling.SIGNS, "pairs": spelling.PAIRS},
}
"""All that it takes to read a catalog elsewhere, as the agent is sent it."""

_TABLE_PARTS = ("table", "foreign_table", "column", "constraint", "trigger", "rule", "policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog(Artifact):
    """``objects``: aspects by object key. Two catalogs are equal when their objects are."""

    objects: Mapping[str, Aspects]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange:
    """One object that differs: ``before`` is None when it was added, ``after`` when removed."""

    object: str
    before: Aspects | None
    after: Aspects | None

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


EMPTY = Catalog(objects={})


def snapshot(connection: Any, *, exclude: Collection[str] = ()) -> Catalog:
    """Read the schema of the database that the psycopg2 ``connection`` is connected to.

    ``exclude`` names tables such as ``public.alembic_version`` to leave out with everything that
    belongs to them. Works inside an open transaction and leaves it, and every setting, as it was.
    """
    with _aside(connection), connection.cursor() as cursor:
        cursor.execute(f"{PREPARE_SQL}; {SNAPSHOT_SQL}")
        (text,) = cursor.fetchone()
    return without(parse(text), [f"table:{name}" for name in exclude])


def parse(text: str) -> Catalog:
    """Return the catalog that SNAPSHOT_SQL gave as ``text``."""
    collecting = gc.isenabled()
    gc.disable()  # so many small mappings at once would set off pointless collections
    try:
        return Catalog(objects=orjson.loads(spelling.canonical(text)))
    finally:
        if collecting:
            gc.enable()


@contextmanager
def _aside(connection: Any) -> Iterator[None]:
    """Run the block so that a failure, or a setting it makes, touches nobody's transaction."""
    idle = connection.get_transaction_status() == 0
    opening = "SAVEPOINT runbook_snapshot" if not idle else "BEGIN" if connection.autocommit else ""
    closing = "ROLLBACK TO SAVEPOINT runbook_snapshot; RELEASE SAVEPOINT runbook_snapshot"
    with connection.cursor() as cursor:
        if opening:
            cursor.execute(opening)
        try:
            yield
        finally:
            cursor.execute("ROLLBACK" if idle else closing)
            if idle and not connection.autocommit:
                connection.rollback()


def diff(before: Catalog, after: Catalog) -> tuple[ObjectChange, ...]:
    """Return the objects that differ, sorted by key."""
    old, new = before.objects, after.objects
    keys = {key for key, aspects in old.items() if new.get(key) != aspects}
    keys |= new.keys() - old.keys()
    return tuple(
        ObjectChange(object=key, before=old.get(key), after=new.get(key)) for key in sorted(keys)
    )


def apply_changes(catalog: Catalog, changes: Iterable[ObjectChange]) -> Catalog:
    """Return the catalog as it is after ``changes``: ``apply_changes(a, diff(a, b)) == b``."""
    objects = dict(catalog.objects)
    for change in changes:
        if change.after is None:
            objects.pop(change.object, None)
        else:
            objects[change.object] = change.after
    return Catalog(objects=objects)


def renamed(changes: Iterable[ObjectChange]) -> tuple[tuple[str, str], ...]:
    """Return (old key, new key) of constraints, indexes and sequences that differ by name only."""
    gone: dict[tuple[object, ...], list[str]] = {}
    come: dict[tuple[object, ...], list[str]] = {}
    for change in changes:
        kind, _ = split(change.object)
        if kind in ("constraint", "index", "sequence") and change.kind != "changed":
            aspects = change.before or change.after or {}
            owner = table_of(change.object, aspects)
            if owner:
                identity = (kind, owner, *sorted(aspects.items()))
                side = gone if change.after is None else come
                side.setdefault(identity, []).append(change.object)
    return tuple(
        pair
        for identity, olds in gone.items()
        for pair in zip(olds, come.get(identity, []), strict=False)
    )


def split(key: str) -> tuple[str, str]:
    """Return (kind, name) of an object's key."""
    kind, _, name = key.partition(":")
    return kind, name


@lru_cache(maxsize=1 << 16)
def parts(name: str) -> tuple[str, ...]:
    """Return the dot-separated parts of a name as spelled; dots within quotes do not separate."""
    found: list[str] = []
    fresh = True
    for piece in re.findall(r'"(?:[^"]|"")*"|\(.*\)$|\.|[^."(]+', name):
        if piece == ".":
            fresh = True
        elif fresh:
            found.append(piece)
            fresh = False
        else:
            found[-1] += piece
    return tuple(found)


def table_of(key: str, aspects: Aspects | None = None) -> str:
    """Return the ``schema.table`` that the object is part of, or "".

    Indexes, statistics and owned sequences say so in their ``aspects`` only.
    """
    kind, name = split(key)
    if kind == "grant":
        return table_of(name)
    if kind in _TABLE_PARTS:
        return ".".join(parts(name)[:2])
    known = aspects or {}
    return known.get("table", "") or ".".join(parts(known.get("owned_by", ""))[:2])


def without(catalog: Catalog, patterns: Iterable[str]) -> Catalog:
    """Return the catalog less every object that an ``fnmatch`` pattern over keys matches.

    A table takes along its columns, constraints, indexes and whatever else is part of it. A pattern
    such as ``grant:* to reader`` takes the privileges of one role only.
    """
    given = tuple(patterns)
    if not given:
        return catalog
    roles = tuple(item for item in given if item.startswith("grant:") and " to " in item)
    wanted = tuple(item for item in given if item not in roles)
    catalog = _without_roles(catalog, roles) if roles else catalog
    gone = {key for key in catalog.objects if any(fnmatchcase(key, item) for item in wanted)}
    tables = {split(key)[1] for key in gone if split(key)[0] in ("table", "foreign_table")}
    return Catalog(
        objects={
            key: aspects
            for key, aspects in catalog.objects.items()
            if key not in gone and (not tables or table_of(key, aspects) not in tables)
        }
    )


def _without_roles(catalog: Catalog, patterns: Collection[str]) -> Catalog:
    """Leave out privileges that a pattern matches, spelled ``grant:OBJECT to ROLE``."""
    left = {
        key: {
            role: held
            for role, held in aspects.items()
            if not any(fnmatchcase(f"{key} to {role}", item) for item in patterns)
        }
        for key, aspects in catalog.objects.items()
        if key.startswith("grant:")
    }
    objects = {key: left.get(key, aspects) for key, aspects in catalog.objects.items()}
    return Catalog(objects={k: v for k, v in objects.items() if k not in left or v})


def describe(key: str, aspects: Aspects) -> str:
    """Return the object's definition on one line, for people to read."""
    kind, _ = split(key)
    text = _DESCRIBERS.get(kind, _describe_other)(aspects) or kind
    if aspects.get("valid") == "no" or aspects.get("validated") == "no":
        text += " (INVALID)" if kind == "index" else " NOT VALID"
    if "comment" in aspects and kind != "grant":
        text += f", comment {_quoted(aspects['comment'])}"
    return " ".join(text.split())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _describe_column(aspects: Aspects) -> str:
    words = [aspects.get("type", "")]
    words += [f"collation {aspects['collation']}"] if "collation" in aspects else []
    words += ["not null"] if aspects.get("nullable") == "no" else []
    words += [f"default {aspects['default']}"] if "default" in aspects else []
    words += [f"generated always as {aspects['generated']}"] if "generated" in aspects else []
    words += [f"generated {aspects['identity']} as identity"] if "identity" in aspects else []
    return ", ".join(words)


def _describe_index(aspects: Aspects) -> str:
    unique = "UNIQUE " if aspects.get("unique") == "yes" else ""
    return unique + aspects.get("definition", "")


def _describe_definition(aspects: Aspects) -> str:
    return aspects.get("definition", "")


def _describe_type(aspects: Aspects) -> str:
    rest = _describe_other({name: value for name, value in aspects.items() if name != "kind"})
    return ", ".join(filter(None, (aspects.get("kind", ""), rest)))


def _describe_other(aspects: Aspects) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in aspects.items() if name != "comment"
    )


_DESCRIBERS = {
    "column": _describe_column,
    "index": _describe_index,
    "constraint": _describe_definition,
    "view": _describe_definition,
    "materialized_view": _describe_definition,
    "trigger": _describe_definition,
    "function": _describe_definition,
    "procedure": _describe_definition,
    "rule": _describe_definition,
    "statistics": _describe_definition,
    "type": _describe_type,
}
