"""Trees that do not start from empty: a baseline inferred from the live database, and its limits.

Every world is a database whose past Alembic never saw, made by ``PAST``, upgraded by Alembic alone,
and then broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from faults.running import Outcome, Run, codes_of, go, verdicts_of
from faults.trees import Rev, Topology
from faults.worlds import Workshop, World, alembic

PAST = (
    "CREATE TABLE users (id serial PRIMARY KEY, name varchar(20) NOT NULL, old text)",
    "CREATE TABLE teams (id serial PRIMARY KEY, user_id integer REFERENCES users (id))",
    "CREATE TABLE hubs (id serial PRIMARY KEY)",
    "INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 5) n",
    "INSERT INTO teams (user_id) SELECT id FROM users",
)
LONGER = Rev(id="b1_longer", up=("ALTER TABLE users ALTER name TYPE varchar(80)",))
EMAIL = Rev(
    id="b2_email",
    parents=("b1_longer",),
    up=(
        "ALTER TABLE users ADD COLUMN email varchar(100)",
        "CREATE INDEX ix_users_email ON users (email)",
    ),
    down=("ALTER TABLE users DROP email",),
)
DROPS = Rev(
    id="b3_drops",
    parents=("b2_email",),
    up=("ALTER TABLE users DROP COLUMN old", "DROP TABLE hubs"),
)
ROLES = Rev(
    id="b4_roles",
    parents=("b3_drops",),
    up=("CREATE TABLE roles (id serial PRIMARY KEY, user_id integer REFERENCES users (id))",),
    down=("DROP TABLE roles",),
)
OLD = Topology(
    name="old", revisions=(LONGER, EMAIL, DROPS, ROLES), last="b4_roles", middle="b2_email"
)
PROVEN = {"b2_email": "applied", "b4_roles": "applied"}
OPEN = {"b1_longer": "unknowable", "b3_drops": "unknowable"}


@pytest.fixture
def worlds(workshop: Workshop) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(topology: Topology = OLD, past: tuple[str, ...] = PAST, at: str = "heads") -> World:
        world = workshop.world(topology, at=())
        world.sql(*past)
        alembic(world.project, world.dsn, "upgrade", at)
        made.append(world)
        return world

    yield make
    for world in made:
        workshop.drop(world)


def repaired(world: World) -> Outcome:
    """Repair, lose nothing, and find nothing afterwards."""
    before = world.rows()
    outcome = go(world)
    assert outcome.end == "repaired", outcome.reason
    assert outcome.again is not None
    assert not codes_of(outcome.again, "error"), outcome.again.findings
    assert world.same_rows(before) == []
    return outcome


def reason(outcome: Outcome, name: str) -> str:
    return next(item.reason for item in outcome.audit.revisions if item.revision_id == name)


class TestInferred:
    def test_healthy_database_is_left_alone(self, worlds: Callable[..., World]) -> None:
        outcome = go(worlds())
        assert outcome.end == "nothing", outcome.reason
        assert verdicts_of(outcome.audit) == PROVEN | OPEN
        assert outcome.audit.baseline_origin == "inferred"
        assert codes_of(outcome.audit, "error") == set()
        said = next(f for f in outcome.audit.findings if f.code == "inferred-baseline")
        assert "public.teams, public.users" in said.message
        assert "column public.users.old" in said.message
        assert "[project] baseline" in said.suggestion
        assert "may hold already what it made" in reason(outcome, "b1_longer")
        assert "assumption" in reason(outcome, "b3_drops")

    def test_a_table_that_a_revision_reflects_is_needed_too(
        self, worlds: Callable[..., World]
    ) -> None:
        world = worlds()
        reflect = "sa.Table('users', sa.MetaData(), autoload_with=op.get_bind())"
        world.edit(
            "b1_longer",
            "def upgrade():\n",
            f"def upgrade():\n    import sqlalchemy as sa\n    {reflect}\n",
        )
        audit = Run(world).audit()
        assert audit.baseline_origin == "inferred"
        assert verdicts_of(audit) == PROVEN | OPEN

    def test_second_audit_replays_nothing(
        self, worlds: Callable[..., World], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = worlds()
        first = Run(world).audit()
        monkeypatch.setattr("runbook_lib.replay.run_in", None)
        second = Run(world).audit()
        assert second.revisions == first.revisions
        assert second.findings == first.findings

    def test_given_baseline_is_preferred(self, worlds: Callable[..., World]) -> None:
        world = worlds()
        (world.folder / "past.sql").write_text(";\n".join(PAST[:3]) + ";\n")
        world.settings = 'baseline = "past.sql"'
        audit = Run(world).audit()
        assert audit.baseline_origin == "given"
        assert set(verdicts_of(audit).values()) == {"applied"}

    def test_phantom_head_is_run(self, worlds: Callable[..., World]) -> None:
        world = worlds()
        promised = world.catalog()
        world.undo("b4_roles")
        outcome = repaired(world)
        assert verdicts_of(outcome.audit)["b4_roles"] == "phantom"
        assert world.catalog() == promised

    @pytest.mark.corpus
    def test_phantom_in_the_middle_is_run(self, worlds: Callable[..., World]) -> None:
        world = worlds()
        world.undo("b2_email")
        outcome = repaired(world)
        assert verdicts_of(outcome.audit) == OPEN | {"b2_email": "phantom", "b4_roles": "applied"}
        assert "column:public.users.email" in world.catalog().objects

    @pytest.mark.corpus
    def test_half_of_a_revision_is_finished(self, worlds: Callable[..., World]) -> None:
        world = worlds()
        world.sql("DROP INDEX ix_users_email")
        outcome = repaired(world)
        assert verdicts_of(outcome.audit)["b2_email"] == "partial"
        assert "index:public.ix_users_email" in world.catalog().objects

    def test_unrecorded_head_is_recorded(self, worlds: Callable[..., World]) -> None:
        world = worlds()
        world.record("b3_drops")
        outcome = repaired(world)
        assert verdicts_of(outcome.audit)["b4_roles"] == "unrecorded"
        assert world.recorded() == ("b4_roles",)

    def test_pending_head_is_upgraded(self, worlds: Callable[..., World]) -> None:
        world = worlds(at="b3_drops")
        outcome = repaired(world)
        assert verdicts_of(outcome.audit)["b4_roles"] == "pending"
        assert world.recorded() == ("b4_roles",)

    def test_column_by_hand_on_a_revision_s_own_table_is_drift(
        self, worlds: Callable[..., World]
    ) -> None:
        world = worlds()
        world.sql("ALTER TABLE roles ADD COLUMN extra integer")
        assert "drift-extra" in codes_of(Run(world).audit(), "error", "warning")

    def test_type_changed_away_from_a_revision_s_is_a_phantom(
        self, worlds: Callable[..., World]
    ) -> None:
        """The live value stands before the revision's in the chain, wherever it came from."""
        world = worlds()
        world.sql("ALTER TABLE users ALTER name TYPE varchar(20)")
        outcome = repaired(world)
        assert verdicts_of(outcome.audit)["b1_longer"] == "phantom"


