"""Probes of the target's server and of this machine: each looks at one thing, nothing is raised
that a doctor could not tell of."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from functools import cache
from importlib import resources
from typing import Any

from runbook_lib import counting, postgres
from runbook_lib.backup import SPARE_BYTES
from runbook_lib.counting import count
from runbook_lib.errors import UnreachableError
from runbook_lib.postgres import Scratch
from runbook_lib.probing import Item, Visit, bad, counted, good, note
from runbook_lib.programs import program_major
from runbook_lib.project import Project

OLDEST = 110000


# The configuration and the address


def configuration(visit: Visit) -> Item:
    environment = visit.environment
    kind = "protected" if environment.protected else "unprotected"
    after = f", after {environment.after}" if environment.after else ""
    return good(f"runbook.toml was read; {environment.name} is {kind}{after}.")


def address(visit: Visit) -> Item:
    visit.dsn = visit.environment.dsn()
    visit.project = Project(
        visit.environment.project,
        visit.environment.folder,
        secrets=visit.secrets,
        forbid=visit.dsn,
    )
    return good(visit.dsn.redacted)


# The server, the login, the database: one connection, and one sentence for each


def server(visit: Visit) -> Item:
    assert visit.dsn is not None
    try:
        visit.connection = postgres.connect(visit.dsn, statement_timeout="60s")
    except UnreachableError as error:
        visit.refusal = error
        if _stage(error) == "server":
            raise
    where = "The local socket" if visit.dsn.host.startswith("/") else f"{visit.dsn.host}"
    return good(f"{where} answers.")


def _stage(error: UnreachableError | None) -> str:
    """Say how far the connection came, by the server's own words."""
    words = error.message if error else ""
    if re.search(r'database ".*" does not exist|permission denied for database', words):
        return "database"
    refused = r"authentication failed|no password supplied|pg_hba\.conf"
    refused += r'|role ".*" (does not exist|is not permitted)'
    if re.search(refused, words):
        return "login"
    return "server" if error else ""


def login(visit: Visit) -> Item:
    assert visit.dsn is not None
    if visit.refusal and _stage(visit.refusal) == "login":
        raise visit.refusal
    return good(f"The user {visit.dsn.user} may log in.")


def database(visit: Visit) -> Item:
    assert visit.dsn is not None
    if visit.refusal:
        raise visit.refusal
    ((size, read_only),) = postgres.fetch(
        visit.connection,
        "SELECT pg_size_pretty(pg_database_size(current_database())),"
        " current_setting('default_transaction_read_only')",
    )
    if read_only != "on":
        return bad(
            "The session could not be made read-only: something between here and the server "
            "drops session settings.",
            "Give the server's own address instead of the connection pooler's.",
        )
    return good(f"{visit.dsn.database} is there ({size}); it is looked at read-only.")


def version(visit: Visit) -> Item:
    version = visit.connection.server_version
    shown = visit.connection.get_parameter_status("server_version").split()[0]
    if version < OLDEST:
        return bad(
            f"The server is PostgreSQL {shown}, which is too old.",
            "The runbook needs PostgreSQL 11 or newer.",
        )
    return good(f"PostgreSQL {shown}.")


# What the role may do


@cache
def _privileges_sql() -> str:
    return resources.files("runbook_lib").joinpath("sql/privileges.sql").read_text()


def _may(visit: Visit) -> dict[str, Any]:
    names = ("role", "database", "connect", "schemas", "tables", "sequences", "guarded", "foreign",
             "closed", "count")  # fmt: skip
    (row,) = postgres.fetch(visit.connection, _privileges_sql())
    return dict(zip(names, row, strict=True))


def reading(visit: Visit) -> Item:
    """CONNECT, USAGE and SELECT: what fingerprints and pg_dump read."""
    may = _may(visit)
    role, lacks, grants = may["role"], [], []
    if not may["connect"]:
        lacks.append("CONNECT on the database")
        grants.append(f"GRANT CONNECT ON DATABASE {may['database']} TO {role};")
    if may["schemas"]:
        lacks.append(f"USAGE on {counted(may['schemas'], 'schema')}")
        grants.append(f"GRANT USAGE ON SCHEMA {', '.join(may['schemas'])} TO {role};")
    for kind, word in (("tables", "TABLES"), ("sequences", "SEQUENCES")):
        if may[kind]:
            lacks.append(f"SELECT on {counted(may[kind], kind[:-1])}")
            schemas = sorted({name.split(".")[0] for name in may[kind]})
            grants.append(f"GRANT SELECT ON ALL {word} IN SCHEMA {', '.join(schemas)} TO {role};")
    if lacks:
        return bad(f"{role} lacks {'; '.join(lacks)}.", f"Run as their owner: {' '.join(grants)}")
    return good(f"{role} may read everything ({count(may['count'], 'table')}).")


