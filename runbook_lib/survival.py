"""Survival: which rows are still there, whatever their table and columns are called by now.

Within one database a relation keeps its oid and a column its number, so renamed and moved tables
are found again. A column whose type was changed is the same when its values, read as the former
type, are. What was made anew under the old name counts when it holds the same values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg2 import errors as pg_errors

from runbook_lib.connection import Connection
from runbook_lib.counting import count
from runbook_lib.fingerprints import (
    DERIVED,
    SEQUENCE,
    Column,
    Place,
    TableFingerprint,
    cell,
    places,
    read_rows,
    still,
)
from runbook_lib.identifiers import key_name, spelled

GONE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TableProof:
    """The rows of one table before and after, over the columns that it had before.

    ``now`` is the table's name after, "" where that is the same. ``lost`` are the keys of what is
    gone: the table (or some of its rows), or columns that held values. ``rows_after`` is -1 when
    the table is gone.
    """

    table: str
    rows_before: int
    rows_after: int
    equal: bool
    now: str = ""
    lost: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The table's name, with the one that it has now and with what of it is gone."""
        now = f" → {self.now}" if self.now else ""
        gone = f" (gone: {', '.join(self.lost)})" if self.lost else ""
        return f"{self.table}{now}{gone}"

    @property
    def is_sequence(self) -> bool:
        """A sequence has no rows; it is kept when it has not gone back."""
        return self.table.startswith(SEQUENCE)


def compare_rows(
    before: Sequence[TableFingerprint],
    connection: Connection,
    origin: Iterable[Place] = (),
) -> tuple[TableProof, ...]:
    """Compare the tables as they are now with their fingerprints, over the columns of ``before``.

    ``origin`` are the places of ``before`` in this very database, or in one that is its template:
    with them, renamed tables and columns are followed. Without, names have to be the same.

    A column that is gone counts as NULL in every row: nothing is lost where nothing stood in it.
    A sequence is equal when it has not gone back, since it hands out numbers outside transactions;
    a materialized view when it is there, since its rows are derived and may be refreshed.
    """
    known = {place.table: place for place in origin}
    with still(connection):
        now = places(connection)
        return tuple(_proof(item, known.get(item.table), now, connection) for item in before)


def _proof(
    before: TableFingerprint, origin: Place | None, now: Sequence[Place], connection: Connection
) -> TableProof:
    place = find(before.table, origin, now)
    if place is None:
        return TableProof(
            table=before.table,
            rows_before=before.rows,
            rows_after=GONE,
            equal=False,
            lost=_rows_of(before.table),
        )
    names = {column: name_now(column, origin, place) for column in before.columns}
    rows, equal = _same(before, origin, place, names, connection)
    gone = [column for column, name in names.items() if not name] if not equal else []
    lost = [f"column:{key_name(before.table)}.{spelled(column)}" for column in gone]
    if rows < before.rows:
        lost.extend(_rows_of(before.table))
    return TableProof(
        table=before.table,
        rows_before=before.rows,
        rows_after=rows,
        equal=equal,
        now="" if place.table == before.table else place.table,
        lost=tuple(lost),
    )


def _rows_of(table: str) -> tuple[str, ...]:
    """Return the key under which rows are lost; nothing of its own stands in other relations."""
    return () if table.startswith((SEQUENCE, DERIVED)) else (f"table:{key_name(table)}",)


def find(table: str, origin: Place | None, now: Sequence[Place]) -> Place | None:
    """Return the table by its oid, else by its name."""
    same = (place for place in now if origin and place.oid == origin.oid)
    return next(same, None) or next((place for place in now if place.table == table), None)


def name_now(column: str, origin: Place | None, place: Place) -> str:
    """Return what a column is called now, "" when it is gone."""
    known = origin.columns.get(column) if origin and origin.oid == place.oid else None
    if known:
        numbers = {item.number: name for name, item in place.columns.items()}
        if known.number in numbers:
            return numbers[known.number]
    return column if column in place.columns else ""


def _same(
    before: TableFingerprint,
    origin: Place | None,
    place: Place,
    names: Mapping[str, str],
    connection: Connection,
) -> tuple[int, bool]:
    """Return the number of rows now, and whether they are those of before."""
    types = origin.columns if origin else {}
    plain = [cell(connection, name) if name else "NULL" for name in names.values()]
    rows, digest = read_rows(connection, place, plain)
    if _equal(before, rows, digest):
        return rows, True
    casts = {name: _former(types.get(name), place.columns.get(now)) for name, now in names.items()}
    if not any(casts.values()):
        return rows, False
    read = [cell(connection, now, casts[name]) if now else "NULL" for name, now in names.items()]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT runbook_cast")
        return rows, _equal(before, *read_rows(connection, place, read))
    except (pg_errors.DataError, pg_errors.ProgrammingError):  # not readable as the former type
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK TO SAVEPOINT runbook_cast")
        return rows, False


def _former(before: Column | None, now: Column | None) -> str:
    return before.type if before and now and before.type != now.type else ""


def _equal(before: TableFingerprint, rows: int, digest: str) -> bool:
    if before.table.startswith(SEQUENCE):
        return _position(digest) >= _position(before.digest)
    if before.table.startswith(DERIVED):
        return True
    return (before.rows, before.digest) == (rows, digest)


def _position(state: str) -> tuple[int, bool]:
    """Return how far a sequence is, growing with every number that it hands out."""
    last, called, _, increment = state.split()
    return int(last) * (1 if int(increment) > 0 else -1), called == "called"


def kept(proofs: Sequence[TableProof]) -> str:
    """Say how many tables and sequences are as they were."""
    tables = [item for item in proofs if not item.is_sequence]
    others = [item for item in proofs if item.is_sequence]
    good, also = sum(item.equal for item in tables), sum(item.equal for item in others)
    before, after = sum(i.rows_before for i in tables), sum(max(0, i.rows_after) for i in tables)
    number = count(before, "row") if before == after else f"{before:,} rows before, {after:,} after"
    more = f", {also} of {count(len(others), 'sequence')}" if others else ""
    verb = "is as it was" if len(tables) == 1 and not others else "are as they were"
    return f"{good} of {count(len(tables), 'table')}{more} {verb} ({number})"
