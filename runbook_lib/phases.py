"""Phases: what each notebook's cells call, in the order of the cells.

Only ``deploy`` and ``roll_back`` write to the target, and only with an approval.
"""

from __future__ import annotations

from collections.abc import Sequence

from runbook_lib import auditing, edits, planning, proving, rehearsal
from runbook_lib import backup as backups
from runbook_lib.backup import Backup
from runbook_lib.deployment import checklist, deploy, read_back, require_approval
from runbook_lib.finishing import finish
from runbook_lib.forensics import Audit
from runbook_lib.going_back import (
    propose_rollback,
    read_back_rollback,
    require_rollback_approval,
    roll_back,
)
from runbook_lib.plan import Plan, Rehearsal
from runbook_lib.prevention import prevent
from runbook_lib.reading import (
    Cleanup,
    Reading,
    bench,
    dump_of,
    inferred_before,
    promised_by,
    read,
    replay_tree,
    require_plan,
    show,
)
from runbook_lib.session import Phase
from runbook_lib.validation import Validation

__all__ = [
    "audit",
    "back_up",
    "candidates",
    "checklist",
    "cleanup",
    "current_state",
    "deploy",
    "finish",
    "patch",
    "prevent",
    "propose_rollback",
    "read_back",
    "read_back_rollback",
    "rehearse",
    "require_approval",
    "require_rollback_approval",
    "roll_back",
    "validate",
]


# 00 and 02


def audit(phase: Phase) -> Audit:
    """Give a verdict for every revision, with the objects that prove it."""
    kept = phase.kept(Audit)
    if kept:
        return kept
    found = read(phase)
    return auditing.build_audit(found.seen, found.drawn)


current_state = audit


# 01


def back_up(phase: Phase) -> Backup:
    """Dump the target three ways, restore the dump into a clone, and prove the clone equal."""
    kept = phase.kept(Backup)
    if kept:
        return kept
    seen = phase.look()
    return backups.make_backup(
        phase.dsn,
        phase.folder.path,
        phase.scratch,
        project_state=_state(phase),
        rows=seen.versions.rows or (),
        version_table=seen.versions.table,
        progress=show,
    )


def _state(phase: Phase) -> dict[str, str]:
    return dict(phase.project.state(phase.dsn))


# 03


def candidates(phase: Phase) -> tuple[Plan, ...]:
    """Return the plans worth trying, the least invasive first; none when a person must decide."""
    kept = phase.kept(Cleanup)
    if kept:
        return (require_plan(kept),)
    phase.found = read(phase)
    situation = _situation(phase, phase.found)
    return () if planning.refusals(situation) else planning.candidates(situation)


def _situation(phase: Phase, found: Reading) -> planning.Situation:
    return planning.Situation(
        seen=found.seen,
        drawn=found.drawn,
        tree=found.tree,
        repair=found.repair,
        history=phase.environment.history,
        target=phase.environment.branch,
        decisions=phase.environment.drift,
        may_lose=phase.environment.may_lose,
    )


def rehearse(phase: Phase, plans: Sequence[Plan]) -> tuple[Plan | None, Rehearsal]:
    """Carry the plans out on copies of the clone until one proves right, and keep that copy.

    The plans are judged by the same reading that they were made from.
    """
    kept = phase.kept(Cleanup)
    if kept:
        return kept.plan, kept.rehearsal
    found = phase.found or read(phase)
    refused = planning.refusals(_situation(phase, found))
    where = bench(phase, found)
    plan, result = rehearsal.rehearse(
        where,
        plans,
        refused,
        lambda plan: promised_by(
            found, replay_tree(phase, found.tree, plan.edits, found.seen.replay.inferred)
        ),
    )
    if plan:
        phase.write("plan", plan)
        if found.seen.replay.inferred:
            phase.write("baseline", found.seen.replay.inferred)
        phase.folder.write_text("repair.patch", edits.patch(plan.edits))
    return plan, result


def patch(phase: Phase) -> str:
    """Return the tree repairs as one patch, "" when there are none."""
    file = phase.folder.path / "repair.patch"
    return file.read_text() if file.exists() else ""


def cleanup(plan: Plan | None, result: Rehearsal) -> Cleanup:
    """Put plan and rehearsal together as the phase's artifact."""
    return Cleanup(
        digest=plan.digest if plan else "",
        plan=plan,
        proven=result.proven,
        refused=result.refused,
        reason=result.reason,
        rehearsal=result,
    )


# 04


def validate(phase: Phase) -> Validation:
    """Prove the repaired clone, and rehearse both ways back."""
    kept = phase.kept(Validation)
    if kept:
        return kept
    done = phase.read("03_cleanup", Cleanup)
    plan = require_plan(done)
    where = bench(phase, read(phase, inferred_before(phase)))
    with phase.reading() as connection:
        number = connection.server_version
    repaired = phase.scratch.dsn(done.rehearsal.clone)
    return proving.validate(where, plan, repaired, dump_of(phase, where.backup), number)
