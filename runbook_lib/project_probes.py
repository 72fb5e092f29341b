"""Probes of the project: its interpreter, its Alembic, its checks, and where alerts go."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from runbook_lib import postgres, unread
from runbook_lib.config import Check
from runbook_lib.counting import count
from runbook_lib.dsn import Dsn
from runbook_lib.errors import ConfigurationError, ProjectError, UnreachableError
from runbook_lib.probing import Item, Visit, bad, good, note, some
from runbook_lib.revisions import parse_tree

# The project


def folder(visit: Visit) -> Item:
    settings = visit.environment.project
    if settings.exec:
        return good(f"{settings.root}, as the container or the other machine sees it.")
    if not visit.environment.project_root.is_dir():
        return bad(
            f"The project's folder {settings.root} is not there.",
            "Set [project] root to the folder from which alembic is run.",
        )
    return good(f"{settings.root} is there.")


def interpreter(visit: Visit) -> Item:
    """Start it, without asking for anything that has to be installed."""
    settings = visit.environment.project
    try:
        visit.project.digests(())
    except ConfigurationError as error:
        if "folder" in error.message:
            raise ConfigurationError(error.message, error.hint) from None
        raise UnreachableError(error.message, error.hint) from None
    place = " ".join(settings.exec) or "this machine"
    return good(f"{Path(settings.python or 'python').name} starts ({place}).")


def packages(visit: Visit) -> Item:
    try:
        visit.found = visit.project.collection()
    except ConfigurationError as error:
        if "[project] python" in error.hint:
            raise
        return good("alembic and sqlalchemy can be imported.")
    versions = visit.found.versions
    shown = (f"{name} {versions[name]}" for name in sorted(versions, key=lambda n: n != "python"))
    return good(", ".join(shown))


def options(visit: Visit) -> Item:
    visit.found = visit.project.collection()
    settings = visit.environment.project
    return good(
        f"{settings.ini}, section [{settings.section}]; script_location "
        f"{visit.found.script_location}."
    )


def files(visit: Visit) -> Item:
    assert visit.found is not None
    graph = parse_tree(visit.found.tree)
    files = count(len(visit.found.tree.files), "revision file")
    if graph.unloadable:
        names = some([item.file for item in graph.unloadable])
        return note(f"{files}; Alembic cannot load {names}.", "The audit says what to do about it.")
    kind = note if graph.revisions else bad
    if visit.found.unread:
        return kind(f"{files}; Alembic does not read {some([*visit.found.unread])}.", unread.ADVICE)
    return good(f"{files}.") if graph.revisions else bad("There is no revision file.", EMPTY)


EMPTY = "Check version_locations, or write the first revision."
SOCKET_HINT = (
    "The disposable databases are reached by a Unix socket, which has no host name, and some "
    "settings refuse that: name a host in the address, set another scratch, such as "
    '"embedded", for this environment, or mend [project.env] ({socket} is the folder).'
)


def environment(visit: Visit) -> Item:
    assert visit.shadow is not None
    try:
        visit.description = found = visit.project.describe(visit.shadow)
    except ProjectError as error:
        strict = visit.shadow.host.startswith("/") and re.search(r"\bhost\b|URL", error.message)
        raise ProjectError(error.message, SOCKET_HINT if strict else error.hint) from None
    table = ".".join(filter(None, (found.version_table_schema, found.version_table)))
    return good(f"env.py connects with {found.driver} {found.driver_version}; it names {table}.")


_VERSION_TABLE = """
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
    pg_catalog.quote_ident(current_user),
    ARRAY(SELECT p FROM pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
          WHERE NOT pg_catalog.has_table_privilege(c.oid, p))
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(table)s AND c.relkind IN ('r', 'p')
  AND (n.nspname = %(schema)s OR (%(schema)s = '' AND pg_catalog.pg_table_is_visible(c.oid)))
"""


def version_table(visit: Visit) -> Item:
    assert visit.description is not None
    named, found = visit.environment, visit.description
    table = named.version_table or found.version_table
    schema = named.version_table_schema or found.version_table_schema
    rows = postgres.fetch(visit.connection, _VERSION_TABLE, {"table": table, "schema": schema})
    if not rows:
        return note(
            f"There is no table {table} {f'in {schema}' if schema else 'on the search path'}.",
            "If the database was never stamped, that is right; the audit says what to record. "
            "Else set version_table and version_table_schema of the environment.",
        )
    name, role, lacks = rows[0]
    if lacks:
        grant = f"Run as its owner: GRANT {', '.join(lacks)} ON {name} TO {role};"
        return bad(f"{role} lacks {', '.join(lacks)} on {name}.", grant)
    held = postgres.version_rows(visit.connection, schema, table) or ()
    return good(f"{name} can be read and written; it has {count(len(held), 'row')}.")


# Checks and alerts

_LOOK = (
    "import importlib.util as i, shutil, sys\n"
    "sys.path.insert(0, '')\n"
    "def there(kind, name):\n"
    "    try:\n"
    "        return bool(shutil.which(name) if kind == 'command' else i.find_spec(name))\n"
    "    except Exception:\n"
    "        return False\n"
    "for item in sys.argv[1:]:\n"
    "    print(item, there(*item.split(':', 1)))\n"
)


def checks(visit: Visit) -> Item:
    """Look for the first word of each command, and the module of each callable, in its place."""
    assert visit.shadow is not None
    checks = visit.environment.checks
    if not checks:
        return note("No application check is configured.", "Add [[checks]] to runbook.toml.")
    sought = {check.name: _sought(check) for check in checks if not check.sql}
    missing = _absent(visit, visit.shadow, tuple(dict.fromkeys(sought.values()))) if sought else ()
    lost = [f"{name} ({sought[name].partition(':')[2]})" for name in sought
            if sought[name] in missing]  # fmt: skip
    if lost:
        return bad(
            f"What these checks run is not there: {some(lost)}.",
            "Mend command or callable of [[checks]]; they run in the project's folder.",
        )
    return good(f"{count(len(checks), 'check')}; what they run is there.")


def _sought(check: Check) -> str:
    if check.callable:
        return "module:" + check.callable.partition(":")[0]
    return "command:" + check.command[0]


def _absent(visit: Visit, shadow: Dsn, items: tuple[str, ...]) -> tuple[str, ...]:
    for python in ("python", "python3"):
        code, output = visit.project.run([python, "-c", _LOOK, *items], shadow)
        if code == 0:
            return tuple(item for item in items if f"{item} True" not in output.splitlines())
    raise ConfigurationError(
        "The project's place has no command python to look for the checks' programs.",
        "Check [project] exec and python.",
    )


def alerts(visit: Visit) -> Item:
    alerts = visit.environment.alerts
    if alerts.webhook_env and not os.environ.get(alerts.webhook_env):
        return bad(
            f"The variable {alerts.webhook_env} of [alerts] is not set.",
            f"Run: export {alerts.webhook_env}=https://...",
        )
    if alerts.command and not _here(alerts.command[0], visit.environment.folder):
        return bad(
            f"The command {alerts.command[0]} of [alerts] is not there.", "Install it, or mend it."
        )
    if not (alerts.webhook_env or alerts.command):
        return note("No alert is configured.", "Set webhook_env or command in [alerts].")
    return good("The monitor's alerts have where to go.")


def _here(word: str, folder: Path) -> bool:
    return bool(shutil.which(word) or (os.sep in word and (folder / word).is_file()))
