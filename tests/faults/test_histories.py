"""Bases that exclude one another: the schema says which history it is; only then is repaired."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from faults.running import Run, codes_of, go, verdicts_of
from faults.trees import Rev, Topology
from faults.worlds import Workshop, World, alembic

MAIN = (
    Rev(
        id="m1",
        labels=("main",),
        up=("CREATE TABLE nodes (id serial PRIMARY KEY, label text, kind varchar(20))",),
        down=("DROP TABLE nodes",),
    ),
    Rev(
        id="m2",
        parents=("m1",),
        up=("ALTER TABLE nodes ADD uuid uuid",),
        down=("ALTER TABLE nodes DROP uuid",),
    ),
)
OTHER = (
    Rev(id="o1", labels=("other",), up=("CREATE TABLE nodes (id serial PRIMARY KEY, label text)",)),
    Rev(id="o2", parents=("o1",), up=("CREATE TABLE links (id serial PRIMARY KEY)",)),
)
TWO = Topology(name="two", revisions=(*OTHER, *MAIN), last="m2", middle="m1", declared=True)


@pytest.fixture
def world(workshop: Workshop) -> Iterator[World]:
    made = workshop.world(TWO, at=("main@head",))
    made.sql("INSERT INTO nodes (label) VALUES ('one')")
    yield made
    workshop.drop(made)


def test_proven_history_is_named_and_the_others_are_not_judged(world: World) -> None:
    outcome = go(world)
    assert outcome.end == "refused:exclusive-bases", outcome.reason
    assert verdicts_of(outcome.audit) == {
        "o1": "unknowable", "o2": "unknowable", "m1": "applied", "m2": "applied"
    }  # fmt: skip
    (said,) = [item for item in outcome.audit.findings if item.code == "exclusive-bases"]
    assert 'branch = "main@head"' in said.suggestion
    assert said.suggestion in outcome.reason
    assert codes_of(outcome.audit, "error") == {"exclusive-bases"}


def test_named_branch_is_judged_and_repaired(world: World) -> None:
    promised, before = world.catalog(), world.rows()
    world.config = 'branch = "main@head"\n'
    assert go(world).end == "nothing"
    world.undo("m2")
    outcome = go(world)
    assert verdicts_of(outcome.audit)["m2"] == "phantom"
    assert outcome.end == "repaired", outcome.reason
    assert world.catalog() == promised
    assert world.same_rows(before) == []


def test_history_is_known_by_its_middle(world: World) -> None:
    """A phantom head leaves the question decided: the first revisions differ."""
    world.undo("m2")
    audit = Run(world).audit()
    assert verdicts_of(audit)["m2"] == "phantom"
    assert 'branch = "main@head"' in str(audit.findings)


def test_schema_that_no_history_explains_is_left_open(world: World) -> None:
    world.sql("ALTER TABLE nodes ALTER kind TYPE text")
    outcome = go(world)
    assert outcome.end == "refused:exclusive-bases", outcome.reason
    assert set(verdicts_of(outcome.audit).values()) == {"unknowable"}
    assert "main@head differs in 1, other@head differs in" in outcome.reason
    assert codes_of(outcome.audit, "error") == {"exclusive-bases"}


def test_two_histories_that_explain_it_equally_are_both_named(workshop: Workshop) -> None:
    twin = replace(OTHER[0], up=MAIN[0].up)
    world = workshop.world(replace(TWO, revisions=(twin, OTHER[1], *MAIN)), at=())
    alembic(world.project, world.dsn, "upgrade", "m1")
    outcome = go(world)
    workshop.drop(world)
    assert outcome.end == "refused:exclusive-bases", outcome.reason
    assert set(verdicts_of(outcome.audit).values()) == {"unknowable"}
    assert "main@head and other@head explain it equally" in outcome.reason
