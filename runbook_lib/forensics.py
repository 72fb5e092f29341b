"""Forensics: which revisions really ran, read off the catalog. Pure: values in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runbook_lib.artifacts import Artifact
from runbook_lib.findings import Finding
from runbook_lib.revisions import Tree

Executed = Literal["yes", "no", "partly", "unknowable"]
Verdict = Literal["applied", "unrecorded", "phantom", "pending", "partial", "unknowable"]
Implied = Literal["yes", "no", ""]
DriftKind = Literal["missing", "extra", "changed"]

FAILS = "It fails in the replay"
NOT_RUN = "It could not be replayed"
UNDECIDED = "Several histories exclude one another"
ELSEWHERE = "It is not in the history of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One object (and aspect) that speaks for or against a revision having run.

    ``kind`` is the object's kind, ``expected`` what the revision leaves behind, ``found`` what
    the live catalog has; ``absent`` stands for an object that is not there.
    """

    kind: str
    object: str
    aspect: str
    expected: str
    found: str
    speaks: Literal["for", "against"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionVerdict:
    """What is known of one revision, with the objects that prove it.

    ``effects`` is a readable summary of what the revision does to the schema, one line an object;
    ``touches_rows`` says whether it also changes data; ``seconds`` is its time in the replay.
    ``implied`` is what its neighbours, its own traces or a trial make likely when its own execution
    is unknowable.
    """

    revision_id: str
    down_revisions: tuple[str, ...]
    depends_on: tuple[str, ...]
    file: str
    doc: str
    recorded: bool
    executed: Executed
    verdict: Verdict
    reason: str
    evidence: tuple[Evidence, ...]
    effects: tuple[str, ...]
    touches_rows: bool
    seconds: float
    implied: Implied = ""

    @property
    def replayed(self) -> bool:
        """Whether it was really run, to its end; else what it promises is not known."""
        return not self.reason.startswith((FAILS, NOT_RUN, UNDECIDED, ELSEWHERE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One aspect of one object in which the live catalog differs from every revision's doing."""

    object: str
    kind: DriftKind
    aspect: str
    expected: str
    found: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One object as the heads promise it and as the database has it.

    ``kind`` is the object's kind, ``table`` the table it belongs to (or ""), ``name`` its name
    without the kind; ``expected`` and ``found`` are one-line definitions, "" where absent.
    ``revision_id`` made it last, or "" where no revision does.
    """

    kind: str
    table: str
    name: str
    expected: str
    found: str
    status: Literal["equal", "missing", "extra", "changed", "renamed"]
    revision_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which database was looked at. ``version_table`` is qualified by its schema."""

    database: str
    server_version: str
    system_identifier: str
    version_table: str

    def is_same(self, other: Target) -> bool:
        """Say whether both are one database, its server possibly updated in between.

        The system identifier is "unknown" to a role without the privilege to read it.
        """
        mine = (self.database, self.system_identifier)
        return mine == (other.database, other.system_identifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Artifact):
    """What the database says against what Alembic says: the result of ``runbook audit``."""

    environment: str
    target: Target
    tree: Tree
    current_heads: tuple[str, ...]
    revisions: tuple[RevisionVerdict, ...]
    drift: tuple[Drift, ...]
    findings: tuple[Finding, ...]
    comparisons: tuple[Comparison, ...]
    strategies: tuple[Strategy, ...]
    baseline_origin: str
    catalog_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """What would resolve one conflict: ``conflict`` names it, ``codes`` the findings it answers."""

    conflict: str
    codes: tuple[str, ...]
    strategy: str
    why: str
