"""Compose: the service of a compose file that builds the project, if any."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runbook_lib import locating

COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service of a compose file that builds the project; ``folder`` is root as it sees it."""

    name: str
    file: str
    folder: str
    near: bool


def find_service(root: Path, stop: Path, folder: Path) -> Service | None:
    """Return the service of a compose file that builds the project's folder or one above it."""
    for place in locating.upwards(root, stop):
        for name in COMPOSE:
            for service, context, inside in _built(place / name):
                home = (place / context).resolve()
                if root.is_relative_to(home):
                    rest = root.relative_to(home).as_posix()
                    base = inside or _workdir(home) or "/app"
                    return Service(
                        name=service,
                        file=Path(os.path.relpath(place / name, folder)).as_posix(),
                        folder=base if rest == "." else f"{base.rstrip('/')}/{rest}",
                        near=folder.is_relative_to(place),
                    )
    return None


def _built(path: Path) -> Iterator[tuple[str, str, str]]:
    """Give name, build context and working folder of each service that is built.

    Reads the plain block style of such files by its indentation; anything else gives nothing.
    """
    for name, block in _services(path):
        text = "\n".join(block)
        found = re.search(r"^\s+build:[ \t]*(\S*)[ \t]*(?:#.*)?$", text, re.MULTILINE)
        if found:
            inner = re.search(r"^\s+context:[ \t]*(\S+)", text[found.end() :], re.MULTILINE)
            inside = re.search(r"^\s+working_dir:[ \t]*(\S+)", text, re.MULTILINE)
            context = found[1] or (inner[1] if inner else ".")
            yield name, context.strip("'\""), inside[1].strip("'\"") if inside else ""


def _services(path: Path) -> Iterator[tuple[str, list[str]]]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return
    inside, name, indent, block = False, "", 0, list[str]()
    for line in (*lines, "end:"):
        if line and not line[0].isspace() and not line.startswith("#"):
            if name:
                yield name, block
            inside, name, indent, block = line.startswith("services:"), "", 0, []
            continue
        found = re.match(r"^(\s+)['\"]?([A-Za-z0-9_.-]+)['\"]?:\s*(#.*)?$", line)
        if inside and found and len(found[1]) == (indent or len(found[1])):
            if name:
                yield name, block
            name, indent, block = found[2], len(found[1]), []
        elif name:
            block.append(line)


def _workdir(home: Path) -> str:
    """Return the last WORKDIR of the folder's Dockerfile, "" when it has none."""
    found = [line.split()[1] for line in locating.lines_of(home / "Dockerfile")
             if re.match(r"(?i)WORKDIR\s+/", line)]  # fmt: skip
    return found[-1].strip("\"'") if found else ""
