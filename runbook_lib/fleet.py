"""Fleet: every environment of a runbook.toml audited, side by side. Read-only."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from runbook_lib import phases
from runbook_lib.config import Environment, load_environments
from runbook_lib.errors import RunbookError
from runbook_lib.evidence import RunFolder
from runbook_lib.forensics import Audit
from runbook_lib.session import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRow:
    """One environment: its current heads, verdicts counted, and the worst finding."""

    environment: str
    current_heads: tuple[str, ...]
    verdicts: dict[str, int]
    errors: tuple[str, ...]
    exit_code: int
    problem: str = ""


def survey(config: Path) -> tuple[FleetRow, ...]:
    """Audit all environments one after the other; one that cannot be audited says why."""
    return tuple(_row(environment) for environment in load_environments(config).values())


def _row(environment: Environment) -> FleetRow:
    try:
        with tempfile.TemporaryDirectory() as folder:
            phase = Phase(name="02_audit", environment=environment, folder=RunFolder(Path(folder)))
            return _summary(environment.name, phases.audit(phase))
    except RunbookError as error:
        return FleetRow(
            environment=environment.name,
            current_heads=(),
            verdicts={},
            errors=(),
            exit_code=error.exit_code,
            problem=str(error),
        )


def _summary(name: str, audit: Audit) -> FleetRow:
    verdicts: dict[str, int] = {}
    for revision in audit.revisions:
        verdicts[revision.verdict] = verdicts.get(revision.verdict, 0) + 1
    errors = tuple(sorted({f.code for f in audit.findings if f.severity == "error"}))
    return FleetRow(
        environment=name,
        current_heads=audit.current_heads,
        verdicts=verdicts,
        errors=errors,
        exit_code=1 if errors else 0,
    )


def report(rows: tuple[FleetRow, ...]) -> str:
    """Return the survey as lines for a terminal."""
    lines = []
    for row in rows:
        counted = ", ".join(f"{count} {verdict}" for verdict, count in row.verdicts.items())
        state = row.problem or counted
        lines.append(f"{row.environment}: at {', '.join(row.current_heads) or 'nothing'}; {state}")
        if row.errors:
            lines.append(f"    {', '.join(row.errors)}")
    return "\n".join(lines)
