"""What the chains say is never wrong, whichever revisions really ran."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib.catalog import Catalog, ObjectChange, apply_changes, diff
from runbook_lib.effects import Replay, RevisionReplay
from runbook_lib.inference import infer

EMPTY = Catalog(objects={})


def replay_of(*steps: Catalog, base: Catalog = EMPTY) -> Replay:
    """A replay from ``base`` whose n-th revision leads to the n-th catalog."""
    before, runs = base, []
    for number, after in enumerate(steps, 1):
        changes = diff(before, after)
        runs.append(RevisionReplay(revision_id=f"r{number}", status="replayed", changes=changes))
        before = after
    return Replay(
        baseline=base,
        baseline_origin="empty",
        revisions=tuple(runs),
        final=before,
        server_version="18",
    )


def said(replay: Replay, live: Catalog) -> dict[str, set[bool]]:
    voices: dict[str, set[bool]] = {}
    for testimony in infer(replay, live).testimonies:
        voices.setdefault(testimony.revision_id, set()).add(testimony.ran)
    return voices


def table(**columns: str) -> dict[str, dict[str, str]]:
    return {"table:public.t": {}} | {
        f"column:public.t.{name}": {"type": kind} for name, kind in columns.items()
    }


def catalog(objects: dict[str, dict[str, str]]) -> Catalog:
    return Catalog(objects=objects)


class TestChains:
    def test_last_value_speaks_for_its_writer_only(self) -> None:
        replay = replay_of(catalog(table(a="int")), catalog(table(a="bigint")))
        assert said(replay, catalog(table(a="bigint"))) == {"r1": {True}, "r2": {True}}

    def test_older_value_speaks_against_later_writers(self) -> None:
        replay = replay_of(catalog(table(a="int")), catalog(table(a="bigint")))
        assert said(replay, catalog(table(a="int"))) == {"r1": {True}, "r2": {False}}

    def test_nothing_there_speaks_against_all(self) -> None:
        replay = replay_of(catalog(table(a="int")), catalog(table(a="int", b="int")))
        assert said(replay, EMPTY) == {"r1": {False}, "r2": {False}}

    def test_hole_in_the_middle(self) -> None:
        replay = replay_of(
            catalog(table(a="int")),
            catalog(table(a="int", b="int")),
            catalog(table(a="int", b="int", c="int")),
        )
        live = catalog(table(a="int", c="int"))
        assert said(replay, live) == {"r1": {True}, "r2": {False}, "r3": {True}}

    def test_value_on_no_chain_is_drift_and_speaks_for_nobody(self) -> None:
        replay = replay_of(catalog(table(a="int")), catalog(table(a="bigint")))
        found = infer(replay, catalog(table(a="text")))
        assert [chain.aspect for chain in found.drifted] == ["type"]
        assert {t.revision_id for t in found.testimonies} == {"r1"}

    def test_dropped_again_is_decided_by_the_other_effects(self) -> None:
        replay = replay_of(
            catalog(table(a="int") | {"index:public.i": {"table": "public.t"}}),
            catalog(table(a="int")),
        )
        assert said(replay, catalog(table(a="int"))) == {"r1": {True}, "r2": {True}}

    def test_two_histories_stay_open(self) -> None:
        replay = replay_of(catalog(table(a="int")), EMPTY)
        found = infer(replay, EMPTY)
        assert not found.testimonies
        assert {chain.object for chain in found.ambiguous} == {
            "table:public.t",
            "column:public.t.a",
        }

    def test_condition_decides_nothing_where_it_may_have_found_nothing(self) -> None:
        """r2 makes u, and renames t's column where it is there; r3 drops t."""
        other = {"table:public.u": {}}
        replay = replay_of(catalog(table(a="int")), catalog(table(b="int") | other), catalog(other))
        first, second, third = replay.revisions
        asking = (first, replace(second, asks=True), third)
        live = replay.final
        assert said(replay, live) == {"r2": {True}, "r3": {True}}
        assert said(replace(replay, revisions=asking), live) == {"r2": {True}}

    def test_default_that_was_dropped_by_hand_is_drift(self) -> None:
        with_default = {"table:public.t": {}, "column:public.t.a": {"type": "int", "default": "1"}}
        found = infer(replay_of(catalog(with_default)), catalog(table(a="int")))
        assert [(chain.aspect, chain.live) for chain in found.drifted] == [("default", "")]


NAMES = st.sampled_from(["table:public.t", "table:public.u", "index:public.i"])
CATALOGS = st.dictionaries(
    NAMES, st.fixed_dictionaries({"type": st.sampled_from("xyz")}), max_size=3
).map(catalog)


def can_run(state: Catalog, changes: tuple[ObjectChange, ...]) -> bool:
    """A statement runs on another value as well, but not on an object that is not there."""
    return all((item.object in state.objects) == (item.before is not None) for item in changes)


@settings(max_examples=400, deadline=None)
@given(st.lists(CATALOGS, min_size=1, max_size=6), st.sets(st.integers(1, 6)))
def test_no_history_that_alembic_could_have_made_is_misjudged(
    steps: list[Catalog], wanted: set[int]
) -> None:
    """Run any subset in order, each revision wholly or not at all: no testimony is ever false."""
    replay = replay_of(*steps)
    live, ran = EMPTY, set()
    for number, run in enumerate(replay.revisions, 1):
        if number in wanted and can_run(live, run.changes):
            live = apply_changes(live, run.changes)
            ran.add(run.revision_id)
    for testimony in infer(replay, live).testimonies:
        assert testimony.ran == (testimony.revision_id in ran), testimony
