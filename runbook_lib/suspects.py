"""Suspects: revisions of which a hole makes it doubtful whether they ran. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from runbook_lib import graph as graphs
from runbook_lib import moves
from runbook_lib.agent.statements import asks_catalog, may_change_schema
from runbook_lib.case import Case
from runbook_lib.catalog import Catalog, split, table_of
from runbook_lib.doubts import bare
from runbook_lib.effects import RevisionReplay
from runbook_lib.forensics import RevisionVerdict
from runbook_lib.inference import object_histories
from runbook_lib.kinship import Kinship

FEW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspects:
    """Revisions of which it is doubtful whether they ran.

    ``halves`` are half there although they run in one transaction, ``stopped`` are half there and
    do not. ``below`` ran below a hole; ``holes`` are those above them that did not run, ``begun``
    such that can stop half-way. Of ``silent`` no object speaks, ``rivals`` wrote objects that
    contradict one of the others. ``behind`` wrote what a renamed table lacks, or has too much,
    ``beside`` wrote to tables that have the ``unmade`` objects: nobody makes these in the replay,
    but one might that finds something else.
    """

    halves: tuple[str, ...]
    stopped: tuple[str, ...]
    below: tuple[str, ...]
    begun: tuple[str, ...]
    silent: tuple[str, ...]
    rivals: tuple[str, ...]
    behind: tuple[str, ...]
    beside: tuple[str, ...]
    holes: tuple[str, ...]
    unmade: frozenset[str]

    @property
    def every(self) -> tuple[str, ...]:
        known = (self.halves, self.below, self.begun, self.silent, self.rivals, self.behind)
        return tuple(dict.fromkeys((*chain.from_iterable(known), *self.beside, *self.stopped)))

    @property
    def few(self) -> tuple[str, ...]:
        """Those of which so few are under the same suspicion that all histories may be tried."""
        known = (self.below, self.begun, self.silent, self.rivals, self.beside)
        small = [group for group in known if len(group) <= FEW]
        return tuple(dict.fromkeys(chain(self.halves, *small, self.behind)))


def holed(case: Case, judged: Mapping[str, RevisionVerdict]) -> bool:
    """Whether something ran below what seems not to have, or contradicts what ran before it.

    Without a contradiction, branches do not matter to each other.
    """
    if case.inference.at_odds:
        return True
    missing = {name for name, verdict in judged.items() if verdict.executed == "no"}
    hidden = {*missing, *_silent(case, judged), *_stopped(case, judged)}
    drifted, contradicting = bool(case.inference.drifted), odd(case, judged)
    order = [run.revision_id for run in case.replay.revisions if run.revision_id in judged]
    runs = case.runs
    for number, name in enumerate(order):
        if judged[name].executed not in ("yes", "partly"):
            continue
        partly = judged[name].executed == "partly"
        at_odds = drifted or (partly and (minds(runs[name]) or not runs[name].stoppable))
        if graphs.ancestors(case.graph, [name]) & missing:
            return True
        if at_odds and hidden & {*order[:number]}:
            return True
        own = contradicting & {change.object for change in runs[name].changes}
        if not own and judged[name].executed == "yes":
            continue
        later = _Later()
        for one in order[number + 1 :]:
            later.add(runs[one], judged[one])
        if later.names(own) or (half(case, judged[name]) and later.idle):
            return True
        if judged[name].executed == "partly" and later.may_have_made(case, judged[name], told=True):
            return True
    return False


class _Later:
    """What revisions made that ran after another one, and what they say that may have begun."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.texts: list[str] = []
        self.idle = False

    def add(self, run: RevisionReplay, verdict: RevisionVerdict) -> None:
        self.idle = self.idle or idle(run)
        ran = verdict.executed in ("yes", "partly")
        if ran:
            self.made.update(c.object for c in run.changes if c.after is not None)
        if ran or minds(run) or run.stoppable:
            self.texts.extend(run.statements)

    def names(self, keys: Collection[str]) -> bool:
        """Whether their statements name one of the objects: they may have made it so."""
        text = "\n".join(self.texts) if keys else ""
        names = (bare(split(key)[1]) for key in keys)
        return any(name and name in text for name in names)

    def may_have_made(self, case: Case, verdict: RevisionVerdict, *, told: bool = False) -> bool:
        """Whether they may have made all that speaks for the other one.

        ``told``: also what their statements only name, as one that finds its work done changes
        nothing.
        """
        found = [f"{item.kind}:{item.object}" for item in verdict.evidence if item.speaks == "for"]
        tables = {key: f"table:{table_of(key, case.live.objects.get(key))}" for key in found}
        return all(
            key in self.made
            or tables[key] in self.made
            or (told and self.names({key, tables[key]}))
            for key in found
        )


def half(case: Case, verdict: RevisionVerdict) -> bool:
    """Whether it is half there although it runs in one transaction."""
    if verdict.executed != "partly":
        return False
    run = case.runs.get(verdict.revision_id)
    return run is not None and not run.stoppable


