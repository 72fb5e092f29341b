"""Hypotheses: which revisions ran, where a hole makes the chains mislead. Pure.

A chain knows what a revision does after all those before it. Beside a hole it does something
else: renaming a table that lacks a column moves no such column, IF NOT EXISTS makes nothing. So
where the verdicts leave a hole, the revisions that seem to have run are run by themselves from
the baseline. If that makes another schema than the live one, the doubtful ones are put in or left
out until it does, in the order in which the replay lets one expect it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations, islice

from runbook_lib import moves, suspects
from runbook_lib.case import Case
from runbook_lib.catalog import Catalog, apply_changes, table_of
from runbook_lib.effects import RevisionReplay
from runbook_lib.forensics import Executed, RevisionVerdict
from runbook_lib.foresight import Foresight, nearest
from runbook_lib.kinship import Kinship, since
from runbook_lib.nearness import Nearness
from runbook_lib.suspects import Suspects
from runbook_lib.verdicts import ran

TRIALS = 12  # runs at most, each about as long as a replay

Trial = Callable[[tuple[str, ...]], Catalog | None]
"""Runs just these revisions, in the replay's order; None when one of them fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Revisions whose run makes the live schema; ``ran`` says of the doubtful ones what is so.

    ``likely`` says of the others that changed something what was supposed. ``made`` is None where
    nothing that was tried makes it. If not all that could be was tried (too much is doubtful, or a
    revision may have stopped half-way), nobody knows of the ``baffling`` ones, which seem half done
    although they cannot be, or may have stopped before something that shows no more; and what is
    odd about the ``murky`` objects may be the hole's doing.
    """

    made: Catalog | None
    ran: Mapping[str, Executed]
    baffling: frozenset[str] = frozenset()
    likely: Mapping[str, bool] = field(default_factory=dict)
    murky: frozenset[str] = frozenset()


def explain(
    case: Case, judged: Mapping[str, RevisionVerdict], live: Catalog, trial: Trial | None
) -> Explanation | None:
    """Return what makes the live schema; None when there is no hole, or all was tried in vain.

    ``live`` has its own names: they tell, too, what made it. Without a ``trial`` only what the
    replay itself made is known, and nothing is refuted.
    """
    doubts = suspects.suspects(case, judged, live)
    if not doubts.behind and not doubts.unmade and not suspects.holed(case, judged):
        return None
    begun = {*doubts.begun, *(name for name in doubts.silent if case.runs[name].stoppable)}
    near = Nearness(case, live, frozenset({*doubts.stopped, *begun}), doubts.unmade)
    order = [run.revision_id for run in case.replay.revisions]
    found: dict[frozenset[str], Catalog] = {}
    off: dict[frozenset[str], frozenset[str]] = {}
    base = _base(case, judged, doubts)
    likeliest, exact = _likeliest(near, doubts, base)
    for chosen in islice(likeliest, TRIALS):
        if found and not doubts.silent and chosen not in exact:
            break
        made = _made(case, chosen)
        if made is None and trial:
            made = trial(tuple(name for name in order if name in chosen))
        if made is None:
            continue
        off[chosen] = frozenset(change.object for change in near.apart(made, chosen))
        if not off[chosen]:
            found[chosen] = made
    if found:
        return _agreed(near, doubts, found)
    best = _best(base, off if trial else {})
    odd = suspects.odd(case, judged) | doubts.unmade if best else set[str]()
    refuted = _refuted(case, judged, base, best, able=base in off)
    return _baffled(case, judged, doubts, refuted, odd.difference(*best.values()))


def _best(
    base: frozenset[str], off: Mapping[frozenset[str], frozenset[str]]
) -> Mapping[frozenset[str], frozenset[str]]:
    """Return the histories that come nearest; that of the chains alone, if it is among them.

    ``off`` are those that could run, and the objects that keep them from the live schema.
    """
    fewest = min(map(len, off.values()), default=0)
    best = {chosen: keys for chosen, keys in off.items() if len(keys) == fewest}
    return {base: best[base]} if base in best else best


def _base(case: Case, judged: Mapping[str, RevisionVerdict], doubts: Suspects) -> frozenset[str]:
    """Return what seems to have run; what a renamed table took along came before it.

    What changes rows only makes nothing, and fails where what it fills is not there.
    """
    made = {n for n, run in case.runs.items() if run.changes or suspects.idle(run)}
    seeming = {n for n, v in judged.items() if n in made and (ran(v) or v.executed == "partly")}
    silent = {name for name, verdict in judged.items() if verdict.executed == "unknowable"}
    along = moves.taken_along(case.replay, seeming) if doubts.behind or doubts.halves else set()
    return frozenset(seeming | (silent & along))


def _refuted(
    case: Case,
    judged: Mapping[str, RevisionVerdict],
    base: frozenset[str],
    best: Mapping[frozenset[str], frozenset[str]],
    *,
    able: bool,
) -> frozenset[str]:
    """Return whom the chains judge otherwise than any history that comes nearest, if not theirs.

    If theirs is not ``able`` to run, one that says otherwise is enough. Something was changed by
    hand, say; or one that can stop half-way did not come to all that it does.
    """
    if not best or base in best:
        return _short(case, best)
    contrary = all if able else any
    return _short(case, best) | {
        name
        for name, verdict in judged.items()
        for said in (verdict.executed != "no",)
        if (verdict.executed in ("yes", "no") or suspects.half(case, verdict))
        and contrary((name in chosen) != said for chosen in best)
    }


def _short(case: Case, best: Mapping[frozenset[str], frozenset[str]]) -> frozenset[str]:
    """Return who can stop half-way and would have done more, in all of the histories."""
    return frozenset(
        run.revision_id
        for run in case.replay.revisions
        if run.stoppable and best
        if all(
            run.revision_id in chosen and _reached(case, run, keys) for chosen, keys in best.items()
        )
    )


def _reached(case: Case, run: RevisionReplay, keys: Collection[str]) -> frozenset[str]:
    """Return which objects it changes, or names: what it makes anew is the same afterwards."""
    own = since({change.object for change in run.changes}, case.replay)
    states, text = {**case.live.objects, **case.replay.final.objects}, "\n".join(run.statements)
    return frozenset(
        key
        for key in keys
        if key in own or suspects.named(key, table_of(key, states.get(key)), text)
    )


def _baffled(
    case: Case,
    judged: Mapping[str, RevisionVerdict],
    doubts: Suspects,
    refuted: frozenset[str],
    like: Collection[str],
) -> Explanation | None:
    """Nothing explains the schema: say what is open where not all that could be was tried.

    ``like`` are odd objects that the histories which come nearest make as they are.
    """
    stoppable = {run.revision_id for run in case.replay.revisions if run.stoppable} & {*judged}
    kin, odd = Kinship(case.replay, case.live), suspects.odd(case, judged)
    concerned = kin.writers(odd)
    mistakable = suspects.mistakable(case, judged)
    overwritten = {
        name
        for name in stoppable
        if _overwritten(case, judged, judged[name])
        or (judged[name].executed == "no" and name in concerned)
    }
    stopped = overwritten | {n for n in stoppable if judged[n].executed != "yes" or n in refuted}
    if not stopped and 2 ** len(doubts.every) <= TRIALS:
        if not refuted and not like:
            return None
        halves = {name for name in doubts.halves if suspects.against(judged[name]) & {*like}}
        return Explanation(made=None, ran={}, baffling=refuted | halves, murky=frozenset(like))
    missing = {name for name, verdict in judged.items() if verdict.executed == "no"}
    lost = case.replay.final.objects.keys() - case.live.objects.keys()
    murky = _murky(kin, lost | odd, missing | stopped | {*doubts.silent}).union(
        like, *(_reached(case, case.runs[name], lost | odd) for name in stopped)
    )
    minding = [name for name in doubts.stopped if suspects.minds(case.runs[name])]
    halves = {name for name in doubts.halves if suspects.against(judged[name]) & murky} | {
        name
        for name in minding
        if _murky(kin, suspects.against(judged[name]), (missing | stopped) - {name})
    }
    baffling = refuted | mistakable | overwritten | halves | suspects.replaceable(case, judged)
    return Explanation(made=None, ran={}, baffling=baffling, murky=murky)


def _murky(kin: Kinship, keys: Collection[str], doubtful: Collection[str]) -> frozenset[str]:
    """Return the objects that have to do with a revision that did not (wholly) run."""
    return frozenset(key for key in keys if not kin.writers({key}).isdisjoint(doubtful))


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
        odd = suspects.odd(case, judged) | suspects.brought(case, case.live)
        return any(k in own or table_of(k, case.live.objects.get(k)) in tables for k in odd)
    return verdict.executed == "no"


def _agreed(
    near: Nearness, doubts: Suspects, found: Mapping[frozenset[str], Catalog]
) -> Explanation:
    """Keep silent about what no object speaks of, unless everything was tried and agrees.

    One that stopped half-way may explain the same, so those beside it stay silent, too. What leaves
    the least undone is the likeliest, and of that what gives the same names.
    """
    case = near.case
    undone = {chosen: len(near.apart(made)) for chosen, made in found.items()}
    there = near.live.objects.keys()
    far = {
        chosen: (undone[chosen], len(made.objects.keys() - there)) for chosen, made in found.items()
    }
    best = [chosen for chosen in found if far[chosen] == min(far.values())]
    loose = {c.object for run in case.replay.revisions if run.stoppable for c in run.changes}
    every = 2 ** len(doubts.every) <= TRIALS
    quiet = {
        name
        for name in doubts.silent
        if not every or any(change.object in loose for change in case.runs[name].changes)
    }
    known: dict[str, Executed] = {
        name: _word(name, doubts, chosen)
        for chosen in found
        for name in doubts.every
        if len({name in other for other in found}) == 1
        and name not in quiet
        and not (name in doubts.stopped and name in chosen)
    }
    likely = {
        run.revision_id: run.revision_id in best[0]
        for run in case.replay.revisions
        if run.changes and len({run.revision_id in other for other in best}) == 1
    }
    known |= {name: "yes" for name in doubts.holes if all(name in other for other in found)}
    for name in doubts.stopped:
        needless = any(not near.apart(made, chosen - {name}) for chosen, made in found.items())
        if needless and any(name in chosen for chosen in found):  # it need not have stopped
            whole = not any(undone.values()) and all(name in chosen for chosen in found)
            known[name] = "yes" if whole else "unknowable"
    return Explanation(made=found[best[0]], ran=known, likely=likely)


def _word(name: str, doubts: Suspects, chosen: frozenset[str]) -> Executed:
    if name not in chosen:
        return "no"
    return "unknowable" if name in doubts.begun else "yes"


def _made(case: Case, chosen: frozenset[str]) -> Catalog | None:
    """Return what the replay itself had when just these had run; None when it never was so."""
    ended, made = False, case.replay.baseline
    for run in case.replay.revisions:
        if ended and run.revision_id in chosen and (run.changes or suspects.idle(run)):
            return None
        if run.revision_id in chosen:
            made = apply_changes(made, run.changes)
        else:
            ended = ended or bool(run.changes)
    return made


def _likeliest(
    near: Nearness, doubts: Suspects, base: frozenset[str]
) -> tuple[Iterable[frozenset[str]], Collection[frozenset[str]]]:
    """Return histories, those first that should make what is nearest to the live schema.

    Besides those that should make exactly that, without anything having stopped half-way, where
    something seems to have: they are tried even if one that stopped explains it as well.
    """
    reckoning = _Reckoning(near, frozenset({*doubts.every, *doubts.holes}))
    first, *others = reckoning.nearest(base, forgiving=True)
    exact = [
        one
        for one in (reckoning.nearest(base, forgiving=False) if doubts.stopped else ())
        if not reckoning.wrong(one, forgiving=False)
    ]
    flipped = (base ^ flips for flips in _flips(doubts.few))
    return dict.fromkeys(chain((first,), exact, others, flipped)), exact


class _Reckoning:
    """Reckons what histories should make, at no cost."""

    def __init__(self, near: Nearness, suspected: frozenset[str]) -> None:
        self._near, self._suspected = near, suspected
        self._foresight = Foresight(near.case.replay)
        self._kin = Kinship(near.case.replay, near.live)
        runs = near.case.runs.items()
        self._texts = {name: suspects.hint(run) for name, run in runs if suspects.minds(run)}
        self._idle = {name for name, run in runs if suspects.idle(run)}

    def nearest(self, base: frozenset[str], *, forgiving: bool) -> tuple[frozenset[str], ...]:
        return nearest(
            base,
            self._foresight.affordable,
            lambda chosen: self.wrong(chosen, forgiving=forgiving),
            self._behind,
        )

    def wrong(self, chosen: frozenset[str], *, forgiving: bool) -> frozenset[str]:
        """Return what should be other than it is, but for what nobody can foresee.

        One that was idle found its work done in the replay. One that asked may do something else;
        to be hopeful about it is worth it where nothing is forgiven.
        """
        foreseen = self._foresight.of(chosen)
        apart = self._near.apart(foreseen.made, chosen if forgiving else None)
        keys = foreseen.odd | {change.object for change in apart}
        hopeful = chosen & self._idle if forgiving else chosen & self._texts.keys()
        told = [self._texts[name] for name in hopeful]
        return frozenset(key for key in keys if not any(self._named(key, text) for text in told))

    def _behind(self, keys: Collection[str]) -> Collection[str]:
        idle = {
            name
            for name in self._idle
            for text in (self._texts[name],)
            if not text or any(self._named(key, text) for key in keys)
        }
        return self._suspected & (idle | self._kin.writers(keys))

    def _named(self, key: str, text: str) -> bool:
        return suspects.named(key, table_of(key, self._near.live.objects.get(key)), text)


def _flips(doubted: tuple[str, ...]) -> Iterator[frozenset[str]]:
    for count in range(len(doubted) + 1):
        yield from map(frozenset, combinations(doubted, count))
