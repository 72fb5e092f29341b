"""What a hole hides from the chains, and what running revisions by themselves shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from test_auditing import observe
from test_inference import EMPTY, catalog, replay_of, said, table
from trees import graph

from runbook_lib.auditing import Conclusions, Observations, build_audit, conclude
from runbook_lib.catalog import Catalog
from runbook_lib.effects import Replay


class Trials:
    """Answers trials from a table, and counts them."""

    def __init__(self, made: Mapping[tuple[str, ...], Catalog]) -> None:
        self.made = made
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, names: tuple[str, ...]) -> Catalog | None:
        self.asked.append(names)
        return self.made.get(names)


def drawn(seen: Observations, trials: Trials) -> Conclusions:
    return conclude(seen, trials)


def executed(drawn: Conclusions) -> list[str]:
    return [drawn.verdicts[name].executed for name in ("r1", "r2", "r3")]


def other(**columns: str) -> dict[str, dict[str, str]]:
    """A table under another name."""
    return {key.replace("public.t", "public.u"): value for key, value in table(**columns).items()}


def renamed(name: str) -> dict[str, dict[str, str]]:
    kinds = ("table:public.{}", "column:public.{}.x", "column:public.{}.y")
    return {kind.format(name): {} for kind in kinds}


def autocommit(replay: Replay, *names: str) -> Replay:
    runs = tuple(replace(run, autocommit=run.revision_id in names) for run in replay.revisions)
    return replace(replay, revisions=runs)


def saying(replay: Replay, name: str, *statements: str) -> Replay:
    runs = tuple(
        replace(run, statements=statements) if run.revision_id == name else run
        for run in replay.revisions
    )
    return replace(replay, revisions=runs)


class TestRenamedTable:
    """r1 makes t, r2 adds a column to it, r3 renames it to u."""

    REPLAY = replay_of(
        catalog(table(a="int")), catalog(table(a="int", b="int")), catalog(other(a="int", b="int"))
    )
    LIVE = catalog(other(a="int"))

    def test_column_that_a_hole_left_out_is_missing_under_the_new_name(self) -> None:
        trials = Trials({("r1", "r3"): self.LIVE, ("r1", "r2", "r3"): self.REPLAY.final})
        found = drawn(observe(self.LIVE, replay=self.REPLAY), trials)
        assert executed(found) == ["yes", "no", "yes"]
        assert not found.drift

    def test_without_a_proof_it_is_not_called_executed(self) -> None:
        found = drawn(observe(self.LIVE, replay=self.REPLAY), Trials({}))
        assert executed(found)[2] == "partly"

    def test_what_is_nearest_speaks_against_it_where_another_thing_was_changed_by_hand(
        self,
    ) -> None:
        """r3 seems to have run; but not without r2, and what comes nearest has both or none."""
        replay = replay_of(
            catalog(table(a="int")),
            catalog(table(a="int", b="int")),
            catalog(table(a="int", b="int", c="int")),
        )
        live = catalog(table(a="uuid", c="int"))
        found = drawn(observe(live, replay=replay), Trials({}))
        assert executed(found) == ["yes", "unknowable", "unknowable"]
        assert "come nearest to it say otherwise" in found.verdicts["r2"].reason
        assert "others may have made what shows of it" in found.verdicts["r3"].reason
        assert found.verdicts["r3"].implied == ""
        assert [item.object for item in found.drift] == ["column:public.t.a"]
        trials = Trials({("r1", "r3"): catalog(table(a="int", c="int"))})
        assert executed(drawn(observe(live, replay=replay), trials)) == ["yes", "no", "yes"]

    def test_nothing_is_tried_where_nothing_contradicts(self) -> None:
        trials = Trials({})
        drawn(observe(self.REPLAY.final, "r3", replay=self.REPLAY), trials)
        drawn(observe(catalog(table(a="int")), "r1", replay=self.REPLAY), trials)
        assert not trials.asked

    def test_reason_says_how_it_is_known(self) -> None:
        trials = Trials({("r1", "r3"): self.LIVE})
        seen = observe(self.LIVE, replay=self.REPLAY)
        audit = build_audit(seen, conclude(seen, trials))
        assert "Run by themselves" in audit.revisions[2].reason
        assert not [item for item in audit.findings if item.code.startswith("drift")]


def test_table_that_another_revision_made_again_does_not_speak_for_its_first_maker() -> None:
    """r2 adds a column and a table; r3 makes the first table anew, with a column of that name."""
    more: dict[str, dict[str, str]] = {"table:public.v": {}}
    new = table(a="bigint", b="text")
    replay = replay_of(
        catalog(table(a="int")), catalog(table(a="int", b="int") | more), catalog(new | more)
    )
    trials = Trials({("r1", "r3"): catalog(new)})
    found = drawn(observe(catalog(new), replay=replay), trials)
    assert executed(found)[1:] == ["no", "yes"]
    assert trials.asked == [("r1", "r3")]


def test_index_that_a_revision_renames_is_not_taken_for_renamed_by_hand() -> None:
    def named(name: str) -> Catalog:
        index = {f"index:public.{name}": {"table": "public.t", "definition": "btree (a)"}}
        return catalog(table(a="int") | index)

    replay = replay_of(catalog(table(a="int")), named("old"), named("new"))
    assert executed(drawn(observe(named("old"), replay=replay), Trials({}))) == ["yes", "yes", "no"]
    by_hand = drawn(observe(named("hers"), replay=replay), Trials({}))
    assert executed(by_hand)[2] == "yes"
    assert by_hand.names == {"index:public.new": "index:public.hers"}


def test_dropping_a_table_drops_what_was_renamed_before() -> None:
    """r2, which renames a column, did not run; r3 drops the table: r1 ran all the same."""
    new = {"table:public.v": {}}
    replay = replay_of(catalog(table(a="int")), catalog(table(b="int")), catalog(new))
    assert said(replay, catalog(new)).get("r1", {True}) == {True}


def test_column_that_goes_while_its_table_is_renamed_is_not_expected_to_stay() -> None:
    """r2 to r5 add columns, which r6 drops in the table that it renames; r7 left a hole."""
    columns: dict[str, str] = {"a": "int"}
    added = [catalog(table(**(columns := {**columns, name: "int"}))) for name in "bcde"]
    left = catalog(other(a="int"))
    hole, last = {"table:public.v": {}}, {"table:public.w": {}}
    more = [catalog({**left.objects, **hole}), catalog({**left.objects, **hole, **last})]
    replay = saying(
        replay_of(catalog(table(a="int")), *added, left, *more), "r6", "ALTER TABLE t RENAME TO u"
    )
    names = tuple(f"r{number}" for number in range(1, 9))
    line = graph(*zip(names, (None, *names), strict=False))
    live, ran = catalog({**left.objects, **last}), tuple(name for name in names if name != "r7")
    trials = Trials({ran: live})
    found = drawn(observe(live, replay=replay, graph=line, loadable=line), trials)
    assert trials.asked[0] == ran
    assert found.verdicts["r7"].executed == "no"
    assert not found.drift


class TestAutocommit:
    """r1 makes an index outside of its transaction, r2 does something else, r3 drops the index."""

    INDEX = catalog(table(a="int") | {"index:public.i": {"table": "public.t"}})
    REPLAY = autocommit(
        replay_of(
            INDEX,
            catalog({**INDEX.objects, "table:public.u": {}}),
            catalog({**table(a="int"), "table:public.u": {}, "table:public.v": {}}),
        ),
        "r1",
    )

    def test_half_of_it_ran(self) -> None:
        live = catalog(table(a="int"))
        assert executed(conclude(observe(live, replay=self.REPLAY))) == ["partly", "no", "no"]

    def test_nothing_tells_whether_it_stopped_or_its_index_was_dropped(self) -> None:
        dropping = autocommit(replay_of(self.INDEX, catalog(table(a="int"))), "r1")
        assert said(dropping, catalog(table(a="int"))) == {"r1": {True}}
        seen = observe(catalog(table(a="int")), replay=dropping)
        verdicts = conclude(seen).verdicts
        assert [verdicts[name].executed for name in ("r1", "r2")] == ["unknowable"] * 2


def index_on(name: str) -> dict[str, dict[str, str]]:
    return {"index:public.i": {"table": f"public.{name}"}}


class TestStoppedHalfWay:
    """r1 makes t and then an index outside of its transaction, r2 widens a, r3 renames t to u."""

    REPLAY = autocommit(
        replay_of(
            catalog(table(a="int") | index_on("t")),
            catalog(table(a="bigint") | index_on("t")),
            catalog(other(a="bigint") | index_on("u")),
        ),
        "r1",
    )
    LIVE = catalog(other(a="int"))

    def test_what_was_overwritten_leaves_open_how_far_it_came(self) -> None:
        verdict = drawn(observe(self.LIVE, replay=self.REPLAY), Trials({})).verdicts["r1"]
        assert (verdict.executed, verdict.implied) == ("unknowable", "")
        assert "1 object speaks against it" in verdict.reason
        assert "table public.t, column public.t.a shows no more" in verdict.reason
        assert verdict.reason.endswith("Its own traces do not tell whether it ran.")

    def test_it_makes_nothing_likely_of_its_neighbours(self) -> None:
        assert (
            drawn(observe(self.LIVE, replay=self.REPLAY), Trials({})).verdicts["r2"].implied == ""
        )

    def test_a_run_that_makes_the_schema_without_it_proves_more(self) -> None:
        trials = Trials({("r3",): self.LIVE})
        assert executed(drawn(observe(self.LIVE, replay=self.REPLAY), trials))[0] == "no"

    @pytest.mark.parametrize(("hole", "word"), [("t", "unknowable"), ("v", "yes")])
    def test_what_shows_of_it_speaks_for_all_unless_its_tables_are_odd(
        self, hole: str, word: str
    ) -> None:
        """r2 drops a column of a table that r3 renames, and did not run."""
        base, first = renamed("v"), renamed("v") | table(a="int", x="int") | index_on("t")
        second = {key: known for key, known in first.items() if key != f"column:public.{hole}.x"}
        live = other(a="int", x="int") | renamed("w") | index_on("u")
        gone = f"column:public.{'u' if hole == 't' else 'w'}.x"
        third = {key: known for key, known in live.items() if key != gone}
        steps = map(catalog, (first, second, third))
        replay = autocommit(replay_of(*steps, base=catalog(base)), "r1")
        found = drawn(observe(catalog(live), replay=replay), Trials({}))
        assert found.verdicts["r1"].executed == word


class TestHalfThereBesideOneThatStopped:
    """r2 adds columns, r3 renames t to u, where one is missing; r1 may have stopped half-way."""

    def test_its_reason_rests_on_its_own_traces(self) -> None:
        steps = (
            table(a="int") | index_on("t"),
            table(a="int", b="int", c="int") | index_on("t"),
            other(a="int", b="int", c="int") | index_on("u"),
        )
        replay = autocommit(replay_of(*map(catalog, steps)), "r1")
        live = catalog(other(a="int", b="int"))
        verdict = drawn(observe(live, replay=replay), Trials({})).verdicts["r3"]
        assert (verdict.executed, verdict.implied) == ("unknowable", "yes")
        assert verdict.reason.endswith("Its own traces make it likely that it ran.")


class TestOthersMakeTheSame:
    """r1 drops a; r2 adds b; r3 drops b and adds another a, unless it is there."""

    LIVE = catalog(table(id="int", a="date"))
    STEPS = (table(id="int"), table(id="int", b="int"), table(id="int", a="text"))

    def found(self, trials: Trials) -> list[str]:
        replay = replay_of(*map(catalog, self.STEPS), base=self.LIVE)
        text = "ALTER TABLE t ADD COLUMN IF NOT EXISTS a text"
        last = replace(replay.revisions[2], statements=("ALTER TABLE t DROP b", text))
        replay = replace(replay, revisions=(*replay.revisions[:2], last))
        return executed(drawn(observe(self.LIVE, replay=replay), trials))

    def test_nothing_tells_of_whom_they_disagree_about(self) -> None:
        trials = Trials({("r2", "r3"): self.LIVE})
        assert self.found(trials) == ["no", "unknowable", "unknowable"]
        assert ("r2", "r3") in trials.asked

    def test_what_they_should_make_is_no_proof(self) -> None:
        assert self.found(Trials({})) == ["no", "no", "no"]


class TestBegunByHand:
    """r2 makes u and adds a column to t; of both only u is there, without its column."""

    REPLAY = replay_of(
        catalog(table(a="int")),
        catalog(table(a="int", b="int", c="int") | other(a="int", b="int", x="int", y="int")),
        catalog(
            table(a="int", b="int", c="int", d="int") | other(a="int", b="int", x="int", y="int")
        ),
    )

    def test_what_no_other_revision_makes_is_a_part(self) -> None:
        live = catalog(table(a="int") | other(a="int"))
        comment = {"table:public.u": {"comment": "made by r2"}}
        runs = self.REPLAY.revisions
        changes = tuple(
            replace(one, after=comment[one.object]) if one.object in comment else one
            for one in runs[1].changes
        )
        final = catalog({**self.REPLAY.final.objects, **comment})
        replay = replace(
            self.REPLAY,
            revisions=(runs[0], replace(runs[1], changes=changes), runs[2]),
            final=final,
        )
        trials = Trials({})
        found = drawn(observe(live, "r2", replay=replay), trials)
        assert executed(found) == ["yes", "partly", "no"]
        assert not found.drift


def test_what_went_by_hand_casts_no_doubt_on_whom_it_has_nothing_to_do_with() -> None:
    """Later ones look for what r2 makes; t has lost a column, and that is not of r2."""
    both = catalog(table(a="int", b="int") | other(a="int"))
    replay = replay_of(catalog(table(a="int", b="int")), *[both] * 5)
    names = [f"r{number}" for number in range(1, 7)]
    for name in names[2:]:
        replay = saying(replay, name, "CREATE TABLE IF NOT EXISTS public.u (a int)")
    line = graph(*zip(names, (None, *names), strict=False))
    seen = observe(catalog(table(a="int") | other(a="int")), replay=replay)
    found = drawn(replace(seen, graph=line, loadable=line), Trials({}))
    assert executed(found)[:2] == ["partly", "yes"]


def test_an_empty_database_needs_no_trial() -> None:
    trials = Trials({})
    drawn(observe(EMPTY, "r3", replay=TestRenamedTable.REPLAY), trials)
    assert not trials.asked
