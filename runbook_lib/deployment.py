"""Deployment: the checklist, the approval, and the only code that changes a target going forward.

Nothing here runs before the gate is passed; what is applied is what was rehearsed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from runbook_lib import (
    artifacts,
    carrying,
    fingerprints,
    gates,
    losses,
    proving,
    reading,
    rehearsal,
)
from runbook_lib.artifacts import Artifact
from runbook_lib.backup import Backup
from runbook_lib.counting import count, differing
from runbook_lib.errors import ApprovalNeeded, GateError, SafetyError
from runbook_lib.exclusion import alone
from runbook_lib.fingerprints import Place, TableFingerprint
from runbook_lib.plan import Plan
from runbook_lib.promotion import Approval, ChecklistItem, Deployment
from runbook_lib.reading import Cleanup
from runbook_lib.seal import sealed_runs
from runbook_lib.session import Phase
from runbook_lib.survival import TableProof, compare_rows, kept
from runbook_lib.validation import Validation
from runbook_lib.verification import fault_of

APPLIED = "05_applied"  # what was done, kept before it is read back


def checklist(phase: Phase) -> tuple[ChecklistItem, ...]:
    """Return the pre-deployment checklist, read off the evidence and the target as it is now.

    Once the plan is applied, the checklist is the one that was held then.
    """
    done = applied(phase)
    return done.checklist if done else gates.checklist(_facts(phase))


def applied(phase: Phase) -> Deployment | None:
    """Return what was done to the target in this run, when every step of the plan is in force.

    After its read-back passed this is the phase's record. A cell that is run again goes on from it:
    nothing is applied twice.
    """
    folder = phase.folder
    if folder.last_write != "applied" or not folder.has(APPLIED):
        return None
    done = folder.read(APPLIED, Deployment)
    if done.plan_digest != phase.read("plan", Plan).digest:
        return None
    known = folder.read(phase.name, Deployment) if folder.has(phase.name) else done
    done = known if known.passed else done
    return phase.show_again(done, "the plan is applied, and nothing is applied twice")


def _facts(phase: Phase) -> gates.Facts:
    done = phase.read("03_cleanup", Cleanup)
    plan = reading.require_plan(done)
    backup = phase.read("01_backup", Backup)
    environment = phase.environment
    earlier = sealed_runs(environment.outputs / environment.after) if environment.after else ()
    witness = gates.witness(plan, earlier)
    return gates.Facts(
        environment=environment,
        plan=plan,
        rehearsal=done.rehearsal,
        validation=phase.read("04_validation", Validation),
        backup=backup,
        backup_intact=_intact(phase, backup),
        stale=_stale(phase, plan),
        earlier=earlier,
        earlier_fault=fault_of(witness.folder) if witness else "",
    )


def _intact(phase: Phase, backup: Backup) -> bool:
    files = [(phase.folder.path / item.path, item.sha256) for item in backup.files]
    return all(path.is_file() and artifacts.file_digest(path) == sha for path, sha in files)


def _stale(phase: Phase, plan: Plan) -> str:
    """Say what changed since the audit: schema, version rows, database or tree."""
    seen = phase.look()
    tree = phase.project.collect().digest
    if seen.target != plan.target:
        return "this is another database than the one that was audited"
    if seen.versions.ids != plan.rows_before:
        return f"the version rows are {', '.join(seen.versions.ids) or 'empty'} now"
    if artifacts.digest(seen.live) != plan.catalog_before:
        return "the schema is not the one that was audited"
    if tree not in (plan.tree_before, plan.tree_after):
        return "the revision files are not those that were audited"
    return ""


def require_approval(
    phase: Phase, items: Sequence[ChecklistItem], *, approve: str = "", by: str = ""
) -> Approval:
    """Hold the gate: every line of the checklist, then the approval of exactly this plan."""
    gates.require_all(items)
    plan = phase.read("plan", Plan)
    done = applied(phase)
    if done and done.approval:
        gates.require_same(approve or plan.digest, plan.digest)
        return done.approval
    recorded = (phase.read("approval", Approval),) if phase.folder.has("approval") else ()
    approval, new = gates.find_approval(phase.environment, plan, recorded, approve, by)
    if new:
        phase.write("approval", approval)
        phase.folder.append_event("approved", phase.name, digest=approval.digest, by=approval.by)
    return approval


def deploy(phase: Phase, approval: Approval | None) -> Deployment:
    """Apply the approved plan to the target, under a lock and with time limits.

    Raises ApprovalNeeded where the gate was passed over, SafetyError for another plan's approval.
    """
    plan = phase.read("plan", Plan)
    if approval is None:
        raise ApprovalNeeded(
            f"Nothing was written: of the plan {plan.digest[:12]}, which has "
            f"{count(len(plan.steps), 'step')}, no approval was given in this notebook.",
            "Run the gate's cell first.",
        )
    gates.require_for(approval, phase.environment, plan.digest)
    done = applied(phase)
    if done:
        return done
    with alone(phase.dsn, phase.environment.name):
        return _apply(phase, plan, approval)


def _apply(phase: Phase, plan: Plan, approval: Approval) -> Deployment:
    facts = _facts(phase)
    if facts.stale:
        raise SafetyError(f"Nothing was applied: {facts.stale}.", "Run the audit again.")
    items = gates.checklist(facts)
    gates.require_all(items)
    stage = _target_stage(phase, plan)
    phase.write("05_rows_before", _rows(phase, plan))
    phase.folder.append_event("applying", phase.name, digest=plan.digest)
    steps = carrying.carry_out(plan, stage)
    good = not any(step.error for step in steps)
    done = Deployment(
        plan_digest=plan.digest,
        checklist=items,
        approval=approval,
        steps=steps,
        rows_before=plan.rows_before,
        rows_after=(),
        catalog_before=plan.catalog_before,
        catalog_after="",
        differences=-1,
        tables=(),
        checks=(),
        watch=(),
        passed=good,
    )
    phase.write(APPLIED, done)
    phase.folder.append_event("applied" if good else "step failed", phase.name, steps=len(steps))
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows(Artifact):
    """The fingerprints and places of every table, taken just before the first write."""

    tables: tuple[TableFingerprint, ...] = ()
    places: tuple[Place, ...] = ()


def _rows(phase: Phase, plan: Plan) -> Rows:
    table = ".".join(phase.version_table)
    with phase.reading() as connection:
        found = fingerprints.places(connection)
        without = losses.spared(plan.loses, found)
        return Rows(tables=fingerprints.fingerprints(connection, (table,), without), places=found)


def _target_stage(phase: Phase, plan: Plan) -> carrying.Stage:
    environment = phase.environment
    present = phase.project.collection().tree.digest == plan.tree_after
    write = bool(plan.edits) and not present
    if write and not environment.write_files:
        raise GateError(
            "The plan changes revision files, and they are not in the project yet.",
            "Apply repair.patch to the project (or set write_files = true), then run again.",
        )
    return carrying.Stage(
        dsn=phase.dsn,
        project=phase.project,
        environment=environment,
        written=write,
        progress=reading.show,
    )


def read_back(phase: Phase, done: Deployment) -> Deployment:
    """Read the target again on a new connection, run the checks on it, and watch it.

    What was read back already stays as it is: rows come and go since.
    """
    if done.catalog_after and done.passed:
        return done
    plan = phase.read("plan", Plan)
    seen = phase.look()
    bench = reading.bench(phase, reading.read(phase, reading.inferred_before(phase)))
    differing = rehearsal.different(bench.expected, seen.live, bench.ignore)
    tables = _compare(phase)
    checks = proving.run_checks(phase.environment, phase.project, phase.dsn, on_target=True)
    recorded = seen.versions.ids == tuple(sorted(plan.heads_after))
    unmeant = [proof for proof in tables if not proof.equal and not losses.meant(plan, proof)]
    return replace(
        done,
        rows_after=seen.versions.ids,
        catalog_after=artifacts.digest(seen.live),
        differences=len(differing),
        tables=tables,
        checks=checks,
        watch=tuple(watch(phase, plan)) if done.passed else (),
        passed=done.passed
        and recorded
        and not differing
        and not unmeant
        and all(check.passed for check in checks),
    )


def _compare(phase: Phase) -> tuple[TableProof, ...]:
    before = phase.read("05_rows_before", Rows)
    with phase.reading() as connection:
        return compare_rows(before.tables, connection, before.places)


def watch(phase: Phase, plan: Plan) -> Iterable[str]:
    """Read state and schema again and again for the configured window; one line a reading."""
    first = artifacts.digest(phase.look().live)
    end = time.monotonic() + phase.environment.watch_seconds
    while time.monotonic() < end:
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))
        seen = phase.look()
        same = artifacts.digest(seen.live) == first
        rows = ", ".join(seen.versions.ids)
        good = same and seen.versions.ids == tuple(sorted(plan.heads_after))
        yield f"{'good' if good else 'CHANGED'}: version rows {rows}, schema " + (
            "unchanged" if same else "changed since the deployment"
        )


def sentence(done: Deployment) -> str:
    """Say in one sentence what came of the deployment."""
    failed = [step for step in done.steps if step.error]
    if failed:
        told = f"{failed[0].title}: {failed[0].error}".rstrip(".")
        return f"A step failed, and none was run after it: {told}."
    bad = [check.name for check in done.checks if not check.passed]
    passed = f"{count(len(done.checks), 'check')} passed" if done.checks else "no check configured"
    return (
        f"{count(len(done.steps), 'step')} applied; {differing(done.differences)}; "
        f"{kept(done.tables)}; "
        + (f"failed checks: {', '.join(bad)}" if bad else passed)
        + f"; version rows {', '.join(done.rows_after)}."
    )
