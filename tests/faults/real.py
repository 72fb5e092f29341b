"""Real trees from the package index, each in a virtual environment of its own.

Nothing of them is kept in this repository: the revision files are copied from the installed
package into the world's project, so that repairs can be written there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).parent.parent.parent / "build" / "corpus"
ENV_PY = """\
import sqlalchemy as sa
from alembic import context

engine = sa.create_engine(
    context.config.get_main_option("sqlalchemy.url"), poolclass=sa.pool.NullPool
)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=METADATA)
    with context.begin_transaction():
        context.run_migrations()
"""
INI = """\
[alembic]
script_location = migrations
path_separator = os
recursive_version_locations = true
sqlalchemy.url = postgresql+psycopg2://

[loggers]
keys = root

[handlers]
keys =

[formatters]
keys =

[logger_root]
handlers =
"""
PAST = """\
import sqlalchemy as sa
import MODULE


def create(url):
    MODULE.NAME.create_all(sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://")))
"""


@dataclass(frozen=True, kw_only=True)
class RealTree:
    """``installs`` are argument lists for pip, ``versions`` the folder in site-packages.

    ``middle`` is a revision below the heads, ``target`` what an upgrade goes to. ``past`` names
    the metadata, as ``module:name``, whose ``create_all`` made what the first revision expects.
    ``silent`` are newest revisions that change rows only, so that nobody can say if they ran.
    ``own``: the package's env.py is used, which reads its URL from ``variable``.
    """

    name: str
    installs: tuple[tuple[str, ...], ...]
    versions: str
    middle: str
    target: str = "heads"
    metadata: str = "None"
    past: str = ""
    silent: tuple[str, ...] = ()
    own: bool = False
    driver: str = "psycopg2"
    variable: str = ""

    @property
    def settings(self) -> str:
        """Lines for the project's table in runbook.toml."""
        if not self.variable:
            return ""
        url = f"postgresql+{self.driver}://{{user}}:{{password}}@{{host}}:{{port}}/{{database}}"
        return f'[project.env]\n{self.variable} = "{url}"\nHOME = "/nonexistent"'

    @property
    def python(self) -> Path:
        return HOME / self.name / "bin" / "python"

    def install(self) -> None:
        """Make the virtual environment, unless it is there."""
        done = HOME / self.name / "installed"
        if done.exists():
            return
        subprocess.run([sys.executable, "-m", "venv", HOME / self.name], check=True)
        for arguments in self.installs:
            command = [self.python, "-m", "pip", "install", "--quiet", *arguments]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        done.touch()

    def write(self, folder: Path) -> Path:
        """Write a project that runs the package's revisions."""
        (site,) = (HOME / self.name / "lib").glob("python3*/site-packages")
        (folder / "migrations").mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(site / self.versions, folder / "migrations" / "versions", ignore=ignored)
        (folder / "alembic.ini").write_text(INI)
        env = ENV_PY.replace("METADATA", self.metadata)
        if self.own:
            env = (site / self.versions).parent.joinpath("env.py").read_text()
        (folder / "migrations" / "env.py").write_text(env)
        module, _, name = self.past.partition(":")
        (folder / "past.py").write_text(PAST.replace("MODULE", module).replace("NAME", name))
        return folder

    def make_past(self, project: Path, url: str) -> None:
        """Make what was there before the first revision."""
        command = [self.python, "-c", f"import past; past.create({url!r})"]
        subprocess.run(command, cwd=project, check=True)

    def alembic(self, project: Path, url: str, *arguments: str) -> str:
        """Run the package's own Alembic; return what it printed. Raises when it fails."""
        ini = project / "alembic.ini"
        ini.write_text(INI.replace("postgresql+psycopg2://", url.replace("%", "%%")))
        try:
            command = [self.python, "-m", "alembic", *arguments]
            variables = {**os.environ, self.variable or "UNUSED": url}
            done = subprocess.run(
                command, cwd=project, env=variables, capture_output=True, text=True, check=False
            )
        finally:
            ini.write_text(INI)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


NAMES = (
    'sa.MetaData(naming_convention={"ix": "ix_%(column_0_label)s", '
    '"uq": "uq_%(table_name)s_%(column_0_name)s", "ck": "ck_%(table_name)s_%(constraint_name)s", '
    '"fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s", '
    '"pk": "pk_%(table_name)s"})'
)

TREES = {
    tree.name: tree
    for tree in (
        RealTree(
            name="argilla-server",
            installs=(
                ("--no-deps", "argilla-server==2.8.0"),
                ("sqlalchemy<2.1", "alembic", "psycopg2-binary"),
            ),
            versions="argilla_server/alembic/versions",
            middle="b8458008b60e",
        ),
        RealTree(  # its checks of a varchar against a list are spelled anew by a restore
            name="fractal-server",
            installs=(("fractal-server==2.18.5", "psycopg2-binary"),),
            versions="fractal_server/migrations/versions",
            middle="45fbb391d7af",
            metadata=NAMES,
        ),
        RealTree(
            name="glance",
            installs=(("glance==33.0.0", "psycopg2-binary"),),
            versions="glance/db/sqlalchemy/alembic_migrations/versions",
            middle="rocky_expand02",
        ),
        RealTree(
            name="langflow",
            installs=(
                ("--no-deps", "langflow-base==1.13.0", "lfx"),
                ("sqlmodel", "psycopg2-binary", "alembic", "orjson", "fastapi", "langchain-core"),
                ("structlog", "loguru", "platformdirs", "filelock", "pandas", "aiofiles"),
                ("pillow", "cryptography"),
            ),
            versions="langflow/alembic/versions",
            middle="006b3990db50",
            metadata=NAMES,
        ),
        RealTree(
            name="dstack",
            installs=(("dstack[server]==0.22.5", "asyncpg", "psycopg2-binary"),),
            versions="dstack/_internal/server/migrations/versions",
            middle="98d1b92988bc",
            own=True,
            driver="asyncpg",
            variable="DSTACK_DATABASE_URL",
        ),
        RealTree(
            name="aiida",
            installs=(("aiida-core==2.9.4", "psycopg[binary]", "psycopg2-binary"),),
            versions="aiida/storage/psql_dos/migrations/versions",
            middle="main_0001",
            target="main@head",
            silent=("main_0002",),
        ),
    )
}
BASELESS = {
    tree.name: tree
    for tree in (
        RealTree(
            name="mlflow",
            installs=(
                ("--no-deps", "mlflow==3.17.2"),
                ("mlflow-skinny==3.17.2", "pandas", "numpy", "flask", "cryptography"),
                ("alembic", "psycopg2-binary"),
            ),
            versions="mlflow/store/db_migrations/versions",
            middle="7ac759974ad8",
            past="mlflow.store.tracking.dbmodels.initial_models:Base.metadata",
        ),
        RealTree(
            name="jupyterhub",
            installs=(("jupyterhub==6.1.1", "psycopg2-binary"),),
            versions="jupyterhub/alembic/versions",
            middle="3ec6993fe20c",
            past="jupyterhub.orm:Base.metadata",
        ),
    )
}
