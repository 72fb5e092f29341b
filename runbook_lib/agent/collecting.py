"""Collecting: the text of every revision file, and digests of all that decides what they do."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import sys
from typing import Any, Iterator  # noqa: UP035  (Python 3.9 at run time)

from runbook_lib.agent.configuration import load_alembic, load_config
from runbook_lib.agent.tree import load_script, read, relative, version_locations
from runbook_lib.agent.wire import Channel, Refused

PASSED = ("__pycache__", "site-packages", "node_modules", "lib", ".git", ".venv", "venv")
REVISION_ID = re.compile(r"^revision\s*(?::[^=\n]*)?=(?:\s*['\"]([^'\"\n]+))?", re.MULTILINE)
REVISION_FILE = re.compile(r"(?!\.#|__init__)(.*\.py)$")


def collect(request: dict[str, Any], channel: Channel) -> None:
    """Send the text of every revision file, importing none of them."""
    load_alembic()
    config = load_config(request)
    script = load_script(config, request)
    locations = version_locations(script)
    if not any(os.path.isdir(path) for path in locations):
        shown = ", ".join(relative(path, locations) for path in locations)
        raise Refused(
            "configuration",
            f"There is no version location: {shown} is not in the project's folder "
            f"{request['shown_root']}.",
            "Check version_locations and script_location in the ini file.",
        )
    paths = [path for place in locations for path in python_files(place, script)]
    channel.send(
        "collected",
        files={relative(path, locations): read(path) or "" for path in paths},
        locations=[relative(path, locations) for path in locations],
        unread={relative(path, locations): name for path, name in unread(locations, set(paths))},
        sourceless=[relative(path, locations) for path in sourceless(locations)],
        script_location=relative(os.path.abspath(str(script.dir)), locations),
        context=context_digest(request, script, set(paths)),
        versions=versions(),
    )


def python_files(location: str, script: Any) -> Iterator[str]:
    """Give the files that Alembic takes for revisions, sorted within each folder."""
    deep = bool(getattr(script, "recursive_version_locations", False))
    for folder, folders, names in os.walk(location):
        folders[:] = sorted(name for name in folders if name != "__pycache__") if deep else []
        for name in sorted(names):
            if REVISION_FILE.match(name):
                yield os.path.join(folder, name)


def unread(locations: list[str], taken: set[str]) -> Iterator[tuple[str, str]]:
    """Give revision files a few folders below the locations that Alembic does not take, and ids."""
    for location in locations:
        for folder, folders, names in os.walk(location):
            deep = os.path.relpath(folder, location).count(os.sep) >= 2  # RELEASE/BRANCH/file
            folders[:] = [] if deep else sorted(name for name in folders if name not in PASSED)
            for path in (os.path.join(folder, name) for name in sorted(names)):
                if path not in taken and REVISION_FILE.match(os.path.basename(path)):
                    taken.add(path)
                    found = REVISION_ID.search(read(path) or "")
                    if found:
                        yield path, found[1] or ""


def sourceless(locations: list[str]) -> Iterator[str]:
    for location in locations:
        names = set(os.listdir(location)) if os.path.isdir(location) else set()
        for name in sorted(names):
            if name.endswith((".pyc", ".pyo")) and name[:-1] not in names:
                yield os.path.join(location, name)


def context_digest(request: dict[str, Any], script: Any, revisions: set[str]) -> str:
    """Return a digest over what besides revision files decides what a revision does."""
    known = hashlib.sha256(json.dumps([request["x"], installed()], sort_keys=True).encode())
    places = [os.path.abspath(str(script.dir)), *version_locations(script)]
    found = {path for place in places for path in context_files(place)} - revisions
    inis = [os.path.abspath(name) for name in (request["ini"], "pyproject.toml")]
    for path in sorted(found) + [path for path in inis if os.path.isfile(path)]:
        known.update(relative(path, places).encode() + b"\0" + file_digest(path).encode())
    return known.hexdigest()


def context_files(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and name[0] != "."]
        for name in names:
            if not name.endswith((".mako", ".pyc", ".pyo", ".md", ".rst")) and name != "README":
                yield os.path.join(place, name)


def file_digest(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return ""


def installed() -> list[str]:
    """Return the names, with versions, of everything installed for this interpreter."""
    names = {sys.version}
    for folder in filter(os.path.isdir, sys.path):
        names.update(name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg")))
    return sorted(names)


def versions() -> dict[str, str]:
    import alembic
    import sqlalchemy

    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, "alembic": alembic.__version__, "sqlalchemy": sqlalchemy.__version__}


def loaded_sources() -> dict[str, str]:
    """Return the digests of the project's own modules that the run imported, by their path.

    They decide what a revision does as much as its own file, so a cache has to know them.
    """
    root = os.getcwd() + os.sep
    library = os.path.dirname(os.__file__)
    outside = tuple(
        os.path.join(path, "") for path in {library, *(p for p in sys.path if "-packages" in p)}
    )
    found: dict[str, str] = {}
    for module in filter(inspect.ismodule, list(sys.modules.values())):
        path = str(vars(module).get("__file__") or "")  # a lazy module may fail when it is asked
        if path.startswith(root) and path.endswith(".py") and not path.startswith(outside):
            found[os.path.relpath(path, root)] = file_digest(path)
    return found


def digests(request: dict[str, Any], channel: Channel) -> None:
    channel.send("digests", files={path: file_digest(path) for path in request["paths"]})
