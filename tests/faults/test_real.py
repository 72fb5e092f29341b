"""Faults injected into real trees (marker corpus; make test-corpus)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults import trees
from faults.real import TREES, RealTree
from faults.running import Run, codes_of, go, verdicts_of
from faults.worlds import Workshop, World, connected

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(900)]


@pytest.fixture(params=TREES)
def tree(request: pytest.FixtureRequest) -> RealTree:
    found = TREES[request.param]
    found.install()
    return found


@pytest.fixture
def world(tree: RealTree, workshop: Workshop) -> Iterator[World]:
    """An empty database beside the tree."""
    empty = trees.Topology(name=tree.name, revisions=(), last="", middle="", declared=True)
    made = workshop.world(empty, at=())
    for path in (made.project / "migrations", made.project / "alembic.ini"):
        _remove(path)
    made.project.rmdir()
    tree.write(made.project)
    made.python = str(tree.python)
    yield made
    workshop.drop(made)


def _remove(path: object) -> None:
    import shutil
    from pathlib import Path

    assert isinstance(path, Path)
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def upgrade(tree: RealTree, world: World, target: str) -> None:
    tree.alembic(world.project, world.dsn.with_driver("psycopg2"), "upgrade", target)


def test_healthy_database_is_left_alone(tree: RealTree, world: World) -> None:
    upgrade(tree, world, tree.target)
    outcome = go(world)
    assert outcome.end == "nothing", outcome.reason
    assert set(verdicts_of(outcome.audit).values()) <= {"applied", "unknowable"}


def test_empty_version_table_is_stamped(tree: RealTree, world: World) -> None:
    upgrade(tree, world, tree.target)
    rows = world.recorded()
    world.record()
    outcome = go(world)
    assert outcome.end == "repaired", outcome.reason
    assert set(verdicts_of(outcome.audit).values()) <= {"unrecorded", "unknowable"}
    assert world.recorded() == rows


def test_heads_recorded_over_an_older_schema(tree: RealTree, world: World) -> None:
    """No verdict contradicts what really ran; the rest is run, and the schema is the heads'."""
    upgrade(tree, world, tree.target)
    rows, promised = world.recorded(), world.catalog()
    with connected(world.dsn) as cursor:
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
    upgrade(tree, world, tree.middle)
    ran = set(_history(tree, world))
    world.record(*rows)
    outcome = go(world)
    for name, verdict in verdicts_of(outcome.audit).items():
        assert verdict in (("applied", "unknowable") if name in ran else ("phantom", "unknowable"))
    if outcome.end != "refused:unknowable-data":
        assert outcome.end == "repaired", outcome.reason
        assert world.catalog() == promised
        assert world.recorded() == rows


def _history(tree: RealTree, world: World) -> list[str]:
    """The ids that Alembic itself says a database at the middle has run."""
    text = tree.alembic(
        world.project, world.dsn.with_driver("psycopg2"), "history", "-r", f":{tree.middle}"
    )
    return [part.split()[0] for line in text.splitlines() if " -> " in line
            for part in [line.split(" -> ")[1].replace(",", " ")]]  # fmt: skip


def test_index_dropped_by_hand_is_made_again(tree: RealTree, world: World) -> None:
    upgrade(tree, world, tree.target)
    promised = world.catalog()
    with connected(world.dsn) as cursor:
        cursor.execute(
            "SELECT c.oid::regclass FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid "
            "WHERE relnamespace = 'public'::regnamespace AND NOT indisunique ORDER BY relname"
        )
        (name,) = cursor.fetchone()
        cursor.execute(f"DROP INDEX {name}")
    run = Run(world)
    assert codes_of(run.audit(), "error") >= {"drift-missing"}
    end, reason, _, _ = run.repair()
    assert end == "repaired", reason
    assert world.catalog() == promised
