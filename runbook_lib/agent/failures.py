"""Failures: what is said of one, and what may be done about it."""

from __future__ import annotations

import os
import re
import traceback
from typing import TYPE_CHECKING, Any

from runbook_lib.agent.wire import explain

if TYPE_CHECKING:
    from runbook_lib.agent.overlay import Overlay
    from runbook_lib.agent.recording import Record
    from runbook_lib.agent.session import Session


class Again(Exception):
    """The replay has to begin anew, in a database that nothing was run in.

    ``partial``: there too, no more may be read than what a revision touches.
    """

    def __init__(self, *, partial: bool) -> None:
        super().__init__("The replay has to begin anew.")
        self.partial = partial


def describe(error: BaseException, record: Record | None, overlay: Overlay | None) -> str:
    """Return what failed, and the line of the project's own files where that was."""
    text = explain(error)
    if record and record.first_error and record.first_error not in text:
        text += f" (after an error that the revision swallowed: {record.first_error})"
    where = _last_line(error, overlay)
    return f"{text} ({where})" if where else text


def _last_line(error: BaseException, overlay: Overlay | None) -> str:
    """Return the last line of the project's own files that the error passed through."""
    found = ""
    root = os.getcwd() + os.sep
    for frame in traceback.extract_tb(error.__traceback__):
        path = overlay.original(frame.filename) if overlay else frame.filename
        if path.startswith(root) and "-packages" + os.sep not in path:
            found = f"{os.path.relpath(path, root)}:{frame.lineno}"
    return found


def missing_role(error: BaseException) -> str:
    """Return the name of the role that the server lacks, "" where something else failed."""
    found = re.search(r'role "([^"]+)" does not exist', explain(error))
    return found[1] if found else ""


def create_role(session: Session, role: str) -> bool:
    """Create a role on a connection of its own; say whether that was possible."""
    name = '"' + role.replace('"', '""') + '"'

    def create(connection: Any) -> None:
        cursor = connection.connection.cursor()
        cursor.execute(f"CREATE ROLE {name} NOLOGIN")
        connection.connection.commit()

    try:
        session.fresh(create)
    except Exception:
        return False
    return True
