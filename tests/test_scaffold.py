"""``runbook init``: the file that it writes works, says what was found, and holds no secret."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import tomllib
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib import scaffold
from runbook_lib.cli import main
from runbook_lib.config import load_environments
from runbook_lib.dsn import Dsn
from runbook_lib.errors import ConfigurationError, SafetyError
from runbook_lib.postgres import EmbeddedServer
from runbook_lib.project import Project
from runbook_lib.variables import role_of
from tests.conftest import execute

PROJECTS = Path(__file__).parent / "projects"
WALLET = Path(__file__).parent.parent / "examples" / "wallet"
SECRET = "hunter2-Zx9"
INI = "[alembic]\nscript_location = migrations\nprepend_sys_path = .\n"
ENV = """
from alembic import context
from sqlalchemy import create_engine
{head}
with create_engine(URL).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.execute("CREATE TABLE coins (id int PRIMARY KEY)")
def downgrade():
    op.execute("DROP TABLE coins")
"""


def make(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def project(root: Path, head: str, **files: str) -> Path:
    """A project with one revision whose env.py takes URL from ``head``."""
    tree = {
        "alembic.ini": INI,
        "migrations/env.py": ENV.format(head=head),
        "migrations/versions/0001_coins.py": REVISION,
    }
    return make(root, {**tree, **files})


def written(folder: Path, *, where: str = ".") -> tuple[dict[str, Any], str]:
    """Run init there; return the file's content and what was printed."""
    text = scaffold.init(folder, folder / where, force=False)
    load_environments(folder / "runbook.toml")
    return tomllib.loads((folder / "runbook.toml").read_text()), text


