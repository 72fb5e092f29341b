"""The catalogue of faults: each breaks a healthy world and says what is then really so.

Numbers are those of the catalogue in the documentation. A fault that a topology cannot have
raises ``Unfit``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faults import trees
from faults.running import Truth
from faults.trees import Rev, Topology
from faults.worlds import World

Injector = Callable[[World], Truth]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """``topologies`` run in the ordinary suite, ``others`` behind the marker corpus."""

    number: int
    name: str
    inject: Injector
    topologies: tuple[str, ...]
    others: tuple[str, ...] = ()
    at: Callable[[Topology], tuple[str, ...]] = lambda topology: ("heads",)


FAULTS: dict[str, Fault] = {}
EVERY = tuple(trees.TOPOLOGIES)


def fault(
    number: int,
    *topologies: str,
    others: tuple[str, ...] = EVERY,
    at: Callable[[Topology], tuple[str, ...]] = lambda topology: ("heads",),
) -> Callable[[Injector], Injector]:
    def register(inject: Injector) -> Injector:
        name = inject.__name__.replace("_", "-")
        rest = tuple(one for one in others if one not in topologies)
        FAULTS[name] = Fault(
            number=number, name=name, inject=inject, topologies=topologies, others=rest, at=at
        )
        return inject

    return register


def healthy(topology: Topology) -> Truth:
    """What is so of a world that nobody has touched."""
    return Truth(verdicts=judged(topology), codes=own_codes(topology), end=_end(topology))


def own_codes(topology: Topology) -> frozenset[str]:
    return frozenset({"multiple-heads"} if topology.name == "two-branches" else ())


def _end(topology: Topology) -> str:
    return "repaired" if own_codes(topology) else "nothing"


def traceless(rev: Rev) -> bool:
    """Whether a revision leaves nothing in the catalog: merge points, data only."""
    return all(statement.startswith("UPDATE") for statement in rev.up) and not rev.outside


def judged(topology: Topology, **changed: str) -> dict[str, str]:
    known = {
        rev.id: "unknowable" if traceless(rev) else "applied" for rev in topology.revisions
    }
    return {**known, **changed}


def truth(world: World, *codes: str, end: str = "repaired", **changed: str) -> Truth:
    return Truth(
        verdicts=judged(world.topology, **changed),
        codes=own_codes(world.topology) | set(codes),
        end=end,
    )


# --- nothing wrong ------------------------------------------------------------------------


@fault(0, *EVERY)
def healthy_world(world: World) -> Truth:
    return healthy(world.topology)


# --- schema against record ----------------------------------------------------------------


@fault(19, "line", "diamond", "two-bases")
def recorded_never_executed(world: World) -> Truth:
    world.undo(world.topology.last)
    return truth(world, "phantom", **{world.topology.last: "phantom"})


@fault(20, "line", "depends-on")
def executed_by_hand_not_recorded(world: World) -> Truth:
    last = world.topology.rev(world.topology.last)
    parents = last.parents or last.depends
    others = [row for row in world.recorded() if row != last.id]
    world.record(*others, *(p for p in parents if world.topology.name != "two-branches"))
    if world.topology.name == "two-branches":
        world.record(*others, *parents)
    return truth(world, "unrecorded", **{last.id: "unrecorded"})


@fault(21, "line", "diamond", "objects")
def hole_in_the_middle(world: World) -> Truth:
    middle = world.topology.middle
    world.undo(middle)
    codes = ["phantom", "hole", "spliced-ancestor"]
    return truth(world, *codes, **{middle: "phantom"})
