"""The agent in real virtual environments: the releases and drivers that projects have.

Slow, since it installs them: run with ``-m corpus``. Each environment is made once a session.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook_lib import postgres
from runbook_lib.catalog import apply_changes, snapshot
from runbook_lib.config import ProjectSettings
from runbook_lib.dsn import Dsn
from runbook_lib.errors import ConfigurationError
from runbook_lib.project import Project

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(900)]

PROJECTS = Path(__file__).parent / "projects"
DRIVERS = ("psycopg2-binary", "psycopg[binary]", "pg8000", "asyncpg", "greenlet")
RELEASES = {
    "alembic 1.7, SQLAlchemy 1.4": ("alembic==1.7.7", "sqlalchemy==1.4.54"),
    "alembic 1.13, SQLAlchemy 2.0": ("alembic==1.13.3", "sqlalchemy==2.0.36"),
    "alembic and SQLAlchemy of today": ("alembic", "sqlalchemy>=2.1"),
}
OTHERS = {
    "SQLAlchemy 1.3": ("alembic==1.7.7", "sqlalchemy==1.3.24"),
    "Flask-Migrate": ("flask-migrate", "flask-sqlalchemy"),
}
MODES = (("psycopg2", ""), ("psycopg", ""), ("pg8000", ""), ("asyncpg", "async"),
         ("psycopg", "async"))  # fmt: skip
CASES = [
    (release, driver, mode)
    for release in RELEASES
    for driver, mode in MODES
    if not (driver == "psycopg" and "1.4" in release)  # SQLAlchemy 1.4 does not know psycopg 3
]


@pytest.fixture(autouse=True)
def asked_for(request: pytest.FixtureRequest) -> None:
    if "corpus" not in request.config.option.markexpr:
        pytest.skip("installs releases from PyPI: run with -m corpus")


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Give the interpreter of a virtual environment with that release and every driver."""
    place = tmp_path_factory.mktemp("environments")

    def make(release: str) -> str:
        every = RELEASES | OTHERS
        folder = place / str(list(every).index(release))
        if not folder.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *every[release], *DRIVERS], check=True)
        return str(folder / "bin/python")

    return make


def project(python: str, driver: str, mode: str, address: str = "app@nowhere.invalid") -> Project:
    url = f"postgresql+{driver}://{address}/app"
    env = {"DATABASE_URL": url, "MODE": mode, "DRIVER": driver}
    return Project(ProjectSettings(root="any_driver", python=python, env=env), PROJECTS)


@pytest.mark.parametrize(("release", "driver", "mode"), CASES)
def test_every_release_and_driver_gives_the_same_effects(
    interpreter: Callable[[str], str], database: Dsn, release: str, driver: str, mode: str
) -> None:
    run = project(interpreter(release), driver, mode).run_replay(database, partial=True)
    found = {item.revision_id: item for item in run.revisions}
    assert {key for key, item in found.items() if item.status == "failed"} == {"v4", "v5"}
    assert 'relation "no_such_table" does not exist' in found["v4"].error
    assert "opens a connection of its own to 127.0.0.1:9/elsewhere; it was denied" in (
        found["v5"].error
    )
    assert [change.object for change in found["v1"].changes] == [
        "column:public.people.id",
        "column:public.people.mood",
        "column:public.people.share",
        "constraint:public.people.people_pkey",
        "label:public.mood.glad",
        "sequence:public.people_id_seq",
        "table:public.people",
        "type:public.mood",
    ]
    assert [change.object for change in found["v2"].changes] == ["label:public.mood.sad"]
    assert found["v1"].statements[-1] == "COMMENT ON TABLE people IS '100% of them'"
    assert found["v2"].autocommit
    assert (found["v3"].touches_rows, found["v3"].rows) == (True, 4)
    assert not any(item.commits_inside or item.lost for item in run.revisions)
    assert run.rows == ("v3",)
    assert run.description is not None
    assert run.description.driver == driver
    assert run.description.is_async == bool(mode)
    assert run.description.driver_version
    assert run.baseline is not None
    catalog = run.baseline
    for item in run.revisions:
        catalog = apply_changes(catalog, item.changes)
    connection = postgres.connect(database)
    assert snapshot(connection, exclude=[run.version_table]) == catalog
    connection.close()


