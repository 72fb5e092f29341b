"""Living: an invented tree as a real project with a real database, in a state known beforehand."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from faults.trees import Rev
from faults.worlds import Workshop, World, connected, load

from fuzz.growing import invent
from fuzz.supposing import NO, YES, Knowledge, State, know, suppose
from runbook_lib.graph import SourceTree, ancestors
from runbook_lib.revisions import parse_tree
from runbook_lib.versions import exact_rows

VALUES = {
    "integer": "{n}", "bigint": "{n}", "numeric": "{n}.25", "boolean": "true", "jsonb": "'{{}}'",
    "date": "'2024-03-0{n}'", "timestamp with time zone": "'2024-03-0{n} 10:00+00'",
    "ARRAY": "ARRAY['ä', 'b{n}']", "text": "'größe {n}'", "character varying": "'v{n}'",
}  # fmt: skip


@dataclass(kw_only=True)
class Life:
    """A world, how much of each of its revisions really ran, and what can be known of it.

    ``order`` is the order in which Alembic runs the revisions; ``hand`` says what was changed
    by hand; ``kind`` how the version rows were made.
    """

    world: World
    order: tuple[Rev, ...]
    state: State
    knowledge: Knowledge
    kind: str
    rows: tuple[str | None, ...]
    hand: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[Rev, ...]:
        return tuple(r for r, how in zip(self.order, self.state, strict=True) if how != YES)

    def __str__(self) -> str:
        ran = [f"{rev.id}:{how}" for rev, how in zip(self.order, self.state, strict=True)]
        return f"{self.world.topology.name} ran {ran} rows {self.kind} {self.rows} {self.hand}"


@contextlib.contextmanager
def scratch(workshop: Workshop) -> Iterator[Any]:
    """A connection to an empty database, in one transaction that leads nowhere."""
    with workshop.empty() as dsn:
        connection = psycopg2.connect(**dsn.libpq())
        try:
            yield connection
        finally:
            connection.close()


def live(workshop: Workshop, seed: int, *, longest: int = 6, hand: bool = False) -> Life | None:
    """Return the life of a seed; None when the tree does not run from empty in Alembic's order."""
    choose = random.Random(seed * 7 + 1)
    with scratch(workshop) as connection, connection.cursor() as cursor:
        topology = invent(seed, cursor, longest=longest)
    world = workshop.world(topology, at=())
    order = in_order(world)
    with scratch(workshop) as connection:
        knowledge = know(order, list(suppose(connection, order)))
    if tuple(YES for _ in order) not in knowledge.digest:
        workshop.drop(world)
        return None
    state = execute(world, order, choose)
    done = by_hand(world, choose) if hand else ()
    kind, rows = record(world, order, state, choose)
    return Life(
        world=world, order=order, state=state, knowledge=knowledge, kind=kind, rows=rows, hand=done
    )


def in_order(world: World) -> tuple[Rev, ...]:
    """Return the revisions in the order in which Alembic's upgrade runs them."""
    script = load(world.project)
    steps = script._upgrade_revs("heads", None)  # type: ignore[arg-type]
    by_id = {rev.id: rev for rev in world.topology.revisions}
    return tuple(by_id[step.revision.revision] for step in steps)


def execute(world: World, order: Sequence[Rev], choose: random.Random) -> State:
    """Run some of the revisions, with rows between them; return what really ran."""
    until = choose.randint(1, len(order)) if choose.random() < 0.6 else len(order)
    holes = choose.choice((0.0, 0.0, 0.15, 0.4))
    state = []
    for number, rev in enumerate(order):
        wanted = number < until and choose.random() >= holes
        state.append(_execute(world, rev, choose) if wanted else NO)
        fill(world, choose)
    return tuple(state)


def _execute(world: World, rev: Rev, choose: random.Random) -> int:
    rest = (";\n".join(rev.outside),) if rev.commits else rev.outside
    number = len(rest)
    wanted = choose.randrange(number) if number and choose.random() < 0.4 else number
    connection = psycopg2.connect(**world.dsn.libpq())
    try:
        with connection, connection.cursor() as cursor:
            for statement in rev.up:
                cursor.execute(statement)
    except psycopg2.Error:
        return NO
    finally:
        connection.close()
    done = 0
    with connected(world.dsn) as cursor, contextlib.suppress(psycopg2.Error):
        for statement in rest[:wanted]:
            cursor.execute(statement)
            done += 1
    cleanup_invalid(world)
    return YES if done == number else done + 1 if rev.up or done else NO


