"""Faults injected into real trees (marker corpus; make test-corpus)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from faults import trees
from faults.filling import fill
from faults.real import BASELESS, TREES, RealTree
from faults.running import Run, codes_of, go, verdicts_of
from faults.worlds import Workshop, World, connected
from runbook_lib.catalog import diff

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(900)]


@pytest.fixture(params=TREES)
def tree(request: pytest.FixtureRequest) -> RealTree:
    found = TREES[request.param]
    found.install()
    return found


@pytest.fixture
def world(tree: RealTree, workshop: Workshop) -> Iterator[World]:
    """An empty database beside the tree."""
    yield from beside(tree, workshop)


def beside(tree: RealTree, workshop: Workshop) -> Iterator[World]:
    empty = trees.Topology(name=tree.name, revisions=(), last="", middle="", declared=True)
    made = workshop.world(empty, at=())
    for path in (made.project / "migrations", made.project / "alembic.ini"):
        _remove(path)
    made.project.rmdir()
    tree.write(made.project)
    made.python = str(tree.python)
    made.settings = tree.settings
    made.config = f'branch = "{tree.target}"\n' if "@" in tree.target else ""
    yield made
    workshop.drop(made)


def _remove(path: object) -> None:
    import shutil
    from pathlib import Path

    assert isinstance(path, Path)
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def upgrade(tree: RealTree, world: World, target: str) -> None:
    tree.alembic(world.project, world.dsn.with_driver(tree.driver), "upgrade", target)


def test_healthy_database_is_left_alone(tree: RealTree, world: World) -> None:
    upgrade(tree, world, tree.target)
    outcome = go(world)
    assert outcome.end == "nothing", outcome.reason
    assert set(verdicts_of(outcome.audit).values()) <= {"applied", "unknowable"}


def test_empty_version_table_is_stamped(tree: RealTree, world: World) -> None:
    upgrade(tree, world, tree.target)
    rows = world.recorded()
    world.record()
    if tree.silent:
        refused = go(world)
        assert refused.end == "refused:unknowable-data", refused.reason
        assert tree.silent[0] in refused.reason
        world.config += f'ran = ["{tree.silent[0]}"]\n'
    outcome = go(world)
    assert outcome.end == "repaired", outcome.reason
    assert set(verdicts_of(outcome.audit).values()) <= {"unrecorded", "unknowable"}
    assert world.recorded() == rows


def test_heads_recorded_over_an_older_schema(tree: RealTree, world: World) -> None:
    """No verdict contradicts what really ran; the rest is run, and the schema is the heads'.

    Where what lacks changes rows only (AiiDA), it is unknowable, and there is nothing to do.
    """
    upgrade(tree, world, tree.target)
    rows, promised = world.recorded(), world.catalog()
    with connected(world.dsn) as cursor:
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
    upgrade(tree, world, tree.middle)
    ran, same = set(_history(tree, world)), world.catalog() == promised
    world.record(*rows)
    outcome = go(world)
    for name, verdict in verdicts_of(outcome.audit).items():
        assert verdict in (("applied", "unknowable") if name in ran else ("phantom", "unknowable"))
    if outcome.end != "refused:unknowable-data":
        assert outcome.end == ("nothing" if same else "repaired"), outcome.reason
        assert world.catalog() == promised
        assert world.recorded() == rows


def _history(tree: RealTree, world: World) -> list[str]:
    """The ids that Alembic itself says a database at the middle has run."""
    text = tree.alembic(
        world.project, world.dsn.with_driver(tree.driver), "history", "-r", f":{tree.middle}"
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
    assert codes_of(run.audit(), "error") & {"drift-missing", "partial"}  # half of a small one
    end, reason, _, _ = run.repair()
    assert end == "repaired", reason
    assert world.catalog() == promised


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A revision of a real tree, and a line in the middle of its ``upgrade``."""

    tree: str
    revision: str
    line: str


CUTS = (
    Cut(tree="argilla-server", revision="237f7c674d74", line='op.create_index(op.f("ix_records_'),
    Cut(tree="glance", revision="wallaby_expand01", line="op.create_index("),
    Cut(tree="dstack", revision="57cff3ec86ce", line='batch_op.add_column(sa.Column("lock_own'),
)


@pytest.fixture(params=CUTS, ids=lambda cut: cut.tree)
def cut(request: pytest.FixtureRequest) -> Cut:
    found: Cut = request.param
    TREES[found.tree].install()
    return found


@pytest.fixture
def broken(cut: Cut, workshop: Workshop) -> Iterator[World]:
    """An empty database beside the tree of the cut."""
    yield from beside(TREES[cut.tree], workshop)


def upgrade_without(cut: Cut, world: World, line: str) -> None:
    """Upgrade to the heads while the revision's upgrade returns before ``line``."""
    (file,) = (
        path
        for path in world.project.rglob("versions/**/*.py")
        if re.search(rf"^revision\b.*{cut.revision}", path.read_text(), re.MULTILINE)
    )
    text = file.read_text()
    above, found, below = text.partition("def upgrade()")
    body = re.sub(rf"\n( +)(?={line})", r"\n\1return\n\1", below, count=1)
    assert found
    assert body != below
    file.write_text(above + found + body)
    upgrade(TREES[cut.tree], world, TREES[cut.tree].target)
    file.write_text(text)


