"""Verdicts and findings from hand-made observations; no database is needed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from samples import TARGET
from test_inference import EMPTY, catalog, replay_of, table
from trees import graph

from runbook_lib import histories
from runbook_lib.auditing import Conclusions, Observations, build_audit, conclude
from runbook_lib.branches import History
from runbook_lib.catalog import Catalog
from runbook_lib.edits import TreeRepair
from runbook_lib.effects import Replay
from runbook_lib.graph import SourceTree, UnloadableFile
from runbook_lib.refusals import refusals
from runbook_lib.situation import Situation
from runbook_lib.versions import VersionRows

LINE = graph(("r1", None), ("r2", "r1"), ("r3", "r2"))
ONE = catalog(table(a="int"))
TWO = catalog(table(a="int", b="int"))


def observe(
    live: Catalog, *rows: str, replay: Replay | None = None, **more: object
) -> Observations:
    """Three revisions: r1 makes the table, r2 changes rows only, r3 adds a column."""
    replay = replay or replay_of(ONE, ONE, TWO)
    runs = tuple(replace(run, touches_rows=run.revision_id == "r2") for run in replay.revisions)
    known = Observations(
        environment="staging",
        target=TARGET,
        tree_digest="0" * 64,
        graph=LINE,
        loadable=LINE,
        renamed={},
        rows=VersionRows(table="public.alembic_version", rows=rows),
        live=live,
        replay=replace(replay, revisions=runs),
    )
    return replace(known, **more)  # type: ignore[arg-type]


def situation(seen: Observations) -> Situation:
    tree = SourceTree(files={}, locations=("versions",))
    return Situation(seen=seen, drawn=conclude(seen), tree=tree, repair=TreeRepair())


def refused(seen: Observations) -> list[str]:
    return [item.code for item in refusals(situation(seen))]


def reasons(seen: Observations) -> list[str]:
    return [item.reason for item in refusals(situation(seen))]


def implied(seen: Observations) -> str:
    return conclude(seen).verdicts["r2"].implied


def told(seen: Observations) -> dict[str, str]:
    found = build_audit(seen, conclude(seen)).findings
    return {item.subject: item.severity for item in found if item.code == "unknowable-data"}


def codes(seen: Observations) -> set[str]:
    drawn: Conclusions = conclude(seen)
    return {item.code for item in build_audit(seen, drawn).findings}


class TestRowsOnly:
    """What the neighbours of a revision without a trace imply."""

    def test_ran_below_one_that_ran(self) -> None:
        assert implied(observe(TWO)) == "yes"

    def test_did_not_run_above_one_that_did_not(self) -> None:
        assert implied(observe(EMPTY, "r3")) == "no"

    def test_true_record_decides_in_between(self) -> None:
        assert implied(observe(ONE, "r1")) == "no"
        assert implied(observe(ONE, "r2")) == "yes"

    def test_where_nothing_but_the_record_speaks_for_it_that_is_said(self) -> None:
        """AiiDA's head changes rows only."""
        assert told(observe(ONE, "r2")) == {"r2": "info"}
        assert told(observe(ONE, "r2", stated={"r2": True})) == {}
        assert told(observe(TWO, "r3")) == {}
        assert told(observe(ONE, "r1")) == {}

    def test_false_record_decides_nothing(self) -> None:
        assert implied(observe(ONE, "r3")) == ""
        assert refused(observe(ONE, "r3")) == ["unknowable-data"]
        assert "unknowable-data" in codes(observe(ONE, "r3"))

    def test_record_that_lags_decides_nothing(self) -> None:
        assert implied(observe(ONE)) == ""

    def test_person_decides(self) -> None:
        assert implied(observe(ONE, "r3", stated={"r2": False})) == "no"
        seen = observe(ONE, "r3", stated={"r2": True})
        assert implied(seen) == "yes"
        assert refused(seen) == []


