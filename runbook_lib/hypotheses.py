"""Hypotheses: which revisions ran, where a hole makes the chains mislead. Pure.

A chain knows what a revision does after all those before it. Beside a hole it does something
else: renaming a table that lacks a column moves no such column, IF NOT EXISTS makes nothing. So
where the verdicts leave a hole, the revisions that seem to have run are run by themselves from
the baseline. If that makes another schema than the live one, the doubtful ones are put in or left
out until it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations, islice

from runbook_lib import differences, moves
from runbook_lib import graph as graphs
from runbook_lib.case import Case
from runbook_lib.catalog import Aspects, Catalog, apply_changes, diff, parts, table_of
from runbook_lib.effects import RevisionReplay
from runbook_lib.forensics import Executed, RevisionVerdict
from runbook_lib.inference import object_histories
from runbook_lib.verdicts import ran

TRIALS = 12  # runs at most, each about as long as a replay
FEW = 4

Trial = Callable[[tuple[str, ...]], Catalog | None]
"""Runs just these revisions, in the replay's order; None when one of them fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Revisions whose run makes the live schema; ``ran`` says of the doubtful ones what is so.

    ``made`` is None where nothing that was tried makes it. ``baffling`` are then the revisions that
    seem half done although they cannot be, beside one that stopped half-way: that is not tried, so
    nobody knows; and those that may have stopped before something that shows no more. ``likely``
    says of the others that changed something what was supposed.
    """

    made: Catalog | None
    ran: Mapping[str, Executed]
    baffling: frozenset[str] = frozenset()
    likely: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """Revisions of which it is doubtful whether they ran.

    ``halves`` are half there although they run in one transaction, ``below`` ran below a hole,
    ``begun`` are the hole and can stop half-way, of ``silent`` no object speaks, ``rivals`` wrote
    objects that contradict one of the others. ``behind`` wrote what a renamed table lacks, or has
    too much.
    """

    halves: tuple[str, ...]
    below: tuple[str, ...]
    begun: tuple[str, ...]
    silent: tuple[str, ...]
    rivals: tuple[str, ...]
    behind: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        known = (self.halves, self.below, self.begun, self.silent, self.rivals, self.behind)
        return tuple(dict.fromkeys(chain.from_iterable(known)))


def explain(
    case: Case, judged: Mapping[str, RevisionVerdict], live: Catalog, trial: Trial
) -> Explanation | None:
    """Return what makes the live schema; None when there is no hole, or nothing tried does.

    ``live`` has its own names: they tell, too, what made it.
    """
    doubts = _doubts(case, judged)
    if not doubts.behind and not _holed(case, judged):
        return None
    base = _base(case, judged, doubts)
    order = [run.revision_id for run in case.replay.revisions]
    found: dict[frozenset[str], Catalog] = {}
    for flips in islice(dict.fromkeys(_likeliest(doubts)), TRIALS):
        chosen = base ^ flips
        made = _made(case, chosen) or trial(tuple(name for name in order if name in chosen))
        if made and _same(case, live, made, _unfinished(case, judged, doubts, chosen)):
            found[chosen] = made
            if not doubts.silent:
                break
    return _agreed(case, doubts, found) or _baffled(case, judged, doubts)


def _base(case: Case, judged: Mapping[str, RevisionVerdict], doubts: Doubts) -> frozenset[str]:
    """Return what seems to have run; what a renamed table took along came before it."""
    seeming = {name for name, v in judged.items() if ran(v) or v.executed == "partly"}
    silent = {name for name, verdict in judged.items() if verdict.executed == "unknowable"}
    along = moves.taken_along(case.replay, seeming) if doubts.behind or doubts.halves else set()
    return frozenset(seeming | (silent & along))


def _baffled(
    case: Case, judged: Mapping[str, RevisionVerdict], doubts: Doubts
) -> Explanation | None:
    """Nothing explains the schema: say so where a revision may have stopped beside a hole."""
    stoppable = {run.revision_id for run in case.replay.revisions if run.stoppable} & {*judged}
    overwritten = {name for name in stoppable if _overwritten(case, judged, judged[name])}
    stopped = overwritten | {name for name in stoppable if judged[name].executed != "yes"}
    baffling = overwritten | {*doubts.halves} if stopped else frozenset[str]()
    return Explanation(made=None, ran={}, baffling=frozenset(baffling)) if baffling else None


def _overwritten(
    case: Case, judged: Mapping[str, RevisionVerdict], verdict: RevisionVerdict
) -> bool:
    """Whether a part of it was overwritten, so that the rest leaves open how far it came.

    What is there speaks for the whole of it, unless something that nobody made is in its tables.
    """
    changes = case.runs[verdict.revision_id].changes
    own = {change.object for change in changes}
    if own <= {f"{item.kind}:{item.object}" for item in verdict.evidence}:
        return False
    if verdict.executed == "yes":
        mine = {table_of(c.object, c.after or c.before) for c in changes} - {""}
        tables = moves.names_since(mine, case.replay)
        odd = _odd(case, judged) | _brought(case, case.live)
        return any(k in own or table_of(k, case.live.objects.get(k)) in tables for k in odd)
    return verdict.executed == "no"


def _brought(case: Case, live: Catalog) -> frozenset[str]:
    """Return live objects that no revision makes, but which a renaming would have taken along."""
    histories = object_histories(case.replay)
    unknown = live.objects.keys() - histories.keys()
    return frozenset(moves.brought(unknown, case.replay, histories))


def _agreed(
    case: Case, doubts: Doubts, found: Mapping[frozenset[str], Catalog]
) -> Explanation | None:
    """Keep silent about what no object speaks of, unless everything was tried and agrees.

    One that stopped half-way may explain the same, so those beside it stay silent, too.
    """
    if not found:
        return None
    loose = {c.object for run in case.replay.revisions if run.stoppable for c in run.changes}
    every = 2 ** len(doubts.every) <= TRIALS
    quiet = {
        name
        for name in doubts.silent
        if not every or any(change.object in loose for change in case.runs[name].changes)
    }
    known = {
        name: _word(name, doubts, chosen)
        for chosen in found
        for name in doubts.every
        if len({name in other for other in found}) == 1 and name not in quiet
    }
    likely = {
        run.revision_id: run.revision_id in next(iter(found))
        for run in case.replay.revisions
        if run.changes and len({run.revision_id in other for other in found}) == 1
    }
    return Explanation(made=next(iter(found.values())), ran=known, likely=likely)


def _word(name: str, doubts: Doubts, chosen: frozenset[str]) -> Executed:
    if name not in chosen:
        return "no"
    return "unknowable" if name in doubts.begun else "yes"


def _holed(case: Case, judged: Mapping[str, RevisionVerdict]) -> bool:
    """Whether something ran below what seems not to have, or contradicts what ran before it.

    Without a contradiction, branches do not matter to each other.
    """
    missing = {name for name, verdict in judged.items() if verdict.executed == "no"}
    hidden = {*missing, *_silent(case, judged)}
    order = [run.revision_id for run in case.replay.revisions if run.revision_id in judged]
    drifted = bool(case.inference.drifted)
    for number, name in enumerate(order):
        if judged[name].executed not in ("yes", "partly"):
            continue
        odd = drifted or _half(case, judged[name])
        if graphs.ancestors(case.graph, [name]) & missing or (odd and hidden & {*order[:number]}):
            return True
        if _half(case, judged[name]) and (
            _made_later(case, judged, order[number + 1 :], name, told=True)
            or any(_idle(case.runs[later]) for later in order[number + 1 :])
        ):
            return True
    return False


def _made_later(
    case: Case,
    judged: Mapping[str, RevisionVerdict],
    later: list[str],
    name: str,
    *,
    told: bool = False,
) -> bool:
    """Whether later revisions that ran may have made all that speaks for this one.

    ``told``: also what their statements only name, as one that finds its work done changes nothing.
    """
    runs = [case.runs[one] for one in later if judged[one].executed in ("yes", "partly")]
    made = {c.object for run in runs for c in run.changes if c.after is not None}
    text = "\n".join(statement for run in runs for statement in run.statements) if told else ""
    return all(
        key in made
        or f"table:{table_of(key, case.live.objects.get(key))}" in made
        or parts(item.object)[-1].strip('"') in text
        for item in judged[name].evidence
        if item.speaks == "for" and (key := f"{item.kind}:{item.object}")
    )


def _half(case: Case, verdict: RevisionVerdict) -> bool:
    """Whether it is half there although it runs in one transaction."""
    run = case.runs.get(verdict.revision_id)
    return verdict.executed == "partly" and run is not None and not run.stoppable


def _doubts(case: Case, judged: Mapping[str, RevisionVerdict]) -> Doubts:
    missing = {name for name, verdict in judged.items() if verdict.executed == "no"}
    above = {name: graphs.ancestors(case.graph, [name]) for name in judged}
    lower = [name for name, v in judged.items() if v.executed == "yes" and above[name] & missing]
    return Doubts(
        halves=tuple(name for name, verdict in judged.items() if _half(case, verdict)),
        below=_few(lower),
        begun=_few(
            name for name in missing
            if name in case.runs and case.runs[name].stoppable
            and any(name in above[one] for one in lower)
        ),
        silent=_silent(case, judged),
        rivals=_few(_rivals(case, judged)),
        behind=_behind(case, judged),
    )  # fmt: skip


def _rivals(case: Case, judged: Mapping[str, RevisionVerdict]) -> Iterator[str]:
    """Revisions that seem to have run, but whose objects may be others' doing, or are at odds."""
    odd = _odd(case, judged)
    order = [run.revision_id for run in case.replay.revisions if run.revision_id in judged]
    for number, name in enumerate(order):
        if judged[name].executed == "yes" and (
            any(change.object in odd for change in case.runs[name].changes)
            or _made_later(case, judged, order[number + 1 :], name)
        ):
            yield name


