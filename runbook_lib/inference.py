"""Inference: which revisions ran, from the chain of values that each piece of the schema had.

Every aspect of every object has a chain: the value before the first revision, then one value for
each revision that changed it, in the order of the replay. Where the live value stands in its chain
says who wrote last: that revision ran, and those that would have overwritten it did not. A value
that stands in several places is decided by what the other chains say of the same revisions, and
stays open when they say nothing. A value that stands nowhere is drift and speaks for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runbook_lib.catalog import Aspects, Catalog, split, table_of
from runbook_lib.doubts import Doubts, doubts
from runbook_lib.effects import Replay
from runbook_lib.kinship import Kinship

ABSENT = "\0absent"
EXISTENCE = ""
OWNERS = ("table", "foreign_table", "view", "materialized_view")
BASELINE = ""

Needs = Mapping[tuple[str, str], frozenset[str]]
"""By (revision, object): who has to have run before it, to let its condition find the same."""

Histories = Mapping[str, Sequence[tuple[str, Aspects | None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One place in a chain: who wrote the value (``BASELINE`` for nobody), and the value."""

    writer: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The values that one aspect of one object had, oldest first, and its live value.

    ``owner`` is the table that the object is part of, or "".
    """

    object: str
    aspect: str
    links: tuple[Link, ...]
    live: str
    owner: str = ""

    def places(self) -> tuple[int, ...]:
        """Return the indexes of the links whose value is the live one; none for drift."""
        return tuple(i for i, link in enumerate(self.links) if link.value == self.live)


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """What one chain says of one revision: its effect is there (``ran``) or is not.

    ``proves`` is False where a baseline that was only inferred lets it say nothing.
    """

    revision_id: str
    object: str
    aspect: str
    expected: str
    ran: bool
    proves: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """All testimonies, the chains that stay open, and those whose live value stands nowhere.

    ``torn`` are revisions that can stop half-way and would have written an open chain in between:
    whether they came so far, nothing tells. No place of a chain ``at_odds`` agrees with what the
    other chains say of its writers. ``unproven`` are testimonies that prove nothing, ``doubts``
    why.
    """

    testimonies: tuple[Testimony, ...]
    ambiguous: tuple[Chain, ...]
    drifted: tuple[Chain, ...]
    torn: frozenset[str] = frozenset()
    at_odds: tuple[Chain, ...] = ()
    unproven: tuple[Testimony, ...] = ()
    doubts: Doubts = field(default_factory=Doubts)


def infer(replay: Replay, live: Catalog) -> Inference:
    """Decide every chain of ``replay`` against the ``live`` catalog."""
    unsure = doubts(replay, live)
    chains = [one for one in build_chains(replay, live) if one.object not in unsure.contested]
    options = {chain: chain.places() for chain in chains if chain.places()}
    whole = frozenset(run.revision_id for run in replay.revisions if not run.stoppable)
    needs = _needs(replay, live, [chain for chain, places in options.items() if len(places) > 1])
    settled = _settle(options, whole, unsure, needs)
    said = [t for chain, places in settled.items() for t in _testify(chain, places, unsure)]
    return Inference(
        testimonies=tuple(item for item in said if item.proves),
        ambiguous=tuple(chain for chain, places in settled.items() if len(places) > 1),
        drifted=tuple(chain for chain in chains if not chain.places()),
        torn=_torn(settled) - whole,
        at_odds=_at_odds(settled, whole, unsure, needs),
        unproven=tuple(item for item in said if not item.proves),
        doubts=unsure,
    )


def _torn(settled: Mapping[Chain, tuple[int, ...]]) -> frozenset[str]:
    return frozenset(
        link.writer
        for chain, places in settled.items()
        for link in chain.links[min(places) + 1 : max(places)]
    )


def build_chains(replay: Replay, live: Catalog) -> tuple[Chain, ...]:
    """Return the chains of every object that the baseline or any revision ever had."""
    histories = object_histories(replay)
    return tuple(
        chain
        for key in sorted(histories)
        for chain in _chains_of(key, histories[key], live.objects.get(key))
    )


def object_histories(replay: Replay) -> dict[str, list[tuple[str, Aspects | None]]]:
    """Return per object key the (writer, state) pairs, the baseline's state first.

    Who removes a table removes its parts, also those that were gone already.
    """
    base = replay.baseline.objects
    histories: dict[str, list[tuple[str, Aspects | None]]] = {
        key: [(BASELINE, aspects)] for key, aspects in base.items()
    }
    for revision in replay.revisions:
        gone = (split(change.object) for change in revision.changes if change.after is None)
        removed = {name for kind, name in gone if kind in OWNERS}
        for change in revision.changes:
            history = histories.setdefault(change.object, [(BASELINE, None)])
            history.append((revision.revision_id, change.after))
        for key, history in histories.items() if removed else ():
            known = next((state for _, state in reversed(history) if state is not None), None)
            if history[-1][1] is None and history[-1][0] != revision.revision_id \
                    and split(key)[0] != "table" and table_of(key, known) in removed:  # fmt: skip
                history.append((revision.revision_id, None))
    return histories


def object_states(replay: Replay) -> dict[str, list[Aspects]]:
    """Return the states that each object was in, the first one first."""
    histories = object_histories(replay)
    return {key: [state for _, state in pairs if state] for key, pairs in histories.items()}


def _chains_of(
    key: str, history: Sequence[tuple[str, Aspects | None]], live: Aspects | None
) -> Iterable[Chain]:
    states = [state for _, state in history if state is not None]
    aspects = {name for state in (*states, live or {}) for name in state}
    names = [EXISTENCE] if live is None else [EXISTENCE, *sorted(aspects)]
    for name in names:
        links = _links(history, name)
        if len(links) > 1 or name != EXISTENCE or live is None:
            owner = table_of(key, next(iter([live, *states])) or {})
            yield Chain(object=key, aspect=name, links=links, live=_value(live, name), owner=owner)


def _links(history: Sequence[tuple[str, Aspects | None]], aspect: str) -> tuple[Link, ...]:
    links: list[Link] = []
    before: Aspects | None = {}
    for writer, state in history:
        value = _value(state, aspect)
        again = state is None and before is None
        if not links or links[-1].value != value or again:
            links.append(Link(writer=writer, value=value))
        before = state
    return tuple(links)


def _value(state: Aspects | None, aspect: str) -> str:
    if state is None:
        return ABSENT
    return "present" if aspect == EXISTENCE else state.get(aspect, "")


def _settle(
    options: Mapping[Chain, tuple[int, ...]], whole: frozenset[str], unsure: Doubts, needs: Needs
) -> dict[Chain, tuple[int, ...]]:
    """Narrow the options of every chain until no testimony decides any further one.

    Only of the revisions ``whole``, which run in one transaction, does one effect tell another.
    """
    settled = dict(options)
    while True:
        ran, did_not = _known(settled, unsure)
        told = _told(ran, whole, needs)
        narrowed = {
            chain: (len(places) > 1 and _consistent(chain, places, told, did_not & whole)) or places
            for chain, places in settled.items()
        }
        if narrowed == settled:
            return settled
        settled = narrowed


def _known(
    settled: Mapping[Chain, tuple[int, ...]], unsure: Doubts
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the revisions that only ever ran, and those that only ever did not."""
    said = {True: set[str](), False: set[str]()}
    for chain, places in settled.items():
        if len(places) == 1:
            for testimony in _testify(chain, places, unsure):
                if testimony.proves:
                    said[testimony.ran].add(testimony.revision_id)
    return frozenset(said[True] - said[False]), frozenset(said[False] - said[True])


