"""Gates: what has to hold before a plan may touch the target, and who has to have approved it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib.backup import Backup
from runbook_lib.config import Environment
from runbook_lib.counting import count
from runbook_lib.errors import ApprovalNeeded, GateError, SafetyError
from runbook_lib.evidence import now
from runbook_lib.plan import Plan, Rehearsal
from runbook_lib.promotion import Approval, ChecklistItem
from runbook_lib.seal import Sealed
from runbook_lib.validation import Validation


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the checklist looks at. ``stale`` says what changed since the audit, or "".

    ``backup_intact`` tells that every backup file still has its digest; ``earlier`` are the
    sealed runs of the environment that has to come first, and ``earlier_fault`` says what is
    wrong with the one that counts, or "".
    """

    environment: Environment
    plan: Plan
    rehearsal: Rehearsal
    validation: Validation
    backup: Backup
    backup_intact: bool
    stale: str
    earlier: tuple[Sealed, ...]
    earlier_fault: str = ""


def checklist(facts: Facts) -> tuple[ChecklistItem, ...]:
    """Return the pre-deployment checklist; every line has to hold before anything is applied."""
    return (
        _item(
            "The repair is rehearsed and proven",
            facts.rehearsal.proven,
            facts.rehearsal.reason,
            "Read why in 03_cleanup; mend that, then run again.",
        ),
        _item(
            "All tests pass on the repaired clone",
            facts.validation.passed,
            facts.validation.told,
            "Read which in 04_validation; mend that, then run again.",
        ),
        _item(
            "The rollback is tested",
            any(way.proven for way in facts.validation.ways_back),
            "; ".join(f"{w.way}: {w.reason.rstrip('.')}" for w in facts.validation.ways_back),
            "Without a proven way back nothing is applied.",
        ),
        _item(
            "The rollback plan is documented",
            bool(facts.validation.ways_back),
            "; ".join(way.command for way in facts.validation.ways_back),
            "Run 04_validation.",
        ),
        _item(
            "The backup is verified",
            facts.backup.verified and facts.backup_intact,
            _backup(facts),
            "Run 01_backup again.",
        ),
        _item(
            "Nothing changed since the audit",
            not facts.stale,
            facts.stale or "schema, version rows and tree are as they were audited",
            f"The plan is stale. Run: runbook run -e {facts.environment.name}; in JupyterLab: 00 "
            "to 04 once more.",
        ),
        _staging_item(facts),
    )


def _backup(facts: Facts) -> str:
    told = f"taken {facts.backup.taken_at}, restored in {facts.backup.restore_seconds:.1f} s, "
    if not facts.backup.verified:
        return f"{told}NOT equal to the database"
    whole = "" if facts.backup_intact else "; but its files are gone, or were changed since"
    return f"{told}equal to the database{whole}"


def _item(name: str, passed: bool, detail: str, todo: str) -> ChecklistItem:
    return ChecklistItem(name=name, passed=passed, detail=detail, todo="" if passed else todo)


def _staging_item(facts: Facts) -> ChecklistItem:
    name = facts.environment.after
    if not name:
        return _item("Staging first", True, "this environment comes first", "")
    run = witness(facts.plan, facts.earlier)
    if run:
        detail = f"{name}: {run.record.run} sealed as {run.record.verdict}"
        more = f", but {facts.earlier_fault}" if facts.earlier_fault else _new_files(facts)
        todo = f"Find out who changed it (runbook verify -e {name}), then run {name} again."
        return _item(f"First {name}", not facts.earlier_fault, detail + more, todo)
    detail = (
        f"{name} has {count(len(facts.earlier), 'sealed run')}, none of them good for this tree"
        if facts.earlier
        else f"{name} has no sealed run"
    )
    return _item(f"First {name}", False, detail, f"Run: runbook run -e {name}")


def witness(plan: Plan, earlier: Sequence[Sealed]) -> Sealed | None:
    """Return the newest good run for the plan's tree among those of the earlier environment."""
    good = [
        run
        for run in earlier
        if run.record.verdict in ("repaired", "healthy")
        and plan.tree_before in (run.record.tree_before, run.record.tree_after)
    ]
    return good[-1] if good else None


def _new_files(facts: Facts) -> str:
    added = [edit.path for edit in facts.plan.edits if edit.before is None]
    return f"; new since then, rehearsed here only: {', '.join(added)}" if added else ""


def require_all(items: Sequence[ChecklistItem]) -> None:
    """Raise GateError, or SafetyError for a stale plan, when a line does not hold."""
    failed = [item for item in items if not item.passed]
    if not failed:
        return
    first = failed[0]
    raise GateError(f"The checklist does not hold: {first.name} ({first.detail}).", first.todo)


def find_approval(
    environment: Environment, plan: Plan, recorded: Sequence[Approval], approve: str, by: str
) -> tuple[Approval, bool]:
    """Return the approval of exactly this plan, and whether it is new and has to be recorded.

    Raises SafetyError when another digest is approved, ApprovalNeeded when none is.
    """
    digest = plan.digest
    if approve:
        return give(environment, digest, approve, by), True
    if not plan.steps:
        return _approval(environment, digest, "nobody", "nothing is to be done"), True
    for approval in reversed(recorded):
        if approval.digest == digest and approval.environment == environment.name:
            return approval, False
    if environment.approval == "auto":
        return _approval(environment, digest, "runbook.toml", 'approval = "auto"'), True
    raise ApprovalNeeded(
        f"The plan {digest} for {environment.name} waits for approval.",
        f"Read plan.json, then: runbook run -e {environment.name} --approve {digest}; "
        "in JupyterLab: set approve and by, and run the notebook again.",
    )


def give(environment: Environment, digest: str, approve: str, by: str) -> Approval:
    """Return the approval of ``digest``, given by naming it. Raises SafetyError for another."""
    require_same(approve, digest)
    return _approval(environment, digest, by or _user(), "given with the digest")


def require_same(approved: str, digest: str) -> None:
    """Raise SafetyError unless ``approved`` is the digest, or at least 12 digits of its start."""
    if len(approved) < 12 or not digest.startswith(approved.lower()):
        raise SafetyError(
            f"The digest {approved} is approved, but the plan's is {digest}.",
            "Nothing was done. Read the plan again and approve the digest that it shows.",
        )


def require_for(approval: Approval, environment: Environment, digest: str) -> None:
    """Raise SafetyError unless the approval is of this digest, for this environment."""
    if approval.environment != environment.name:
        raise SafetyError(
            f"The approval is for {approval.environment}, not for {environment.name}.",
            "Nothing was done. Approve this environment's own plan.",
        )
    require_same(approval.digest, digest)


def _approval(environment: Environment, digest: str, by: str, how: str) -> Approval:
    return Approval(environment=environment.name, digest=digest, by=by, at=now(), how=how)


def _user() -> str:
    return os.environ.get("RUNBOOK_USER") or getpass.getuser()
