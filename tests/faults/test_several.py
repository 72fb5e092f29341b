"""Several faults at once, drawn by chance: repaired in full or refused, and never quietly wrong.

What is really so of a combination is not spelled out; what has to hold of its end is.
"""

from __future__ import annotations

import random

import pytest

from faults import executions, trees
from faults.catalogue import FAULTS, Fault
from faults.running import Truth, go, unrepaired
from faults.worlds import Workshop

assert executions  # registers its faults

pytestmark = pytest.mark.corpus
DRAWS = 24
CONFIGURED = ("revert", "adopt", "ignored", "pinned", "says", "one-line", "names")


def fitting() -> list[Fault]:
    """Faults of the plain line that stand at its head and decide nothing in runbook.toml."""
    line = trees.TOPOLOGIES["line"]
    return [
        fault
        for fault in FAULTS.values()
        if "line" in fault.topologies
        and fault.at(line) == ("heads",)
        and not any(word in fault.name for word in CONFIGURED)
    ]


def together(truths: list[Truth]) -> Truth:
    return Truth(
        verdicts={},
        codes=frozenset(),
        written=frozenset().union(*(truth.written for truth in truths)),
        dropped=frozenset().union(*(truth.dropped for truth in truths)),
        after=frozenset().union(*(truth.after for truth in truths)),
        same_catalog=all(truth.same_catalog for truth in truths),
    )


@pytest.mark.parametrize("seed", range(DRAWS))
def test_what_is_drawn_is_repaired_in_full_or_refused(workshop: Workshop, seed: int) -> None:
    chance = random.Random(seed)
    drawn = chance.sample(fitting(), 2 + seed % 2)
    names = ", ".join(fault.name for fault in drawn)
    world = workshop.world(trees.TOPOLOGIES["line"])
    try:
        truth = together([fault.inject(world) for fault in drawn])
    except Exception as error:
        workshop.drop(world)
        pytest.skip(f"{names} cannot be so at once: {error}")
    before = world.rows(truth.dropped)
    outcome = go(world)
    print(names, outcome.end, outcome.reason, sep="\n")
    kept = {table: rows for table, rows in before.items() if table not in truth.written}
    bad = [f"rows of {table} changed" for table in world.same_rows(kept)]
    if outcome.end in ("repaired", "nothing"):
        bad += unrepaired(workshop, world, outcome, truth)
    elif not outcome.end.startswith("refused:"):
        bad.append(f"ended {outcome.end}: {outcome.reason}")
    workshop.drop(world)
    assert not bad, f"{names}: " + "\n".join(bad)
