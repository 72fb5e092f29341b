"""Trial: some revisions of a tree, run by themselves from the baseline in a shadow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib import replay as replays
from runbook_lib.artifacts import digest
from runbook_lib.catalog import Catalog
from runbook_lib.errors import RunbookError
from runbook_lib.replay import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a trial made; None when one of its revisions failed."""

    made: Catalog | None


def run_alone(job: Job, names: Sequence[str]) -> Catalog | None:
    """Run just ``names`` in that order; return the catalog, None when one of them fails.

    Cached by content, as replays are.
    """
    key = digest([job.key, list(names)])
    found = job.shelf.read(key, Tried) or Tried(made=_run(job, names))
    job.shelf.write(key, found)
    return found.made


def _run(job: Job, names: Sequence[str]) -> Catalog | None:
    shadow = job.scratch.name("shadow")
    try:
        replays.make_shadow(job, shadow)
        runs = job.project.upgrade(shadow, job.target, edits=job.edits, only=names, commit=True)
        failed = any(run.status == "failed" for run in runs)
        return None if failed else replays.read_shadow(shadow, job.exclude)
    except RunbookError:
        return None
    finally:
        job.scratch.drop(shadow)
