"""The catalogue of faults: each breaks a healthy world and says what is then really so.

Numbers are those of the catalogue in the documentation. Each names the topologies that can have it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from faults import trees
from faults.running import Truth
from faults.trees import Rev, Topology
from faults.worlds import World

Injector = Callable[[World], Truth]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """``topologies`` run in the ordinary suite, ``others`` behind the marker corpus."""

    number: int
    name: str
    inject: Injector
    topologies: tuple[str, ...]
    others: tuple[str, ...] = ()
    at: Callable[[Topology], tuple[str, ...]] = lambda topology: ("heads",)


FAULTS: dict[str, Fault] = {}
EVERY = tuple(trees.TOPOLOGIES)


def fault(
    number: int,
    *topologies: str,
    others: tuple[str, ...] = (),
    at: Callable[[Topology], tuple[str, ...]] = lambda topology: ("heads",),
) -> Callable[[Injector], Injector]:
    def register(inject: Injector) -> Injector:
        name = inject.__name__.replace("_", "-")
        rest = tuple(one for one in others if one not in topologies)
        FAULTS[name] = Fault(
            number=number, name=name, inject=inject, topologies=topologies, others=rest, at=at
        )
        return inject

    return register


def healthy(topology: Topology) -> Truth:
    """What is so of a world that nobody has touched."""
    return Truth(verdicts=judged(topology), codes=own_codes(topology), end=_end(topology))


def own_codes(topology: Topology) -> frozenset[str]:
    return frozenset({"multiple-heads"} if topology.name == "two-branches" else ())


def _end(topology: Topology) -> str:
    return "repaired" if own_codes(topology) else "nothing"


def traceless(rev: Rev) -> bool:
    """Whether a revision leaves nothing in the catalog: merge points, data only."""
    return all(statement.startswith("UPDATE") for statement in rev.up) and not rev.outside


def judged(topology: Topology, **changed: str) -> dict[str, str]:
    known = {rev.id: "unknowable" if traceless(rev) else "applied" for rev in topology.revisions}
    return {**known, **changed}


def truth(world: World, *codes: str, end: str = "repaired", **changed: str) -> Truth:
    return Truth(
        verdicts=judged(world.topology, **changed),
        codes=own_codes(world.topology) | set(codes),
        end=end,
    )


TAGS = Rev(
    id="z9_tags",
    doc="Tags",
    up=("CREATE TABLE tags (id serial PRIMARY KEY, tag text)",),
    down=("DROP TABLE tags",),
)


# --- nothing wrong ------------------------------------------------------------------------


@fault(0, "two-branches", "depends-on", "commits-inside", others=EVERY)
def healthy_world(world: World) -> Truth:
    return healthy(world.topology)


# --- schema against record ----------------------------------------------------------------


@fault(19, "line", "diamond", "two-bases", others=EVERY)
def recorded_never_executed(world: World) -> Truth:
    world.undo(world.topology.last)
    wanted = truth(world, "phantom", **{world.topology.last: "phantom"})
    return undecided_rows(world, wanted)


def undecided_rows(world: World, wanted: Truth) -> Truth:
    """Beside a false record nobody can tell whether a revision ran that changes rows only."""
    if world.topology.name != "data-only":
        return wanted
    codes = wanted.codes | {"unknowable-data"}
    return replace(wanted, codes=codes, end="refused:unknowable-data", says=("e3_fill",))


@fault(19, "line")
def recorded_never_executed_above_a_call(world: World) -> Truth:
    """A revision that calls a function may have changed rows: its text does not tell."""
    body = "$$ BEGIN UPDATE people SET email = 'x' || id; END $$"
    made = Rev(
        id="w5_function",
        parents=(world.topology.last,),
        up=(f"CREATE FUNCTION fill() RETURNS void LANGUAGE plpgsql AS {body}",),
    )
    called = Rev(id="w6_call", parents=(made.id,), up=("SELECT fill() FROM pg_catalog.pg_am",))
    world.sql(*made.up)
    for rev in (made, called, replace(TAGS, parents=(called.id,))):
        world.add(rev)
    world.record(TAGS.id)
    known = {made.id: "applied", called.id: "unknowable", TAGS.id: "phantom"}
    wanted = truth(world, "phantom", "unknowable-data", end="refused:unknowable-data", **known)
    return replace(wanted, says=(called.id,))


@fault(20, "line", "depends-on", others=EVERY)
def executed_by_hand_not_recorded(world: World) -> Truth:
    last = world.topology.rev(world.topology.last)
    parents = last.parents or last.depends
    others = [row for row in world.recorded() if row != last.id]
    world.record(*others, *(p for p in parents if world.topology.name != "two-branches"))
    if world.topology.name == "two-branches":
        world.record(*others, *parents)
    return truth(world, "unrecorded", **{last.id: "unrecorded"})


@fault(21, "line", "objects", others=EVERY)
def hole_in_the_middle(world: World) -> Truth:
    middle = world.topology.middle
    world.undo(middle)
    inner = world.topology.name != "two-bases"  # there it is the head of its branch
    codes = ["phantom", *(("hole", "spliced-ancestor") if inner else ())]
    return undecided_rows(world, truth(world, *codes, **{middle: "phantom"}))


# --- version table ------------------------------------------------------------------------

LOOSE = (
    "ALTER TABLE alembic_version DROP CONSTRAINT alembic_version_pkc",
    "ALTER TABLE alembic_version ALTER version_num DROP NOT NULL",
)


@fault(14, "diamond", others=EVERY)
def version_table_empty(world: World) -> Truth:
    world.record()
    return unrecorded_all(world, "version-table-empty")


@fault(14, "two-branches", others=EVERY)
def version_table_missing(world: World) -> Truth:
    world.sql("DROP TABLE alembic_version")
    return unrecorded_all(world, "version-table-missing")


def unrecorded_all(world: World, *codes: str) -> Truth:
    known = judged(world.topology)
    known = {k: "unrecorded" if v == "applied" else v for k, v in known.items()}
    return truth(world, "unrecorded", *codes, **known)


@fault(10, "line", "depends-on", others=EVERY)
def unlocated_row(world: World) -> Truth:
    """The row names a revision that no file has; everything of the tree is there."""
    world.record("0123456789ab")
    return unrecorded_all(world, "unlocated-row")


@fault(11, "two-bases", others=EVERY)
def unlocated_row_beside_a_good_one(world: World) -> Truth:
    world.record(*world.recorded(), "0123456789ab")
    return truth(world, "unlocated-row")


@fault(12, "diamond", others=EVERY)
def ancestor_and_descendant_recorded(world: World) -> Truth:
    world.record(*world.recorded(), world.topology.revisions[0].id)
    through_depends_on = world.topology.name == "depends-on"  # which may be right, and is tidied
    return truth(world, *(() if through_depends_on else ("redundant-row",)))


@fault(16, "line", others=EVERY)
def wrong_case(world: World) -> Truth:
    world.record(*(row.upper() for row in world.recorded() if row))
    return unrecorded_all(world, "inexact-id")


@fault(16, "line")
def trailing_space(world: World) -> Truth:
    world.record(*(f"{row} " for row in world.recorded()))
    return unrecorded_all(world, "inexact-id")


@fault(16, "diamond")
def abbreviated_id(world: World) -> Truth:
    world.record(*(str(row)[:5] for row in world.recorded()))
    return unrecorded_all(world, "inexact-id")


@fault(13, "line", others=EVERY)
def row_recorded_twice(world: World) -> Truth:
    world.sql(*LOOSE)
    world.record(*world.recorded(), *world.recorded())
    return truth(world, "duplicate-row")


@fault(15, "line", others=EVERY)
def null_row(world: World) -> Truth:
    world.sql(*LOOSE)
    world.record(*world.recorded(), None)
    return truth(world, "null-row")


# --- tree ---------------------------------------------------------------------------------


@fault(2, "line", "diamond")
def file_gone_in_the_middle(world: World) -> Truth:
    """Its table and column are there and no file explains them."""
    middle = world.topology.middle
    world.file(middle).unlink()
    known = {k: v for k, v in judged(world.topology).items() if k != middle}
    heads = {"multiple-heads"} if world.topology.name == "line" else own_codes(world.topology)
    return Truth(verdicts=known, codes=frozenset({"dangling-parent", *heads}))


@fault(2, "line")
def file_of_a_merge_gone(world: World) -> Truth:
    """Nothing in the schema came of it: an empty tombstone is exactly right."""
    world.add(replace(TAGS, id="y8_empty", parents=(world.topology.last,), up=(), down=()))
    world.add(replace(TAGS, parents=("y8_empty",)))
    world.sql(*TAGS.up)
    world.record(TAGS.id)
    (world.project / replace(TAGS, id="y8_empty").file).unlink()
    return truth(world, "dangling-parent", "multiple-heads", **{TAGS.id: "applied"})


@fault(1, "line", others=("objects",))
def second_head_pending(world: World) -> Truth:
    """A colleague's revision on an older parent; it has not run."""
    world.add(replace(TAGS, parents=(world.topology.revisions[0].id,)))
    return truth(world, "multiple-heads", **{TAGS.id: "pending"})


