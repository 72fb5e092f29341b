"""Picture: the revision graph as nodes and edges to draw, with long quiet stretches condensed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from runbook_lib.forensics import Audit, RevisionVerdict
from runbook_lib.render.display import clean

EdgeKind = Literal["parent", "depends", "cycle", "dangling"]
NodeKind = Literal["revision", "condensed", "dangling", "unlocated"]
ID_WIDTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node. ``ids`` has several revision ids where it stands for a condensed stretch.

    ``roles`` are head, base, branch point, merge point, duplicate id and long id.
    """

    key: str
    kind: NodeKind = "revision"
    ids: tuple[str, ...]
    purpose: str = ""
    verdict: str = ""
    roles: tuple[str, ...] = ()
    current: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """From ``parent`` to ``child``, in the direction of an upgrade; both are node keys."""

    parent: str
    child: str
    kind: EdgeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Nodes in the tree's order and edges; every edge's ends are nodes."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def parents(self) -> dict[str, list[str]]:
        """Return the parents' keys by node key, every node included."""
        found: dict[str, list[str]] = {node.key: [] for node in self.nodes}
        for edge in self.edges:
            found[edge.child].append(edge.parent)
        return found

    def children(self) -> dict[str, list[str]]:
        """Return the children's keys by node key, every node included."""
        found: dict[str, list[str]] = {node.key: [] for node in self.nodes}
        for edge in self.edges:
            found[edge.parent].append(edge.child)
        return found


@dataclass(slots=True)
class _Builder:
    """Collects nodes for ids that no file has, as edges name them."""

    audit: Audit
    keys: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    extra: dict[str, Node] = field(default_factory=dict)

    def located(self, revision_id: str) -> list[str]:
        """Return the keys of every file with this id, or of a dangling node made for it."""
        if revision_id not in self.keys:
            key = f"x{len(self.extra)}"
            self.keys[revision_id].append(key)
            current = revision_id in self.audit.current_heads
            self.extra[key] = Node(key=key, kind="dangling", ids=(revision_id,), current=current)
        return self.keys[revision_id]

    def edges(self, child: str, item: RevisionVerdict) -> Iterable[Edge]:
        cycles = set(self.audit.tree.cycle_edges)
        dangling = set(self.audit.tree.dangling_edges)
        for names, plain in ((item.down_revisions, "parent"), (item.depends_on, "depends")):
            for name in dict.fromkeys(names):
                unknown = name not in self.keys or (item.revision_id, name) in dangling
                in_cycle = (item.revision_id, name) in cycles
                kind = "cycle" if in_cycle else "dangling" if unknown else plain
                for parent in self.located(name):
                    yield Edge(parent=parent, child=child, kind=kind)  # type: ignore[arg-type]


def draw_up(audit: Audit) -> Picture:
    """Return the whole graph of an audit, nothing condensed."""
    builder = _Builder(audit)
    for index, item in enumerate(audit.revisions):
        builder.keys[item.revision_id].append(f"r{index}")
    nodes = [
        _node(audit, item, f"r{index}", len(builder.keys[item.revision_id]) > 1)
        for index, item in enumerate(audit.revisions)
    ]
    edges = [
        edge
        for index, item in enumerate(audit.revisions)
        for edge in builder.edges(f"r{index}", item)
    ]
    unlocated = [
        Node(key=f"u{index}", kind="unlocated", ids=(row,), current=True)
        for index, row in enumerate(audit.current_heads)
        if row not in builder.keys
    ]
    return Picture(nodes=(*nodes, *builder.extra.values(), *unlocated), edges=tuple(edges))


def _node(audit: Audit, item: RevisionVerdict, key: str, duplicate: bool) -> Node:
    tree = audit.tree
    roles = [
        name
        for name, ids in (
            ("base", tree.bases),
            ("branch point", tree.branch_points),
            ("merge point", tree.merge_points),
            ("head", tree.heads),
        )
        if item.revision_id in ids
    ]
    if duplicate:
        roles.append(f"duplicate id, in {item.file}")
    if len(item.revision_id) > ID_WIDTH:
        roles.append(f"long id, {len(item.revision_id)} characters")
    return Node(
        key=key,
        ids=(item.revision_id,),
        purpose=" ".join(clean(item.doc).split()),
        verdict=item.verdict,
        roles=tuple(roles),
        current=item.revision_id in audit.current_heads,
    )


def parents_first(picture: Picture) -> list[Node]:
    """Return the nodes, parents before children, in the tree's order where it is free.

    A cycle is entered at its first node once nothing else is left.
    """
    waiting = {key: len(set(above) - {key}) for key, above in picture.parents().items()}
    children = {key: set(below) - {key} for key, below in picture.children().items()}
    order = {node.key: index for index, node in enumerate(picture.nodes)}
    ready = sorted((key for key, number in waiting.items() if not number), key=order.__getitem__)
    done: list[str] = []
    while waiting:
        if not ready:
            ready = [min(waiting, key=order.__getitem__)]
        key = ready.pop()
        if waiting.pop(key, None) is None:
            continue
        done.append(key)
        for child in sorted(children[key], key=order.__getitem__, reverse=True):
            if child in waiting:
                waiting[child] -= 1
                if waiting[child] == 0:
                    ready.append(child)
    by_key = {node.key: node for node in picture.nodes}
    return [by_key[key] for key in done]