@pytest.mark.parametrize("whole", [True, False], ids=["hole", "half"])
def test_revision_that_did_not_run_to_its_end(
    cut: Cut, broken: World, whole: bool, workshop: Workshop
) -> None:
    """Everything ran but for one revision, or for its later half; the heads are recorded.

    Tables have rows, and every one of them is there afterwards with its values.
    """
    for sound in beside(TREES[cut.tree], workshop):
        upgrade(TREES[cut.tree], sound, TREES[cut.tree].target)
        promised = sound.catalog()
    upgrade_without(cut, broken, r"\S" if whole else re.escape(cut.line))
    rows = broken.recorded()
    assert fill(broken.dsn) > 3
    before = broken.rows()
    outcome = go(broken)
    verdicts = verdicts_of(outcome.audit)
    assert verdicts.pop(cut.revision) == ("phantom" if whole else "partial")
    assert set(verdicts.values()) <= {"applied", "unknowable"}
    assert outcome.end == "repaired", outcome.reason
    assert diff(promised, broken.catalog()) == ()
    assert broken.same_rows(before) == []
    assert outcome.again is not None
    assert not codes_of(outcome.again, "error")
    assert set(rows) <= set(broken.recorded()) or len(broken.recorded()) == 1


# Trees that do not start from empty -----------------------------------------------------------


@pytest.fixture
def mlflow(workshop: Workshop) -> Iterator[World]:
    """MLflow's database at its heads, the past made by ``create_all`` of the first models."""
    yield from _based("mlflow", workshop)


@pytest.fixture
def jupyterhub(workshop: Workshop) -> Iterator[World]:
    """JupyterHub's database, made by ``create_all`` alone, as the hub does when it starts."""
    yield from _based("jupyterhub", workshop, upgraded=False)


def _based(name: str, workshop: Workshop, *, upgraded: bool = True) -> Iterator[World]:
    tree = BASELESS[name]
    tree.install()
    for world in beside(tree, workshop):
        url = world.dsn.with_driver("psycopg2")
        tree.make_past(world.project, url)
        tree.alembic(world.project, url, "upgrade" if upgraded else "stamp", "heads")
        yield world


@pytest.fixture(params=["", 'baseline = "callable:past:create"'], ids=["inferred", "given"])
def based(request: pytest.FixtureRequest, mlflow: World) -> World:
    """The same database with the baseline given and without."""
    mlflow.settings = request.param
    return mlflow


def test_healthy_database_above_a_past(based: World) -> None:
    outcome = go(based)
    assert outcome.end == "nothing", outcome.reason
    assert set(verdicts_of(outcome.audit).values()) <= {"applied", "unknowable"}
    assert codes_of(outcome.audit, "error") <= {"not-valid-constraint"}


def test_head_above_a_past_is_run_and_recorded(based: World) -> None:
    """The head of MLflow makes tables, columns and indexes; all taken away it is a phantom."""
    (head,) = based.recorded()
    promised, before = based.catalog(), based.rows()
    own = [item for item in Run(based).audit().revisions if item.revision_id == head]
    made = [effect[2:].split() for effect in own[0].effects if effect.startswith("+ ")]
    for name in (name for kind, name in made if kind == "table"):
        based.sql(f"DROP TABLE {name}")
    for table, _, column in (name.rpartition(".") for kind, name in made if kind == "column"):
        based.sql(f"ALTER TABLE IF EXISTS {table} DROP COLUMN {column}")
    for name in (name for kind, name in made if kind == "index"):
        based.sql(f"DROP INDEX IF EXISTS {name}")
    outcome = go(based)
    assert outcome.end == "repaired", outcome.reason
    assert based.catalog() == promised
    assert based.same_rows(before) == []
    assert outcome.again is not None
    assert not codes_of(outcome.again, "error")


def test_empty_version_table_above_a_past_is_stamped(based: World) -> None:
    rows = based.recorded()
    based.record()
    outcome = go(based)
    assert outcome.end == "repaired", outcome.reason
    assert set(verdicts_of(outcome.audit).values()) <= {"unrecorded", "unknowable"}
    assert based.recorded() == rows


def test_hub_with_a_revision_that_cannot_run_is_refused(jupyterhub: World) -> None:
    """99a28a4418e1 calls ``datetime._replace``, which there is not; what is above stays open."""
    outcome = go(jupyterhub)
    assert outcome.end == "refused:not-replayable", outcome.reason
    assert "99a28a4418e1" in outcome.reason
    assert outcome.audit.baseline_origin == "inferred"
    assert set(verdicts_of(outcome.audit).values()) <= {"applied", "unknowable"}


def test_history_that_the_schema_proves_is_named(workshop: Workshop) -> None:
    tree = TREES["aiida"]
    tree.install()
    for world in beside(tree, workshop):
        world.config = ""
        upgrade(tree, world, tree.target)
        audit = Run(world).audit()
    assert 'branch = "main@head"' in str([f.suggestion for f in audit.findings])
    verdicts = verdicts_of(audit)
    assert {verdicts.pop("main_0001"), verdicts.pop("main_0002")} <= {"applied", "unknowable"}
    assert set(verdicts.values()) == {"unknowable"}
