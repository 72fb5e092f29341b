"""Each fault, injected into each topology: judged right, and repaired or refused rightly."""

from __future__ import annotations

import pytest

from faults import executions, scoreboard, trees
from faults.catalogue import FAULTS, Fault
from faults.running import wrong
from faults.trees import Topology
from faults.worlds import Workshop

assert executions  # registers its faults


def cases() -> list[object]:
    found = []
    for fault in FAULTS.values():
        for name in (*fault.topologies, *fault.others):
            marks = () if name in fault.topologies else (pytest.mark.corpus,)
            key = f"{fault.number:02}-{fault.name}-{name}"
            found.append(pytest.param(fault, trees.TOPOLOGIES[name], id=key, marks=marks))
    return found


@pytest.mark.parametrize(("fault", "topology"), cases())
def test_fault(fault: Fault, topology: Topology, workshop: Workshop) -> None:
    world = workshop.world(topology, fault.at(topology))
    truth = fault.inject(world)
    usual = scoreboard.try_usual(workshop, world, truth) if scoreboard.wanted() else {}
    bad, outcome = wrong(workshop, world, truth)
    print(outcome.seconds)
    if usual:
        scoreboard.note(fault.number, fault.name, topology.name, truth, outcome, bad, usual)
    workshop.drop(world)
    assert not bad, "\n".join(bad)
