"""Meddling: one thing changed by hand in a state that could be, and what is then said of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg2
from faults.trees import Topology

from fuzz.judging import conclusions, world
from fuzz.supposing import Knowledge, State, know, suppose
from runbook_lib.catalog import Catalog, diff, parts, snapshot, split, table_of
from runbook_lib.effects import Replay
from runbook_lib.identifiers import sql_name
from runbook_lib.kinship import Kinship

OFTEN = 0.12


def unnoticed(connection: Any, topology: Topology, seed: int) -> Iterator[str]:
    """Say every false verdict, every false drift and every change by hand that goes unnoticed."""
    choose = random.Random(seed)
    states, seen = world(connection, topology)
    if seen is None:
        return
    knowledge = know(topology.revisions, states)
    made = {one.state: one.catalog for one in states}
    for one in suppose(connection, topology.revisions):
        if choose.random() < OFTEN:
            statement, live = _meddled(connection, one.catalog, choose)
            drawn = conclusions(topology, seen, live, made)
            where = f"{topology.name}, {one.state}, {statement}: "
            found = _wrong(topology, seen, knowledge, one.state, one.catalog, live, drawn)
            yield from (where + text for text in found)
    connection.rollback()


def _meddled(connection: Any, catalog: Catalog, choose: random.Random) -> tuple[str, Catalog]:
    """Change one thing by hand; return the statement and the catalog, and take it back."""
    options = list(_options(catalog))
    while options:
        statement = options.pop(choose.randrange(len(options)))
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT meddling")
            try:
                cursor.execute(statement)
                return statement, snapshot(connection)
            except psycopg2.Error:
                continue
            finally:
                cursor.execute("ROLLBACK TO meddling; RELEASE meddling")
    return "", catalog


def _options(catalog: Catalog) -> Iterator[str]:
    yield "CREATE TABLE by_hand (id integer)"
    for key, aspects in catalog.objects.items():
        kind, name = split(key)
        sql = sql_name(name)
        if kind == "table":
            yield f"ALTER TABLE {sql} ADD by_hand integer"
            yield f"COMMENT ON TABLE {sql} IS 'by hand'"
            yield f"ALTER TABLE {sql} RENAME TO by_hand"
        elif kind == "column":
            table, column = sql.rpartition(".")[0], sql.rpartition(".")[2]
            yield f"ALTER TABLE {table} DROP {column}"
            yield f"ALTER TABLE {table} RENAME {column} TO by_hand"
            yield f"ALTER TABLE {table} ALTER {column} TYPE char(77) USING NULL"
            yield f"CREATE INDEX by_hand ON {table} ({column})"
            if aspects.get("type") == "text":
                yield f"ALTER TABLE {table} ALTER {column} SET DEFAULT 'by hand'"
        elif kind in ("index", "view", "sequence"):
            yield f"DROP {kind} {sql}"
        elif kind == "constraint":
            table, own = sql.rpartition(".")[0], sql.rpartition(".")[2]
            yield f"ALTER TABLE {table} DROP CONSTRAINT {own}"
        elif kind == "function":
            yield (f"CREATE OR REPLACE FUNCTION {sql} RETURNS trigger LANGUAGE plpgsql AS "
                   "$$ BEGIN RAISE NOTICE 'by hand'; RETURN NEW; END $$")  # fmt: skip


def _wrong(
    topology: Topology,
    seen: Replay,
    knowledge: Knowledge,
    state: State,
    before: Catalog,
    live: Catalog,
    drawn: Any,
) -> Iterator[str]:
    changes = diff(before, live)
    touched = {change.object for change in changes}
    near = Kinship(seen, live).writers(touched) | Kinship(seen, before).writers(touched)
    for number, rev in enumerate(topology.revisions):
        verdict, true = drawn.verdicts[rev.id], knowledge.allowed(state, number)
        if verdict.executed in (*true, "unknowable"):
            continue
        if rev.id in near and (verdict.executed == "partly" or "partly" in true):
            continue
        own = {f"{item.kind}:{item.object}" for item in verdict.evidence}
        if verdict.executed == "no" and own <= touched:
            continue
        yield f"{rev.id} is {verdict.executed}, not {sorted(true)}: {verdict.reason}"
    tables = {table_of(c.object, c.before or c.after) for c in changes}
    for drift in drawn.drift:
        owner = table_of(
            drift.object, live.objects.get(drift.object, before.objects.get(drift.object))
        )
        if drift.aspect != "name" and drift.object not in touched and owner not in tables - {""}:
            yield f"{drift.object} {drift.aspect} is no drift: {drift.expected}, {drift.found}"
    told = {drift.object for drift in drawn.drift} | {*drawn.names.values()}
    for change in changes:
        new = change.before is None and "by_hand" in parts(split(change.object)[1])[-1]
        if (
            new
            and change.object not in told
            and f"table:{table_of(change.object, change.after)}" not in told
        ):
            yield f"{change.object} was made by hand, and goes unnoticed"
