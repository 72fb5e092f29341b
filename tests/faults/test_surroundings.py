"""Ways in which an env.py runs migrations: who begins a transaction, and who commits it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faults import executions, trees
from faults.catalogue import FAULTS, Fault
from faults.running import Run, codes_of, wrong
from faults.trees import Topology
from faults.worlds import Workshop, World

assert executions  # registers its faults

HEAD = """\
from alembic import context
from sqlalchemy import create_engine, pool, text

engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
"""
KEPT = {
    "begun": """\
with engine.begin() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
""",
    "begun-only": """\
with engine.begin() as connection:
    context.configure(connection=connection)
    context.run_migrations()
""",
    "per-migration": """\
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
""",
    "per-migration-only": """\
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    context.run_migrations()
""",
    "committed-at-last": """\
with engine.connect() as connection:
    connection.execute(text("SELECT 1"))
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
""",
    "committed-only": """\
with engine.connect() as connection:
    context.configure(connection=connection)
    context.run_migrations()
    connection.commit()
""",
    "committed-in-words": """\
with engine.connect() as connection:
    context.configure(connection=connection)
    context.run_migrations()
    connection.execute(text("COMMIT"))
""",
    "by-hand": """\
connection = engine.connect()
transaction = connection.begin()
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
transaction.commit()
connection.close()
""",
    "autocommit": """\
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
    context.configure(connection=connection)
    context.run_migrations()
""",
}
LOST = {
    "neither": """\
with engine.connect() as connection:
    context.configure(connection=connection)
    context.run_migrations()
""",
    "asked-first": """\
with engine.connect() as connection:
    connection.execute(text("SELECT 1"))
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
""",
}
WAYS = {**KEPT, **LOST}


def run_by(world: World, way: str) -> None:
    (world.project / "migrations" / "env.py").write_text(HEAD + WAYS[way])


@pytest.mark.parametrize("way", WAYS)
def test_work_is_called_lost_where_nobody_commits_it(workshop: Workshop, way: str) -> None:
    world = workshop.world(trees.LINE, ("a3_orders",))
    run_by(world, way)
    audit = Run(world).audit()
    workshop.drop(world)
    lost = {item.subject for item in audit.findings if item.code == "lost-work"}
    assert lost == (set(trees.LINE.ids) if way in LOST else set())
    assert codes_of(audit, "error") == ({"lost-work"} if way in LOST else set())


def cases() -> list[object]:
    """Ways, faults and topologies; one of them in the ordinary suite."""
    names = ("healthy-world", "recorded-never-executed", "hole-in-the-middle",
             "stopped-before-the-last", "version-table-empty")  # fmt: skip
    found = []
    for way in WAYS:
        for fault in (FAULTS[name] for name in names):
            for name in (*fault.topologies, *fault.others):
                usual = (way, fault.name, name) == ("neither", "stopped-before-the-last", "line")
                marks = () if usual else (pytest.mark.corpus,)
                key = f"{way}-{fault.name}-{name}"
                found.append(pytest.param(way, fault, trees.TOPOLOGIES[name], id=key, marks=marks))
    return found


@pytest.mark.parametrize(("way", "fault", "topology"), cases())
def test_fault(workshop: Workshop, way: str, fault: Fault, topology: Topology) -> None:
    world = workshop.world(topology, fault.at(topology))
    truth = fault.inject(world)
    run_by(world, way)
    if way in LOST:  # Alembic by itself loses it now and then; env.py is for a person to mend
        lost = frozenset({"lost-work"})
        truth = replace(truth, codes=truth.codes | lost, after=lost, same_catalog=False)
    bad, _ = wrong(workshop, world, truth)
    workshop.drop(world)
    assert not bad, "\n".join(bad)
