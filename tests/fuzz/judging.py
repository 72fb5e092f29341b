"""Judging: what the runbook says of every state that a tree could be in, against what is so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
from faults.trees import Topology
from samples import TARGET

from fuzz.growing import MINDFUL, invent
from fuzz.supposing import NO, YES, Knowledge, State, Supposed, know, replayed, suppose
from runbook_lib.auditing import Conclusions, Observations, conclude
from runbook_lib.catalog import Catalog
from runbook_lib.graph import RevisionGraph, SourceTree
from runbook_lib.hypotheses import Trial
from runbook_lib.revisions import parse_tree
from runbook_lib.versions import VersionRows


def misjudged(connection: Any, seed: int) -> Iterator[str]:
    """Say every false verdict and every false drift in any state of the seed's tree."""
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT inventing")
        topology = invent(seed, cursor)
        cursor.execute("ROLLBACK TO inventing")
    yield from misjudged_of(connection, topology, lenient=seed >= MINDFUL)


def misjudged_of(
    connection: Any, topology: Topology, *, holes: int | None = None, lenient: bool = False
) -> Iterator[str]:
    """The same of a given tree; with ``holes`` only states that lack at most so many revisions.

    ``lenient``: it is enough that all verdicts together are true of a state that leaves the same
    catalog. Of two revisions that make the same unless it is there, nothing tells which did.
    """
    states, seen = world(connection, topology)
    if seen is None:
        return
    knowledge = know(topology.revisions, states)
    made = {one.state: one.catalog for one in states}
    for one in states:
        if holes is not None and one.state.count(NO) > holes:
            continue
        drawn = conclusions(topology, seen, one.catalog, made)
        where = f"{topology.name}, {one.state}: "
        yield from (where + text for text in _false(topology, knowledge, one.state, drawn, lenient))


def world(connection: Any, topology: Topology) -> tuple[list[Supposed], Any]:
    """Return all states that could be, and the tree's replay; None when it does not run."""
    try:
        seen = replayed(connection, topology.revisions)
        return list(suppose(connection, topology.revisions)), seen
    except psycopg2.Error:
        return [], None
    finally:
        connection.rollback()


def conclusions(
    topology: Topology, replay: Any, live: Catalog, made: dict[State, Catalog]
) -> Conclusions:
    """Return what is concluded of a live catalog; ``made`` is what trials would make."""
    return conclude(_observed(topology, replay, live), _trial(topology, made))


def _trial(topology: Topology, catalogs: dict[State, Catalog]) -> Trial:
    def trial(names: tuple[str, ...]) -> Catalog | None:
        return catalogs.get(tuple(YES if rev.id in names else 0 for rev in topology.revisions))

    return trial


def _observed(topology: Topology, replay: Any, live: Catalog) -> Observations:
    graph = _graph(topology)
    return Observations(
        environment="test",
        target=TARGET,
        tree_digest="0" * 64,
        graph=graph,
        loadable=graph,
        renamed={},
        rows=VersionRows(table="public.alembic_version", rows=()),
        live=live,
        replay=replay,
    )


def _graph(topology: Topology) -> RevisionGraph:
    files = {rev.file: rev.text() for rev in topology.revisions}
    return parse_tree(SourceTree(files=files, locations=("migrations/versions",)))


def _false(
    topology: Topology, knowledge: Knowledge, state: State, drawn: Conclusions, lenient: bool
) -> Iterator[str]:
    said = [drawn.verdicts[rev.id].executed for rev in topology.revisions]
    for number, rev in enumerate(topology.revisions):
        verdict, true = drawn.verdicts[rev.id], knowledge.allowed(state, number)
        if verdict.executed in (*true, "unknowable"):
            continue
        if not lenient or not knowledge.possible(state, said):
            yield f"{rev.id} is {verdict.executed}, not {sorted(true)}: {verdict.reason}"
    for drift in drawn.drift:
        if drift.aspect != "name":
            yield f"{drift.object} {drift.aspect} is no drift: {drift.expected}, {drift.found}"
