"""Going back: the emergency rollback, by downgrade or by restore; a dry run until approved."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runbook_lib import artifacts, carrying, gates, reading
from runbook_lib import backup as backups
from runbook_lib.artifacts import Artifact
from runbook_lib.backup import Backup
from runbook_lib.counting import count
from runbook_lib.deployment import Rows
from runbook_lib.errors import ConfigurationError, GateError, SafetyError
from runbook_lib.evidence import RunFolder
from runbook_lib.exclusion import alone
from runbook_lib.fingerprints import Place
from runbook_lib.forensics import Target
from runbook_lib.observation import Look
from runbook_lib.plan import Plan, StepResult
from runbook_lib.promotion import Approval, Deployment
from runbook_lib.reading import Cleanup
from runbook_lib.session import Phase
from runbook_lib.survival import TableProof, compare_rows
from runbook_lib.validation import Validation, WayBack
from runbook_lib.verification import fault_of
from runbook_lib.younger import younger

Way = Literal["downgrade", "restore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackPlan(Artifact):
    """What going back would do. ``loses`` says what was written since the backup, in sentences.

    ``run`` is the deployment that is taken back; ``target``, ``catalog_now`` and ``rows_now`` bind
    the plan to the database as it is now, so that an approval is of exactly this.
    """

    environment: str
    way: Way
    run: str
    plan_digest: str
    backup_sha256: str
    steps: tuple[str, ...]
    loses: tuple[str, ...]
    rehearsed: str
    catalog_now: str
    rows_now: tuple[str, ...]
    target: Target | None = None

    @property
    def proven(self) -> bool:
        """Whether this way was taken on a copy, and ended where it should."""
        return self.rehearsed.startswith("proven")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback(Artifact):
    """What was done. A dry run has no approval and no steps."""

    plan: RollbackPlan
    approval: Approval | None
    steps: tuple[StepResult, ...]
    rows_after: tuple[str, ...] = ()
    tables: tuple[TableProof, ...] = ()
    differences: int = -1
    passed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The run whose deployment is taken back, as a phase of its own folder."""

    phase: Phase
    plan: Plan
    backup: Backup
    rehearsed: tuple[WayBack, ...]


GONE = "90_applied"  # what was done to go back, kept before it is read back


def propose_rollback(phase: Phase, *, way: str = "restore") -> RollbackPlan:
    """Say what going back would do and lose. Raises GateError when nothing was deployed.

    Once this run went back, the way is the one that it went.
    """
    done = gone_back(phase)
    if done:
        return done.plan
    if way not in ("downgrade", "restore"):
        raise ConfigurationError(f"There is no way back {way!r}.", "Use downgrade or restore.")
    origin = _origin(phase)
    seen = phase.look()
    _require_target(origin, seen)
    if way == "downgrade":
        _require_way_down(phase, origin, seen)
    known = {item.way: item for item in origin.rehearsed}
    rehearsed = known.get("downgrade" if way == "downgrade" else "restore")
    return RollbackPlan(
        environment=phase.environment.name,
        way="downgrade" if way == "downgrade" else "restore",
        run=origin.phase.folder.name,
        plan_digest=origin.plan.digest,
        backup_sha256=next(f.sha256 for f in origin.backup.files if f.kind == "full"),
        steps=_steps(origin, way),
        loses=_losses(phase, origin, way, seen),
        rehearsed=_rehearsed(rehearsed),
        catalog_now=seen.live.digest,
        rows_now=seen.versions.ids,
        target=seen.target,
    )


def _rehearsed(way: WayBack | None) -> str:
    if way is None:
        return "NOT rehearsed"
    return f"{'proven' if way.proven else 'NOT proven'} on a copy: {way.reason}"


def _origin(phase: Phase) -> Origin:
    """Find the newest run that began to change the target, also when it did not get to its end."""
    home = phase.environment.outputs / phase.environment.name
    for folder in reversed(RunFolder.all(home)):
        if "applying" in folder.happened:
            _require_as_sealed(folder)
            origin = _read_origin(replace_folder(phase, folder))
            if origin.plan.steps:
                return origin
    raise GateError(
        f"No run of {phase.environment.name} has deployed anything.",
        "There is nothing to take back.",
    )


