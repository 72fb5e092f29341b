"""Testimony: do a run's seal, its approval, its plan and its log tell the same story?

Every file can have its digest and the story still be false: somebody approved afterwards, or
another plan. Read from the run's folder alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runbook_lib.artifacts import digest, to_json
from runbook_lib.evidence import EVENTS
from runbook_lib.seal import Sealed

APPLYING = ("applying", "rolling back")


def contradiction(run: Sealed) -> str:
    """Return the first thing that the run's files contradict one another in, or ""."""
    return next(_contradictions(run), "")


def _contradictions(run: Sealed) -> Iterator[str]:
    named, approval = run.record.plan_digest, run.record.approval
    if named and digest(_read(run, "plan.json")) != named:
        yield "plan.json is not the plan that its seal names"
    file = "approval.json" if "approval.json" in run.files else "90_approval.json"
    if approval and _read(run, file) != to_json(approval):
        yield f"{file} is not the approval that its seal names"
    yield from _wrong_writes(run)


def _wrong_writes(run: Sealed) -> Iterator[str]:
    """Say where the log shows a write to the target without an approval of just that before it.

    The order of the lines counts, and the times as long as the clock did not go back.
    """
    events = run.folder.events() if EVENTS in run.files else ()
    times = [str(event.get("at", "")) for event in events]
    for number, event in enumerate(events):
        if event.get("event") not in APPLYING:
            continue
        if not any(earlier.get("event") == "approved" for earlier in events[:number]):
            yield f"{EVENTS} shows a write to the target before any approval"
        if event["event"] == "applying":
            yield from _wrong_approval(run, event, times == sorted(times))
        else:
            yield from _wrong_retreat(run, events[:number])


def _wrong_approval(run: Sealed, write: Mapping[str, Any], clock: bool) -> Iterator[str]:
    approval, at = run.record.approval, str(write.get("at", ""))
    if approval is None:
        yield "the target was written to, and nobody approved it"
    elif approval.digest != run.record.plan_digest or approval.digest != write.get("digest"):
        yield "what was approved is another plan than the one that was applied"
    elif approval.environment != run.record.environment:
        yield f"the approval is one for {approval.environment}"
    elif clock and approval.at > at:
        yield f"it was approved at {approval.at}, after the first write at {at}"


def _wrong_retreat(run: Sealed, before: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say where another way back was approved than the one that was gone."""
    given, done = _read(run, "90_approval.json"), _read(run, "90_rollback.json")
    logged = [event.get("digest") for event in before if event.get("event") == "approved"]
    known = {*logged[-1:]}
    known |= {given.get("digest")} if isinstance(given, dict) else set()
    known |= {digest(done.get("plan"))} if isinstance(done, dict) else set()
    if len(known) > 1:
        yield "what was approved is another way back than the one that was gone"


def _read(run: Sealed, file: str) -> Any:
    if file not in run.files:
        return None
    try:
        return json.loads((run.folder.path / file).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