@fault(1, "line")
def second_head_applied(world: World) -> Truth:
    world.add(replace(TAGS, parents=(world.topology.revisions[0].id,)))
    world.sql(*TAGS.up)
    world.record(*world.recorded(), TAGS.id)
    return truth(world, "multiple-heads", **{TAGS.id: "applied"})


@fault(1, "line")
def two_heads_made_one_line(world: World) -> Truth:
    """Linear history: every revision ran, so the chain may be rewritten."""
    world.add(replace(TAGS, parents=(world.topology.revisions[0].id,)))
    world.sql(*TAGS.up)
    world.record(*world.recorded(), TAGS.id)
    world.config += 'history = "linear"\n'
    return truth(world, "multiple-heads", **{TAGS.id: "applied"})


@fault(3, "line")
def duplicate_id_applied_one(world: World) -> Truth:
    """Two files declare the head's id; only the older of the two ran."""
    rev = world.topology.rev(world.topology.last)
    copy = replace(TAGS, id=rev.id, parents=rev.parents)
    (world.project / "migrations/versions/zz_copy.py").write_text(copy.text())
    return twins(world, "applied", "pending")


@fault(3, "line")
def duplicate_id_where_the_newcomer_ran(world: World) -> Truth:
    """Two files declare the head's id; the database has what the other file makes."""
    rev = world.topology.rev(world.topology.last)
    copy = replace(TAGS, id=rev.id, parents=rev.parents)
    (world.project / "migrations/versions/zz_copy.py").write_text(copy.text())
    world.undo(rev.id)
    world.sql(*TAGS.up)
    return twins(world, "pending", "applied")


