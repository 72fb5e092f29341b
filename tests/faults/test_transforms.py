"""Revisions that rename, retype and drop: rows are followed, and lost only with a person's word."""

from __future__ import annotations

import pytest

from faults.running import Run, go
from faults.trees import LINE, Rev, Topology
from faults.worlds import Workshop, World

BASE = Rev(
    id="t1_base",
    up=(
        "CREATE TABLE clients (id serial PRIMARY KEY, name varchar(20), since timestamp, "
        "points integer, legacy text)",
        "CREATE TABLE old_things (id serial PRIMARY KEY, what text)",
    ),
    down=("DROP TABLE clients", "DROP TABLE old_things"),
)
ROWS = (
    (
        "public.clients",
        "INSERT INTO clients (name, since, points, legacy) SELECT 'n' || i, "
        "'2026-01-01'::timestamp + i * interval '1 h', i, 'l' FROM generate_series(1, 20) i",
    ),
    ("public.old_things", "INSERT INTO old_things (what) VALUES ('a'), ('b'), ('c')"),
)
FOLLOWED = Rev(
    id="t2_transform",
    parents=("t1_base",),
    up=(
        "ALTER TABLE clients RENAME TO customers",
        "ALTER TABLE customers RENAME name TO full_name",
        "ALTER TABLE customers ALTER since TYPE timestamptz USING since AT TIME ZONE 'UTC'",
        "ALTER TABLE customers ALTER points TYPE numeric(10, 2)",
        "CREATE SCHEMA archive",
        "ALTER TABLE old_things SET SCHEMA archive",
    ),
    down=(
        "ALTER TABLE archive.old_things SET SCHEMA public",
        "DROP SCHEMA archive",
        "ALTER TABLE customers ALTER points TYPE integer",
        "ALTER TABLE customers ALTER since TYPE timestamp USING since AT TIME ZONE 'UTC'",
        "ALTER TABLE customers RENAME full_name TO name",
        "ALTER TABLE customers RENAME TO clients",
    ),
)
DROPS = Rev(
    id="t2_drops",
    parents=("t1_base",),
    up=(
        "ALTER TABLE clients DROP legacy",
        "DROP TABLE old_things",
        "ALTER TABLE clients ADD rank text",  # without a default: the revision sees to its values
        "UPDATE clients SET rank = 'new'",
        "ALTER TABLE clients ALTER rank SET NOT NULL",
    ),
    down=(
        "ALTER TABLE clients DROP rank",
        "ALTER TABLE clients ADD legacy text",
        "CREATE TABLE old_things (id serial PRIMARY KEY, what text)",
    ),
)
ALLOWED = 'may_lose = ["column:public.clients.legacy", "table:public.old_things"]\n'


def world(workshop: Workshop, head: Rev, *, phantom: bool) -> World:
    tree = Topology(name=head.id, revisions=(BASE, head), last=head.id, middle=BASE.id, rows=ROWS)
    made = workshop.world(tree, (BASE.id,))
    if phantom:
        made.record(head.id)
    return made


@pytest.mark.parametrize("phantom", [False, True])
def test_renamed_and_retyped_rows_are_followed(workshop: Workshop, phantom: bool) -> None:
    made = world(workshop, FOLLOWED, phantom=phantom)
    outcome = go(made)
    assert outcome.end == "repaired", outcome.reason
    assert outcome.again
    assert not [item for item in outcome.again.findings if item.severity == "error"]
    assert len(made.rows()["public.customers"][1]) == 20
    assert len(made.rows()["archive.old_things"][1]) == 3
    workshop.drop(made)


def test_data_is_dropped_only_when_a_person_allows_it(workshop: Workshop) -> None:
    made = world(workshop, DROPS, phantom=True)
    before = made.rows()
    refused = go(made)
    assert refused.end == "refused:would-lose-data"
    assert ALLOWED.strip() in refused.reason
    assert made.rows() == before
    made.config = ALLOWED
    outcome = go(made)
    assert outcome.end == "repaired", outcome.reason
    assert outcome.plan
    assert outcome.plan.loses == ("column:public.clients.legacy", "table:public.old_things")
    assert made.rows()["public.clients"][0] == ("id", "name", "since", "points", "rank")
    assert len(made.rows()["public.clients"][1]) == 20
    workshop.drop(made)


def test_a_table_renamed_by_hand_is_told_from_a_new_one(workshop: Workshop) -> None:
    """Nobody is led to take over, drop or ignore what holds the rows of a missing table."""
    world = workshop.world(LINE)
    world.sql("ALTER TABLE letters RENAME TO letters_old")
    outcome = go(world)
    (told,) = (item for item in outcome.audit.findings if item.code == "drift-extra")
    advice = "Give it its name back"
    assert told.subject == "table:public.letters_old"
    assert advice in told.message
    assert outcome.end.startswith("refused:drift-")
    assert advice in outcome.reason
    world.sql("ALTER TABLE letters_old RENAME TO letters", "CREATE TABLE letters_old (body text)")
    (other,) = (item for item in Run(world).audit().findings if item.code == "drift-extra")
    workshop.drop(world)
    assert "exactly the columns" not in other.message, "nothing is missing"