def _odd(case: Case, judged: Mapping[str, RevisionVerdict]) -> set[str]:
    """Objects that contradict the revisions that made them."""
    return {
        f"{item.kind}:{item.object}"
        for verdict in judged.values()
        if _half(case, verdict)
        for item in verdict.evidence
        if item.speaks == "against"
    } | {chain.object for chain in case.inference.drifted}


def _behind(case: Case, judged: Mapping[str, RevisionVerdict]) -> tuple[str, ...]:
    extra = case.live.objects.keys() - object_histories(case.replay).keys()
    found = moves.behind(_odd(case, judged) | extra, case.replay, case.live)
    return tuple(name for name in found if judged[name].executed in ("unknowable", "yes"))


def _silent(case: Case, judged: Mapping[str, RevisionVerdict]) -> tuple[str, ...]:
    """Revisions of which no object speaks, but which have, or might have had, effects."""
    return _few(
        name for name, verdict in judged.items()
        if verdict.executed == "unknowable" and name in case.runs
        and (case.runs[name].changes or _idle(case.runs[name]))
    )  # fmt: skip


def _idle(run: RevisionReplay) -> bool:
    """Whether its statements found nothing to do: IF NOT EXISTS, say."""
    return bool(run.statements) and not run.changes and not run.touches_rows


