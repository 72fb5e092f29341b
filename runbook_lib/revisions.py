"""Revisions: the tree's files, parsed and never imported, as a graph and as findings.

The graph's types and questions live in :mod:`runbook_lib.graph` and are offered here as well.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

from runbook_lib import cuts, source, unread
from runbook_lib.codes import Severity
from runbook_lib.findings import Finding, finding
from runbook_lib.graph import (
    Edge,
    Revision,
    RevisionGraph,
    SourceTree,
    Tree,
    UnloadableFile,
    ancestors,
    bases,
    beside,
    branch_labels,
    branch_points,
    cycle_edges,
    cycles,
    dangling,
    descendants,
    duplicates,
    effective_heads,
    file_name,
    heads,
    index,
    merge_points,
    recorded,
    self_references,
    summarise,
    topological,
)

__all__ = [
    "Edge",
    "Revision",
    "RevisionGraph",
    "SourceTree",
    "Tree",
    "UnloadableFile",
    "ancestors",
    "bases",
    "beside",
    "branch_labels",
    "branch_points",
    "cycle_edges",
    "cycles",
    "dangling",
    "declared_branches",
    "descendants",
    "duplicates",
    "effective_heads",
    "file_name",
    "heads",
    "index",
    "inside",
    "merge_points",
    "parse_tree",
    "recorded",
    "revision_files",
    "self_references",
    "summarise",
    "topological",
    "tree_findings",
    "undeclared_heads",
]

# Alembic refuses to load an id that has one of these (alembic.script.revision).
REFUSED = "@-+:"
SOURCELESS = "compiled file without its source"


def parse_tree(tree: SourceTree) -> RevisionGraph:
    """Return the revision graph of the tree's files, read as Alembic would read them.

    A file that Python cannot parse is listed in ``unloadable``; where a search of its text finds
    its id, it keeps its place in ``revisions`` too. Never raises for what a file holds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old escape in a string is the project's own matter
        facts = {
            file: source.read(file_name(file), tree.files[file]) for file in revision_files(tree)
        }
    labels = _labels(facts)
    revisions = (_revision(file, fact, tree, labels) for file, fact in facts.items())
    return RevisionGraph(
        revisions=tuple(item for item in revisions if item.revision_id),
        unloadable=(*_unloadable(facts), *_sourceless(tree)),
    )


def revision_files(tree: SourceTree) -> tuple[str, ...]:
    """Return the files that Alembic would load, in its order: by location, then by name."""
    files = [file for file in tree.files if source.REVISION_FILE.match(file_name(file))]
    folders = {beside(file, "") for file in files}
    places = {folder: _location(folder, tree.locations) for folder in folders}
    return tuple(sorted(files, key=lambda file: (places[beside(file, "")], file)))


def _location(folder: str, locations: tuple[str, ...]) -> int:
    starts = [inside(one, "") for one in locations]
    return next((n for n, one in enumerate(starts) if folder.startswith(one)), len(locations))


def inside(location: str, name: str) -> str:
    """Return the path of a file called ``name`` in a version location."""
    if location.endswith(":"):
        return location + name
    folder = str(PurePosixPath(location))
    return name if folder == "." else f"{folder}/{name}"


def _labels(facts: Mapping[str, source.Facts]) -> dict[str, str]:
    """Return label → id; an id of the same spelling goes first, as in Alembic's own map."""
    found = {label: fact.revision_id for fact in facts.values() for label in fact.branch_labels}
    for fact in facts.values():
        found.pop(fact.revision_id, None)
    return found


def _revision(
    file: str, fact: source.Facts, tree: SourceTree, labels: Mapping[str, str]
) -> Revision:
    return Revision(
        revision_id=fact.revision_id,
        file=file,
        down_revisions=fact.down_revisions,
        depends_on=tuple(dict.fromkeys(labels.get(item, item) for item in fact.depends_on)),
        branch_labels=fact.branch_labels,
        doc=fact.doc,
        source_digest=hashlib.sha256(tree.files[file].encode(errors="surrogatepass")).hexdigest(),
        operations=fact.operations,
        has_downgrade=fact.has_downgrade,
    )


def _unloadable(facts: Mapping[str, source.Facts]) -> Iterator[UnloadableFile]:
    for file, fact in facts.items():
        if fact.error:
            yield UnloadableFile(
                file=file, line=fact.line, error=fact.error, revision_id=fact.revision_id
            )


def _sourceless(tree: SourceTree) -> Iterator[UnloadableFile]:
    for file in tree.sourceless:
        yield UnloadableFile(file=file, line=0, error=SOURCELESS)


# --- findings -----------------------------------------------------------------------------


def tree_findings(
    graph: RevisionGraph,
    version_column_length: int | None = 32,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Finding, ...]:
    """Return what is wrong with the tree itself, gravest kinds first.

    ``version_column_length`` is in characters; None means that the column has no limit.
    ``elsewhere`` are ids by file, of files that Alembic does not read.
    """
    files = {item.revision_id: item.file for item in reversed(graph.revisions)}
    return (
        *_unloadable_findings(graph),
        *_duplicate_findings(graph),
        *_label_findings(graph),
        *_self_findings(graph, files),
        *_cycle_findings(graph, files),
        *_dangling_findings(graph, files, elsewhere),
        *_id_findings(graph, version_column_length),
        *_head_findings(graph),
        *_branch_findings(graph, files),
    )


