"""Scaffold: ``runbook init``, which looks at a stranger's project and writes its runbook.toml.

Everything is read as text or parsed; nothing is imported or run. Of addresses that stand in the
project's files only the names of variables and the scheme of a URL are ever kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook_lib import compose, flask_app, locating, variables
from runbook_lib.compose import Service
from runbook_lib.config import FILE_NAME, load_environments
from runbook_lib.errors import ConfigurationError, SafetyError
from runbook_lib.locating import Location
from runbook_lib.variables import Reading, Variable

EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist", "example.env", ".env")
STRICT = re.compile(r"\b(PostgresDsn|MultiHostUrl|AnyUrl)\b")  # refuse a URL without a host
IN_PLACE = "://{user}:{password}@{host}:{port}/{database}"
# The embedded server is reached through a Unix socket, whose folder cannot stand in the host's
# place. SQLAlchemy and libpq take the query's host before the one that stands there. A password
# with an @ or a % would break the URL: drivers take it from PGPASSWORD, which is always set.
IN_QUERY = "://{user}@localhost:{port}/{database}?host={host}&port={port}"
# oslo.config takes every option from the environment, as OS_GROUP__OPTION, before its files.
OSLO = re.compile(r"^\s*(?:from|import) oslo_(?:config|db)\b", re.MULTILINE)
OSLO_VARIABLE = "OS_DATABASE__CONNECTION"
URL_VARIABLES = {"staging": "STAGING_DATABASE_URL", "production": "PRODUCTION_DATABASE_URL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found; ``python`` is "" for the Python that runs the runbook, paths are texts."""

    location: Location
    root: str
    python: str
    drivers: tuple[str, ...]
    reading: Reading
    env: tuple[tuple[str, str], ...]
    origin: str
    service: Service | None


def init(folder: Path, project: Path, *, force: bool) -> str:
    """Write ``folder``/runbook.toml for the Alembic project in or below ``project``.

    Returns the text to print: what was found and what to do next. Raises ConfigurationError when
    there is no project, SafetyError when the file is there and ``force`` is not given.
    """
    path = folder / FILE_NAME
    if path.exists() and not force:
        raise SafetyError(
            f"There is a {FILE_NAME} here already; it was left as it is.",
            "Look at it with: runbook doctor; or replace it with: runbook init --force",
        )
    found = survey(folder.resolve(), (folder / project).resolve())
    _write(path, document(found))
    load_environments(path)
    return report(found)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigurationError(
            f"{path.name} cannot be written ({error.strerror}).", "Run it where you may write."
        ) from None


def survey(folder: Path, project: Path) -> Survey:
    """Look at the project; ``folder`` is where runbook.toml is to lie."""
    location = locating.find_project(project)
    reading = _reading(location)
    stop = project if location.root.is_relative_to(project) else location.root
    python = locating.find_python(location.root, stop)
    drivers = locating.find_drivers(location.root, stop, f"{location.url_scheme}\n{reading.text}")
    env, origin = environment_lines(location, reading, drivers)
    return Survey(
        location=location,
        root=_relative(location.root, folder),
        python=_relative(python, folder) if python else "",
        drivers=drivers,
        reading=reading,
        env=env,
        origin=origin,
        service=compose.find_service(location.root, stop, folder),
    )


def _reading(location: Location) -> Reading:
    if location.env_py is None:
        return Reading()
    wanted = flask_app.is_wanted(location.env_py)
    application = flask_app.find(location.root)[1] if wanted else None
    return variables.read(location.env_py, location.root, location.places, application)


def _relative(path: Path, folder: Path) -> str:
    """Return a path below or beside ``folder`` relative to it, any other one absolute."""
    relative = os.path.relpath(path, folder)
    text = relative if relative.count("..") <= 2 else str(path)
    return Path(text).as_posix()


# What env.py reads


