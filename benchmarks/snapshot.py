"""A snapshot of the live schema as the audit takes it, against ``pg_dump -s`` (PostgreSQL 18).

Each table has eight columns, a primary key, a foreign key and an index.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2

from benchmarks.measuring import Row, in_turns
from runbook_lib.connection import connect
from runbook_lib.dsn import Dsn
from runbook_lib.halves import snapshot
from runbook_lib.postgres import EmbeddedServer
from runbook_lib.programs import EMBEDDED_BIN

SIZES, LIMIT = (1_000, 10_000), 0.35
BATCH = 500  # tables per transaction: each takes several locks, and their number is limited


def rows(rounds: int) -> list[Row]:
    """Measure both at 1,000 and at 10,000 tables."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer.start(Path(folder) / "data")
        try:
            return [_measure(server, size, rounds) for size in SIZES]
        finally:
            server.destroy()


def _measure(server: EmbeddedServer, size: int, rounds: int) -> Row:
    dsn = server.dsn(f"bench_{size}")
    _run(server.dsn("postgres"), [f"CREATE DATABASE {dsn.database}"])
    _run(dsn, _schema(size))
    works = {"ours": lambda: _snapshot(dsn), "peer": lambda: _dump(dsn)}
    costs = in_turns(works, rounds, server)
    what = f"snapshot of {size:,} tables / pg_dump -s"
    return Row(what=what, ours=costs["ours"], peer=costs["peer"], limit=LIMIT)


def _schema(size: int) -> Iterator[str]:
    for start in range(0, size, BATCH):
        yield "; ".join(_table(number) for number in range(start, min(start + BATCH, size)))


def _table(number: int) -> str:
    parent = f"t{number - 1}" if number else "t0"
    return f"""
        CREATE TABLE t{number} (
            id serial PRIMARY KEY, parent_id integer REFERENCES {parent}, name varchar(50) NOT NULL,
            amount numeric(12, 2) DEFAULT 0, active boolean NOT NULL DEFAULT true, note text,
            created_at timestamptz NOT NULL DEFAULT now(), payload jsonb);
        CREATE INDEX ix_t{number}_name ON t{number} (name)"""


def _run(dsn: Dsn, statements: Iterator[str] | list[str]) -> None:
    with closing(psycopg2.connect(**dsn.libpq())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def _snapshot(dsn: Dsn) -> None:
    with closing(connect(dsn)) as connection:
        assert snapshot(connection, lambda: connect(dsn)).objects


def _dump(dsn: Dsn) -> None:
    program = [str(EMBEDDED_BIN / "pg_dump"), "--schema-only"]
    subprocess.run(program, env=dsn.environ(), stdout=subprocess.DEVNULL, check=True)
