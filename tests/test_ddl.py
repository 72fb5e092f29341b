"""Corrective DDL: carried out, it leads from one schema to the other; undone, it leads back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy
from conftest import execute

from runbook_lib import steps
from runbook_lib.catalog import EMPTY, PREPARE_SQL, Catalog, diff, snapshot
from runbook_lib.ddl import Statement, create_statements, guarded
from runbook_lib.dsn import Dsn
from runbook_lib.postgres import EmbeddedServer
from runbook_lib.programs import EMBEDDED_BIN, run_client

CASES = Path(__file__).parent / "cases" / "ddl"
NAMES = sorted(folder.name for folder in CASES.iterdir())
ROLES = """DO $$ BEGIN CREATE ROLE runbook_reader; CREATE ROLE "Runbook Writer";
EXCEPTION WHEN duplicate_object THEN NULL; END $$"""


@pytest.fixture
def pair(server: EmbeddedServer, database: Dsn) -> Iterator[tuple[Dsn, Dsn]]:
    """Two empty databases: the one to change, and the one that it shall become equal to."""
    other = database.with_database(f"{database.database}_after")
    execute(server.dsn("postgres"), ROLES, f'CREATE DATABASE "{other.database}"')
    yield database, other
    execute(server.dsn("postgres"), f'DROP DATABASE "{other.database}" WITH (FORCE)')


@contextmanager
def session(dsn: Dsn) -> Iterator[Any]:
    with closing(psycopg2.connect(**dsn.libpq())) as connection:
        connection.autocommit = True
        yield connection


def read(dsn: Dsn) -> Catalog:
    with session(dsn) as connection:
        return snapshot(connection)


def needed(dsn: Dsn, statements: tuple[Statement, ...]) -> list[str]:
    """Return the statements whose guard is still true."""
    with session(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(f"BEGIN; {PREPARE_SQL}")
        found = []
        for statement in statements:
            cursor.execute(f"SELECT {statement.guard}")
            if cursor.fetchone()[0]:
                found.append(f"{statement.sql} -- {statement.guard}")
        return found


def run(dsn: Dsn, texts: list[str]) -> None:
    with session(dsn) as connection, connection.cursor() as cursor:
        for text in texts:
            try:
                cursor.execute("SET search_path = pg_catalog; SET check_function_bodies = off")
                cursor.execute(text)
            except psycopg2.Error as error:
                raise AssertionError(f"{error}\n{text}") from error


def load(pair: tuple[Dsn, Dsn], name: str) -> tuple[Catalog, Catalog]:
    """Load a case's two schemas; return their catalogs."""
    for dsn, file in zip(pair, ("before.sql", "after.sql"), strict=True):
        text = (CASES / name / file).read_text("utf-8")
        if text.strip():
            execute(dsn, text)
    return read(pair[0]), read(pair[1])


def unlike(found: Catalog, wanted: Catalog) -> list[str]:
    """Return what differs, as texts that a failed test can show."""
    return [f"{one.object}: {one.before} -> {one.after}" for one in diff(found, wanted)]


@pytest.mark.parametrize("name", NAMES)
def test_statements_lead_there_and_back(pair: tuple[Dsn, Dsn], name: str) -> None:
    before, after = load(pair, name)
    statements = create_statements(diff(before, after), before, after)
    run(pair[0], [statement.sql for statement in statements])
    assert unlike(read(pair[0]), after) == []
    assert needed(pair[0], statements) == []
    assert (
        needed(pair[1], statements) == []
    )  # nor where a migration made it, not a statement of ours
    run(pair[0], [statement.reverse for statement in reversed(statements) if statement.reverse])
    assert unlike(read(pair[0]), before) == []


@pytest.mark.parametrize("name", NAMES)
def test_statements_lead_the_other_way_too(pair: tuple[Dsn, Dsn], name: str) -> None:
    after, before = load(pair, name)
    statements = create_statements(diff(before, after), before, after)
    run(pair[1], [statement.sql for statement in statements])
    assert unlike(read(pair[1]), after) == []
    assert needed(pair[1], statements) == []
    run(pair[1], [statement.reverse for statement in reversed(statements) if statement.reverse])
    assert unlike(read(pair[1]), before) == []


@pytest.mark.parametrize(
    ("name", "how"),
    [(name, "exec_driver_sql") for name in NAMES]
    + [(name, "text") for name in ("functions", "indexes", "table", "types")],
)
def test_guarded_blocks_survive_any_driver_and_a_second_run(
    pair: tuple[Dsn, Dsn], name: str, how: str
) -> None:
    before, after = load(pair, name)
    statements = create_statements(diff(before, after), before, after)
    engine = sqlalchemy.create_engine(pair[0].with_driver("psycopg2"))
    for _ in range(2):
        with engine.begin() as connection:
            for statement in statements:
                if how == "text":
                    connection.execute(sqlalchemy.text(guarded(statement)))
                else:
                    connection.exec_driver_sql(guarded(statement))
    engine.dispose()
    assert unlike(read(pair[0]), after) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_dump_is_spelled_the_same(pair: tuple[Dsn, Dsn], name: str) -> None:
    """What a clone is compared by: PostgreSQL spells some definitions anew when it reads them."""
    execute(pair[0], (CASES / name / "after.sql").read_text("utf-8"))
    dump = run_client(EMBEDDED_BIN / "pg_dump", [], pair[0]).stdout
    run_client(EMBEDDED_BIN / "psql", ["-q", "-X", "-v", "ON_ERROR_STOP=1"], pair[1], input=dump)
    assert unlike(read(pair[1]), read(pair[0])) == []


