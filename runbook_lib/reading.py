"""Reading: what the phases read and conclude, from the target and from the run's folder."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from runbook_lib import (
    auditing,
    branches,
    choices,
    differences,
    edits,
    histories,
    inferring,
    observation,
    rehearsal,
    trial,
)
from runbook_lib import replay as replays
from runbook_lib.artifacts import Artifact
from runbook_lib.auditing import Conclusions, Observations
from runbook_lib.backup import Backup
from runbook_lib.catalog import Aspects, Catalog, without
from runbook_lib.edits import TreeRepair
from runbook_lib.effects import Inferred, Replay
from runbook_lib.errors import GateError
from runbook_lib.graph import SourceTree
from runbook_lib.observation import Look
from runbook_lib.plan import Plan, Rehearsal
from runbook_lib.rehearsal import Bench
from runbook_lib.revisions import parse_tree
from runbook_lib.session import Phase

TRIED = 4  # other repairs of a tree that are replayed when the first one does not replay


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One complete reading of environment and tree, with the conclusions drawn from it."""

    tree: SourceTree
    repair: TreeRepair
    seen: Observations
    drawn: Conclusions


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup(Artifact):
    """The result of 03: the plan and its digest, and whether the clone proved it."""

    digest: str = field()  # required: not the property that Artifact has
    plan: Plan | None
    proven: bool
    refused: tuple[str, ...]
    reason: str
    rehearsal: Rehearsal


def read(phase: Phase, inferred: Inferred | None = None) -> Reading:
    """Read tree, version rows and live catalog, replay the tree, and conclude.

    Where the tree can be repaired in several ways, the one that the database proves is taken.
    ``inferred`` is a baseline that was inferred before the database was changed.
    """
    tree, seen = phase.project.collect(), phase.look()
    rows, width = seen.versions.ids, seen.versions.width or 255
    found = _draw(phase, tree, seen, edits.repair_tree(tree, rows=rows, width=width))
    keep = choices.keepers(found.seen, found.drawn)
    if keep:
        found = _draw(phase, tree, seen, edits.repair_tree(tree, rows=rows, width=width, keep=keep))
    if found.repair.answers and _failing(found):
        found = _alternative(phase, found, seen, keep)
    if histories.excluding(found.seen.loadable, found.seen.replay):
        return _with_filled(phase, _one_history(phase, found, seen))
    while split := choices.split_enums(found.seen, found.tree, found.repair):
        tried = _draw(phase, tree, seen, split)
        if not _fewer_fail(tried, found):
            break
        found = tried
    if found.repair.stands_in:
        found = _explained(phase, found, seen)
    if not found.repair.stands_in and not edits.replay_only(found.repair.edits):
        found = _based(phase, found, seen, inferred)
    return _with_filled(phase, found)


def _one_history(phase: Phase, found: Reading, seen: Look) -> Reading:
    """Replay every history by itself, and go on with the one that the schema proves."""
    told = []
    for base, target in histories.targets(found.seen.loadable).items():
        tried = _draw(phase, found.tree, seen, found.repair, branch=target)
        told.append((histories.weigh(base, target, tried.seen, tried.drawn), tried.seen))
    settled = histories.settled(found.seen, told)
    return replace(found, seen=settled, drawn=auditing.conclude(settled))


def _based(phase: Phase, found: Reading, seen: Look, known: Inferred | None) -> Reading:
    """Read again over an inferred baseline, where the tree needs one that nobody gave."""
    plain = found.seen.replay
    if not inferring.needed(plain):
        return found
    if known:
        replay = replay_tree(phase, found.tree, found.repair.edits, known)
    else:
        live = without(seen.live, ignored(phase))
        job = _job(phase, found.tree, found.repair.edits)
        replay = inferring.infer(job, live, plain)
    if replay.inferred is None:
        return found
    return _draw(phase, found.tree, seen, found.repair, replay)


def _draw(
    phase: Phase,
    tree: SourceTree,
    seen: Look,
    repair: TreeRepair,
    replay: Replay | None = None,
    branch: str = "",
) -> Reading:
    """Replay the tree as ``repair`` leaves it, as far as the branch needs it, and conclude."""
    environment = phase.environment
    branch = branch or environment.branch
    job = _job(phase, tree, repair.edits, branch)
    replay = replay or replays.replay(job)
    job = replays.based(job, replay.inferred) if replay.inferred else job
    observations = Observations(
        environment=environment.name,
        target=seen.target,
        tree_digest=tree.digest,
        graph=parse_tree(tree),
        loadable=branches.restrict(parse_tree(edits.apply_edits(tree, repair.edits)), branch),
        branch=branch,
        renamed=repair.renamed,
        rows=seen.versions,
        live=seen.live,
        replay=replay,
        ignore=(*ignored(phase), *unmanaged(replay, seen.live, environment.drift)),
        unread=phase.project.collection().unread,
        stated=dict.fromkeys(environment.ran, True) | dict.fromkeys(environment.not_ran, False),
        mended=repair.mended,
        pinned=bool(environment.version_table_schema or phase.description.version_table_schema),
    )
    drawn = auditing.conclude(observations, lambda names: trial.run_alone(job, names))
    return Reading(tree=tree, repair=repair, seen=observations, drawn=drawn)


def _failing(found: Reading) -> int:
    return sum(run.status != "replayed" for run in found.seen.replay.revisions)


