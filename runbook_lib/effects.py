"""Effects: what each revision did to the catalog when it was really run in a shadow database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runbook_lib.artifacts import Artifact
from runbook_lib.catalog import Catalog, ObjectChange

ReplayStatus = Literal["replayed", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionReplay:
    """What one revision did when it ran. ``skipped``: an ancestor failed, so it could not run.

    ``seconds`` is wall time; ``rows`` counts rows that INSERT, UPDATE, DELETE and COPY
    touched; ``commits_inside``: Alembic's own transaction ended inside the revision;
    ``autocommit``: it opened an ``autocommit_block``; ``lost``: Alembic reports it as done and
    leaves it in a transaction that nobody commits.
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
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay(Artifact):
    """A whole replay: the baseline's catalog, and the revisions in the order in which they ran."""

    baseline: Catalog
    baseline_origin: Literal["empty", "given", "inferred"]
    revisions: tuple[RevisionReplay, ...]
    final: Catalog
    server_version: str
    cached: bool = False