def twins(world: World, own: str, other: str) -> Truth:
    """Verdicts of two files with one id, by the files' names."""
    last = world.topology.last
    known = {k: v for k, v in judged(world.topology).items() if k != last}
    wanted = truth(world, "duplicate-revision")
    return replace(wanted, verdicts={**known, f"{last}.py": own, "zz_copy.py": other})


@fault(4, "line")
def cycle_through_down_revision(world: World) -> Truth:
    first = world.topology.revisions[0]
    world.edit(first.id, "down_revision = None", "down_revision = 'a3_orders'")
    return truth(world, "cycle")


@fault(4, "line")
def cycle_through_depends_on(world: World) -> Truth:
    world.edit("a2_email", "depends_on = None", "depends_on = 'a4_invoices'")
    return truth(world, "cycle")


@fault(5, "line")
def self_reference(world: World) -> Truth:
    world.edit("a2_email", "depends_on = None", "depends_on = 'a2_email'")
    return truth(world, "self-reference")


@fault(6, "line")
def syntax_error_in_a_file(world: World) -> Truth:
    world.edit(world.topology.last, "def upgrade():", "def upgrade(:")
    known = {**judged(world.topology), world.topology.last: "unknowable"}
    return replace(
        truth(world, "unloadable-file", end="refused:unloadable-file"), verdicts=known, loads=False
    )


@fault(6, "line")
def import_that_fails(world: World) -> Truth:
    world.edit(world.topology.last, "from alembic import op", "from alembic import op, nothing")
    known = {**judged(world.topology), world.topology.last: "unknowable"}
    return replace(
        truth(world, "unloadable-file", end="refused:unloadable-file"), verdicts=known, loads=False
    )


LONG = "add_reference_id_unique_constraint"


@fault(7, "line")
def id_longer_than_the_column(world: World) -> Truth:
    """It ran, PostgreSQL refused to record it, and it was rolled back: pending."""
    world.add(replace(TAGS, id=LONG, parents=(world.topology.last,)))
    return truth(world, "long-revision-id", **{LONG: "pending"})


@fault(25, "line", others=("objects",))
def invalid_index(world: World) -> Truth:
    """A unique index on doubled values failed; the values were mended since."""
    world.add(
        replace(
            TAGS,
            parents=(world.topology.last,),
            up=("ALTER TABLE people ADD nick text",),
            outside=("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS uq_nick ON people (nick)",),
        )
    )
    world.sql("ALTER TABLE people ADD nick text", "UPDATE people SET nick = 'same'")
    try:
        world.sql("CREATE UNIQUE INDEX CONCURRENTLY uq_nick ON people (nick)")
    except Exception:
        world.sql("UPDATE people SET nick = id::text")
    world.record(TAGS.id)
    return truth(world, "invalid-index", **{TAGS.id: "applied"})


