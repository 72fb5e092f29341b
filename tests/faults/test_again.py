"""The same thing lacking again, where a repair has left its corrective revision in the tree."""

from __future__ import annotations

import pytest

from faults import trees
from faults.running import Run, go
from faults.worlds import Workshop
from runbook_lib import phases
from runbook_lib.errors import GateError
from runbook_lib.evidence import PhaseResult

DROP = "DROP INDEX ix_letters_body"


@pytest.mark.corpus
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


def test_a_way_down_without_a_downgrade_points_to_the_other_way(workshop: Workshop) -> None:
    """Nothing is changed by it, and what is told of it stands without the notebook."""
    world = workshop.world(trees.LINE)
    world.undo("a4_invoices")
    world.edit("a4_invoices", "def downgrade()", "def formerly_downgrade()")
    run = Run(world)
    assert run.repair_after_audit() == "repaired"
    repaired = world.catalog()

    dry = run.phase("90_rollback")
    proposed = phases.propose_rollback(dry, way="downgrade")
    phases.finish(dry, phases.roll_back(dry, proposed, None))
    told = dry.read("90_rollback.result", PhaseResult).sentence
    assert "That revision has no downgrade: go back by the backup (--way restore)" in told
    assert "Look at the other way first: runbook rollback -e test --way restore." in told

    real = run.phase("90_rollback")
    given = phases.require_rollback_approval(real, proposed, approve=proposed.digest, by="a tester")
    with pytest.raises(GateError):
        phases.finish(
            real, phases.read_back_rollback(real, phases.roll_back(real, proposed, given))
        )
    told = real.read("90_rollback.result", PhaseResult).sentence
    assert told.endswith("Try the other way: runbook rollback -e test --way restore")
    assert world.catalog() == repaired
    workshop.drop(world)