def cleanup_invalid(world: World) -> None:
    """A failed CONCURRENTLY leaves an invalid index: another test's matter."""
    with connected(world.dsn) as cursor:
        cursor.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid "
                       "AND indexrelid NOT IN (SELECT inhparent FROM pg_inherits)")  # fmt: skip
        for (name,) in cursor.fetchall():
            with contextlib.suppress(psycopg2.Error):
                cursor.execute(f"DROP INDEX {name}")


def fill(world: World, choose: random.Random) -> None:
    """Put a few rows into every table that takes them; NULLs, foreign keys and umlauts too."""
    with connected(world.dsn) as cursor:
        cursor.execute(
            "SELECT format('%I.%I', table_schema, table_name), array_agg(ARRAY[quote_ident("
            "column_name::text), data_type::text] ORDER BY ordinal_position) FROM "
            "information_schema.columns JOIN information_schema.tables USING (table_schema, "
            "table_name) WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', "
            "'information_schema') AND table_name <> 'alembic_version' AND is_generated = 'NEVER' "
            "AND identity_generation IS DISTINCT FROM 'ALWAYS' GROUP BY 1"
        )
        for table, columns in cursor.fetchall():
            if choose.random() < 0.5:
                continue
            for _ in range(choose.randint(1, 2)):
                _insert(cursor, table, columns, choose)


def _insert(cursor: Any, table: str, columns: list[list[str]], choose: random.Random) -> None:
    values = {}
    for name, kind in columns:
        if name == "id" or (kind in VALUES and choose.random() < 0.75):
            values[name] = VALUES.get(kind, "NULL").format(n=choose.randint(1, 9))
    names, given = ", ".join(values), ", ".join(values.values())
    text = f"({names}) VALUES ({given})" if values else "DEFAULT VALUES"
    with contextlib.suppress(psycopg2.Error):
        cursor.execute(f"INSERT INTO {table} {text}")


# --- by hand --------------------------------------------------------------------------------


def by_hand(world: World, choose: random.Random) -> tuple[str, ...]:
    """Change a thing or two as a person at a prompt would; return what was done."""
    tables = _tables(world)
    table = choose.choice(tables) if tables else ""
    ideas = ["CREATE TABLE by_hand (id int, note text)"]
    if table:
        ideas.append(f"ALTER TABLE {table} ADD COLUMN by_hand text")
        ideas.append(f"CREATE INDEX hand_made ON {table} (id)")
    done = []
    for idea in choose.sample(ideas, 1):
        with contextlib.suppress(psycopg2.Error):
            world.sql(idea)
            done.append(idea)
    return tuple(done)


def _tables(world: World) -> list[str]:
    with connected(world.dsn) as cursor:
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname "
            "NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
        return [row[0] for row in cursor.fetchall() if row[0] != "public.alembic_version"]


# --- version rows ---------------------------------------------------------------------------


def record(
    world: World, order: Sequence[Rev], state: State, choose: random.Random
) -> tuple[str, tuple[str | None, ...]]:
    """Write version rows: true ones or false ones; return of which kind, and the rows."""
    files = {rev.file: rev.text() for rev in order}
    graph = parse_tree(SourceTree(files=files, locations=("migrations/versions",)))
    ran = [rev.id for rev, how in zip(order, state, strict=True) if how == YES]
    true = exact_rows(graph, ran)
    heads = exact_rows(graph, [rev.id for rev in order])
    any_one = choose.choice(order).id
    above = tuple(sorted(ancestors(graph, [any_one])))
    kinds: Mapping[str, tuple[str | None, ...] | None] = {
        "true": true, "heads": heads, "one": (any_one,), "empty": (), "missing": None,
        "unlocated": ("0f0f0f0f0f0f",), "beside": (*true, "0f0f0f0f0f0f"),
        "line": above, "twice": (*true, *true), "null": (*true, None),
    }  # fmt: skip
    kind = choose.choices(list(kinds), (4, 3, 2, 1, 1, 0.5, 0.5, 0.7, 0.5, 0.5))[0]
    rows = kinds[kind]
    if rows is None:
        return kind, ()
    key = (
        ""
        if kind in ("twice", "null")
        else ", CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)"
    )
    null = "" if kind == "null" else " NOT NULL"
    world.sql(f"CREATE TABLE alembic_version (version_num VARCHAR(32){null}{key})")
    world.record(*rows)
    return kind, rows