class TestBases:
    """Histories with different bases that make the same object."""

    def seen(self, *edges: tuple[str, str | None]) -> Observations:
        known = observe(ONE, "r1", graph=graph(*edges), loadable=graph(*edges))
        error = 'DuplicateTable: relation "t" already exists'
        first, second, third = known.replay.revisions
        runs = (first, replace(second, status="failed", error=error), replace(third, changes=()))
        return replace(known, replay=replace(known.replay, revisions=runs, final=ONE))

    def told(self, base: str) -> History:
        return History(base=base, target=f"{base}@head", unexplained=0, proven=True)

    def test_exclude_one_another(self) -> None:
        plain = self.seen(("r1", None), ("r2", None), ("r3", "r1"))
        assert histories.excluding(plain.loadable, plain.replay)
        assert histories.targets(plain.loadable) == {"r1": "r1@head", "r2": "r2@head"}
        apart = histories.settled(plain, [(self.told("r1"), plain), (self.told("r2"), plain)])
        assert "exclusive-bases" in codes(apart)
        assert {one.executed for one in build_audit(apart, conclude(apart)).revisions} == {
            "unknowable"
        }
        assert "not-replayable" not in codes(apart)
        assert refused(apart) == ["exclusive-bases"]

    def test_one_history_that_makes_it_twice_is_broken_in_itself(self) -> None:
        line = self.seen(("r1", None), ("r2", "r1"), ("r3", "r2"))
        assert "not-replayable" in codes(line)
        assert refused(line) == ["not-replayable"]


class TestRefusals:
    def test_code_behind_database_is_said_before_any_drift(self) -> None:
        live = catalog(dict(TWO.objects) | table(a="int", b="int", z="int"))
        seen = observe(live, "f00ba4")
        assert refused(seen) == ["code-behind-database"]
        assert {"code-behind-database", "unlocated-row"} <= codes(seen)

    def test_a_file_that_is_not_read_and_has_the_recorded_id_is_named(self) -> None:
        live = catalog(dict(TWO.objects) | table(a="int", b="int", z="int"))
        seen = observe(live, "f00ba4", unread={"versions/old/x.py": "f00ba4"})
        found = {item.code: item for item in build_audit(seen, conclude(seen)).findings}
        assert "versions/old/x.py has it" in found["unlocated-row"].message
        assert "recursive_version_locations" in found["unlocated-row"].suggestion
        (why,) = reasons(seen)
        assert "versions/old/x.py has it" in why

    def test_a_file_that_cannot_be_read_may_have_the_recorded_id(self) -> None:
        broken = UnloadableFile(file="versions/x.py", line=3, error="invalid syntax")
        seen = observe(TWO, "f00ba4", graph=replace(LINE, unloadable=(broken,)))
        found = {item.code: item for item in build_audit(seen, conclude(seen)).findings}
        assert "It may be in versions/x.py" in found["unlocated-row"].message

    def test_unlocated_row_over_a_proven_schema_is_no_reason(self) -> None:
        assert refused(observe(TWO, "f00ba4")) == []

    def test_second_version_table_is_a_reason_unless_the_first_is_pinned(self) -> None:
        rows = VersionRows(table="public.v", rows=("r3",), others=("other.v",))
        seen = replace(observe(TWO), rows=rows)
        assert refused(seen) == ["second-version-table"]
        assert refused(replace(seen, pinned=True)) == []

    def test_what_fails_in_the_replay_is_never_judged(self) -> None:
        replay = replay_of(ONE, ONE, TWO)
        *others, last = replay.revisions
        broken = replace(replay, revisions=(*others, replace(last, status="failed", error="no")))
        seen = observe(TWO, "r3", replay=broken)
        assert conclude(seen).verdicts["r3"].verdict == "unknowable"
        assert refused(seen) == ["not-replayable"]

    @pytest.mark.parametrize(
        ("error", "advice"),
        [
            ("AttributeError: module 'shop' has no attribute 'models'", "let env.py import"),
            ('relation "orders" does not exist', "Give a baseline"),
        ],
    )
    def test_what_fails_in_python_is_not_for_want_of_a_baseline(
        self, error: str, advice: str
    ) -> None:
        replay = replay_of(ONE, ONE, TWO)
        *others, last = replay.revisions
        broken = replace(replay, revisions=(*others, replace(last, status="failed", error=error)))
        seen = observe(TWO, "r3", replay=broken)
        (told,) = (f for f in build_audit(seen, conclude(seen)).findings if f.subject == "r3")
        assert advice in told.suggestion

    def test_nothing_is_said_of_what_no_file_makes_when_files_could_not_be_replayed(self) -> None:
        replay = replay_of(ONE, ONE, TWO)
        broken = [replace(run, status="skipped", changes=()) for run in replay.revisions]
        broken[0] = replace(broken[0], status="failed", error="no")
        whole = replace(replay, revisions=tuple(broken), final=replay.baseline)
        seen = observe(TWO, "f00ba4", replay=whole)
        assert refused(seen) == ["not-replayable"]
        assert "code-behind-database" not in codes(seen)
        audit = build_audit(seen, conclude(seen))
        assert {one.implied for one in audit.revisions} == {""}
        assert all("do not tell" in one.reason for one in audit.revisions)
        extra = [item.note for item in audit.drift if item.kind == "extra"]
        assert set(extra) == {"No revision that could be replayed makes it."}

    def test_import_that_fails_is_the_file_s_fault(self) -> None:
        replay = replay_of(ONE, ONE, TWO)
        *others, last = replay.revisions
        error = "ImportError: cannot import name 'x' from 'y'"
        broken = replace(replay, revisions=(*others, replace(last, status="failed", error=error)))
        assert refused(observe(TWO, "r3", replay=broken)) == ["unloadable-file"]
        assert "unloadable-file" in codes(observe(TWO, "r3", replay=broken))

    def test_drift_waits_for_a_decision(self) -> None:
        live = catalog(table(a="text", b="int"))
        assert refused(observe(live, "r3")) == ["drift-changed"]


