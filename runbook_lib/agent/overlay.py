"""Overlay: the project's tree with edits laid over it; the project itself is not touched."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from typing import Any

from runbook_lib.agent.tree import absolute, read, version_locations
from runbook_lib.agent.wire import FOLDERS, Refused

PREFIX = "runbook-tree-"


def sweep() -> None:
    """Remove what agents left behind that were killed more than an hour ago."""
    for name in os.listdir(tempfile.gettempdir()):
        path = os.path.join(tempfile.gettempdir(), name)
        maker = name[len(PREFIX) :].split("-")[0]
        with contextlib.suppress(OSError):
            if name.startswith(PREFIX) and maker.isdigit() and os.lstat(path).st_uid == os.getuid():
                old = time.time() - os.lstat(path).st_mtime > 3600
                if old and not alive(int(maker)):
                    shutil.rmtree(path, ignore_errors=True)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


class Overlay:
    """A copy of the version locations with edits applied; everything around them is linked."""

    def __init__(self, script: Any, edits: list[dict[str, Any]]) -> None:
        self.root = os.getcwd()
        self.locations = version_locations(script)
        self.script_folder = os.path.abspath(str(script.dir))
        sweep()
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        FOLDERS.append(self.folder)
        self.edits = edits

    def build(self) -> None:
        edited = [absolute(edit["path"], self.locations) for edit in self.edits]
        for path, edit in zip(edited, self.edits):  # noqa: B905
            self._require_place(path, edit["path"])
        real = {*self.locations, *(self._home(path) for path in edited)}
        real = {path for path in real if os.path.isdir(path)}
        if any(self._inside(path) for path in real):
            self._expose(self.root, self.copy_of(self.root), real)
        for path in real:
            if not os.path.exists(self.copy_of(path)):
                self._copy(path, self.copy_of(path))
        for path, edit in zip(edited, self.edits):  # noqa: B905
            self._apply(path, edit)

    def _home(self, path: str) -> str:
        """Return the folder that is copied for the sake of an edited file."""
        fitting = [place for place in self.locations if path.startswith(place + os.sep)]
        return fitting[0] if fitting else self.script_folder

    def _require_place(self, path: str, shown: str) -> None:
        places = (self.script_folder, *self.locations)
        if not any(path.startswith(place + os.sep) for place in places):
            raise Refused(
                "project",
                f"The edit of {shown} lies outside script_location and version_locations.",
                "Edits may change the Alembic tree only.",
            )

    def _inside(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + os.sep)

    def copy_of(self, path: str) -> str:
        if self._inside(path):
            return os.path.normpath(
                os.path.join(self.folder, "root", os.path.relpath(path, self.root))
            )
        return os.path.join(self.folder, "outside", *path.split(os.sep)[1:])

    def _expose(self, source: str, copy: str, real: set[str]) -> None:
        """Fill ``copy`` with links to what ``source`` holds; folders in ``real`` are copied."""
        if source in real:
            return self._copy(source, copy)
        os.makedirs(copy)
        for name in os.listdir(source):
            path, twin = os.path.join(source, name), os.path.join(copy, name)
            if any(item == path or item.startswith(path + os.sep) for item in real):
                self._expose(path, twin, real)
            else:
                os.symlink(path, twin)
        return None

    def _copy(self, source: str, copy: str) -> None:
        ignore = shutil.ignore_patterns("__pycache__", ".git", ".venv", "node_modules")
        shutil.copytree(source, copy, ignore=ignore, dirs_exist_ok=True)

    def _apply(self, path: str, edit: dict[str, Any]) -> None:
        copy = self.copy_of(path)
        if read(copy) != edit["before"]:
            raise Refused(
                "project",
                f"{edit['path']} is not what the edit was made for.",
                "The file changed since; make the plan again.",
            )
        if edit["after"] is None:
            os.remove(copy)
            return
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        with open(copy, "w", encoding="utf-8", newline="") as stream:
            stream.write(edit["after"])

    def use(self) -> None:
        """Make every ScriptDirectory of this process read the copy."""
        from alembic.script import ScriptDirectory

        directory: Any = ScriptDirectory
        original = directory.from_config.__func__
        homes = {self._home(absolute(edit["path"], self.locations)) for edit in self.edits}

        def from_config(cls: Any, config: Any) -> Any:
            script = original(cls, config)
            script.version_locations = [self.copy_of(path) for path in self.locations]
            if self.script_folder in homes - set(self.locations):
                script.dir = self.copy_of(self.script_folder)
            return script

        directory.from_config = classmethod(from_config)

    def original(self, path: str) -> str:
        """Return the project's path for a path in the copy."""
        inside = os.path.join(self.folder, "root")
        return path.replace(inside, self.root, 1) if path.startswith(inside) else path

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
