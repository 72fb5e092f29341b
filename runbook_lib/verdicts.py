"""Verdicts: one for every revision, summed up from what its objects testify. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from runbook_lib import inference, neighbours
from runbook_lib.case import Case
from runbook_lib.catalog import Catalog, describe, split
from runbook_lib.effects import RevisionReplay
from runbook_lib.forensics import (
    FAILS,
    NOT_RUN,
    Evidence,
    Executed,
    Implied,
    RevisionVerdict,
    Verdict,
)
from runbook_lib.graph import Revision
from runbook_lib.inference import Testimony

_VERDICTS: dict[tuple[Executed, bool], Verdict] = {
    ("yes", True): "applied",
    ("yes", False): "unrecorded",
    ("no", True): "phantom",
    ("no", False): "pending",
    ("partly", True): "partial",
    ("partly", False): "partial",
    ("unknowable", True): "unknowable",
    ("unknowable", False): "unknowable",
}

NAMED = 4  # objects that a reason names, before it counts the others


class Guess(NamedTuple):
    """Whether a revision of which nothing is proven ran, and by what that is likely."""

    implied: Implied
    by: str


RECORD = "runbook.toml states"
TRACES = "Its own traces make it likely"
TRIAL = "The revisions that make exactly this schema by themselves imply"
NEIGHBOURS = "Its neighbours imply"
SILENT = {
    TRACES: "Its own traces do not tell whether it ran.",
    NEIGHBOURS: "Its neighbours do not tell whether it ran.",
}


def judge(case: Case) -> dict[str, RevisionVerdict]:
    """Return the verdict of every revision of the loadable graph, by its id."""
    said = case.heard
    runs, histories = case.runs, inference.object_histories(case.replay)
    executed = {
        revision.revision_id: _executed(
            said.get(revision.revision_id, ()),
            runs.get(revision.revision_id),
            doubted=revision.revision_id in case.inference.doubts.droppers,
        )
        for revision in case.graph.revisions
    }
    executed |= {n: "unknowable" for n in case.inference.torn if executed.get(n) in ("yes", "no")}
    executed |= case.proven
    executed |= dict.fromkeys(case.baffling | case.either, "unknowable")
    verdicts = {}
    for revision in case.graph.revisions:
        guess = _guess(revision.revision_id, case, executed)
        verdicts[revision.revision_id] = _verdict(
            revision, case, runs, executed, guess, said.get(revision.revision_id, ()), histories
        )
    return verdicts


def _executed(
    said: Collection[Testimony], run: RevisionReplay | None, *, doubted: bool
) -> Executed:
    """``doubted``: it drops what is there, and may have been made again since."""
    voices = {testimony.ran for testimony in said}
    if doubted and True in voices:
        return "unknowable"
    if not voices or run is None or run.status != "replayed":  # what it promises is not known
        return "unknowable"
    if len(voices) == 2:
        return "partly"
    return "yes" if True in voices else "no"


def _verdict(
    revision: Revision,
    case: Case,
    runs: Mapping[str, RevisionReplay],
    executed: Mapping[str, Executed],
    guess: Guess,
    said: Collection[Testimony],
    histories: inference.Histories,
) -> RevisionVerdict:
    own = executed[revision.revision_id]
    recorded = revision.revision_id in case.recorded
    run = runs.get(revision.revision_id)
    shown = [*said, *case.unproven.get(revision.revision_id, ())]
    return RevisionVerdict(
        revision_id=revision.revision_id,
        down_revisions=revision.down_revisions,
        depends_on=revision.depends_on,
        file=revision.file,
        doc=revision.doc,
        recorded=recorded,
        executed=own,
        verdict=_VERDICTS[own, recorded],
        reason=_reason(revision, case, run, own, guess, said),
        evidence=tuple(_evidence(revision.revision_id, shown, case.live, histories)),
        effects=tuple(_effects(run)) if run else (),
        touches_rows=bool(run and run.touches_rows),
        seconds=round(run.seconds, 3) if run else 0.0,
        implied=guess.implied if own == "unknowable" else "",
    )


def _evidence(
    revision_id: str, said: Iterable[Testimony], live: Catalog, histories: inference.Histories
) -> Iterable[Evidence]:
    """One piece of evidence per object and voice; the aspects that speak are named together."""
    grouped: dict[tuple[str, bool], list[Testimony]] = {}
    for testimony in said:
        grouped.setdefault((testimony.object, testimony.ran), []).append(testimony)
    for (key, ran), group in sorted(grouped.items()):
        kind, name = split(key)
        state = next((s for w, s in reversed(histories[key]) if w == revision_id), None)
        found = live.objects.get(key)
        yield Evidence(
            kind=kind,
            object=name,
            aspect=", ".join(t.aspect for t in group if t.aspect),
            expected="absent" if state is None else describe(key, state) or "present",
            found="absent" if found is None else describe(key, found) or "present",
            speaks="for" if ran else "against",
        )


def _effects(run: RevisionReplay) -> Iterable[str]:
    marks = {"added": "+", "removed": "-", "changed": "~"}
    for change in run.changes:
        kind, name = split(change.object)
        yield f"{marks[change.kind]} {kind} {name}"


def _reason(
    revision: Revision,
    case: Case,
    run: RevisionReplay | None,
    executed: Executed,
    guess: Guess,
    said: Collection[Testimony],
) -> str:
    there = len({t.object for t in said if t.ran})
    gone = len({t.object for t in said if not t.ran})
    if revision.revision_id in case.proven:
        return _shown_by_running(executed)
    if executed == "yes":
        return f"Every surviving effect is there: {_objects(there)}."
    if executed == "no":
        return f"None of its effects is there: {_objects(gone)} missing or in an older state."
    if executed == "partly":
        return _partly(run, there, gone)
    return f"{_unknowable(revision, case, run, said)} {_guessed(guess)}"


def _shown_by_running(executed: Executed) -> str:
    others = {"yes": "with it", "no": "without it"}.get(executed, "but for a part of it")
    return (
        f"What is left of it alone would mislead. Run by themselves, the revisions that ran make "
        f"exactly this schema, {others}."
    )


def _objects(count: int) -> str:
    return f"{count} object{'' if count == 1 else 's'}"


def _partly(run: RevisionReplay | None, there: int, gone: int) -> str:
    text = f"{_objects(there)} speak{'s' * (there == 1)} for it, {_objects(gone)} against it."
    if run and not run.stoppable:
        text += (
            " It runs in one transaction, so Alembic cannot have left it half done: objects were "
            "made or removed by hand, or the file was edited after it ran."
        )
    return text


def _unknowable(
    revision: Revision, case: Case, run: RevisionReplay | None, said: Collection[Testimony]
) -> str:
    if run is None:
        return f"{NOT_RUN}: its file cannot be loaded."
    if run.status == "failed":
        return f"{FAILS}: {run.error.rstrip('.')}."
    if run.status == "skipped":
        return f"{NOT_RUN}, because a revision that it builds on fails."
    if revision.revision_id in case.half_way:
        return _half_way(run, said)
    if revision.revision_id in case.baffling:
        return _contradicted({item.ran for item in said})
    if revision.revision_id in case.either:
        return "Revisions that were run by themselves make exactly this schema with it and without."
    if case.replay.inferred and (hesitation := _hesitation(revision.revision_id, case, run)):
        return hesitation
    own = [c for c in case.inference.ambiguous if _writes(c, revision.revision_id)]
    if own:
        return _two_histories(own[0])
    if any(_writes(chain, revision.revision_id) for chain in case.inference.drifted):
        return "What it made has a value that no revision gives it (see drift)."
    if run.changes:
        return "All its effects were overwritten by later revisions."
    if run.touches_rows:
        return "It changes rows only and leaves no trace in the schema."
    if len(revision.down_revisions) > 1:
        return "It is a merge point and changes nothing."
    return "It changes nothing in the schema."


def _contradicted(voices: Collection[bool]) -> str:
    if len(voices) == 2:
        return (
            "Some of its effects are there and some are not, and other histories come as near to "
            "this schema: it may have stopped, done something else than here, or never have run."
        )
    if True in voices:
        return (
            "What shows of it speaks for it, but no revisions that were run by themselves make "
            "this schema, and others may have made what shows of it."
        )
    return (
        "What shows of it speaks against it, but no revisions that were run by themselves make "
        "this schema, and those that come nearest to it say otherwise."
    )


def _half_way(run: RevisionReplay, said: Collection[Testimony]) -> str:
    """Name the effects of which nothing tells whether it came to them before it stopped."""
    heard = {item.object for item in said}
    lost = sorted({change.object for change in run.changes} - heard, key=_rank)
    named = [" ".join(split(key)) for key in lost[:NAMED]]
    more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    speaks = f"{_objects(len(heard))} {'speaks' if len(heard) == 1 else 'speak'}"
    side = "for" if any(item.ran for item in said) else "against"
    why = f"what it does to {', '.join(named)}{more} shows no more" if lost else "others are odd"
    return (
        f"It can stop half-way, and no revisions that were run by themselves make this schema. "
        f"{speaks} {side} it, but {why}, so how far it came is open."
    )


def _hesitation(revision_id: str, case: Case, run: RevisionReplay) -> str:
    """Return what the inferred baseline leaves open about the revision, or ""."""
    dropped = [key for key, name in case.inference.doubts.contested.items() if name == revision_id]
    if dropped:
        kind, name = split(min(dropped, key=_rank))
        return (
            f"It takes away {kind} {name}, which the database has. The baseline is only inferred, "
            "so nothing tells whether it did not run, or that was made again outside of Alembic."
        )
    said = case.unproven.get(revision_id, [])
    if said:
        return _unproven(revision_id, case, said)
    if not run.changes and (run.asks or run.statements) and not run.touches_rows:
        return (
            "It changes nothing in the replay: the baseline was read off the live database, and "
            "may hold already what it made."
        )
    return ""


def _rank(key: str) -> tuple[bool, str]:
    return split(key)[0] not in ("table", "type", "view"), key


def _unproven(revision_id: str, case: Case, said: Sequence[Testimony]) -> str:
    there = len({t.object for t in said if t.ran})
    gone = len({t.object for t in said if not t.ran})
    asks = revision_id in case.inference.doubts.asking
    if not asks and not gone:
        kind, name = split(said[0].object)
        return (
            f"Its only trace is that {kind} {name} is not there, and that it ever was is an "
            "assumption of the inferred baseline."
        )
    if any((revision_id, t.object) in case.inference.doubts.undone for t in said):
        return "A later revision that looks before it acts may have put back what it changes."
    why = "It looks at the schema before it acts, and the baseline is only inferred: "
    if not gone:
        return f"{why}its effects are all there ({_objects(there)}), but may have been before."
    if not there:
        return f"{why}none of its effects is there ({_objects(gone)}), but it may have run in vain."
    return f"{why}{_objects(there)} speak for it and {_objects(gone)} against it."


def _writes(chain: inference.Chain, revision_id: str) -> bool:
    return any(link.writer == revision_id for link in chain.links)


def _two_histories(chain: inference.Chain) -> str:
    kind, name = split(chain.object)
    last = [chain.links[place].writer or "no revision" for place in chain.places()]
    return (
        f"Several histories explain {kind} {name} as it is: the last to change it was "
        f"{' or '.join(last)}."
    )


def _guessed(guess: Guess) -> str:
    if not guess.implied:
        return SILENT[guess.by]
    return f"{guess.by} that it {'ran' if guess.implied == 'yes' else 'did not run'}."


def _guess(revision_id: str, case: Case, executed: Mapping[str, Executed]) -> Guess:
    """What a person states, else what its traces, a trial or its neighbours make likely."""
    if revision_id in case.stated:
        return Guess("yes" if case.stated[revision_id] else "no", RECORD)
    own = _own_traces(revision_id, case)
    if own is not None:
        return Guess(own, TRACES)
    if revision_id in case.likely:
        return Guess("yes" if case.likely[revision_id] else "no", TRIAL)
    return Guess(neighbours.imply(revision_id, case, executed), NEIGHBOURS)


def _own_traces(revision_id: str, case: Case) -> Implied | None:
    """What its own traces make likely, of a revision that baffles, or that looks before it acts.

    Of one that may have stopped half-way, nothing: the traces of its end are overwritten. Nor of
    one all of whose traces say what trials speak against.

    What is all there needs nothing more. What is all missing is made by running it, whether or not
    it ran before; but rows may not be changed twice. None: the traces say nothing at all.
    """
    run = case.runs.get(revision_id)
    if revision_id in case.baffling:
        there = [t.ran for t in case.heard.get(revision_id, ())]
        told = len({*there}) == 2 and revision_id not in case.half_way
        return "yes" if told and sum(there) * 2 > len(there) else ""
    said = case.unproven.get(revision_id, [])
    if any((revision_id, t.object) in case.inference.doubts.undone for t in said):
        return ""
    voices = {t.ran for t in said}
    if run is None or not voices or revision_id not in case.inference.doubts.asking:
        return None
    if len(voices) == 2:
        return ""
    if not run.touches_rows:
        return "yes" if True in voices else "no"
    if False in voices:
        return "" if revision_id in case.recorded else "no"
    return None


def ran(verdict: RevisionVerdict) -> bool:
    """Whether a plan may count on the revision: it ran, or that is likely."""
    return verdict.executed == "yes" or (
        verdict.executed == "unknowable" and verdict.implied == "yes"
    )


def mostly_there(verdict: RevisionVerdict) -> bool:
    """Whether most of it is there: then it ran as a whole, and something was removed since."""
    there = sum(item.speaks == "for" for item in verdict.evidence)
    return there > len(verdict.evidence) - there
