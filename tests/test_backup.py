"""Backups, their proof, and the way back, on real databases."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from conftest import execute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbook_lib.artifacts import file_digest
from runbook_lib.backup import (
    Backup,
    make_backup,
    require_space,
    restore,
    restore_over,
)
from runbook_lib.catalog import Catalog, diff, snapshot
from runbook_lib.cluster import Cluster
from runbook_lib.dsn import Dsn
from runbook_lib.errors import GateError
from runbook_lib.fingerprints import TableFingerprint, fingerprints
from runbook_lib.postgres import EmbeddedServer, Scratch, connect, fetch
from runbook_lib.programs import local_binaries
from runbook_lib.survival import compare_rows

RICH = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE point3 AS (x int, y int, z float8);
CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE TYPE span AS RANGE (subtype = numeric);
CREATE TABLE users (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE,
    feeling mood, at point3, tags text[], doc jsonb, raw bytea, seen timestamptz,
    took interval, ratio float8, price money, age positive,
    twice int GENERATED ALWAYS AS (age * 2) STORED);
INSERT INTO users (name, feeling, at, tags, doc, raw, seen, took, ratio, price, age)
SELECT 'user ' || g, 'happy', ROW(g, g, (g / 3.0)::float8)::point3, ARRAY['a', NULL, g::text],
    jsonb_build_object('n', g), decode(lpad(to_hex(g), 8, '0'), 'hex'),
    '2024-02-29 12:00+03'::timestamptz + g * '1 h'::interval,
    g * '1 day 1 sec'::interval, g / 7.0, g, g
FROM generate_series(1, 200) g;
CREATE TABLE "Odd ""one"" name" ("select" int, "Mixed Case" text);
INSERT INTO "Odd ""one"" name" VALUES (1, NULL), (NULL, ''), (NULL, NULL);
CREATE TABLE events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO events VALUES ('2024-05-05', 'x');
CREATE TABLE parent (i int); CREATE TABLE child (j int) INHERITS (parent);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3);
CREATE UNLOGGED TABLE cache (k text); INSERT INTO cache VALUES ('v');
CREATE SEQUENCE ticket START 100 INCREMENT -5 MINVALUE -1000 MAXVALUE 100;
SELECT nextval('ticket'), nextval('ticket');
CREATE MATERIALIZED VIEW summary AS SELECT count(*) AS n FROM users;
CREATE MATERIALIZED VIEW later AS SELECT 1 AS one WITH NO DATA;
CREATE VIEW adults AS SELECT * FROM users WHERE age > 17;
CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE PROCEDURE noop() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION bump();
CREATE STATISTICS stat (dependencies) ON name, age FROM users;
CREATE EXTENSION hstore;
CREATE SCHEMA trade; CREATE EXTENSION citext SCHEMA trade;
CREATE TABLE trade.trades (id serial PRIMARY KEY, user_id int REFERENCES users, note trade.citext,
    more hstore);
INSERT INTO trade.trades (user_id, note, more) VALUES (1, 'Buy', 'a=>1'), (2, 'SELL', NULL);
ALTER TABLE trade.trades ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON trade.trades TO rich_app USING (user_id = 1);
ALTER TABLE users OWNER TO rich_owner;
GRANT SELECT, INSERT ON users TO rich_app WITH GRANT OPTION;
GRANT USAGE ON SCHEMA trade TO rich_app;
ALTER DEFAULT PRIVILEGES FOR ROLE rich_owner GRANT SELECT ON TABLES TO rich_app;
COMMENT ON TABLE users IS 'who';
SELECT lo_from_bytea(0, 'large object'::bytea);
CREATE PUBLICATION pub FOR TABLE users;
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('a1'), ('b2');
"""
STATE = {"current": "a1\nb2", "history": "a1 -> b2 (head)", "heads": "b2 (head)"}

DISOWN = """
DO $$ DECLARE r record; BEGIN
    FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'rich\\_%' LOOP
        EXECUTE format('DROP OWNED BY %I CASCADE', r.rolname);
    END LOOP; END $$
"""


