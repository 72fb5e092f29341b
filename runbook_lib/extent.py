"""Extent: how far a run came on the target, and which ways back are open from there."""

from __future__ import annotations

from dataclasses import dataclass

from runbook_lib.evidence import LEFT, RunFolder
from runbook_lib.going_back import Rollback
from runbook_lib.plan import Plan
from runbook_lib.promotion import Deployment
from runbook_lib.validation import WayBack

PHASE = "90_rollback"
UNTOUCHED = "Nothing was written to the target."
NO_WRITE = "This run wrote nothing to the target: there is nothing of it to take back."
CUT_OFF = (
    "It was rehearsed from the plan's end, which this run did not reach: it is refused. Go back by "
    "restore, or go on with the repair."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What a run's log and artifacts tell of its writes; ``final``: no more of them will come."""

    folder: RunFolder
    plan: Plan | None
    deployment: Deployment | None
    rollback: Rollback | None
    final: bool

    @property
    def left(self) -> str:
        """What a write that was cut off may have left on the target; "" where it was read back."""
        last = self.folder.last_write
        known = self.rollback if last in ("rolling back", "rolled back") else self.deployment
        return "" if known or (last == "step failed" and self.rollback) else LEFT.get(last, "")

    @property
    def went_back(self) -> str:
        """By which way the target was taken back; "" where it was not."""
        done = self.rollback
        return done.plan.way if done is not None and done.approval is not None else ""

    @property
    def untouched(self) -> str:
        """That nothing was written to the target; "" where something was, or may have been."""
        steps = self.plan is None or self.plan.steps
        wrote = self.folder.last_write and (steps or self.rollback)
        return "" if wrote or self.went_back or (self.deployment and steps) else UNTOUCHED

    @property
    def is_retreat(self) -> bool:
        """Whether the run is one of going back only."""
        begun = {str(item.get("phase")) for item in self.folder.events() if "phase" in item}
        return begun == {PHASE} or (self.plan is None and self.rollback is not None)

    def closed(self, way: WayBack) -> str:
        """Why a way back that was rehearsed is none from where the run ended, or ""."""
        if self.untouched:
            return NO_WRITE if self.final else ""
        happened = self.folder.happened
        is_cut_off = "applying" in happened and "applied" not in happened
        return CUT_OFF if is_cut_off and way.way == "downgrade" else ""