def _unloadable_findings(graph: RevisionGraph) -> Iterator[Finding]:
    for item in graph.unloadable:
        where = f"{item.file}, line {item.line}," if item.line else item.file
        known = f" Its id is read as {item.revision_id!r}." if item.revision_id else ""
        yield finding(
            "unloadable-file",
            item.file,
            f"{where} cannot be read as a revision: {item.error}.{known}",
        )


def _duplicate_findings(graph: RevisionGraph) -> Iterator[Finding]:
    for revision_id, files in duplicates(graph):
        yield finding(
            "duplicate-revision",
            revision_id,
            f"The id {revision_id} is declared by {len(files)} files: {', '.join(files)}.",
        )


def _label_findings(graph: RevisionGraph) -> Iterator[Finding]:
    owner = {item.revision_id: item.file for item in reversed(graph.revisions)}
    for item in graph.revisions:
        for label in item.branch_labels:
            first = owner.setdefault(label, item.file)
            if first != item.file:
                yield finding(
                    "duplicate-revision",
                    label,
                    f"The branch label {label} of {item.file} is already taken by {first}, so "
                    "Alembic cannot load the tree.",
                    "Keep the label in one of the two files.",
                )


def _self_findings(graph: RevisionGraph, files: Mapping[str, str]) -> Iterator[Finding]:
    for item in self_references(graph):
        yield finding(
            "self-reference", item, f"The revision {item} in {files[item]} names itself as parent."
        )


def _cycle_findings(graph: RevisionGraph, files: Mapping[str, str]) -> Iterator[Finding]:
    for group in cycles(graph):
        if len(group) > 1:
            path = " → ".join((*group, group[0]))
            child, parent = cuts.candidates(graph, group, {})[0]
            how = "down_revision" if cuts.is_down(graph, (child, parent)) else "depends_on"
            message = (
                f"These revisions lead back to themselves: {path}. The wrong edge is most likely "
                f"in {files[child]}: {child} names {parent} in its {how}."
            )
            yield finding("cycle", group[0], message)


def _dangling_findings(
    graph: RevisionGraph, files: Mapping[str, str], elsewhere: Mapping[str, str]
) -> Iterator[Finding]:
    for child, parent in dangling(graph):
        near = [item for item in files if len(parent) > 3 and item.startswith(parent)]
        suggestion = f"Write the full id {near[0]} in {files[child]}." if len(near) == 1 else ""
        told = unread.told(parent, elsewhere)
        yield finding(
            "dangling-parent",
            child,
            f"The revision {child} in {files[child]} names {parent!r} as its parent, and no file "
            f"of the tree has that id.{told}",
            suggestion or unread.advice(parent, elsewhere),
        )


def _id_findings(graph: RevisionGraph, limit: int | None) -> Iterator[Finding]:
    for item in graph.revisions:
        own = item.revision_id
        if limit is not None and len(own) > limit:
            yield finding(
                "long-revision-id",
                own,
                f"The id {own} in {item.file} has {len(own)} characters; the version column holds "
                f"{limit}, so PostgreSQL refuses to record it.",
            )
        if refused := [sign for sign in REFUSED if sign in own]:
            message = (
                f"The id {own!r} in {item.file} has {' '.join(refused)}, which Alembic reads as an "
                "operator, so it cannot load the tree."
            )
            yield _graded(finding("case-or-space-in-id", own, message), "error")
        elif own != own.lower() or any(sign.isspace() for sign in own):
            yield finding(
                "case-or-space-in-id",
                own,
                f"The id {own!r} in {item.file} has upper-case letters or blanks, which are easily "
                "mistyped on the command line.",
            )


def _head_findings(graph: RevisionGraph) -> Iterator[Finding]:
    found = heads(graph)
    if len(found) > 1:
        declared = declared_branches(graph)
        reason = " Each is declared by a branch label or implied by depends_on." if declared else ""
        message = (
            f"The tree has {len(found)} heads: {', '.join(found)}. `alembic upgrade head` refuses "
            f"to choose between them.{reason}"
        )
        suggestion = "Nothing: upgrade to `heads`, or to LABEL@head." if declared else ""
        item = finding("multiple-heads", ", ".join(found), message, suggestion)
        yield _graded(item, "info") if declared else item


def declared_branches(graph: RevisionGraph) -> bool:
    """Return whether several heads are the tree's declared intention.

    So it is when each head is implied by another's depends_on, or has a branch label that no
    other head has.
    """
    return not undeclared_heads(graph)


def undeclared_heads(graph: RevisionGraph) -> tuple[str, ...]:
    """Return the effective heads without a branch label of their own; () for a single head."""
    all_heads, labels = heads(graph), branch_labels(graph)
    if len(all_heads) < 2 or len(effective_heads(graph)) == 1:
        return ()
    taken = [label for head in all_heads for label in labels[head]]
    return tuple(
        head
        for head in effective_heads(graph)
        if not any(taken.count(label) == 1 for label in labels[head])
    )


def _branch_findings(graph: RevisionGraph, files: Mapping[str, str]) -> Iterator[Finding]:
    for item in branch_points(graph):
        below = index(graph).down_children[item]
        yield finding(
            "branch-point",
            item,
            f"{len(below)} revisions branch from {item} ({files[item]}): {', '.join(below)}.",
        )


def _graded(item: Finding, severity: Severity) -> Finding:
    return Finding(
        code=item.code,
        severity=severity,
        subject=item.subject,
        message=item.message,
        suggestion=item.suggestion,
    )
