"""Questions: the parts of a request to the agent, as they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runbook_lib.dsn import Dsn
from runbook_lib.edits import FileEdit
from runbook_lib.exclusion import SHARE


def is_same(one: Dsn, other: Dsn) -> bool:
    """Say whether both name one database."""
    return (one.host, one.port, one.database) == (other.host, other.port, other.database)


def address(dsn: Dsn) -> dict[str, Any]:
    """Return what the agent has to know of the one database that it may connect to."""
    return {
        "url": dsn.text,
        "host": dsn.host,
        "port": dsn.port,
        "user": dsn.user,
        "password": dsn.password,
        "database": dsn.database,
        "socket": dsn.host if dsn.host.startswith("/") else "",
        "options": dsn.options,
        "environ": dsn.environ(),
    }


def files(edits: Sequence[FileEdit]) -> list[dict[str, Any]]:
    """Return the edits that the tree gets before it is loaded."""
    return [{"path": edit.path, "before": edit.before, "after": edit.after} for edit in edits]


def limits(lock_timeout: str, statement_timeout: str) -> list[str]:
    """Return what a session that writes sets first: its limits, and its part in the lock."""
    given = {"lock_timeout": lock_timeout, "statement_timeout": statement_timeout}
    wanted = {name: value.replace("'", "''") for name, value in given.items() if value}
    return [*(f"SET {name} TO '{value}'" for name, value in wanted.items()), SHARE]
