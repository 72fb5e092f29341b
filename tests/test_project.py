"""The project's own Alembic: reached in every place, and never led to the target."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from test_record import DEPLOYMENT, PLAN

from runbook_lib import carrying, deployment, postgres
from runbook_lib.answers import Run
from runbook_lib.catalog import apply_changes, snapshot
from runbook_lib.config import Environment, ProjectSettings
from runbook_lib.dsn import Dsn
from runbook_lib.edits import FileEdit
from runbook_lib.errors import (
    ConfigurationError,
    ProjectError,
    RunbookError,
    SafetyError,
    UnreachableError,
)
from runbook_lib.plan import Step
from runbook_lib.postgres import EmbeddedServer
from runbook_lib.project import Project

PROJECTS = Path(__file__).parent / "projects"
PARTS = {
    "DB_USER": "{user}",
    "DB_PASSWORD": "{password}",
    "DB_HOST": "{host}",
    "DB_PORT": "{port}",
    "DB_NAME": "{database}",
}


def project(name: str, folder: Path = PROJECTS, **settings: Any) -> Project:
    return Project(ProjectSettings(root=name, **settings), folder)


def query(dsn: Dsn, statement: str) -> list[tuple[Any, ...]]:
    connection = postgres.connect(dsn)
    try:
        return postgres.fetch(connection, statement)
    finally:
        connection.close()


def tables(dsn: Dsn) -> set[str]:
    rows = query(dsn, "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND oid > 16384")
    return {name for (name,) in rows if not name.startswith("pg_")}


def statuses(run: Run) -> dict[str, str]:
    return {item.revision_id: item.status for item in run.revisions}


def new_revision(number: int, down: str, body: str) -> FileEdit:
    text = (
        f'from alembic import op\n\nrevision = "n{number}"\ndown_revision = "{down}"\n\n\n'
        f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    pass\n"
    )
    path = f"migrations/versions/n{number}.py"
    return FileEdit(path=path, before=None, after=text, reason="test")


# Reading the tree


def test_collect_reads_every_revision_file_and_imports_none() -> None:
    tree = project("failing").collect()  # one of its files cannot be imported
    assert len(tree.files) == 9
    assert "import no_such_module_anywhere" in tree.files["migrations/versions/0007_import.py"]
    assert tree.locations == ("migrations/versions",)


def test_collect_follows_the_section_and_its_version_locations() -> None:
    tree = project("branches", section="ledger").collect()
    assert tree.locations == ("migrations/core", "migrations/reports/versions")
    assert [Path(path).name for path in tree.files] == [
        "0001_accounts.py",
        "0002_entries.py",
        "0001_views.py",
    ]


INIS = {
    "relative": "script_location = migrations",
    "here": "script_location = %(here)s/migrations",
    "package": "script_location = pack:migrations\nprepend_sys_path = .",
    "newline": "script_location = migrations\npath_separator = newline\nversion_locations = \n"
    "  migrations/versions\n  migrations/more",
    "os": "script_location = migrations\npath_separator = os\n"
    "version_locations = migrations/versions:migrations/more",
    "older os": "script_location = migrations\nversion_path_separator = os\n"
    "version_locations = migrations/versions:migrations/more",
    "recursive": "script_location = migrations\nrecursive_version_locations = true",
}


@pytest.mark.parametrize("kind", INIS)
def test_collect_understands_every_way_to_name_a_location(tmp_path: Path, kind: str) -> None:
    shutil.copytree(PROJECTS / "plain/migrations", tmp_path / "migrations")
    shutil.copytree(PROJECTS / "plain/migrations", tmp_path / "pack/migrations")
    (tmp_path / "pack/__init__.py").touch()
    for place in ("more", "versions/deep"):
        (tmp_path / "migrations" / place).mkdir()
        (tmp_path / "migrations" / place / "extra.py").write_text('revision = "x"\n')
    (tmp_path / "alembic.ini").write_text(f"[alembic]\n{INIS[kind]}\n")
    files = project(".", tmp_path).collect().files
    extra = {path for path in files if path.endswith("extra.py")}
    expected = {"newline": "more", "os": "more", "older os": "more", "recursive": "versions/deep"}
    assert len(files) - len(extra) == 5
    assert extra == ({f"migrations/{expected[kind]}/extra.py"} if kind in expected else set())


def test_locations_outside_the_root_are_numbered(tmp_path: Path) -> None:
    shutil.copytree(PROJECTS / "plain", tmp_path / "app")
    shutil.move(tmp_path / "app/migrations/versions", tmp_path / "versions")
    with (tmp_path / "app/alembic.ini").open("a") as stream:
        stream.write(f"version_locations = {tmp_path}/versions\npath_separator = newline\n")
    tree = project("app", tmp_path).collect()
    assert tree.locations == ("0:",)
    assert "0:0001_users.py" in tree.files


def test_files_without_source_are_named(tmp_path: Path) -> None:
    shutil.copytree(PROJECTS / "plain", tmp_path / "app")
    (tmp_path / "app/migrations/versions/gone.pyc").touch()
    assert project("app", tmp_path).collect().sourceless == ("migrations/versions/gone.pyc",)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("nowhere", {}, "folder nowhere cannot be entered"),
        ("plain", {"ini": "other.ini"}, "There is no other.ini in the project's folder plain"),
        ("branches", {"section": "sales"}, "no section [sales]; it has: alembic, ledger"),
        ("branches", {}, "nowhere"),
        ("plain", {"python": "./no-python"}, "cannot be run"),
        ("plain", {"python": "/usr/bin/false"}, "ended without an answer (exit code 1)"),
    ],
)
def test_what_is_not_there_is_said(name: str, settings: dict[str, str], words: str) -> None:
    with pytest.raises(RunbookError) as caught:
        project(name, **settings).collect()
    assert words in caught.value.message
    assert str(PROJECTS) not in caught.value.message


def test_missing_versions_folder_is_said(tmp_path: Path) -> None:
    shutil.copytree(PROJECTS / "plain", tmp_path / "app")
    shutil.rmtree(tmp_path / "app/migrations/versions")
    with pytest.raises(ConfigurationError, match="no version location: migrations/versions"):
        project("app", tmp_path).collect()


# Replaying


def test_replay_tells_what_each_revision_does(database: Dsn) -> None:
    run = project("plain").run_replay(database)
    assert statuses(run) == dict.fromkeys(("aaa1", "ccc3", "bbb2", "ddd4", "eee5"), "replayed")
    by_id = {item.revision_id: item for item in run.revisions}
    assert [change.object for change in by_id["ccc3"].changes] == [
        "column:public.users.email",
        "index:public.ix_users_email",
    ]
    (longer,) = by_id["eee5"].changes
    assert longer.before == {"type": "character varying(50)", "nullable": "no"}
    assert longer.after == {"type": "character varying(80)", "nullable": "no"}
    assert by_id["ddd4"].changes == ()
    assert by_id["ddd4"].statements == ()
    assert by_id["eee5"].statements == ("ALTER TABLE users ALTER COLUMN name TYPE VARCHAR(80)",)
    assert all(item.seconds > 0 for item in run.revisions)
    assert run.rows == ("eee5",)


@pytest.mark.parametrize("name", ["plain", "transactions", "failing", "lost"])
def test_effects_add_up_to_the_catalog(database: Dsn, name: str) -> None:
    run = project(name).run_replay(database, create_roles=True)
    assert run.baseline is not None
    catalog = run.baseline
    for item in run.revisions:
        catalog = apply_changes(catalog, item.changes)
    connection = postgres.connect(database)
    assert snapshot(connection, exclude=[run.version_table]) == catalog
    connection.close()


def test_failures_leave_their_siblings_alone(database: Dsn) -> None:
    run = project("failing").run_replay(database, create_roles=True)
    found = {item.revision_id: item for item in run.revisions}
    long = "f6_a_revision_id_longer_than_the_column_is"
    good = {item for item, status in statuses(run).items() if status == "replayed"}
    assert good == {"f1", "f4", "f5", long, "f8"}
    assert found["f3"].status == "skipped"
    assert 'violates foreign key constraint "badges_user_id_fkey"' in found["f2"].error
    assert found["f2"].changes == ()
    assert "No module named 'no_such_module_anywhere'" in found["f7"].error
    assert "migrations/versions/0007_import.py:" in found["f7"].error
    assert 'table "no_such_table" does not exist' in found["f9"].error
    assert found["f5"].touches_rows
    assert found["f5"].rows == 0
    assert not found["f4"].touches_rows


def test_roles_are_created_only_where_allowed(database: Dsn) -> None:
    edit = new_revision(1, "eee5", "op.execute('GRANT SELECT ON users TO \"Test Auditor\"')")
    run = project("plain").run_replay(database, edits=[edit])
    assert 'role "Test Auditor" does not exist' in run.revisions[-1].error
    assert query(database, "SELECT 1 FROM pg_roles WHERE rolname = 'Test Auditor'") == []


def test_transactions_are_seen_through(database: Dsn) -> None:
    run = project("transactions").run_replay(database)
    found = {item.revision_id: item for item in run.revisions}
    assert [item for item in found if found[item].commits_inside] == ["t3"]
    assert [item for item in found if found[item].autocommit] == ["t2"]
    assert [item for item in found if found[item].lost] == ["t3", "t4"]
    assert [change.object for change in found["t2"].changes] == [
        "index:public.ix_people",
        "label:public.mood.sad",
    ]


def test_labels_dependencies_and_the_version_tables_schema(database: Dsn) -> None:
    ledger = project("branches", section="ledger")
    run = ledger.run_replay(database)
    assert list(statuses(run)) == ["c1", "c2", "r1"]
    assert run.rows == ("r1",)  # c2 is implied by r1's depends_on
    assert run.version_table == "meta.ledger_version"
    described = ledger.describe(database)
    assert (described.version_table, described.version_table_schema) == ("ledger_version", "meta")
    assert described.driver == "psycopg2"
    assert not described.has_metadata


def test_skip_and_target(database: Dsn) -> None:
    run = project("plain").run_replay(database, skip=["bbb2"])
    assert statuses(run)["ccc3"] == "replayed"
    assert statuses(run)["ddd4"] == "skipped"
    assert run.rows == ("ccc3",)


def test_the_environment_of_the_project_is_set(database: Dsn) -> None:
    described = project("settings", env=PARTS)
    found = described.describe(database)
    assert found.has_metadata
    assert found.include_schemas
    run = described.run_replay(database)
    assert "constraint:public.trades.pk_trades" in {
        change.object for change in run.revisions[0].changes
    }  # the naming convention of the application
    assert set(run.sources) == {"app/__init__.py", "app/settings.py"}


def test_env_that_fails_is_a_project_error(database: Dsn) -> None:
    with pytest.raises(ProjectError) as caught:
        project("settings").run_replay(database)
    assert "KeyError: 'DB_USER'" in caught.value.message
    assert "app/settings.py:" in caught.value.message


def test_an_env_that_ends_the_process_is_said_to_have_done_so(
    database: Dsn, tmp_path: Path
) -> None:
    copy = shutil.copytree(PROJECTS / "settings", tmp_path / "settings")
    file = next(copy.rglob("env.py"))
    file.write_text("import sys\nsys.exit(3)\n" + file.read_text())
    with pytest.raises(ProjectError, match=r"it ended itself with sys.exit\(3\) \(.*env.py:2\)"):
        project("settings", tmp_path, env=PARTS).run_replay(database)


def test_a_driver_that_the_interpreter_lacks_is_named_with_what_to_write(database: Dsn) -> None:
    """From SQLAlchemy 2.1 on a URL without a driver asks for psycopg, which is not there."""
    asked = project("any_driver", env={"DATABASE_URL": "{url}", "MODE": ""})
    with pytest.raises(
        ConfigurationError, match=r"asks for the driver psycopg, .* has psycopg2"
    ) as e:
        asked.upgrade(database, "heads")
    assert 'DATABASE_URL = "postgresql+psycopg2://' in e.value.hint


TWICE = """\
from alembic import context
from sqlalchemy import create_engine

