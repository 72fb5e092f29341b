"""Tree: where the revision files lie, and their text."""

from __future__ import annotations

import io
import os
import sys
import tokenize
from typing import Any

from runbook_lib.agent.wire import Refused


def load_script(config: Any, request: dict[str, Any]) -> Any:
    """Build Alembic's ScriptDirectory, which imports neither env.py nor any revision."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    root = os.getcwd()
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        return ScriptDirectory.from_config(config)
    except (CommandError, ImportError, ModuleNotFoundError, TypeError, ValueError) as error:
        words = str(error).replace(root + os.sep, "").replace(root, ".")
        raise Refused(
            "configuration",
            f"Alembic cannot use [{request['section']}] of {request['ini']}: {words}.",
            "Check script_location and version_locations; relative ones are looked for in the "
            f"project's folder {request['shown_root']}.",
        ) from None


def version_locations(script: Any) -> list[str]:
    """Return the absolute paths of the version locations, in Alembic's order."""
    return [os.path.abspath(str(path)) for path in script._version_locations]


def relative(path: str, locations: list[str]) -> str:
    """Return ``path`` relative to the project's root, else ``n:path`` of the n-th location."""
    root = os.getcwd()
    for base in (root, os.path.realpath(root)):
        if path == base or path.startswith(base + os.sep):
            return os.path.relpath(path, base).replace(os.sep, "/")
    for number, location in enumerate(locations):
        if path == location or path.startswith(location + os.sep):
            inner = os.path.relpath(path, location).replace(os.sep, "/")
            return f"{number}:{'' if inner == '.' else inner}"
    return os.path.basename(path)


def absolute(path: str, locations: list[str]) -> str:
    """Undo ``relative``."""
    number, colon, inner = path.partition(":")
    if colon and number.isdigit():
        return os.path.normpath(os.path.join(locations[int(number)], inner))
    return os.path.normpath(os.path.join(os.getcwd(), path))


def decoded(data: bytes) -> str:
    """Return a Python file's text, by its own coding line; newlines are kept as they are."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return data.decode("utf-8", errors="replace")


def read(path: str) -> str | None:
    try:
        with open(path, "rb") as stream:
            return decoded(stream.read())
    except OSError:
        return None


def parents(revision: Any) -> set[str]:
    """Return the ids that a revision needs: its down_revisions and what it depends on."""
    return set(revision._all_down_revisions)
