"""Neighbours: what the nearest revisions with evidence make likely of one without. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from runbook_lib.case import Case
from runbook_lib.forensics import Executed, Implied
from runbook_lib.graph import RevisionGraph


def imply(revision_id: str, case: Case, executed: Mapping[str, Executed]) -> Implied:
    """What the nearest revisions with evidence make likely.

    Between one that ran and one that did not, the record decides, if it is right about both.
    Beside one of which it is open how far it came, nothing is likely.
    """
    above = _nearest(revision_id, executed, _parents(case.graph), case.half_way)
    below = _nearest(revision_id, executed, _children(case.graph), case.half_way)
    if (above | below) & case.half_way:
        return ""
    ran_below = any(executed[name] in ("yes", "partly") for name in below)
    if any(executed[name] == "no" for name in above):
        return "" if ran_below else "no"
    if ran_below:
        return "yes"
    neighbours = above | below
    run = case.runs.get(revision_id)
    if not neighbours and (run is None or run.status in ("failed", "skipped")):
        return ""  # nothing was proven of any revision: the record alone is no evidence
    if any((executed[name] != "no") != (name in case.recorded) for name in neighbours):
        return ""
    return "yes" if revision_id in case.recorded else "no"


def _nearest(
    revision_id: str,
    executed: Mapping[str, Executed],
    edges: Mapping[str, Collection[str]],
    half_way: Collection[str],
) -> set[str]:
    """Return the ids of the nearest revisions along ``edges`` that have evidence of their own."""
    found: set[str] = set()
    seen, todo = {revision_id}, list(edges.get(revision_id, ()))
    while todo:
        current = todo.pop()
        if current in seen or current not in executed:
            continue
        seen.add(current)
        if executed[current] == "unknowable" and current not in half_way:
            todo.extend(edges.get(current, ()))
        else:
            found.add(current)
    return found


def _parents(graph: RevisionGraph) -> dict[str, tuple[str, ...]]:
    return {r.revision_id: (*r.down_revisions, *r.depends_on) for r in graph.revisions}


def _children(graph: RevisionGraph) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {}
    for revision in graph.revisions:
        for parent in (*revision.down_revisions, *revision.depends_on):
            children.setdefault(parent, []).append(revision.revision_id)
    return children
