"""Fingerprints: the rows of a database's tables as short digests, to prove that none was lost.

Two pseudo tables go with the tables: ``sequence public.x``, whose one row is the sequence's state,
and ``materialized_view public.x``, whose rows are derived from others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg2 import errors as pg_errors
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, quote_ident

from runbook_lib.connection import Connection, fetch
from runbook_lib.errors import GateError

SEQUENCE = "sequence "
DERIVED = "materialized_view "
GONE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFingerprint:
    """The rows of one table, in no order: their count and a digest over the named columns."""

    table: str
    columns: tuple[str, ...]
    rows: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableProof:
    """The rows of one table before and after, over the columns that it had before."""

    table: str
    rows_before: int
    rows_after: int
    equal: bool


# What the text form of a value depends on; row_security off makes hidden rows an error.
_SETTINGS = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "search_path": "pg_catalog",
    "row_security": "off",
}

_TABLES = """
SELECT c.relkind::text, pg_catalog.quote_ident(n.nspname) || '.'
        || pg_catalog.quote_ident(c.relname),
    c.relispopulated,
    coalesce((SELECT pg_catalog.array_agg(a.attname::text)
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '{}')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'S') AND c.relpersistence <> 't'
  AND pg_catalog.left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""

_PREFIX = {"r": "", "m": DERIVED, "S": SEQUENCE}
_MASK = (1 << 64) - 1


def fingerprints(
    connection: Connection,
    columns: Mapping[str, Sequence[str]] | None = None,
    exclude: Collection[str] = (),
) -> tuple[TableFingerprint, ...]:
    """Fingerprint every table, materialized view and sequence of the user's schemas.

    A partitioned table is told by its partitions; what belongs to an extension, temporary and
    foreign tables are left out. ``columns`` restricts the work to the tables that it names, over
    the columns that it names; one that is gone is read as NULL, and is not among the columns of
    the result. All tables are read at one instant. Raises GateError, which names the privilege
    that is missing.
    """
    with _still(connection):
        found = _fingerprints(connection, columns, exclude)
        return tuple(sorted(found, key=lambda item: item.table))


def _fingerprints(
    connection: Connection, columns: Mapping[str, Sequence[str]] | None, exclude: Collection[str]
) -> Iterator[TableFingerprint]:
    for kind, name, populated, present in sorted(
        fetch(connection, _TABLES), key=lambda row: str(row[1])
    ):
        table = _PREFIX[kind] + name
        wanted = present if columns is None else columns.get(table)
        if wanted is None or name in exclude:
            continue
        rows, digest = 0, "not populated"
        chosen = tuple(sorted(wanted, key=str.encode))
        if populated:
            rows, digest = _read(connection, kind, name, chosen, frozenset(present))
        kept = tuple(column for column in chosen if column in present)
        yield TableFingerprint(table=table, columns=kept, rows=rows, digest=digest)


def _read(
    connection: Connection, kind: str, name: str, columns: tuple[str, ...], present: Collection[str]
) -> tuple[int, str]:
    """Return the count and the digest: two sums, modulo 2^64, of 64-bit hashes of the rows."""
    cells = ", ".join(
        f"t.{quote_ident(column, connection)}::text" if column in present else "NULL"
        for column in columns
    )
    if kind == "S":
        return 1, _sequence_state(connection, name)
    statement = (
        "SELECT count(*), coalesce(sum(hashtextextended(r, 0)), 0)::text,"
        " coalesce(sum(hashtextextended(r, 7640891576956012809)), 0)::text"
        f' FROM (SELECT ROW({cells})::text COLLATE "C" AS r FROM ONLY {name} t) rows'
    )
    ((rows, *sums),) = query(connection, statement, name)
    return rows, "".join(f"{int(value) & _MASK:016x}" for value in sums)


def _sequence_state(connection: Connection, name: str) -> str:
    """Return the state as a text that can be read: how far it is, and in which steps it goes."""
    statement = (
        f"SELECT s.last_value, s.is_called, p.seqincrement FROM {name} s, pg_sequence p"
        f" WHERE p.seqrelid = %s::regclass"
    )
    ((last, called, increment),) = query(connection, statement, name, (name,))
    return f"{last} {'called' if called else 'fresh'} by {increment}"


def query(
    connection: Connection, statement: str, name: str, parameters: Any = None
) -> list[tuple[Any, ...]]:
    """Run a query over the relation ``name``. Raises GateError with the privilege that it lacks."""
    try:
        return fetch(connection, statement, parameters)
    except pg_errors.InsufficientPrivilege as error:
        user = connection.info.user
        if "row-level security" in str(error):
            raise GateError(
                f"The rows of {name} cannot be read whole: row-level security hides some from "
                f"the user {user}.",
                f'Run as a superuser: ALTER ROLE "{user}" BYPASSRLS; or use the owner.',
            ) from None
        schema = name.partition(".")[0]
        raise GateError(
            f"The user {user} may not read {name}.",
            f'Run as its owner: GRANT USAGE ON SCHEMA {schema} TO "{user}"; '
            f'GRANT SELECT ON {name} TO "{user}";',
        ) from None
    except pg_errors.LockNotAvailable:
        raise GateError(
            f"{name} is locked by another session.", "Wait until it has ended, then try again."
        ) from None


@contextmanager
def _still(connection: Connection) -> Iterator[None]:
    """Read at one instant, with settings that fix the text form; leave all as it was.

    An open transaction is used as it is; it sees what its isolation level lets it see.
    """
    idle = connection.get_transaction_status() == TRANSACTION_STATUS_IDLE
    with connection.cursor() as cursor:
        if idle and connection.autocommit:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        elif idle:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        else:
            cursor.execute("SAVEPOINT runbook_fingerprints")
        try:
            for name, value in _SETTINGS.items():
                cursor.execute(f"SET LOCAL {name} = '{value}'")
            yield
        finally:
            if idle:
                cursor.execute("ROLLBACK")
            else:
                cursor.execute("ROLLBACK TO SAVEPOINT runbook_fingerprints")


def compare_rows(
    before: Sequence[TableFingerprint], connection: Connection
) -> tuple[TableProof, ...]:
    """Compare the tables as they are now with their fingerprints, over the columns of ``before``.

    A column that is gone counts as NULL in every row: nothing is lost where nothing stood in it.
    A table that is gone, or has lost a column with values, is unequal with -1 rows after. A
    sequence is equal when it has not gone back, since it hands out numbers outside transactions;
    a materialized view when it is there, since its rows are derived and may be refreshed.
    """
    columns = {item.table: item.columns for item in before}
    after = {item.table: item for item in fingerprints(connection, columns)}
    return tuple(_proof(item, after.get(item.table)) for item in before)


def _proof(before: TableFingerprint, after: TableFingerprint | None) -> TableProof:
    equal = after is not None and _equal(before, after)
    whole = after is not None and (equal or set(before.columns) <= set(after.columns))
    return TableProof(
        table=before.table,
        rows_before=before.rows,
        rows_after=after.rows if after and whole else GONE,
        equal=equal,
    )


def _equal(before: TableFingerprint, after: TableFingerprint) -> bool:
    if before.table.startswith(SEQUENCE):
        return _position(after.digest) >= _position(before.digest)
    if before.table.startswith(DERIVED):
        return True
    return (before.rows, before.digest) == (after.rows, after.digest)


def _position(state: str) -> tuple[int, bool]:
    """Return how far a sequence is, growing with every number that it hands out."""
    last, called, _, increment = state.split()
    return int(last) * (1 if int(increment) > 0 else -1), called == "called"
