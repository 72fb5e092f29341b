"""Effects: what each revision did to the catalog when it was really run in a shadow database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from runbook_lib.artifacts import Artifact
from runbook_lib.catalog import Aspects, Catalog, ObjectChange, without

ReplayStatus = Literal["replayed", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionReplay:
    """What one revision did when it ran. ``skipped``: an ancestor failed, so it could not run.

    ``seconds`` is wall time; ``rows`` counts rows that INSERT, UPDATE, DELETE and COPY
    touched; ``commits_inside``: Alembic's own transaction ended inside the revision;
    ``autocommit``: it opened an ``autocommit_block``; ``lost``: Alembic reports it as done and
    leaves it in a transaction that nobody commits; ``asks``: it looked at the schema while it
    ran, so what it does may depend on what it finds.
    """

    revision_id: str
    status: ReplayStatus
    seconds: float = 0.0
    statements: tuple[str, ...] = ()
    changes: tuple[ObjectChange, ...] = ()
    rows: int = 0
    touches_rows: bool = False
    commits_inside: bool = False
    autocommit: bool = False
    lost: bool = False
    asks: bool = False
    error: str = ""

    @property
    def stoppable(self) -> bool:
        """Whether it can stop half-way: it does not run in one transaction."""
        return self.autocommit or self.commits_inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred(Artifact):
    """A baseline read off the live catalog, because revisions need what no revision makes.

    ``statements`` make it in an empty database; one that fails there is left out. ``objects`` are
    the live objects it holds; ``assumed`` are keys of objects that the live database has not, which
    stand in it only so that the revisions which remove them can run.
    """

    statements: tuple[str, ...]
    objects: Mapping[str, Aspects]
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay(Artifact):
    """A whole replay: the baseline's catalog, and the revisions in the order in which they ran.

    ``inferred`` is how the baseline was made, where nobody gave one and the tree needs one.
    """

    baseline: Catalog
    baseline_origin: Literal["empty", "given", "inferred"]
    revisions: tuple[RevisionReplay, ...]
    final: Catalog
    server_version: str
    cached: bool = False
    inferred: Inferred | None = None

    @property
    def whole(self) -> bool:
        """Whether every revision was replayed, so that what none of them makes is known."""
        return all(run.status not in ("failed", "skipped") for run in self.revisions)


def ignoring(replay: Replay, patterns: tuple[str, ...]) -> Replay:
    """Return the replay less every object that a pattern matches."""
    if not patterns:
        return replay
    kept = without(replay.final, patterns).objects
    changes = [change for run in replay.revisions for change in run.changes]
    shell = Catalog(objects={c.object: c.after or c.before or {} for c in changes})
    allowed = set(without(shell, patterns).objects)
    runs = tuple(
        replace(run, changes=tuple(c for c in run.changes if c.object in allowed))
        for run in replay.revisions
    )
    baseline = without(replay.baseline, patterns)
    return replace(replay, revisions=runs, baseline=baseline, final=Catalog(objects=kept))
