"""The first guess at a baseline, and what errors say of it; no database is needed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference import CATALOGS, EMPTY, can_run, catalog, replay_of, table

from runbook_lib import authorship, baseline, corrections
from runbook_lib.catalog import Catalog, apply_changes
from runbook_lib.effects import Inferred, Replay, RevisionReplay
from runbook_lib.inference import infer

LIVE = Catalog(
    objects={
        "table:public.users": {},
        "column:public.users.id": {"type": "integer", "nullable": "no"},
        "column:public.users.email": {"type": "text", "nullable": "yes"},
        "constraint:public.users.users_pkey": {
            "type": "primary key", "definition": "PRIMARY KEY (id)"
        },
        "index:public.ix_email": {
            "table": "public.users", "unique": "no", "definition": "btree (email)"
        },
        "table:public.roles": {},
        "column:public.roles.id": {"type": "integer", "nullable": "no"},
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('op.create_table("roles", sa.Column("id"))', "table:roles"),
        ('op.add_column("users", sa.Column("email", sa.Text()))', "column:users.email"),
        ('op.create_index(op.f("ix_email"), TABLE, ["email"])', "name:ix_email"),
        ('op.create_table(Role.__tablename__, sa.Column("id"))', authorship.UNKNOWN),
        ('op.rename_table("people", "users")', "table:users"),
        ('op.alter_column("users", "mail", new_column_name="email")', "column:users.email"),
        ("op.execute('CREATE TABLE IF NOT EXISTS app.roles (id int)')", "table:roles"),
        ("op.execute('ALTER TABLE users ADD COLUMN email text')", "column:users.email"),
        ("op.execute('ALTER TABLE users RENAME mail TO email')", "column:users.email"),
        ("op.create_unique_constraint('uq', TABLE, ['id'])", "name:uq"),
        ("sa.Enum('a', 'b', name='mood').create(op.get_bind())", "name:mood"),
        ('op.create_table(TABLE, sa.Column("id"))', "table:users"),
    ],
)
def test_what_a_file_says_it_makes(body: str, found: str) -> None:
    text = f'TABLE = "users"\n\n\ndef upgrade():\n    {body}\n\n\ndef downgrade():\n    pass\n'
    assert found in authorship.made(text)


def test_columns_of_a_batch_belong_to_its_table() -> None:
    text = (
        'def upgrade():\n    with op.batch_alter_table("users") as batch:\n'
        '        batch.add_column(sa.Column("email"))\n'
    )
    assert "column:users.email" in authorship.made(text)


def test_what_a_downgrade_makes_is_not_made() -> None:
    text = 'def upgrade():\n    pass\n\n\ndef downgrade():\n    op.create_table("roles")\n'
    assert authorship.made(text) == frozenset()


def failed(error: str, *statements: str) -> RevisionReplay:
    return RevisionReplay(revision_id="r", status="failed", error=error, statements=statements)


@pytest.mark.parametrize(
    ("error", "taken", "assumed"),
    [
        ('relation "users" does not exist', "table:public.users", ""),
        ('relation "public.users" does not exist', "table:public.users", ""),
        ('table "hubs" does not exist', "", "table:public.hubs"),
        ('column "old" of relation "users" does not exist', "", "column:public.users.old"),
        ('constraint "ck" of relation "users" does not exist', "", "constraint:public.users.ck"),
        ('index "ix_email" does not exist', "index:public.ix_email", ""),
        ('type "mood" does not exist', "", "type:public.mood"),
        ("NoSuchTableError: users", "table:public.users", ""),
    ],
)
def test_what_does_not_exist_is_taken_or_assumed(error: str, taken: str, assumed: str) -> None:
    guess = baseline.Guess(live=LIVE, taken=frozenset())
    better = corrections.correct(guess, failed(error), "", ())
    assert better is not None
    assert taken in better.taken or not taken
    assert set(better.assumed) == ({assumed} if assumed else set())


def test_what_already_exists_is_left_to_its_revision() -> None:
    guess = baseline.first_guess(LIVE, [])
    error = 'column "email" of relation "users" already exists'
    better = corrections.correct(guess, failed(error), "", ())
    assert better is not None
    assert better.banned == {"column:public.users.email"}


def test_what_another_revision_makes_is_no_baseline() -> None:
    guess = baseline.Guess(live=LIVE, taken=frozenset())
    error = 'relation "users" does not exist'
    assert corrections.correct(guess, failed(error), "", ["table:public.users"]) is None


def test_other_errors_say_nothing_of_the_baseline() -> None:
    guess = baseline.first_guess(LIVE, [])
    assert corrections.correct(guess, failed('syntax error at or near "x"'), "", ()) is None


def over(live: Catalog, *states: Catalog, assumed: tuple[str, ...] = (), **more: object) -> Replay:
    """A replay from ``live`` as an inferred baseline through ``states``."""
    made = replay_of(*states, base=live)
    inferred = Inferred(statements=(), objects=live.objects, assumed=assumed)
    facts = {"statements": ("ALTER",), **more}
    runs = tuple(replace(run, **facts) for run in made.revisions)  # type: ignore[arg-type]
    return replace(made, revisions=runs, inferred=inferred, baseline_origin="inferred")


class TestTestimony:
    """What a replay over an inferred baseline says of its revisions."""

    ONE = catalog(table(a="int"))
    TWO = catalog(table(a="int", b="int"))

    def said(self, replay: Replay, live: Catalog) -> list[tuple[str, bool]]:
        return [(item.revision_id, item.ran) for item in infer(replay, live).testimonies]

    def test_missing_column_proves_that_it_did_not_run(self) -> None:
        assert self.said(over(self.ONE, self.TWO), self.ONE) == [("r1", False)]

    def test_unless_the_revision_looks_first(self) -> None:
        replay = over(self.ONE, self.TWO, asks=True)
        found = infer(replay, self.ONE)
        assert (found.testimonies, [t.ran for t in found.unproven]) == ((), [False])

    def test_table_that_is_dropped_and_there_speaks_for_nobody(self) -> None:
        found = infer(over(self.ONE, self.TWO, EMPTY), self.TWO)
        assert found.testimonies == found.unproven == ()
        assert found.doubts.droppers == {"r2"}

    def test_absence_of_what_was_assumed_proves_nothing(self) -> None:
        key = next(key for key in self.TWO.objects if key.endswith(".b"))
        assert self.said(over(self.TWO, self.ONE, assumed=(key,)), self.ONE) == []
        assert self.said(over(self.TWO, self.ONE), self.ONE) == [("r1", True)]


def read_off(live: Catalog, true: Replay) -> tuple[Catalog, tuple[str, ...]]:
    """The baseline that the errors of a replay lead to, and which objects of it are assumed."""
    first = {c.object: c for run in reversed(true.revisions) for c in run.changes}
    needed = {key for key, change in first.items() if change.before is not None}
    objects = {
        key: live.objects.get(key, {"type": "assumed"})
        for key in needed | (live.objects.keys() - first.keys())
    }
    return Catalog(objects=objects), tuple(sorted(needed - live.objects.keys()))


@settings(max_examples=600, deadline=None)
@given(CATALOGS, st.lists(CATALOGS, min_size=1, max_size=6), st.sets(st.integers(1, 6)))
def test_no_history_above_an_unknown_past_is_misjudged(
    past: Catalog, steps: list[Catalog], wanted: set[int]
) -> None:
    """Run any subset over a past that nobody knows any more: no testimony is ever false."""
    true = replay_of(*steps, base=past)
    live, ran = past, set()
    for number, run in enumerate(true.revisions, 1):
        if number in wanted and can_run(live, run.changes):
            live = apply_changes(live, run.changes)
            ran.add(run.revision_id)
    base, assumed = read_off(live, true)
    states = [base]
    for run in true.revisions:
        states.append(apply_changes(states[-1], run.changes))
    replay = over(base, *states[1:], assumed=assumed)
    replay = replace(
        replay,
        inferred=replace(replay.inferred, objects=live.objects),  # type: ignore[type-var]
    )
    for testimony in infer(replay, live).testimonies:
        assert testimony.ran == (testimony.revision_id in ran), testimony
