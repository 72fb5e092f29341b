"""Condense: a picture small enough to read, with every node that somebody must see left in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from runbook_lib.render.picture import Edge, Node, Picture, parents_first

SMALL = 24
CROWDED = 80


def condense(picture: Picture) -> Picture:
    """Return ``picture`` with quiet stretches as one node each; a small one stays as it is.

    Runs of like revisions first; then, as long as too much is left, equal siblings, the clean
    past, and the pending future; at last all that lies between what has to be seen. A head, a
    base, a current head, a cycle, a dangling parent and a duplicate are never hidden.
    """
    if len(picture.nodes) <= SMALL:
        return picture
    whole, picture = picture, _merge(picture, _runs(picture))
    for step in (_siblings, _clean_past, _pending_future):
        if len(picture.nodes) > CROWDED:
            picture = _merge(picture, step(picture))
    if len(picture.nodes) > CROWDED:
        picture = min(picture, _merge(whole, between(whole)), key=lambda made: len(made.nodes))
    return picture


def _merge(picture: Picture, groups: Sequence[Sequence[Node]]) -> Picture:
    """Put one node in the place of each group, and join its edges."""
    place: dict[str, str] = {}
    merged: dict[str, Node] = {}
    for group in groups:
        first, node = group[0], _stretch(group)
        merged[first.key] = node
        place |= {member.key: node.key for member in group}
    edges = dict.fromkeys(
        replace(
            edge,
            parent=place.get(edge.parent, edge.parent),
            child=place.get(edge.child, edge.child),
        )
        for edge in picture.edges
    )
    return Picture(
        nodes=tuple(
            merged.get(node.key, node)
            for node in picture.nodes
            if node.key in merged or node.key not in place
        ),
        edges=tuple(edge for edge in edges if edge.parent != edge.child or edge.kind == "cycle"),
    )


def _stretch(group: Sequence[Node]) -> Node:
    """Return one node for several; verdicts beside the commonest are counted in its purpose."""
    tally: Counter[str] = Counter()
    for node in group:
        tally[node.verdict] += len(node.ids)
    unknowable = tally.pop("unknowable", 0)
    verdict = max(tally, key=tally.__getitem__) if tally else "unknowable"
    others = [f"{tally[name]:,} {name}" for name in sorted(tally) if name != verdict]
    extra = f"and {', '.join(others)}" if others else ""
    return Node(
        key=f"c{group[0].key}",
        kind="condensed",
        ids=tuple(name for node in group for name in node.ids),
        verdict=verdict,
        purpose=extra or ("and merge points" if unknowable and tally else ""),
    )


def _runs(picture: Picture) -> list[list[Node]]:
    """Return stretches of one line and one verdict, without anything special, in order."""
    above, below = _by_child(picture.edges), _by_parent(picture.edges)
    plain = {
        node.key
        for node in picture.nodes
        if _is_plain(node)
        and [edge.kind for edge in above[node.key]] == ["parent"]
        and [edge.kind for edge in below[node.key]] == ["parent"]
    }
    runs: dict[str, list[Node]] = {}
    for node in parents_first(picture):
        if node.key in plain:
            parent = above[node.key][0].parent
            run = runs.get(parent, [])
            if not run or run[0].verdict != node.verdict:
                run = []
            run.append(node)
            runs[node.key] = run
    unique = {id(run): run for run in runs.values()}.values()
    return [run for run in unique if len(run) >= _least(run[0], len(picture.nodes))]


def _least(node: Node, total: int) -> int:
    """Return how long a run must be to be condensed: what is wrong stays visible for longer."""
    if node.verdict in ("applied", "pending"):
        return 4
    return 10 if total > CROWDED else 1_000_000


def _is_plain(node: Node) -> bool:
    return node.kind in ("revision", "condensed") and not node.roles and not node.current


def _by_child(edges: Sequence[Edge]) -> defaultdict[str, list[Edge]]:
    found: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        found[edge.child].append(edge)
    return found


def _by_parent(edges: Sequence[Edge]) -> defaultdict[str, list[Edge]]:
    found: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        found[edge.parent].append(edge)
    return found


def _siblings(picture: Picture) -> list[list[Node]]:
    """Return groups of eight or more nodes alike in verdict, roles, parents and children."""
    above, below = _by_child(picture.edges), _by_parent(picture.edges)
    groups: defaultdict[object, list[Node]] = defaultdict(list)
    for node in picture.nodes:
        if node.kind == "revision" and not node.current:
            parents = frozenset((edge.parent, edge.kind) for edge in above[node.key])
            children = frozenset((edge.child, edge.kind) for edge in below[node.key])
            groups[(node.verdict, node.roles, parents, children)].append(node)
    return [group for group in groups.values() if len(group) >= 8]


def _clean_past(picture: Picture) -> list[list[Node]]:
    """Return the applied revisions whose ancestors are all applied, short of the frontier."""
    return _closed(picture, ("applied", "unknowable"), picture.parents(), picture.children(), 1)


def _pending_future(picture: Picture) -> list[list[Node]]:
    """Return the pending revisions whose descendants are all pending, short of the frontier."""
    return _closed(picture, ("pending", "unknowable"), picture.children(), picture.parents(), -1)


def _closed(
    picture: Picture,
    verdicts: Collection[str],
    behind: dict[str, list[str]],
    ahead: dict[str, list[str]],
    direction: int,
) -> list[list[Node]]:
    """Return the set of quiet nodes that nothing else can be reached from against ``ahead``.

    Such a set is convex, so one node in its place makes no cycle.
    """
    order = parents_first(picture)[::direction]
    quiet: set[str] = set()
    for node in order:
        if _is_quiet(node, verdicts) and quiet.issuperset(behind[node.key]):
            quiet.add(node.key)
    frontier = {
        node.key
        for node in order
        if node.key in quiet and (node.current or not quiet.issuperset(ahead[node.key]))
    }
    blocked = _reached(frontier, lambda key: [name for name in ahead[key] if name in quiet])
    group = [
        node
        for node in order
        if node.key in quiet - blocked and not {"base", "head"} & set(node.roles)
    ]
    return [group[::direction]] if len(group) >= 4 else []


def _is_quiet(node: Node, verdicts: Collection[str]) -> bool:
    odd = any(role.startswith(("duplicate", "long")) for role in node.roles)
    return node.kind in ("revision", "condensed") and node.verdict in verdicts and not odd


def _reached(start: Collection[str], onward: Callable[[str], list[str]]) -> set[str]:
    seen, todo = set(start), list(start)
    while todo:
        for key in onward(todo.pop()):
            if key not in seen:
                seen.add(key)
                todo.append(key)
    return seen


def between(picture: Picture) -> list[list[Node]]:
    """Return, as one group each, the quiet nodes that the same seen nodes lie above and below.

    Whatever leads from one group into another and back would have the same seen nodes above and
    below itself, and so belong to the group: one node in the place of each makes no cycle.
    """
    seen = _seen(picture)
    place = {key: 1 << number for number, key in enumerate(seen)}
    order = [node.key for node in parents_first(picture)]
    edges = [edge for edge in picture.edges if edge.kind != "cycle"]
    above = _reach(order, place, ((edge.child, edge.parent) for edge in edges))
    below = _reach(order[::-1], place, ((edge.parent, edge.child) for edge in edges))
    groups: defaultdict[tuple[int, int], list[Node]] = defaultdict(list)
    for node in parents_first(picture):
        if node.key not in place:
            groups[(above[node.key], below[node.key])].append(node)
    return [group for group in groups.values() if len(group) > 1]


def _seen(picture: Picture) -> list[str]:
    """Return the nodes to show one by one: all but those of quiet verdicts and of the commonest."""
    ((commonest, _),) = Counter(node.verdict for node in picture.nodes).most_common(1)
    quiet = {"applied", "pending", "unknowable", commonest}
    turning = {key for e in picture.edges if e.kind == "cycle" for key in (e.parent, e.child)}
    return [
        node.key
        for node in picture.nodes
        if node.current
        or node.kind not in ("revision", "condensed")
        or node.verdict not in quiet
        or node.key in turning
        or any(role.startswith(("base", "head", "duplicate")) for role in node.roles)
    ]


def _reach(
    order: Sequence[str], place: dict[str, int], steps: Iterable[tuple[str, str]]
) -> dict[str, int]:
    """Return, by node, the seen nodes that its steps lead to, as bits; steps lead backwards."""
    onward: defaultdict[str, list[str]] = defaultdict(list)
    for start, end in steps:
        onward[start].append(end)
    found: dict[str, int] = {}
    for key in order:
        found[key] = 0
        for end in onward[key]:
            found[key] |= found.get(end, 0) | place.get(end, 0)
    return found
