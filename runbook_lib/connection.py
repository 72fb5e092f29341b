"""Connections to PostgreSQL, read-only unless asked otherwise, and what is read through them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import errors as pg_errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import quote_ident

from runbook_lib.agent.wire import explain
from runbook_lib.dsn import Dsn, redact
from runbook_lib.errors import GateError, UnreachableError
from runbook_lib.forensics import Target

__all__ = [
    "Connection",
    "connect",
    "ensure_roles",
    "fetch",
    "roles_of",
    "target",
    "version_rows",
]

CONNECT_SECONDS = "10"


def connect(
    dsn: Dsn,
    *,
    read_only: bool = True,
    autocommit: bool = True,
    lock_timeout: str = "",
    statement_timeout: str = "",
    application_name: str = "runbook",
) -> Connection:
    """Open a connection; ``read_only`` makes the server refuse every write of the session.

    Timeouts are PostgreSQL interval texts such as ``5s``. Raises UnreachableError, which says
    what to check and never shows a password.
    """
    settings = {
        "default_transaction_read_only": "on" if read_only else "",
        "lock_timeout": lock_timeout,
        "statement_timeout": statement_timeout,
    }
    own = [f"-c {name}={_escaped(value)}" for name, value in settings.items() if value]
    given = dsn.options.get("options") or os.environ.get("PGOPTIONS", "")
    keywords = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": application_name,
        **dsn.libpq(),
        "client_encoding": "UTF8",
        "options": " ".join([given, *own]).strip(),
    }
    try:
        connection = psycopg2.connect(**keywords)
    except psycopg2.Error as error:
        raise _unreachable(dsn, str(error)) from None
    connection.autocommit = autocommit
    return connection


def _escaped(value: str) -> str:
    return re.sub(r"([\\\s])", r"\\\1", value)


_CAUSES = (
    (r"password authentication failed|no password supplied", "The password (or the user's name) "
     "is wrong: check the reference that the environment names (url_env, url_file)."),
    (r"no pg_hba.conf entry|authentication failed", "The server does not let this user in from "
     "here: check pg_hba.conf, sslmode and the user's name."),
    (r'database ".*" does not exist', "There is no such database on this server: check the name "
     "at the end of the URL."),
    (r'role ".*" does not exist', "There is no such user on this server: check the URL's user."),
    (r"too many (clients|connections)|remaining connection slots|connection limit", "The server "
     "has no connection left: close some, or raise max_connections, then try again."),
    (r"permission denied for database|not permitted to log in", "Grant the user CONNECT on the "
     "database (and LOGIN)."),
    (r"unsupported startup parameter", "A connection pooler stands before the server and refuses "
     "session settings: give the server's own address."),
    (r"could not translate host name|Name or service not known", "The host name is not known "
     "here: check the URL, or the network (VPN)."),
    (r"starting up|shutting down|in recovery mode", "The server is starting or stopping: try "
     "again in a moment."),
)  # fmt: skip


def _unreachable(dsn: Dsn, text: str) -> UnreachableError:
    """Say which database could not be reached, why, and what to check."""
    words = " ".join(redact(text, (dsn.password,)).split())
    hint = "The server does not answer: check that it is up, and the host and port of the URL."
    for pattern, advice in _CAUSES:
        if re.search(pattern, words):
            hint = advice
            break
    where = "the local socket" if dsn.host.startswith("/") else f"{dsn.host}:{dsn.port}"
    if dsn.host.startswith("/"):
        words = words.replace(dsn.host, "SOCKET")
    return UnreachableError(
        f"The database {dsn.database} on {where} cannot be reached as user {dsn.user}: {words}",
        hint,
    )


_EXHAUSTED = "53"  # the class of the server's codes for a full disk, and the like


def fetch(connection: Connection, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Run one query and return its rows. Raises UnreachableError when the connection is cut."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        if str(error.pgcode).startswith(_EXHAUSTED):
            raise UnreachableError(
                f"The server of {connection.info.dbname} has run out of something: "
                f"{explain(error)}.",
                "Give its disk space, memory or connections, then run again.",
            ) from None
        if not connection.closed:
            raise
        raise UnreachableError(
            f"The connection to {connection.info.dbname} was cut: {explain(error)}",
            "Find out whether the server was stopped or the session ended, then run again.",
        ) from None


@contextmanager
def one_instant(connection: Connection) -> Iterator[str]:
    """Open a read-only transaction on one instant; yield the name under which others join it."""
    with connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = 0")
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        try:
            ((name,),) = fetch(connection, "SELECT pg_catalog.pg_export_snapshot()")
            yield name
        finally:
            if not connection.closed:
                cursor.execute("ROLLBACK")


def target(connection: Connection, version_table: str) -> Target:
    """Say which database this is. ``system_identifier`` is "unknown" without the privilege."""
    ((database, version, may),) = fetch(
        connection,
        "SELECT current_database(), current_setting('server_version'),"
        " has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')",
    )
    identifier = "unknown"
    if may:
        ((identifier,),) = fetch(
            connection, "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"
        )
    return Target(
        database=database,
        server_version=version.split()[0],
        system_identifier=identifier,
        version_table=version_table,
    )


_FIND_VERSION_TABLE = """
SELECT c.oid, n.nspname, has_schema_privilege(n.oid, 'USAGE'),
       has_table_privilege(c.oid, 'SELECT') OR coalesce(has_column_privilege(
           c.oid, a.attnum, 'SELECT'), false),
       a.attnum IS NOT NULL, current_user
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'version_num'
WHERE c.relname = %(table)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (n.nspname = %(schema)s OR (%(schema)s = '' AND pg_catalog.pg_table_is_visible(c.oid)))
"""


def version_rows(connection: Connection, schema: str, table: str) -> tuple[str | None, ...] | None:
    """Return the version table's rows, sorted, NULL last; None when there is no such table.

    An empty ``schema`` means the search path. Raises GateError when the table may not be read.
    """
    found = fetch(connection, _FIND_VERSION_TABLE, {"schema": schema, "table": table})
    if not found:
        return None
    _, home, may_enter, may_read, has_column, user = found[0]
    name = f"{quote_ident(home, connection)}.{quote_ident(table, connection)}"
    grants = [] if may_enter else [f"GRANT USAGE ON SCHEMA {quote_ident(home, connection)}"]
    grants += [] if may_read else [f"GRANT SELECT ON {name}"]
    if grants:
        to = quote_ident(user, connection)
        raise GateError(
            f"no-privilege: the user {user} may not read the version table {name}.",
            "Run as its owner: " + " ".join(f"{grant} TO {to};" for grant in grants),
        )
    if not has_column:
        raise GateError(
            f"{name} is not a version table: it has no column version_num.",
            "Set version_table in runbook.toml to the table that Alembic uses.",
        )
    rows = fetch(connection, f"SELECT version_num::text FROM {name}")
    values: list[str | None] = [row[0] for row in rows]
    return tuple(sorted(values, key=lambda value: (value is None, value or "")))


_ROLES = """
SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.oid = 10 AND r.rolname !~ '^pg_'
UNION
SELECT r.rolname FROM pg_catalog.pg_shdepend d
JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid
WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND r.rolname !~ '^pg_'
  AND d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
