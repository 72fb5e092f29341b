"""Files: written so that a reader sees the older one or the whole new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runbook_lib.artifacts import to_json
from runbook_lib.errors import RunbookError


def atomic_write(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the older file or the whole new one.

    Raises RunbookError when the disk is full or the folder is gone; the older file then stays.
    """
    with writing(path.name):
        _replace(path, data)


@contextlib.contextmanager
def writing(name: str) -> Iterator[None]:
    """Say what could not be written, in place of the system's error."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = "there is no space left" if full else error.strerror
        raise RunbookError(
            f"{name} could not be written: {reason}.",
            "The file that was there before is unchanged. "
            + ("Free some space, then run again." if full else "Check the folder, then run again."),
        ) from error


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), 0o644)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_plain(path: Path) -> bytes:
    """Read a file that has to be one: a pipe would never end, a link leads elsewhere."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        return stream.read()


def pretty(value: Any) -> bytes:
    """Return readable JSON of ``value`` with sorted keys, as the archive keeps it."""
    text = json.dumps(to_json(value), sort_keys=True, indent=2, ensure_ascii=False)
    return f"{text}\n".encode()


def numbered(folder: Path, path: Path) -> Path:
    """Return the first free name such as ``folder/02_audit.1.ipynb``."""
    names = (folder / f"{path.stem}.{number}{path.suffix}" for number in itertools.count(1))
    return next(name for name in names if not name.exists())