# No file names a driver: the one that the Python has which runs the runbook is named.
INSTALLED = "postgresql+psycopg2://{user}@localhost:{port}/{database}?host={host}&port={port}"
READS = [
    pytest.param(
        'import os\nURL = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://")',
        {"DATABASE_URL": "{url}"},
        id="rewritten from the plain scheme",
    ),
    pytest.param(
        'import os\nURL = os.getenv("DATABASE_URL", "postgresql+asyncpg://app:app@localhost/app")',
        {"DATABASE_URL": "postgresql+asyncpg://{user}@localhost:{port}/{database}?host={host}&port={port}"},
        id="a default tells the driver",
    ),
    pytest.param(
        'from os import environ as e\nURL = "postgresql+psycopg2://%s@%s/%s" % '
        '(e["PGUSER"], e.get("PGHOST"), e.get("PGDATABASE", "x"))',
        {"PGUSER": "{user}", "PGHOST": "{host}", "PGDATABASE": "{database}"},
        id="libpq's own names, environ renamed",
    ),
    pytest.param(
        'from decouple import config\nURL = config("DB_URL", default="postgresql://localhost/x")',
        {"DB_URL": "{url}"},
        id="decouple",
    ),
    pytest.param(
        'import os\nNAME = "SHOP_SQL_DATABASE_URL"\nURL = os.getenv(NAME)',
        {"SHOP_SQL_DATABASE_URL": INSTALLED},
        id="a name kept in a constant",
    ),
    pytest.param(
        'import os\nURL = os.environ["TARGET_URL"].removeprefix("postgresql:")',
        {"TARGET_URL": "{url}"},
        id="an unusual name in env.py itself",
    ),
    pytest.param(
        'import os\nA = os.getenv("REDIS_URL")\n'
        'URL = os.environ["DB_DSN"].replace("+asyncpg", "")',
        {"DB_DSN": "postgresql+asyncpg://{user}@localhost:{port}/{database}?host={host}&port={port}"},
        id="another service's address is left alone",
    ),
    pytest.param(
        "from oslo_config import cfg\nURL = cfg.CONF.database.connection",
        {"OS_DATABASE__CONNECTION": INSTALLED},
        id="oslo.config",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("head", "expected"), READS)
def test_what_env_py_reads(tmp_path: Path, head: str, expected: dict[str, str]) -> None:
    data, printed = written(project(tmp_path, head))
    assert data["project"]["env"] == expected
    assert all(name in printed for name in expected)


def test_settings_classes_are_read_with_prefix_alias_and_nested_models(tmp_path: Path) -> None:
    source = """
from pydantic import BaseModel, Field, PostgresDsn
from pydantic_settings import BaseSettings, SettingsConfigDict

class Database(BaseModel):
    host: str
    port: int = 5432
    pool_size: int = 5

class Base(BaseSettings):
    secret_key: str
    class Config:
        env_prefix = "IGNORED_"

class Settings(Base):
    model_config = SettingsConfigDict(env_prefix="APP_", env_nested_delimiter="__")
    db: Database
    primary: PostgresDsn
    password: str = Field(alias="POSTGRES_PASSWORD")
    redis_url: str = "redis://localhost"
"""
    root = project(
        tmp_path,
        "from app.core import settings\nURL = str(settings.primary)",
    )
    make(root, {"app/core/__init__.py": "from .config import Settings", "app/__init__.py": ""})
    make(root, {"app/core/config.py": source})
    data, _ = written(root)
    env = data["project"]["env"]
    assert env["APP_DB__HOST"] == "{host}"
    assert env["APP_DB__PORT"] == "{port}"
    assert env["POSTGRES_PASSWORD"] == "{password}"
    assert env["APP_PRIMARY"].startswith("postgresql+psycopg2://{user}@localhost:{port}/")
    assert not any("REDIS" in name or "POOL" in name for name in env)
    assert "# IGNORED_SECRET_KEY" in (root / "runbook.toml").read_text()


def test_settings_behind_packages_that_pass_them_on_are_found(tmp_path: Path) -> None:
    root = project(tmp_path, "from app.db import engine\nURL = engine.url")
    settings = (
        "from pydantic_settings import BaseSettings\n"
        "class DatabaseSettings(BaseSettings):\n"
        "    POSTGRES_HOST: str = 'localhost'\n    POSTGRES_DB: str\n    JWT_KEY: str\n"
    )
    make(root, {"app/__init__.py": "", "app/db.py": "from app.config import get_settings"})
    make(root, {"app/config/__init__.py": "from .all import get_settings"})
    make(root, {"app/config/all.py": "from ._database import DatabaseSettings"})
    make(root, {"app/config/_database.py": settings})
    data, _ = written(root)
    assert data["project"]["env"] == {"POSTGRES_HOST": "{host}", "POSTGRES_DB": "{database}"}


FLASK = {
    "migrations/alembic.ini": "[alembic]\n",
    "migrations/env.py": "from flask import current_app",
    "migrations/versions/0001.py": REVISION,
    "shop/__init__.py": "from flask import Flask\ndef create_app():\n"
    "    app = Flask('shop')\n    app.config.from_object('shop.settings.Config')\n    return app\n",
    "shop/settings.py": "import os\nclass Config:\n"
    "    SQLALCHEMY_DATABASE_URI = os.environ.get('SHOP_DATABASE_URL') or 'sqlite:///shop.db'\n",
}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        pytest.param({}, "shop", id="a package that makes it"),
        pytest.param(
            {".flaskenv": "FLASK_APP=shop:create_app()\n"}, "shop:create_app()", id="named"
        ),
        pytest.param(
            {"wsgi.py": "from shop import create_app\napp = create_app()"}, None, id="wsgi"
        ),
    ],
)
def test_flask_migrate_is_run_within_its_application(
    tmp_path: Path, more: dict[str, str], named: str | None
) -> None:
    data, printed = written(make(tmp_path, {**FLASK, **more}))
    assert (data["project"]["root"], data["project"]["ini"]) == (".", "migrations/alembic.ini")
    assert data["project"]["env"].get("FLASK_APP") == named
    assert data["project"]["env"]["SHOP_DATABASE_URL"] == INSTALLED
    assert "FLASK_APP" in printed


