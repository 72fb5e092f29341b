"""Histories: bases that exclude one another, and which of them the live schema proves. Pure."""

from __future__ import annotations

from dataclasses import replace

from runbook_lib import branches
from runbook_lib import graph as graphs
from runbook_lib.auditing import Conclusions, Observations
from runbook_lib.branches import History
from runbook_lib.effects import Replay
from runbook_lib.graph import RevisionGraph


def excluding(graph: RevisionGraph, replay: Replay) -> bool:
    """Whether a revision fails because another base's history has made the same object."""
    return any(
        run.status == "failed" and branches.rival(run, graph, replay) for run in replay.revisions
    )


def targets(graph: RevisionGraph) -> dict[str, str]:
    """Return Alembic's name for the history of every base, such as ``main@head``, by base."""
    found = {}
    for base in graphs.bases(graph):
        members = graphs.descendants(graph, [base]) | {base}
        labels = sorted(
            label
            for revision in graph.revisions
            if revision.revision_id in members
            for label in revision.branch_labels
        )
        several = len([head for head in graphs.heads(graph) if head in members]) > 1
        found[base] = f"{labels[0] if labels else base}@{'heads' if several else 'head'}"
    return found


def weigh(base: str, target: str, seen: Observations, drawn: Conclusions) -> History:
    """Say how well one history, replayed by itself, explains the database.

    It is proven when something of it is there, nothing of it is half there, and there is nothing
    that it does not make.
    """
    unexplained = {item.object for item in drawn.drift if item.aspect != "name"}
    executed = [verdict.executed for verdict in drawn.verdicts.values()]
    failing = any(run.status == "failed" for run in seen.replay.revisions)
    return History(
        base=base,
        target=target,
        unexplained=len(unexplained),
        proven="yes" in executed and "partly" not in executed and not unexplained and not failing,
    )


def settled(plain: Observations, told: list[tuple[History, Observations]]) -> Observations:
    """Return what to conclude from: the one history that is proven, else none of them."""
    found = tuple(history for history, _ in told)
    proven = [seen for history, seen in told if history.proven]
    return replace(proven[0] if len(proven) == 1 else plain, histories=found)
