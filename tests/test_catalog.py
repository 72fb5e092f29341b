"""The snapshot of a database's schema: complete, the same on every server, a guest that behaves."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy
from conftest import execute
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib import halves, spelling
from runbook_lib.agent.effects import respelled
from runbook_lib.catalog import (
    EMPTY,
    PREPARE_SQL,
    READING,
    RESTORE_SQL,
    SNAPSHOT_SQL,
    Catalog,
    apply_changes,
    describe,
    diff,
    parse,
    parts,
    renamed,
    snapshot,
    split,
    table_of,
    without,
)
from runbook_lib.cluster import Cluster
from runbook_lib.connection import connect
from runbook_lib.dialect import translated
from runbook_lib.dsn import Dsn
from runbook_lib.errors import UnreachableError
from runbook_lib.programs import EMBEDDED_BIN, local_binaries, run_client

CASES = Path(__file__).parent / "cases" / "ddl"
ROLES = """DO $$ BEGIN CREATE ROLE runbook_reader; CREATE ROLE "Runbook Writer";
EXCEPTION WHEN duplicate_object THEN NULL; END $$"""


@pytest.fixture
def connection(database: Dsn) -> Iterator[Any]:
    with closing(psycopg2.connect(**database.libpq())) as opened:
        opened.autocommit = True
        yield opened


def run(connection: Any, *statements: str) -> Any:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


def objects(connection: Any, *statements: str) -> dict[str, dict[str, str]]:
    run(connection, *statements)
    return {key: dict(value) for key, value in snapshot(connection).objects.items()}


def test_an_empty_database_has_its_schema_only(connection: Any) -> None:
    assert objects(connection) == {"schema:public": {}, "extension:plpgsql": {}}


def test_tables_with_columns_keys_and_indexes(connection: Any) -> None:
    found = objects(
        connection,
        """CREATE TABLE users (id serial PRIMARY KEY, email varchar(50) NOT NULL DEFAULT 'x',
            "user" text, "Group" bigint GENERATED ALWAYS AS IDENTITY);
        CREATE TABLE orders (user_id integer REFERENCES users ON DELETE CASCADE);
        CREATE UNIQUE INDEX ix ON users (lower(email)) WHERE id > 5""",
    )
    assert found["column:public.users.email"] == {
        "type": "character varying(50)",
        "nullable": "no",
        "default": "'x'::character varying",
    }
    assert found["column:public.users.user"] == {"type": "text", "nullable": "yes"}
    assert found['column:public.users."Group"']["identity"] == "always"
    assert found["column:public.users.id"]["default"] == "nextval('public.users_id_seq'::regclass)"
    assert found["sequence:public.users_id_seq"] == {
        "type": "integer",
        "owned_by": "public.users.id",
    }
    assert 'sequence:public."users_Group_seq"' not in found
    assert found["constraint:public.orders.orders_user_id_fkey"] == {
        "type": "foreign key",
        "definition": "FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE",
        "validated": "yes",
    }
    assert found["index:public.ix"] == {
        "table": "public.users",
        "unique": "yes",
        "definition": "btree (lower((email)::text)) WHERE (id > 5)",
        "valid": "yes",
    }
    assert "index:public.users_pkey" not in found


def test_what_a_partition_inherits_is_not_listed_twice(connection: Any) -> None:
    found = objects(
        connection,
        """CREATE TABLE p (id integer PRIMARY KEY, u integer REFERENCES p) PARTITION BY HASH (id);
        CREATE INDEX ON p (u);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END';
        CREATE TRIGGER tr AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f();
        CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0)""",
    )
    assert [key for key in found if "p0" in key] == ["table:public.p0"]
    assert found["table:public.p0"] == {
        "partition_of": "public.p",
        "bound": "FOR VALUES WITH (modulus 2, remainder 0)",
    }


def test_unfinished_objects_say_so(connection: Any) -> None:
    run(
        connection,
        "CREATE TABLE t (a integer)",
        "INSERT INTO t VALUES (1), (1)",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 5) NOT VALID",
    )
    with pytest.raises(psycopg2.errors.UniqueViolation):
        run(connection, "CREATE UNIQUE INDEX CONCURRENTLY ix ON t (a)")
    found = objects(connection)
    assert found["index:public.ix"]["valid"] == "no"
    assert found["constraint:public.t.c"]["validated"] == "no"
    assert found["constraint:public.t.c"]["definition"] == "CHECK ((a > 5))"


def test_grants_leave_out_the_owners_own_and_the_usual(connection: Any) -> None:
    found = objects(
        connection,
        ROLES,
        """CREATE TABLE t (a integer); GRANT SELECT, INSERT ON t TO runbook_reader;
        CREATE TABLE everything (); GRANT ALL ON everything TO "Runbook Writer";
        CREATE TABLE own (); GRANT SELECT ON own TO CURRENT_USER;
        CREATE FUNCTION usual() RETURNS integer LANGUAGE sql AS 'SELECT 1';
        GRANT EXECUTE ON FUNCTION usual() TO PUBLIC;
        CREATE FUNCTION closed() RETURNS integer LANGUAGE sql AS 'SELECT 1';
        REVOKE ALL ON FUNCTION closed() FROM PUBLIC""",
    )
    assert {key: value for key, value in found.items() if key.startswith("grant:")} == {
        "grant:table:public.t": {"runbook_reader": "INSERT, SELECT"},
        "grant:table:public.everything": {'"Runbook Writer"': "ALL"},
        "grant:function:public.closed()": {"PUBLIC": "none"},
    }


def test_definitions_spelled_here_are_spelled_as_postgresql_does(connection: Any) -> None:
    run(
        connection,
        """CREATE TYPE mood AS ENUM ('a');
        CREATE TABLE p ("Id" integer PRIMARY KEY, "user" text UNIQUE, b integer,
            UNIQUE (b) INCLUDE ("user"), u text UNIQUE NULLS NOT DISTINCT, m mood, v varchar(9),
            d integer UNIQUE DEFERRABLE, arr text[], i inet, c text COLLATE "C");
        CREATE TABLE "C" (p integer REFERENCES p, n integer REFERENCES p ON DELETE SET NULL (n),
            f integer REFERENCES p MATCH FULL, r integer REFERENCES p ON DELETE RESTRICT,
            u integer REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE, c integer REFERENCES p
            ON DELETE CASCADE, w text REFERENCES p ("user") DEFERRABLE INITIALLY DEFERRED);
        ALTER TABLE "C" ADD CONSTRAINT nv FOREIGN KEY (c) REFERENCES p NOT VALID""",
        *(f"CREATE INDEX ON p ({how})" for how in ("b", '"user"', "v", "m", "arr", "i", "b DESC")),
        *(f"CREATE INDEX ON p {how}" for how in ("(v text_pattern_ops)", '(u COLLATE "C")', "(c)")),
        "CREATE INDEX ON p (b) INCLUDE (d)",
        "CREATE INDEX ON p (b) WITH (fillfactor = 50)",
        "CREATE INDEX ON p USING hash (b)",
        "CREATE UNIQUE INDEX ON p (b) NULLS NOT DISTINCT",
        "SET search_path = pg_catalog",
    )
    found = snapshot(connection).objects
    (rows,) = run(
        connection,
        """SELECT json_object_agg(key, definition) FROM (
            SELECT 'constraint:public.' || CASE relname WHEN 'C' THEN '"C"' ELSE relname END
                || '.' || CASE WHEN conname ~ '[A-Z]' THEN quote_ident(conname) ELSE conname END,
                replace(pg_get_constraintdef(k.oid), ' NOT VALID', '')
            FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid WHERE contype <> 'n'
                AND c.oid >= 16384
            UNION ALL SELECT 'index:public.' || relname,
                regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '')
            FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = 2200
                AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid AND contype <> 'f')
        ) found (key, definition)""",
    )
    assert len(rows) == 27
    assert {key: found[key]["definition"] for key in rows} == rows


def test_columns_are_told_by_number_and_spelled_whatever_they_are_called(connection: Any) -> None:
    found = objects(
        connection,
        ROLES,
        r"""CREATE TABLE "T \""" (gone integer, "A ""b" "char" UNIQUE, c text COLLATE "C",
            d integer DEFAULT 7, p integer);
        ALTER TABLE "T \""" DROP COLUMN gone;
        ALTER TABLE "T \""" ADD FOREIGN KEY ("A ""b") REFERENCES "T \""" ("A ""b");
        CREATE INDEX ix ON "T \""" (d); CREATE INDEX iy ON "T \""" (c);
        CREATE SEQUENCE s OWNED BY "T \"""."A ""b";
        GRANT SELECT ("A ""b") ON "T \""" TO runbook_reader;
        COMMENT ON COLUMN "T \""".d IS E'a "b" \\ c'""",
    )
    table = 'public."T \\"""'
    assert [key for key in found if key.startswith("column:")] == [
        f'column:{table}."A ""b"', f"column:{table}.c", f"column:{table}.d", f"column:{table}.p"
    ]  # fmt: skip
    assert found[f'column:{table}."A ""b"'] == {"type": '"char"', "nullable": "yes"}
    assert found[f"column:{table}.c"]["collation"] == 'pg_catalog."C"'
    assert found[f"column:{table}.d"] == {
        "type": "integer", "nullable": "yes", "default": "7", "comment": 'a "b" \\ c'
    }  # fmt: skip
    assert found["index:public.ix"]["definition"] == "btree (d)"
    assert found["index:public.iy"]["definition"] == "btree (c)"
    assert found["sequence:public.s"]["owned_by"] == f'{table}."A ""b"'
    assert found[f'grant:column:{table}."A ""b"'] == {"runbook_reader": "SELECT"}
    keys = {v["definition"] for k, v in found.items() if k.startswith("constraint:")}
    assert keys == {
        'UNIQUE ("A ""b")', f'FOREIGN KEY ("A ""b") REFERENCES {table}("A ""b")'
    }  # fmt: skip


