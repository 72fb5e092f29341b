"""``runbook doctor``: what is missing is said, in order, with what to do, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import uuid
import venv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from click.testing import CliRunner

from runbook_lib.cli import main
from runbook_lib.config import Alerts, Check, Environment, ProjectSettings
from runbook_lib.doctor import Item, examine, exit_code, report
from runbook_lib.dsn import Dsn
from runbook_lib.errors import SafetyError
from runbook_lib.exclusion import alone
from runbook_lib.postgres import EmbeddedServer
from runbook_lib.project import Project
from runbook_lib.target_probes import spelled_otherwise
from tests.conftest import execute

WALLET = Path(__file__).parent.parent / "examples" / "wallet"
PLAIN = Path(__file__).parent / "projects" / "plain"
PASSWORD = "s3cret-Pa55"
VERSION_TABLE = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"
ENV = {
    "DB_HOST": "{host}",
    "DB_PORT": "{port}",
    "DB_USER": "{user}",
    "DB_PASSWORD": "{password}",
    "DB_NAME": "{database}",
}


def environment_of(folder: Path, dsn: Dsn | str, **changes: object) -> Environment:
    """An environment of the wallet whose address stands in a file."""
    text = dsn.text if isinstance(dsn, Dsn) else dsn
    (folder / "target.url").write_text(text)
    made = Environment(
        name="staging",
        project=ProjectSettings(root=str(WALLET), env=ENV),
        folder=folder,
        outputs=folder / "outputs",
        url_file="target.url",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def examined(environment: Environment) -> dict[str, Item]:
    """Examine; whatever comes out must be shown without any secret."""
    items = examine(environment)
    assert PASSWORD not in report("staging", items)
    assert "Traceback" not in report("staging", items)
    return {item.name: item for item in items}


def bad(items: dict[str, Item]) -> list[str]:
    return [item.name for item in items.values() if item.status == "bad"]


@pytest.fixture
def role(server: EmbeddedServer, database: Dsn) -> Iterator[Dsn]:
    """A role that may do nothing but connect, as the user of ``database``."""
    name = f"reader_{uuid.uuid4().hex[:8]}"
    execute(database, f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    yield Dsn(database.url.set(username=name, password=PASSWORD))
    execute(database, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_healthy_environment_is_all_good_and_left_as_it_was(
    tmp_path: Path, database: Dsn, server: EmbeddedServer
) -> None:
    execute(database, VERSION_TABLE, "INSERT INTO alembic_version VALUES ('add_trading_models')")
    checks = (
        Check(name="finality", command=("python", "-m", "wallet.checks", "finality")),
        Check(name="module", callable="wallet.checks:run"),
        Check(name="one", sql="SELECT true"),
    )
    items = examined(
        environment_of(tmp_path, database, checks=checks, alerts=Alerts(command=("true",)))
    )
    assert [item.status for item in items.values()] == ["good"] * len(items)
    assert exit_code(items.values()) == 0
    assert "8 revision files" in items["revision files"].detail
    assert "psycopg2" in items["env.py"].detail
    assert "has 1 row" in items["version table"].detail
    assert report("staging", items.values()).splitlines()[-1].startswith("staging is ready")
    assert not (tmp_path / "outputs").exists()
    assert left_over(server) == []


def test_a_standby_is_told_at_once_and_never_written(tmp_path: Path) -> None:
    server = EmbeddedServer.start(tmp_path / "data", durable=True)
    server.stop()
    (server.folder / "standby.signal").touch()
    try:
        standby = EmbeddedServer.start(tmp_path / "data", durable=True).dsn("postgres")
        item = examined(environment_of(tmp_path, standby))["repairing"]
        assert (item.status, item.detail.partition(":")[0]) == ("bad", "The server is a standby")
        with pytest.raises(SafetyError, match="it is a standby"), alone(standby, "staging"):
            pytest.fail("a standby was to be written")
    finally:
        server.destroy()


def left_over(server: EmbeddedServer) -> list[str]:
    connection = psycopg2.connect(**server.dsn("postgres").libpq())
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname ~ '^runbook_doctor'")
            return [name for (name,) in cursor.fetchall()]
    finally:
        connection.close()


# The address, the server, the login, the database


def test_a_missing_reference_is_mended_first_and_the_project_is_still_looked_at(
    tmp_path: Path,
) -> None:
    environment = environment_of(tmp_path, "", url_file="", url_env="NOT_SET_ANYWHERE")
    items = examined(environment)
    assert bad(items) == ["address"]
    assert "NOT_SET_ANYWHERE" in items["address"].detail
    assert "export NOT_SET_ANYWHERE=" in items["address"].todo
    assert items["server"].status == items["version table"].status == "unknown"
    assert items["version table"].detail.endswith("mended: address.")
    assert items["revision files"].status == "good"
    assert exit_code(items.values()) == 2
    assert "mend address first" in report("staging", items.values()).splitlines()[-1]


REFUSALS = [
    pytest.param(
        f"postgresql://app:{PASSWORD}@127.0.0.1:1/app", "server", "does not answer", id="port"
    ),
    pytest.param(
        f"postgresql://app:{PASSWORD}@nowhere.invalid/app", "server", "host name", id="host"
    ),
]


@pytest.mark.parametrize(("url", "name", "todo"), REFUSALS)
def test_a_server_that_does_not_answer(tmp_path: Path, url: str, name: str, todo: str) -> None:
    items = examined(environment_of(tmp_path, url))
    assert bad(items) == [name]
    assert todo in items[name].todo
    assert items["login"].status == "unknown"
    assert exit_code(items.values()) == 4


def test_a_wrong_password_is_told_from_a_wrong_host(
    tmp_path: Path, server: EmbeddedServer, role: Dsn
) -> None:
    rules = server.folder / "pg_hba.conf"
    before = rules.read_text()
    wrong = Dsn(role.url.set(password=f"{PASSWORD}-wrong"))
    try:
        rules.write_text(f"local all {role.user} scram-sha-256\n{before}")
        execute(server.dsn("postgres"), "SELECT pg_reload_conf()", "SELECT pg_sleep(0.2)")
        items = examined(environment_of(tmp_path, wrong))
        assert bad(items) == ["login"]
        assert "password" in items["login"].todo
        assert items["server"].status == "good"
        assert exit_code(items.values()) == 4
        assert "login" not in bad(examined(environment_of(tmp_path, role)))
    finally:
        rules.write_text(before)
        execute(server.dsn("postgres"), "SELECT pg_reload_conf()")


def test_an_unknown_user_and_an_unknown_database(tmp_path: Path, database: Dsn) -> None:
    stranger = examined(environment_of(tmp_path, Dsn(database.url.set(username="nobody_here"))))
    assert bad(stranger) == ["login"]
    items = examined(environment_of(tmp_path, database.with_database("not_there")))
    assert bad(items) == ["database"]
    assert items["login"].status == "good"
    assert "check the name" in items["database"].todo
    assert exit_code(items.values()) == 4


def test_a_database_that_the_role_may_not_connect_to(tmp_path: Path, role: Dsn) -> None:
    owner = Dsn(role.url.set(username="postgres", password=None))
    execute(owner, f'REVOKE CONNECT ON DATABASE "{role.database}" FROM PUBLIC')
    items = examined(environment_of(tmp_path, role))
    assert bad(items) == ["database"]
    assert "CONNECT" in items["database"].todo


# What the role may do


def test_missing_grants_are_named_and_running_them_mends_it(tmp_path: Path, role: Dsn) -> None:
    owner = Dsn(role.url.set(username="postgres", password=None))
    tables = [f"CREATE TABLE t{number} (id serial)" for number in range(5)]
    hidden = ["CREATE SCHEMA ledger", "CREATE TABLE ledger.entries (id int)"]
    execute(owner, VERSION_TABLE, *tables, *hidden)
    environment = environment_of(tmp_path, role)
    items = examined(environment)
    assert bad(items) == ["reading", "repairing", "version table"]
    assert "USAGE on 1 schema (ledger)" in items["reading"].detail
    assert "ledger.entries, public.alembic_version, public.t0 and 4 more" in items["reading"].detail
    assert "5 sequences" in items["reading"].detail
    assert "could audit, but not repair" in items["repairing"].detail
    assert exit_code(items.values()) == 1
    execute(owner, *grants(items["reading"]), *grants(items["version table"]))
    assert bad(examined(environment)) == ["repairing"]


def grants(item: Item) -> list[str]:
    found = re.findall(r"GRANT .*?;", item.todo)
    assert found, item
    return found


def test_the_owner_of_everything_may_repair(tmp_path: Path, role: Dsn) -> None:
    owner = Dsn(role.url.set(username="postgres", password=None))
    execute(owner, f"GRANT CREATE ON SCHEMA public TO {role.user}")
    execute(role, VERSION_TABLE)
    assert bad(examined(environment_of(tmp_path, role))) == []


def test_row_level_security_would_make_a_backup_incomplete(tmp_path: Path, role: Dsn) -> None:
    owner = Dsn(role.url.set(username="postgres", password=None))
    secured = "ALTER TABLE notes ENABLE ROW LEVEL SECURITY"
    execute(owner, "CREATE TABLE notes (id int)", secured, f"GRANT SELECT ON notes TO {role.user}")
    environment = environment_of(tmp_path, role)
    items = examined(environment)
    assert "every row" in bad(items)
    assert "public.notes" in items["every row"].detail
    execute(owner, *re.findall(r"ALTER ROLE .*?;", items["every row"].todo))
    assert "every row" not in bad(examined(environment))


def test_a_version_table_that_may_only_be_read(tmp_path: Path, role: Dsn) -> None:
    owner = Dsn(role.url.set(username="postgres", password=None))
    execute(owner, VERSION_TABLE, f"GRANT SELECT ON alembic_version TO {role.user}")
    items = examined(environment_of(tmp_path, role))
    assert "lacks INSERT, UPDATE, DELETE on public.alembic_version" in items["version table"].detail


def test_a_database_that_was_never_stamped_is_a_note(tmp_path: Path, database: Dsn) -> None:
    items = examined(environment_of(tmp_path, database))
    assert items["version table"].status == "note"
    assert "no table alembic_version" in items["version table"].detail
    assert exit_code(items.values()) == 0


def test_even_an_address_that_asks_for_writing_is_looked_at_read_only(
    tmp_path: Path, database: Dsn
) -> None:
    """The item is bad unless the server itself says that the session is read-only."""
    query = {**database.url.query, "options": "-c default_transaction_read_only=off"}
    items = examined(environment_of(tmp_path, Dsn(database.url.set(query=query))))
    assert items["database"].status == "good"


# What this machine and the project need


def test_a_place_for_disposable_databases_that_cannot_be_used(
    tmp_path: Path, role: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = examined(environment_of(tmp_path, role, scratch="env:NO_SCRATCH"))
    assert "NO_SCRATCH" in unset["scratch"].detail
    assert unset["env.py"].status == "unknown"
    assert exit_code(unset.values()) == 2
    powerless = examined(environment_of(tmp_path, role, scratch="target"))
    assert "CREATEDB" in powerless["scratch"].todo
    execute(
        Dsn(role.url.set(username="postgres", password=None)), f"ALTER ROLE {role.user} CREATEDB"
    )
    assert examined(environment_of(tmp_path, role, scratch="target"))["scratch"].status == "good"


def test_an_interpreter_that_is_not_there_or_lacks_alembic(tmp_path: Path, database: Dsn) -> None:
    absent = ProjectSettings(root=str(WALLET), env=ENV, python="no/such/python")
    items = examined(environment_of(tmp_path, database, project=absent))
    assert bad(items) == ["interpreter"]
    assert exit_code(items.values()) == 4
    venv.create(tmp_path / "empty", with_pip=False, symlinks=True)
    empty = ProjectSettings(root=str(WALLET), env=ENV, python="empty/bin/python")
    items = examined(environment_of(tmp_path, database, project=empty))
    assert bad(items) == ["packages"]
    assert "alembic" in items["packages"].detail
    assert exit_code(items.values()) == 2


def test_a_container_that_does_not_answer_is_not_reached(tmp_path: Path, database: Dsn) -> None:
    container = ProjectSettings(root="/app", env=ENV, exec=("false",))
    items = examined(environment_of(tmp_path, database, project=container))
    assert bad(items) == ["interpreter"]
    assert "`false`" in items["interpreter"].detail
    assert exit_code(items.values()) == 4


SETTINGS = [
    pytest.param({"root": "nowhere"}, "project folder", id="folder"),
    pytest.param({"ini": "other.ini"}, "alembic options", id="ini"),
    pytest.param({"section": "other"}, "alembic options", id="section"),
]


@pytest.mark.parametrize(("changes", "name"), SETTINGS)
def test_settings_that_lead_nowhere(
    tmp_path: Path, database: Dsn, changes: dict[str, str], name: str
) -> None:
    settings = replace(ProjectSettings(root=str(WALLET), env=ENV), **changes)  # type: ignore[arg-type]
    items = examined(environment_of(tmp_path, database, project=settings))
    assert bad(items) == [name]
    assert items["revision files"].detail.endswith(f"mended: {name}.")
    assert exit_code(items.values()) == 2


def test_an_env_py_that_fails_and_a_file_that_cannot_be_loaded(
    tmp_path: Path, database: Dsn
) -> None:
    shutil.copytree(PLAIN, tmp_path / "p")
    settings = ProjectSettings(root="p")
    (tmp_path / "p/migrations/versions/9999_broken.py").write_text("def upgrade(:\n")
    items = examined(environment_of(tmp_path, database, project=settings))
    assert items["revision files"].status == "note"
    assert "9999_broken.py" in items["revision files"].detail
    (tmp_path / "p/migrations/env.py").write_text("import no_such_module\n")
    items = examined(environment_of(tmp_path, database, project=settings))
    assert bad(items) == ["env.py"]
    assert "no_such_module" in items["env.py"].detail
    assert exit_code(items.values()) == 1


def test_an_env_py_that_wants_its_application_is_told_what_to_do(
    tmp_path: Path, database: Dsn
) -> None:
    shutil.copytree(PLAIN, tmp_path / "p")
    (tmp_path / "p/migrations/env.py").write_text(
        "from alembic import context\ncontext.config.shop_url\n"
    )
    items = examined(environment_of(tmp_path, database, project=ProjectSettings(root="p")))
    assert bad(items) == ["env.py"]
    assert "has no attribute 'shop_url'" in items["env.py"].detail
    assert "an env.py of your own" in items["env.py"].todo


def test_revision_files_that_alembic_does_not_read_are_named(tmp_path: Path, database: Dsn) -> None:
    """As in trees whose application names a folder for each release only when it runs them."""
    shutil.copytree(PLAIN, tmp_path / "plain")
    versions = tmp_path / "plain/migrations/versions"
    (versions / "old/expand").mkdir(parents=True)
    (versions / "old/expand/0000_past.py").write_text(
        'revision: str = "0000"\ndown_revision = None\n'
    )
    (versions / "old/tools.py").write_text("a_revision = 1\n")
    environment = environment_of(tmp_path, database, project=ProjectSettings(root="plain"))
    item = examined(environment)["revision files"]
    assert item.status == "note"
    assert item.detail.endswith("does not read migrations/versions/old/expand/0000_past.py.")
    found = Project(ProjectSettings(root="plain"), tmp_path).collection()
    assert found.unread == {"migrations/versions/old/expand/0000_past.py": "0000"}
    for path in versions.glob("*.py"):
        path.rename(versions / "old" / path.name)
    item = examined(environment)["revision files"]
    assert item.status == "bad"
    assert "0 revision files; Alembic does not read migrations/versions/old/" in item.detail
    with (tmp_path / "plain/alembic.ini").open("a") as stream:
        stream.write("recursive_version_locations = true\n")
    (versions / "old/tools.py").unlink()
    assert examined(environment)["revision files"].status == "good"


def test_checks_and_alerts_that_have_nothing_to_run(tmp_path: Path, database: Dsn) -> None:
    checks = (
        Check(name="trading", command=("no-such-program", "--now")),
        Check(name="finality", callable="wallet.nothing:check"),
        Check(name="good", command=("python", "-m", "wallet.checks", "database")),
    )
    alerts = Alerts(webhook_env="NO_WEBHOOK")
    items = examined(environment_of(tmp_path, database, checks=checks, alerts=alerts))
    assert bad(items) == ["checks", "alerts"]
    assert "trading (no-such-program), finality (wallet.nothing)" in items["checks"].detail
    assert "good" not in items["checks"].detail
    assert "export NO_WEBHOOK=" in items["alerts"].todo
    assert exit_code(items.values()) == 2


def test_an_archive_that_cannot_be_written(tmp_path: Path, database: Dsn) -> None:
    (tmp_path / "file").write_text("")
    items = examined(environment_of(tmp_path, database, outputs=tmp_path / "file" / "outputs"))
    assert bad(items) == ["outputs"]
    assert items["disk space"].status == "unknown"


def test_the_unforeseen_is_a_bad_item_and_no_traceback(tmp_path: Path, database: Dsn) -> None:
    odd = ProjectSettings(root=str(WALLET), env=ENV, exec=("a\0b",))
    items = examined(environment_of(tmp_path, database, project=odd))
    assert items["interpreter"].status == "bad"
    assert "ValueError" in items["interpreter"].detail


# The report and the command


def test_the_report_is_a_line_for_each_and_one_sentence(tmp_path: Path) -> None:
    items = (
        Item(name="server", status="good", detail="db answers."),
        Item(name="login", status="bad", detail="The password is wrong.", todo="Mend the URL."),
        Item(name="database", status="unknown", detail="Cannot be told."),
    )
    assert report("staging", items).splitlines() == [
        "staging:",
        "✓ server    db answers.",
        "✗ login     The password is wrong.",
        "            → Mend the URL.",
        "? database  Cannot be told.",
        "staging is not ready: mend login first.",
    ]


CODES = [
    ({}, 0),
    ({"alerts": "note"}, 0),
    ({"server": "bad", "address": "good"}, 4),
    ({"interpreter": "bad", "address": "bad"}, 4),
    ({"address": "bad", "reading": "bad"}, 2),
    ({"reading": "bad"}, 1),
    ({"env.py": "unknown"}, 1),
]


@pytest.mark.parametrize(("statuses", "code"), CODES)
def test_exit_codes(statuses: dict[str, str], code: int) -> None:
    assert exit_code(Item(name=n, status=s) for n, s in statuses.items()) == code  # type: ignore[arg-type]


def test_the_command_prints_json_for_every_environment(
    tmp_path: Path, database: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = f"""
[project]
root = {json.dumps(str(PLAIN))}
python = {json.dumps(sys.executable)}
[environments.staging]
url_env = "DOCTOR_STAGING"
[environments.production]
url_env = "DOCTOR_PRODUCTION"
after = "staging"
"""
    (tmp_path / "runbook.toml").write_text(config)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCTOR_STAGING", database.text)
    os.environ.pop("DOCTOR_PRODUCTION", None)
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 2, result.output
    data = json.loads(result.output)
    assert {item["status"] for item in data["staging"]} <= {"good", "note"}
    assert data["production"][1]["status"] == "bad"


def test_a_server_whose_spelling_would_look_like_handwork_is_named() -> None:
    assert not spelled_otherwise(12, 18)
    assert not spelled_otherwise(11, 11)
    (words,) = spelled_otherwise(11, 18)
    assert "PostgreSQL 11 spells" in words
    assert 'scratch = "local"' in words
