"""Faults of execution: half done, out of order, done by other hands, ahead of the code."""

from __future__ import annotations

from dataclasses import replace

from faults import trees
from faults.catalogue import (
    EVERY,
    TAGS,
    fault,
    judged,
    truth,
    unrecorded_all,
)
from faults.running import Truth
from faults.trees import Rev
from faults.worlds import World

SPLICED = replace(TAGS, id="s5_spliced", doc="Tags, spliced in below what already ran")


@fault(9, "line", others=("objects",))
def spliced_in_below_an_applied_one(world: World) -> Truth:
    """A colleague's branch was rebased: its revision now lies below the recorded one."""
    last = world.topology.rev(world.topology.last)
    world.add(replace(SPLICED, parents=last.parents))
    world.file(last.id).write_text(replace(last, parents=(SPLICED.id,)).text())
    return truth(world, "phantom", "hole", "spliced-ancestor", **{SPLICED.id: "phantom"})


@fault(8, "line")
def file_edited_after_it_ran_adds_a_column(world: World) -> Truth:
    """The database has the old effect; the difference goes into a new revision."""
    world.edit("a3_orders", "total numeric(10, 2)", "note text, total numeric(10, 2)")
    wanted = truth(world, "partial", "hole", "drift-missing", a3_orders="partial")
    return replace(wanted, also=frozenset({"edited-after-apply"}))


@fault(8, "diamond", others=EVERY)
def file_edited_after_it_ran_by_one_statement_more(world: World) -> Truth:
    """The head's file has a statement that the database never saw."""
    last = world.topology.rev(world.topology.last)
    table = "stock" if last.id.startswith("b") else "people"
    edited = replace(last, up=(*last.up, f"ALTER TABLE {table} ADD note text"))
    world.file(last.id).write_text(edited.text())
    wanted = truth(world, "partial", "drift-missing", **{last.id: "partial"})
    return replace(wanted, also=frozenset({"edited-after-apply"}))


@fault(8, "line")
def file_edited_after_it_ran_changes_a_type(world: World) -> Truth:
    """Nothing tells it from a change by hand, so a person decides."""
    world.edit("a3_orders", "total numeric(10, 2)", "total numeric(12, 2)")
    return truth(world, "drift-changed", end="refused:drift-changed")


def before_last(topology: trees.Topology) -> tuple[str, ...]:
    parents = {parent for rev in topology.revisions for parent in (*rev.parents, *rev.depends)}
    others = [rev.id for rev in topology.revisions if rev.id not in parents]
    last = topology.rev(topology.last)
    return (*last.parents, *(one for one in others if one != last.id))


@fault(24, "line", "depends-on", others=EVERY, at=before_last)
def stopped_before_the_last(world: World) -> Truth:
    """Nothing is wrong but that the last revision has yet to run."""
    return truth(world, **{world.topology.last: "pending"})


@fault(22, "autocommit", at=lambda topology: ("a1_people",))
def partly_executed_in_an_autocommit_block(world: World) -> Truth:
    """The block commits what came before it; the second index failed."""
    world.sql(
        "ALTER TABLE people ADD nick text",
        "CREATE INDEX CONCURRENTLY ix_people_name ON people (name)",
        "UPDATE people SET nick = name",
    )
    return truth(world, "partial", f2_index="partial", b2_stock="pending")


@fault(22, "autocommit", at=lambda topology: ("a1_people",))
def autocommit_block_left_an_invalid_index(world: World) -> Truth:
    world.sql("ALTER TABLE people ADD nick text")
    world.sql("CREATE INDEX CONCURRENTLY ix_people_name ON people (name)")
    world.sql("CREATE INDEX CONCURRENTLY ix_people_nick ON people (nick)")
    world.sql(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_people_nick'::regclass"
    )
    return truth(world, "unrecorded", "invalid-index", f2_index="unrecorded", b2_stock="pending")


@fault(23, "commits-inside", at=lambda topology: ("a1_people",))
def partly_executed_through_a_commit(world: World) -> Truth:
    world.sql("ALTER TABLE people ADD nick text")
    wanted = truth(world, "partial", g2_commit="partial", b2_stock="pending")
    return replace(wanted, also=frozenset({"commits-inside"}))


@fault(
    30,
    "diamond",
    others=("line", "objects", "autocommit", "commits-inside"),
    at=lambda topology: (topology.revisions[0].id,),
)
def older_backup_under_a_newer_row(world: World) -> Truth:
    """Only the base ran; the row says that everything did."""
    top = [rev.id for rev in world.topology.revisions]
    world.record(top[-1])
    known = {
        name: "unknowable" if verdict == "unknowable" else "phantom"
        for name, verdict in judged(world.topology).items()
    }
    return truth(world, "phantom", **{**known, top[0]: "applied"})


