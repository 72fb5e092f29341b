"""Auditing: graph, version rows, live catalog and replay become one Audit. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from runbook_lib import (
    artifacts,
    branches,
    dialect,
    differences,
    discrepancies,
    doubts,
    hypotheses,
    inference,
    misnomers,
    notices,
    orphans,
    remedies,
    revisions,
    verdicts,
    versions,
)
from runbook_lib import graph as graphs
from runbook_lib.agreement import Explanation
from runbook_lib.branches import History
from runbook_lib.case import Case
from runbook_lib.catalog import Catalog, split, without
from runbook_lib.effects import Replay, RevisionReplay, ignoring
from runbook_lib.findings import Finding, finding, gravity
from runbook_lib.forensics import NOT_RUN, Audit, Comparison, Drift, RevisionVerdict, Target
from runbook_lib.graph import Revision, RevisionGraph
from runbook_lib.hypotheses import Trial
from runbook_lib.inference import Inference
from runbook_lib.versions import VersionRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Everything that was observed before anything is concluded.

    ``graph`` is the project's own tree, ``loadable`` the same tree repaired so far that it could
    be replayed, ``renamed`` the ids that the repair gave (old to new). Both catalogs leave out the
    version table; ``ignore`` are patterns of object keys that the environment declares ignored,
    ``stated`` is what it says of revisions that leave no trace. ``pinned``: the version table's
    schema is configured. ``mended`` are revisions that the repair lets run, with the error they
    had. ``filled`` are keys of unexplained tables and columns that hold data. ``branch`` is the
    target that was replayed; ``histories`` are those that exclude one another, if no branch is
    named: then ``branch`` is the one that is proven, or nothing is concluded of any of them.
    ``unread`` are files that Alembic does not read, with the ids that they declare.
    """

    environment: str
    target: Target
    tree_digest: str
    graph: RevisionGraph
    loadable: RevisionGraph
    renamed: Mapping[str, str]
    rows: VersionRows
    live: Catalog
    replay: Replay
    ignore: tuple[str, ...] = ()
    stated: Mapping[str, bool] = field(default_factory=dict)
    pinned: bool = False
    mended: Mapping[str, str] = field(default_factory=dict)
    filled: tuple[str, ...] = ()
    branch: str = "heads"
    histories: tuple[History, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def undecided(self) -> bool:
        """Whether histories exclude one another and the schema proves none of them."""
        return bool(self.histories) and sum(item.proven for item in self.histories) != 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusions:
    """What the plan needs of an audit, in the ids of the loadable tree.

    ``staying`` are the objects among ``expected`` that a revision takes away and that may have been
    made again since, outside of Alembic. ``misnamed`` are the tables that somebody renamed by hand,
    with the name that each had.
    """

    verdicts: Mapping[str, RevisionVerdict]
    drift: tuple[Drift, ...]
    live: Catalog
    expected: Catalog
    names: Mapping[str, str]
    staying: Catalog
    misnamed: Mapping[str, str] = field(default_factory=dict)


def conclude(seen: Observations, trial: Trial | None = None) -> Conclusions:
    """Draw the conclusions that observation and replay allow; ``trial`` settles what holes hide.

    Tables that were renamed by hand are judged under their former names, and told as drift.
    """
    replay = ignoring(seen.replay, seen.ignore)
    states = inference.object_states(replay)
    replay = dialect.unified(replay, states)
    found = dialect.chosen(without(seen.live, seen.ignore), states)
    former = misnomers.readings(found, replay)
    if not former or seen.undecided:
        return _conclude(seen, replay, found, trial)
    told = [_conclude(seen, replay, misnomers.undone(found, one), trial) for one in former]
    live, names = differences.align(found, replay.final, inference.object_histories(replay))
    kept = (item for item in told[0].drift if all(item in one.drift for one in told))
    return replace(
        told[0],
        verdicts=misnomers.agreed([one.verdicts for one in told], former),
        drift=(*kept, *misnomers.drift(former)),
        live=live,
        names=names,
        misnamed=former[0],
    )


def _conclude(
    seen: Observations, replay: Replay, found: Catalog, trial: Trial | None
) -> Conclusions:
    histories = inference.object_histories(replay)
    live, names = differences.align(found, replay.final, histories)
    known = inference.infer(replay, live)
    case = Case(
        graph=seen.loadable,
        replay=replay,
        live=live,
        recorded=_recorded(seen),
        inference=known,
        stated={seen.renamed.get(name, name): ran for name, ran in seen.stated.items()},
    )
    judged = verdicts.judge(case)
    explained = _heard(hypotheses.explain(case, judged, found, trial), known)
    if explained:
        case = replace(case, proven=explained.ran, likely=explained.likely)
        case = replace(case, baffling=explained.baffling, either=explained.either)
        judged = verdicts.judge(case)
    made, murky = (explained.made, explained.murky) if explained else (None, frozenset[str]())
    drift = differences.find_drift(replay, live, known, judged, names, made, murky)
    gone = [parent for _, parent in graphs.dangling(seen.graph)]
    judged = orphans.doubted(judged, seen.loadable, gone, case.stated)
    if seen.undecided:
        judged, drift = {}, ()
    staying = _staying(live, known, judged)
    return Conclusions(
        verdicts=judged,
        drift=drift,
        live=live,
        expected=Catalog(objects={**replay.final.objects, **staying.objects}),
        names=names,
        staying=staying,
    )


def _heard(explained: Explanation | None, known: Inference) -> Explanation | None:
    """Over an inferred baseline a trial tells nothing of a revision whose traces prove nothing."""
    if explained is None or not known.doubts.inferred:
        return explained
    heard = {item.revision_id for item in known.testimonies} - known.doubts.droppers
    ran = {name: word for name, word in explained.ran.items() if name in heard}
    return replace(explained, ran=ran)


def _staying(live: Catalog, known: Inference, judged: Mapping[str, RevisionVerdict]) -> Catalog:
    """What revisions take away and the database has, where it may have been made again since."""
    gone = {name for name, one in judged.items() if one.executed == "no" or one.implied == "no"}
    return doubts.kept(known.doubts.contested, live, gone)


def promised(final: Catalog, drawn: Conclusions) -> Catalog:
    """What heads that make ``final`` promise to this database."""
    return Catalog(objects={**final.objects, **drawn.staying.objects})


def _recorded(seen: Observations) -> frozenset[str]:
    """Who is recorded, by the loadable tree; a row whose file is left out records its parents."""
    rows = [seen.renamed.get(row, row) for row in seen.rows.ids]
    known = {revision.revision_id for revision in seen.loadable.revisions}
    aside = graphs.ancestors(seen.graph, [row for row in rows if row not in known])
    implied = {seen.renamed.get(row, row) for row in aside} & known
    return graphs.recorded(seen.loadable, [*rows, *implied])


def findings(seen: Observations, drawn: Conclusions) -> tuple[Finding, ...]:
    """Return everything that is wrong, the gravest first."""
    judged = _in_own_words(seen, drawn.verdicts)
    unstated = [item for item in judged if item.revision_id not in seen.stated]
    found = [
        *revisions.tree_findings(seen.graph, seen.rows.width, seen.unread),
        *_replay_findings(seen),
        *notices.of_baseline(seen.replay.inferred, judged),
        *notices.of_rows(seen.environment, unstated, seen.graph),
        *notices.of_histories(seen.environment, seen.histories),
        *versions.row_findings(
            seen.rows,
            seen.graph,
            schema_has_tables=any(split(k)[0] == "table" for k in drawn.live.objects),
            pinned=seen.pinned,
            elsewhere=seen.unread,
        ),
        *_ahead(drawn, seen),
        *_verdict_findings(judged, seen),
        *_hole_findings(drawn.verdicts, seen),
        *discrepancies.of_drift(seen.environment, drawn.drift, _causes(seen, drawn)),
        *_unexplained(seen, drawn),
        *discrepancies.of_validity(drawn.live),
    ]
    return tuple(sorted(set(found), key=gravity))


def build_audit(seen: Observations, drawn: Conclusions) -> Audit:
    """Write the conclusions down, in the ids that the project's own files use."""
    found = findings(seen, drawn)
    return Audit(
        environment=seen.environment,
        target=seen.target,
        tree=graphs.summarise(seen.graph, seen.tree_digest),
        current_heads=seen.rows.ids,
        revisions=_in_own_words(seen, drawn.verdicts),
        drift=drawn.drift,
        findings=found,
        comparisons=_compared(seen, drawn),
        strategies=remedies.strategies(found),
        baseline_origin=seen.replay.baseline_origin,
        catalog_digest=artifacts.digest(seen.live),
    )


def _compared(seen: Observations, drawn: Conclusions) -> tuple[Comparison, ...]:
    writers = differences.last_writers(seen.replay)
    return differences.compare(drawn.expected, drawn.live, drawn.names, writers)


def _causes(seen: Observations, drawn: Conclusions) -> tuple[str, ...]:
    """Why what differs may be no drift: who fails in the replay, whose file is missing."""
    names = {new: old for old, new in seen.renamed.items()}
    runs = seen.replay.revisions
    failed = [names.get(run.revision_id, run.revision_id) for run in runs if _fails(run, seen)]
    gone = dict.fromkeys(parent for _, parent in graphs.dangling(seen.graph))
    missing = [f"the missing file of {name}" for name in gone]
    return (*missing, *(f"{name}, which fails in the replay" for name in failed))


def _fails(run: RevisionReplay, seen: Observations) -> bool:
    """Whether it is found to fail in the replay; one of another history is not."""
    return run.status == "failed" and not branches.rival(run, seen.loadable, seen.replay)


def _unexplained(seen: Observations, drawn: Conclusions) -> Iterable[Finding]:
    if seen.undecided:
        return ()
    drawn = replace(drawn, live=misnomers.undone(drawn.live, drawn.misnamed))
    names = {new: old for old, new in seen.renamed.items()}
    return discrepancies.of_differences(
        _compared(seen, drawn), drawn.verdicts, drawn.drift, seen.replay, drawn.live, names
    )


def _in_own_words(
    seen: Observations, judged: Mapping[str, RevisionVerdict]
) -> tuple[RevisionVerdict, ...]:
    """Give every verdict its file's own ids back, in the history's order, oldest first.

    Files that a repair added are left out; those that are in no loadable history come last.
    """
    new_ids = {r.file: r.revision_id for r in seen.loadable.revisions}
    places = {name: place for place, name in enumerate(graphs.topological(seen.loadable))}
    unreadable = {item.file: item.error for item in seen.graph.unloadable}
    own = []
    for revision in sorted(
        seen.graph.revisions, key=lambda r: places.get(new_ids.get(r.file, ""), len(places))
    ):
        verdict = judged.get(new_ids.get(revision.file, ""))
        if verdict is None:
            aside = notices.aside(
                seen.branch, proven=bool(seen.histories), undecided=seen.undecided
            )
            why = unreadable.get(revision.file, "its file is not in the replayed tree")
            reason = aside or f"{NOT_RUN}: {why}"
            own.append(_unjudged(revision, reason, revision.revision_id in seen.rows.ids))
        else:
            own.append(
                replace(
                    verdict,
                    revision_id=revision.revision_id,
                    down_revisions=revision.down_revisions,
                    depends_on=revision.depends_on,
                )
            )
    return tuple(own)


def _unjudged(revision: Revision, reason: str, recorded: bool) -> RevisionVerdict:
    return RevisionVerdict(
        revision_id=revision.revision_id,
        down_revisions=revision.down_revisions,
        depends_on=revision.depends_on,
        file=revision.file,
        doc=revision.doc,
        recorded=recorded,
        executed="unknowable",
        verdict="unknowable",
        reason=reason,
        evidence=(),
        effects=(),
        touches_rows=False,
        seconds=0.0,
    )


def _ahead(drawn: Conclusions, seen: Observations) -> Iterable[Finding]:
    extra = [item.object for item in drawn.drift if item.kind == "extra"]
    for row in versions.unlocated(seen.rows, seen.graph) if extra and seen.replay.whole else ():
        text = f"{row} is recorded and in no file, and no file makes {', '.join(extra[:4])}."
        yield finding("code-behind-database", row, text)


def _replay_findings(seen: Observations) -> Iterable[Finding]:
    names = {new: old for old, new in seen.renamed.items()}
    for run in seen.replay.revisions:
        own = names.get(run.revision_id, run.revision_id)
        if run.status == "failed" and cannot_be_imported(run):
            yield finding("unloadable-file", own, f"{own} cannot be imported: {run.error}")
        elif run.status == "failed" and branches.rival(run, seen.loadable, seen.replay):
            continue  # see of_histories
        elif run.status == "failed":
            text = f"{own} fails in the replay: {run.error}"
            yield finding("not-replayable", own, text, notices.on_failure(run.error, seen.graph))
        if run.revision_id in seen.mended:
            text = f"{own} fails as its file is: {seen.mended[run.revision_id]}"
            yield finding("not-replayable", own, text, MENDED)
        if run.lost:
            text = f"Alembic reports {own} as done, but env.py leaves it in a transaction that "
            yield finding("lost-work", own, text + "nobody commits.")
        if run.commits_inside:
            yield finding("commits-inside", own, f"{own} ends Alembic's transaction by itself.")


MENDED = "The plan edits the file so that ALTER TYPE … ADD VALUE is committed before its use."


def cannot_be_imported(run: RevisionReplay) -> bool:
    """Whether the revision's own file, rather than what it does, is what fails."""
    failures = ("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError")
    return run.error.startswith(failures) and not run.statements


def _verdict_findings(judged: Collection[RevisionVerdict], seen: Observations) -> Iterable[Finding]:
    atomic = {run.revision_id for run in seen.replay.revisions if not run.stoppable}
    for verdict in judged:
        own = verdict.revision_id
        if verdict.verdict in ("phantom", "unrecorded", "partial"):
            recorded = "is recorded" if verdict.recorded else "is not recorded"
            text = f"{own} {recorded}. {verdict.reason}"
            yield finding(verdict.verdict, own, text)
        if verdict.verdict == "partial" and verdict.recorded and own in atomic:
            text = f"{own} is half there although it runs in one transaction: its file was edited "
            yield finding(
                "edited-after-apply", own, text + "after it ran, or objects were changed by hand."
            )
        if verdict.executed == "unknowable" and verdict.touches_rows and not verdict.implied:
            yield finding("unknowable-data", own, f"{own}: {verdict.reason}")
        yield from _leftover(verdict)


def _hole_findings(judged: Mapping[str, RevisionVerdict], seen: Observations) -> Iterable[Finding]:
    """Revisions that did not run although a later one did, in the loadable tree's order."""
    names = {new: old for old, new in seen.renamed.items()}
    ran = {name for name, verdict in judged.items() if verdict.executed == "yes"}
    for name, verdict in judged.items():
        later = sorted(graphs.descendants(seen.loadable, [name]) & ran - {name})
        if verdict.executed not in ("no", "partly") or not later:
            continue
        own, after = names.get(name, name), names.get(later[0], later[0])
        how = "fully run" if verdict.executed == "partly" else "run"
        text = f"{own} did not {how}, but {after}, which comes after it, did."
        yield finding("hole", own, text)
        if verdict.verdict == "phantom":
            text = f"{own} is recorded only because {after}, which comes after it, ran."
            yield finding("spliced-ancestor", own, text)


def _leftover(verdict: RevisionVerdict) -> Iterable[Finding]:
    there = [item for item in verdict.evidence if item.speaks == "for"]
    kinds = {item.kind for item in there}
    if verdict.recorded or verdict.executed != "partly" or not kinds <= {"type", "label"}:
        return
    for item in there:
        if item.kind == "type":
            text = f"Type {item.object} is there, but {verdict.revision_id} is not applied."
            yield finding("leftover-type", item.object, text)
