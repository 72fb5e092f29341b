"""Inferring: find the baseline that a tree needs and nobody gave, with the replay as the oracle.

Errors are answered in one shadow, in which the replay goes on where it stopped, so that a guess
costs no whole replay. What comes out is then replayed from the start, and corrected by that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from runbook_lib import authorship, baseline, corrections, shadows
from runbook_lib import replay as replays
from runbook_lib.answers import Run
from runbook_lib.artifacts import digest
from runbook_lib.baseline import Guess
from runbook_lib.catalog import Catalog
from runbook_lib.effects import Inferred, Replay, RevisionReplay
from runbook_lib.replay import Job
from runbook_lib.revisions import parse_tree

ROUNDS = 60  # answers to errors, each of which costs one start of the project's interpreter
REPLAYS = 5  # whole replays


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search: ``texts`` are the revisions' files by id; ``elsewhere`` what revisions make."""

    job: Job
    texts: Mapping[str, str]
    elsewhere: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a search found, as it is kept on the shelf; None when no baseline helps."""

    inferred: Inferred | None


def infer(job: Job, live: Catalog, plain: Replay) -> Replay:
    """Return the replay over a baseline inferred from ``live``, or ``plain`` when none helps.

    ``plain`` is the replay of the same job from empty. Kept by content: for an unchanged tree and
    an unchanged live schema nothing is run.
    """
    if not needed(plain):
        return plain
    name = digest([job.key, live.digest, "baseline"])
    kept = job.shelf.read(name, Verdict)
    if kept is None:
        kept = Verdict(inferred=_search(job, live, plain))
        job.shelf.write(name, kept)
    return _over(job, kept.inferred) if kept.inferred else plain


def needed(plain: Replay) -> bool:
    """Whether a revision fails for want of something that is not there."""
    return plain.baseline_origin == "empty" and any(
        run.status == "failed" and corrections.missing(run.error) for run in plain.revisions
    )


def _over(job: Job, inferred: Inferred) -> Replay:
    return replays.replay(replays.based(job, inferred))


def _search(job: Job, live: Catalog, plain: Replay) -> Inferred | None:
    texts = {
        revision.revision_id: job.tree.files.get(revision.file, "")
        for revision in parse_tree(job.tree).revisions
    }
    made = {c.object for run in plain.revisions for c in run.changes if c.before is None}
    search = Search(job=job, texts=texts, elsewhere=frozenset(made))
    guess = baseline.first_guess(live, texts.values())
    hopeless: set[str] = set()
    guess = _explored(search, guess, hopeless)
    for _ in range(REPLAYS):
        found = _over(job, guess.inferred())
        answered = _answered(search, guess, _failed(found, hopeless), hopeless)
        better = baseline.corrected(guess, found, _waiting(search, live, found))
        if answered != guess:
            guess = _explored(search, answered, hopeless)
        elif better != guess:
            guess = better
        else:
            return guess.inferred() if _undone(found) < _undone(plain) else None
    return None


def _failed(found: Replay | Run, hopeless: Collection[str]) -> list[RevisionReplay]:
    """Return the revisions that failed and may still be answered."""
    failed = (run for run in found.revisions if run.status == "failed")
    return [run for run in failed if run.revision_id not in hopeless]


def _undone(found: Replay) -> int:
    return sum(run.status != "replayed" for run in found.revisions)


def _waiting(search: Search, live: Catalog, found: Replay) -> frozenset[str]:
    """Live keys that revisions which did not run may make; all, if a name is computed."""
    texts = [
        search.texts.get(run.revision_id, "") for run in found.revisions if run.status != "replayed"
    ]
    made = {item for text in texts for item in authorship.made(text)}
    everything = frozenset(live.objects)
    return everything if authorship.UNKNOWN in made else baseline.claims(live, made)


def _explored(search: Search, guess: Guess, hopeless: set[str]) -> Guess:
    """Answer the errors of a replay one by one; what has no answer becomes ``hopeless``."""
    job = search.job
    shadow = job.scratch.name("shadow")
    shadows.make(job.project, job.scratch, shadow, guess.inferred())
    try:
        for _ in range(ROUNDS):
            run = replays.run_in(job, shadow, skip=hopeless)
            failed = _failed(run, hopeless)
            better = _answered(search, guess, failed, hopeless)
            if better == guess:
                return guess
            left = any(item.changes or item.commits_inside or item.autocommit for item in failed)
            if left or better.live != guess.live:
                job.scratch.drop(shadow)
                shadows.make(job.project, job.scratch, shadow, better.inferred())
            else:
                shadows.carry_out(shadow, baseline.steps(guess, better))
            guess = better
        return guess
    finally:
        job.scratch.drop(shadow)


def _answered(
    search: Search, guess: Guess, failed: Collection[RevisionReplay], hopeless: set[str]
) -> Guess:
    for item in failed:
        text = search.texts.get(item.revision_id, "")
        better = corrections.correct(guess, item, text, search.elsewhere)
        if better is None:
            hopeless.add(item.revision_id)
        else:
            guess = better
    return guess
