"""Younger: what holds rows or values now and was not there before, so that going back loses it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from runbook_lib.connection import Connection, fetch
from runbook_lib.counting import count
from runbook_lib.fingerprints import Place, TableFingerprint, cell, places, query, still
from runbook_lib.identifiers import spelled
from runbook_lib.survival import find, name_now

# The value that ADD COLUMN gave to every row that was there: nobody wrote it.
_GIVEN = """
SELECT attname, (attmissingval::text::text[])[1] FROM pg_catalog.pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Younger:
    """A table or column that was made since; ``rows`` are those that something was written to."""

    table: str
    column: str = ""
    rows: int

    def __str__(self) -> str:
        if not self.column:
            return f"{self.table}: all of it, {count(self.rows, 'row')}, made since"
        return f"{self.table}.{self.column}: its values in {count(self.rows, 'row')}, made since"


def younger(
    before: Sequence[TableFingerprint], connection: Connection, origin: Iterable[Place] = ()
) -> tuple[Younger, ...]:
    """Return the tables that ``before`` has not, and such columns of its tables, where they hold
    anything; ``origin`` as for ``compare_rows``.

    A value that a column gave to the rows which were there when it was added is not counted.
    """
    known = {place.table: place for place in origin}
    with still(connection):
        now = places(connection)
        found = [(item, known.get(item.table)) for item in before]
        homes = [(item, place, find(item.table, place, now)) for item, place in found]
        old = {home.oid for _, _, home in homes if home}
        tables = [place for place in now if place.kind == "r"]
        made = [_table(connection, place) for place in tables if place.oid not in old]
        for item, place, home in homes:
            if home and home.kind == "r":
                names = {name_now(column, place, home) for column in item.columns}
                made += _columns(connection, home, sorted({*home.columns} - names))
        return tuple(item for item in made if item.rows)


def _table(connection: Connection, place: Place) -> Younger:
    ((rows,),) = query(connection, f"SELECT count(*) FROM ONLY {place.name}", place.name)
    return Younger(table=place.table, rows=rows)


def _columns(connection: Connection, place: Place, names: Sequence[str]) -> Iterator[Younger]:
    given = dict(fetch(connection, _GIVEN, (place.oid,)))
    for name in names:
        if name not in given:  # generated from others
            continue
        value = cell(connection, name)
        statement = (
            f"SELECT count(*) FROM ONLY {place.name} t"
            f" WHERE {value} IS NOT NULL AND {value} IS DISTINCT FROM "
        ).replace("%", "%%") + "%s"
        ((rows,),) = query(connection, statement, place.name, (given[name],))
        yield Younger(table=place.table, column=spelled(name), rows=rows)
