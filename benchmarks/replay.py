"""What a replay with effects costs, against plain ``alembic upgrade heads`` of the same tree.

    .venv/bin/python benchmarks/replay.py [--revisions 150] [--project FOLDER [--python PYTHON]]

Each is run three times on the same disposable server, in turns; the best of each counts. The tree
is made for the purpose (each revision creates a table with an index and a foreign key, or alters
one) unless a project's folder is named. Limits: a replay 1.3 times the plain upgrade, a cached one
a tenth of it; the exit code is 1 when one of them is broken.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from runbook_lib.config import ProjectSettings
from runbook_lib.dsn import Dsn
from runbook_lib.postgres import EmbeddedServer, Scratch
from runbook_lib.project import Project
from runbook_lib.replay import replay

ROUNDS = 3
ENV = """
import os

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = '''"""Revision {number}."""

import sqlalchemy as sa
from alembic import op

revision = "r{number:04}"
down_revision = {down!r}


def upgrade():
    {body}


def downgrade():
    pass
'''
CREATE = """op.create_table(
        "t{number}",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("parent_id", sa.Integer, {key}index=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.CheckConstraint("length(name) > 1", name="ck_t{number}_name"),
    )"""
ALTER = """op.add_column("t{table}", sa.Column("c{number}", sa.Numeric(12, 2)))
    op.create_index("ix_t{table}_c{number}", "t{table}", ["c{number}"])"""


def make_tree(folder: Path, revisions: int) -> None:
    """Write an Alembic project of so many revisions, two in five of which create a table."""
    versions = folder / "migrations/versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (folder / "migrations/env.py").write_text(ENV)
    table = 0
    for number in range(revisions):
        if number % 5 in (0, 2):
            key = f'sa.ForeignKey("t{table}.id"), ' if number else ""
            body, table = CREATE.format(number=number, key=key), number
        else:
            body = ALTER.format(table=table, number=number)
        down = f"r{number - 1:04}" if number else None
        text = REVISION.format(number=number, down=down, body=body)
        (versions / f"r{number:04}.py").write_text(text)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def upgrade(folder: Path, python: str, dsn: Dsn) -> None:
    """Run what a person runs."""
    environment = {**os.environ, "DATABASE_URL": dsn.with_driver("psycopg2")}
    command = [python, "-m", "alembic", "upgrade", "heads"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def measure(folder: Path, python: str, scratch: Scratch) -> dict[str, float]:
    """Return the best seconds of: plain, reading the tree, replay, and replay from the cache."""
    settings = ProjectSettings(python=python, env={"DATABASE_URL": "postgresql+psycopg2://x@y/z"})
    times: dict[str, list[float]] = {"plain": [], "reading": [], "replay": [], "cached": []}
    for number in range(ROUNDS):
        cache = folder.parent / f"cache-{folder.name}-{number}"
        empty = scratch.create("plain")
        times["plain"].append(seconds(lambda dsn=empty: upgrade(folder, python, dsn)))
        scratch.drop(empty)
        project = Project(settings, folder)
        times["reading"].append(seconds(project.collect))
        for name in ("replay", "cached"):
            tree, shelf = project.collection().tree, cache
            work = partial(replay, project, tree, scratch, cache_folder=shelf)
            times[name].append(seconds(work))
    return {name: min(values) for name, values in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--revisions", type=int, default=150)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--python", default=sys.executable)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        server = EmbeddedServer.start(Path(place) / "server")
        try:
            folder = given.project or Path(place) / "tree"
            if not given.project:
                make_tree(folder, given.revisions)
            best = measure(folder.resolve(), given.python, Scratch(server.dsn("postgres")))
        finally:
            server.stop()
    for name, value in best.items():
        print(f"{name:14} {value:7.3f} s  {value / best['plain']:5.2f} x plain")
    return int(best["replay"] > 1.3 * best["plain"] or best["cached"] > best["plain"] / 10)


if __name__ == "__main__":
    sys.exit(main())