def _read_origin(phase: Phase) -> Origin:
    return Origin(
        phase=phase,
        plan=reading.require_plan(phase.read("03_cleanup", Cleanup)),
        backup=phase.read("01_backup", Backup),
        rehearsed=phase.read("04_validation", Validation).ways_back,
    )


def _require_as_sealed(folder: RunFolder) -> None:
    """Raise SafetyError when the evidence to go back by was changed after it was sealed."""
    fault = fault_of(folder) if folder.sealed else ""
    if fault:
        raise SafetyError(
            f"The run {folder.name} cannot be taken back by its evidence: {fault}.",
            "Get the archive back as it was (runbook verify), then run again.",
        )


def _require_target(origin: Origin, seen: Look) -> None:
    """Raise SafetyError unless this is the very database that was deployed to."""
    if not seen.target.is_same(origin.plan.target):
        raise SafetyError(
            f"This is another database than the one that {origin.phase.folder.name} changed: "
            f"{_identity(seen.target)} in place of {_identity(origin.plan.target)}.",
            "Nothing was done. Check where the environment's address leads.",
        )


def _identity(target: Target) -> str:
    return (
        f"{target.database} (system identifier {target.system_identifier}, "
        f"PostgreSQL {target.server_version})"
    )


def _require_way_down(phase: Phase, origin: Origin, seen: Look) -> None:
    """Raise GateError where the steps cannot be undone one by one: they are not all there."""
    plan, folder = origin.plan, origin.phase.folder
    if "applied" not in folder.happened or seen.versions.ids != tuple(sorted(plan.heads_after)):
        raise GateError(
            f"The steps of {folder.name} are not all there as it left them: version rows "
            f"{', '.join(seen.versions.ids) or 'none'}. The way down was rehearsed from its end.",
            f"Go back by: runbook rollback -e {phase.environment.name} --way restore",
        )


def replace_folder(phase: Phase, folder: RunFolder) -> Phase:
    """Return the same phase, reading from another run's folder."""
    return Phase(name=phase.name, environment=phase.environment, folder=folder)


def _steps(origin: Origin, way: str) -> tuple[str, ...]:
    if way == "restore":
        file = next(f.path for f in origin.backup.files if f.kind == "full")
        return (
            f"Check the SHA-256 of {file}",
            "In one transaction: drop the present content and restore the backup",
        )
    return tuple(f"Undo: {step.title}" for step in reversed(origin.plan.steps))


def _losses(phase: Phase, origin: Origin, way: str, seen: Look) -> tuple[str, ...]:
    """Say what was written since the backup, or to what the repair made, and would be gone."""
    with phase.reading() as connection:
        made = younger(origin.backup.fingerprints, connection, _places(origin))
    if way == "downgrade":
        return (*map(str, made), *_taken_away(origin.plan))
    versions = origin.plan.target.version_table
    proofs = _proofs(phase, origin)
    changed = [proof for proof in proofs if not proof.equal and proof.table != versions]
    return (*map(_change, changed), *map(str, made), *_schema_changes(origin, seen))


def _change(proof: TableProof) -> str:
    if proof.rows_after == proof.rows_before:
        return (
            f"{proof.table}: {count(proof.rows_after, 'row')}, with other values than at the backup"
        )
    return (
        f"{proof.table}: {count(proof.rows_before, 'row')} at the backup, {proof.rows_after:,} now"
    )


def _taken_away(plan: Plan) -> Iterator[str]:
    """The project's own downgrades may take away more than what can be counted beforehand."""
    for step in plan.steps:
        if step.kind == "run-revisions" and not step.reverse:
            yield f"whatever the downgrade of {', '.join(step.revisions)} takes away by itself"


def _schema_changes(origin: Origin, seen: Look) -> Iterator[str]:
    folder = origin.phase.folder
    if folder.has("05_deployment"):
        left = folder.read("05_deployment", Deployment).catalog_after
        if left and seen.live.digest != left:
            yield "the schema: what was changed in it since the deployment"


def _places(origin: Origin) -> tuple[Place, ...]:
    own = origin.phase.folder
    return own.read("05_rows_before", Rows).places if own.has("05_rows_before") else ()


def _proofs(phase: Phase, origin: Origin) -> tuple[TableProof, ...]:
    """Compare the rows with the backup's, following what the deployment renamed."""
    with phase.reading() as connection:
        return compare_rows(origin.backup.fingerprints, connection, _places(origin))


