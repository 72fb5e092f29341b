"""Connections, servers of our own, and disposable databases, on real servers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from conftest import execute

from runbook_lib.cluster import Cluster
from runbook_lib.config import Environment, ProjectSettings
from runbook_lib.dsn import Dsn
from runbook_lib.errors import (
    ConfigurationError,
    GateError,
    RunbookError,
    SafetyError,
    UnreachableError,
)
from runbook_lib.exclusion import SHARE, advisory_lock, alone
from runbook_lib.postgres import (
    EmbeddedServer,
    Scratch,
    client_program,
    connect,
    ensure_roles,
    fetch,
    roles_of,
    run_client,
    target,
    version_rows,
)
from runbook_lib.programs import EMBEDDED_BIN, local_binaries, program_major

PASSWORD = "s3cret/pa:ss"


def query(dsn: Dsn, statement: str) -> list[tuple[object, ...]]:
    connection = connect(dsn)
    try:
        return fetch(connection, statement)
    finally:
        connection.close()


@pytest.fixture
def strict(server: EmbeddedServer) -> Iterator[Dsn]:
    """The same server, asking the user ``strict`` for a password; yields the right address."""
    rules = server.folder / "pg_hba.conf"
    before = rules.read_text()
    execute(server.dsn("postgres"), f"CREATE ROLE strict LOGIN PASSWORD '{PASSWORD}'")
    rules.write_text("local all strict scram-sha-256\n" + before)
    execute(server.dsn("postgres"), "SELECT pg_reload_conf()")
    time.sleep(0.2)
    url = server.dsn("postgres").url.set(username="strict", password=PASSWORD)
    yield Dsn(url)
    rules.write_text(before)
    execute(server.dsn("postgres"), "SELECT pg_reload_conf()", "DROP ROLE strict")


class TestConnect:
    def test_a_session_is_read_only_unless_asked_otherwise(self, database: Dsn) -> None:
        connection = connect(database)
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            cursor.execute("CREATE TABLE t (i int)")
        connection.close()
        connection = connect(database, read_only=False)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (i int)")
        connection.close()
        assert query(database, "SELECT count(*) FROM t") == [(0,)]

    def test_settings_arrive_beside_those_of_the_address(self, database: Dsn) -> None:
        url = database.url.update_query_dict({"options": "-c search_path=elsewhere"})
        connection = connect(Dsn(url), lock_timeout="3s", statement_timeout="1 min")
        names = (
            "search_path", "lock_timeout", "statement_timeout",
            "default_transaction_read_only", "client_encoding", "application_name",
        )  # fmt: skip
        values = [fetch(connection, f"SHOW {name}")[0][0] for name in names]
        connection.close()
        assert values == ["elsewhere", "3s", "1min", "on", "UTF8", "runbook"]

    def test_autocommit_can_be_left_to_the_caller(self, database: Dsn) -> None:
        connection = connect(database, read_only=False, autocommit=False)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (i int)")
        connection.close()
        assert query(database, "SELECT to_regclass('t')") == [(None,)]

    def test_a_database_that_does_not_exist(self, server: EmbeddedServer) -> None:
        with pytest.raises(UnreachableError, match=r"nowhere.*no such database") as caught:
            connect(server.dsn("nowhere"))
        assert str(server.folder) not in str(caught.value)

    def test_a_server_that_does_not_answer(self) -> None:
        dsn = Dsn.parse(f"postgresql://wallet:{PASSWORD.replace('/', '%2F')}@127.0.0.1:1/wallet")
        with pytest.raises(UnreachableError) as caught:
            connect(dsn)
        text = str(caught.value)
        assert "wallet on 127.0.0.1:1" in text
        assert "user wallet" in text
        assert "does not answer" in text
        assert "s3cret" not in text

    def test_a_wrong_password_is_said_and_not_shown(self, strict: Dsn) -> None:
        connect(strict).close()
        with pytest.raises(UnreachableError, match="password") as caught:
            connect(Dsn(strict.url.set(password="wr0ngword")))
        assert "url_env" in str(caught.value)
        assert "wr0ngword" not in str(caught.value)

    def test_too_many_connections(self, strict: Dsn, server: EmbeddedServer) -> None:
        execute(server.dsn("postgres"), "ALTER ROLE strict CONNECTION LIMIT 1")
        first = connect(strict)
        with pytest.raises(UnreachableError, match="no connection left"):
            connect(strict)
        first.close()


class TestTarget:
    def test_who_it_is(self, database: Dsn) -> None:
        connection = connect(database)
        found = target(connection, "public.alembic_version")
        assert found.database == database.database
        assert found.server_version.startswith(str(connection.server_version // 10000))
        assert int(found.system_identifier) > 0
        connection.close()

    def test_without_the_privilege_the_identifier_is_unknown(
        self, database: Dsn, strict: Dsn
    ) -> None:
        execute(database, "REVOKE ALL ON FUNCTION pg_catalog.pg_control_system() FROM PUBLIC")
        connection = connect(strict.with_database(database.database))
        assert target(connection, "x").system_identifier == "unknown"
        connection.close()


class TestVersionRows:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ("", ()),
            ("('b'), ('a')", ("a", "b")),
            ("('b'), (NULL), ('a'), ('a')", ("a", "a", "b", None)),
        ],
    )
    def test_rows_as_they_stand(
        self, database: Dsn, values: str, expected: tuple[str | None, ...]
    ) -> None:
        execute(database, "CREATE TABLE alembic_version (version_num varchar(32))")
        if values:
            execute(database, f"INSERT INTO alembic_version VALUES {values}")
        connection = connect(database)
        assert version_rows(connection, "public", "alembic_version") == expected
        assert version_rows(connection, "", "alembic_version") == expected
        connection.close()

    def test_a_missing_table_is_none(self, database: Dsn) -> None:
        connection = connect(database)
        assert version_rows(connection, "public", "alembic_version") is None
        assert version_rows(connection, "nowhere", "alembic_version") is None
        connection.close()

    def test_the_missing_privilege_is_named_and_its_grant_mends_it(
        self, database: Dsn, strict: Dsn
    ) -> None:
        execute(
            database,
            'CREATE SCHEMA "Odd one"',
            'CREATE TABLE "Odd one".v (version_num varchar(32))',
            """INSERT INTO "Odd one".v VALUES ('a')""",
        )
        connection = connect(strict.with_database(database.database))
        with pytest.raises(GateError, match="no-privilege") as caught:
            version_rows(connection, "Odd one", "v")
        grants = caught.value.hint.partition(": ")[2]
        assert 'GRANT SELECT ON "Odd one"."v" TO "strict";' in grants
        execute(database, grants)
        assert version_rows(connection, "Odd one", "v") == ("a",)
        connection.close()
        execute(database, "DROP OWNED BY strict")

    def test_another_kind_of_table(self, database: Dsn) -> None:
        execute(database, "CREATE TABLE alembic_version (id int)")
        connection = connect(database)
        with pytest.raises(GateError, match="no column version_num"):
            version_rows(connection, "public", "alembic_version")
        connection.close()


class TestLock:
    def test_the_second_is_refused_and_told_who_holds_it(self, database: Dsn) -> None:
        first, second = connect(database), connect(database)
        with advisory_lock(first, "staging"):
            pid = first.info.backend_pid
            with (
                pytest.raises(SafetyError, match=f"staging: pid {pid}, user postgres"),
                advisory_lock(second, "staging"),
            ):
                pytest.fail("two held the lock")
            with (
                pytest.raises(SafetyError, match="another name"),
                advisory_lock(second, "another name"),
            ):
                pytest.fail("the lock is the database's, whatever the environment is called")
        with advisory_lock(second, "staging"):
            pass
        first.close()
        second.close()

    def test_a_statement_of_a_dead_run_holds_the_next_one_off(self, database: Dsn) -> None:
        """Its kernel is gone, and with it the lock of the run; its statement is still at work."""
        code = (
            "import os, sys, psycopg2, threading\n"
            "cursor = psycopg2.connect(sys.argv[1]).cursor()\n"
            "cursor.execute(sys.argv[2])\n"
            "threading.Timer(0.3, os._exit, (1,)).start()\n"
            "cursor.execute('SELECT pg_sleep(3)')"
        )
        argv = [sys.executable, "-c", code, database.text, SHARE]
        assert subprocess.run(argv, check=False).returncode == 1
        with (
            pytest.raises(SafetyError, match=r"died left a statement at work on staging: pid \d+"),
            alone(database, "staging"),
        ):
            pytest.fail("two wrote at once")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with alone(database, "staging"):
                    return
            except SafetyError:
                time.sleep(0.2)
        pytest.fail("it never ended")

    def test_a_database_that_takes_no_writes_is_refused(self, database: Dsn) -> None:
        name = database.database
        execute(database, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        with (
            pytest.raises(SafetyError, match="takes no writes: default_transaction_read_only"),
            alone(database, "staging"),
        ):
            pytest.fail("it was held")


class TestRoles:
    def test_the_roles_that_a_database_names_are_made_elsewhere(
        self, database: Dsn, tmp_path: Path
    ) -> None:
        execute(
            database,
            "CREATE ROLE r_owner", 'CREATE ROLE "R Reader"', "CREATE ROLE r_policy",
            "CREATE TABLE t (i int)", "ALTER TABLE t OWNER TO r_owner",
            'GRANT SELECT ON t TO "R Reader"', "CREATE POLICY p ON t TO r_policy",
            "GRANT pg_monitor TO r_owner",
        )  # fmt: skip
        connection = connect(database)
        roles = roles_of(connection)
        connection.close()
        assert roles == ("R Reader", "postgres", "r_owner", "r_policy")
        execute(database, "DROP TABLE t", *(f'DROP ROLE "{r}"' for r in roles if r != "postgres"))
        ensure_roles(database, roles)
        ensure_roles(database, roles)
        assert query(
            database, "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname ILIKE 'r\\_%'"
            " OR rolname = 'R Reader' ORDER BY 1"
        ) == [("R Reader", False), ("r_owner", False), ("r_policy", False)]  # fmt: skip
        execute(database, *(f'DROP ROLE "{r}"' for r in roles if r != "postgres"))

    def test_without_the_privilege_the_statement_is_named(self, strict: Dsn) -> None:
        with pytest.raises(GateError, match='CREATE ROLE "lacking" NOLOGIN;'):
            ensure_roles(strict, ["lacking"])


class TestPrograms:
    def test_the_client_is_of_the_servers_major_or_newer(self, server: EmbeddedServer) -> None:
        program = client_program("pg_dump", 180000)
        assert program_major(program) >= 18

    def test_a_server_newer_than_every_client(self) -> None:
        with pytest.raises(ConfigurationError, match=r"no pg_dump for PostgreSQL 99.*newest"):
            client_program("pg_dump", 990000)

    def test_the_password_is_in_the_environment_only(self, strict: Dsn) -> None:
        program = client_program("psql", 180000)
        done = run_client(program, ["-XAtc", "SELECT current_user"], strict)
        assert done.stdout == "strict\n"
        assert not any("s3cret" in str(item) for item in done.args)
        with pytest.raises(UnreachableError, match="psql failed") as caught:
            run_client(program, ["-XAtc", "SELECT 1"], Dsn(strict.url.set(password="wr0ngword")))
        assert "wr0ngword" not in str(caught.value)

    def test_its_own_words_are_passed_on_redacted(self, strict: Dsn) -> None:
        program = client_program("psql", 180000)
        with pytest.raises(GateError, match=r"psql failed.*column .*\*\*\*") as caught:
            run_client(program, ["-XAtc", f'SELECT "{PASSWORD}"'], strict)
        assert "s3cret" not in str(caught.value)


START = (
    "import sys, pathlib; from runbook_lib.postgres import EmbeddedServer;"
    "print(EmbeddedServer.start(pathlib.Path(sys.argv[1])).pid())"
)


class TestEmbeddedServer:
    def test_one_life(self, tmp_path: Path) -> None:
        """Two start it at once; it outlives them; it comes back after a kill; it stops."""
        folder = tmp_path / "closed" / "data"
        folder.parent.mkdir(mode=0o700)
        both = [
            subprocess.Popen(
                [sys.executable, "-c", START, str(folder)], stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        pids = {int(process.communicate(timeout=60)[0]) for process in both}
        assert [process.returncode for process in both] == [0, 0]
        assert len(pids) == 1

        server = EmbeddedServer.start(folder)
        assert {server.pid()} == pids
        assert server.folder.stat().st_mode & 0o077 == 0
        execute(server.dsn("postgres"), "CREATE TABLE kept (i int)", "CHECKPOINT")

        os.kill(server.pid(), signal.SIGKILL)
        again = EmbeddedServer.start(folder)
        assert again.pid() not in pids
        assert query(again.dsn("postgres"), "SELECT count(*) FROM kept") == [(0,)]

        again.stop()
        assert not again.answers()
        again.stop()
        assert EmbeddedServer.start(folder).answers()
        assert folder.parent.stat().st_mode & 0o077 == 0, "nobody's folders are opened"
        again.destroy()
        assert not again.folder.exists()

    def test_a_process_number_that_is_somebody_elses_by_now(self, tmp_path: Path) -> None:
        server = EmbeddedServer.start(tmp_path / "data")
        server.stop()
        stale = server.folder / "postmaster.pid"
        stale.write_text(
            f"{os.getpid()}\n{server.folder}\n1\n5432\n{server.folder}\n\n1 1\nready\n"
        )
        assert EmbeddedServer.start(tmp_path / "data").answers()
        server.destroy()

    def test_a_path_too_long_for_a_socket(self, tmp_path: Path) -> None:
        root = Path(tempfile.mkdtemp())
        root.chmod(0o755)
        server = EmbeddedServer.start(root / ("long" * 25) / "data")
        assert query(server.dsn("postgres"), "SELECT 1") == [(1,)]
        assert server.sockets != server.folder
        assert server.sockets.stat().st_mode & 0o077 == 0
        server.destroy()
        shutil.rmtree(root)

    def test_programs_that_the_servers_user_may_not_reach(self, tmp_path: Path) -> None:
        """As with a virtual environment in a home folder that is closed to everybody else."""
        home = tmp_path / "home"
        package = EMBEDDED_BIN.parent.parent
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, home / part.name, symlinks=True)
        home.chmod(0o700)
        server = Cluster.at(tmp_path / "data", home / package.name / "pginstall" / "bin")
        assert query(server.dsn("postgres"), "SELECT 1") == [(1,)]
        assert home.stat().st_mode & 0o077 == 0
        server.destroy()
        if not server.binaries.is_relative_to(home):
            shutil.rmtree(server.binaries.parent.parent.parent)

    def test_a_folder_that_holds_something_else_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "thesis.txt").write_text("years of work")
        with pytest.raises(ConfigurationError, match="not a cluster"):
            EmbeddedServer.start(tmp_path / "data")
        assert (tmp_path / "data" / "thesis.txt").read_text() == "years of work"


def environment(tmp_path: Path, **given: str) -> Environment:
    return Environment(
        name="test", project=ProjectSettings(), folder=tmp_path, outputs=tmp_path, **given
    )  # type: ignore[arg-type]


class TestScratch:
    def test_a_database_is_made_copied_renamed_and_dropped(self, scratch: Scratch) -> None:
        first = scratch.create("shadow")
        execute(first, "CREATE TABLE t AS SELECT 7 AS i")
        second = scratch.create("shadow", template=first)
        assert query(second, "SELECT i FROM t") == [(7,)]
        kept = scratch.rename(second, "runbook_kept")
        assert scratch.has("runbook_kept")
        scratch.drop(kept)
        scratch.drop(first)
        scratch.drop(first)
        assert not scratch.has("runbook_kept")

    def test_no_other_database_is_ever_dropped(self, scratch: Scratch, database: Dsn) -> None:
        with pytest.raises(SafetyError, match="not a disposable"):
            scratch.drop(database)
        with pytest.raises(SafetyError, match="not a disposable"):
            scratch.rename(scratch.dsn("runbook_x"), "production")
        assert scratch.has(database.database)

    def test_leftovers_are_swept_and_nothing_else(self, scratch: Scratch) -> None:
        now, dead = int(time.time()), 4_194_400
        old, ancient = now - 90_000, now - 8 * 86_400
        gone = (
            f"runbook_shadow_{now}_{dead}_0a1b2c",
            f"runbook_shadow_{old}_{os.getpid()}_0a1b2c",
            f"runbook_clone_{ancient}_{dead}_0a1b2c",
        )
        kept = (
            f"runbook_shadow_{now}_{os.getpid()}_0a1b2c",
            f"runbook_clone_{old}_{dead}_0a1b2c",
            "runbook_template",
            f"runbook_shadow_{old}_{dead}_0a1b2c_copy",
            f"my_runbook_shadow_{old}_{dead}_0a1b2c",
        )
        for name in gone + kept:
            execute(scratch.admin, f'CREATE DATABASE "{name}"')
        assert set(scratch.sweep()) == set(gone)
        assert all(scratch.has(name) for name in kept)
        for name in kept:
            execute(scratch.admin, f'DROP DATABASE "{name}"')

    def test_elsewhere_a_dead_process_number_means_nothing(self, scratch: Scratch) -> None:
        name = f"runbook_shadow_{int(time.time())}_4194400_0a1b2c"
        execute(scratch.admin, f'CREATE DATABASE "{name}"')
        assert Scratch(scratch.admin, place="target", private=False).sweep() == ()
        scratch.drop(scratch.dsn(name))

    def test_encoding_and_locale_are_those_of_the_target(
        self, scratch: Scratch, server: EmbeddedServer
    ) -> None:
        execute(
            server.dsn("postgres"),
            "CREATE DATABASE like_this TEMPLATE template0 ENCODING 'LATIN1'"
            " LOCALE_PROVIDER libc LOCALE 'C'",
        )
        connection = connect(server.dsn("like_this"))
        made = scratch.create("clone", like=connection)
        connection.close()
        assert query(made, "SHOW server_encoding") == [("LATIN1",)]
        assert query(
            made,
            "SELECT datcollate, datlocprovider FROM pg_database WHERE datname = current_database()",
        ) == [("C", "c")]
        assert scratch.notes == []
        scratch.drop(made)
        execute(server.dsn("postgres"), "DROP DATABASE like_this")

    def test_a_template_in_use_is_an_error_that_says_so(self, scratch: Scratch) -> None:
        first = scratch.create("shadow")
        holder = connect(first)
        threading.Timer(0.3, holder.close).start()
        copy = scratch.create("shadow", template=first)
        scratch.drop(copy)
        scratch.drop(first)


class TestPlaces:
    def test_embedded_is_reached_on_loopback_with_a_password(
        self, server: EmbeddedServer, tmp_path: Path
    ) -> None:
        """Applications and containers have to reach it by host and port, strangers must not."""
        place = Scratch.for_environment(environment(tmp_path), 150000, ["plpgsql", "hstore"])
        assert place.admin.host == "127.0.0.1"
        assert Scratch.for_environment(environment(tmp_path), 150000, []).admin == place.admin
        connect(place.admin).close()
        with pytest.raises(UnreachableError, match="password"):
            connect(Dsn(place.admin.url.set(password="wrong")))

    @pytest.mark.parametrize(
        ("version", "extensions", "lack"),
        [
            (990000, (), "older than the target's 99"),
            (150000, ("nope", "plpgsql"), "extension nope"),
        ],
    )
    def test_what_embedded_lacks_is_said_before_anything_starts(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        version: int,
        extensions: tuple[str, ...],
        lack: str,
    ) -> None:
        monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "state"))
        with pytest.raises(ConfigurationError, match=lack) as caught:
            Scratch.for_environment(environment(tmp_path), version, extensions)
        assert 'scratch = "target"' in caught.value.hint
        assert not (tmp_path / "state").exists()

    def test_the_targets_own_server_needs_createdb(
        self, strict: Dsn, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TARGET_URL", strict.text)
        here = environment(tmp_path, url_env="TARGET_URL", scratch="target")
        with pytest.raises(ConfigurationError, match="strict may not create databases") as caught:
            Scratch.for_environment(here, 180000, ())
        assert '"embedded", "local" or "env:VARIABLE"' in caught.value.hint  # not what just failed
        execute(server.dsn("postgres"), "ALTER ROLE strict CREATEDB")
        place = Scratch.for_environment(here, 180000, ())
        made = place.create("shadow")
        assert query(made, "SELECT current_user") == [("strict",)]
        place.drop(made)

    def test_a_server_named_by_a_variable(
        self, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = environment(tmp_path, scratch="env:SPARE_SERVER")
        with pytest.raises(ConfigurationError, match="SPARE_SERVER"):
            Scratch.for_environment(here, 180000, ())
        monkeypatch.setenv("SPARE_SERVER", server.dsn("postgres").text)
        place = Scratch.for_environment(here, 180000, ())
        place.drop(place.create("shadow"))

    def test_an_unknown_place(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="'moon' is not a place"):
            Scratch.for_environment(environment(tmp_path, scratch="moon"), 180000, ())

    @pytest.mark.skipif(local_binaries(15) is None, reason="needs postgresql-15 installed")
    def test_a_locally_installed_server(
        self, scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path))
        here = environment(tmp_path, scratch="local")
        place = Scratch.for_environment(here, 150000, ["pgcrypto"])
        try:
            second = place.create("shadow", template=place.create("shadow"))
            assert str(query(second, "SHOW server_version_num")[0][0]).startswith("15")
            self.check_locale_that_another_place_lacks(place, scratch)
        finally:
            own = (here.state_folder / "scratch-15").resolve()
            Cluster(
                folder=own, binaries=Path("/usr/lib/postgresql/15/bin"), loopback=True
            ).destroy()

    def check_locale_that_another_place_lacks(self, place: Scratch, other: Scratch) -> None:
        icu = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C'"
        execute(place.admin, f"CREATE DATABASE german {icu}")
        connection = connect(place.dsn("german"))
        made = other.create("clone", like=connection)
        connection.close()
        assert other.notes == ["embedded lacks the locale de (ICU): C.UTF-8 is used instead."]
        other.drop(made)

    def test_no_local_server_of_that_major(self, tmp_path: Path) -> None:
        with pytest.raises(RunbookError, match="no PostgreSQL 9 server"):
            Scratch.for_environment(environment(tmp_path, scratch="local"), 90000, ())


def test_a_server_that_has_run_out_of_something_is_told_without_a_traceback(database: Dsn) -> None:
    full = "DO $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$"
    with pytest.raises(
        UnreachableError, match=r"has run out of something: No space left .*\. Give"
    ):
        query(database, full)
