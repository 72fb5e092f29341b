"""The same thing lacking again, where a repair has left its corrective revision in the tree."""

from __future__ import annotations

from faults import trees
from faults.running import go
from faults.worlds import Workshop

DROP = "DROP INDEX ix_letters_body"


def test_a_corrective_revision_that_stands_there_is_run_and_one_that_ran_gets_a_fellow(
    workshop: Workshop,
) -> None:
    world = workshop.world(trees.TOPOLOGIES["line"])
    former = world.recorded()
    world.sql(DROP)
    assert go(world).end == "repaired"
    (written,) = world.recorded()

    world.sql(DROP)  # as after the way back by downgrade, where files stay for other databases
    world.record(*former)
    undone = go(world)
    assert undone.plan is not None
    assert (undone.end, undone.plan.strategy) == ("repaired", "run-missing-revisions")
    assert world.recorded() == (written,)

    world.sql(DROP)
    again = go(world)
    assert again.end == "repaired"
    assert again.again is not None
    assert not [item for item in again.again.findings if item.severity == "error"]
    assert world.recorded() != (written,)
    workshop.drop(world)