@pytest.fixture
def roles(server: EmbeddedServer) -> Iterator[None]:
    """Roles that only the target has when its database is dumped."""
    execute(server.dsn("postgres"), "CREATE ROLE rich_owner", "CREATE ROLE rich_app LOGIN")
    yield
    place = Scratch(server.dsn("postgres"))
    for (name,) in _databases(place):
        if name.startswith("runbook_"):
            place.drop(place.dsn(name))
    execute(server.dsn("postgres"), "DROP ROLE IF EXISTS rich_app", "DROP ROLE rich_owner")


@pytest.fixture
def rich(roles: None, database: Dsn) -> Iterator[Dsn]:
    """A database with some of everything."""
    execute(database, RICH)
    yield database
    execute(database, "DROP SCHEMA IF EXISTS public, trade CASCADE", DISOWN)


def backup(dsn: Dsn, folder: Path, scratch: Scratch, **given: object) -> Backup:
    arguments = {
        "project_state": STATE,
        "rows": ("a1", "b2"),
        "version_table": "public.alembic_version",
        **given,
    }
    return make_backup(dsn, folder, scratch, **arguments)  # type: ignore[arg-type]


def dump_of(made: Backup, folder: Path) -> Path:
    return folder / made.files[0].path


def state_of(dsn: Dsn) -> tuple[Catalog, tuple[TableFingerprint, ...]]:
    connection = connect(dsn)
    try:
        return snapshot(connection), fingerprints(connection)
    finally:
        connection.close()


