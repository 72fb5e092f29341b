"""Branches: the part of the tree that belongs to an environment, as Alembic names targets. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runbook_lib import graph as graphs
from runbook_lib.effects import Replay, RevisionReplay
from runbook_lib.errors import ConfigurationError
from runbook_lib.graph import RevisionGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One of several histories that exclude one another: ``target`` is Alembic's name for it.

    ``unexplained`` counts the objects of the database that it does not explain; ``proven``: it
    explains all of them, and something of it is there.
    """

    base: str
    target: str
    unexplained: int
    proven: bool


def heads_of(graph: RevisionGraph, target: str) -> tuple[str, ...]:
    """Return the heads that ``heads``, ``head``, ``LABEL@head`` or a revision id stands for.

    Raises ConfigurationError for a target that the tree does not have.
    """
    heads = graphs.effective_heads(graph)
    if target in ("heads", "head"):
        return heads
    start, _, rest = target.rpartition("@") if "@" in target else (target, "", "")
    members = {r.revision_id for r in graph.revisions if start in (r.revision_id, *r.branch_labels)}
    if not members:
        labels = sorted({label for r in graph.revisions for label in r.branch_labels})
        raise ConfigurationError(
            f"The tree has no branch or revision {start!r}.",
            f"Its branch labels are: {', '.join(labels) or 'none'}. Mend `branch`.",
        )
    if rest not in ("head", "heads"):
        return tuple(sorted(members))
    return tuple(head for head in graphs.heads(graph) if members & graphs.ancestors(graph, [head]))


def restrict(graph: RevisionGraph, target: str) -> RevisionGraph:
    """Return the graph less the revisions that ``target`` does not need."""
    if target in ("heads", "head"):
        return graph
    needed = graphs.ancestors(graph, heads_of(graph, target))
    return replace(graph, revisions=tuple(r for r in graph.revisions if r.revision_id in needed))


def rival(run: RevisionReplay, graph: RevisionGraph, replay: Replay) -> str:
    """Return the revision of a history with another base that made what ``run`` fails to, or ""."""
    name = re.search(r'"([^"]+)"(?: of relation "[^"]+")? already exists', run.error)
    own = set(graphs.bases(graph)) & graphs.ancestors(graph, [run.revision_id])
    for other in replay.revisions if name else ():
        made = {c.object.rpartition(".")[2] for c in other.changes if c.after is not None}
        apart = not own & graphs.ancestors(graph, [other.revision_id])
        if name and apart and name[1] in made:
            return other.revision_id
    return ""


def told(histories: Sequence[History]) -> str:
    """Say which histories exclude one another, and which of them the schema proves."""
    proven = [item.target for item in histories if item.proven]
    names = ", ".join(item.target for item in histories)
    text = f"The histories {names} make the same objects, so only one of them can have run. "
    if len(proven) == 1:
        return f"{text}The schema proves {proven[0]}: it explains every object of the database."
    if proven:
        return f"{text}The schema does not decide: {' and '.join(proven)} explain it equally."
    counts = ", ".join(f"{item.target} differs in {item.unexplained}" for item in histories)
    return f"{text}The schema proves none of them; objects in which it differs: {counts}."


def advice(environment: str, histories: Sequence[History]) -> str:
    """Return the line for runbook.toml that names the branch."""
    proven = [item.target for item in histories if item.proven]
    where = f"[environments.{environment}] of runbook.toml"
    if len(proven) == 1:
        return f'Put branch = "{proven[0]}" into {where}.'
    return f'Find out which one this database follows, and put branch = "…@head" into {where}.'