def require_rollback_approval(
    phase: Phase, proposed: RollbackPlan, *, approve: str = "", by: str = ""
) -> Approval | None:
    """Return the approval of exactly this rollback, or None for a dry run."""
    done = gone_back(phase)
    if done:
        gates.require_same(approve or proposed.digest, proposed.digest)
        return done.approval
    if not approve:
        return None
    approval = gates.give(phase.environment, proposed.digest, approve, by)
    phase.write("90_approval", approval)
    phase.folder.append_event("approved", phase.name, digest=approval.digest, by=approval.by)
    return approval


def gone_back(phase: Phase) -> Rollback | None:
    """Return what was done in this run to go back, when it was done to its end.

    A cell that is run again goes on from it: no backup is restored twice.
    """
    folder = phase.folder
    if folder.last_write != "rolled back" or not folder.has(GONE):
        return None
    done = folder.read(GONE, Rollback)
    known = folder.read(phase.name, Rollback) if folder.has(phase.name) else done
    done = known if known.passed and known.approval else done
    return phase.show_again(done, "the way back is gone, and nothing is undone twice")


def roll_back(phase: Phase, proposed: RollbackPlan, approval: Approval | None) -> Rollback:
    """Go back for real when approved; otherwise do nothing and say what would be done."""
    if approval is None:
        return Rollback(plan=proposed, approval=None, steps=())
    gates.require_for(approval, phase.environment, proposed.digest)
    known = gone_back(phase)
    if known:
        return known
    with alone(phase.dsn, phase.environment.name):
        _require_unchanged(phase, proposed)
        phase.folder.append_event("rolling back", phase.name, way=proposed.way)
        steps = _go(phase, proposed)
    good = not any(step.error for step in steps)
    done = Rollback(plan=proposed, approval=approval, steps=steps, passed=good)
    phase.write(GONE, done)
    phase.folder.append_event("rolled back" if good else "step failed", phase.name)
    return done


def _require_unchanged(phase: Phase, proposed: RollbackPlan) -> None:
    if propose_rollback(phase, way=proposed.way).digest != proposed.digest:
        raise SafetyError(
            "The database changed since this way back was proposed and approved.",
            "Nothing was done. Make a dry run again and read what it would lose now.",
        )


def _go(phase: Phase, proposed: RollbackPlan) -> tuple[StepResult, ...]:
    origin = _origin(phase)
    if proposed.way == "restore":
        return (_restore(phase, origin),)
    stage = carrying.Stage(
        dsn=phase.dsn,
        project=phase.project,
        environment=phase.environment,
        overlay=()
        if phase.project.collect().digest == origin.plan.tree_after
        else origin.plan.edits,
        progress=reading.show,
    )
    return carrying.undo(origin.plan, stage)


def _restore(phase: Phase, origin: Origin) -> StepResult:
    start = time.monotonic()
    dump = reading.dump_of(origin.phase, origin.backup)
    known = next(file.sha256 for file in origin.backup.files if file.kind == "full")
    if not dump.is_file() or artifacts.file_digest(dump) != known:
        raise SafetyError(
            f"{dump.name} is not the backup that was verified: its SHA-256 is another.",
            "Nothing was done. Get the archive back as it was, then run again.",
        )
    with phase.reading() as connection:
        number = connection.server_version
    backups.restore_over(dump, phase.dsn, server_version_num=number)
    seconds = round(time.monotonic() - start, 3)
    return StepResult(title="Restore the backup in one transaction", seconds=seconds)


def read_back_rollback(phase: Phase, done: Rollback) -> Rollback:
    """Read the target again: is it what it was before the deployment?"""
    if done.approval is None or (done.passed and done.differences == 0):
        return done
    origin = _origin(phase)
    seen = phase.look()
    tables = _proofs(phase, origin)
    back = seen.live.digest == origin.plan.catalog_before
    unequal: Sequence[TableProof] = [proof for proof in tables if not proof.equal]
    return replace(
        done,
        rows_after=seen.versions.ids,
        tables=tables,
        differences=0 if back else 1,
        passed=done.passed
        and back
        and seen.versions.ids == origin.plan.rows_before
        and (not unequal or done.plan.way == "downgrade"),
    )
