"""Session: the migration's own connection, used without SQLAlchemy noticing, and new ones."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterator  # noqa: UP035  (Python 3.9 at run time)

OWN = ("sqlalchemy", __name__.partition(".")[0])  # who asks is not the project


class Session:
    """What env.py configured. ``context`` is Alembic's MigrationContext, None before that."""

    def __init__(self) -> None:
        self.context: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._sending: threading.Event | None = None
        self._direct = False

    def watch(self, before: Callable[[], None]) -> None:
        """Call ``before`` when the project asks SQLAlchemy for the driver's own connection.

        From then on nothing is begun ahead: what is sent over that is not seen.
        """
        from sqlalchemy.engine import Connection

        driver: Any = Connection.connection

        def asked(connection: Any) -> Any:
            if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] not in OWN:
                self._direct = True
                before()
            return driver.fget(connection)

        setattr(Connection, "connection", property(asked))  # noqa: B010  (mypy: a property)

    def in_transaction(self) -> bool:
        return bool(self.context.connection.in_transaction())

    def driver_connection(self) -> Any:
        return self.context.connection.connection

    def raw(self, statement: str, *, fetch: bool = True) -> Any:
        """Run one statement on the migration's own connection; return its first row."""
        cursor = self.driver_connection().cursor()
        try:
            if self._sending:
                self._sending.set()
            cursor.execute(statement)
            return cursor.fetchone() if fetch else None
        finally:
            cursor.close()

    def ahead(self, work: Callable[[], Any]) -> Callable[[], Any]:
        """Begin ``work``, which sends one statement; return what waits for its result.

        The caller goes on once the statement is about to be sent. Before anything else is sent
        over the connection its result must have been waited for. Done at once where the driver's
        connections are not for several threads (PEP 249), or are used past SQLAlchemy.
        """
        dialect = self.context.dialect
        shared = getattr(dialect.dbapi, "threadsafety", 0) >= 2
        if self._direct or not shared or getattr(dialect, "is_async", False):
            result = work()
            return lambda: result
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1)
        sending = self._sending = threading.Event()
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: sending.set())
        sending.wait()
        self._sending = None
        return future.result

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Run a block in a transaction of its own, or in a savepoint of one that is open."""
        connection = self.driver_connection()
        inside = self.in_transaction() and not getattr(connection, "autocommit", False)
        if inside:
            self.raw("SAVEPOINT runbook_aside", fetch=False)
        try:
            yield
        except BaseException:
            if inside:
                self.raw("ROLLBACK TO SAVEPOINT runbook_aside", fetch=False)
            else:
                connection.rollback()
            raise
        if inside:
            self.raw("RELEASE SAVEPOINT runbook_aside", fetch=False)
        else:
            connection.commit()

    def is_ours(self, connection: Any) -> bool:
        """Say whether a SQLAlchemy connection holds the migration's own driver connection."""
        try:
            return bool(
                connection.connection.dbapi_connection
                is self.context.connection.connection.dbapi_connection
            )
        except Exception:
            return False

    def fresh(self, work: Callable[[Any], Any]) -> Any:
        """Run ``work`` with a new SQLAlchemy connection over the project's driver."""
        from sqlalchemy.pool import NullPool

        url = f"postgresql+{self.context.dialect.driver}://"
        if not getattr(self.context.dialect, "is_async", False):
            from sqlalchemy import create_engine

            with create_engine(url, poolclass=NullPool).connect() as connection:
                return work(connection)
        from sqlalchemy.ext.asyncio import create_async_engine

        async def main() -> Any:
            async with create_async_engine(url, poolclass=NullPool).connect() as connection:
                return await connection.run_sync(work)

        return asyncio.run(main())

    @contextlib.contextmanager
    def on(self, connection: Any) -> Iterator[None]:
        """Let another connection stand in for the migration's own, for the time of a block."""
        kept, self.context.connection = self.context.connection, connection
        try:
            yield
        finally:
            self.context.connection = kept

    def rows(self, connection: Any) -> list[str]:
        """Return the version rows, sorted; none where there is no version table."""
        context, cursor = self.context, connection.connection.cursor()
        preparer = context.dialect.identifier_preparer
        table = preparer.format_table(context._version)
        quoted = table.replace("'", "''")
        cursor.execute(f"SELECT to_regclass('{quoted}') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return []
        cursor.execute(f"SELECT version_num FROM {table}")
        return sorted(str(row[0]) for row in cursor.fetchall())

    def prepare_version_table(self, longest: int) -> None:
        """Let a shadow's version table hold every id of the tree, of ``longest`` characters.

        Where they fit it stays as it is: a revision may reflect the schema and copy it.
        """
        from sqlalchemy import Text

        context, idle = self.context, not self.in_transaction()
        quote = context.dialect.identifier_preparer.quote
        column, schema = context._version.c.version_num, context.version_table_schema
        if schema:
            self.raw(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}", fetch=False)
        limit = getattr(column.type, "length", None)
        if limit and longest > limit:
            column.type = Text()
            name = ".".join(quote(item) for item in (schema, context.version_table) if item)
            widen = f"ALTER TABLE IF EXISTS {name} ALTER COLUMN version_num TYPE text"
            self.raw(widen, fetch=False)
        if idle:
            self.driver_connection().commit()

    def is_alembics(self) -> bool:
        """Say whether Alembic has one transaction open, for all of its steps."""
        own = self.context._transaction
        return own is not None and self.context.connection.get_transaction() is own

    def settle(self) -> bool:
        """Commit what was left in a transaction that is not Alembic's.

        Past SQLAlchemy, which goes on with it: env.py may still end it by itself.
        """
        connection = self.context.connection
        if not connection.in_transaction() or not hasattr(connection, "commit"):
            return False
        if self.is_alembics():
            return False
        if getattr(connection, "_trans_context_manager", None) is not None:
            return False
        self.driver_connection().commit()
        return True


def server_version(connection: Any) -> str:
    cursor = connection.connection.cursor()
    cursor.execute("SELECT current_setting('server_version')")
    return str(cursor.fetchone()[0])


def driver_version(dialect: Any) -> str:
    module = getattr(dialect, "dbapi", None) or getattr(dialect, "loaded_dbapi", None)
    real = sys.modules.get(dialect.driver, module)
    return str(getattr(real, "__version__", "")).split()[0] if real else ""
