"""Revisions that did not run although later ones did, where that hides more than it shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faults import trees
from faults.catalogue import judged, truth
from faults.running import Truth, wrong
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


@pytest.mark.corpus
def test_column_left_out_before_its_table_was_renamed_amid_much_that_is_silent(
    workshop: Workshop,
) -> None:
    """What nothing proves is not judged; that the column is missing is told, and mended."""
    silent = [
        trees.Rev(
            id=f"s{number}_size",
            parents=(f"s{number - 1}_size" if number else trees.LINE.last,),
            up=(f"ALTER TABLE invoices ALTER number TYPE varchar({20 + number})",)
            if number
            else (
                "ALTER TABLE invoices ADD number varchar(20)",
                "CREATE TABLE drafts (id integer PRIMARY KEY)",
            ),
        )
        for number in range(7)
    ]
    note = replace(NOTE, parents=(silent[-1].id,))
    both = replace(RENAME, up=(*RENAME.up, "ALTER TABLE drafts RENAME TO sketches"))
    line = replace(
        trees.LINE,
        name="silent",
        revisions=(*trees.LINE.revisions, *silent, note, both),
        last=both.id,
    )
    world = workshop.world(line)
    world.sql("ALTER TABLE notes DROP note")
    known = dict.fromkeys((rev.id for rev in silent[1:-1]), "unknowable")
    wanted = truth(world, "unexplained-difference", **known, a5_note="unknowable")
    bad, outcome = wrong(workshop, world, wanted)
    (told,) = (f for f in outcome.audit.findings if f.code == "unexplained-difference")
    workshop.drop(world)
    assert not bad, "\n".join(bad)
    assert told.subject == NOTE.id
    assert "column public.notes.note (expected text, found absent)" in told.message


def test_file_gone_that_a_later_one_needs(workshop: Workshop) -> None:
    """The later one fails in the replay: the advice is to restore the file, not to mend that."""
    world = workshop.world(trees.LINE)
    world.file("a3_orders").unlink()
    known = {**judged(trees.LINE, a4_invoices="unknowable")}
    del known["a3_orders"]
    codes = frozenset({"dangling-parent", "multiple-heads", "not-replayable"})
    wanted = Truth(
        verdicts=known,
        codes=codes,
        also=frozenset({"drift-unjudged"}),
        end="refused:dangling-parent",
        says=("a3_orders", "restore"),
    )
    bad, outcome = wrong(workshop, world, wanted)
    (failed,) = (f for f in outcome.audit.findings if f.code == "not-replayable")
    (left,) = (f for f in outcome.audit.findings if f.code == "drift-unjudged")
    workshop.drop(world)
    assert not bad, "\n".join(bad)
    assert "a3_orders" in failed.suggestion
    assert "the missing file of a3_orders and a4_invoices, which fails" in left.message
    assert len(outcome.audit.drift) > 1, "told one by one in the table of drift"


INDEXED = trees.Rev(
    id="a5_index", parents=("a4_invoices",), up=("CREATE INDEX ix_people_name ON people (name)",)
)


@pytest.mark.parametrize(
    ("index", "maker"), [("ix_letters_body", "a2_email"), ("ix_people_name", INDEXED.id)]
)
def test_file_gone_that_dropped_something_is_not_undone(
    workshop: Workshop, index: str, maker: str
) -> None:
    """Of who made it, in part or wholly, nobody knows: the missing file may have dropped it."""
    drop = trees.Rev(id="a6_drop", parents=(INDEXED.id,), up=(f"DROP INDEX {index}",))
    last = trees.Rev(id="a7_note", parents=(drop.id,), up=NOTE.up, down=NOTE.down)
    revisions = (*trees.LINE.revisions, INDEXED, drop, last)
    world = workshop.world(
        replace(trees.LINE, name=f"dropping-{index}", revisions=revisions, last=last.id)
    )
    world.file(drop.id).unlink()
    ran = dict.fromkeys((INDEXED.id, last.id), "applied")
    wholly = {"unexplained-difference"} if maker == INDEXED.id else set[str]()
    wanted = Truth(
        verdicts={**judged(trees.LINE), **ran, maker: "unknowable"},
        codes=frozenset({"dangling-parent", "multiple-heads", *wholly}),
        end="refused:dangling-parent",
        says=(drop.id, "restore", index if maker == "a2_email" else maker),
    )
    bad, outcome = wrong(workshop, world, wanted)
    workshop.drop(world)
    assert not bad, "\n".join(bad)
    (reason,) = (one.reason for one in outcome.audit.revisions if one.revision_id == maker)
    assert f"may be the doing of {drop.id}" in reason
