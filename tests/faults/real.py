"""Real trees from the package index, each in a virtual environment of its own.

Nothing of them is kept in this repository: the revision files are copied from the installed
package into the world's project, so that repairs can be written there.
"""

from __future__ import annotations

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
sqlalchemy.url = postgresql+psycopg2://
"""


@dataclass(frozen=True, kw_only=True)
class RealTree:
    """``installs`` are argument lists for pip, ``versions`` the folder in site-packages.

    ``middle`` is a revision below the heads, ``target`` what an upgrade goes to.
    """

    name: str
    installs: tuple[tuple[str, ...], ...]
    versions: str
    middle: str
    target: str = "heads"
    metadata: str = "None"

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
        (folder / "migrations" / "env.py").write_text(env)
        return folder

    def alembic(self, project: Path, url: str, *arguments: str) -> str:
        """Run the package's own Alembic; return what it printed. Raises when it fails."""
        ini = project / "alembic.ini"
        ini.write_text(INI.replace("postgresql+psycopg2://", url.replace("%", "%%")))
        try:
            command = [self.python, "-m", "alembic", *arguments]
            done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
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
    )
}