@fault(25, "line")
def not_valid_constraint(world: World) -> Truth:
    world.sql(
        "ALTER TABLE orders DROP CONSTRAINT ck_orders_total",
        "ALTER TABLE orders ADD CONSTRAINT ck_orders_total CHECK (total >= 0) NOT VALID",
    )
    return replace(truth(world), also=frozenset({"not-valid-constraint"}))


# --- drift --------------------------------------------------------------------------------


@fault(29, "line", "two-branches")
def index_dropped_by_hand(world: World) -> Truth:
    world.sql("DROP INDEX ix_letters_body")
    codes = ("partial", "drift-missing", "hole")
    wanted = truth(world, *codes, a2_email="partial")
    return replace(wanted, also=frozenset({"edited-after-apply"}))


@fault(29, "line")
def type_changed_by_hand(world: World) -> Truth:
    world.sql("ALTER TABLE letters ALTER body TYPE varchar(500)")
    return truth(world, "drift-changed", end="refused:drift-changed")


@fault(29, "line")
def type_changed_and_reverted_by_decision(world: World) -> Truth:
    world.sql("ALTER TABLE letters ALTER body TYPE varchar(500)")
    decide(world, "column:public.letters.body")
    return truth(world, "drift-changed")


@fault(29, "line")
def type_changed_and_adopted_by_decision(world: World) -> Truth:
    world.sql("ALTER TABLE letters ALTER body TYPE varchar(500)")
    decide(world, "column:public.letters.body", word="adopt")
    return truth(world, "drift-changed")


@fault(29, "line")
def column_added_by_hand(world: World) -> Truth:
    world.sql("ALTER TABLE people ADD phone text", "UPDATE people SET phone = '1'")
    return replace(truth(world, end="refused:drift-extra"), also=frozenset({"drift-extra"}))


@fault(29, "line", "objects")
def column_added_and_adopted(world: World) -> Truth:
    world.sql("ALTER TABLE people ADD phone text", "UPDATE people SET phone = '1'")
    decide(world, "column:public.people.phone", word="adopt")
    return replace(truth(world), also=frozenset({"drift-extra"}))


@fault(29, "line")
def column_added_and_ignored(world: World) -> Truth:
    world.sql("ALTER TABLE people ADD phone text", "UPDATE people SET phone = '1'")
    decide(world, "column:public.people.phone", word="ignore")
    return replace(truth(world, end="nothing"), same_catalog=False)


@fault(29, "line")
def empty_table_added_and_reverted(world: World) -> Truth:
    """Its sequences, one owned and one of an identity, go with it."""
    world.sql(
        "CREATE TABLE scrap (id serial PRIMARY KEY, number integer GENERATED ALWAYS AS IDENTITY)"
    )
    decide(world, "table:public.scrap")
    also, gone = frozenset({"drift-extra"}), frozenset({"public.scrap"})
    return replace(truth(world), also=also, written=gone)


@fault(29, "line")
def filled_table_added_and_reverted(world: World) -> Truth:
    """What holds data is never dropped, not even by decision."""
    world.sql("CREATE TABLE scrap (id serial PRIMARY KEY, note text)")
    world.sql("INSERT INTO scrap (note) VALUES ('precious')")
    decide(world, "table:public.scrap")
    return replace(truth(world, end="refused:drift-extra"), also=frozenset({"drift-extra"}))


@fault(29, "line")
def filled_column_added_and_reverted(world: World) -> Truth:
    world.sql("ALTER TABLE people ADD phone text", "UPDATE people SET phone = '1'")
    decide(world, "column:public.people.phone")
    return replace(truth(world, end="refused:drift-extra"), also=frozenset({"drift-extra"}))