ORDER BY 1
"""


def roles_of(connection: Connection) -> tuple[str, ...]:
    """Return the roles that owners, privileges and policies of the database name, sorted."""
    return tuple(name for (name,) in fetch(connection, _ROLES))


def ensure_roles(dsn: Dsn, roles: Collection[str]) -> None:
    """Create the roles that are missing on the server of ``dsn``, without LOGIN.

    Raises GateError when the user may not.
    """
    connection = connect(dsn, read_only=False)
    try:
        known = {name for (name,) in fetch(connection, "SELECT rolname FROM pg_catalog.pg_roles")}
        with connection.cursor() as cursor:
            for role in sorted(set(roles) - known):
                _create_role(cursor, quote_ident(role, connection), role)
    finally:
        connection.close()


def _create_role(cursor: Any, quoted: str, role: str) -> None:
    try:
        cursor.execute(f"CREATE ROLE {quoted} NOLOGIN")
    except (pg_errors.DuplicateObject, pg_errors.UniqueViolation):
        return  # another process was faster
    except pg_errors.InsufficientPrivilege:
        raise GateError(
            f"The role {role} is missing where the disposable databases live, and may not be "
            "created there.",
            f"Run there as a superuser: CREATE ROLE {quoted} NOLOGIN;",
        ) from None
