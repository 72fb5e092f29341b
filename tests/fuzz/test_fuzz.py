"""Invented trees in invented states: judged right, and repaired or refused rightly.

A few in the ordinary suite; ``make test-fuzz`` runs many (RUNBOOK_SEEDS=FIRST:LAST chooses them).
"""

from __future__ import annotations

import os

import psycopg2
import pytest
from faults.worlds import Workshop

from fuzz.hunting import hunt
from fuzz.judging import misjudged
from fuzz.living import live
from runbook_lib.dsn import Dsn

FIRST, _, LAST = os.environ.get("RUNBOOK_SEEDS", "0:300").partition(":")
MANY = range(int(FIRST), int(LAST))
QUICK = frozenset((6, 16, 29, 33, 37, 60, 65, 241, 519, 579, 614, 620))  # each found a defect once
LIVES = frozenset((7, 9, 12))


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


@pytest.mark.parametrize("seed", seeds(LIVES, 5))
def test_life_ends_well(seed: int, workshop: Workshop) -> None:
    life = live(workshop, seed, hand=seed % 25 == 0)
    if life is None:
        pytest.skip("Alembic runs its branches in an order in which the tree fails.")
    found = hunt(workshop, life, back=seed % 3 == 0)
    print(found.end, found.strategy, found.reason)
    workshop.drop(life.world)
    assert not found.wrong, "\n".join((str(life), *found.wrong))