def every_row(visit: Visit) -> Item:
    """Row-level security hides rows from pg_dump, which then refuses to go on."""
    may = _may(visit)
    if may["guarded"]:
        return bad(
            f"Row-level security hides rows from {may['role']} in "
            f"{counted(may['guarded'], 'table')}: a backup would not be whole.",
            f"Run as a superuser: ALTER ROLE {may['role']} BYPASSRLS; or use the tables' owner.",
        )
    return good("No row-level security stands in the way of a backup.")


def repairing(visit: Visit) -> Item:
    ((standby,),) = postgres.fetch(visit.connection, "SELECT pg_catalog.pg_is_in_recovery()")
    if standby:
        return bad(
            "The server is a standby: it can be audited and backed up, not repaired.",
            "Before 05_deployment: let the environment's address name the primary.",
        )
    may = _may(visit)
    lacks, todo = [], []
    if may["closed"]:
        lacks.append(f"may not create in {counted(may['closed'], 'schema')}")
        todo.append(f"GRANT CREATE ON SCHEMA {', '.join(may['closed'])} TO {may['role']};")
    if may["foreign"]:
        lacks.append(f"does not own {counted(may['foreign'], 'relation')}")
        todo.append("let the reference name the tables' owner, or a member of that role")
    if lacks:
        return bad(
            f"{may['role']} {'; '.join(lacks)}: it could audit, but not repair.",
            f"Before 05_deployment: {' '.join(todo)}",
        )
    return good(f"{may['role']} owns what a repair would change.")


# What this machine needs


def programs(visit: Visit) -> Item:
    version = visit.connection.server_version
    names = ("pg_dump", "pg_restore", "psql")
    majors = {program_major(postgres.client_program(name, version)) for name in names}
    shown = " and ".join(map(str, sorted(majors)))
    return good(f"{', '.join(names)} of PostgreSQL {shown} are here.")


def scratch(visit: Visit) -> Item:
    rows = postgres.fetch(visit.connection, "SELECT extname FROM pg_catalog.pg_extension")
    extensions = [name for (name,) in rows if name != "plpgsql"]
    version = visit.connection.server_version
    visit.scratch = Scratch.for_environment(visit.environment, version, extensions)
    visit.shadow = visit.scratch.create("doctor", like=visit.connection)
    place = f"A disposable database can be created ({visit.environment.scratch})."
    notes = [*visit.scratch.notes, *spelled_otherwise(version // 10000, visit.scratch.major)]
    return note(place, " ".join(notes)) if notes else good(place)


def spelled_otherwise(target: int, place: int) -> list[str]:
    """Say it where a target's major version spells what the place's would spell otherwise."""
    if target >= 12 or place < 12:
        return []
    return [
        f"PostgreSQL {target} spells some definitions otherwise than PostgreSQL {place} does, which"
        ' would look like handwork: use scratch = "local" or "target".'
    ]


def outputs(visit: Visit) -> Item:
    folder = visit.environment.outputs
    shown = os.path.relpath(folder, visit.environment.folder)
    home = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        return bad(
            f"The folder {shown} cannot be written ({error.strerror}).",
            "Set outputs in runbook.toml to a folder that you may write.",
        )
    return good(f"{shown} can be written.")


def space(visit: Visit) -> Item:
    ((size,),) = postgres.fetch(visit.connection, "SELECT pg_database_size(current_database())")
    folder = visit.environment.outputs
    home = next(path for path in (folder, *folder.parents) if path.exists())
    copies = 1 if visit.scratch and not visit.scratch.private else 2  # the dump, and the clone
    needed, free = int(size) * copies + SPARE_BYTES, shutil.disk_usage(home).free
    if free < needed:
        return bad(
            f"A backup may need {counting.size(needed)} here, and {counting.size(free)} are free.",
            'Free some space, set outputs to a larger disk, or use scratch = "target".',
        )
    return good(f"{counting.size(free)} are free; a backup needs at most {counting.size(needed)}.")