def test_the_session_and_its_transaction_are_left_as_they_were(connection: Any) -> None:
    run(
        connection, "CREATE SCHEMA other", "SET search_path = other, public", "SET timezone = 'CET'"
    )
    shown = "SELECT current_setting('search_path'), current_setting('timezone')"
    before = run(connection, shown)
    snapshot(connection)
    assert run(connection, shown) == before
    run(connection, "BEGIN", "SET LOCAL search_path = other", "CREATE TABLE t (a integer)")
    inside = snapshot(connection)
    assert "table:other.t" in inside.objects
    assert run(connection, shown) == ("other", "CET")
    run(connection, "ROLLBACK")
    assert "table:other.t" not in snapshot(connection).objects
    assert run(connection, shown) == before


def test_a_session_without_autocommit_is_left_idle_or_in_its_transaction(database: Dsn) -> None:
    with closing(psycopg2.connect(**database.libpq())) as plain:
        snapshot(plain)
        assert plain.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE
        run(plain, "CREATE TABLE t (a integer)")
        assert "table:public.t" in snapshot(plain).objects
        plain.commit()
        assert "table:public.t" in snapshot(plain).objects


def test_a_read_only_session_will_do(database: Dsn) -> None:
    options = "-c default_transaction_read_only=on"
    with closing(psycopg2.connect(**database.libpq(), options=options)) as readonly:
        assert snapshot(readonly).objects


