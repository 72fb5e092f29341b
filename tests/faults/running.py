"""Running: a world through the phases, as the notebooks call them, and what has to hold then."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from faults.worlds import Rows, Workshop, World, alembic, load
from runbook_lib import phases
from runbook_lib.catalog import diff, renamed
from runbook_lib.config import Environment
from runbook_lib.errors import RunbookError
from runbook_lib.evidence import RunFolder
from runbook_lib.forensics import Audit
from runbook_lib.plan import Plan, Rehearsal
from runbook_lib.session import Phase


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is really so, known before the tool looks.

    ``codes`` are the error findings that there are, no more and no fewer; ``also`` are findings of
    lower severity that have to be there. ``end`` is "repaired", "nothing" or "refused:CODE".
    ``written`` are tables that a revision which has yet to run fills or changes, ``dropped`` the
    columns (``table.column``) without a value that are to go.
    """

    verdicts: Mapping[str, str]
    codes: frozenset[str]
    end: str = "repaired"
    also: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()
    says: tuple[str, ...] = ()
    after: frozenset[str] = frozenset()
    loads: bool = True
    same_catalog: bool = True


@dataclass(kw_only=True)
class Outcome:
    """How the run went. ``end`` is spelled as in Truth, or says what broke."""

    audit: Audit
    end: str
    reason: str = ""
    plan: Plan | None = None
    rehearsal: Rehearsal | None = None
    again: Audit | None = None
    seconds: dict[str, float] = field(default_factory=dict)


class Run:
    """One run of all phases over a world."""

    def __init__(self, world: World, meanwhile: Callable[[], object] = lambda: None) -> None:
        """``meanwhile`` happens between the approval and the deployment."""
        self.environment: Environment = world.environment()
        self.meanwhile = meanwhile
        self.folder = RunFolder.open(self.environment, "new")

    def phase(self, name: str) -> Phase:
        return Phase(name=name, environment=self.environment, folder=self.folder)

    def audit(self) -> Audit:
        phase = self.phase("02_audit")
        found = phases.audit(phase)
        phases.finish(phase, found)
        return found

    def repair(self) -> tuple[str, str, Plan | None, Rehearsal | None]:
        """Back up, plan, rehearse, validate and deploy; return how it ended and why."""
        phase = self.phase("01_backup")
        phases.finish(phase, phases.back_up(phase))
        phase = self.phase("03_cleanup")
        plan, rehearsed = phases.rehearse(phase, phases.candidates(phase))
        if plan is None:
            return f"refused:{','.join(rehearsed.refused)}", rehearsed.reason, None, rehearsed
        phases.finish(phase, phases.cleanup(plan, rehearsed))
        end = "nothing" if plan.strategy == "nothing-to-do" else "repaired"
        reason = self._deploy() if end == "repaired" else ""
        return (f"failed: {reason}" if reason else end), reason, plan, rehearsed

    def repair_after_audit(self) -> str:
        """Return how a whole run ends."""
        self.audit()
        return self.repair()[0]

    def _deploy(self) -> str:
        phase = self.phase("04_validation")
        phases.finish(phase, phases.validate(phase))
        phase = self.phase("05_deployment")
        approval = phases.require_approval(phase, phases.checklist(phase))
        self.meanwhile()
        done = phases.read_back(phase, phases.deploy(phase, approval))
        if done.passed:
            phases.finish(phase, done)
            return ""
        return " ".join(step.error for step in done.steps if step.error) or str(done)


def go(world: World) -> Outcome:
    """Audit and repair; a second audit when something was repaired."""
    start = time.monotonic()
    run = Run(world)
    audit = run.audit()
    took = {"audit": time.monotonic() - start}
    try:
        end, reason, plan, rehearsed = run.repair()
    except RunbookError as error:
        end, reason, plan, rehearsed = f"{type(error).__name__}", str(error), None, None
    took["repair"] = time.monotonic() - start - took["audit"]
    again = Run(world).audit() if end in ("repaired", "nothing") else None
    took["again"] = time.monotonic() - start - sum(took.values())
    return Outcome(
        audit=audit, end=end, reason=reason, plan=plan, rehearsal=rehearsed, again=again,
        seconds=took,
    )  # fmt: skip