def environment_lines(
    location: Location, reading: Reading, drivers: Sequence[str]
) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return the lines of ``[project.env]`` and where their names were found."""
    examples = _examples(location.root)
    found, origin = reading.addresses, "env.py and what it imports"
    if not found and location.variables:
        found = tuple(Variable(name=n, role=variables.role_of(n) or "url")
                      for n in location.variables)  # fmt: skip
        origin = location.ini
    if not found and not location.url_scheme:
        found = tuple(item for item in examples.values() if item.role)
        origin = "the example of its .env file"
    if not found and not location.url_scheme and OSLO.search(reading.text):
        found, origin = (Variable(name=OSLO_VARIABLE, role="url"),), "the settings of oslo.config"
    lines = tuple(
        (item.name, value(item, examples.get(item.name), reading, drivers)) for item in found
    )
    application = _flask(location)
    origin = origin if lines else "the application"
    return (*application, *lines), origin if application or lines else ""


def _flask(location: Location) -> tuple[tuple[str, str], ...]:
    named = flask_app.find(location.root)[0] if flask_app.is_wanted(location.env_py) else ""
    return (("FLASK_APP", named),) if named else ()


def _examples(root: Path) -> dict[str, Variable]:
    """Return the variables that the project's ``.env`` examples name: names and schemes only."""
    found: dict[str, Variable] = {}
    for folder in (root, root.parent):
        for name in EXAMPLES:
            for line in locating.lines_of(folder / name):
                key, equals, given = line.removeprefix("export ").partition("=")
                if equals and variables.NAME.fullmatch(key.strip()):
                    item = _example(key.strip(), given)
                    found.setdefault(item.name, item)
    return found


def _example(name: str, given: str) -> Variable:
    scheme = variables.scheme_of(given)
    return Variable(name=name, role="url" if scheme else variables.role_of(name), scheme=scheme)


def value(
    item: Variable, example: Variable | None, reading: Reading, drivers: Sequence[str]
) -> str:
    """Return the text with placeholders that ``[project.env]`` sets a variable to."""
    if item.role != "url":
        return f"{{{item.role}}}"
    known = (example.scheme if example else "") or item.scheme or reading.rewrites
    driver = known.partition("+")[2]
    if not known:
        driver = _driver(reading, drivers)
    if not driver and not STRICT.search(reading.text):
        return "{url}"
    scheme = f"postgresql+{driver}" if driver else "postgresql"
    return scheme + (IN_PLACE if driver == "pg8000" else IN_QUERY)


def _driver(reading: Reading, drivers: Sequence[str]) -> str:
    """Choose the driver of a URL whose scheme nothing tells, "" when plain is as good."""
    if reading.is_async:
        return next((name for name in ("asyncpg", "psycopg") if name in drivers), "")
    fitting = [name for name in drivers if name != "asyncpg"]
    # A URL without a driver means psycopg2 before SQLAlchemy 2.1, psycopg from then on.
    return fitting[0] if fitting and "psycopg2.connect" not in reading.text else ""


# The file


