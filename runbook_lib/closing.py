"""Closing: what a run came to, its seal, and which run left behind may go on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from runbook_lib import pages, record, transcript
from runbook_lib.config import Environment
from runbook_lib.errors import GateError, RunbookError, SafetyError
from runbook_lib.evidence import PhaseResult, RunFolder
from runbook_lib.forensics import Audit
from runbook_lib.going_back import GONE, Rollback
from runbook_lib.plan import Plan
from runbook_lib.promotion import Approval
from runbook_lib.scrub import Scrub, scrub_for
from runbook_lib.seal import Sealed, Verdict, seal

DEPLOYMENT = "05_deployment"
ROLLBACK = "90_rollback"
RETREAT = "90_approval"  # of a way back, beside that of a plan
T = TypeVar("T")


def results(folder: RunFolder) -> tuple[PhaseResult, ...]:
    """Every phase's verdict that the run's folder has, in the order of the phases.

    ``seconds`` are the notebook's wall time, kernel included, where the event log has it.
    """
    took = {
        event["phase"]: float(event["seconds"])
        for event in folder.events()
        if "seconds" in event and "phase" in event
    }
    names = sorted(path.name for path in folder.path.glob("*.result.json"))
    found = [maybe(folder, name, PhaseResult) for name in names]
    return tuple(
        replace(item, seconds=took.get(item.phase, item.seconds)) for item in found if item
    )


def seal_run(
    folder: RunFolder,
    verdict: Verdict,
    scrub: Scrub,
    by_hand: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Sealed:
    """Write the change record, then the seal; ``by_hand`` are phases that a person stepped
    through, and ``notes`` is what an auditor should know of that.

    A cell that was cut off, by a death or a full disk, is said to have failed, and the page that
    its notebook lacks is made.
    """
    for path in sorted(folder.path.glob("*.ipynb")):
        _settle_notebook(folder, path)
        _publish(folder, path)
    found = results(folder)
    notes = (*notes, *_clock_notes(folder))
    record.write(folder, found, verdict, scrub, by_hand, notes)
    plan, audit, back = (
        maybe(folder, "plan", Plan),
        _audit(folder),
        maybe(folder, ROLLBACK, Rollback) or maybe(folder, GONE, Rollback),
    )
    seen = plan or audit or (back.plan if back else None)
    return seal(
        folder,
        verdict=verdict,
        phases=found,
        scrub=scrub,
        target=seen.target if seen else None,
        tree_before=plan.tree_before if plan else audit.tree.digest if audit else "",
        tree_after=plan.tree_after if plan and verdict in ("repaired", "healthy") else "",
        plan_digest=plan.digest if plan else "",
        approval=maybe(folder, "approval", Approval) or maybe(folder, RETREAT, Approval),
        by_hand=by_hand,
        errors=sum(item.severity == "error" for item in audit.findings) if audit else None,
        notes=notes,
    )


def _clock_notes(folder: RunFolder) -> tuple[str, ...]:
    """The log's lines stand in the order in which things happened, whatever the clock said."""
    told = [str(event.get("at", "")) for event in folder.events()]
    notes = []
    if any(early > late for early, late in pairwise(told)):
        notes.append(
            "The clock went back during this run: go by the order of events.jsonl, not by times."
        )
    if told and folder.ahead_of(told[0]):
        notes.append(
            "The clock was behind the run before, whose name this one's goes on from: go by the "
            "chain of digests, not by times."
        )
    return tuple(notes)


def maybe(folder: RunFolder, name: str, cls: type[T]) -> T | None:
    """Read an artifact where there is one that can be read: another version may have made it."""
    if folder.has(name):
        with contextlib.suppress(RunbookError):
            return folder.read(name, cls)
    return None


def _audit(folder: RunFolder) -> Audit | None:
    return maybe(folder, "02_audit", Audit) or maybe(folder, "00_current_state", Audit)


def plan_digest(folder: RunFolder) -> str:
    plan = maybe(folder, "plan", Plan)
    return plan.digest if plan else ""


def verdict_of(folder: RunFolder, last: PhaseResult, phases: tuple[str, ...]) -> Verdict:
    """Name what a run came to.

    ``healthy``: there was nothing to do. A run without a deployment goes by its audit.
    """
    if ROLLBACK in phases and last.status in ("passed", "approval-needed"):
        done = maybe(folder, ROLLBACK, Rollback)
        dry = last.status != "passed" or (done is not None and done.approval is None)
        return "dry-run" if dry else "rolled-back"
    if last.status != "passed":
        return "refused" if last.status == "refused" else "failed"
    plan = maybe(folder, "plan", Plan)
    if plan and DEPLOYMENT in phases:
        return "healthy" if plan.strategy == "nothing-to-do" else "repaired"
    audit = _audit(folder)
    bad = audit is not None and any(item.severity == "error" for item in audit.findings)
    return "failed" if bad else "healthy"


def begin(
    environment: Environment, approve: str, phases: tuple[str, ...]
) -> tuple[RunFolder, tuple[str, ...]]:
    """Return the folder to work in and the phases to run there; settle what was left behind."""
    home = environment.outputs / environment.name
    left = [folder for folder in RunFolder.all(home) if not folder.sealed]
    waiting = [folder for folder in left if folder.waits and plan_digest(folder)]
    resumed = _resumable(waiting, approve) if DEPLOYMENT in phases else None
    for folder in left:
        if folder != resumed:
            _settle(environment, folder)
    if resumed is None:
        return RunFolder.open(environment, "new"), phases
    resumed.append_event("resumed", DEPLOYMENT)
    return resumed, phases[phases.index(DEPLOYMENT) :]


def _resumable(waiting: Sequence[RunFolder], approve: str) -> RunFolder | None:
    """Return the run whose plan is approved, by the digest given now or recorded before."""
    newest = waiting[-1] if waiting else None
    if approve and newest is None:
        raise GateError("No run waits for approval.", "Run without --approve first.")
    if newest is None:
        return None
    digest = plan_digest(newest)
    if approve:
        if len(approve) < 12 or not digest.startswith(approve.lower()):
            raise SafetyError(
                f"The digest {approve} is approved, but the plan's is {digest}.",
                "Nothing was done. Read the plan again and approve the digest that it shows.",
            )
        return newest
    recorded = maybe(newest, "approval", Approval)
    return newest if recorded and recorded.digest == digest else None


def _settle(environment: Environment, folder: RunFolder) -> None:
    """Seal a run that was left behind, so that the chain has no gap."""
    folder.append_event("interrupted", reason="a newer run begins")
    seal_run(folder, "interrupted", scrub_for(environment))


def _publish(folder: RunFolder, path: Path) -> None:
    """Make the page of a notebook that has none, or an earlier one's; a torn one has no page."""
    page = path.with_suffix(".html")
    if not page.exists() or page.stat().st_mtime < path.stat().st_mtime:
        with contextlib.suppress(Exception):
            pages.publish(folder, path.stem)


def _settle_notebook(folder: RunFolder, path: Path) -> None:
    """Say of a notebook that was cut off which cell did not get to its end."""
    try:
        notebook = json.loads(path.read_bytes())
        index = transcript.settle(notebook)
    except (ValueError, AttributeError, TypeError):
        return
    if index is None:
        return
    folder.write_text(path.name, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    if not folder.has(f"{path.stem}.result"):
        sentence = f"Its runner died in cell {index}; the cells after it did not run."
        result = PhaseResult(phase=path.stem, status="interrupted", sentence=sentence, exit_code=1)
        folder.write(f"{path.stem}.result", result)