def _fewer_fail(tried: Reading, found: Reading) -> bool:
    """Whether everything that was newly mended replays now, and nothing else fails for it."""
    new = tried.repair.mended.keys() - found.repair.mended.keys()
    good = {run.revision_id for run in tried.seen.replay.revisions if run.status == "replayed"}
    return new <= good and _failing(tried) < _failing(found)


def _alternative(phase: Phase, found: Reading, seen: Look, keep: Mapping[str, str]) -> Reading:
    """Try the other repairs until one replays as a whole; else stay with the first."""
    rows, width = seen.versions.ids, seen.versions.width or 255
    others = edits.alternatives(found.tree, rows=rows, width=width, keep=keep)
    for other in others[:TRIED]:
        tried = _draw(phase, found.tree, seen, other)
        if not _failing(tried):
            return tried
    return found


def _explained(phase: Phase, found: Reading, seen: Look) -> Reading:
    """Let the tombstone make what nothing else explains, if its replay proves just that."""
    decided = phase.environment.drift
    repair = choices.tombstone(found.seen, found.drawn, found.tree, found.repair, decided)
    if repair is None:
        return found
    tried = _draw(phase, found.tree, seen, repair)
    drift = tried.drawn.drift
    extra = any(item.kind == "extra" and item.object not in decided for item in drift)
    return found if extra or _failing(tried) else tried


def _with_filled(phase: Phase, found: Reading) -> Reading:
    extra = {item.object for item in found.drawn.drift if item.kind == "extra"}
    doubtful = [key for key, word in phase.environment.drift.items() if word == "revert"]
    with phase.reading() as connection:
        holding = observation.filled(connection, [key for key in doubtful if key in extra])
    return replace(found, seen=replace(found.seen, filled=holding))


def ignored(phase: Phase) -> tuple[str, ...]:
    """Return the patterns of objects that do not count in this environment."""
    drift = phase.environment.drift
    return (*phase.environment.ignore, *(key for key, word in drift.items() if word == "ignore"))


def unmanaged(replay: Replay, live: Catalog, decided: Collection[str] = ()) -> tuple[str, ...]:
    """Return the patterns of what the tree leaves to others: privileges of roles it never names.

    A role of which some revision grants or revokes anything is the tree's business everywhere; so
    is one that holds privileges on which somebody ``decided``, by their keys.
    """
    named = {role for held in _grants(replay) for role in held}
    named |= {role for key in decided if key.startswith("grant:")
              for role in live.objects.get(key, ())}  # fmt: skip
    present = {role for key, held in live.objects.items() if key.startswith("grant:")
               for role in held}  # fmt: skip
    return tuple(f"grant:* to {glob.escape(role)}" for role in sorted(present - named))


def _grants(replay: Replay) -> Iterator[Aspects]:
    """Yield the privileges of every object at every time of the replay."""
    yield from (held for key, held in replay.baseline.objects.items() if key.startswith("grant:"))
    for run in replay.revisions:
        for change in run.changes:
            if change.object.startswith("grant:"):
                yield from (side for side in (change.before, change.after) if side)


def replay_tree(
    phase: Phase,
    tree: SourceTree,
    overlay: Sequence[edits.FileEdit],
    inferred: Inferred | None = None,
) -> Replay:
    """Replay the tree with ``overlay`` laid over it; cached by content."""
    job = _job(phase, tree, overlay)
    return replays.replay(replays.based(job, inferred) if inferred else job)


def _job(
    phase: Phase, tree: SourceTree, overlay: Sequence[edits.FileEdit], branch: str = ""
) -> replays.Job:
    return replays.make_job(
        phase.project,
        edits.apply_edits(tree, overlay),
        phase.scratch,
        edits=tuple(overlay),
        target=branch or phase.environment.branch,
        cache_folder=phase.environment.state_folder / "replays",
        exclude=(".".join(phase.version_table),),
    )


def inferred_before(phase: Phase) -> Inferred | None:
    """Return the baseline that this run's plan was made over, if it was inferred."""
    return phase.read("baseline", Inferred) if phase.folder.has("baseline") else None


def promised_by(found: Reading, replay: Replay) -> Catalog:
    """Return what the heads of a replayed tree promise to this database."""
    return auditing.promised(replay.final, found.drawn)


def bench(phase: Phase, found: Reading) -> Bench:
    backup = phase.read("01_backup", Backup)
    versions = found.seen.rows.table
    tables = tuple(item for item in backup.fingerprints if item.table != versions)
    promised = rehearsal.expected_after(
        found.drawn.expected, found.seen.live, phase.environment.drift
    )
    return Bench(
        environment=phase.environment,
        project=phase.project,
        scratch=phase.scratch,
        clone=phase.scratch.dsn(backup.clone),
        backup=replace(backup, fingerprints=tables),
        expected=without(promised, found.seen.ignore),
        version=phase.version_table,
        ignore=found.seen.ignore,
        writers=differences.last_writers(found.seen.replay),
        progress=show,
    )


def require_plan(done: Cleanup) -> Plan:
    """Return the proven plan. Raises GateError with the reason when there is none."""
    if done.plan is None or not done.proven:
        raise GateError(f"There is no proven plan: {done.reason}", "Read 03_cleanup.")
    return done.plan


def dump_of(phase: Phase, backup: Backup) -> Path:
    """Return the path of the full dump of this run."""
    return phase.folder.path / next(item.path for item in backup.files if item.kind == "full")


def show(text: str) -> None:
    """Print one line of progress."""
    print(text, flush=True)