def test_an_example_file_gives_names_and_the_scheme_but_never_a_value(tmp_path: Path) -> None:
    head = "from app import URL"
    example = (
        f"DATABASE_URL=postgresql+psycopg://app:{SECRET}@db/app\nexport DB_PASSWORD={SECRET}\n"
    )
    root = project(tmp_path, head, **{".env": example})
    make(root, {"app.py": "import configlib\nURL = configlib.load()"})
    data, printed = written(root)
    assert data["project"]["env"]["DATABASE_URL"].startswith("postgresql+psycopg://{user}@")
    assert data["project"]["env"]["DB_PASSWORD"] == "{password}"
    assert SECRET not in printed + (root / "runbook.toml").read_text()


def test_a_password_in_the_ini_and_in_defaults_is_not_copied(tmp_path: Path) -> None:
    head = f'import os\nURL = os.getenv("DB_URL", "postgresql://app:{SECRET}@db/app")'
    root = project(tmp_path, head)
    url = f"sqlalchemy.url = postgresql+psycopg2://app:{SECRET}@db.internal/app\n"
    compose = f"services:\n  web:\n    build: .\n    environment:\n      DB_PASSWORD: {SECRET}\n"
    make(root, {"alembic.ini": INI + url, "docker-compose.yml": compose})
    _, printed = written(root)
    everything = printed + (root / "runbook.toml").read_text()
    assert SECRET not in everything
    assert "db.internal" not in everything


def test_the_nearest_ini_is_taken_and_the_others_named(tmp_path: Path) -> None:
    project(tmp_path / "services/billing", "URL = 1")
    project(tmp_path / "deep/er/and/deeper", "URL = 1")
    project(tmp_path / "much/too/deep/to/be/found", "URL = 1")
    project(tmp_path / ".venv/lib", "URL = 1")
    data, printed = written(tmp_path)
    assert data["project"]["root"] == "services/billing"
    assert "deep/er/and/deeper/alembic.ini" in printed
    assert "much/too" not in printed
    assert ".venv" not in printed


def test_an_ini_that_is_used_from_the_folder_above_keeps_that_root(tmp_path: Path) -> None:
    ini = INI.replace("migrations", "db/migrations")
    make(
        tmp_path, {"db/alembic.ini": ini, "db/migrations/env.py": "import os; os.environ['DB_URL']"}
    )
    data, _ = written(tmp_path)
    assert (data["project"]["root"], data["project"]["ini"]) == (".", "db/alembic.ini")
    assert list(data["project"]["env"]) == ["DB_URL"]


def test_the_section_that_leads_somewhere_is_taken(tmp_path: Path) -> None:
    shutil.copytree(PROJECTS / "branches", tmp_path / "p")
    data, printed = written(tmp_path / "p")
    assert data["project"]["section"] == "ledger"
    assert "alembic" in printed


def test_the_interpreter_beside_the_project_is_found_and_one_with_alembic_wins(
    tmp_path: Path,
) -> None:
    project(tmp_path / "backend", "URL = 1")
    make(tmp_path, {"backend/venv/bin/python": "", ".venv/bin/python": ""})
    make(tmp_path, {".venv/lib/python3.12/site-packages/alembic/__init__.py": ""})
    make(tmp_path, {".venv/lib/python3.12/site-packages/psycopg/__init__.py": ""})
    data, printed = written(tmp_path)
    assert data["project"]["python"] == ".venv/bin/python"
    assert "driver        psycopg\n" in printed


def test_the_interpreter_that_an_installed_project_lies_in_is_found(tmp_path: Path) -> None:
    make(tmp_path / "home", {"bin/python": "", "lib/python3.12/site-packages/alembic/x.py": ""})
    root = project(tmp_path / "home/lib/python3.12/site-packages/shop/db", "URL = 1")
    data, _ = written(root)
    found = (root / data["project"]["python"]).resolve()
    assert found == (tmp_path / "home/bin/python").resolve()


