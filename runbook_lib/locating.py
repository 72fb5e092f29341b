"""Locating: where a project's Alembic, its interpreter and its driver are."""

from __future__ import annotations

import base64
import configparser
import hashlib
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook_lib import flask_app, variables
from runbook_lib.errors import ConfigurationError

DEPTH = 4
SKIPPED = frozenset(
    ("node_modules", "site-packages", "venv", "env", "virtualenv", "__pycache__", "build", "dist")
) | {"outputs"}
VENVS = (".venv", "venv", "env", ".virtualenv")
REQUIREMENTS = ("requirements*.txt", "requirements/*.txt", "pyproject.toml", "Pipfile", "setup.cfg",
                "setup.py", "environment.y*ml", "constraints.txt")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where Alembic lives. ``root`` is the folder from which it runs, ``ini`` relative to it.

    ``script_location`` is relative to it where it lies below, ``places`` are the folders that
    modules are imported from, ``url_scheme`` is that of ``sqlalchemy.url``, and ``variables``
    are the ones that this URL names.
    """

    root: Path
    ini: str
    section: str
    toml_only: bool
    script_location: str
    env_py: Path | None
    places: tuple[Path, ...]
    url_scheme: str
    variables: tuple[str, ...]
    notes: tuple[str, ...]


# The ini file


def find_project(project: Path) -> Location:
    """Find the nearest ``alembic.ini``, else ``[tool.alembic]``. Raises ConfigurationError."""
    if not project.is_dir():
        raise ConfigurationError(f"There is no folder {project.name}.", "Check --project.")
    inis = _nearest(_files(project, "alembic.ini"))
    tomls = [path for path in _nearest(_files(project, "pyproject.toml"))
             if tool_section(path)]  # fmt: skip
    nearest = inis[0].parent if inis else None
    if tomls and (nearest is None or tomls[0].parent == nearest):
        found = tomls[0].parent
        others = [path for path in (*inis, *tomls) if path.parent != found]
        return _located(project, found / "alembic.ini", tool_section(tomls[0]), others)
    if nearest:
        return _located(project, inis[0], {}, [*inis[1:], *tomls])
    raise ConfigurationError(
        f"There is no alembic.ini in {project.name} or {DEPTH} folders below it, and no "
        "pyproject.toml with [tool.alembic].",
        _without_ini(project) or "Name the project's folder: runbook init --project FOLDER",
    )


def _without_ini(project: Path) -> str:
    """Say what to do about a tree whose application runs Alembic without an ini file."""
    trees = [path.parent for path in _nearest(_files(project, "env.py"))
             if (path.parent / "versions").is_dir()]  # fmt: skip
    if not trees:
        return ""
    folder, *others = (path.relative_to(project).as_posix() for path in trees)
    more = f" There are more such trees: {', '.join(others)}." if others else ""
    return (
        f"{folder} looks like Alembic's tree, run by the application without an ini file. Write "
        f"an alembic.ini here with the lines [alembic] and script_location = %(here)s/{folder}; "
        f"then run it again.{more}"
    )


def _files(folder: Path, name: str) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        depth = len(Path(here).relative_to(folder).parts)
        folders[:] = sorted(
            item for item in folders
            if depth < DEPTH and item not in SKIPPED and not item.startswith(".")
            and not (Path(here) / item / "pyvenv.cfg").exists()
        )  # fmt: skip
        if name in names:
            yield Path(here) / name


def _nearest(paths: Iterator[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (len(path.parts), str(path)))


def tool_section(path: Path) -> dict[str, object]:
    """Return ``[tool.alembic]`` of a pyproject.toml, empty when it has none."""
    return _table(path, "tool", "alembic")


def _table(path: Path, *keys: str) -> dict[str, object]:
    """Return a table of a TOML file, empty when there is none that can be read."""
    try:
        found: object = tomllib.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _located(project: Path, ini: Path, tool: dict[str, object], others: Sequence[Path]) -> Location:
    options, section, sections = _options(project, ini)
    script = str(tool.get("script_location") or options.get("script_location") or "")
    script = script.replace("\0", "")
    root, folder = _root(project, ini, script)
    url = options.get("sqlalchemy.url", "")
    env_py = folder / "env.py" if folder and (folder / "env.py").is_file() else None
    if env_py == ini.parent / "env.py" and flask_app.is_wanted(env_py) and ini.parent != project:
        root = ini.parent.parent  # flask is run there
    notes = [*_also(project, ini, others), *_sections_note(section, sections)]
    notes += _notes(ini, tool, script, folder, env_py, url)
    return Location(
        root=root,
        ini=ini.relative_to(root).as_posix(),
        section=section,
        toml_only=bool(tool) and not ini.exists(),
        script_location=_below(folder, root) or script,
        env_py=env_py,
        places=_places(root, ini, options, tool),
        url_scheme=variables.scheme_of(url),
        variables=tuple(re.findall(r"\$\{?([A-Za-z_]\w*)", url)),
        notes=tuple(notes),
    )


def _below(folder: Path | None, root: Path) -> str:
    real = folder.resolve() if folder else None
    return real.relative_to(root).as_posix() if real and real.is_relative_to(root) else ""


def _options(project: Path, ini: Path) -> tuple[dict[str, str], str, list[str]]:
    """Return the options of Alembic's section, its name, and all sections that are Alembic's.

    ``[alembic]`` is taken unless its script_location leads nowhere and another section's does not.
    """
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(ini.read_text(errors="replace"))
    except (OSError, configparser.Error):
        return {}, "alembic", []
    owners = [name for name in parser.sections() if parser.has_option(name, "script_location")]
    owners.sort(key=lambda name: name != "alembic")
    leading = [
        name for name in owners if _root(project, ini, parser.get(name, "script_location"))[1]
    ]
    chosen = next(iter([*leading, *owners]), "alembic")
    return (dict(parser.items(chosen)) if parser.has_section(chosen) else {}), chosen, owners


def _root(project: Path, ini: Path, script: str) -> tuple[Path, Path | None]:
    """Return the folder from which ``script_location`` can be found, and what it leads to.

    It is the ini file's own, or one above it where people run ``alembic -c path/alembic.ini``.
    """
    home = ini.parent
    above = [folder for folder in home.parents if folder.is_relative_to(project)]
    for root in (home, *above) if script else ():
        for folder in _script_folders(root, home, script):
            if folder.is_dir():
                return root, folder
    return home, home if (home / "env.py").is_file() else None


def _script_folders(root: Path, home: Path, script: str) -> Iterator[Path]:
    text = script.replace("%(here)s", str(home))
    package, *inner = text.split(":")
    if inner and variables.NAME.fullmatch(package.split(".")[0]):  # package:folder:folder
        for base in (root, root / "src", *_imported_from(root)):
            yield base.joinpath(*package.split("."), *inner)
    else:
        yield root / text


def _places(
    root: Path, ini: Path, options: dict[str, str], tool: dict[str, object]
) -> tuple[Path, ...]:
    given = tool.get("prepend_sys_path") or options.get("prepend_sys_path") or ""
    listed = given if isinstance(given, list) else re.split(r"[:;,\s]+", str(given))
    named = [
        root / str(item).replace("%(here)s", str(ini.parent))
        for item in listed
        if item and "\0" not in str(item)
    ]
    every = (*named, root, root / "src", root.parent, root.parent / "src", *_imported_from(root))
    return tuple(dict.fromkeys(path.resolve() for path in every))


def _imported_from(root: Path) -> Iterator[Path]:
    """Give the folders above the packages that ``root`` lies in; the last is imported from."""
    inside = (folder for folder in (root, *root.parents) if (folder / "__init__.py").exists())
    yield from (folder.parent for folder in inside)


def _also(project: Path, ini: Path, others: Sequence[Path]) -> Iterator[str]:
    if others:
        names = ", ".join(path.relative_to(project).as_posix() for path in others)
        near = (ini if ini.exists() else ini.with_name("pyproject.toml")).relative_to(project)
        yield f"Several Alembic projects are here; {near.as_posix()} was taken. Others: {names}."


def _sections_note(section: str, sections: Sequence[str]) -> Iterator[str]:
    rest = [name for name in sections if name != section]
    if rest:
        yield f"The ini file has more sections with a script_location: {', '.join(rest)}."


def _notes(
    ini: Path, tool: dict[str, object], script: str, folder: Path | None, env_py: Path | None,
    url: str,
) -> Iterator[str]:  # fmt: skip
    if tool:
        yield ("Options stand in pyproject.toml [tool.alembic]: the project's Alembic has to be "
               "1.16 or newer.")  # fmt: skip
    if folder is None and not script:
        yield f"No script_location is set: add it to {ini.name}."
    elif folder is None:
        yield f"The script_location {script} was not found: {_advice(script)}"
    elif env_py is None:
        yield f"There is no env.py in {script}."
    if flask_app.is_wanted(env_py):
        yield ("env.py is Flask-Migrate's: it runs within the application that FLASK_APP names in "
               "[project.env], or that app.py or wsgi.py make.")  # fmt: skip
    backend = re.match(r"\s*(\w+)(\+\w+)?://", url)
    if backend and backend[1] not in ("postgresql", "postgres", "driver"):
        yield (f"sqlalchemy.url is a {backend[1]} address: the runbook, which works on PostgreSQL "
               "only, gives env.py another in its place.")  # fmt: skip


def _advice(script: str) -> str:
    if re.search(r"\{\w+\}", script):
        return ("the application fills it in. Write an ini file of your own and set [project] ini "
                "to it (docs/how-to/own-project.md).")  # fmt: skip
    return "check [project] root."


# The interpreter


def find_python(root: Path, stop: Path) -> Path | None:
    """Return the project's own interpreter; None: the Python that runs the runbook serves.

    Looked for from ``root`` up to ``stop``: virtual environments beside the project first, then
    the one that the project is installed in, then where poetry and pipenv keep theirs, then the
    one that is active. One with Alembic wins.
    """
    homes = [folder / name for folder in upwards(root, stop) for name in VENVS]
    homes += _installed(root)
    named = os.environ.get("UV_PROJECT_ENVIRONMENT")
    homes += [root / named] if named else []
    homes += [
        home for folder in upwards(root, stop) for home in (*_poetry(folder), *_pipenv(folder))
    ]
    active = os.environ.get("VIRTUAL_ENV")
    homes += [Path(active)] if active and Path(active) != Path(sys.prefix) else []
    found = [path for home in homes if (path := _python(home))]
    return next(filter(has_alembic, found), found[0] if found else None)


def _installed(root: Path) -> Iterator[Path]:
    """Give the environment that the project is installed in: its ``site-packages`` lie above."""
    yield from (folder.parents[2] for folder in (root, *root.parents)
                if folder.name == "site-packages" and len(folder.parents) > 2)  # fmt: skip


def upwards(root: Path, stop: Path) -> tuple[Path, ...]:
    """Return ``root`` and the folders above it up to ``stop``."""
    return (root, *(path for path in root.parents if path.is_relative_to(stop)))


def _python(home: Path) -> Path | None:
    for name in ("bin/python", "bin/python3", "Scripts/python.exe"):
        if (home / name).exists():
            return home / name
    return None


def has_alembic(python: Path) -> bool:
    return any(True for _ in _packages(python, "alembic"))


def _packages(python: Path, name: str) -> Iterator[Path]:
    home = python.parent.parent
    for library in ("lib/python*/site-packages", "Lib/site-packages"):
        yield from home.glob(f"{library}/{name}")


def _poetry(folder: Path) -> Iterator[Path]:
    """Give poetry's environments of a project: their names are made of its name and folder."""
    file = folder / "pyproject.toml"
    name = _table(file, "tool", "poetry").get("name") or _table(file, "project").get("name")
    cache = os.environ.get("POETRY_CACHE_DIR") or Path.home() / ".cache/pypoetry"
    place = Path(os.environ.get("POETRY_VIRTUALENVS_PATH") or Path(cache) / "virtualenvs")
    clean = re.sub(r'[ $`!*@"\\\r\n\t]', "_", str(name or "").lower())[:42]
    digest = hashlib.sha256(os.path.realpath(folder).encode()).digest()
    mark = base64.urlsafe_b64encode(digest).decode()[:8]
    yield from sorted(place.glob(f"{clean}-{mark}-py*"), reverse=True) if clean else ()


