"""Reading: what the phases read and conclude, from the target and from the run's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runbook_lib import auditing, branches, differences, edits, rehearsal
from runbook_lib import replay as replays
from runbook_lib.artifacts import Artifact
from runbook_lib.auditing import Conclusions, Observations
from runbook_lib.backup import Backup
from runbook_lib.catalog import without
from runbook_lib.edits import TreeRepair
from runbook_lib.effects import Replay
from runbook_lib.errors import GateError
from runbook_lib.graph import SourceTree
from runbook_lib.plan import Plan, Rehearsal
from runbook_lib.rehearsal import Bench
from runbook_lib.revisions import parse_tree
from runbook_lib.session import Phase


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

    digest: str
    plan: Plan | None
    proven: bool
    refused: tuple[str, ...]
    reason: str
    rehearsal: Rehearsal


def read(phase: Phase) -> Reading:
    """Read tree, version rows and live catalog, replay the tree, and conclude."""
    tree = phase.project.collect()
    seen = phase.look()
    repair = edits.repair_tree(tree, rows=seen.versions.ids, width=seen.versions.width or 255)
    observations = Observations(
        environment=phase.environment.name,
        target=seen.target,
        tree_digest=tree.digest,
        graph=parse_tree(tree),
        loadable=branches.restrict(
            parse_tree(edits.apply_edits(tree, repair.edits)), phase.environment.branch
        ),
        renamed=repair.renamed,
        rows=seen.versions,
        live=seen.live,
        replay=replay_tree(phase, tree, repair.edits),
        ignore=ignored(phase),
    )
    return Reading(
        tree=tree, repair=repair, seen=observations, drawn=auditing.conclude(observations)
    )


def ignored(phase: Phase) -> tuple[str, ...]:
    """Return the patterns of objects that do not count in this environment."""
    drift = phase.environment.drift
    return (*phase.environment.ignore, *(key for key, word in drift.items() if word == "ignore"))


def replay_tree(phase: Phase, tree: SourceTree, overlay: Sequence[edits.FileEdit]) -> Replay:
    """Replay the tree with ``overlay`` laid over it; cached by content."""
    return replays.replay(
        phase.project,
        edits.apply_edits(tree, overlay),
        phase.scratch,
        edits=tuple(overlay),
        target=phase.environment.branch,
        cache_folder=phase.environment.state_folder / "replays",
        exclude=(".".join(phase.version_table),),
    )


def bench(phase: Phase, found: Reading) -> Bench:
    backup = phase.read("01_backup", Backup)
    versions = found.seen.rows.table
    tables = tuple(item for item in backup.fingerprints if item.table != versions)
    promised = rehearsal.expected_after(
        found.seen.replay.final, found.seen.live, phase.environment.drift
    )
    return Bench(
        environment=phase.environment,
        project=phase.project,
        scratch=phase.scratch,
        clone=phase.scratch.dsn(backup.clone),
        backup=replace(backup, fingerprints=tables),
        expected=without(promised, ignored(phase)),
        version=phase.version_table,
        ignore=ignored(phase),
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


def show(text: str, fraction: float | None = None) -> None:
    """Print one line of progress; ``fraction`` is between 0 and 1."""
    print(text if fraction is None else f"{text} {fraction:.0%}", flush=True)