def _needs(replay: Replay, live: Catalog, chains: Collection[Chain]) -> Needs:
    """A revision that looks at the schema may do nothing where it finds another than in the replay.

    Its effects on ``chains`` are certain only where all those before it in the same tables ran.
    """
    asking = {run.revision_id for run in replay.revisions if chains and run.asks}
    order = {run.revision_id: number for number, run in enumerate(replay.revisions)}
    kin = Kinship(replay, live) if asking else None
    return {
        (link.writer, chain.object): frozenset(
            name for name in kin.writers({chain.object}) if order[name] < order[link.writer]
        )
        for chain in chains
        for link in chain.links
        if kin and link.writer in asking
    }


def _told(ran: frozenset[str], whole: frozenset[str], needs: Needs) -> Callable[[str, str], bool]:
    """Return whether a revision is known to have written an object as in the replay."""
    atomic = ran & whole

    def told(name: str, key: str) -> bool:
        return name in atomic and needs.get((name, key), frozenset()) <= ran

    return told


def _consistent(
    chain: Chain,
    places: tuple[int, ...],
    told: Callable[[str, str], bool],
    did_not: Collection[str],
) -> tuple[int, ...]:
    return tuple(
        place
        for place in places
        if chain.links[place].writer not in did_not
        and not any(told(link.writer, chain.object) for link in chain.links[place + 1 :])
    )


def _at_odds(
    settled: Mapping[Chain, tuple[int, ...]], whole: frozenset[str], unsure: Doubts, needs: Needs
) -> tuple[Chain, ...]:
    ran, did_not = _known(settled, unsure)
    told = _told(ran, whole, needs)
    return tuple(
        chain
        for chain, places in settled.items()
        if len(places) > 1 and not _consistent(chain, places, told, did_not & whole)
    )


def _testify(chain: Chain, places: tuple[int, ...], unsure: Doubts) -> list[Testimony]:
    """Say what a chain proves: its last writer if decided, and everybody after all places."""
    last = max(places)
    said = [(link, False) for link in chain.links[last + 1 :]]
    if len(places) == 1:
        said.append((chain.links[last], True))
    return [
        Testimony(
            revision_id=link.writer,
            object=chain.object,
            aspect=chain.aspect,
            expected=link.value,
            ran=ran,
            proves=unsure.hears(
                link.writer, chain.object, chain.owner, absent=link.value == ABSENT, ran=ran
            ),
        )
        for link, ran in said
        if link.writer != BASELINE
    ]
