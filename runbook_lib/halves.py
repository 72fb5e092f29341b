"""Halves: the catalog read over two connections at once, in one snapshot of the server.

One reads the columns, which are about half of the work, and the other all else. A database that
gives no second connection is read over the first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2

from runbook_lib import catalog
from runbook_lib.catalog import PREPARE_SQL, Aspects, Catalog
from runbook_lib.connection import Connection, fetch, one_instant
from runbook_lib.errors import UnreachableError
from runbook_lib.narrowing import BESIDE, KINDS, PRIVILEGES, part_sql

_COLUMNS = part_sql((), ("columns",))
# The columns' names are needed here, for keys and indexes, and their definitions are not.
_OTHERS = part_sql(
    [("CASE WHEN a.attislocal AND", "CASE WHEN false AND")],
    tuple({"schemas", "extensions", "event", PRIVILEGES, *KINDS, *BESIDE} - {"columns"}),
)


def snapshot(
    connection: Connection, another: Callable[[], Connection], *, exclude: Collection[str] = ()
) -> Catalog:
    """Read the schema of the database that ``connection`` is connected to, outside of transactions.

    ``another`` opens a connection to the same database. ``exclude`` names tables such as
    ``public.alembic_version`` to leave out with everything that belongs to them.
    """
    with one_instant(connection) as name, ThreadPoolExecutor(1) as beside:
        columns = beside.submit(_columns, another, name)
        others = _read(connection, _OTHERS)
        try:
            objects = {**others, **columns.result()}
        except (psycopg2.Error, UnreachableError):
            return catalog.snapshot(connection, exclude=exclude)
    return catalog.without(Catalog(objects=objects), [f"table:{name}" for name in exclude])


def _columns(another: Callable[[], Connection], name: str) -> dict[str, Aspects]:
    with closing(another()) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET TRANSACTION SNAPSHOT %s", (name,))
        return _read(connection, _COLUMNS)


def _read(connection: Any, query: str) -> dict[str, Aspects]:
    ((text,),) = fetch(connection, f"{PREPARE_SQL}; {query}")
    return dict(catalog.parse(text).objects)