@fault(27, "line", others=("objects",))
def downgrade_that_did_nothing(world: World) -> Truth:
    """Its row went, its effects stayed."""
    last = world.topology.rev(world.topology.last)
    world.record(*last.parents)
    return truth(world, "unrecorded", **{last.id: "unrecorded"})


@fault(26, "objects")
def enum_type_left_by_a_downgrade(world: World) -> Truth:
    world.sql("DROP TABLE things")
    world.record("d3_mail")
    wanted = truth(world, "partial", d4_kinds="partial")
    return replace(wanted, also=frozenset({"leftover-type"}))


@fault(26, "line", others=EVERY)
def enum_type_of_the_newest_revision_left_by_a_downgrade(world: World) -> Truth:
    """Its table went and its row; nothing else knows of the type."""
    rev = Rev(
        id="w7_tints",
        parents=(world.topology.last,),
        up=("CREATE TYPE tint AS ENUM ('red', 'blue')", "CREATE TABLE tints (tint tint)"),
        down=("DROP TABLE tints",),
    )
    world.add(rev)
    world.sql(*rev.up, *rev.down)
    wanted = truth(world, "partial", **{rev.id: "partial"})
    return replace(wanted, also=frozenset({"leftover-type"}))


@fault(34, "two-bases", others=EVERY)
def database_ahead_of_the_code(world: World) -> Truth:
    """A newer release upgraded the database; then the code was rolled back."""
    world.sql(*TAGS.up)
    kept = [str(row) for row in world.recorded() if row != world.topology.last]
    world.record(*kept, "f00ba4f00ba4")
    implied, known = ancestors(world.topology, *kept), judged(world.topology)
    known = {
        name: "unrecorded" if verdict == "applied" and name not in implied else verdict
        for name, verdict in known.items()
    }
    wanted = truth(world, "unrecorded", "unlocated-row", "code-behind-database", **known)
    return replace(wanted, end="refused:code-behind-database", says=("f00ba4f00ba4", "tags"))


@fault(34, "diamond", others=EVERY)
def database_ahead_of_the_code_through_a_merge(world: World) -> Truth:
    """The newer release joined whatever heads there were: one row, and no file has it."""
    world.sql(*TAGS.up)
    world.record("f00ba4f00ba4")
    wanted = unrecorded_all(world, "unlocated-row", "code-behind-database")
    return replace(wanted, end="refused:code-behind-database", says=("f00ba4f00ba4", "tags"))


def ancestors(topology: trees.Topology, *ids: str) -> set[str]:
    """These revisions and all that they imply."""
    found = set(ids)
    for rev in reversed(topology.revisions):  # parents stand before their children
        if rev.id in found:
            found.update(rev.parents, rev.depends)
    return found


NEW_VALUE = "ALTER TYPE mood ADD VALUE 'new'"
USED = "UPDATE people SET mood = 'new' WHERE id = 1"
PEOPLE = frozenset({"public.people"})


def moody(world: World, *up: str, **names: str) -> Rev:
    """Add a revision to the tree that gives the enum mood a value."""
    rev = Rev(id=names.get("id", "n6_enum"), parents=(names.get("on", world.topology.last),), up=up)
    world.add(rev)
    return rev


@fault(32, "line", others=("objects", "diamond", "autocommit", "commits-inside"))
def new_enum_value_used_in_its_own_transaction(world: World) -> Truth:
    """Split: the value is committed first. What stood before it in the file still runs before."""
    rev = moody(world, "CREATE TABLE moods (id integer)", NEW_VALUE, USED)
    wanted = truth(world, "not-replayable", **{rev.id: "pending"})
    return replace(wanted, written=PEOPLE)


@fault(32, "line")
def new_enum_value_used_in_its_own_transaction_and_applied_by_hand(world: World) -> Truth:
    """Where it ran nothing is done: the split makes the same."""
    rev = moody(world, NEW_VALUE, USED)
    world.sql(*rev.up)
    world.record(rev.id)
    return truth(world, "not-replayable", **{rev.id: "applied"})


@fault(32, "line")
def new_enum_value_there_and_nobody_knows_of_its_use(world: World) -> Truth:
    """The value is there, its use left no trace and the revision is not recorded."""
    rev = moody(world, NEW_VALUE, USED)
    world.sql(NEW_VALUE)
    wanted = truth(
        world, "not-replayable", "unrecorded", end="refused:partial", **{rev.id: "unrecorded"}
    )
    return replace(wanted, says=(rev.id, "ran = "))


@fault(32, "line")
def new_enum_value_added_out_of_sight(world: World) -> Truth:
    """A helper of the file sends the statement: no edit is plainly right."""
    rev = moody(world, NEW_VALUE, USED)
    path = world.project / rev.file
    call = f"    op.execute({NEW_VALUE!r})\n"
    assert call in path.read_text()
    helper = f"def add():\n{call}\n\ndef upgrade():"
    path.write_text(path.read_text().replace(call, "    add()\n").replace("def upgrade():", helper))
    wanted = truth(world, "not-replayable", end="refused:not-replayable", n6_enum="unknowable")
    return replace(wanted, says=("n6_enum", "new"))


