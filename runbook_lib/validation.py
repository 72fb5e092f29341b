"""Validation: the records of what the repaired clone showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runbook_lib.artifacts import Artifact
from runbook_lib.forensics import Comparison
from runbook_lib.plan import StepResult
from runbook_lib.survival import TableProof


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One application check; ``output`` is its redacted tail, ``seconds`` wall time."""

    name: str
    passed: bool
    seconds: float
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """One rehearsed rollback; ``command`` is what a person runs to do it for real."""

    way: Literal["downgrade", "restore"]
    proven: bool
    reason: str
    seconds: float
    steps: tuple[StepResult, ...]
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation(Artifact):
    """What the repaired clone shows. ``comparisons`` cover every object that the heads promise."""

    plan_digest: str
    comparisons: tuple[Comparison, ...]
    checks: tuple[CheckResult, ...]
    tables: tuple[TableProof, ...]
    ways_back: tuple[WayBack, ...]
    passed: bool

    @property
    def told(self) -> str:
        """How many objects and application checks were as they should be, in words."""
        objects = sum(item.status in ("equal", "renamed") for item in self.comparisons)
        good = sum(check.passed for check in self.checks)
        checks = f"{good} of {len(self.checks)} application checks passed"
        return f"{objects} of {len(self.comparisons)} objects as promised, " + (
            checks if self.checks else "no application check is configured"
        )
