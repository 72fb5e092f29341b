"""Graph: the revision graph's types and its questions. Total: faults never raise and never loop.

An edge is a (child, parent) pair of revision ids, through ``down_revision`` or ``depends_on``.
Files that share an id count as one node here; :func:`duplicates` names them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from runbook_lib.artifacts import Artifact

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree(Artifact):
    """The text of every revision file, by its path relative to the project's root.

    ``locations`` are the version locations in Alembic's order, relative to the root where they
    lie below it. ``sourceless`` names ``.pyc`` files that stand there without their source.
    """

    files: Mapping[str, str]
    locations: tuple[str, ...]
    sourceless: tuple[str, ...] = ()


def file_name(file: str) -> str:
    """Return a file's own name; files outside the root are ``n:path`` of the n-th location."""
    name = file.rpartition("/")[2]
    number, colon, rest = name.partition(":")
    return rest if colon and number.isdigit() else name


def beside(file: str, name: str) -> str:
    """Return the path of a file called ``name`` in the folder of ``file``."""
    return file.removesuffix(file_name(file)) + name


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision file. ``file`` is relative to the project's root, ``doc`` its purpose."""

    revision_id: str
    file: str
    down_revisions: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    branch_labels: tuple[str, ...] = ()
    doc: str = ""
    source_digest: str = ""
    operations: tuple[str, ...] = ()
    has_downgrade: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloadableFile:
    """A file in a version location that cannot be read as a revision, and why."""

    file: str
    line: int
    error: str
    revision_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionGraph(Artifact):
    """Every revision of the tree in file order, duplicates kept, with what could not be read."""

    revisions: tuple[Revision, ...]
    unloadable: tuple[UnloadableFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The shape of the revision graph; edges are (child, parent) pairs of revision ids."""

    digest: str
    heads: tuple[str, ...]
    bases: tuple[str, ...]
    branch_points: tuple[str, ...]
    merge_points: tuple[str, ...]
    cycle_edges: tuple[tuple[str, str], ...]
    dangling_edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The graph by id, in file order. Dangling parents and self-references are left out of
    ``parents`` (both kinds of edge), ``down`` (down_revision only) and their inverses.
    """

    parents: Mapping[str, tuple[str, ...]]
    down: Mapping[str, tuple[str, ...]]
    children: Mapping[str, tuple[str, ...]]
    down_children: Mapping[str, tuple[str, ...]]


_recent: deque[tuple[RevisionGraph, Index]] = deque(maxlen=8)


def index(graph: RevisionGraph) -> Index:
    """Return the graph's index; the last few graphs' indexes are kept."""
    for known, value in tuple(_recent):
        if known is graph:
            return value
    value = _index(graph)
    _recent.append((graph, value))
    return value


def _index(graph: RevisionGraph) -> Index:
    down: dict[str, tuple[str, ...]] = {item.revision_id: () for item in graph.revisions}
    every = dict(down)
    for item in graph.revisions:
        own = item.revision_id
        real = [one for one in item.down_revisions if one in down and one != own]
        also = [one for one in item.depends_on if one in down and one != own]
        down[own] = tuple(dict.fromkeys((*down[own], *real)))
        every[own] = tuple(dict.fromkeys((*every[own], *real, *also)))
    return Index(parents=every, down=down, children=_inverse(every), down_children=_inverse(down))


def _inverse(parents: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    children: dict[str, list[str]] = {item: [] for item in parents}
    for child, above in parents.items():
        for parent in above:
            children[parent].append(child)
    return {item: tuple(below) for item, below in children.items()}


# --- shape --------------------------------------------------------------------------------


def heads(graph: RevisionGraph) -> tuple[str, ...]:
    """Return the ids that no other revision names as its down_revision, in file order."""
    return tuple(item for item, below in index(graph).down_children.items() if not below)


def bases(graph: RevisionGraph) -> tuple[str, ...]:
    """Return the ids without a down_revision, in file order."""
    return _distinct(item.revision_id for item in graph.revisions if not item.down_revisions)


def branch_points(graph: RevisionGraph) -> tuple[str, ...]:
    """Return the ids that several revisions name as their down_revision, in file order."""
    return tuple(item for item, below in index(graph).down_children.items() if len(below) > 1)


def merge_points(graph: RevisionGraph) -> tuple[str, ...]:
    """Return the ids with several down_revisions, in file order."""
    return _distinct(item.revision_id for item in graph.revisions if len(item.down_revisions) > 1)


def dangling(graph: RevisionGraph) -> tuple[Edge, ...]:
    """Return the edges (child, missing id), through down_revision or depends_on."""
    known = index(graph).down
    edges = ((item.revision_id, parent) for item in graph.revisions for parent in _all(item))
    return tuple(dict.fromkeys(edge for edge in edges if edge[1] not in known))


def duplicates(graph: RevisionGraph) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return (id, files) for every id that several files declare."""
    files: dict[str, list[str]] = {}
    for item in graph.revisions:
        files.setdefault(item.revision_id, []).append(item.file)
    return tuple((item, tuple(found)) for item, found in files.items() if len(found) > 1)


def self_references(graph: RevisionGraph) -> tuple[str, ...]:
    """Return the ids that name themselves as down_revision or in depends_on."""
    return _distinct(item.revision_id for item in graph.revisions if item.revision_id in _all(item))


def effective_heads(graph: RevisionGraph) -> tuple[str, ...]:
    """Return the heads that no depends_on implies: the rows after ``alembic upgrade heads``.

    A depends_on inside a cycle implies nothing.
    """
    found, component = index(graph), _components(graph)
    return tuple(
        item
        for item in heads(graph)
        if all(component[child] == component[item] for child in found.children[item])
    )


def branch_labels(graph: RevisionGraph) -> Mapping[str, frozenset[str]]:
    """Return for every id the branch labels that it declares or inherits from below."""
    labels: dict[str, set[str]] = {item: set() for item in index(graph).down}
    for item in graph.revisions:
        if item.branch_labels:
            for below in reachable(index(graph).down_children, (item.revision_id,)):
                labels[below].update(item.branch_labels)
    return {item: frozenset(found) for item, found in labels.items()}


def _all(item: Revision) -> tuple[str, ...]:
    return item.down_revisions + item.depends_on


def _distinct(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ids))


# --- reach and order ----------------------------------------------------------------------


def reachable(edges: Mapping[str, tuple[str, ...]], start: Iterable[str]) -> frozenset[str]:
    """Return everything reached from ``start`` (included, where known) along ``edges``."""
    found = {item for item in start if item in edges}
    waiting = list(found)
    while waiting:
        for item in edges[waiting.pop()]:
            if item not in found:
                found.add(item)
                waiting.append(item)
    return frozenset(found)


def ancestors(graph: RevisionGraph, ids: Collection[str]) -> frozenset[str]:
    """Return ``ids`` (those that exist) and all that they imply, depends_on included."""
    return reachable(index(graph).parents, ids)


def descendants(graph: RevisionGraph, ids: Collection[str]) -> frozenset[str]:
    """Return ``ids`` (those that exist) and all that imply them, depends_on included."""
    return reachable(index(graph).children, ids)


def recorded(graph: RevisionGraph, rows: Iterable[str | None]) -> frozenset[str]:
    """Return the ids that the version rows record: the rows that exist, and all they imply."""
    return ancestors(graph, [row for row in rows if row is not None])


def topological(graph: RevisionGraph) -> tuple[str, ...]:
    """Return every id once, parents first; ties in file order. Cycles break where they are met."""
    parents = index(graph).parents
    done: dict[str, None] = {}
    for start in parents:
        _visit(start, parents, done)
    return tuple(done)


def _visit(start: str, parents: Mapping[str, tuple[str, ...]], done: dict[str, None]) -> None:
    if start in done:
        return
    entered, stack = {start}, [(start, iter(parents[start]))]
    while stack:
        item, above = stack[-1]
        parent = next((one for one in above if one not in done and one not in entered), None)
        if parent is None:
            done[item] = None
            stack.pop()
        else:
            entered.add(parent)
            stack.append((parent, iter(parents[parent])))


# --- cycles -------------------------------------------------------------------------------


def cycles(graph: RevisionGraph) -> tuple[tuple[str, ...], ...]:
    """Return the cycles through down_revision and depends_on, and the self-references.

    Each is the members of one strongly connected component, child before parent where they can
    be (exactly so in a simple cycle), beginning with the first in file order.
    """
    groups: dict[int, list[str]] = {}
    for item, number in _components(graph).items():
        groups.setdefault(number, []).append(item)
    found = [_in_cycle_order(graph, group) for group in groups.values() if len(group) > 1]
    return (*found, *((item,) for item in self_references(graph)))


def _in_cycle_order(graph: RevisionGraph, group: Collection[str]) -> tuple[str, ...]:
    inside = frozenset(group)
    parents = index(graph).parents
    order: dict[str, None] = {}
    stack = [next(item for item in parents if item in inside)]
    while stack:
        item = stack.pop()
        if item not in order:
            order[item] = None
            stack.extend(one for one in reversed(parents[item]) if one in inside)
    return tuple(order)


def cycle_edges(graph: RevisionGraph) -> tuple[Edge, ...]:
    """Return every edge that lies on a cycle, self-references as (id, id)."""
    component = _components(graph)
    edges = [
        (child, parent)
        for child, above in index(graph).parents.items()
        for parent in above
        if component[child] == component[parent]
    ]
    return (*edges, *((item, item) for item in self_references(graph)))


def _components(graph: RevisionGraph) -> dict[str, int]:
    """Number the strongly connected components (Kosaraju: order one way, collect the other)."""
    found = index(graph)
    component: dict[str, int] = {}
    for number, start in enumerate(reversed(topological(graph))):
        waiting = [start] if start not in component else []
        while waiting:
            item = waiting.pop()
            if item not in component:
                component[item] = number
                waiting.extend(one for one in found.children[item] if one not in component)
    return {item: component[item] for item in found.parents}


def summarise(graph: RevisionGraph, tree_digest: str) -> Tree:
    """Return the shape of the graph for the audit; ``tree_digest`` is its SourceTree's."""
    return Tree(
        digest=tree_digest,
        heads=heads(graph),
        bases=bases(graph),
        branch_points=branch_points(graph),
        merge_points=merge_points(graph),
        cycle_edges=cycle_edges(graph),
        dangling_edges=dangling(graph),
    )