@fault(29, "line", "two-branches", others=("diamond", "objects"))
def empty_columns_added_and_reverted(world: World) -> Truth:
    """NULL in every row, or no row at all: nothing is lost, and all that hangs on them goes."""
    unused = "letters" if world.topology.name != "objects" else "things"
    world.sql(
        "ALTER TABLE people ADD phone text, ADD CONSTRAINT ck_phone CHECK (phone <> '')",
        "CREATE INDEX ix_phone ON people (phone)",
        "COMMENT ON COLUMN people.phone IS 'nobody has one'",
        f"DELETE FROM {unused}",
        f"ALTER TABLE {unused} ADD number integer GENERATED ALWAYS AS IDENTITY",
    )
    decide(
        world,
        *("column:public.people.phone", "constraint:public.people.ck_phone"),
        *("index:public.ix_phone", f"column:public.{unused}.number"),
    )
    gone = frozenset({"people.phone", f"{unused}.number"})
    return replace(truth(world), also=frozenset({"drift-extra"}), dropped=gone)


@fault(29, "line")
def column_full_of_its_default_added_and_reverted(world: World) -> Truth:
    """A default in every row may be what somebody meant: it is data."""
    world.sql("ALTER TABLE people ADD score integer NOT NULL DEFAULT 0")
    decide(world, "column:public.people.score")
    return replace(truth(world, end="refused:drift-extra"), also=frozenset({"drift-extra"}))


@fault(29, "line")
def column_of_half_empty_composites_added_and_reverted(world: World) -> Truth:
    """To SQL, ROW(1, NULL) IS NOT NULL is false: it is a value all the same."""
    world.sql(
        "CREATE TYPE place AS (x integer, y integer)",
        "ALTER TABLE people ADD home place",
        "UPDATE people SET home = ROW(1, NULL)",
    )
    decide(world, "column:public.people.home", "type:public.place")
    wanted = truth(world, end="refused:drift-extra")
    return replace(wanted, also=frozenset({"drift-extra"}), says=("column:public.people.home",))


@fault(29, "line")
def constraint_and_index_renamed(world: World) -> Truth:
    world.sql(
        "ALTER TABLE people RENAME CONSTRAINT uq_people_email TO people_email_key",
        "ALTER INDEX ix_letters_body RENAME TO letters_body_idx",
    )
    return truth(world, end="nothing")


@fault(29, "line")
def spelled_as_an_older_server_kept_it(world: World) -> Truth:
    """What was parsed before PostgreSQL 14 stays calls of functions, also after an upgrade."""
    table = "CREATE TABLE tags (id serial PRIMARY KEY, tag text {}, at timestamp DEFAULT {})"
    check, default = "CHECK (TRIM(tag) <> '')", "(now() AT TIME ZONE 'utc')"
    world.add(replace(TAGS, parents=(world.topology.last,), up=(table.format(check, default),)))
    world.sql(table.format("CHECK (btrim(tag) <> '')", "timezone('utc', now())"))
    world.record(TAGS.id)
    return replace(truth(world, end="nothing", **{TAGS.id: "applied"}), same_catalog=False)


@fault(29, "objects")
def default_and_comment_lacking(world: World) -> Truth:
    world.sql(
        "ALTER TABLE people ALTER email DROP DEFAULT", "COMMENT ON COLUMN people.email IS NULL"
    )
    return truth(world, "drift-missing")


def granting(world: World, *more: str) -> None:
    """Let the head revision of the tree grant something to a role, and others something by hand."""
    rev = replace(
        TAGS,
        parents=(world.topology.last,),
        up=("GRANT SELECT ON people TO clerk", "GRANT SELECT ON letters TO clerk"),
        down=("REVOKE SELECT ON people FROM clerk", "REVOKE SELECT ON letters FROM clerk"),
    )
    roles = "CREATE ROLE clerk; CREATE ROLE analyst; EXCEPTION WHEN duplicate_object THEN NULL"
    world.add(rev)
    world.sql(f"DO $$ BEGIN {roles}; END $$", *rev.up, *more)
    world.record(rev.id)


@fault(29, "line")
def privileges_of_a_role_that_no_revision_names(world: World) -> Truth:
    """Granted outside of Alembic, on tables where a revision grants too: left alone."""
    granting(world, "GRANT SELECT ON people TO analyst", "GRANT ALL ON orders TO analyst")
    return replace(truth(world, end="nothing", **{TAGS.id: "applied"}), same_catalog=False)


@fault(29, "line")
def privileges_of_a_role_that_a_revision_names(world: World) -> Truth:
    """One was granted by hand and is to go, one was revoked and comes back."""
    granting(world, "GRANT UPDATE ON orders TO clerk", "REVOKE SELECT ON letters FROM clerk")
    decide(world, "grant:table:public.orders")
    wanted = truth(world, "partial", **{TAGS.id: "partial"})
    return replace(wanted, also=frozenset({"drift-extra"}))


