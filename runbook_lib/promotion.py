"""Promotion: the records of a deployment — checklist, approval, and what was done."""

from __future__ import annotations

from dataclasses import dataclass, field

from runbook_lib.artifacts import Artifact
from runbook_lib.plan import StepResult
from runbook_lib.survival import TableProof
from runbook_lib.validation import CheckResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecklistItem:
    """One line of the pre-deployment checklist; ``todo`` is what to do when it does not hold."""

    name: str
    passed: bool
    detail: str
    todo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(Artifact):
    """Who approved which plan, when (UTC, ISO 8601), and how (command, auto or the demo)."""

    environment: str
    digest: str = field()  # required: not the property that Artifact has
    by: str
    at: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment(Artifact):
    """What was done to the target. ``watch`` are the monitor's readings in the watch window."""

    plan_digest: str
    checklist: tuple[ChecklistItem, ...]
    approval: Approval | None
    steps: tuple[StepResult, ...]
    rows_before: tuple[str, ...]
    rows_after: tuple[str, ...]
    catalog_before: str
    catalog_after: str
    differences: int
    tables: tuple[TableProof, ...]
    checks: tuple[CheckResult, ...]
    watch: tuple[str, ...]
    passed: bool
