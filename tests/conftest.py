"""Real parts for every test: one embedded PostgreSQL per worker, a fresh database per test."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from faults.worlds import Workshop

from runbook_lib.dsn import Dsn
from runbook_lib.postgres import Cluster, EmbeddedServer, Scratch
from runbook_lib.programs import EMBEDDED_BIN


def pytest_configure() -> None:
    """Who starts the tests with nohup, or in the background of a script, has signals ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A real PostgreSQL of this worker's own; it listens on a Unix socket only.

    The disposable databases of environments live on another one, which starts when needed.
    """
    folder = Path(tempfile.mkdtemp(prefix="runbook-test-"))
    folder.chmod(0o755)  # the server may run as another system user
    started = EmbeddedServer.start(folder / "server")
    os.environ["RUNBOOK_STATE"] = str(folder)
    yield started
    started.destroy()
    for path in folder.glob("scratch-*"):  # one for every major version that was asked for
        if path.is_dir():
            Cluster(folder=path.resolve(), binaries=EMBEDDED_BIN, loopback=True).destroy()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def workshop(server: EmbeddedServer) -> Iterator[Workshop]:
    """One workshop per test worker; its templates serve every case."""
    folder = Path(tempfile.mkdtemp(prefix="runbook-faults-"))
    yield Workshop(server, folder)
    shutil.rmtree(folder)


def execute(dsn: Dsn, *statements: str) -> None:
    """Run statements, each in its own transaction."""
    connection = psycopg2.connect(**dsn.libpq())
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture
def database(server: EmbeddedServer) -> Iterator[Dsn]:
    """The address of a new, empty database, dropped after the test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    execute(server.dsn("postgres"), f'CREATE DATABASE "{name}"')
    yield server.dsn(name)
    execute(server.dsn("postgres"), f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def scratch(server: EmbeddedServer) -> Scratch:
    """The place for disposable databases: this worker's own server."""
    return Scratch(server.dsn("postgres"))


@pytest.fixture
def repository() -> Path:
    """The root of this repository."""
    return Path(__file__).parent.parent