def test_revisions_are_told_in_the_order_of_the_history() -> None:
    """Whatever the order of their files."""
    shuffled = graph(("r3", "r2"), ("r1", None), ("r2", "r1"))
    seen = observe(TWO, "r3", graph=shuffled, loadable=shuffled)
    told = build_audit(seen, conclude(seen)).revisions
    assert [item.revision_id for item in told] == ["r1", "r2", "r3"]


def keyed(**columns: str) -> Catalog:
    key = {"constraint:public.t.t_pkey": {"definition": "PRIMARY KEY (a)"}}
    return catalog(table(**columns) | key)


class TestTableRenamedByHand:
    """r1 makes t, r2 changes rows, r3 adds a column; somebody renamed t to mine."""

    REPLAY = replay_of(keyed(a="int"), keyed(a="int"), keyed(a="int", b="int"))
    LIVE = catalog(
        {
            "table:public.mine": {},
            "column:public.mine.a": {"type": "int"},
            "column:public.mine.b": {"type": "int"},
            "constraint:public.mine.t_pkey": {"definition": "PRIMARY KEY (a)"},
        }
    )

    def test_its_makers_ran(self) -> None:
        drawn = conclude(observe(self.LIVE, "r3", replay=self.REPLAY))
        assert [drawn.verdicts[name].executed for name in ("r1", "r3")] == ["yes", "yes"]
        told = {(item.kind, item.object): item.note for item in drawn.drift}
        assert told.keys() == {("extra", "table:public.mine"), ("missing", "table:public.t")}
        assert all("renamed by hand" in note for note in told.values())
        assert "table:public.mine" in drawn.live.objects

    def test_a_key_that_leads_to_it_is_no_difference_of_its_own(self) -> None:
        def other(target: str) -> Catalog:
            key = {"definition": f"FOREIGN KEY (a) REFERENCES {target}(a)"}
            of_other = {"table:public.o": {}, "column:public.o.a": {"type": "int"}}
            return catalog({**of_other, "constraint:public.o.fk": key})

        def both(one: Catalog, two: Catalog) -> Catalog:
            return catalog({**one.objects, **two.objects})

        made = [both(keyed(a="int"), other("public.t"))] * 3
        live = both(self.LIVE, other("public.mine"))
        live = catalog({key: of for key, of in live.objects.items() if not key.endswith("mine.b")})
        assert "unexplained-difference" not in codes(observe(live, "r3", replay=replay_of(*made)))

    def test_it_is_not_made_anew(self) -> None:
        seen = observe(self.LIVE, "r3", replay=self.REPLAY)
        assert refused(seen) == ["drift-extra"]
        assert "Give it its name back" in reasons(seen)[0]

    def test_another_table_is_no_renamed_one(self) -> None:
        live = catalog({"table:public.mine": {}, "column:public.mine.a": {"type": "int"}})
        drawn = conclude(observe(live, "r3", replay=self.REPLAY))
        assert [drawn.verdicts[name].executed for name in ("r1", "r3")] == ["no", "no"]
        assert not drawn.misnamed
