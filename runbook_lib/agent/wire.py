"""Wire: what the agent answers, refuses, and when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from typing import Any


class Refused(Exception):
    """Something that a person has to mend; ``kind`` names the error class on the other side."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.hint = kind, message, hint


class MissingDriver(Refused, ImportError):
    """An engine's driver cannot be imported; code that tries one after another may catch it."""


class Channel:
    """The original standard output, taken away from everyone else in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, **fields}, default=str)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


CHILDREN: list[subprocess.Popen[str]] = []
FOLDERS: list[str] = []
GO_ON = threading.Event()


def await_database(channel: Channel) -> None:
    """Wait for the word that the request's database is there."""
    channel.send("waiting")
    GO_ON.wait()


def watch_input() -> None:
    """End the process when the other side of standard input is gone; a line says to go on."""
    given = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def watch() -> None:
        while os.read(given, 1024):
            GO_ON.set()
        for child in CHILDREN:
            kill_group(child)
        for folder in FOLDERS:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(70)

    threading.Thread(target=watch, daemon=True).start()


def kill_group(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)


WHOLE_ROW = ("23502", "23514")  # their detail is "Failing row contains (…)"
# Names of columns whose values are not repeated.
PRIVATE = re.compile(
    r"passw|pwd|secret|token|credential|hash|salt|api_?key|private_?key", re.IGNORECASE
)
KEY = re.compile(rf"(\([^()]*(?:{PRIVATE.pattern})[^()]*\)=)\(.*\)", re.IGNORECASE)


def sqlstate(error: BaseException) -> str:
    """Return the server's code of an error, whichever driver raised it; "" if it has none."""
    given = error.args[0] if error.args else ""
    if isinstance(given, dict):  # pg8000
        return str(given.get("C", ""))
    return str(getattr(error, "pgcode", None) or getattr(error, "sqlstate", None) or "")


def explain(error: BaseException) -> str:
    """Return what an error says, without the parameters that SQLAlchemy adds to it, and without
    values that are nobody's business: a whole row, or the key of a column that is named as one.
    """
    cause: Any = getattr(error, "orig", None) or error
    given = cause.args[0] if getattr(cause, "args", None) else ""
    if isinstance(given, dict) and "M" in given:  # pg8000
        text = "\n".join(str(given[key]) for key in ("M", "D", "H") if key in given)
    else:
        text = re.sub(r"^<class '[\w.]*?(\w+)'>: ", "", str(cause))
    if sqlstate(cause) in WHOLE_ROW:
        text = text.strip().split("\n")[0]
    text = " ".join(KEY.sub(r"\1(***)", text).split())
    plain = type(cause).__module__.split(".")[0] in (
        "psycopg2",
        "psycopg",
        "asyncpg",
        "sqlalchemy",
        "pg8000",
    )
    if isinstance(cause, SystemExit):
        return f"it ended itself with sys.exit({text})"
    kind = type(cause).__name__  # what was to be reflected and is not there is only named
    named = (plain and kind != "NoSuchTableError") or kind in ("CommandError", "Refused")
    return text if named and text else f"{kind}: {text}".rstrip(": ")
