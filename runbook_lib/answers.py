"""Answers: what the agent says of a project and of a run, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from runbook_lib.artifacts import Artifact
from runbook_lib.catalog import Catalog, ObjectChange
from runbook_lib.conversation import Event
from runbook_lib.dsn import redact
from runbook_lib.effects import ReplayStatus, RevisionReplay
from runbook_lib.graph import SourceTree

STATUS: dict[str, ReplayStatus] = {
    "finished": "replayed",
    "failed": "failed",
    "skipped": "skipped",
}
UNDONE = "It was rolled back when"
LOST = "Alembic reported success, but its work was rolled back: no new connection sees it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What ``collect`` found. ``context`` is a digest over everything besides revision files
    that decides what they do: env.py and its neighbours, the ini file, installed packages.
    ``unread`` are revision files below the version locations that Alembic does not take, with
    their ids ("" where the text does not tell)."""

    tree: SourceTree
    script_location: str
    context: str
    versions: Mapping[str, str]
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description(Artifact):
    """The project's interpreter and what its env.py configures; versions as they call themselves.

    ``version_table_schema`` is "" for the search path; ``script_location`` is relative to the root.
    """

    python: str
    alembic: str
    sqlalchemy: str
    driver: str
    driver_version: str
    is_async: bool
    script_location: str
    version_table: str
    version_table_schema: str
    transaction_per_migration: bool
    has_metadata: bool
    include_schemas: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the project's Alembic. ``rows`` were read afterwards, on a new connection.

    ``baseline`` is the catalog before the first revision (replay only). ``sources`` are digests
    of the project's own modules that were imported, by path relative to the root. ``again`` says
    that nothing of this counts, and how to replay anew in a fresh database: each revision in a
    transaction of its own ("apart"), and reading the whole catalog after each ("whole").
    """

    revisions: tuple[RevisionReplay, ...]
    rows: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    rolled_back: tuple[str, ...] = ()
    baseline: Catalog | None = None
    version_table: str = ""
    server_version: str = ""
    again: Literal["", "apart", "whole"] = ""
    sources: Mapping[str, str]
    description: Description | None = None


def description(event: Event) -> Description:
    return Description(**{name: event[name] for name in Description.__slots__})


def revision(event: Event, masked: Sequence[str]) -> RevisionReplay:
    return RevisionReplay(
        revision_id=event["revision"],
        status=STATUS[event["event"]],
        seconds=event.get("seconds", 0.0),
        statements=tuple(redact(text, masked) for text in event.get("statements", ())),
        changes=tuple(
            ObjectChange(object=key, before=before, after=after)
            for key, before, after in event.get("changes", ())
        ),
        rows=event.get("rows", 0),
        touches_rows=event.get("touches_rows", False),
        commits_inside=event.get("commits_inside", False),
        autocommit=event.get("autocommit", False),
        asks=event.get("asks", False),
        error=redact(event.get("error", ""), masked),
    )


def run_of(revisions: tuple[RevisionReplay, ...], facts: Mapping[str, Event]) -> Run:
    final = facts.get("final", {})
    baseline = facts.get("baseline")
    described = facts.get("described")
    lost = tuple(final.get("lost", ()))
    return Run(
        revisions=tuple(
            replace(item, lost=True) if item.revision_id in lost else item for item in revisions
        ),
        rows=tuple(final.get("rows", ())),
        lost=lost,
        rolled_back=tuple(final.get("rolled_back", ())),
        baseline=Catalog(objects=baseline["objects"]) if baseline else None,
        version_table=final.get("version_table", ""),
        server_version=final.get("server", ""),
        again=_again(facts),
        sources=final.get("sources", {}),
        description=description(described) if described else None,
    )


def _again(facts: Mapping[str, Event]) -> Literal["", "apart", "whole"]:
    if "again" not in facts:
        return ""
    return "apart" if facts["again"]["partial"] else "whole"


def settled(run: Run) -> tuple[RevisionReplay, ...]:
    """Give revisions whose work is gone the status failed, so that nobody takes them for done."""
    cause = [item for item in run.revisions if item.error]
    words = f"{UNDONE} {cause[0].revision_id} failed: {cause[0].error}" if cause else ""
    gone = {**dict.fromkeys(run.rolled_back, words), **dict.fromkeys(run.lost, LOST)}
    return tuple(
        replace(item, status="failed", error=gone[item.revision_id])
        if item.revision_id in gone and not item.error
        else item
        for item in run.revisions
    )
