"""Agreement: what the histories that make the live schema say of each revision. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from runbook_lib import suspects
from runbook_lib.case import Case
from runbook_lib.catalog import Catalog
from runbook_lib.forensics import Executed, RevisionVerdict
from runbook_lib.kinship import Kinship
from runbook_lib.nearness import Nearness
from runbook_lib.suspects import Suspects

FEW = 12  # so many histories of doubtful revisions can all be tried

Found = Mapping[frozenset[str], Catalog]
"""Histories that make the live schema, and what exactly they make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Revisions whose run makes the live schema; ``ran`` says of the doubtful ones what is so.

    ``likely`` says of the others that changed something what was supposed. ``made`` is None where
    nothing that was tried makes it. If not all that could be was tried (too much is doubtful, or a
    revision may have stopped half-way), nobody knows of the ``baffling`` ones, which seem half done
    although they cannot be, or may have stopped before something that shows no more; and what is
    odd about the ``murky`` objects may be the hole's doing. The live schema is made with those of
    ``either`` and without them.
    """

    made: Catalog | None
    ran: Mapping[str, Executed]
    baffling: frozenset[str] = frozenset()
    likely: Mapping[str, bool] = field(default_factory=dict)
    murky: frozenset[str] = frozenset()
    either: frozenset[str] = frozenset()


def agreed(
    near: Nearness, doubts: Suspects, judged: Mapping[str, RevisionVerdict], found: Found
) -> Explanation:
    """Keep silent about what no object speaks of, unless everything was tried and agrees.

    One that stopped half-way may explain the same, so those beside it stay silent, too. What leaves
    the least undone is the likeliest, and of that what gives the same names. Where they disagree
    about one, nothing tells whether it ran.
    """
    case = near.case
    there = near.live.objects.keys()
    far = {
        chosen: (len(near.apart(made)), len(made.objects.keys() - there))
        for chosen, made in found.items()
    }
    best = [chosen for chosen in found if far[chosen] == min(far.values())]
    told = {name: {name in chosen for chosen in found} for name in judged}
    known: dict[str, Executed] = dict(_of_doubtful(case, doubts, found))
    known |= {name: "yes" for name in doubts.holes if told[name] == {True}}
    known |= _of_stopped(near, doubts, judged, found)
    known |= {
        name: _word(name in best[0])
        for name, verdict in judged.items()
        if name not in known and verdict.executed in ("yes", "no") and case.runs[name].changes
        if len(told[name]) == 1 and told[name] != {verdict.executed == "yes"}
    }  # fmt: skip
    return Explanation(
        made=found[best[0]],
        ran=known,
        likely={
            run.revision_id: run.revision_id in best[0]
            for run in case.replay.revisions
            if run.changes and len({run.revision_id in chosen for chosen in best}) == 1
        },
        either=frozenset(
            name
            for name, verdict in judged.items()
            if name not in known and verdict.executed in ("yes", "no") and len(told[name]) == 2
        ),
    )


def _of_doubtful(case: Case, doubts: Suspects, found: Found) -> Iterator[tuple[str, Executed]]:
    loose = {c.object for run in case.replay.revisions if run.stoppable for c in run.changes}
    every = 2 ** len(doubts.every) <= FEW
    for name in doubts.every:
        told = {name in chosen for chosen in found}
        quiet = name in doubts.silent and (
            not every or any(change.object in loose for change in case.runs[name].changes)
        )
        if len(told) == 2 or quiet or (name in doubts.stopped and told == {True}):
            continue
        yield name, "unknowable" if told == {True} and name in doubts.begun else _word(True in told)


def _word(ran: bool) -> Executed:
    return "yes" if ran else "no"


def _of_stopped(
    near: Nearness, doubts: Suspects, judged: Mapping[str, RevisionVerdict], found: Found
) -> dict[str, Executed]:
    """Say of those that seem to have stopped whether they need have."""
    said: dict[str, Executed] = {}
    kin = Kinship(near.case.replay, near.live)
    whole = not any(near.apart(made) for made in found.values())
    for name in doubts.stopped:
        told = {name in chosen for chosen in found}
        if True in told and any(
            not near.apart(made, chosen - {name}) for chosen, made in found.items()
        ):
            said[name] = "yes" if whole and told == {True} else "unknowable"
        if _lacked(near, kin, judged[name]):
            said[name] = "unknowable"
    return said


def _lacked(near: Nearness, kin: Kinship, verdict: RevisionVerdict) -> bool:
    """Whether it looks before it acts, and another that may have stopped was to make what lacks."""
    name = verdict.revision_id
    others: Collection[str] = near.begun - {name}
    minds = suspects.minds(near.case.runs[name])
    return minds and bool(kin.among(suspects.speaking(verdict, "against"), others))
