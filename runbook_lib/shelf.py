"""Shelf: a folder of results by name, each with its digest; what is damaged is not there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from runbook_lib.artifacts import from_json, to_json
from runbook_lib.errors import ConfigurationError

T = TypeVar("T")
LIMIT = 60  # files; the oldest go


class Shelf:
    """A cache: everything on it can be made again, so nothing here raises for a damaged file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str, cls: type[T]) -> T | None:
        """Return what was written under the name, or None when it is missing or damaged."""
        with suppress(OSError, ValueError, ConfigurationError):
            known, _, body = self._path(name).read_bytes().partition(b"\n")
            if hashlib.sha256(body).hexdigest() == known.decode():
                return from_json(cls, json.loads(body))
        return None

    def write(self, name: str, value: object) -> None:
        """Write ``value`` at once or not at all; the oldest of many are removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        body = json.dumps(to_json(value), separators=(",", ":")).encode()
        path = self._path(name)
        fresh = path.with_suffix(f".{secrets.token_hex(4)}")
        fresh.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        os.replace(fresh, path)
        self._prune()

    def forget(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        """Give True while this process alone holds the name, False when another one does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _prune(self) -> None:
        files = sorted(self.folder.glob("*.json"), key=_age)
        for path in files[LIMIT:]:
            path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0