def test_any_driver_may_send_the_text_as_it_is(database: Dsn, connection: Any) -> None:
    expected = objects(connection, "CREATE TABLE t (a integer DEFAULT 5)")
    assert not re.search(r"[%?]|:\w", SNAPSHOT_SQL + PREPARE_SQL + RESTORE_SQL)
    engine = sqlalchemy.create_engine(database.with_driver("psycopg2"))
    with engine.begin() as session:
        for send in (session.exec_driver_sql, lambda sql: session.execute(sqlalchemy.text(sql))):
            send("SET search_path = public")
            send(PREPARE_SQL)
            assert json.loads(send(SNAPSHOT_SQL).scalar_one()) == expected
            send(RESTORE_SQL)
            assert send("SHOW search_path").scalar_one() == "public"
    engine.dispose()


def test_the_version_table_is_left_out_with_everything_below_it(connection: Any) -> None:
    run(connection, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    run(connection, "COMMENT ON TABLE alembic_version IS 'x'; CREATE TABLE alembic_versions ()")
    keys = snapshot(connection, exclude=("public.alembic_version",)).objects.keys()
    assert [key for key in keys if "alembic" in key] == ["table:public.alembic_versions"]


def test_what_an_extension_brings_is_left_out(connection: Any) -> None:
    run(connection, "CREATE TABLE mine (a integer); CREATE FUNCTION f() RETURNS integer RETURN 1")
    run(
        connection,
        "ALTER EXTENSION plpgsql ADD TABLE mine; ALTER EXTENSION plpgsql ADD FUNCTION f()",
    )
    assert objects(connection) == {"schema:public": {}, "extension:plpgsql": {}}


def test_columns_and_labels_come_in_their_order(connection: Any) -> None:
    run(
        connection,
        "CREATE TABLE t (z integer, a integer DEFAULT 1, m integer NOT NULL)",
        "CREATE TYPE e AS ENUM ('z', 'm'); ALTER TYPE e ADD VALUE 'a' BEFORE 'm'",
    )
    keys = [key.rpartition(".")[2] for key in snapshot(connection).objects if key[0] in "cl"]
    assert keys in (["z", "a", "m", "z", "a", "m"],)


@pytest.fixture(scope="session")
def older() -> Iterator[Cluster]:
    """A server of another major version, where one is installed."""
    found = [place for major in range(11, 18) if (place := local_binaries(major))]
    if not found:
        pytest.skip("no other major version of PostgreSQL is installed")
    folder = Path(tempfile.mkdtemp(prefix="runbook-test-"))
    folder.chmod(0o755)  # the server may run as another system user
    cluster = Cluster.at(folder / "data", found[0])
    execute(cluster.dsn("postgres"), ROLES)
    yield cluster
    cluster.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def elsewhere(older: Cluster) -> Iterator[Dsn]:
    """A new, empty database on the other server."""
    execute(older.dsn("postgres"), "CREATE DATABASE elsewhere")
    yield older.dsn("elsewhere")
    execute(older.dsn("postgres"), "DROP DATABASE elsewhere WITH (FORCE)")


def read(dsn: Dsn) -> Catalog:
    with closing(psycopg2.connect(**dsn.libpq())) as opened:
        return snapshot(opened)


def same(one: Dsn, other: Dsn) -> bool:
    wanted = read(other)
    return diff(wanted, translated(read(one), wanted)) == ()


@pytest.mark.parametrize("name", sorted(folder.name for folder in CASES.iterdir()))
def test_two_connections_read_what_one_does(database: Dsn, name: str) -> None:
    execute(database, ROLES, (CASES / name / "after.sql").read_text("utf-8"))
    with closing(connect(database)) as one:
        both = halves.snapshot(one, lambda: connect(database), exclude=["public.missing"])
    assert both == read(database)


def test_two_connections_see_one_instant(database: Dsn) -> None:
    def late() -> Any:
        execute(database, "ALTER TABLE t ADD COLUMN late integer")
        return connect(database)

    execute(database, "CREATE TABLE t (id integer)")
    with closing(connect(database)) as one:
        assert "column:public.t.late" not in halves.snapshot(one, late).objects
        assert "column:public.t.late" in halves.snapshot(one, late_refused).objects
        assert one.info.transaction_status == 0


def late_refused() -> Any:
    raise UnreachableError("the server has no connection left", "close some")


@pytest.mark.parametrize("name", sorted(folder.name for folder in CASES.iterdir()))
def test_other_servers_spell_the_same_schema_the_same(
    elsewhere: Dsn, database: Dsn, name: str
) -> None:
    text = (CASES / name / "after.sql").read_text("utf-8")
    execute(database, ROLES, text)
    execute(elsewhere, text)
    assert same(elsewhere, database)


def test_a_view_of_one_table_is_spelled_the_same(elsewhere: Dsn, database: Dsn) -> None:
    text = """CREATE TABLE users (id integer, "group" text, users text);
        CREATE VIEW v1 AS SELECT id, "group" FROM users WHERE id > 1 AND users <> 'users.id';
        CREATE VIEW v2 AS SELECT u.id, max(u."group") AS m FROM users u GROUP BY u.id ORDER BY 2;
        CREATE VIEW v3 AS SELECT a.id FROM users a JOIN users b ON a.id = b.id;
        CREATE VIEW v4 AS SELECT -id AS n, ARRAY[id, (id)] AS a FROM users;
        CREATE VIEW v5 AS SELECT id FROM users UNION SELECT 1;
        CREATE VIEW v6 AS SELECT s.id, -s.n AS m FROM (SELECT id, id + 1 AS n FROM users) s
            WHERE s.id > 1;
        CREATE VIEW v7 AS WITH w AS (SELECT id FROM users) SELECT w.id FROM w, users;
        CREATE VIEW v8 AS SELECT s.id FROM (SELECT id FROM users) s, users u;
        CREATE VIEW v9 AS WITH w AS (SELECT id FROM users) SELECT w.id FROM w ORDER BY w.id;
        CREATE VIEW v10 AS SELECT g.x, g.x + 1 AS y FROM generate_series(1, 3) g(x);
        CREATE VIEW v11 AS SELECT u.id FROM users u WHERE EXISTS (
            SELECT 1 FROM users v WHERE v.id = u.id) AND u.users IS DISTINCT FROM 'x';
        CREATE VIEW v12 AS SELECT u AS row, 'SELECT (' AS a FROM users u FOR UPDATE"""
    execute(database, text)
    execute(elsewhere, text)
    assert same(elsewhere, database)


@pytest.mark.parametrize("name", sorted(folder.name for folder in CASES.iterdir()))
def test_a_restored_database_reads_as_the_one_that_was_dumped(
    server: Cluster, database: Dsn, tmp_path: Path, name: str
) -> None:
    execute(database, ROLES, (CASES / name / "after.sql").read_text("utf-8"))
    dump = tmp_path / "dump"
    run_client(EMBEDDED_BIN / "pg_dump", ["-Fc", "-f", str(dump)], database)
    origin = read(database)
    execute(server.dsn("postgres"), f'DROP DATABASE "{database.database}"',
            f'CREATE DATABASE "{database.database}"')  # fmt: skip
    run_client(EMBEDDED_BIN / "pg_restore", ["-d", database.database, str(dump)], database)
    assert diff(origin, read(database)) == ()


def test_the_agent_spells_a_catalog_as_the_library_does(database: Dsn) -> None:
    execute(database, ROLES, (CASES / "lists" / "after.sql").read_text("utf-8"))
    with closing(psycopg2.connect(**database.libpq())) as opened, opened.cursor() as cursor:
        cursor.execute(f"{PREPARE_SQL}; {SNAPSHOT_SQL}")
        (text,) = cursor.fetchone()
    assert spelling.canonical(text) != text
    assert respelled(text, READING["spelling"]) == spelling.canonical(text)
    assert spelling.canonical(spelling.canonical(text)) == spelling.canonical(text)


CHANGES = st.dictionaries(
    st.sampled_from(["table:public.a", "column:public.a.b", "index:public.c", "schema:public"]),
    st.dictionaries(st.sampled_from(["type", "default"]), st.text(max_size=3), max_size=2),
)


@given(CHANGES, CHANGES)
def test_changes_lead_from_one_catalog_to_the_other(one: Any, two: Any) -> None:
    before, after = Catalog(objects=one), Catalog(objects=two)
    changes = diff(before, after)
    assert apply_changes(before, changes) == after
    assert [change.object for change in changes] == sorted(change.object for change in changes)
    assert (changes == ()) == (before == after)


def test_a_catalog_survives_its_json() -> None:
    catalog = Catalog(objects={"column:public.t.a": {"type": "integer"}, "schema:public": {}})
    assert Catalog.from_json(json.loads(json.dumps(catalog.to_json()))) == catalog
    assert parse('{"schema:public": {}}').objects == {"schema:public": {}}


def test_another_name_alone_is_recognised(connection: Any) -> None:
    run(connection, "CREATE TABLE t (a integer, b integer, CONSTRAINT one UNIQUE (a))")
    run(connection, "CREATE INDEX i1 ON t (b); CREATE INDEX stays ON t (a)")
    before = snapshot(connection)
    run(connection, "ALTER TABLE t RENAME CONSTRAINT one TO two; ALTER INDEX i1 RENAME TO i2")
    run(connection, "DROP INDEX stays; CREATE INDEX other ON t (a, b)")
    assert sorted(renamed(diff(before, snapshot(connection)))) == [
        ("constraint:public.t.one", "constraint:public.t.two"),
        ("index:public.i1", "index:public.i2"),
    ]


@pytest.mark.parametrize(
    ("key", "kind", "name", "table"),
    [
        ("table:public.users", "table", "public.users", "public.users"),
        ("column:public.users.email", "column", "public.users.email", "public.users"),
        ('column:"a.b"."C ""d""".e', "column", '"a.b"."C ""d""".e', '"a.b"."C ""d"""'),
        ("constraint:s.t.k", "constraint", "s.t.k", "s.t"),
        ("index:public.ix", "index", "public.ix", ""),
        ("grant:column:public.t.c", "grant", "column:public.t.c", "public.t"),
        ("function:s.f(a.b, integer)", "function", "s.f(a.b, integer)", ""),
        ("label:public.mood.happy", "label", "public.mood.happy", ""),
    ],
)
def test_keys_tell_kind_name_and_table(key: str, kind: str, name: str, table: str) -> None:
    assert split(key) == (kind, name)
    assert table_of(key) == table


def test_parts_of_a_name() -> None:
    assert parts('"a.b".c."d""e"') == ('"a.b"', "c", '"d""e"')
    assert parts("s.f(a.b, integer)") == ("s", "f(a.b, integer)")


def test_patterns_take_a_table_with_all_that_is_part_of_it(connection: Any) -> None:
    run(connection, "CREATE TABLE t (a serial PRIMARY KEY, b integer); CREATE INDEX ix ON t (b)")
    run(connection, "CREATE TABLE tt (a integer)")
    kept = without(snapshot(connection), ["table:public.t", "extension:*"]).objects
    assert sorted(kept) == ["column:public.tt.a", "schema:public", "table:public.tt"]
    held = Catalog(
        objects={"grant:table:s.t": {"a": "ALL", "b": "SELECT"}, "grant:table:s.u": {"b": "ALL"}}
    )
    assert without(held, ["grant:* to b"]).objects == {"grant:table:s.t": {"a": "ALL"}}
    assert without(held, ["grant:table:s.t to *"]).objects == {"grant:table:s.u": {"b": "ALL"}}
    assert without(EMPTY, ["*"]) == EMPTY


@pytest.mark.parametrize(
    ("key", "aspects", "text"),
    [
        (
            "column:public.t.a",
            {"type": "character varying(50)", "nullable": "no", "default": "'x'", "comment": "c's"},
            "character varying(50), not null, default 'x', comment 'c''s'",
        ),
        ("column:public.t.a", {"type": "text", "nullable": "yes"}, "text"),
        (
            "index:public.i",
            {"table": "public.t", "unique": "yes", "definition": "btree (a, b)", "valid": "no"},
            "UNIQUE btree (a, b) (INVALID)",
        ),
        (
            "constraint:public.t.k",
            {"type": "check", "definition": "CHECK ((a > 1))", "validated": "no"},
            "CHECK ((a > 1)) NOT VALID",
        ),
        ("table:public.t", {}, "table"),
        ("table:public.t", {"comment": "c"}, "table, comment 'c'"),
        ("type:public.e", {"kind": "enum"}, "enum"),
        (
            "sequence:public.s",
            {"type": "integer", "owned_by": "public.t.a"},
            "type integer, owned by public.t.a",
        ),
        ("grant:table:public.t", {"app": "ALL"}, "app ALL"),
    ],
)
def test_descriptions_fit_on_one_line(key: str, aspects: dict[str, str], text: str) -> None:
    assert describe(key, aspects) == text
