"""Revisions that did not run although later ones did, where that hides more than it shows."""

from __future__ import annotations

from dataclasses import replace

from faults import trees
from faults.catalogue import truth
from faults.running import wrong
from faults.worlds import Workshop

NOTE = trees.Rev(
    id="a5_note",
    parents=("a4_invoices",),
    up=("ALTER TABLE letters ADD note text",),
    down=("ALTER TABLE letters DROP note",),
)
RENAME = trees.Rev(
    id="a6_rename",
    parents=("a5_note",),
    up=("ALTER TABLE letters RENAME TO notes",),
    down=("ALTER TABLE notes RENAME TO letters",),
)


def test_column_left_out_before_its_table_was_renamed(workshop: Workshop) -> None:
    """The rename is whole, although it moved no such column."""
    line = replace(
        trees.LINE, name="renaming", revisions=(*trees.LINE.revisions, NOTE, RENAME), last=RENAME.id
    )
    world = workshop.world(line)
    world.sql("ALTER TABLE notes DROP note")
    bad, _ = wrong(workshop, world, truth(world, "phantom", "hole", "spliced-ancestor",
                                          a5_note="phantom"))  # fmt: skip
    workshop.drop(world)
    assert not bad, "\n".join(bad)


def test_version_table_is_missing_over_a_hole(workshop: Workshop) -> None:
    """Alembic makes the table itself as it runs what is missing; that is no error."""
    world = workshop.world(trees.DIAMOND)
    world.undo("b2_stock")
    world.sql("DROP TABLE alembic_version")
    ran = dict.fromkeys(("a1_people", "a2_email", "a3_orders"), "unrecorded")
    wanted = truth(world, "unrecorded", "version-table-missing", "hole", b2_stock="pending", **ran)
    bad, outcome = wrong(workshop, world, wanted)
    workshop.drop(world)
    assert not bad, "\n".join(bad)
    assert outcome.plan is not None
    assert outcome.plan.strategy == "run-missing-revisions"