def _few(names: Iterable[str]) -> tuple[str, ...]:
    """Among many, too many histories are possible for a trial of some to tell anything."""
    known = tuple(names)
    return known if len(known) <= FEW else ()


def _made(case: Case, chosen: frozenset[str]) -> Catalog | None:
    """Return what the replay itself had when just these had run; None when it never was so."""
    ended, made = False, case.replay.baseline
    for run in case.replay.revisions:
        if (run.changes or run.statements) and ended and run.revision_id in chosen:
            return None
        if run.revision_id in chosen:
            made = apply_changes(made, run.changes)
        else:
            ended = ended or bool(run.changes)
    return made


def _likeliest(doubts: Doubts) -> Iterator[frozenset[str]]:
    """First what is behind the objects at odds: all of it, then parts of it, the greatest first."""
    if doubts.behind:
        yield from (frozenset(), *reversed([*_flips(doubts.behind)][:64]))
    yield from _flips(doubts.every)


def _flips(doubted: tuple[str, ...]) -> Iterator[frozenset[str]]:
    for count in range(len(doubted) + 1):
        yield from map(frozenset, combinations(doubted, count))


def _unfinished(
    case: Case, judged: Mapping[str, RevisionVerdict], doubts: Doubts, chosen: frozenset[str]
) -> frozenset[str]:
    """Return the objects of revisions that stopped half-way."""
    stopped = {n for n, v in judged.items() if v.executed == "partly" and n not in doubts.halves}
    return frozenset(
        change.object
        for name in stopped | (chosen & {*doubts.begun})
        if name in case.runs
        for change in case.runs[name].changes
    )


def _same(case: Case, live: Catalog, made: Catalog, but: frozenset[str]) -> bool:
    """Whether ``made`` is the live schema, apart from ``but`` and from what no revision makes."""
    histories = object_histories(case.replay)
    aligned, _ = differences.align(live, made, histories)
    foreign = live.objects.keys() - histories.keys() - _brought(case, live)
    return all(
        change.object in but or (change.before is None and change.object in foreign)
        for change in diff(_finished(made), _finished(aligned))
    )


def _finished(catalog: Catalog) -> Catalog:
    """Leave out whether indexes and constraints are valid: that is found by itself."""
    return Catalog(objects=dict(_without_validity(catalog.objects.items())))


def _without_validity(
    items: Iterable[tuple[str, Aspects]],
) -> Iterator[tuple[str, Aspects]]:
    for key, aspects in items:
        known = {k: v for k, v in aspects.items() if k not in ("valid", "validated")}
        yield key, known if len(known) < len(aspects) else aspects
