"""Exclusion: one runbook writes to a database at a time, its last statement included.

Two advisory locks of the target itself. ``ALONE`` is held for the length of a deployment or a way
back. ``WRITING`` is shared by every session that writes in one: the server ends such a session
only after its statement, also when the kernel that sent it is dead, so the lock tells what the
dead cannot. Advisory locks count per database, whatever the environment is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2

from runbook_lib.connection import Connection, connect, fetch
from runbook_lib.dsn import Dsn
from runbook_lib.errors import SafetyError


def _key(name: str) -> int:
    """Return the 64 signed bits that PostgreSQL names an advisory lock by."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


ALONE = _key("alembic-runbook: alone")
WRITING = _key("alembic-runbook: writing")
SHARE = f"SELECT pg_catalog.pg_advisory_lock_shared({WRITING})"
"""What every session runs first that writes to a target; it never waits for long."""


@contextmanager
def advisory_lock(connection: Connection, environment_name: str) -> Iterator[None]:
    """Be the only runbook that writes to the database behind ``connection``.

    Raises SafetyError that names the holder, or the statement of a dead one that is not at its end.
    """
    fetch(connection, _STAY)
    if not _take(connection, ALONE):
        raise SafetyError(
            f"Another runbook is at work on {environment_name}: {_holder(connection, ALONE)}.",
            "Wait until it has ended; when it hangs, end it with pg_terminate_backend(pid).",
        )
    try:
        _require_quiet(connection, environment_name)
        yield
    finally:
        with suppress(psycopg2.Error):  # the server lets go of what a lost session held
            fetch(connection, "SELECT pg_advisory_unlock(%s)", (ALONE,))


def _require_quiet(connection: Connection, environment_name: str) -> None:
    if not _take(connection, WRITING):
        raise SafetyError(
            f"A run that has died left a statement at work on {environment_name}: "
            f"{_holder(connection, WRITING)}.",
            "Wait until it has ended (or end it with pg_terminate_backend(pid)), then run again: "
            "what it leaves behind is audited anew.",
        )
    fetch(connection, "SELECT pg_advisory_unlock(%s)", (WRITING,))


@contextmanager
def alone(dsn: Dsn, environment_name: str) -> Iterator[None]:
    """Be the only runbook that writes to the database at ``dsn``, which has to take writes.

    Raises SafetyError, also for a standby and for a database that is set to read-only.
    """
    connection = connect(dsn, read_only=False)
    try:
        ((standby, refuses),) = fetch(connection, _REFUSES)
        if standby or refuses:
            raise SafetyError(
                f"The database {dsn.database} of {environment_name} takes no writes: "
                + ("it is a standby." if standby else "default_transaction_read_only is on."),
                "Nothing was done. Let the environment's address name the primary."
                if standby
                else "Nothing was done. Find out who set it, and why, before you take it off.",
            )
        with advisory_lock(connection, environment_name):
            yield
    finally:
        connection.close()


def _take(connection: Connection, key: int) -> bool:
    return bool(fetch(connection, "SELECT pg_try_advisory_lock(%s)", (key,))[0][0])


def _holder(connection: Connection, key: int) -> str:
    rows = fetch(connection, _HOLDER, (key,))
    if not rows:
        return "it has just ended"
    pid, user, name, since = rows[0]
    return f"pid {pid}, user {user}, {name or 'no application name'}, since {since}"


_REFUSES = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool"

# The lock's own session is idle for as long as the steps take.
_STAY = """
SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings
WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout')
"""

_HOLDER = """
SELECT a.pid, a.usename, a.application_name, a.backend_start::timestamp(0)::text
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND (l.classid::bigint << 32 | l.objid::bigint) = %s
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
ORDER BY a.backend_start
"""
