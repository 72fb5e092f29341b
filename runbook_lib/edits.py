"""Edits of the tree: repairs, merge revisions, one line of history, corrective revisions.

The types, the patch and the writing live in :mod:`runbook_lib.patches` and are offered here.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

from runbook_lib import repairs, surgery
from runbook_lib.config import History
from runbook_lib.graph import RevisionGraph, SourceTree, beside
from runbook_lib.patches import (
    FileEdit,
    TreeRepair,
    apply_edits,
    combine,
    patch,
    replay_only,
    reverse,
    write,
)
from runbook_lib.repairs import Draft
from runbook_lib.revisions import (
    branch_points,
    effective_heads,
    heads,
    inside,
    merge_points,
    parse_tree,
    revision_files,
    topological,
    undeclared_heads,
)
from runbook_lib.revisions import (
    recorded as implied_by,
)

__all__ = [
    "FileEdit",
    "TreeRepair",
    "add_revision",
    "alternatives",
    "apply_edits",
    "combine",
    "merge_heads",
    "patch",
    "repair_tree",
    "replay_only",
    "reverse",
    "write",
]

ALTERNATIVES = 12


def repair_tree(
    tree: SourceTree,
    *,
    rows: Collection[str] = (),
    width: int = 32,
    keep: Mapping[str, str] | None = None,
    failing: Mapping[str, str] | None = None,
) -> TreeRepair:
    """Return the smallest edits after which Alembic can load and run the tree.

    ``rows`` are the ids that some database records: these are never shortened. ``width`` is the
    version column's length in characters. ``keep`` says which file keeps a duplicate id;
    ``failing`` maps files that cannot be imported to the error. Edits of :func:`replay_only`
    serve the replay and must not be written to the project.
    """
    return _repaired(tree, (), rows, width, keep or {}, failing or {}).repair()


def alternatives(
    tree: SourceTree,
    *,
    rows: Collection[str] = (),
    width: int = 32,
    keep: Mapping[str, str] | None = None,
    failing: Mapping[str, str] | None = None,
) -> tuple[TreeRepair, ...]:
    """Return other repairs, likeliest first, for when the first does not replay.

    Each takes one other decision: another edge cut, another parent, another file kept.
    """
    first = _repaired(tree, (), rows, width, keep or {}, failing or {})
    found = [first.repair()]
    for decisions in _other_decisions(first.options):
        other = _repaired(tree, decisions, rows, width, keep or {}, failing or {}).repair()
        if all(other.edits != one.edits for one in found):
            found.append(other)
        if len(found) > ALTERNATIVES:
            break
    return tuple(found[1:])


def _other_decisions(options: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for option in range(1, max(options, default=0)):
        for place, number in enumerate(options):
            if option < number:
                yield (*[0] * place, option)


def _repaired(
    tree: SourceTree,
    decisions: Sequence[int],
    rows: Collection[str],
    width: int,
    keep: Mapping[str, str],
    failing: Mapping[str, str],
) -> Draft:
    draft = Draft(tree=tree, decisions=decisions)
    repairs.set_aside(draft, failing)
    repairs.part_duplicates(draft, keep)
    repairs.end_self_references(draft)
    repairs.complete_references(draft)
    repairs.end_cycles(draft)
    repairs.stand_in(draft, rows)
    repairs.shorten_ids(draft, rows, width)
    return draft


# --- one head -----------------------------------------------------------------------------


def merge_heads(
    tree: SourceTree,
    history: History = "merge",
    recorded: Collection[str] = (),
    *,
    declared: bool = False,
) -> TreeRepair:
    """Return the edits that leave a loadable tree with one head.

    "merge" writes one merge revision over the heads; "linear" re-chains every revision into one
    line. ``recorded`` are ids that databases stand at. Branches that the tree declares (by label
    or depends_on) are left alone unless ``declared``.
    """
    graph = parse_tree(tree)
    if history == "linear":
        return _linear(tree, graph, recorded, declared)
    loose = effective_heads(graph) if declared else undeclared_heads(graph)
    return _merge(tree, graph, loose) if len(loose) > 1 else TreeRepair()


def _merge(tree: SourceTree, graph: RevisionGraph, loose: Sequence[str]) -> TreeRepair:
    revision_id = hashlib.sha256("\n".join(sorted(loose)).encode()).hexdigest()[:12]
    names = f"{', '.join(loose[:-1])} and {loose[-1]}"
    text = surgery.revision_text(
        revision_id=revision_id, down_revisions=loose, doc=f"Merge the heads {names}"
    )
    name = f"{revision_id}_merge_{_slug(' '.join(loose))}.py"
    path = _beside(tree, graph, loose[:1], name)
    edit = FileEdit(path=path, before=None, after=text, reason=f"merge {names}")
    return TreeRepair(edits=(edit,), answers=("multiple-heads",))


def _linear(
    tree: SourceTree, graph: RevisionGraph, recorded: Collection[str], declared: bool
) -> TreeRepair:
    if len(heads(graph)) > 1 and not undeclared_heads(graph) and not declared:
        return TreeRepair(open=("The tree declares several branches; they stay apart.",))
    if not (branch_points(graph) or merge_points(graph) or len(heads(graph)) > 1):
        return TreeRepair()
    order = topological(graph)
    draft = Draft(tree=tree)
    _chain(draft, graph, order)
    return TreeRepair(
        edits=draft.repair().edits,
        answers=("multiple-heads", "branch-point") if len(heads(graph)) > 1 else ("branch-point",),
        open=_behind(graph, recorded, order),
    )


def _chain(draft: Draft, graph: RevisionGraph, order: Sequence[str]) -> None:
    before = {child: (parent,) for parent, child in pairwise(order)}
    for item in graph.revisions:
        parents = before.get(item.revision_id, ())
        if item.down_revisions != parents:
            reason = f"{item.revision_id} follows {parents[0] if parents else 'nothing'}"
            draft.bind(item.file, "down_revision", parents, reason)
        if item.depends_on:
            draft.bind(item.file, "depends_on", (), "the line implies what it depends on")


def _behind(
    graph: RevisionGraph, recorded: Collection[str], order: Sequence[str]
) -> tuple[str, ...]:
    """Say which recorded ids do not stand at the line's head: linear history is unsafe there."""
    missing = set(order) - implied_by(graph, recorded)
    if not recorded or not missing:
        return ()
    return (
        f"A database that stands at {', '.join(sorted(recorded))} is not at the head of the line; "
        f"bring it to {order[-1]} first, or keep the merge.",
    )