for name in ("engine1", "engine2"):
    if context.get_x_argument(as_dictionary=True).get("database", name) == name:
        with create_engine(f"postgresql+psycopg2://nowhere.invalid/{name}").connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
"""


def test_several_databases_are_refused_until_one_is_named(tmp_path: Path, database: Dsn) -> None:
    """As in the template of ``alembic init -t multidb``."""
    shutil.copytree(PROJECTS / "plain", tmp_path / "multi")
    (tmp_path / "multi" / "migrations" / "env.py").write_text(TWICE)
    one = Project(ProjectSettings(root="multi", x=("database=engine2",)), tmp_path)
    assert [item.status for item in one.run_replay(database).revisions] == ["replayed"] * 5
    both = Project(ProjectSettings(root="multi"), tmp_path)
    for run in (both.describe, both.run_replay):
        with pytest.raises(ConfigurationError, match="several times") as caught:
            run(database)
        assert "x = [" in caught.value.hint


def test_another_kind_of_database_is_named(tmp_path: Path, database: Dsn) -> None:
    shutil.copytree(PROJECTS / "plain", tmp_path / "app")
    env = tmp_path / "app/migrations/env.py"
    section = "section = config.get_section(config.config_ini_section)"
    env.write_text(env.read_text().replace(section, 'section = {"sqlalchemy.url": "sqlite://"}'))
    with pytest.raises(ConfigurationError, match="sqlite database, not to PostgreSQL"):
        project("app", tmp_path).run_replay(database)


def test_edits_are_applied_to_a_copy(tmp_path: Path, database: Dsn) -> None:
    shutil.copytree(PROJECTS / "plain", tmp_path / "app")
    before = {path: path.read_bytes() for path in (tmp_path / "app").rglob("*") if path.is_file()}
    plain = project("app", tmp_path)
    text = plain.collect().files["migrations/versions/0004_merge.py"]
    changed = text.replace("    pass", "    __import__('alembic').op.create_table('joined')", 1)
    edits = [
        FileEdit(
            path="migrations/versions/0004_merge.py", before=text, after=changed, reason="test"
        ),
        new_revision(1, "ddd4", "op.execute('CREATE TABLE fresh ()')"),
        FileEdit(
            path="migrations/versions/0005_longer_name.py",
            before=plain.collect().files["migrations/versions/0005_longer_name.py"],
            after=None,
            reason="test",
        ),
    ]
    leftovers = set(Path("/tmp").glob("runbook-tree-*"))
    run = plain.run_replay(database, edits=edits)
    assert run.rows == ("n1",)
    assert {"joined", "fresh"} <= tables(database)
    assert plain.state(database, edits)["heads"] == "n1 (head)"
    after = {path: path.read_bytes() for path in (tmp_path / "app").rglob("*") if path.is_file()}
    assert after == before
    assert set(Path("/tmp").glob("runbook-tree-*")) <= leftovers


def test_an_edit_that_no_longer_fits_is_refused(database: Dsn) -> None:
    edit = FileEdit(
        path="migrations/versions/0004_merge.py", before="else", after="x", reason="test"
    )
    with pytest.raises(ProjectError, match="is not what the edit was made for"):
        project("plain").run_replay(database, edits=[edit])
    outside = FileEdit(path="../other.py", before=None, after="x", reason="test")
    with pytest.raises(ProjectError, match="lies outside"):
        project("plain").run_replay(database, edits=[outside])


# Upgrading, downgrading, stamping


def test_upgrade_downgrade_and_stamp(database: Dsn) -> None:
    plain = project("plain")
    events: list[str] = []
    done = plain.upgrade(database, progress=lambda event: events.append(event["event"]))
    assert [item.status for item in done] == ["replayed"] * 5
    assert events.count("started") == events.count("finished") == 5
    assert "statement" in events
    assert plain.state(database)["current"] == "eee5 (head)"
    down = plain.downgrade(database, "ddd4")
    assert [item.revision_id for item in down] == ["eee5"]
    plain.stamp(database, "aaa1")
    assert plain.state(database)["current"].startswith("aaa1")
    assert "orders" in tables(database)


def test_only_the_named_revisions_run_and_rows_stay(database: Dsn) -> None:
    plain = project("plain")
    plain.upgrade(database, "aaa1")
    plain.stamp(database, "heads")
    done = plain.upgrade(database, only=["bbb2", "ccc3"])
    assert [item.revision_id for item in done] == ["bbb2", "ccc3"]
    assert "orders" in tables(database)
    assert plain.state(database)["current"] == "eee5 (head)"
    plain.downgrade(database, only=["bbb2"])
    assert "orders" not in tables(database)
    assert plain.state(database)["current"] == "eee5 (head)"


def test_lost_work_is_a_failure(database: Dsn) -> None:
    lost = project("lost")
    done = lost.upgrade(database)
    assert [(item.status, item.lost) for item in done] == [("failed", True)] * 2
    assert "rolled back" in done[0].error
    assert tables(database) == set()
    with pytest.raises(ProjectError, match="no new connection sees it"):
        lost.stamp(database, "heads")
    kept = lost.upgrade(database, commit=True)
    assert [item.status for item in kept] == ["replayed"] * 2
    assert {"coins", "notes"} <= tables(database)


def test_work_lost_behind_a_commit_is_told_from_the_rest(database: Dsn) -> None:
    done = project("transactions").upgrade(database)
    assert {item.revision_id: item.lost for item in done} == {
        "t1": False,
        "t2": False,
        "t3": True,
        "t4": True,
    }


def test_a_failed_upgrade_says_what_went_with_it(database: Dsn) -> None:
    bad = new_revision(1, "eee5", "op.execute('SELECT 1/0')")
    done = project("plain").upgrade(database, edits=[bad])
    assert done[-1].status == "failed"
    assert "division by zero" in done[-1].error
    assert tables(database) == set()
    assert {item.status for item in done[:-1]} == {"failed"}
    assert done[0].error.startswith("It was rolled back when n1 failed: division by zero")


def test_a_step_that_failed_names_the_revision_that_failed(database: Dsn, tmp_path: Path) -> None:
    """Not the first of those that went with it; and no class of ours."""
    bad = new_revision(1, "eee5", "op.execute('SELECT 1/0')")
    environment = Environment(
        name="live", project=ProjectSettings(), folder=tmp_path, outputs=tmp_path
    )
    stage = carrying.Stage(
        dsn=database, project=project("plain"), environment=environment, overlay=(bad,)
    )
    step = Step(kind="run-revisions", title="Upgrade")
    (result,) = carrying.carry_out(replace(PLAN, steps=(step,)), stage)
    assert result.error.startswith("n1 failed: division by zero")
    assert "; rolled back with it: aaa1, " in result.error
    told = deployment.sentence(replace(DEPLOYMENT, steps=(result,), passed=False))
    assert told == f"A step failed, and none was run after it: Upgrade: {result.error}."


def test_timeouts_hold_on_the_projects_connection(database: Dsn) -> None:
    slow = new_revision(1, "eee5", "op.execute('SELECT pg_sleep(5)')")
    plain = project("plain")
    plain.upgrade(database)
    done = plain.upgrade(database, edits=[slow], statement_timeout="200ms")
    assert "statement timeout" in done[0].error
    holder = psycopg2.connect(**database.libpq())
    holder.cursor().execute("LOCK TABLE users")
    alter = new_revision(1, "eee5", "op.execute('ALTER TABLE users ADD x integer')")
    done = plain.upgrade(database, edits=[alter], lock_timeout="200ms")
    holder.close()
    assert "lock timeout" in done[0].error


def test_state_reads_and_never_writes(database: Dsn) -> None:
    before = query(database, "SELECT pg_current_wal_insert_lsn()")
    texts = project("plain").state(database)
    assert texts["current"] == ""
    assert texts["heads"] == "eee5 (head)"
    assert texts["history"].count("\n") == 4
    assert tables(database) == set()
    assert len(before) == 1
    assert project("failing").state(database)["heads"].startswith("error: ModuleNotFoundError")


# Application checks


def test_checks_run_in_the_projects_place(database: Dsn) -> None:
    secret = Dsn(database.url.set(password="hunter2hunter2"))
    checked = project("settings", env=PARTS)
    code, output = checked.run(["python", "-m", "app.checks", "3"], secret)
    assert code == 3
    assert f"database {database.database} password ***" in output
    assert checked.run(["no-such-program"], secret)[0] == 127
    code, output = checked.run(["sleep", "9"], secret, timeout=0.3)
    assert code == 124
    assert "did not end within 0.3 seconds" in output


def test_functions_are_called_in_the_projects_interpreter(database: Dsn) -> None:
    checked = project("settings", env={**PARTS, "ELSEWHERE": "host=127.0.0.1 port=9 dbname=x"})
    assert checked.call("app.checks:database", database) == (True, "returned True")
    assert checked.call("app.checks:nothing", database) == (False, "returned None")
    passed, output = checked.call("app.checks:broken", database)
    assert not passed
    assert output == "ValueError: the finality checker is broken"
    passed, output = checked.call("app.checks:elsewhere", database)
    assert not passed
    assert "denied" in output
    assert not checked.call("app.checks:missing", database)[0]


# Where the interpreter lives


def wrapper(folder: Path, body: str) -> str:
    path = folder / "wrapper"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


PREFIXES: dict[str, Callable[[Path], tuple[str, ...]]] = {
    "nothing of our environment": lambda folder: ("env", "-i", "PATH=/usr/bin:/bin"),
    "a shell": lambda folder: ("sh", "-c", 'exec "$@"', "--"),
    "noise on standard output": lambda folder: (wrapper(folder, 'echo Welcome; exec "$@"'),),
    "words joined for a remote shell": lambda folder: (
        shutil.move(wrapper(folder, 'shift; cd /; exec sh -c "$*"'), folder / "ssh") and "",
    ),
}


@pytest.mark.parametrize("kind", PREFIXES)
def test_any_command_prefix_reaches_the_project(tmp_path: Path, database: Dsn, kind: str) -> None:
    prefix = PREFIXES[kind](tmp_path)
    if kind.startswith("words"):
        prefix = (str(tmp_path / "ssh"), "host")
    remote = project(str(PROJECTS / "plain"), tmp_path, exec=prefix, python=sys.executable)
    assert len(remote.collect().files) == 5
    assert remote.run_replay(database).rows == ("eee5",)


def test_a_prefix_that_fails_is_unreachable(tmp_path: Path) -> None:
    broken = wrapper(tmp_path, "echo 'No such container: wallet' >&2; exit 1")
    with pytest.raises(UnreachableError, match="No such container: wallet"):
        project(".", tmp_path, exec=(broken, "exec", "-i", "wallet")).collect()
    with pytest.raises(ConfigurationError, match="no-such-docker cannot be run"):
        project(".", tmp_path, exec=("no-such-docker", "exec")).collect()


def test_no_secret_is_in_any_argument(tmp_path: Path, database: Dsn) -> None:
    seen = tmp_path / "argv"
    spy = wrapper(tmp_path, f'echo "$@" > {shlex.quote(str(seen))}; exec "$@"')
    secret = Dsn(database.url.set(password="hunter2hunter2"))
    spied = project(str(PROJECTS / "plain"), tmp_path, exec=(spy,), python=sys.executable)
    spied.run_replay(secret)
    assert "hunter2" not in seen.read_text()
    assert database.database not in seen.read_text()


def test_secrets_are_masked_in_what_comes_back(database: Dsn) -> None:
    secret = Dsn(database.url.set(password="hunter2hunter2"))
    body = "op.execute(\"SELECT 'hunter2hunter2'::int\")"
    done = project("plain").upgrade(secret, edits=[new_revision(1, "eee5", body)])
    assert "***" in done[-1].error
    assert "hunter2" not in repr(done)


def test_the_agent_ends_when_its_caller_dies(tmp_path: Path, database: Dsn) -> None:
    """As with docker exec: killing the client must not leave a migration running unseen."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from test_project import *\n"
        "slow = new_revision(1, 'eee5', \"op.execute('SELECT pg_sleep(60)')\")\n"
        "project('plain').upgrade(Dsn.parse(sys.argv[2]), edits=[slow])\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), database.text]
    caller = subprocess.Popen(command, start_new_session=True)
    asleep = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.database}'"
    wait_until(lambda: query(database, f"{asleep} AND wait_event = 'PgSleep'")[0][0] == 1)
    (agent,) = children(caller.pid)
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    wait_until(lambda: not Path(f"/proc/{agent}").exists())


