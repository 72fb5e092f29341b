"""Choices: which of several possible repairs of a tree the database proves. Pure.

Where two files declare one id, the file whose effects are there keeps it. Where a file is missing,
its tombstone makes what the database holds and no other file explains. Where a revision uses an
enum's value in the transaction that adds it, the addition is split off.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from runbook_lib import ddl, enums
from runbook_lib import graph as graphs
from runbook_lib.auditing import Conclusions, Observations
from runbook_lib.catalog import ObjectChange, table_of
from runbook_lib.edits import FileEdit, TreeRepair, add_revision, apply_edits, combine
from runbook_lib.graph import SourceTree
from runbook_lib.verdicts import mostly_there

SPLIT = "a new value of an enum is committed before its use"


def keepers(seen: Observations, drawn: Conclusions) -> dict[str, str]:
    """Return per duplicate id the file that is proven to have run, where exactly one is."""
    new_ids = {item.file: item.revision_id for item in seen.loadable.revisions}
    found = {}
    for revision_id, files in graphs.duplicates(seen.graph):
        there = [f for f in files if f in new_ids and _ran(drawn, new_ids[f])]
        if len(there) == 1:
            found[revision_id] = there[0]
    return found


def _ran(drawn: Conclusions, revision_id: str) -> bool:
    verdict = drawn.verdicts.get(revision_id)
    return verdict is not None and (
        verdict.executed == "yes" or (verdict.executed == "partly" and mostly_there(verdict))
    )


def tombstone(
    seen: Observations,
    drawn: Conclusions,
    tree: SourceTree,
    repair: TreeRepair,
    decided: Collection[str] = (),
) -> TreeRepair | None:
    """Return the repair with a tombstone that makes what no file explains; None for nothing.

    ``decided`` are keys of objects about which a person has decided otherwise.
    """
    changes = _unexplained(drawn, decided)
    if not changes or len(repair.stands_in) != 1:
        return None
    (missing,) = repair.stands_in
    statements = ddl.create_statements(changes, drawn.expected, drawn.live)
    empty = next(item for item in seen.loadable.revisions if item.revision_id == missing)
    old = next(edit for edit in repair.edits if edit.path == empty.file)
    rest = tuple(edit for edit in repair.edits if edit != old)
    made = add_revision(
        apply_edits(tree, rest),
        revision_id=missing,
        down_revisions=empty.down_revisions,
        doc=f"Stand in for {missing}, whose file is missing, with what the database has of it",
        upgrade_sql=tuple(ddl.guarded(statement) for statement in statements),
        downgrade_sql=tuple(s.reverse for s in reversed(statements) if s.reverse),
    )
    return replace(repair, edits=(*rest, replace(old, after=made.after)))


def split_enums(seen: Observations, tree: SourceTree, repair: TreeRepair) -> TreeRepair | None:
    """Return the repair with values of enums committed before their use, where that is missing.

    What a revision makes stays the same, so databases where it ran are as right as before.
    """
    files = apply_edits(tree, repair.edits).files
    found = {item.revision_id: item.file for item in seen.loadable.revisions}
    mended, changes = {}, []
    for run in seen.replay.revisions:
        path = found.get(run.revision_id, "")
        if run.status != "failed" or not path or not enums.uncommitted(run.error):
            continue
        after = enums.split(files[path])
        if after:
            changes.append(FileEdit(path=path, before=files[path], after=after, reason=SPLIT))
            mended[run.revision_id] = run.error
    if not changes:
        return None
    return replace(
        repair,
        edits=combine(repair.edits, changes),
        answers=tuple(dict.fromkeys((*repair.answers, "not-replayable"))),
        mended={**repair.mended, **mended},
    )


def _unexplained(drawn: Conclusions, decided: Collection[str]) -> tuple[ObjectChange, ...]:
    keys = {item.object for item in drawn.drift if item.kind == "extra"} - {*decided}
    return tuple(
        ObjectChange(object=key, before=None, after=aspects)
        for key, aspects in drawn.live.objects.items()
        if key not in drawn.expected.objects
        and (key in keys or f"table:{table_of(key, aspects)}" in keys)
    )