RENAMES = {
    "table-twice": ("ALTER TABLE teams RENAME TO groups", "ALTER TABLE groups RENAME TO bands"),
    "column-twice": (
        "ALTER TABLE teams RENAME user_id TO owner_id",
        "ALTER TABLE teams RENAME owner_id TO boss_id",
    ),
    "column-then-table": (
        "ALTER TABLE teams RENAME COLUMN user_id TO owner_id",
        "ALTER TABLE teams RENAME TO groups",
    ),
    "table-then-column": (
        'ALTER TABLE teams RENAME TO "Groups"',
        'ALTER TABLE "Groups" RENAME user_id TO "Owner"',
    ),
    "after-its-type": (
        "ALTER TABLE teams ALTER user_id TYPE bigint",
        "ALTER TABLE teams RENAME COLUMN user_id TO owner_id",
    ),
    "with-its-key": (
        "ALTER TABLE teams ADD CONSTRAINT one UNIQUE (user_id)",
        "ALTER TABLE teams RENAME COLUMN user_id TO owner_id",
    ),
    "what-others-refer-to": (
        "ALTER TABLE users RENAME COLUMN id TO uid",
        "ALTER TABLE users RENAME TO accounts",
    ),
}


class TestRenamed:
    """The database knows a table of before, or its column, by the name that a revision gave it."""

    @pytest.mark.parametrize(
        "ups",
        [
            pytest.param(ups, id=name, marks=() if "others" in name else (pytest.mark.corpus,))
            for name, ups in RENAMES.items()
        ],
    )
    def test_it_stood_in_the_baseline_under_its_former_name(
        self, worlds: Callable[..., World], ups: tuple[str, ...]
    ) -> None:
        revisions = [LONGER, EMAIL, replace(ROLES, parents=("b2_email",))]
        for number, up in enumerate((*ups, "CREATE TABLE ends (id integer PRIMARY KEY)")):
            parents = (revisions[-1].id,)
            down = ("DROP TABLE ends",) if number == len(ups) else ()
            revisions.append(Rev(id=f"c{number}_names", parents=parents, up=(up,), down=down))
        world = worlds(replace(OLD, revisions=tuple(revisions)))
        promised = world.catalog()
        world.undo(revisions[-1].id)
        outcome = repaired(world)
        verdicts = verdicts_of(outcome.audit)
        assert verdicts[revisions[-1].id] == "phantom"
        assert set(verdicts.values()) <= {"applied", "unknowable", "phantom"}
        assert codes_of(outcome.audit, "error") == {"phantom"}
        assert world.catalog() == promised


