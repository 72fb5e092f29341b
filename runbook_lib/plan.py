"""Plan: typed steps from the broken state to the proven one. Pure: values in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runbook_lib.artifacts import Artifact
from runbook_lib.edits import FileEdit
from runbook_lib.forensics import Target

StepKind = Literal[
    "edit-files",
    "set-version-rows",
    "run-revisions",
    "run-sql",
]
StrategyName = Literal[
    "nothing-to-do",
    "repair-tree",
    "upgrade",
    "correct-version-rows",
    "stamp-back-and-upgrade",
    "run-missing-revisions",
    "corrective-revision",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. ``sql`` is what runs (or what Alembic will send, as a preview), ``reverse`` what
    undoes it; ``lock`` is the strongest lock on each table; ``answers`` are finding codes.

    ``rows_before`` and ``rows_after`` are version rows for the steps that set them;
    ``revisions`` are the ids that a run-revisions step executes, in order; ``only`` says that it
    runs just those and leaves the version rows alone; ``commit`` that it commits what the
    project's env.py leaves in a transaction that nobody commits.
    """

    kind: StepKind
    title: str
    sql: tuple[str, ...] = ()
    reverse: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()
    only: bool = False
    commit: bool = False
    rows_before: tuple[str, ...] = ()
    rows_after: tuple[str, ...] = ()
    transactional: bool = True
    reversible: bool = True
    lock: str = ""
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Artifact):
    """A repair for exactly one database in exactly one state: its digest is what is approved.

    ``drops`` are tables and sequences, spelled as fingerprints name them, that it drops empty;
    ``loses`` the keys of tables and columns whose data a person allows its revisions to drop.
    """

    environment: str
    target: Target
    strategy: StrategyName
    steps: tuple[Step, ...]
    edits: tuple[FileEdit, ...]
    tree_before: str
    tree_after: str
    catalog_before: str
    rows_before: tuple[str, ...]
    heads_after: tuple[str, ...]
    answers: tuple[str, ...]
    drops: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How one step went: ``error`` is "" when it succeeded; ``seconds`` is wall time."""

    title: str
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One strategy tried on a fresh copy of the clone, and why it was proven or not.

    ``lost`` are the keys of tables and columns whose data was gone afterwards.
    """

    strategy: StrategyName
    proven: bool
    reason: str
    steps: tuple[StepResult, ...]
    seconds: float
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal(Artifact):
    """What the clone showed. ``refused`` are the finding codes that forbid a repair.

    ``clone`` is the name of the repaired copy, kept for the validation.
    """

    plan_digest: str
    proven: bool
    attempts: tuple[Attempt, ...]
    refused: tuple[str, ...] = ()
    reason: str = ""
    clone: str = ""
