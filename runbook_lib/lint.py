"""Lint: best practices of an Alembic tree, checked from its files alone.

The tree's own findings come first; then each revision's purpose, downgrade, transaction and
dependencies, and whether its file was edited after an earlier archive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from runbook_lib import source
from runbook_lib.findings import Finding, finding
from runbook_lib.forensics import RevisionVerdict
from runbook_lib.revisions import (
    Revision,
    RevisionGraph,
    SourceTree,
    ancestors,
    descendants,
    file_name,
    index,
    tree_findings,
)

# What `alembic revision` writes when no message is given.
NO_MESSAGE = ("", "empty message")
BRANCHES = 2
_ON_COLUMNS = ("add_column", "drop_column", "alter_column")
_ON_TABLES = ("drop_table", "rename_table", "create_table_comment")


def lint(
    graph: RevisionGraph,
    tree: SourceTree,
    *,
    width: int | None = 32,
    earlier: Mapping[str, str] | None = None,
    verdicts: Sequence[RevisionVerdict] = (),
) -> tuple[Finding, ...]:
    """Return what goes against good practice, the tree's own findings included.

    ``width`` is the version column's length in characters (None: no limit). ``earlier`` maps
    files to their ``source_digest`` in an earlier archive. With ``verdicts`` only files of
    revisions that ran, at least partly, count as edited after they were applied.
    """
    return (
        *(item for item in tree_findings(graph, width) if not _is_crowded(graph, item)),
        *_complexity(graph),
        *_purposes(graph),
        *_downgrades(graph),
        *_commits(graph, tree),
        *_dependencies(graph),
        *_edited(graph, earlier or {}, _not_run(verdicts)),
    )


def _is_crowded(graph: RevisionGraph, item: Finding) -> bool:
    below = index(graph).down_children.get(item.subject, ())
    return item.code == "branch-point" and len(below) > BRANCHES


def _complexity(graph: RevisionGraph) -> Iterator[Finding]:
    """Report branch points of more than two branches, and merges of more than two."""
    for item in graph.revisions:
        below = index(graph).down_children[item.revision_id]
        for count, what in ((len(below), "begin at"), (len(item.down_revisions), "merge in")):
            if count > BRANCHES:
                message = f"{count} branches {what} {item.revision_id} ({item.file}); their order "
                found = finding(
                    "branch-point",
                    item.revision_id,
                    f"{message}on a database is up to chance.",
                    "Merge branches two at a time, as soon as they meet.",
                )
                yield replace(found, severity="warning")


def _readable(graph: RevisionGraph) -> Iterator[Revision]:
    """Yield the revisions whose files could be read: of the others nothing is known."""
    broken = {item.file for item in graph.unloadable}
    return (item for item in graph.revisions if item.file not in broken)


def _purposes(graph: RevisionGraph) -> Iterator[Finding]:
    for item in _readable(graph):
        if item.doc.strip().lower() in NO_MESSAGE:
            yield finding(
                "missing-purpose",
                item.revision_id,
                f"{item.file} does not say what {item.revision_id} is for.",
            )


def _downgrades(graph: RevisionGraph) -> Iterator[Finding]:
    for item in _readable(graph):
        if item.operations and not item.has_downgrade:
            yield finding(
                "broken-downgrade",
                item.revision_id,
                f"The downgrade of {item.revision_id} in {item.file} does nothing and does not say "
                f"why, but its upgrade does: {_brief(item.operations)}.",
            )


def _brief(operations: Sequence[str]) -> str:
    shown = "; ".join(operations[:3])
    return f"{shown}; and {len(operations) - 3} more" if len(operations) > 3 else shown


def _commits(graph: RevisionGraph, tree: SourceTree) -> Iterator[Finding]:
    for item in _readable(graph):
        facts = source.read(file_name(item.file), tree.files.get(item.file, ""))
        for line in facts.commits:
            yield finding(
                "commits-inside",
                item.revision_id,
                f"{item.file}, line {line}, commits. Where that ends Alembic's own transaction, a "
                f"later failure leaves {item.revision_id} half executed.",
            )


# --- dependencies -------------------------------------------------------------------------


def _dependencies(graph: RevisionGraph) -> Iterator[Finding]:
    """Hint at revisions that alter a table which only another branch creates."""
    makers = _makers(graph)
    for item in _readable(graph):
        used = sorted(_used(item) & makers.keys())
        if used:
            related = ancestors(graph, [item.revision_id]) | descendants(graph, [item.revision_id])
            for table in used:
                if not related & set(makers[table]):
                    yield _undeclared(item, table, makers[table])


def _undeclared(item: Revision, table: str, makers: Collection[str]) -> Finding:
    return finding(
        "undeclared-dependency",
        item.revision_id,
        f"{item.revision_id} ({item.file}) uses the table {table}, which {' or '.join(makers)} "
        "creates on another branch, without naming it in depends_on.",
    )


def _makers(graph: RevisionGraph) -> dict[str, list[str]]:
    makers: dict[str, list[str]] = {}
    for item in graph.revisions:
        for verb, name in _verbs(item):
            if verb == "create_table" and name:
                makers.setdefault(name, []).append(item.revision_id)
    return makers


def _used(item: Revision) -> set[str]:
    columns = {name.partition(".")[0] for verb, name in _verbs(item) if verb in _ON_COLUMNS}
    return columns | {name for verb, name in _verbs(item) if verb in _ON_TABLES}


def _verbs(item: Revision) -> Iterator[tuple[str, str]]:
    for operation in item.operations:
        verb, _, name = operation.partition(" ")
        yield verb, name


# --- against an earlier archive -----------------------------------------------------------


def _not_run(verdicts: Sequence[RevisionVerdict]) -> frozenset[str]:
    return frozenset(
        item.revision_id for item in verdicts if item.executed == "no" and not item.recorded
    )


def _edited(
    graph: RevisionGraph, earlier: Mapping[str, str], not_run: Collection[str]
) -> Iterator[Finding]:
    for item in graph.revisions:
        before = earlier.get(item.file, item.source_digest)
        if before != item.source_digest and item.revision_id not in not_run:
            yield finding(
                "edited-after-apply",
                item.revision_id,
                f"{item.file} ({item.revision_id}) is no longer the file that an earlier archive "
                f"holds: its digest was {before[:12]} and is {item.source_digest[:12]}.",
            )