@pytest.mark.parametrize(("release", "driver", "mode"), CASES)
def test_every_release_and_driver_goes_up_and_down(
    interpreter: Callable[[str], str], database: Dsn, release: str, driver: str, mode: str
) -> None:
    used = project(interpreter(release), driver, mode)
    done = used.upgrade(database, "v3", lock_timeout="5s", statement_timeout="1min")
    assert [item.status for item in done] == ["replayed"] * 3
    assert used.state(database)["current"] == "v3 (head)"
    down = used.downgrade(database, "base")
    assert [item.revision_id for item in down] == ["v3", "v2", "v1"]
    used.stamp(database, "v2")
    assert used.state(database)["current"].startswith("v2")


def test_a_url_made_of_parts_with_a_socket_in_it(
    interpreter: Callable[[str], str], database: Dsn
) -> None:
    python = interpreter("alembic and SQLAlchemy of today")
    parts = "{user}:{password}@{host}:{port}"
    used = project(python, "asyncpg", "async", parts)
    assert used.run_replay(database, target="v3").rows == ("v3",)


def test_a_release_that_is_too_old_is_refused_by_name(
    interpreter: Callable[[str], str], database: Dsn
) -> None:
    old = project(interpreter("SQLAlchemy 1.3"), "psycopg2", "")
    for ask in (old.collect, lambda: old.run_replay(database)):
        with pytest.raises(ConfigurationError, match=r"sqlalchemy 1\.3\.24.*1\.4 or newer"):
            ask()


def flask(python: str, application: str) -> Project:
    env = {"FLASK_APP": application, "SHOP_DATABASE_URL": "postgresql+psycopg2://nowhere.invalid/x"}
    settings = ProjectSettings(root="flask", ini="migrations/alembic.ini", python=python, env=env)
    return Project(settings, PROJECTS)


def test_flask_migrate_runs_within_its_application(
    interpreter: Callable[[str], str], database: Dsn
) -> None:
    """As ``flask db init`` lays it out: no script_location, and current_app in env.py."""
    shop = flask(interpreter("Flask-Migrate"), "shop:create_app")
    assert [item.status for item in shop.run_replay(database).revisions] == ["replayed"]
    assert shop.state(database)["current"] == "coins1 (head)"
    assert [item.revision_id for item in shop.downgrade(database, "base")] == ["coins1"]


def test_an_application_that_cannot_be_loaded_is_said(
    interpreter: Callable[[str], str], database: Dsn
) -> None:
    with pytest.raises(ConfigurationError, match=r"Flask's application.*no_such_shop") as caught:
        flask(interpreter("Flask-Migrate"), "no_such_shop").run_replay(database)
    assert "FLASK_APP" in caught.value.hint


ASYNC_ENV = """\
import asyncio

from alembic import context
from sqlalchemy.ext.asyncio import async_engine_from_config


def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def main():
    section = context.config.get_section(context.config.config_ini_section)
    async with async_engine_from_config(section).connect() as connection:
        await connection.run_sync(migrate)


asyncio.run(main())
"""


FAILING = """\
from alembic import op

revision = "coins1"
down_revision = None


def upgrade():
    op.execute("DELETE FROM coins")
"""


def test_an_async_environment_without_an_address_gets_an_async_driver(
    interpreter: Callable[[str], str], database: Dsn, tmp_path: Path
) -> None:
    """The template of ``alembic init -t async``, whose ini names no address."""
    (tmp_path / "migrations" / "versions").mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (tmp_path / "migrations" / "env.py").write_text(ASYNC_ENV)
    (tmp_path / "migrations" / "versions" / "coins1.py").write_text(FAILING)
    settings = ProjectSettings(python=interpreter("alembic and SQLAlchemy of today"))
    used = Project(settings, tmp_path)
    described = used.describe(database)
    assert (described.driver, described.is_async) == ("asyncpg", True)
    (run,) = used.run_replay(database).revisions
    assert run.error.startswith('relation "coins" does not exist (migrations/versions/coins1.py')