def children(pid: int) -> list[str]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.split()


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


# The target is out of reach


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dsn, EmbeddedServer]]:
    """A server of its own that logs every connection and every statement: the target."""
    server = EmbeddedServer.start(tmp_path_factory.mktemp("target") / "data")
    connection = psycopg2.connect(**server.dsn("postgres").libpq())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE production")
        for setting in ("log_connections = 'on'", "log_statement = 'all'"):
            cursor.execute(f"ALTER SYSTEM SET {setting}")
        cursor.execute("SELECT pg_reload_conf()")
    connection.close()
    yield server.dsn("production"), server
    server.stop()


def connections(server: EmbeddedServer, dsn: Dsn) -> int:
    """Count what the server's log says of connections to the database; prove that it says so."""
    before = server.log.read_text().count(f"database={dsn.database}")
    psycopg2.connect(**dsn.libpq()).close()
    wait_until(lambda: server.log.read_text().count(f"database={dsn.database}") > before)
    return before


WAYS = {
    "insists, by its URL": ("insists", {"WAY": "url"}, "ok"),
    "insists, by a creator": ("insists", {"WAY": "creator"}, "ok"),
    "insists, by a listener": ("insists", {"WAY": "listener"}, "ok"),
    "asks the driver in env.py": ("direct", {"WAY": "env"}, "denied"),
    "makes the driver's connection": ("direct", {"WAY": "class"}, "denied"),
    "asks the driver in a revision": ("direct", {}, "one fails"),
    "the same, with no URL in the ini": ("direct", {"NO_URL": "1"}, "one fails"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_replay_never_opens_a_connection_to_the_target(
    watched: tuple[Dsn, EmbeddedServer], database: Dsn, way: str
) -> None:
    target, server = watched
    name, env, outcome = WAYS[way]
    env = {**env, "TARGET_URL": target.text}
    settings = ProjectSettings(root=name, ini="bare.ini" if "NO_URL" in env else "alembic.ini")
    insisting = Project(replace(settings, env=env), PROJECTS, forbid=target)
    known = connections(server, target)
    if outcome == "denied":
        with pytest.raises(SafetyError, match="was denied"):
            insisting.run_replay(database)
    else:
        failed = [item for item in insisting.run_replay(database).revisions if item.error]
        assert [item.revision_id for item in failed] == (["k2"] if outcome == "one fails" else [])
        assert "coins" in tables(database)
    assert connections(server, target) == known + 1  # our own, to prove that the log works
    assert "coins" not in server.log.read_text()


def test_a_variable_that_holds_the_target_leads_to_the_shadow(
    watched: tuple[Dsn, EmbeddedServer], database: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, _ = watched
    monkeypatch.setenv("DATABASE_URL", target.with_driver("psycopg2"))
    guarded = Project(ProjectSettings(root="plain"), PROJECTS, forbid=target)
    code, output = guarded.run(["sh", "-c", "echo $DATABASE_URL"], database)
    assert code == 0
    assert output.strip().startswith("postgresql+psycopg2://")
    assert f"/{database.database}?" in output


def test_within_a_url_a_password_is_percent_encoded() -> None:
    from runbook_lib.agent.surroundings import substituted

    address = {"user": "me", "password": "p@ss/%", "host": "h", "port": 1, "database": "d"}
    url = substituted("postgresql+asyncpg://{user}:{password}@{host}:{port}/{database}", address)
    assert url == "postgresql+asyncpg://me:p%40ss%2F%25@h:1/d"
    assert substituted("{password}", address) == "p@ss/%"


def test_a_lazy_module_that_fails_when_it_is_asked_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen in real projects: a stand-in for a moved module, with a __getattr__ of its own."""
    from runbook_lib.agent.collecting import loaded_sources

    lazy = types.ModuleType("moved")

    def fail(name: str) -> object:
        raise ImportError(f"{name} is elsewhere")

    lazy.__dict__["__getattr__"] = fail
    monkeypatch.setitem(sys.modules, "moved", lazy)
    loaded_sources()


def test_a_module_that_is_named_as_one_of_pythons_own_does_no_harm(
    tmp_path: Path, database: Dsn
) -> None:
    """Seen in a real package, run from the folder where its ``types`` lies."""
    shutil.copytree(PROJECTS / "plain", tmp_path, dirs_exist_ok=True)
    (tmp_path / "types").mkdir()
    (tmp_path / "types/__init__.py").write_text("raise ImportError('not for you')\n")
    assert Project(ProjectSettings(), tmp_path).run_replay(database).rows


REFLECTING = """
import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "eee5"


def upgrade():
    known = sa.MetaData()
    known.reflect(op.get_bind())
    for table in list(known.tables.values()):
        columns = [sa.Column(column.name, column.type) for column in table.columns]
        op.create_table("shadow_" + table.name, *columns)
"""


def test_a_revision_that_copies_every_table_finds_the_version_table_as_alembic_makes_it(
    tmp_path: Path, database: Dsn
) -> None:
    """Nova does so."""
    shutil.copytree(PROJECTS / "plain", tmp_path, dirs_exist_ok=True)
    (tmp_path / "migrations/versions/0006_copies.py").write_text(REFLECTING)
    last = Project(ProjectSettings(), tmp_path).run_replay(database).revisions[-1]
    made = {change.object: change.after for change in last.changes}
    column = made["column:public.shadow_alembic_version.version_num"]
    assert column is not None
    assert column["type"] == "character varying(32)"