def suspects(case: Case, judged: Mapping[str, RevisionVerdict], live: Catalog) -> Suspects:
    """``live`` has its own names, those of ``case.live`` are aligned with the replay."""
    unmade = explicable(case, live)
    missing = {name for name, verdict in judged.items() if verdict.executed == "no"}
    above = {name: graphs.ancestors(case.graph, [name]) for name in judged}
    lower = [name for name, v in judged.items() if v.executed == "yes" and above[name] & missing]
    runs = case.runs
    return Suspects(
        halves=tuple(name for name, verdict in judged.items() if half(case, verdict)),
        stopped=_stopped(case, judged),
        below=tuple(lower),
        begun=tuple(
            name for name in missing
            if name in runs and runs[name].stoppable and any(name in above[one] for one in lower)
        ),
        silent=_silent(case, judged),
        rivals=tuple(_rivals(case, judged, lower)),
        behind=_behind(case, judged),
        beside=tuple(Kinship(case.replay, live).writers(unmade)) if unmade else (),
        holes=tuple(
            name for name in missing
            if name in runs and not runs[name].stoppable and any(name in above[o] for o in lower)
        ),
        unmade=unmade,
    )  # fmt: skip


def _rivals(
    case: Case, judged: Mapping[str, RevisionVerdict], below: Collection[str]
) -> Iterator[str]:
    """Revisions whose objects are at odds, or of which all may be what later ones made.

    And those of which nothing shows, but which may have made what shows of a half, or of one that
    ran below a hole.
    """
    contradicting = odd(case, judged)
    doubtful = [
        verdict
        for verdict in judged.values()
        if verdict.executed == "partly" or verdict.revision_id in below
    ]
    later = _Later()
    for run in reversed(case.replay.revisions):
        verdict = judged.get(run.revision_id)
        if verdict is None:
            continue
        own = _told_by(run, verdict)
        at_odds = any(change.object in contradicting for change in run.changes)
        rival = {
            "yes": at_odds or later.may_have_made(case, verdict),
            "partly": later.may_have_made(case, verdict, told=True),
            "no": at_odds
            or (minds(run) and own.names(contradicting))
            or _in_place_of(run, verdict, doubtful, case),
        }
        if rival.get(verdict.executed, False):
            yield run.revision_id
        later.add(run, verdict)


def _in_place_of(
    run: RevisionReplay, verdict: RevisionVerdict, others: Collection[RevisionVerdict], case: Case
) -> bool:
    """Whether it looks before it acts, and names all that speaks for one of the others."""
    own = _told_by(run, verdict)
    return minds(run) and any(own.may_have_made(case, one, told=True) for one in others)


def odd(case: Case, judged: Mapping[str, RevisionVerdict]) -> set[str]:
    """Objects that contradict the revisions that made them."""
    halves = (verdict for verdict in judged.values() if half(case, verdict))
    contradicting = {key for verdict in halves for key in speaking(verdict, "against")}
    known = case.inference
    return contradicting | {chain.object for chain in (*known.drifted, *known.at_odds)}


def mistakable(case: Case, judged: Mapping[str, RevisionVerdict]) -> frozenset[str]:
    """Return who is half there, and who may have made that half before it stopped.

    IF NOT EXISTS changed nothing in the replay, where the other one had made the thing before.
    """
    order = [run for run in case.replay.revisions if run.revision_id in judged]
    return frozenset(
        name
        for number, run in enumerate(order)
        if half(case, judged[run.revision_id])
        for other in order[number + 1 :]
        if other.stoppable
        and judged[other.revision_id].executed == "no"
        and _told_by(other, judged[other.revision_id]).may_have_made(
            case, judged[run.revision_id], told=True
        )
        for name in (run.revision_id, other.revision_id)
    )


def by_another(case: Case, judged: Mapping[str, RevisionVerdict], name: str) -> bool:
    """Whether all that speaks for a revision may be what a single other one made."""
    others = (run for run in case.replay.revisions if run.revision_id in judged)
    return any(
        _told_by(run, judged[run.revision_id]).may_have_made(case, judged[name], told=True)
        for run in others
        if run.revision_id != name
    )


def replaceable(case: Case, judged: Mapping[str, RevisionVerdict]) -> frozenset[str]:
    """Return who seems to have run, and all that speaks for it may be what later ones made.

    By a condition, that is: where the earlier one had run, they would have found it done.
    """
    later, found = _Later(), set[str]()
    for run in reversed(case.replay.revisions):
        verdict = judged.get(run.revision_id)
        if verdict is None:
            continue
        if verdict.executed == "yes" and later.may_have_made(case, verdict, told=True):
            found.add(run.revision_id)
        if minds(run) and verdict.executed != "yes":
            later.add(run, verdict)
    return frozenset(found)