def test_an_environment_of_pipenv_is_found_by_its_own_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(tmp_path / "shop", "URL = 1", Pipfile='[packages]\nasyncpg = "*"\n')
    home = make(tmp_path / "envs/shop-abc", {"bin/python": "", ".project": str(root)})
    make(tmp_path / "envs/shop-other", {"bin/python": "", ".project": "/elsewhere/shop"})
    monkeypatch.setenv("WORKON_HOME", str(tmp_path / "envs"))
    data, printed = written(root)
    assert (root / data["project"]["python"]).resolve() == (home / "bin/python").resolve()
    assert "asyncpg" in printed


def test_a_service_that_builds_the_project_becomes_an_example(tmp_path: Path) -> None:
    project(tmp_path / "backend", "URL = 1", Dockerfile="FROM python\nWORKDIR /srv/app\n")
    compose = """
version: "3"
services:
  db:
    image: postgres:16
  web:
    restart: always
    build:
      dockerfile: Dockerfile
      context: ./backend
volumes:
  data:
"""
    make(tmp_path, {"compose.yaml": compose})
    data, printed = written(tmp_path)
    text = (tmp_path / "runbook.toml").read_text()
    assert data["project"]["exec"] == []
    assert '# exec = ["docker", "compose", "exec", "-T", "web"]' in text
    assert '# root = "/srv/app"' in text
    assert "service web" in printed


def test_there_are_two_environments_and_production_is_behind_staging(tmp_path: Path) -> None:
    root = project(tmp_path, "URL = 1")
    written(root)
    environments = load_environments(root / "runbook.toml")
    assert not environments["staging"].protected
    assert environments["production"].protected
    assert environments["production"].after == "staging"
    lines = (root / "runbook.toml").read_text().splitlines()
    for above, line in pairwise(lines):
        if " = " in line and not line.startswith("#"):
            assert above.startswith("#"), line


def test_it_is_not_replaced_without_force(tmp_path: Path) -> None:
    root = project(tmp_path, "URL = 1")
    make(root, {"runbook.toml": "# mine"})
    with pytest.raises(SafetyError, match="already"):
        scaffold.init(root, root, force=False)
    assert (root / "runbook.toml").read_text() == "# mine"
    scaffold.init(root, root, force=True)
    assert load_environments(root / "runbook.toml")


def test_no_project_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no alembic\.ini"):
        scaffold.init(tmp_path, tmp_path, force=False)
    assert not (tmp_path / "runbook.toml").exists()


def test_a_tree_that_its_application_runs_without_an_ini_is_named(tmp_path: Path) -> None:
    make(tmp_path, {"shop/db/alembic/env.py": "", "shop/db/alembic/versions/0001.py": REVISION})
    with pytest.raises(ConfigurationError) as caught:
        scaffold.init(tmp_path, tmp_path, force=False)
    assert "script_location = %(here)s/shop/db/alembic" in caught.value.hint
    assert "more such trees" not in caught.value.hint
    make(tmp_path, {"users/alembic/env.py": "", "users/alembic/versions/0001.py": REVISION})
    with pytest.raises(ConfigurationError) as caught:
        scaffold.init(tmp_path, tmp_path, force=False)
    assert "more such trees: shop/db/alembic." in caught.value.hint
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/shop/db/alembic\n")
    data, _ = written(tmp_path)
    assert data["project"]["root"] == "."


def test_an_ini_deep_within_a_package_finds_the_packages_settings(tmp_path: Path) -> None:
    make(tmp_path, {"shop/__init__.py": "", "shop/db/__init__.py": "", "shop/db/alembic.ini": INI})
    make(tmp_path, {"shop/db/migrations/env.py": "from shop.settings import URL"})
    make(tmp_path, {"shop/settings.py": "import os\nURL = os.environ['SHOP_DATABASE_URL']"})
    data, _ = written(tmp_path)
    assert data["project"]["root"] == "shop/db"
    assert list(data["project"]["env"]) == ["SHOP_DATABASE_URL"]


