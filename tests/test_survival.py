"""Survival: rows are found again whatever their table and columns are called by now."""

from __future__ import annotations

import pytest
from conftest import execute

from runbook_lib.dsn import Dsn
from runbook_lib.fingerprints import fingerprints, places
from runbook_lib.postgres import connect
from runbook_lib.survival import TableProof, compare_rows

MADE = (
    "CREATE TYPE mood AS ENUM ('ok', 'bad')",
    'CREATE TABLE t (id int, a text, b timestamp, feeling mood, nothing text, "Odd one" int)',
    "INSERT INTO t SELECT i, 'a' || i, '2026-01-01'::timestamp + i * interval '1 h', 'ok', NULL, i "
    "FROM generate_series(1, 9) i",
)


def after(database: Dsn, *statements: str) -> TableProof:
    execute(database, *MADE)
    connection = connect(database)
    before, origin = fingerprints(connection), places(connection)
    execute(database, *statements)
    try:
        return compare_rows(before, connection, origin)[0]
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("statements", "now"),
    [
        (("ALTER TABLE t RENAME TO u",), "public.u"),
        (("CREATE SCHEMA s", "ALTER TABLE t SET SCHEMA s"), "s.t"),
        (("ALTER TABLE t RENAME a TO b2", "ALTER TABLE t RENAME b TO a"), ""),
        (("ALTER TABLE t ALTER b TYPE timestamptz USING b AT TIME ZONE 'UTC'",), ""),
        (("ALTER TABLE t ALTER id TYPE numeric(10, 2)",), ""),
        (("ALTER TABLE t ALTER feeling TYPE text", "DROP TYPE mood"), ""),
        (("ALTER TABLE t DROP nothing",), ""),
        (("CREATE TABLE new AS TABLE t", "DROP TABLE t", "ALTER TABLE new RENAME TO t"), ""),
        (("ALTER TABLE t RENAME TO old", "CREATE TABLE t (id int)"), "public.old"),
    ],
)
def test_rows_are_followed(database: Dsn, statements: tuple[str, ...], now: str) -> None:
    proof = after(database, *statements)
    assert (proof.equal, proof.rows_after, proof.now, proof.lost) == (True, 9, now, ())


@pytest.mark.parametrize(
    ("statement", "rows", "lost"),
    [
        ("DROP TABLE t", -1, ("table:public.t",)),
        ("DELETE FROM t WHERE id = 1", 8, ("table:public.t",)),
        ("ALTER TABLE t DROP a", 9, ("column:public.t.a",)),
        ('ALTER TABLE t DROP "Odd one"', 9, ('column:public.t."Odd one"',)),
        ("ALTER TABLE t ALTER id TYPE text USING 'lost'", 9, ()),
        ("ALTER TABLE t ALTER a TYPE int USING 1, ALTER feeling TYPE text", 9, ()),
        ("UPDATE t SET a = 'other' WHERE id = 1", 9, ()),
    ],
)
def test_what_is_lost_is_named(
    database: Dsn, statement: str, rows: int, lost: tuple[str, ...]
) -> None:
    proof = after(database, statement)
    assert (proof.equal, proof.rows_after, proof.lost) == (False, rows, lost)
