"""Case: all that is known when the revisions of a database are judged. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from runbook_lib.catalog import Catalog
from runbook_lib.effects import Replay, RevisionReplay
from runbook_lib.forensics import Executed
from runbook_lib.graph import RevisionGraph
from runbook_lib.inference import Inference, Testimony


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that is known: the loadable graph, its replay, the live catalog and who is recorded.

    ``stated`` is what a person says of revisions that leave no trace: ran, or did not; ``proven``
    what running revisions by themselves showed where the chains mislead. ``baffling`` are those
    that nothing explains: they seem half done and cannot be, beside one that may have stopped
    half-way; or may themselves have, and what would tell how far they came shows no more.
    The live schema is made with those of ``either`` as well as without them. What was supposed of
    further ones as they made it is ``likely``.
    """

    graph: RevisionGraph
    replay: Replay
    live: Catalog
    recorded: frozenset[str]
    inference: Inference
    stated: Mapping[str, bool] = field(default_factory=dict)
    proven: Mapping[str, Executed] = field(default_factory=dict)
    baffling: frozenset[str] = frozenset()
    either: frozenset[str] = frozenset()
    likely: Mapping[str, bool] = field(default_factory=dict)

    @property
    def heard(self) -> dict[str, list[Testimony]]:
        """What proves something, by revision, less what a trial has refuted."""
        return _by_revision(
            item
            for item in self.inference.testimonies
            if self.proven.get(item.revision_id) != ("no" if item.ran else "yes")
        )

    @property
    def unproven(self) -> dict[str, list[Testimony]]:
        """What would prove something if the baseline were known, by revision."""
        return _by_revision(self.inference.unproven)

    @property
    def half_way(self) -> frozenset[str]:
        """Those among ``baffling`` of which it is open how far they came."""
        stoppable = {run.revision_id for run in self.replay.revisions if run.stoppable}
        return self.baffling & stoppable

    @property
    def runs(self) -> dict[str, RevisionReplay]:
        return {run.revision_id: run for run in self.replay.revisions}


def _by_revision(testimonies: Iterable[Testimony]) -> dict[str, list[Testimony]]:
    said: dict[str, list[Testimony]] = {}
    for testimony in testimonies:
        said.setdefault(testimony.revision_id, []).append(testimony)
    return said