def test_a_location_within_a_package_may_have_several_colons(tmp_path: Path) -> None:
    ini = "[alembic]\nscript_location = shop:server:db:_migrations\n"
    make(tmp_path, {"shop/server/db/alembic.ini": ini, "shop/server/db/_migrations/env.py": ""})
    data, printed = written(tmp_path)
    assert (data["project"]["root"], data["project"]["ini"]) == (".", "shop/server/db/alembic.ini")
    assert "not found" not in printed


def test_a_location_that_names_the_package_is_found_from_within_it(tmp_path: Path) -> None:
    ini = "[alembic]\nscript_location = shop:server:db:_migrations\n"
    packages = {f"{name}/__init__.py": "" for name in ("shop", "shop/server", "shop/server/db")}
    make(tmp_path, packages | {"shop/server/db/alembic.ini": ini})
    make(tmp_path, {"shop/server/db/_migrations/env.py": "import os\nos.environ['DB_URL']"})
    data, printed = written(tmp_path / "shop/server/db")
    assert list(data["project"]["env"]) == ["DB_URL"]
    assert "not found" not in printed


BROKEN = [
    pytest.param({"alembic.ini": "[alembic\nnonsense"}, "No script_location", id="unreadable ini"),
    pytest.param({"alembic.ini": INI}, "was not found", id="no script folder"),
    pytest.param(
        {"alembic.ini": "[alembic]\nscript_location = {folder}\n"},
        "an ini file of your own",
        id="a location that the application fills in",
    ),
    pytest.param({"alembic.ini": INI, "migrations/x": ""}, "no env.py", id="no env.py"),
    pytest.param(
        {"alembic.ini": INI, "migrations/env.py": "def broken("}, "none that", id="syntax error"
    ),
    pytest.param(
        {
            "migrations/alembic.ini": "[alembic]\n",
            "migrations/env.py": "from flask import current_app",
        },
        "Flask-Migrate",
        id="flask-migrate",
    ),
    pytest.param(
        {"alembic.ini": INI + "sqlalchemy.url = sqlite:///x.db\n", "migrations/env.py": ""},
        "sqlite",
        id="not PostgreSQL",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), BROKEN)
def test_what_is_odd_is_said(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    _, printed = written(make(tmp_path, files))
    assert expected in printed


WORDS = st.sampled_from(
    (
        *("services:", "  web:", "    build: .", "      context:", "    build:", "\t", "\n", "\n"),
        *("[alembic]", "script_location = %(here)s/x:y", "script_location = a:", "[tool.alembic]"),
        *("[tool]", 'poetry = "x"', "class S(BaseSettings):", "  model_config = f(**x)", "  a: S"),
        *("  db_url: int = Field(alias=1)", "import os", "os.environ[x]", "os.environ[()]", "\0"),
        *('os.getenv("DB_URL", 1, 2)', "from ....a import b", "%", "${DB_URL", "sqlalchemy.url ="),
        *('name = "\\', "project = 1", "tool = []", "é\u2028", "prepend_sys_path = \0"),
    )
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.lists(WORDS, max_size=12)), max_size=5))
def test_nothing_that_stands_in_a_project_breaks_it(files: list[tuple[int, list[str]]]) -> None:
    """It writes a file that can be loaded, or says in its own words that there is no project."""
    names = ("alembic.ini", "pyproject.toml", "compose.yaml", "x/env.py", ".env")
    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder), {names[number]: "\n".join(words) for number, words in files})
        with contextlib.suppress(ConfigurationError):
            scaffold.init(root, root, force=False)
            assert len(load_environments(root / "runbook.toml")) == 2


ROLES = [
    ("DATABASE_URL", "url"), ("SQLALCHEMY_DATABASE_URI", "url"), ("POSTGRES_SERVER", "host"),
    ("POSTGRES_DB", "database"), ("PGPASSWORD", "password"), ("DB_USERNAME", "user"),
    ("DBHOST", "host"), ("DB_PORT_RO", "port"), ("DB_SOCKET", "socket"), ("DB_SCHEMA", ""),
    ("DB_PASSWORD_FILE", ""), ("REDIS_DB", ""), ("SMTP_HOST", ""), ("HOST", ""), ("DB", ""),
    ("MYSQL_DATABASE_URL", ""), ("DB_CONNECTION_STRING", "url"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "role"), ROLES)
