"""Hypotheses: which revisions ran, where a hole makes the chains mislead. Pure.

A chain knows what a revision does after all those before it. Beside a hole it does something
else: renaming a table that lacks a column moves no such column, IF NOT EXISTS makes nothing. So
where the verdicts leave a hole, the revisions that seem to have run are run by themselves from
the baseline. If that makes another schema than the live one, the doubtful ones are put in or left
out until it does, in the order in which the replay lets one expect it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, combinations, islice

from runbook_lib import moves, suspects
from runbook_lib.agreement import Explanation, agreed
from runbook_lib.case import Case
from runbook_lib.catalog import Catalog, apply_changes, table_of
from runbook_lib.effects import RevisionReplay
from runbook_lib.forensics import RevisionVerdict
from runbook_lib.kinship import Kinship, since
from runbook_lib.nearness import Nearness
from runbook_lib.reckoning import Reckoning
from runbook_lib.suspects import Suspects
from runbook_lib.verdicts import ran

TRIALS = 12  # runs at most, each about as long as a replay,
OTHERS = 4  # and of those that may make the same as one that makes the live schema

Trial = Callable[[tuple[str, ...]], Catalog | None]
"""Runs just these revisions, in the replay's order; None when one of them fails."""


def explain(
    case: Case, judged: Mapping[str, RevisionVerdict], live: Catalog, trial: Trial | None
) -> Explanation | None:
    """Return what makes the live schema; None when there is no hole, or all was tried in vain.

    ``live`` has its own names: they tell, too, what made it. Without a ``trial`` only what the
    replay itself made is known, and nothing is refuted.
    """
    doubts = suspects.suspects(case, judged, live)
    holed = bool(doubts.behind or doubts.unmade) or suspects.holed(case, judged)
    begun = {*doubts.begun, *(name for name in doubts.silent if case.runs[name].stoppable)}
    near = Nearness(case, live, frozenset({*doubts.stopped, *begun}), doubts.unmade)
    base = _base(case, judged, doubts)
    tried = _Tried(near, trial)
    if not holed:
        return _otherwise(near, doubts, judged, tried, base)
    reckoning = Reckoning(near)
    likeliest, exact = _likeliest(reckoning, doubts, base)
    for chosen in islice(likeliest, TRIALS):
        if tried.wholly and not doubts.silent and chosen not in exact:
            break
        tried.run(chosen)
    for chosen in [*tried.found][:1]:
        lines = suspects.repeated(case, judged) | suspects.replicable(case, judged)
        tried.run_all(reckoning.others(chosen, lines))
    if tried.found:
        return agreed(near, doubts, judged, tried.found)
    best = _best(base, tried.off if trial else {})
    odd = suspects.odd(case, judged) | doubts.unmade if best else set[str]()
    able = base in tried.off
    refuted = _refuted(case, judged, base, best, able=able)
    unable = frozenset[str]() if able or not trial else base
    found = _baffled(case, judged, doubts, refuted, odd.difference(*best.values()), unable)
    return found and replace(
        found, baffling=found.baffling - _begun_by_hand(case, judged, doubts, best)
    )


def _otherwise(
    near: Nearness,
    doubts: Suspects,
    judged: Mapping[str, RevisionVerdict],
    tried: _Tried,
    base: frozenset[str],
) -> Explanation | None:
    """Ask where nothing is odd whether other revisions would make the same, and the same names.

    Where nothing seems to lack, only those are worth a trial that surely would.
    """
    lacking = any(verdict.executed == "no" for verdict in judged.values())
    again = suspects.repeated(near.case, judged)
    lines = again | suspects.replicable(near.case, judged)
    if not lines or not (lacking or again):
        return None
    reckoning = Reckoning(near)
    right = (one for one in (base, base | near.begun) if not reckoning.wrong(one, forgiving=True))
    first = next(right, None)
    others = reckoning.others(first, lines, hopeful=lacking) if first is not None else []
    if first is None or not others:
        return None
    tried.run(first)
    if tried.found and not any(map(near.renames, tried.found.values())):
        tried.run_all(others)
    return agreed(near, doubts, judged, tried.found) if len(tried.found) > 1 else None


class _Tried:
    """The histories that were run, what keeps them from the live schema, and those that make it."""

    def __init__(self, near: Nearness, trial: Trial | None) -> None:
        self.near, self._trial = near, trial
        self.found: dict[frozenset[str], Catalog] = {}
        self.off: dict[frozenset[str], frozenset[str]] = {}
        self.wholly = False

    def run(self, chosen: frozenset[str]) -> None:
        case = self.near.case
        made = _made(case, chosen)
        if made is None and self._trial:
            order = (run.revision_id for run in case.replay.revisions)
            made = self._trial(tuple(name for name in order if name in chosen))
        if made is None:
            return
        self.off[chosen] = frozenset(c.object for c in self.near.apart(made, chosen))
        if not self.off[chosen]:
            self.found[chosen] = made
            self.wholly = self.wholly or not self.near.apart(made)

    def run_all(self, histories: Iterable[frozenset[str]]) -> None:
        for chosen in islice((one for one in histories if one not in self.off), OTHERS):
            self.run(chosen)


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
    return _short(case, best) | {
        name
        for name, verdict in judged.items()
        for said in (verdict.executed != "no",)
        if (verdict.executed in ("yes", "no") or suspects.half(case, verdict))
        and any((name in chosen) != said for chosen in best)
    }


