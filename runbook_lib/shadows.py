"""Shadows: an empty disposable database, with what was there before the first revision."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psycopg2

from runbook_lib import postgres
from runbook_lib.dsn import Dsn
from runbook_lib.effects import Inferred
from runbook_lib.errors import ConfigurationError, GateError, RunbookError
from runbook_lib.postgres import Scratch
from runbook_lib.project import Project

SCRATCH_ROLES = 20  # roles that a baseline may name and the shadow's server lack


def make(project: Project, scratch: Scratch, shadow: Dsn, inferred: Inferred | None = None) -> None:
    """Create the shadow and load the baseline, with the roles that it names."""
    if inferred:
        scratch.make(shadow)
        carry_out(shadow, inferred.statements)
        return None
    for _ in range(SCRATCH_ROLES):
        scratch.make(shadow)
        try:
            return _load_baseline(project, shadow)
        except RunbookError as error:
            scratch.drop(shadow)
            missing = re.search(r'role "([^"]+)" does not exist', error.message)
            if not missing or scratch.place == "target":
                raise
            postgres.ensure_roles(scratch.admin, [missing[1]])
    raise GateError("The baseline names too many unknown roles.", "Dump it with --no-owner.")


def carry_out(shadow: Dsn, statements: Iterable[str]) -> None:
    """Run the statements, each by itself; one that fails makes what cannot be made there."""
    connection = postgres.connect(shadow, read_only=False)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO pg_catalog; SET check_function_bodies TO off")
            for statement in statements:
                with suppress(psycopg2.Error):
                    cursor.execute(statement)
    finally:
        connection.close()


def _load_baseline(project: Project, shadow: Dsn) -> None:
    """Load what was there before the first revision: a ``.sql`` file, or a function's doing."""
    given = project.settings.baseline
    if given.startswith("callable:"):
        project.prepare(given.removeprefix("callable:"), shadow)
    elif given:
        connection = postgres.connect(shadow)
        number = connection.server_version
        connection.close()
        psql = postgres.client_program("psql", number)
        options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(_baseline_file(project))]
        postgres.run_client(psql, options, shadow)


def _baseline_file(project: Project) -> Path:
    given = project.settings.baseline
    path = project.folder / given
    if path.suffix != ".sql" or not path.is_file():
        raise ConfigurationError(
            f"[project] baseline = {given!r} is no .sql file beside runbook.toml.",
            'Name a dump made with pg_dump, or "callable:module:function".',
        )
    return path


def baseline_digest(project: Project) -> str:
    given = project.settings.baseline
    if not given or given.startswith("callable:"):
        return given
    return hashlib.sha256(_baseline_file(project).read_bytes()).hexdigest()