def document(found: Survey) -> str:
    """Return the text of runbook.toml."""
    parts = (
        _project(found), _environment_table(found), _environments(), _checks(),
    )  # fmt: skip
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def quoted(text: str) -> str:
    """Return a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + '"'


def _project(found: Survey) -> Iterator[str]:
    location = found.location
    yield "# The runbook's configuration. What is here is checked by: runbook doctor"
    yield "# Where runs are archived, relative to this file."
    yield 'outputs = "outputs"'
    yield ""
    yield "[project]"
    yield "# The folder from which alembic is run, relative to this file."
    yield f"root = {quoted(found.root)}"
    if location.toml_only:
        yield "# Alembic's options stand in pyproject.toml, [tool.alembic]; no ini file is needed."
    else:
        yield "# Alembic's ini file, relative to root."
    yield f"ini = {quoted(location.ini)}"
    yield "# The section of it that Alembic reads."
    yield f"section = {quoted(location.section)}"
    yield "# The Python that has the project's packages, relative to this file. Empty: the Python"
    yield "# that runs the runbook."
    yield f"python = {quoted(found.python)}"
    yield "# What stands before python to reach it: nothing on this machine."
    yield "exec = []"
    yield from _container(found.service)


def _container(service: Service | None) -> Iterator[str]:
    if service is None:
        yield '# In a container: exec = ["docker", "exec", "-i", "CONTAINER"], python = "python"'
        yield "# and root = the folder of alembic.ini as the container sees it."
        return
    file = [] if service.near else ["-f", service.file]
    words = ["docker", "compose", *file, "exec", "-T", service.name]
    yield f"# {service.file} builds the project as the service {service.name}. To run it there:"
    yield f"# exec = [{', '.join(map(quoted, words))}]"
    yield f"# root = {quoted(service.folder)}  # the folder of alembic.ini inside the container"
    yield '# python = "python"'
    yield '# and below, scratch = "target" or "env:VARIABLE": the container cannot reach the'
    yield "# embedded server of this machine."


def _environment_table(found: Survey) -> Iterator[str]:
    yield "# What env.py reads to find its database. The runbook fills in the database at work: a"
    yield "# disposable one for rehearsals, the target only when it is deployed. Placeholders:"
    yield "# {url} {host} {port} {user} {password} {database} {socket}"
    yield "[project.env]"
    if found.env:
        yield f"# Found in {found.origin}."
    else:
        yield "# Nothing was found that env.py reads. If it reads a variable, set it like this:"
        yield '# DATABASE_URL = "{url}"'
    if any(IN_QUERY in text for _, text in found.env):
        yield "# The host in the query wins over localhost: it may be the folder of a socket. The"
        yield "# password, which may hold any letter, comes from PGPASSWORD: the runbook sets it."
    yield from (f"{quoted_key(name)} = {quoted(text)}" for name, text in found.env)
    others = [v.name for v in found.reading.variables if not v.role and v.required]
    if others:
        yield "# The project's settings need these too; set them here, or where the runbook runs."
        yield from (f'# {quoted_key(name)} = ""' for name in others)


def quoted_key(name: str) -> str:
    return name if variables.NAME.fullmatch(name) else quoted(name)


def _environments() -> Iterator[str]:
    yield "[environments.staging]"
    yield "# The variable that holds the address: postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
    yield "# An address is a secret, so only its name stands here (or url_file, a file's name)."
    yield f"url_env = {quoted(URL_VARIABLES['staging'])}"
    yield "# false: this database may be rehearsed on freely; approval may then be automatic."
    yield "protected = false"
    yield '# "person": somebody approves the rehearsed plan. "auto": nobody is asked.'
    yield 'approval = "person"'
    yield "# Where disposable databases live: embedded, local, target or env:VARIABLE."
    yield 'scratch = "embedded"'
    yield "# true: repairs of revision files are written into root, not only into the patch."
    yield "write_files = false"
    yield ""
    yield "[environments.production]"
    yield "# The variable that holds the address."
    yield f"url_env = {quoted(URL_VARIABLES['production'])}"
    yield "# true: nothing is written before a person has approved the rehearsed plan's digest."
    yield "protected = true"
    yield "# Only behind the sealed evidence of a good run of this environment."
    yield 'after = "staging"'
    yield "# Where disposable databases live."
    yield 'scratch = "embedded"'
    yield "# How long the database is watched after a deployment, in seconds."
    yield "watch_seconds = 60"


def _checks() -> Iterator[str]:
    yield "# The application's own checks, good when they exit 0; they run on the copy first."
    yield "# [[checks]]"
    yield '# name = "database connection"'
    yield '# command = ["python", "-m", "app.checks"]'


# The words for the user


def report(found: Survey) -> str:
    """Return what was found and the next commands."""
    lines = [f"Wrote {FILE_NAME}. Found:", *(f"  {line}" for line in _facts(found))]
    notes = [f"  ! {note}" for note in (*found.location.notes, *_strict(found), *_oslo(found))]
    return "\n".join([*lines, *notes, "", "Next:", *_next(found)])


def _strict(found: Survey) -> Iterator[str]:
    parts = any(item.role == "host" for item in found.reading.addresses)
    if parts and STRICT.search(found.reading.text):
        yield (
            "The settings check the parts of the address. They may refuse the socket of the "
            'embedded server: then set scratch = "target" or "env:VARIABLE".'
        )


def _oslo(found: Survey) -> Iterator[str]:
    if OSLO_VARIABLE in dict(found.env):
        yield (
            f"The settings are oslo.config's: {OSLO_VARIABLE} in [project.env] stands for "
            "connection in [database]; another option's variable is OS_GROUP__OPTION "
            "(docs/how-to/own-project.md)."
        )


def _facts(found: Survey) -> Iterator[str]:
    location = found.location
    shown = "pyproject.toml [tool.alembic]" if location.toml_only else location.ini
    yield f"project       {found.root} ({shown}, section [{location.section}])"
    yield f"migrations    {location.script_location or 'not found'}"
    here = "the Python that runs the runbook"
    yield f"interpreter   {found.python or here}"
    yield f"driver        {', '.join(found.drivers) or 'none named; one has to be installed'}"
    names = ", ".join(name for name, _ in found.env)
    yield f"variables     {names or 'none that name a database'}"
    if found.service:
        yield f"container     service {found.service.name} of {found.service.file} (as a comment)"


def _next(found: Survey) -> Iterator[str]:
    for name in URL_VARIABLES.values():
        yield f"  export {name}=postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    yield "  runbook doctor -e staging"
    yield "  runbook audit -e staging"
