"""Session: one phase of one run — its environment, its folder, and the parts that it works with."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from runbook_lib import observation, postgres, render
from runbook_lib.answers import Description
from runbook_lib.artifacts import Artifact
from runbook_lib.config import Environment, load_environment
from runbook_lib.dsn import Dsn
from runbook_lib.errors import GateError
from runbook_lib.evidence import RUNNER_VARIABLE, PhaseResult, PhaseStatus, RunFolder
from runbook_lib.postgres import Scratch
from runbook_lib.project import Project
from runbook_lib.scrub import scrub_for

T = TypeVar("T")

# What has to be in the run's folder before a phase can begin.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "03_cleanup": ("01_backup", "02_audit"),
    "04_validation": ("03_cleanup",),
    "05_deployment": ("04_validation",),
}


@dataclass(kw_only=True)
class Phase:
    """One phase at work. Nothing here writes to the target; only ``phases`` does, when approved.

    ``found`` is the reading that the phase's later cells go on from, once there is one;
    ``repeated`` tells that the phase shows a record in place of making one.
    """

    name: str
    environment: Environment
    folder: RunFolder
    started: float = field(default_factory=time.monotonic)
    found: Any = None
    repeated: bool = False

    @cached_property
    def dsn(self) -> Dsn:
        return self.environment.dsn()

    @cached_property
    def project(self) -> Project:
        settings = self.environment.project
        return Project(
            settings, self.environment.folder, secrets=(self.dsn.password,), forbid=self.dsn
        )

    @cached_property
    def scratch(self) -> Scratch:
        """Where shadow and clone live; leftovers of dead runs are swept first."""
        with self.reading() as connection:
            number, extensions = connection.server_version, _extensions(connection)
        place = Scratch.for_environment(self.environment, number, extensions)
        place.sweep()
        return place

    @cached_property
    def description(self) -> Description:
        """What the project's own env.py configures, asked once per run."""
        if self.folder.has("project"):
            return self.folder.read("project", Description)
        shadow = self.scratch.create("describe")
        try:
            found = self.project.describe(shadow)
        finally:
            self.scratch.drop(shadow)
        self.folder.write("project", found)
        return found

    @cached_property
    def version_table(self) -> tuple[str, str]:
        """The version table's schema and name: as configured, else as env.py says."""
        named = self.environment
        table = named.version_table or self.description.version_table
        schema = named.version_table_schema or self.description.version_table_schema
        return schema or self._schema_of(table), table

    def _schema_of(self, table: str) -> str:
        """Find an unqualified table as the search path of the target's role finds it."""
        with self.reading() as connection:
            return str(postgres.fetch(connection, _FIND, (table,))[0][0])

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Hold the target through a session that cannot write."""
        connection = postgres.connect(self.dsn, read_only=True)
        try:
            yield connection
        finally:
            connection.close()

    def look(self) -> observation.Look:
        """Read the target: who it is, its version rows, its catalog."""
        table = self.version_table
        with self.reading() as connection:
            return observation.look(connection, *table, lambda: postgres.connect(self.dsn))

    def binding(self) -> dict[str, str]:
        """Say which database this is, as far as it may be shown."""
        seen = self.look()
        return {
            "environment": self.environment.name
            + (" (protected)" if self.environment.protected else ""),
            "target": self.dsn.redacted,
            "server": f"PostgreSQL {seen.target.server_version}",
            "system identifier": seen.target.system_identifier,
            "version table": seen.versions.table,
            "database says": ", ".join(seen.versions.ids) or "nothing",
            "run": self.folder.name,
        }

    def require(self) -> dict[str, str]:
        """Check what has to be there before this phase; return it in sentences.

        Raises GateError that names the notebook to run first.
        """
        met = {}
        for name in NEEDS.get(self.name, ()):
            if not self.folder.has(name):
                raise GateError(
                    f"{self.name} needs the result of {name}, which this run does not have.",
                    f"Run notebooks/{name}.ipynb first, or: runbook run -e {self.environment.name}",
                )
            met[name] = "its result is in this run's folder"
        return met or {"nothing": "this phase can begin at any time"}

    def write(self, name: str, artifact: Any) -> None:
        self.folder.write(name, artifact)

    def read(self, name: str, cls: type[T]) -> T:
        return self.folder.read(name, cls)

    def kept(self, cls: type[T]) -> T | None:
        """Return what this phase made, once the run's plan began to be applied; else None.

        Made anew it would describe another database than the plan's, and a way back would restore
        the wrong backup. So a later pass through the notebook shows the record and says so.
        """
        if "applying" not in self.folder.happened or not self.folder.has(self.name):
            return None
        return self.show_again(self.read(self.name, cls), "its plan began to be applied since")

    def show_again(self, artifact: T, since: str) -> T:
        """Say that a record is shown in place of a new one, here and in the run's log."""
        if not self.repeated:
            self.folder.append_event("shown again", self.name)
            print(f'Shown as it was recorded: {since}. To look anew: run = "new".', flush=True)
        self.repeated = True
        return artifact

    def conclude(
        self,
        artifact: Artifact,
        sentence: str,
        *,
        status: PhaseStatus = "passed",
        error: Exception | None = None,
    ) -> Any:
        """Write the artifact and the verdict; raise ``error`` when there is one.

        A verdict that stands already, of the same artifact, stays as it is.
        """
        code = getattr(error, "exit_code", 0 if status == "passed" else 1)
        result = PhaseResult(
            phase=self.name,
            status=status,
            sentence=scrub_for(self.environment).clean(sentence),
            seconds=round(time.monotonic() - self.started, 3),
            exit_code=code,
        )
        if not self._stands(artifact, result):
            self.folder.write(self.name, artifact)
            self.folder.write(f"{self.name}.result", result)
        if not self.repeated and RUNNER_VARIABLE not in os.environ:
            self.folder.append_event("by hand", self.name)
        if error:
            raise error
        return render.verdict(status, sentence)

    def _stands(self, artifact: Artifact, result: PhaseResult) -> bool:
        """Say whether this very verdict is recorded, apart from the time that it took."""
        name = f"{self.name}.result"
        if not (self.folder.has(name) and self.folder.has(self.name)):
            return False
        known = self.folder.read(name, PhaseResult)
        same = replace(known, seconds=result.seconds) == result
        return same and self.folder.read(self.name, type(artifact)) == artifact


_FIND = """
SELECT coalesce(
    (SELECT n.nspname FROM pg_catalog.pg_class c
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = to_regclass(quote_ident(%s))),
    current_schema(), 'public')
"""


def _extensions(connection: Any) -> tuple[str, ...]:
    rows = postgres.fetch(connection, "SELECT extname FROM pg_catalog.pg_extension")
    return tuple(sorted(name for (name,) in rows if name != "plpgsql"))


def open_phase(name: str, environment: str, run: str = "latest", config: str = "") -> Phase:
    """Open one phase of a run of ``environment``; the notebooks begin with this.

    ``run`` is "latest" (the newest unsealed run, else a new one), "new" or a run's name;
    ``config`` names a runbook.toml when it is not the nearest one.
    """
    loaded = load_environment(environment, config)
    return Phase(name=name, environment=loaded, folder=RunFolder.open(loaded, run))