@fault(32, "line")
def new_enum_value_used_by_the_next_revision(world: World) -> Truth:
    """Alembic runs both in one transaction, which PostgreSQL refuses: one after the other."""
    first = moody(world, NEW_VALUE)
    second = moody(world, USED, id="n7_use", on=first.id)
    return replace(truth(world, **{first.id: "pending", second.id: "unknowable"}), written=PEOPLE)


@fault(17, "line", others=EVERY)
def second_version_table(world: World) -> Truth:
    world.sql(
        "CREATE SCHEMA other",
        "CREATE TABLE other.alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO other.alembic_version VALUES ('a1_people')",
    )
    wanted = truth(world, "second-version-table", end="refused:second-version-table")
    return replace(wanted, also=frozenset({"drift-extra"}), says=("version_table_schema", "other"))


@fault(17, "line")
def second_version_table_with_the_first_one_pinned(world: World) -> Truth:
    world.sql(
        "CREATE SCHEMA other",
        "CREATE TABLE other.alembic_version (version_num varchar(32) PRIMARY KEY)",
    )
    world.config += 'version_table_schema = "public"\nignore = ["schema:other"]\n'
    return replace(
        truth(world, end="nothing"), also=frozenset({"second-version-table"}), same_catalog=False
    )


@fault(28, "line", at=before_last)
def exit_0_with_nothing_written(world: World) -> Truth:
    """env.py asks the database something first, and so nobody commits Alembic's work."""
    env = world.project / "migrations" / "env.py"
    text = env.read_text()
    old = "    context.configure("
    assert old in text
    new = '    connection.exec_driver_sql("SELECT 1")\n' + old
    env.write_text(text.replace(old, new, 1))
    wanted = truth(world, "lost-work", **{world.topology.last: "pending"})
    return replace(wanted, after=frozenset({"lost-work"}), same_catalog=False)


# --- rows only ----------------------------------------------------------------------------


@fault(19, "data-only")
def data_revision_below_one_that_never_ran(world: World) -> Truth:
    """The record is false of the next one; whether this one ran, nobody can tell."""
    world.undo("a3_orders")
    wanted = truth(
        world, "phantom", "unknowable-data", end="refused:unknowable-data", a3_orders="phantom"
    )
    return replace(wanted, says=("e3_fill", "not_ran"))


@fault(19, "data-only")
def data_revision_of_which_a_person_says_that_it_ran(world: World) -> Truth:
    world.undo("a3_orders")
    world.config += 'ran = ["e3_fill"]\n'
    return truth(world, "phantom", a3_orders="phantom")


@fault(19, "data-only")
def data_revision_of_which_a_person_says_that_it_did_not_run(world: World) -> Truth:
    world.undo("a3_orders")
    world.sql("UPDATE people SET email = NULL")
    world.config += 'not_ran = ["e3_fill"]\n'
    wanted = truth(world, "phantom", a3_orders="phantom")
    return replace(wanted, written=frozenset({"public.people"}))


@fault(24, "data-only", at=lambda topology: ("a2_email",))
def data_revision_pending(world: World) -> Truth:
    """Everybody agrees that it has not run: it runs, and rows change as it says."""
    wanted = truth(world, a3_orders="pending")
    return replace(wanted, written=frozenset({"public.people"}))


# --- several at once ----------------------------------------------------------------------


@fault(35, "line")
def as_in_the_wallet(world: World) -> Truth:
    """Two heads, a phantom, an id that cannot be recorded, a duplicated row."""
    last = world.topology.last
    world.undo(last)
    world.add(replace(TAGS, parents=(world.topology.revisions[0].id,)))
    world.add(
        Rev(
            id="add_reference_id_unique_constraint",
            parents=(last,),
            up=("ALTER TABLE letters ADD reference varchar(20) UNIQUE",),
            down=("ALTER TABLE letters DROP reference",),
        )
    )
    world.sql(
        "ALTER TABLE alembic_version DROP CONSTRAINT alembic_version_pkc",
        f"INSERT INTO alembic_version VALUES ('{last}')",
    )
    return truth(
        world,
        *("phantom", "multiple-heads", "long-revision-id", "duplicate-row"),
        **{last: "phantom", TAGS.id: "pending", "add_reference_id_unique_constraint": "pending"},
    )


@fault(35, "line")
def phantom_under_drift_and_an_unlocated_row(world: World) -> Truth:
    world.undo(world.topology.last)
    world.sql("DROP INDEX ix_letters_body")
    world.record(world.topology.last, "0123456789ab")
    return truth(
        world,
        *("phantom", "partial", "hole", "drift-missing", "unlocated-row"),
        **{world.topology.last: "phantom", "a2_email": "partial", "a3_orders": "applied"},
    )