class TestBackup:
    def test_a_rich_database_is_backed_up_and_proven(
        self, rich: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        told: list[str] = []
        made = backup(rich, tmp_path, scratch, progress=told.append)
        assert made.differences == ()
        assert made.unequal_tables == ()
        assert made.verified
        assert [item.kind for item in made.files] == ["full", "schema", "migration-state"]
        for item in made.files:
            path = tmp_path / item.path
            assert path.parent == tmp_path / "backup"
            assert (item.size, item.sha256) == (path.stat().st_size, file_digest(path))
            assert path.stat().st_mode & 0o077 == 0
        assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == sorted(
            Path(item.path).name for item in made.files
        )
        assert "CREATE TABLE public.users" in (tmp_path / made.files[1].path).read_text()
        assert json.loads((tmp_path / made.files[2].path).read_text()) == {
            **STATE, "rows": ["a1", "b2"], "version_table": "public.alembic_version",
        }  # fmt: skip
        assert Backup.from_json(made.to_json()) == made
        assert told[0] == "Fingerprinting every table"
        assert told[-1] == "Restored and compared"

        clone = connect(scratch.dsn(made.clone))
        ((blob,),) = fetch(clone, "SELECT lo_get(oid) FROM pg_largeobject_metadata")
        clone.close()
        assert bytes(blob) == b"large object"

    def test_every_kind_of_table_is_fingerprinted(self, rich: Dsn) -> None:
        found = {item.table: item.rows for item in state_of(rich)[1]}
        assert found == {
            "public.users": 200, 'public."Odd ""one"" name"': 3, "public.events_2024": 1,
            "public.parent": 1, "public.child": 1, "public.cache": 1, "trade.trades": 2,
            "public.alembic_version": 2, "materialized_view public.summary": 1,
            "materialized_view public.later": 0, "sequence public.ticket": 1,
            "sequence public.users_id_seq": 1, "sequence trade.trades_id_seq": 1,
        }  # fmt: skip

    def test_a_stale_materialized_view_is_no_loss(
        self, rich: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        execute(rich, "DELETE FROM trade.trades", "DELETE FROM users WHERE id > 100")
        made = backup(rich, tmp_path, scratch)
        assert made.verified

    def test_the_target_may_lack_the_schema_public(
        self, database: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        execute(database, "DROP SCHEMA public", "CREATE SCHEMA app", "CREATE TABLE app.t (i int)")
        made = backup(database, tmp_path, scratch, rows=None)
        assert made.verified
        assert json.loads((tmp_path / made.files[2].path).read_text())["rows"] is None
        scratch.drop(scratch.dsn(made.clone))

    def test_a_clone_that_is_not_equal_is_not_verified(
        self, database: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        """A value that is computed anew while restoring, by a function that lies of itself."""
        execute(
            database,
            "CREATE FUNCTION here() RETURNS text IMMUTABLE LANGUAGE sql AS"
            " 'SELECT current_database()::text'",
            "CREATE TABLE t (i int, place text GENERATED ALWAYS AS (here()) STORED)",
            "CREATE TABLE u (i int)",
            "INSERT INTO t VALUES (1)",
        )
        made = backup(database, tmp_path, scratch)
        assert made.differences == ()
        assert made.unequal_tables == ("public.t",)
        assert not made.verified
        scratch.drop(scratch.dsn(made.clone))

    def test_dump_and_proof_are_of_one_instant_while_others_write(
        self, database: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        execute(
            database,
            "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)",
            "INSERT INTO accounts SELECT g, 100 FROM generate_series(1, 2000) g",
            "CREATE TABLE log (id serial PRIMARY KEY, line text)",
            "CREATE TABLE filler AS SELECT g, md5(g::text) FROM generate_series(1, 100000) g",
        )
        stop, written = threading.Event(), []
        writer = threading.Thread(target=_write, args=(database, stop, written))
        writer.start()
        try:
            made = backup(database, tmp_path, scratch)
        finally:
            stop.set()
            writer.join()
        assert len(written) > 20
        assert made.verified
        connection = connect(scratch.dsn(made.clone))
        assert fetch(connection, "SELECT sum(balance) FROM accounts") == [(200_000,)]
        connection.close()
        later = connect(database)
        changed = {p.table for p in compare_rows(made.fingerprints, later) if not p.equal}
        later.close()
        assert changed == {"public.accounts", "public.log"}
        scratch.drop(scratch.dsn(made.clone))

    def test_rows_that_are_hidden_from_the_user_stop_it_and_leave_no_file(
        self, rich: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        execute(rich, "GRANT SELECT ON ALL TABLES IN SCHEMA public, trade TO rich_app")
        execute(rich, "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, trade TO rich_app")
        dsn = Dsn(rich.url.set(username="rich_app"))
        with pytest.raises(GateError, match=r"trade\.trades .*row-level security"):
            backup(dsn, tmp_path, scratch)
        assert not list(tmp_path.rglob("*.*"))

    def test_a_table_that_may_not_be_read_is_named(
        self, rich: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        dsn = Dsn(rich.url.set(username="rich_app"))
        with pytest.raises(GateError, match=r"may not read .*GRANT SELECT ON public") as caught:
            backup(dsn, tmp_path, scratch)
        assert 'GRANT USAGE ON SCHEMA public TO "rich_app"' in str(caught.value)

    def test_a_failing_dump_leaves_no_file_and_no_clone(
        self, rich: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        """A large object that the user may not read comes up when the dump is half written."""
        execute(rich, "ALTER ROLE rich_app BYPASSRLS", "GRANT USAGE ON SCHEMA trade TO rich_app")
        for schema in ("public", "trade"):
            for kind in ("TABLES", "SEQUENCES"):
                execute(rich, f"GRANT SELECT ON ALL {kind} IN SCHEMA {schema} TO rich_app")
        with pytest.raises(GateError, match=r"pg_dump failed.*large object"):
            backup(Dsn(rich.url.set(username="rich_app")), tmp_path, scratch)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not [name for (name,) in _databases(scratch) if "_clone_" in name]

    def test_a_full_disk_is_said_before_anything_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(GateError, match=r"needs up to 1,000,000\.0 TB .* are free"):
            require_space(tmp_path, 10**18)

    @pytest.mark.skipif(local_binaries(15) is None, reason="needs postgresql-15 installed")
    def test_an_older_server_is_proven_on_the_newer_and_restored_to_the_older(
        self, roles: None, scratch: Scratch, tmp_path: Path
    ) -> None:
        binaries = local_binaries(15)
        assert binaries is not None
        cluster = Cluster.at(tmp_path / "fifteen", binaries)
        dsn = cluster.dsn("wallet")
        try:
            execute(cluster.dsn("postgres"), "CREATE DATABASE wallet", "CREATE ROLE rich_owner",
                    "CREATE ROLE rich_app")  # fmt: skip
            execute(dsn, RICH)
            made = backup(dsn, tmp_path, scratch)
            assert made.verified, (made.differences, made.unequal_tables)
            before = state_of(dsn)
            execute(dsn, "DROP TABLE users CASCADE", "CREATE TABLE extra (i int)")
            restore_over(dump_of(made, tmp_path), dsn)
            assert diff(before[0], state_of(dsn)[0]) == ()
        finally:
            cluster.destroy()


def _databases(scratch: Scratch) -> list[tuple[str]]:
    connection = connect(scratch.admin)
    try:
        return fetch(connection, "SELECT datname FROM pg_database")  # type: ignore[return-value]
    finally:
        connection.close()


def _write(dsn: Dsn, stop: threading.Event, written: list[int]) -> None:
    """Move money between accounts, for ever, one transaction a time."""
    connection = psycopg2.connect(**dsn.libpq())
    with connection.cursor() as cursor:
        while not stop.is_set():
            one, other = len(written) % 2000 + 1, (len(written) * 7 + 3) % 2000 + 1
            cursor.execute("UPDATE accounts SET balance = balance - 1 WHERE id = %s", (one,))
            cursor.execute("INSERT INTO log (line) VALUES ('moved')")
            cursor.execute("UPDATE accounts SET balance = balance + 1 WHERE id = %s", (other,))
            connection.commit()
            written.append(one)
    connection.close()


@pytest.fixture(scope="module")
def pair(server: EmbeddedServer) -> Iterator[tuple[Dsn, Dsn]]:
    """Two databases that differ in whatever should not matter."""
    admin = server.dsn("postgres")
    execute(
        admin,
        "CREATE DATABASE print_a TEMPLATE template0",
        "CREATE DATABASE print_b TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'",
        "ALTER DATABASE print_b SET timezone = 'Asia/Tokyo'",
        "ALTER DATABASE print_b SET datestyle = 'German'",
        "ALTER DATABASE print_b SET extra_float_digits = -5",
        "ALTER DATABASE print_b SET bytea_output = 'escape'",
    )
    columns = "a float8, b timestamptz, c bytea, d text, e jsonb, f int[]"
    for name in ("print_a", "print_b"):
        execute(server.dsn(name), f"CREATE TABLE t ({columns})")
    yield server.dsn("print_a"), server.dsn("print_b")
    execute(admin, "DROP DATABASE print_a", "DROP DATABASE print_b")


class TestFingerprints:
    row = st.tuples(
        st.none() | st.floats(),
        st.none() | st.datetimes(),
        st.none() | st.binary(max_size=8),
        st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
        st.none() | st.sampled_from(['{"a": 1}', "[]", "null"]),
        st.none() | st.lists(st.integers(-9, 9), max_size=3),
    )

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows=st.lists(row, max_size=6), data=st.data())
    def test_order_and_settings_do_not_matter_and_every_value_does(
        self,
        pair: tuple[Dsn, Dsn],
        rows: list[tuple[object, ...]],
        data: st.DataObject,
    ) -> None:
        mixed = data.draw(st.permutations(rows))
        first = [self.fill(dsn, content) for dsn, content in zip(pair, (rows, mixed), strict=True)]
        assert first[0] == first[1]
        if rows:
            other = data.draw(st.integers(0, len(rows) - 1))
            changed = [*rows[:other], (*rows[other][:3], "another text", *rows[other][4:]),
                       *rows[other + 1:]]  # fmt: skip
            assert (self.fill(pair[1], changed) == first[0]) == (rows[other][3] == "another text")

    def fill(self, dsn: Dsn, rows: list[tuple[object, ...]]) -> tuple[TableFingerprint, ...]:
        connection = psycopg2.connect(**{**dsn.libpq(), "options": "-c timezone=UTC"})
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE t")
            for row in rows:
                cursor.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s)", row)
        connection.commit()
        connection.close()
        reader = connect(dsn)
        try:
            return fingerprints(reader)
        finally:
            reader.close()

    def test_rows_cannot_cancel_each_other_out(self, database: Dsn) -> None:
        execute(database, "CREATE TABLE t (a text, b text)", "INSERT INTO t VALUES ('x,y', 'z')")
        one = state_of(database)[1]
        execute(database, "TRUNCATE t", "INSERT INTO t VALUES ('x', 'y,z')")
        other = state_of(database)[1]
        execute(database, "INSERT INTO t VALUES ('x', 'y,z')")
        assert len({one, other, state_of(database)[1]}) == 3

    def test_nothing_of_the_session_is_changed(self, database: Dsn) -> None:
        execute(database, "CREATE TABLE t AS SELECT 1 AS i")
        for autocommit in (True, False):
            connection = connect(database, read_only=False, autocommit=autocommit)
            before = fetch(connection, "SELECT name, setting FROM pg_settings ORDER BY 1")
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO t VALUES (2)")
            found = fingerprints(connection)
            assert [item.rows for item in found] == [2 if autocommit else 3]
            assert fetch(connection, "SELECT name, setting FROM pg_settings ORDER BY 1") == before
            connection.commit()
            connection.close()
        connection = connect(database, autocommit=False)
        fingerprints(connection)
        assert connection.get_transaction_status() == 0
        connection.close()

    def test_what_is_excluded_is_left_out(self, database: Dsn) -> None:
        execute(database, "CREATE TABLE a (i int)", "CREATE TABLE b (i int)")
        connection = connect(database)
        found = fingerprints(connection, exclude=("public.a",))
        connection.close()
        assert [item.table for item in found] == ["public.b"]


class TestCompareRows:
    @pytest.mark.parametrize(
        ("statement", "rows_after", "equal"),
        [
            ("SELECT 1", 2, True),
            ("ALTER TABLE t ADD COLUMN aaa int DEFAULT 5", 2, True),
            ("CREATE INDEX ON t (name)", 2, True),
            ("UPDATE t SET name = 'c' WHERE id = 1", 2, False),
            ("DELETE FROM t WHERE id = 1", 1, False),
            ("INSERT INTO t VALUES (3, 'c')", 3, False),
            ("ALTER TABLE t DROP COLUMN name", 2, False),
            ("ALTER TABLE t DROP COLUMN unused", 2, True),
            ("ALTER TABLE t DROP COLUMN unused, ALTER name TYPE int USING 1", 2, False),
            ("DROP TABLE t", -1, False),
        ],
    )
    def test_over_the_columns_of_before(
        self, database: Dsn, statement: str, rows_after: int, equal: bool
    ) -> None:
        execute(
            database,
            "CREATE TABLE t (id int PRIMARY KEY, name text, unused text)",
            "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        )
        before = state_of(database)[1]
        execute(database, statement)
        connection = connect(database)
        (proof,) = compare_rows(before, connection)
        connection.close()
        assert (proof.rows_before, proof.rows_after, proof.equal) == (2, rows_after, equal)

    @pytest.mark.parametrize(
        ("steps", "statement", "equal"),
        [
            (1, "SELECT nextval('s')", True),
            (1, "SELECT setval('s', 1)", False),
            (-1, "SELECT nextval('s')", True),
            (-1, "SELECT setval('s', -1)", False),
            (1, "DROP SEQUENCE s", False),
        ],
    )
    def test_a_sequence_may_go_on_but_not_back(
        self, database: Dsn, steps: int, statement: str, equal: bool
    ) -> None:
        execute(
            database,
            f"CREATE SEQUENCE s INCREMENT {steps}",
            "SELECT nextval('s') FROM generate_series(1, 5)",
        )
        before = state_of(database)[1]
        execute(database, statement)
        connection = connect(database)
        assert [proof.equal for proof in compare_rows(before, connection)] == [equal]
        connection.close()


HARM = """
DROP TABLE trade.trades; DROP VIEW adults; UPDATE users SET name = name || '!';
ALTER TABLE users DROP COLUMN doc; ALTER TABLE users ADD COLUMN extra int;
ALTER TYPE mood ADD VALUE 'odd'; CREATE TABLE public.new_one (i int); CREATE SCHEMA fresh;
CREATE FUNCTION fresh.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE fresh.pair AS RANGE (subtype = int); CREATE TYPE pair AS (a int, b int);
CREATE CAST (pair AS text) WITH INOUT; CREATE PROCEDURE also() LANGUAGE sql AS 'SELECT 1';
CREATE EXTENSION pg_trgm; REVOKE ALL ON users FROM rich_app; GRANT ALL ON SCHEMA public TO rich_app;
ALTER TABLE users OWNER TO postgres; SELECT nextval('ticket');
SELECT lo_from_bytea(0, 'another'::bytea); UPDATE alembic_version SET version_num = 'c3'
    WHERE version_num = 'b2';
"""


class TestRestore:
    def test_into_an_empty_database(self, rich: Dsn, scratch: Scratch, tmp_path: Path) -> None:
        made = backup(rich, tmp_path, scratch)
        fresh = scratch.create("restored")
        restore(dump_of(made, tmp_path), fresh, server_version_num=180000)
        assert state_of(fresh) == state_of(rich)

    def test_over_a_database_brings_back_everything(
        self, rich: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        made = backup(rich, tmp_path, scratch)
        before = state_of(rich)
        execute(rich, HARM)
        assert state_of(rich) != before
        restore_over(dump_of(made, tmp_path), rich)
        after = state_of(rich)
        assert diff(before[0], after[0]) == ()
        assert before[1] == after[1]
        connection = connect(rich)
        assert fetch(
            connection,
            "SELECT relowner::regrole::text, lo_get(l.oid) FROM pg_class, pg_largeobject_metadata l"
            " WHERE relname = 'users'",
        )[0][0] == "rich_owner"  # fmt: skip
        assert fetch(connection, "SELECT count(*) FROM pg_largeobject_metadata") == [(1,)]
        connection.close()

    def test_what_fails_half_way_leaves_the_database_as_it_was(
        self, rich: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        made = backup(rich, tmp_path, scratch)
        execute(rich, HARM)
        before = state_of(rich)
        dump = dump_of(made, tmp_path)

        damaged = tmp_path / "damaged.dump"
        damaged.write_bytes(dump.read_bytes()[: int(dump.stat().st_size * 0.9)])
        with pytest.raises(GateError, match="pg_restore failed"):
            restore_over(damaged, rich)
        assert state_of(rich) == before

        scratch.drop(scratch.dsn(made.clone))
        execute(rich, "DROP OWNED BY rich_app", "DROP ROLE rich_app")
        before = state_of(rich)
        with pytest.raises(GateError, match=r'psql failed.*role "rich_app" does not exist'):
            restore_over(dump, rich)
        assert state_of(rich) == before

    def test_a_lock_that_is_not_given_leaves_it_as_it_was(
        self, rich: Dsn, scratch: Scratch, tmp_path: Path
    ) -> None:
        made = backup(rich, tmp_path, scratch)
        before = state_of(rich)
        holder = psycopg2.connect(**rich.libpq())
        with holder.cursor() as cursor:
            cursor.execute("SELECT 1 FROM users")
        with pytest.raises(GateError, match="lock timeout"):
            restore_over(dump_of(made, tmp_path), rich, lock_timeout="200ms")
        holder.close()
        assert state_of(rich) == before

    def test_the_owner_of_a_database_needs_no_superuser(
        self, server: EmbeddedServer, scratch: Scratch, tmp_path: Path
    ) -> None:
        admin = server.dsn("postgres")
        execute(admin, "CREATE ROLE plain LOGIN", "CREATE DATABASE plain OWNER plain")
        execute(server.dsn("plain"), "CREATE EXTENSION file_fdw")
        dsn = Dsn(server.dsn("plain").url.set(username="plain"))
        execute(dsn, "CREATE TABLE t (id serial PRIMARY KEY)", "INSERT INTO t DEFAULT VALUES")
        made = backup(dsn, tmp_path, scratch)
        assert made.verified
        before = state_of(dsn)
        execute(dsn, "DROP TABLE t", "CREATE TABLE u (i int)")
        restore_over(dump_of(made, tmp_path), dsn)
        assert state_of(dsn) == before
        scratch.drop(scratch.dsn(made.clone))

        execute(admin, "ALTER ROLE plain CREATEDB")
        execute(server.dsn("plain"), "DROP EXTENSION file_fdw")
        execute(server.dsn("plain"), "GRANT SELECT ON t TO postgres, PUBLIC")
        beside = Scratch(dsn, place="target", private=False)
        made = backup(dsn, tmp_path / "second", beside)
        assert made.verified, made.differences
        beside.drop(beside.dsn(made.clone))
        execute(dsn, "ALTER DATABASE plain SET default_transaction_read_only = on")
        restore_over(dump_of(made, tmp_path / "second"), dsn)
        execute(admin, "DROP DATABASE plain", "DROP ROLE plain")