def _pipenv(folder: Path) -> Iterator[Path]:
    """Give pipenv's environments of a project: each says in ``.project`` whose it is."""
    if (folder / "Pipfile").exists():
        place = Path(os.environ.get("WORKON_HOME") or Path.home() / ".local/share/virtualenvs")
        for mark in place.glob(f"{folder.name}-*/.project"):
            if lines_of(mark)[:1] == [str(folder)]:
                yield mark.parent


# The driver


def find_drivers(root: Path, stop: Path, text: str) -> tuple[str, ...]:
    """Return the PostgreSQL drivers that requirements, installed packages or code name.

    Where none is named, those that the Python has which runs the runbook, if that one serves.
    """
    texts = [text]
    for folder in upwards(root, stop):
        files = (path for pattern in REQUIREMENTS for path in folder.glob(pattern))
        texts += ["\n".join(line.split("#")[0] for line in lines_of(path)) for path in files]
    python = find_python(root, stop)
    every = "\n".join(texts)
    named = tuple(
        name for name in variables.DRIVERS
        if re.search(rf"(?<![\w.-]){name}(?:[-_]binary)?(?![\w-])", every)
        or (python and any(_packages(python, name)))
    )  # fmt: skip
    if named or python:
        return named
    own = Path(sys.executable)
    return tuple(name for name in variables.DRIVERS if any(_packages(own, name)))


def lines_of(path: Path) -> list[str]:
    """Return a text file's lines, stripped; none when it cannot be read."""
    try:
        return [line.strip() for line in path.read_text(errors="replace").splitlines()]
    except OSError:
        return []