def _begun_by_hand(
    case: Case,
    judged: Mapping[str, RevisionVerdict],
    doubts: Suspects,
    best: Mapping[frozenset[str], frozenset[str]],
) -> frozenset[str]:
    """Return halves of which what is there no other revisions make: it is a part, whoever made it.

    To the histories that come nearest, all of it is odd.
    """
    return frozenset(
        name
        for name in doubts.halves
        if best
        and not suspects.by_another(case, judged, name)
        and all(
            name not in chosen and suspects.speaking(judged[name], "for") <= keys
            for chosen, keys in best.items()
        )
    )


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
    unable: frozenset[str],
) -> Explanation | None:
    """Nothing explains the schema: say what is open where not all that could be was tried.

    ``like`` are odd objects that the histories which come nearest make as they are. ``unable``
    seem to have run, and cannot have as a whole.
    """
    stoppable = {run.revision_id for run in case.replay.revisions if run.stoppable} & {*judged}
    kin, odd = Kinship(case.replay, case.live), suspects.odd(case, judged)
    contrary = {name: suspects.speaking(verdict, "against") for name, verdict in judged.items()}
    concerned = kin.writers(odd)
    mistakable = suspects.mistakable(case, judged)
    overwritten = {
        name
        for name in stoppable
        if _overwritten(case, judged, judged[name], unable)
        or (
            judged[name].executed == "no"
            and (name in concerned or _reached(case, case.runs[name], doubts.unmade))
        )
    }
    stopped = overwritten | {n for n in stoppable if judged[n].executed != "yes" or n in refuted}
    if not stopped and 2 ** len(doubts.every) <= TRIALS:
        if not refuted and not like:
            return None
        halves = {
            name for name in doubts.halves if suspects.speaking(judged[name], "against") & {*like}
        }
        return Explanation(made=None, ran={}, baffling=refuted | halves, murky=frozenset(like))
    missing = {name for name, verdict in judged.items() if verdict.executed == "no"}
    lost = case.replay.final.objects.keys() - case.live.objects.keys()
    murky = kin.among(lost | odd, missing | stopped | {*doubts.silent}).union(
        like, *(_reached(case, case.runs[name], lost | odd | doubts.unmade) for name in stopped)
    )
    minding = [name for name in doubts.stopped if suspects.minds(case.runs[name])]
    halves = {
        name for name in doubts.halves if suspects.speaking(judged[name], "against") & murky
    } | {name for name in minding if kin.among(contrary[name], (missing | stopped) - {name})}
    replaceable = suspects.replaceable(case, judged) & concerned
    baffling = refuted | mistakable | overwritten | halves | replaceable
    return Explanation(made=None, ran={}, baffling=baffling, murky=murky)


def _overwritten(
    case: Case,
    judged: Mapping[str, RevisionVerdict],
    verdict: RevisionVerdict,
    unable: Collection[str],
) -> bool:
    """Whether a part of it was overwritten, so that the rest leaves open how far it came.

    What is there speaks for the whole of it, unless something that nobody made is in its tables, or
    it is ``unable`` to have run as a whole.
    """
    changes = case.runs[verdict.revision_id].changes
    own = {change.object for change in changes}
    if own <= {f"{item.kind}:{item.object}" for item in verdict.evidence}:
        return False
    if verdict.revision_id in unable:
        return True
    if verdict.executed == "yes":
        mine = {table_of(c.object, c.after or c.before) for c in changes} - {""}
        tables = moves.names_since(mine, case.replay)
        odd = suspects.odd(case, judged) | suspects.brought(case, case.live)
        return any(k in own or table_of(k, case.live.objects.get(k)) in tables for k in odd)
    return verdict.executed == "no"


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
    reckoning: Reckoning, doubts: Suspects, base: frozenset[str]
) -> tuple[Iterable[frozenset[str]], Collection[frozenset[str]]]:
    """Return histories, those first that should make what is nearest to the live schema.

    Besides those that should make exactly that, without anything having stopped half-way, where
    something seems to have: they are tried even if one that stopped explains it as well.
    """
    suspected = frozenset({*doubts.every, *doubts.holes})
    first, *others = reckoning.nearest(base, suspected, forgiving=True)
    exact = [
        one
        for one in (reckoning.nearest(base, suspected, forgiving=False) if doubts.stopped else ())
        if reckoning.exact(one)
    ]
    sure = not reckoning.wrong(first, forgiving=False)
    far = () if sure else islice(reckoning.making(base), OTHERS)
    flipped = (base ^ flips for flips in _flips(doubts.few))
    return dict.fromkeys(chain((first,), exact, far, others, flipped)), exact


def _flips(doubted: tuple[str, ...]) -> Iterator[frozenset[str]]:
    for count in range(len(doubted) + 1):
        yield from map(frozenset, combinations(doubted, count))
