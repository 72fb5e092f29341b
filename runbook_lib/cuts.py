"""Cuts: which edge of a cycle is the wrong one, and which parent a lone revision should have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from runbook_lib.graph import (
    Edge,
    RevisionGraph,
    bases,
    branch_labels,
    cycle_edges,
    cycles,
    dangling,
    descendants,
    index,
    reachable,
)

# Testing whether one cut suffices costs a walk over the component; the best-ranked are tested.
TESTED = 64


def knots(graph: RevisionGraph) -> tuple[tuple[str, ...], ...]:
    """Return the cycles of two members and more; self-references are another matter."""
    return tuple(group for group in cycles(graph) if len(group) > 1)


def candidates(
    graph: RevisionGraph, group: Collection[str], created: Mapping[str, str]
) -> tuple[Edge, ...]:
    """Return the edges inside one cycle, the likeliest wrong one first.

    depends_on goes before down_revision; an edge that alone breaks the cycle before one that
    does not; a child that is older than its parent before one in the right order; then the cut
    that leaves the fewest bases and heads. ``created`` maps ids to Create Dates, where known.
    """
    inside = frozenset(group)
    parents = {item: [one for one in index(graph).parents[item] if one in inside] for item in group}
    edges = [(item, one) for item in group for one in parents[item]]
    # What descends from one member descends from all, so one answer serves every cut.
    rejoins = bool(free_heads(graph, (edges[0][0],)))
    ranks = {edge: _rank(graph, edge, inside, created, rejoins) for edge in edges}
    ranked = sorted(edges, key=lambda edge: ranks[edge])
    alone = {edge for edge in ranked[:TESTED] if _acyclic(parents, edge)}
    return tuple(
        sorted(ranked, key=lambda edge: (is_down(graph, edge), edge not in alone, ranks[edge]))
    )


def is_down(graph: RevisionGraph, edge: Edge) -> bool:
    """Return whether the edge is a down_revision (and not only a depends_on)."""
    return edge[1] in index(graph).down[edge[0]]


def _rank(
    graph: RevisionGraph,
    edge: Edge,
    inside: frozenset[str],
    created: Mapping[str, str],
    rejoins: bool,
) -> tuple[bool, int, int, str]:
    child, parent = edge
    born, before = created.get(child, ""), created.get(parent, "")
    order = 1 if not born or not before or born == before else 0 if born < before else 2
    if is_down(graph, edge):
        return True, order, _loose_ends(graph, edge, rejoins), born
    below = {
        item: tuple(one for one in index(graph).down_children[item] if one in inside)
        for item in inside
    }
    against = parent in reachable(below, (child,))
    return False, order, 0 if against else 1, born


def _loose_ends(graph: RevisionGraph, edge: Edge, rejoins: bool) -> int:
    """Return how many bases and heads more the tree has after the cut (and a new parent)."""
    child, parent = edge
    found = index(graph)
    ends = 1 if found.down_children[parent] == (child,) else 0
    if len(found.down[child]) > 1 or not bases(graph):
        return ends
    return ends - 1 if rejoins else ends + 1


def _acyclic(parents: Mapping[str, list[str]], without: Edge) -> bool:
    """Return whether the component has no cycle left without one edge (Kahn's algorithm)."""
    child, parent = without
    left = {item: set(above) for item, above in parents.items()}
    left[child].discard(parent)
    below: dict[str, list[str]] = {item: [] for item in left}
    for item, above in left.items():
        for one in above:
            below[one].append(item)
    ready, seen = [item for item, above in left.items() if not above], 0
    while ready:
        one = ready.pop()
        seen += 1
        for item in below[one]:
            left[item].discard(one)
            if not left[item]:
                ready.append(item)
    return seen == len(left)


def free_heads(graph: RevisionGraph, below: Iterable[str]) -> tuple[str, ...]:
    """Return the heads that a revision above ``below`` could follow, in file order.

    These are heads of sound chains (no cycle, nothing missing) that do not descend from it.
    Branches that a label declares are passed over while there is another one.
    """
    found = index(graph)
    taken = descendants(graph, tuple(below))
    broken = {child for child, _ in (*dangling(graph), *cycle_edges(graph))}
    unsound = descendants(graph, tuple(broken))
    free = [
        item
        for item, children in found.down_children.items()
        if not children and item not in taken and item not in unsound
    ]
    labels = branch_labels(graph)
    return tuple([item for item in free if not labels[item]] or free)


def likeliest(options: Iterable[str], born: str, created: Mapping[str, str]) -> tuple[str, ...]:
    """Return the possible parents, the latest that is older than ``born`` first."""
    older = [item for item in options if born and created.get(item, "~") <= born]
    first = sorted(older, key=lambda item: created[item], reverse=True)
    return (*first, *(item for item in options if item not in first))


def sibling_parents(graph: RevisionGraph, children: Collection[str]) -> tuple[str, ...]:
    """Return where a missing branch may have begun: above the branch that it was merged with."""
    found, below = index(graph), descendants(graph, tuple(children))
    beside = [parent for child in children for parent in found.down[child]]
    above = [parent for one in beside for parent in found.down[one]]
    return tuple(dict.fromkeys(one for one in above if one not in below))
