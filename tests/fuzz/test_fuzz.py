"""Invented trees in invented states: judged right, and repaired or refused rightly.

A few in the ordinary suite; ``make test-fuzz`` runs many (RUNBOOK_SEEDS=FIRST:LAST chooses them).
"""

from __future__ import annotations

import os

import psycopg2
import pytest
from faults.trees import Rev, Topology
from faults.worlds import Workshop

from fuzz.growing import invent
from fuzz.hunting import hunt
from fuzz.judging import misjudged, misjudged_of
from fuzz.living import live
from fuzz.meddling import unnoticed
from runbook_lib.dsn import Dsn

FIRST, _, LAST = os.environ.get("RUNBOOK_SEEDS", "0:300").partition(":")
MANY = range(int(FIRST), int(LAST))
# Each found a defect once.
QUICK = frozenset((6, 16, 29, 33, 37, 60, 65, 241, 519, 579, 614, 620, 636, 709, 898, 926, 1031,
                   1171, 1304, 2887, 3510, 4068, 4156, 5050, 5067, 5091, 5160, 5183, 5189,
                   5367, 20314))  # fmt: skip
HANDS = frozenset((3, 10, 29, 155, 620, 1000, 2160, 2275))
LIVES = frozenset((7,))


def seeds(quick: frozenset[int], step: int) -> list[object]:
    return [
        pytest.param(seed, marks=() if seed in quick else (pytest.mark.corpus,))
        for seed in sorted(quick | {*MANY[::step]})
    ]


@pytest.mark.parametrize("seed", seeds(QUICK, 1))
def test_every_state_is_judged_right(seed: int, database: Dsn) -> None:
    connection = psycopg2.connect(**database.libpq())
    try:
        wrong = list(misjudged(connection, seed))
    finally:
        connection.close()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("seed", seeds(HANDS, 5))
def test_change_by_hand_is_noticed_and_blamed_on_no_revision(seed: int, database: Dsn) -> None:
    connection = psycopg2.connect(**database.libpq())
    try:
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT inventing")
            tree = invent(seed, cursor)
            cursor.execute("ROLLBACK TO inventing")
        wrong = list(unnoticed(connection, tree, seed))
    finally:
        connection.close()
    assert not wrong, "\n".join(wrong)


def test_holes_below_a_renamed_table(database: Dsn) -> None:
    """What the renaming did not find is not its lack, and what it took along is no drift."""
    ups = (
        ("CREATE TABLE users (id serial PRIMARY KEY, name varchar(20))",),
        ("ALTER TABLE users ADD email text",),
        ("ALTER TABLE users ADD age int",),
        ("ALTER TABLE users ADD phone text", "CREATE INDEX ix_phone ON users (phone)"),
        ("ALTER TABLE users ALTER name TYPE varchar(40)",),
        ("ALTER TABLE users ADD zip text",),
        ("ALTER TABLE users DROP COLUMN age",),
        ("ALTER TABLE users RENAME TO accounts",),
        ("CREATE TABLE logs (id int)",),
    )
    line = [
        Rev(id=f"r{number}", parents=(f"r{number - 1}",) if number else (), up=up)
        for number, up in enumerate(ups)
    ]
    tree = Topology(name="renaming", revisions=tuple(line), last="", middle="")
    connection = psycopg2.connect(**database.libpq())
    try:
        wrong = list(misjudged_of(connection, tree, holes=2))
    finally:
        connection.close()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("seed", seeds(LIVES, 5))
def test_life_ends_well(seed: int, workshop: Workshop) -> None:
    life = live(workshop, seed, hand=seed % 25 == 0)
    if life is None:
        pytest.skip("Alembic runs its branches in an order in which the tree fails.")
    found = hunt(workshop, life, back=seed % 3 == 0)
    print(found.end, found.strategy, found.reason)
    workshop.drop(life.world)
    assert not found.wrong, "\n".join((str(life), *found.wrong))