def test_what_a_name_means(name: str, role: str) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize("name", ["wallet", "settings", "plain", "insists", "branches"])
def test_real_projects_are_ready_after_init(
    tmp_path: Path, database: Dsn, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = WALLET if name == "wallet" else PROJECTS / name
    shutil.copytree(source, tmp_path / name)
    ready(tmp_path, database, monkeypatch)


def ready(folder: Path, database: Dsn, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run init and doctor as a person does; return what the doctor said."""
    monkeypatch.chdir(folder)
    execute(database, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    made = CliRunner().invoke(main, ["init"])
    assert made.exit_code == 0, made.output
    monkeypatch.setenv("STAGING_DATABASE_URL", database.text)
    result = CliRunner().invoke(main, ["doctor", "-e", "staging"])
    assert result.exit_code == 0, result.output
    assert "staging is ready" in result.output
    return result.output


def test_a_password_of_any_letters_reaches_the_project(
    tmp_path: Path, database: Dsn, server: EmbeddedServer
) -> None:
    """The application's checks connect by themselves, with what init wrote."""
    password, user = "p@ss/w:rd%41#", f"checker_{uuid.uuid4().hex[:8]}"
    rules = server.folder / "pg_hba.conf"
    before = rules.read_text()
    execute(database, f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
    rules.write_text(f"local all {user} scram-sha-256\n{before}")
    execute(database, "SELECT pg_reload_conf()", "SELECT pg_sleep(0.2)")
    try:
        root = project(tmp_path, 'import os\nURL = os.environ["DATABASE_URL"]')
        make(root, {"requirements.txt": "psycopg2-binary\n", "check.py": CHECK})
        written(root)
        environment = load_environments(root / "runbook.toml")["staging"]
        target = Dsn(database.url.set(username=user, password=password))
        code, output = Project(environment.project, root).run(["python", "check.py"], target)
        assert (code, output.split()) == (0, [user, database.database])
    finally:
        rules.write_text(before)
        execute(database, "SELECT pg_reload_conf()", f"DROP ROLE {user}")


CHECK = """
import os
from sqlalchemy import create_engine, text
with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    print(*connection.execute(text("SELECT current_user, current_database()")).one())
"""


@pytest.mark.parametrize("url", ["sqlite:///shop.db", "mysql+pymysql://h/d", "{db_url}"])
def test_a_url_that_the_application_would_replace_is_replaced(
    tmp_path: Path, database: Dsn, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    head = 'URL = context.config.get_main_option("sqlalchemy.url")'
    project(tmp_path, head, **{"alembic.ini": f"{INI}sqlalchemy.url = {url}\n"})
    assert "it names alembic_version" in ready(tmp_path, database, monkeypatch)


def test_options_in_pyproject_alone_are_enough(
    tmp_path: Path, database: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, 'import os\nURL = os.environ["SHOP_DB_URL"]')
    (tmp_path / "alembic.ini").unlink()
    pyproject = '[tool.alembic]\nscript_location = "%(here)s/migrations"\n'
    make(tmp_path, {"pyproject.toml": pyproject, "requirements.txt": "psycopg2-binary  # driver\n"})
    ready(tmp_path, database, monkeypatch)
    env = tomllib.loads((tmp_path / "runbook.toml").read_text())["project"]["env"]
    assert env["SHOP_DB_URL"].startswith("postgresql+psycopg2://")
    printed = scaffold.init(tmp_path, tmp_path, force=True)
    assert "pyproject.toml [tool.alembic]" in printed
    assert "1.16" in printed


def test_nothing_of_the_project_is_imported(tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    head = f'open({str(mark)!r}, "w")\nURL = 1'
    root = project(tmp_path / "p", head)
    written(root)
    assert not mark.exists()