def decide(world: World, *keys: str, word: str = "revert") -> None:
    lines = "\n".join(f'"{key}" = "{word}"' for key in keys)
    world.config += f"\n[environments.test.drift]\n{lines}\n"


# --- data ---------------------------------------------------------------------------------


@fault(33, "line")
def rows_violate_the_missing_unique_constraint(world: World) -> Truth:
    world.sql(
        "ALTER TABLE people DROP CONSTRAINT uq_people_email",
        "UPDATE people SET email = 'both@example.org' WHERE id < 3",
    )
    wanted = truth(
        world, "partial", "hole", "drift-missing",
        end="refused:data-violates-constraint", a2_email="partial",
    )  # fmt: skip
    return replace(wanted, says=("2 rows", "both@example.org"))


@fault(33, "objects")
def rows_violate_the_missing_check(world: World) -> Truth:
    """The whole revision is missing but for the table, which somebody filled."""
    world.sql(
        "ALTER TABLE things DROP CONSTRAINT ck_things_id",
        "INSERT INTO things (id, kind) OVERRIDING SYSTEM VALUE VALUES (-1, 'big')",
    )
    wanted = truth(
        world, "partial", "drift-missing",
        end="refused:data-violates-constraint", d4_kinds="partial",
    )  # fmt: skip
    return replace(wanted, says=("1 row",))


@fault(33, "line")
def rows_violate_a_pending_constraint(world: World) -> Truth:
    """The revision never ran; running it fails on the rows."""
    world.add(
        replace(
            TAGS,
            parents=(world.topology.last,),
            up=("ALTER TABLE letters ADD CONSTRAINT uq_body UNIQUE (body)",),
            down=("ALTER TABLE letters DROP CONSTRAINT uq_body",),
        )
    )
    world.sql("UPDATE letters SET body = 'same'")
    wanted = truth(world, end="refused:data-violates-constraint", **{TAGS.id: "pending"})
    return replace(wanted, says=("2 rows", "same"))


@fault(33, "line")
def rows_for_which_a_pending_column_has_no_value(world: World) -> Truth:
    """The column of a table called as a keyword is NOT NULL and has no default."""
    world.sql('CREATE TABLE "order" (id serial PRIMARY KEY)', 'INSERT INTO "order" DEFAULT VALUES')
    first = Rev(
        id="w5_order",
        parents=(world.topology.last,),
        up=('CREATE TABLE "order" (id serial PRIMARY KEY)',),
        down=('DROP TABLE "order"',),
    )
    world.add(first)
    world.add(
        replace(
            TAGS,
            parents=(first.id,),
            up=('ALTER TABLE "order" ADD "user" integer NOT NULL',),
            down=('ALTER TABLE "order" DROP "user"',),
        )
    )
    world.record(first.id)
    known = {first.id: "applied", TAGS.id: "pending"}
    wanted = truth(world, end="refused:data-violates-constraint", **known)
    return replace(wanted, says=("1 row", "user"))


@fault(33, "objects")
def rows_violate_a_pending_foreign_key(world: World) -> Truth:
    world.sql("ALTER TABLE people ADD boss integer", "UPDATE people SET boss = 99 WHERE id = 2")
    first = Rev(
        id="w5_boss",
        parents=(world.topology.last,),
        up=("ALTER TABLE people ADD boss integer",),
        down=("ALTER TABLE people DROP boss",),
    )
    world.add(first)
    world.add(
        replace(
            TAGS,
            parents=(first.id,),
            up=(
                "ALTER TABLE people ADD CONSTRAINT fk_boss FOREIGN KEY (boss) "
                "REFERENCES people (id)",
            ),
            down=("ALTER TABLE people DROP CONSTRAINT fk_boss",),
        )
    )
    world.record(first.id)
    known = {first.id: "applied", TAGS.id: "pending"}
    wanted = truth(world, end="refused:data-violates-constraint", **known)
    return replace(wanted, says=("1 row", "99"))


@fault(33, "line")
def pending_revision_that_drops_what_holds_data(world: World) -> Truth:
    """The project's own code wants it; the runbook still loses no row by itself."""
    world.add(
        replace(
            TAGS,
            parents=(world.topology.last,),
            up=("DROP TABLE letters",),
            down=("CREATE TABLE letters (id serial PRIMARY KEY, body text)",),
        )
    )
    wanted = truth(world, end="refused:would-lose-data", **{TAGS.id: "pending"})
    return replace(wanted, says=("public.letters",))