def verdicts_of(audit: Audit) -> dict[str, str]:
    """Verdicts by revision id; by file name where several files declare one id."""
    number = Counter(item.revision_id for item in audit.revisions)
    return {
        item.file.rsplit("/", 1)[-1] if number[item.revision_id] > 1 else item.revision_id: (
            item.verdict
        )
        for item in audit.revisions
    }


def codes_of(audit: Audit, *severities: str) -> frozenset[str]:
    return frozenset(item.code for item in audit.findings if item.severity in severities)


def misjudged(audit: Audit, truth: Truth) -> list[str]:
    """Say what the audit gets wrong."""
    found, errors = verdicts_of(audit), codes_of(audit, "error")
    every = codes_of(audit, "error", "warning", "info")
    reasons = {item.revision_id: item.reason for item in audit.revisions}
    wrong = [
        f"{name} is {found.get(name)}, not {verdict}: {reasons.get(name)}"
        for name, verdict in truth.verdicts.items()
        if found.get(name) != verdict
    ]
    wrong += [f"{name} should not be judged" for name in found if name not in truth.verdicts]
    wrong += [f"no finding {code}" for code in (truth.codes - errors) | (truth.also - every)]
    messages = {item.code: item.message for item in audit.findings}
    wrong += [f"finding {code}: {messages[code]}" for code in errors - truth.codes]
    return wrong


def unrepaired(workshop: Workshop, world: World, outcome: Outcome, truth: Truth) -> list[str]:
    """Say what is not as a repair should leave it, seen from outside of the library."""
    assert outcome.again is not None
    messages = [
        f"the second audit finds {item.code}: {item.message}"
        for item in outcome.again.findings
        if item.severity == "error" and item.code not in truth.after
    ]
    script = load(world.project)
    heads = tuple(sorted(script.get_heads()))
    if len(heads) != 1 and not world.topology.declared:
        messages.append(f"several heads: {heads}")
    rows = world.recorded()
    alembic(world.project, world.dsn, "upgrade", "heads")
    if world.recorded() != rows:
        messages.append(f"alembic upgrade heads moved the rows from {rows}")
    if truth.same_catalog:
        messages += _differing(workshop, world)
    return messages


def _differing(workshop: Workshop, world: World) -> list[str]:
    changes = diff(workshop.fresh(world.project), world.catalog())
    named = {key for pair in renamed(changes) for key in pair}
    return [f"{c.object} differs: {c.before} {c.after}" for c in changes if c.object not in named]


def wrong(workshop: Workshop, world: World, truth: Truth) -> tuple[list[str], Outcome]:
    """Run everything; return what went wrong in any way, and the outcome."""
    before: Rows = world.rows(truth.dropped)
    recorded = None if world_without_table(world) else world.recorded()
    outcome = go(world)
    bad = misjudged(outcome.audit, truth)
    if outcome.end != truth.end:
        bad.append(f"ended {outcome.end}, not {truth.end}: {outcome.reason}")
    kept = {table: rows for table, rows in before.items() if table not in truth.written}
    bad += [f"rows of {table} changed" for table in world.same_rows(kept)]
    if outcome.end in ("repaired", "nothing"):
        bad += unrepaired(workshop, world, outcome, truth)
    elif recorded is not None and world.recorded() != recorded:
        bad.append("refused, yet the version rows changed")
    bad += [f"does not say {word!r}: {outcome.reason}" for word in truth.says
            if word not in outcome.reason]  # fmt: skip
    return bad, outcome


def world_without_table(world: World) -> bool:
    try:
        world.recorded()
    except Exception:
        return True
    return False


__all__ = ["Outcome", "Run", "Truth", "go", "misjudged", "unrepaired", "wrong"]