def replicable(case: Case, judged: Mapping[str, RevisionVerdict]) -> frozenset[str]:
    """Return who is said to have run or not, and might be wrongly: its work can come about twice.

    It looks before it acts, or writes what some revision takes away. See also ``repeated``.
    """
    taken = {c.object for run in case.replay.revisions for c in run.changes if c.after is None}
    return frozenset(
        run.revision_id
        for run in _told(case, judged)
        if minds(run) or not taken.isdisjoint(change.object for change in run.changes)
    )


def repeated(case: Case, judged: Mapping[str, RevisionVerdict]) -> frozenset[str]:
    """Return who is said to have run or not, and made what one names that found its work done."""
    texts = [hint(run) for run in case.replay.revisions if idle(run)]
    return frozenset(
        run.revision_id
        for run in _told(case, judged)
        for change in run.changes
        if any(named(change.object, table_of(change.object, change.after), one) for one in texts)
    )


def _told(case: Case, judged: Mapping[str, RevisionVerdict]) -> Iterator[RevisionReplay]:
    for run in case.replay.revisions:
        if run.revision_id in judged and judged[run.revision_id].executed in ("yes", "no"):
            yield run


def _told_by(run: RevisionReplay, verdict: RevisionVerdict) -> _Later:
    later = _Later()
    later.add(run, verdict)
    return later


def speaking(verdict: RevisionVerdict, side: Literal["for", "against"]) -> frozenset[str]:
    """Return the objects that speak for the revision, or against it."""
    return frozenset(
        f"{item.kind}:{item.object}" for item in verdict.evidence if item.speaks == side
    )


def _behind(case: Case, judged: Mapping[str, RevisionVerdict]) -> tuple[str, ...]:
    extra = case.live.objects.keys() - object_histories(case.replay).keys()
    found = moves.behind(odd(case, judged) | extra, case.replay, case.live)
    return tuple(name for name in found if judged[name].executed in ("unknowable", "yes"))


def _silent(case: Case, judged: Mapping[str, RevisionVerdict]) -> tuple[str, ...]:
    """Revisions of which no object speaks, but which have, or might have had, effects."""
    runs = case.runs
    return tuple(
        name for name, verdict in judged.items()
        if verdict.executed == "unknowable" and name in runs
        and (runs[name].changes or idle(runs[name]))
    )  # fmt: skip


def _stopped(case: Case, judged: Mapping[str, RevisionVerdict]) -> tuple[str, ...]:
    """Revisions that are half there, and do not run in one transaction."""
    partly = (verdict for verdict in judged.values() if verdict.executed == "partly")
    return tuple(verdict.revision_id for verdict in partly if not half(case, verdict))


def idle(run: RevisionReplay) -> bool:
    """Whether it might have changed the schema and found nothing to do: IF NOT EXISTS, say."""
    return not run.changes and (run.asks or any(map(may_change_schema, run.statements)))


def minds(run: RevisionReplay) -> bool:
    """Whether it may do something else where it finds something else."""
    return run.asks or any(map(_GUARD.search, run.statements)) or idle(run)


def hint(run: RevisionReplay) -> str:
    """What it says, with the names of what it might change; "" where it looked in Python."""
    if run.asks and not any(map(asks_catalog, run.statements)):
        return ""
    return "\n".join(run.statements)


_COMPOSED = re.compile(r"\bEXECUTE\s+(?!FUNCTION|PROCEDURE)", re.I)
_GUARD = re.compile(r"\bIF\s+(NOT\s+)?EXISTS\b", re.I)


def named(key: str, owner: str, text: str) -> bool:
    """Whether a text names an object and its table, if any; what it puts together it need not.

    A key or sequence has a name of the server's own, if none is given.
    """
    kind, name = split(key)
    table = bare(owner)
    given = not (
        kind in ("constraint", "sequence") and table and bare(name).startswith(f"{table}_")
    )
    names = {bare(name) if given else table, "" if _COMPOSED.search(text) else table} - {""}
    return all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)


def explicable(case: Case, live: Catalog) -> frozenset[str]:
    """Return live objects that no revision makes here, but may have made if another had not run.

    A renaming would have taken them along, or one that found its work done here names them; one
    that looked in Python may have made anything in a table that there is.
    """
    known = object_histories(case.replay)
    unknown = [key for key in live.objects if key not in known]
    if not unknown:
        return frozenset()
    idle = [hint(run) for run in case.replay.revisions if minds(run)]
    owners = {key: table_of(key, live.objects[key]) for key in unknown}
    return brought(case, live) | {
        key
        for key, owner in owners.items()
        for text in idle
        if (named(key, owner, text) if text else f"table:{owner}" in known)
    }


def brought(case: Case, live: Catalog) -> frozenset[str]:
    """Return live objects that no revision makes, but which a renaming would have taken along."""
    histories = object_histories(case.replay)
    unknown = live.objects.keys() - histories.keys()
    return frozenset(moves.brought(unknown, case.replay, histories))
