"""Which plans are tried, in which order, and what their steps say."""

from __future__ import annotations

import pytest
from test_auditing import LINE, ONE, TWO, observe
from test_inference import EMPTY, catalog, replay_of, table
from trees import revision, tree

from runbook_lib.auditing import conclude
from runbook_lib.catalog import Catalog
from runbook_lib.edits import TreeRepair
from runbook_lib.locks import locks_of, strongest
from runbook_lib.plan import Plan
from runbook_lib.planning import candidates
from runbook_lib.situation import Situation

THREE = catalog(table(a="int", b="int", c="int"))
TREE = tree(revision("r1"), revision("r2", "r1"), revision("r3", "r2"))


def plans(live: Catalog, *rows: str, **decisions: str) -> tuple[Plan, ...]:
    """Plans for a line of three revisions, each of which adds a column."""
    seen = observe(live, *rows, replay=replay_of(ONE, TWO, THREE), stated={"r2": True})
    assert seen.graph == LINE
    known = {
        name if ":" in name else f"column:public.t.{name}": word for name, word in decisions.items()
    }
    return candidates(
        Situation(
            seen=seen,
            drawn=conclude(seen),
            tree=TREE,
            repair=TreeRepair(),
            decisions=known,  # type: ignore[arg-type]
        )
    )


def names(*found: Plan) -> list[str]:
    return [plan.strategy for plan in found]


def test_healthy_database_needs_nothing() -> None:
    (only,) = plans(THREE, "r3")
    assert only.strategy == "nothing-to-do"
    assert only.steps == ()


def test_pending_revisions_are_an_upgrade_and_nothing_else_first() -> None:
    first = plans(TWO, "r2")[0]
    assert first.strategy == "upgrade"
    assert [step.revisions for step in first.steps] == [("r3",)]


def test_phantom_is_stamped_back_and_upgraded() -> None:
    first = plans(TWO, "r3")[0]
    assert first.strategy == "stamp-back-and-upgrade"
    assert first.steps[0].rows_after == ("r2",)
    assert first.heads_after == ("r3",)
    assert first.answers == ("phantom",), "a step of this kind could answer more"
    assert {step.answers for step in first.steps} == {("phantom",)}


def test_empty_table_of_versions_is_stamped_with_what_is_proven() -> None:
    (only,) = plans(THREE)
    assert only.strategy == "correct-version-rows"
    assert only.steps[0].rows_after == ("r3",)
    assert only.steps[0].reverse == ("DELETE FROM public.alembic_version",)


def test_hole_cannot_be_said_in_version_rows() -> None:
    live = catalog(table(a="int", c="int"))
    assert names(*plans(live, "r3")) == ["run-missing-revisions"]
    (step, *_) = plans(live, "r3")[0].steps
    assert step.only
    assert step.revisions == ("r2",)


def test_adopted_column_becomes_a_revision_and_no_drop() -> None:
    live = catalog(table(a="int", b="int", c="int", z="text"))
    (only,) = plans(live, "r3", z="adopt")
    assert only.strategy == "corrective-revision"
    assert "ADD" in (only.edits[0].after or "")
    assert all("DROP" not in sql for step in only.steps for sql in step.sql)


def test_reverted_table_is_dropped_here_only_and_only_if_empty() -> None:
    scrap = {"table:public.scrap": {}, "column:public.scrap.x": {"type": "int"}}
    live = catalog(dict(THREE.objects) | scrap)
    plan = plans(live, "r3", **{"table:public.scrap": "revert"})[-1]
    assert plan.edits == ()
    assert plan.drops == ("public.scrap",)
    (step,) = plan.steps
    assert "holds data" in step.sql[1]
    assert "DROP TABLE public.scrap" in step.sql[2]


def test_nothing_at_all_is_an_upgrade_from_base() -> None:
    first = plans(EMPTY)[0]
    assert first.steps[-1].revisions in (("r1", "r3"), ("r1", "r2", "r3"))


@pytest.mark.parametrize(
    ("sql", "lock"),
    [
        ("ALTER TABLE t ADD c int", "ACCESS EXCLUSIVE on t"),
        ("CREATE INDEX i ON t (c)", "SHARE on t"),
        ("CREATE INDEX CONCURRENTLY i ON t (c)", "SHARE UPDATE EXCLUSIVE on t"),
        ("UPDATE t SET c = 1", "ROW EXCLUSIVE on t"),
        ("SELECT 1", ""),
        ("CREATE TABLE t (c int REFERENCES p (id))", "SHARE ROW EXCLUSIVE on p"),
        (
            "ALTER TABLE t ADD FOREIGN KEY (c) REFERENCES p (id)",
            "SHARE ROW EXCLUSIVE on p; ACCESS EXCLUSIVE on t",
        ),
    ],
)
def test_locks_of_a_statement(sql: str, lock: str) -> None:
    assert strongest(locks_of(sql)) == lock


def test_of_several_locks_on_a_table_the_strongest_is_told() -> None:
    taken = ("SHARE on t", "ACCESS EXCLUSIVE on t", "", "SHARE ROW EXCLUSIVE on s", "SHARE on s")
    assert strongest(taken) == "SHARE ROW EXCLUSIVE on s; ACCESS EXCLUSIVE on t"