class TestWithoutBaseline:
    """What no baseline can be read for stays a finding of that revision alone."""

    def test_misspelled_table_is_no_baseline(self, worlds: Callable[..., World]) -> None:
        wrong = Rev(
            id="b5_wrong", parents=("b4_roles",), up=("ALTER TABLE usrs ADD COLUMN x integer",)
        )
        world = worlds(replace(OLD, revisions=(*OLD.revisions, wrong)), at="b4_roles")
        outcome = go(world)
        assert outcome.end == "refused:not-replayable", outcome.reason
        assert verdicts_of(outcome.audit) == PROVEN | OPEN | {"b5_wrong": "unknowable"}
        assert "[project] baseline" in outcome.reason

    def test_baseline_table_that_is_gone_is_refused(self, worlds: Callable[..., World]) -> None:
        world = worlds()
        world.sql("DROP TABLE roles", "DROP TABLE users CASCADE")
        outcome = go(world)
        assert outcome.end == "refused:not-replayable", outcome.reason
        assert set(verdicts_of(outcome.audit).values()) <= {"unknowable", "phantom"}


LOOKS = """
    if {guard!r} in sa.inspect(op.get_bind()).get_table_names():
        {then}
"""


def looking(name: str, parent: str, guard: str, then: str) -> str:
    """A revision that looks at the schema before it acts."""
    return (
        f'"""Look first\n\nRevision ID: {name}\nRevises: {parent}\n\n"""\n'
        "import sqlalchemy as sa\nfrom alembic import op\n\n"
        f"revision = {name!r}\ndown_revision = {parent!r}\nbranch_labels = depends_on = None\n\n\n"
        f"def upgrade():{LOOKS.format(guard=guard, then=then)}\n\ndef downgrade():\n    pass\n"
    )


