"""How long a snapshot takes against `pg_dump -s` of the same database, on the embedded PostgreSQL.

    python benchmarks/snapshot.py 1000 10000

Each table has eight columns, a primary key, a foreign key and an index. Prints, per number of
tables, the medians in seconds and their ratio; exits 1 when a ratio is above the promised 0.35.
The two are timed in turn, so that a busy machine weighs on both alike.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2

from runbook_lib.catalog import snapshot
from runbook_lib.dsn import Dsn
from runbook_lib.postgres import EmbeddedServer
from runbook_lib.programs import EMBEDDED_BIN

PROMISED = 0.35
BATCH = 500  # tables per transaction: each takes several locks, and their number is limited


def main() -> int:
    """Measure every size given on the command line. Returns the exit code."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer.start(Path(folder) / "data")
        try:
            ratios = [_measure(server, size, options.repeat) for size in options.tables]
        finally:
            server.stop()
    return 1 if max(ratios) > PROMISED else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("tables", type=int, nargs="*", default=[1000], help="numbers of tables")
    parser.add_argument("--repeat", type=int, default=5, help="measurements of each")
    return parser.parse_args()


def _measure(server: EmbeddedServer, size: int, repeat: int) -> float:
    """Print and return the ratio for a database of ``size`` tables."""
    dsn = server.dsn(f"bench_{size}")
    _run(server.dsn("postgres"), [f"CREATE DATABASE {dsn.database}"])
    _run(dsn, _schema(size))
    ours, theirs = [], []
    for _ in range(repeat):
        ours.append(_seconds(lambda: _snapshot(dsn)))
        theirs.append(_seconds(lambda: _dump(dsn)))
    mine, dump = statistics.median(ours), statistics.median(theirs)
    print(f"{size:>7} tables  snapshot {mine:7.3f} s  pg_dump -s {dump:7.3f} s  {mine / dump:.2f}")
    return mine / dump


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
    with closing(psycopg2.connect(**dsn.libpq())) as connection:
        assert snapshot(connection).objects


def _dump(dsn: Dsn) -> None:
    program = [str(EMBEDDED_BIN / "pg_dump"), "--schema-only"]
    subprocess.run(program, env=dsn.environ(), stdout=subprocess.DEVNULL, check=True)


def _seconds(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