# --- a new revision -----------------------------------------------------------------------

# A colon is a bind parameter to SQLAlchemy's text(); with a backslash before it, it is a colon.
_KEPT = '"""Nothing: earlier revisions promise what the upgrade makes, and take it away."""'
_RUN = 'for statement in {name}:\n        op.execute(sa.text(statement.replace(":", r"\\:")))'


def add_revision(
    tree: SourceTree,
    *,
    revision_id: str,
    down_revisions: Sequence[str],
    doc: str,
    upgrade_sql: Sequence[str],
    downgrade_sql: Sequence[str] = (),
) -> FileEdit:
    """Return the edit that adds a revision which runs SQL, one statement (or DO block) each.

    The statements run as they are with any PostgreSQL driver, and offline with ``--sql``.
    """
    text = surgery.revision_text(
        revision_id=revision_id,
        down_revisions=down_revisions,
        doc=doc,
        statements=_statements("UPGRADE", upgrade_sql) + _statements("DOWNGRADE", downgrade_sql),
        upgrade=_RUN.format(name="UPGRADE") if upgrade_sql else "pass",
        downgrade=_RUN.format(name="DOWNGRADE") if downgrade_sql else _KEPT,
    )
    name = f"{repairs.slug(revision_id)}_{_slug(doc)}.py"
    path = _beside(tree, parse_tree(tree), down_revisions, name)
    return FileEdit(path=path, before=None, after=text, reason=doc)


def _statements(name: str, sql: Sequence[str]) -> str:
    if not sql:
        return ""
    items = "".join(f"    {_sql_literal(one)},\n" for one in sql)
    return f"\n{name} = (\n{items})\n"


def _sql_literal(sql: str) -> str:
    """Return SQL as a raw triple-quoted literal where that is exact, else as Python writes it."""
    raw = (f"r{quotes}{sql}{quotes}" for quotes in ('"""', "'''"))
    return next((one for one in raw if "\n" in sql and _is_exact(one, sql)), repr(sql))


def _is_exact(literal: str, sql: str) -> bool:
    try:
        return bool(ast.literal_eval(literal) == sql)
    except (SyntaxError, ValueError):
        return False


def _beside(tree: SourceTree, graph: RevisionGraph, ids: Sequence[str], name: str) -> str:
    """Return the path beside the first id's file; for a first revision in the first location."""
    files = {item.revision_id: item.file for item in graph.revisions}
    known = [files[item] for item in ids if item in files] or list(revision_files(tree)[:1])
    return beside(known[0], name) if known else inside(tree.locations[0], name)


def _slug(text: str) -> str:
    """Return a file name's slug as Alembic makes them: at most 40 characters."""
    slug = repairs.slug(text)
    return slug if len(slug) <= 40 else slug[:40].rsplit("_", 1)[0].rstrip("_")