class TestConditional:
    """What a revision found when it looked is not known: its traces prove nothing."""

    @pytest.fixture
    def world(self, worlds: Callable[..., World]) -> World:
        world = worlds(at="b4_roles")
        text = looking(
            "b5_looks", "b4_roles", "teams", "op.add_column('teams', sa.Column('logo', sa.Text()))"
        )
        (world.project / "migrations/versions/b5_looks.py").write_text(text)
        return world

    def test_all_there(self, world: World) -> None:
        alembic(world.project, world.dsn, "upgrade", "heads")
        outcome = go(world)
        assert outcome.end == "nothing", outcome.reason
        assert verdicts_of(outcome.audit)["b5_looks"] == "unknowable"
        assert "all there" in reason(outcome, "b5_looks")

    def test_recorded_and_all_missing_is_run(self, world: World) -> None:
        world.record("b5_looks")
        outcome = repaired(world)
        assert verdicts_of(outcome.audit)["b5_looks"] == "unknowable"
        assert "in vain" in reason(outcome, "b5_looks")
        assert "drift-missing" in codes_of(outcome.audit, "error")
        assert "column:public.teams.logo" in world.catalog().objects

    def test_there_and_not_recorded_is_recorded(self, world: World) -> None:
        alembic(world.project, world.dsn, "upgrade", "heads")
        world.record("b4_roles")
        outcome = repaired(world)
        assert verdicts_of(outcome.audit)["b5_looks"] == "unknowable"
        assert world.recorded() == ("b5_looks",)

    def test_half_there_is_refused(self, world: World) -> None:
        both = "op.execute('ALTER TABLE teams ADD logo text, ADD motto text')"
        text = looking("b5_looks", "b4_roles", "teams", both)
        (world.project / "migrations/versions/b5_looks.py").write_text(text)
        world.sql("ALTER TABLE teams ADD logo text")
        world.record("b5_looks")
        outcome = go(world)
        assert outcome.end == "refused:inferred-baseline", outcome.reason
        assert "[project] baseline" in outcome.reason

    def test_if_not_exists_proves_nothing_of_its_object(self, worlds: Callable[..., World]) -> None:
        guarded = Rev(
            id="b5_guarded",
            parents=("b4_roles",),
            up=("CREATE TABLE IF NOT EXISTS logs (id serial PRIMARY KEY)",),
        )
        tree = replace(OLD, revisions=(*OLD.revisions, guarded))
        outcome = go(worlds(tree, past=(*PAST, "CREATE TABLE logs (id serial PRIMARY KEY)")))
        assert outcome.end == "nothing", outcome.reason
        assert verdicts_of(outcome.audit)["b5_guarded"] == "unknowable"


def test_what_a_condition_may_have_put_back_is_not_called_missing(
    worlds: Callable[..., World],
) -> None:
    """The baseline is read off after the fact, so the condition finds other things than it did."""
    other = Rev(id="c1_other", up=("ALTER TABLE users ALTER name SET DEFAULT 'x'",))
    back = Rev(
        id="c2_back",
        parents=("c1_other",),
        up=(
            "DO $$ BEGIN IF to_regclass('public.hubs') IS NOT NULL THEN "
            "ALTER TABLE users ALTER name DROP DEFAULT; DROP TABLE hubs; END IF; END $$",
        ),
    )
    roles = replace(ROLES, parents=("c2_back",))
    outcome = go(worlds(replace(OLD, revisions=(other, back, roles))))
    assert verdicts_of(outcome.audit)["c1_other"] == "unknowable"
    assert "may have put back" in reason(outcome, "c1_other")
    assert outcome.end == "refused:inferred-baseline", outcome.reason


class TestMadeAgain:
    """A table that a revision drops, and that the application makes again when it starts."""

    def test_dropper_is_not_called_partial(self, worlds: Callable[..., World]) -> None:
        world = worlds()
        world.sql(PAST[2])
        outcome = go(world)
        assert outcome.end == "nothing", outcome.reason
        assert verdicts_of(outcome.audit) == PROVEN | OPEN
        assert "made again" in reason(outcome, "b3_drops")

    def test_nor_is_what_an_earlier_revision_adds_to_it(self, worlds: Callable[..., World]) -> None:
        logo = Rev(id="b2a_logo", parents=("b2_email",), up=("ALTER TABLE hubs ADD logo text",))
        drops = replace(DROPS, parents=("b2a_logo",))
        tree = replace(OLD, revisions=(LONGER, EMAIL, logo, drops, ROLES))
        world = worlds(tree)
        world.sql("CREATE TABLE hubs (id serial PRIMARY KEY, logo text)")
        verdicts = verdicts_of(Run(world).audit())
        assert verdicts == PROVEN | OPEN | {"b2a_logo": "unknowable"}


def test_names_that_the_server_gives_are_no_second_object(worlds: Callable[..., World]) -> None:
    """An unnamed constraint of a revision must not stand beside the live one in the baseline."""
    unnamed = Rev(
        id="b5_unnamed",
        parents=("b4_roles",),
        up=(
            "ALTER TABLE teams ADD owner_id integer REFERENCES users (id)",
            "CREATE INDEX ON teams (user_id)",
        ),
    )
    outcome = go(worlds(replace(OLD, revisions=(*OLD.revisions, unnamed))))
    assert outcome.end == "nothing", outcome.reason
    assert verdicts_of(outcome.audit)["b5_unnamed"] == "applied"
