"""A replay with effects, against plain ``alembic upgrade heads`` of the same tree and server.

The peer runs in an empty database made beforehand; the replay makes its own and keeps it. Both
find their tree's compiled files as the peer's first run left them. Nothing is deleted on the way,
for some file systems make files slowly for minutes where many were deleted: every replay has a copy
of the tree to itself, so that none is kept for the next, and all shapes share one server.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measuring import Row, Work, in_turns
from benchmarks.shapes import SHAPES, write
from runbook_lib.config import ProjectSettings
from runbook_lib.dsn import Dsn
from runbook_lib.postgres import EmbeddedServer, Scratch
from runbook_lib.project import Project
from runbook_lib.replay import make_job, replay

LIMIT, CACHED_LIMIT = 1.3, 0.1
URL = {"DATABASE_URL": "postgresql+psycopg2://{user}:{password}@{host}:{port}/{database}"}


def rows(rounds: int) -> list[Row]:
    """Measure every shape, and the cached replay of the first."""
    found: list[Row] = []
    with _server() as (server, place):
        for number, (name, shape) in enumerate(SHAPES.items()):
            own = place / f"shape-{number}"
            folder = write(own / "tree", shape())
            measured = _measure(server, name, folder, sys.executable, URL, own, rounds)
            found += measured if not found else measured[:1]
    return found


def real_rows(folder: Path, python: str, variables: Mapping[str, str], rounds: int) -> list[Row]:
    """Measure a project that is there; ``variables`` are as in ``[project.env]``."""
    with _server() as (server, place):
        return _measure(server, folder.name, folder.resolve(), python, variables, place, rounds)


@contextmanager
def _server() -> Iterator[tuple[EmbeddedServer, Path]]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        server = EmbeddedServer.start(place / "server", loopback=True)
        try:
            yield server, place
        finally:
            server.destroy()


def _measure(
    server: EmbeddedServer,
    name: str,
    folder: Path,
    python: str,
    variables: Mapping[str, str],
    place: Path,
    rounds: int,
) -> list[Row]:
    settings = ProjectSettings(python=python, env=dict(variables))
    scratch, numbers = Scratch(server.dsn("postgres")), itertools.count()
    empty = [scratch.create("plain") for _ in range(rounds + 1)]
    _upgrade(folder, python, variables, empty.pop())  # compiles the tree's files
    copies = [Project(settings, _copy(folder, place / f"copy-{n}")) for n in range(rounds)]
    trees = [project.collect() for project in copies]

    def again(number: int) -> None:
        shelf = place / f"shelf-{number}"
        replay(make_job(copies[number], trees[number], scratch, cache_folder=shelf))

    works: dict[str, Work] = {
        "peer": lambda: _upgrade(folder, python, variables, empty.pop()),
        "replay": lambda: again(next(numbers)),
        "cached": lambda: again(0),
    }
    costs = in_turns(works, rounds, server)
    return [
        Row(what=f"replay, {name} / alembic upgrade", ours=costs["replay"], peer=costs["peer"],
            limit=LIMIT),
        Row(what="the same, cached / alembic upgrade", ours=costs["cached"], peer=costs["peer"],
            limit=CACHED_LIMIT),
    ]  # fmt: skip


def _copy(folder: Path, place: Path) -> Path:
    """Copy a project with its compiled files, whose sources keep their times."""
    return shutil.copytree(folder, place, symlinks=True)


def _upgrade(folder: Path, python: str, variables: Mapping[str, str], dsn: Dsn) -> None:
    """Run what a person runs."""
    place = {
        "url": str(dsn.text), "user": dsn.user, "password": dsn.password, "host": dsn.host,
        "port": dsn.port, "database": dsn.database,
    }  # fmt: skip
    given = {name: value.format(**place) for name, value in variables.items()}
    given["PYTHONDONTWRITEBYTECODE"] = ""  # its compiled files are for both
    command = [python, "-m", "alembic", "upgrade", "heads"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **given}, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
