"""Fingerprints: the rows of a database's tables as short digests, to prove that none was lost.

Two pseudo tables go with the tables: ``sequence public.x``, whose one row is the sequence's state,
and ``materialized_view public.x``, whose rows are derived from others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
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
class Column:
    """One column: its number in the table, which no renaming changes, and its type."""

    number: int
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where rows stand: the relation's oid, which no renaming changes, and its columns by name.

    ``kind`` is that of pg_class; ``name`` is qualified and quoted; ``populated`` is false for a
    materialized view that was never filled.
    """

    oid: int
    kind: str
    name: str
    populated: bool
    columns: Mapping[str, Column]

    @property
    def table(self) -> str:
        """The name that fingerprints use."""
        return _PREFIX[self.kind] + self.name


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

_PLACES = """
SELECT c.oid::bigint, c.relkind::text, pg_catalog.quote_ident(n.nspname) || '.'
        || pg_catalog.quote_ident(c.relname),
    c.relispopulated,
    coalesce((SELECT pg_catalog.json_object_agg(a.attname, pg_catalog.json_build_array(
            a.attnum, pg_catalog.format_type(a.atttypid, a.atttypmod)))
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


def places(connection: Connection) -> tuple[Place, ...]:
    """Return every table, materialized view and sequence of the user's schemas, by name.

    A partitioned table is told by its partitions; what belongs to an extension, temporary and
    foreign tables are left out.
    """
    with still(connection):  # types are spelled with their schemas then
        rows = fetch(connection, _PLACES)
    return tuple(sorted(map(_place, rows), key=lambda place: place.table))


def _place(row: tuple[Any, ...]) -> Place:
    oid, kind, name, populated, columns = row
    return Place(
        oid=oid,
        kind=kind,
        name=name,
        populated=populated,
        columns={
            key: Column(number=number, type=type_) for key, (number, type_) in columns.items()
        },
    )


def fingerprints(
    connection: Connection,
    exclude: Collection[str] = (),
    without: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> tuple[TableFingerprint, ...]:
    """Fingerprint the rows of every place, less the tables ``exclude``, at one instant.

    ``without`` names columns, by table, that do not count. Raises GateError, which names the
    privilege that is missing.
    """
    with still(connection):
        return tuple(
            _fingerprint(connection, place, without.get(place.table, ()))
            for place in places(connection)
            if place.table not in exclude
        )


def _fingerprint(connection: Connection, place: Place, less: Collection[str]) -> TableFingerprint:
    columns = tuple(sorted({*place.columns} - {*less}, key=str.encode))
    cells = [cell(connection, column) for column in columns]
    rows, digest = read_rows(connection, place, cells)
    return TableFingerprint(table=place.table, columns=columns, rows=rows, digest=digest)


def cell(connection: Connection, column: str, cast: str = "") -> str:
    """Return the SQL that reads a column as a text; ``cast`` is a type to read it as before."""
    name = f"t.{quote_ident(column, connection)}"
    return f"({name}::{cast})::text" if cast else f"{name}::text"


def read_rows(connection: Connection, place: Place, cells: Sequence[str]) -> tuple[int, str]:
    """Return the count and the digest: two sums, modulo 2^64, of 64-bit hashes of the rows."""
    if not place.populated:
        return 0, "not populated"
    if place.kind == "S":
        return 1, _sequence_state(connection, place.name)
    statement = (
        "SELECT count(*), coalesce(sum(hashtextextended(r, 0)), 0)::text,"
        " coalesce(sum(hashtextextended(r, 7640891576956012809)), 0)::text"
        f' FROM (SELECT ROW({", ".join(cells)})::text COLLATE "C" AS r FROM ONLY {place.name} t) q'
    )
    ((rows, *sums),) = query(connection, statement, place.name)
    return rows, "".join(f"{int(value) & _MASK:016x}" for value in sums)


def _sequence_state(connection: Connection, name: str) -> str:
    """Return the state as a text that can be read: how far it is, and in which steps it goes."""
    statement = (
        f"SELECT s.last_value, s.is_called, p.seqincrement FROM {name.replace('%', '%%')} s,"
        " pg_sequence p WHERE p.seqrelid = %s::regclass"
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
def still(connection: Connection) -> Iterator[None]:
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
                cursor.execute(
                    "ROLLBACK TO SAVEPOINT runbook_fingerprints;"
                    " RELEASE SAVEPOINT runbook_fingerprints"
                )