def test_guards_are_true_before(pair: tuple[Dsn, Dsn]) -> None:
    before, after = load(pair, "table")
    statements = create_statements(diff(before, after), before, after)
    assert len(needed(pair[0], statements)) == len(statements)


def test_only_the_given_changes_are_carried_out(pair: tuple[Dsn, Dsn]) -> None:
    before, after = load(pair, "constraints")
    changes = tuple(
        one for one in diff(before, after) if one.object == "constraint:public.p.p_pkey"
    )
    (statement,) = create_statements(changes, before, after)
    assert statement.sql == "ALTER TABLE public.p ADD CONSTRAINT p_pkey PRIMARY KEY (id)"
    assert statement.reverse == "ALTER TABLE public.p DROP CONSTRAINT p_pkey"
    assert statement.lock == "ACCESS EXCLUSIVE on public.p"


def test_a_value_is_added_to_an_enum_in_its_place(pair: tuple[Dsn, Dsn]) -> None:
    execute(pair[0], "CREATE TYPE e AS ENUM ('b', 'd')")
    execute(pair[1], "CREATE TYPE e AS ENUM ('b', 'c', 'd', 'a')")
    before, after = read(pair[0]), read(pair[1])
    statements = create_statements(diff(before, after), before, after)
    assert [one.transactional for one in statements] == [False, False]
    run(pair[0], [one.sql for one in statements])
    with session(pair[0]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT enum_range(NULL::e)::text")
        assert cursor.fetchone() == ("{b,c,d,a}",)


def test_what_would_lose_data_or_needs_an_empty_table_says_so(pair: tuple[Dsn, Dsn]) -> None:
    execute(pair[0], "CREATE TABLE t (a bigint, b varchar(9), c text)", "CREATE TABLE gone ()")
    execute(pair[1], "CREATE TABLE t (a integer, b varchar(10), d text NOT NULL)")
    before, after = read(pair[0]), read(pair[1])
    statements = create_statements(diff(before, after), before, after)
    said = {one.object: (one.destructive, one.needs_empty) for one in statements}
    assert said == {
        "column:public.t.a": (True, False),
        "column:public.t.b": (False, False),
        "column:public.t.c": (True, False),
        "column:public.t.d": (False, True),
        "table:public.gone": (True, False),
    }


def test_an_invalid_index_is_built_anew(pair: tuple[Dsn, Dsn]) -> None:
    execute(pair[0], "CREATE TABLE t (a integer)", "INSERT INTO t VALUES (1), (1)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        execute(pair[0], "CREATE UNIQUE INDEX CONCURRENTLY ix ON t (a)")
    execute(pair[0], "DELETE FROM t")
    execute(pair[1], "CREATE TABLE t (a integer)", "CREATE UNIQUE INDEX ix ON t (a)")
    before, after = read(pair[0]), read(pair[1])
    statements = create_statements(diff(before, after), before, after)
    assert len(needed(pair[0], statements)) == 1
    run(pair[0], [one.sql for one in statements])
    assert unlike(read(pair[0]), after) == []
    assert needed(pair[0], statements) == []


def test_rows_that_row_level_security_hides_forbid_a_drop(pair: tuple[Dsn, Dsn]) -> None:
    execute(
        pair[0],
        "CREATE TABLE t (a integer)",
        "INSERT INTO t VALUES (1)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE t FORCE ROW LEVEL SECURITY",
        "ALTER TABLE t OWNER TO runbook_reader",
    )
    before = read(pair[0])
    drops = create_statements(diff(before, EMPTY), before, EMPTY)
    with session(pair[0]) as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE runbook_reader; SELECT count(*) FROM t")
        assert cursor.fetchone() == (0,)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="row-level security"):
            cursor.execute(";\n".join(steps.drop_empty(drops).sql))


def test_nothing_to_change_gives_no_statement() -> None:
    assert create_statements((), EMPTY, EMPTY) == ()


def test_an_identity_goes_on_behind_the_rows_that_are_there(pair: tuple[Dsn, Dsn]) -> None:
    """Lost, it is made again; of the other kind, its sequence stays."""
    before, after = pair
    execute(after, 'CREATE TABLE "T" (id int GENERATED ALWAYS AS IDENTITY, n int)')
    execute(before, 'CREATE TABLE "T" (id int NOT NULL, n int)', 'INSERT INTO "T" VALUES (1), (41)')
    _become(before, read(after))
    execute(before, 'INSERT INTO "T" (n) VALUES (1)')
    execute(after, 'ALTER TABLE "T" ALTER id SET GENERATED BY DEFAULT')
    _become(before, read(after))
    execute(before, 'INSERT INTO "T" (n) VALUES (1)')
    with session(before) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT array_agg(id ORDER BY id) FROM "T"')
        assert cursor.fetchone()[0] == [1, 41, 42, 43]


def _become(dsn: Dsn, wanted: Catalog) -> None:
    found = read(dsn)
    statements = create_statements(diff(found, wanted), found, wanted)
    execute(dsn, *(guarded(statement) for statement in statements))
    assert diff(read(dsn), wanted) == ()
