"""Planning: strategies from the least invasive up, each as a whole plan. Pure.

Which of them is right is not decided here: the rehearsal tries them on copies of the clone in
this order, and the first that proves right is offered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from runbook_lib import artifacts, auditing, branches, ddl, definitions, losses, versions
from runbook_lib import graph as graphs
from runbook_lib.catalog import ObjectChange, diff, parts, split, table_of
from runbook_lib.config import Decision
from runbook_lib.ddl import Statement
from runbook_lib.differences import last_writers
from runbook_lib.edits import FileEdit, add_revision, apply_edits, combine, merge_heads
from runbook_lib.forensics import RevisionVerdict
from runbook_lib.graph import RevisionGraph, SourceTree
from runbook_lib.locks import locks_of, strongest
from runbook_lib.plan import Plan, Step, StrategyName
from runbook_lib.refusals import refusals
from runbook_lib.revisions import parse_tree
from runbook_lib.situation import Refusal, Situation
from runbook_lib.steps import (
    answering,
    corrective_doc,
    drop_empty,
    dropped,
    edit_files,
    finish_revisions,
    rebuild_index,
    run_corrective,
    validate_constraint,
)
from runbook_lib.verdicts import ran

__all__ = ["Draft", "Refusal", "Situation", "candidates", "refusals"]


CORRECTIVE = "corrective_"
"""How the ids of revisions begin that a repair wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What every strategy needs: the final tree, who ran or half did, the findings' codes."""

    situation: Situation
    tree: SourceTree
    graph: RevisionGraph
    order: tuple[str, ...]
    done: frozenset[str]
    partly: frozenset[str]
    edits: tuple[FileEdit, ...]
    found: frozenset[str]

    @property
    def adopts(self) -> bool:
        return "adopt" in self.situation.decisions.values()

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(r for r in self.order if r not in self.done and r not in self.partly)


def candidates(situation: Situation) -> tuple[Plan, ...]:
    """Return the plans worth trying, the least invasive first."""
    draft = _draft(situation)
    plans = [
        _upgrade_plan(draft),
        _missing_plan(draft, apart=False),
        _missing_plan(draft, apart=True),
        _remaining_plan(draft),
        _written_plan(draft),
        _corrective_plan(draft),
    ]
    return tuple(plan for plan in plans if plan is not None)


def _draft(situation: Situation) -> Draft:
    loadable = apply_edits(situation.tree, situation.repair.edits)
    joined = merge_heads(loadable, history=situation.history)
    tree = apply_edits(loadable, joined.edits)
    graph = branches.restrict(parse_tree(tree), situation.target)
    judged = situation.drawn.verdicts
    found = auditing.findings(situation.seen, situation.drawn)
    done = {name for name, verdict in judged.items() if ran(verdict)}
    partly = {name for name, verdict in judged.items() if verdict.executed == "partly"}
    return Draft(
        situation=situation,
        tree=tree,
        graph=graph,
        order=graphs.topological(graph),
        done=_closed_over_empty(graph, done, judged),
        partly=frozenset(partly),
        edits=combine(situation.repair.edits, joined.edits),
        found=frozenset(item.code for item in found),
    )


def _closed_over_empty(
    graph: RevisionGraph, done: Collection[str], judged: Mapping[str, RevisionVerdict]
) -> frozenset[str]:
    """Count revisions without any effect as done when a later one ran: nothing is left to do."""
    above = graphs.ancestors(graph, sorted(done))
    empty = {
        n for n in above if n in judged and not judged[n].effects and not judged[n].touches_rows
    }
    return frozenset({*done, *empty})


def _upgrade_plan(draft: Draft) -> Plan | None:
    """Strategies 1 and 2: make the rows say what is proven, then upgrade the rest."""
    if draft.partly or draft.adopts or not _closed(draft, draft.done):
        return None
    rows = versions.exact_rows(draft.graph, draft.done)
    steps = [*_unfinished(draft), *_set_rows(draft, rows)]
    moved = bool(steps)
    if draft.missing:
        steps.append(_run(draft, draft.missing, only=False))
    return _plan(draft, _upgrade_name(draft, moved), steps)


def _closed(draft: Draft, names: Collection[str]) -> bool:
    """Whether version rows can say that exactly ``names`` ran."""
    return graphs.ancestors(draft.graph, sorted(names)) == frozenset(names)


def _upgrade_name(draft: Draft, moved: bool) -> StrategyName:
    if draft.missing:
        return "stamp-back-and-upgrade" if moved else "upgrade"
    if moved:
        return "correct-version-rows"
    return "repair-tree" if draft.edits else "nothing-to-do"


def _missing_plan(draft: Draft, *, apart: bool) -> Plan | None:
    """Strategy 3: run exactly the missing revisions, then record the heads.

    ``apart``: each in a transaction of its own, since a later one uses an enum's value that an
    earlier one adds; env.py may run all of them in one.
    """
    if draft.partly or draft.adopts or not draft.missing or (apart and not _adds_values(draft)):
        return None
    groups = tuple((name,) for name in draft.missing) if apart else (draft.missing,)
    heads = graphs.effective_heads(draft.graph)
    steps = [
        *_unfinished(draft),
        *(_run(draft, names, only=True) for names in groups),
        *_set_rows(draft, heads),
    ]
    return _plan(draft, "run-missing-revisions", steps)


def _adds_values(draft: Draft) -> bool:
    """Whether a missing revision, but for the last, adds a value to an enum that is there."""
    types = draft.situation.drawn.live.objects
    return any(
        change.kind == "added"
        and split(change.object)[0] == "label"
        and f"type:{'.'.join(parts(split(change.object)[1])[:2])}" in types
        for run in draft.situation.seen.replay.revisions
        if run.revision_id in draft.missing[:-1]
        for change in run.changes
    )


def _remaining_plan(draft: Draft) -> Plan | None:
    """Finish revisions that stopped half-way, which no other environment needs, then upgrade."""
    runs = {run.revision_id: run for run in draft.situation.seen.replay.revisions}
    stopped = all(runs[name].stoppable for name in draft.partly)
    done = draft.done | draft.partly
    if not draft.partly or not stopped or draft.adopts or not _closed(draft, done):
        return None
    statements = _lacking(draft, draft.missing)
    if not statements or any(statement.destructive for statement in statements):
        return None
    steps = [
        *_unfinished(draft),
        finish_revisions(sorted(draft.partly), statements),
        *_set_rows(draft, versions.exact_rows(draft.graph, done)),
    ]
    if draft.missing:
        steps.append(_run(draft, draft.missing, only=False))
    return _plan(draft, "run-missing-revisions", steps)


def _written_plan(draft: Draft) -> Plan | None:
    """Run a corrective revision that the tree has already: from a repair elsewhere, or undone."""
    done = draft.done | draft.partly
    written = any(name.startswith(CORRECTIVE) for name in draft.missing)
    if not draft.partly or not written or draft.adopts or not _closed(draft, done):
        return None
    rows = versions.exact_rows(draft.graph, done)
    upgrade = _run(draft, draft.missing, only=False)
    return _plan(
        draft, "run-missing-revisions", [*_unfinished(draft), *_set_rows(draft, rows), upgrade]
    )


def _corrective_plan(draft: Draft) -> Plan | None:
    """Strategy 4: corrective DDL for exactly what is missing, as a guarded revision.

    What is dropped is dropped here only: another database may have data in it.
    """
    data = tuple(name for name in draft.missing if _touches_rows(draft, name))
    statements = (*_lacking(draft, data), *_adopted(draft))
    if not statements:
        return None
    wanted = draft.situation.drawn.expected.objects
    drops = tuple(s for s in statements if s.object not in wanted and not _is_adopted(draft, s))
    shared = tuple(statement for statement in statements if statement not in drops)
    steps = [*_unfinished(draft), *([drop_empty(drops)] if drops else ())]
    heads = graphs.effective_heads(draft.graph)
    gone = dropped(draft.situation.drawn.live, drops)
    later = [_run(draft, data, only=True)] if data else []
    if not shared:
        steps += [*_set_rows(draft, heads), *later]
        return _plan(draft, "corrective-revision", steps, drops=gone)
    sql = tuple(ddl.guarded(statement) for statement in shared)
    name = _free_name(draft, sql)
    followed = _followed(draft, heads, shared)
    edit = add_revision(
        draft.tree,
        revision_id=name,
        down_revisions=followed,
        doc=corrective_doc(shared),
        upgrade_sql=sql,
    )
    steps += [*_set_rows(draft, heads), run_corrective(name, shared, sql), *later]
    after = tuple(head for head in heads if head not in followed)
    return _plan(
        draft,
        "corrective-revision",
        steps,
        extra=(edit,),
        heads=(*after, name),
        drops=gone,
    )


def _free_name(draft: Draft, sql: tuple[str, ...]) -> str:
    """Return an id that the statements decide, and that no revision of the tree has."""
    taken = {revision.revision_id for revision in draft.graph.revisions}
    seeds = (sql, *([*sql, str(number)] for number in range(len(taken))))
    names = (f"{CORRECTIVE}{artifacts.digest(seed)[:12]}" for seed in seeds)
    return next(name for name in names if name not in taken)


def _touches_rows(draft: Draft, name: str) -> bool:
    judged = draft.situation.drawn.verdicts
    return name in judged and judged[name].touches_rows


def _is_adopted(draft: Draft, statement: Statement) -> bool:
    live = draft.situation.drawn.live.objects.get(statement.object)
    change = ObjectChange(object=statement.object, before=None, after=live)
    return _decision(change, draft.situation.decisions) == "adopt"


def _followed(
    draft: Draft, heads: tuple[str, ...], statements: Sequence[Statement]
) -> tuple[str, ...]:
    """The one head whose history made all the objects, else all: declared branches stay apart."""
    writers = last_writers(draft.situation.seen.replay)
    made = {writers[item.object] for item in statements if item.object in writers}
    for head in heads:
        if made <= graphs.ancestors(draft.graph, [head]):
            return (head,)
    return heads


def _lacking(draft: Draft, others: Collection[str]) -> tuple[Statement, ...]:
    """Statements for what the database lacks, less what the revisions ``others`` will make."""
    drawn = draft.situation.drawn
    writers = last_writers(draft.situation.seen.replay)
    decisions = draft.situation.decisions
    changes = tuple(
        change
        for change in diff(drawn.live, drawn.expected)
        if writers.get(change.object) not in others
        and _decision(change, decisions) not in ("adopt", "ignore")
        and not _only_unfinished(change)
    )
    return ddl.create_statements(changes, drawn.live, drawn.expected)


def _adopted(draft: Draft) -> tuple[Statement, ...]:
    """Statements for what the tree takes over: no work here, but elsewhere."""
    drawn = draft.situation.drawn
    changes = tuple(
        change
        for change in diff(drawn.expected, drawn.live)
        if _decision(change, draft.situation.decisions) == "adopt"
    )
    return ddl.create_statements(changes, drawn.expected, drawn.live)


def _decision(change: ObjectChange, decisions: Mapping[str, Decision]) -> Decision | None:
    own = decisions.get(change.object)
    return own or decisions.get(f"table:{table_of(change.object, change.after or change.before)}")


def _only_unfinished(change: ObjectChange) -> bool:
    if change.before is None or change.after is None:
        return False
    differing = {
        k for k in {*change.before, *change.after} if change.before.get(k) != change.after.get(k)
    }
    return differing <= {"valid", "validated"}


def _unfinished(draft: Draft) -> list[Step]:
    """Finish indexes and constraints that a failed or deferred statement left half made."""
    steps = []
    for change in diff(draft.situation.drawn.live, draft.situation.drawn.expected):
        if not _only_unfinished(change) or change.after is None:
            continue
        kind, name = split(change.object)
        table = table_of(change.object, change.after)
        if kind == "index":
            made = definitions.make(change.object, change.after, draft.situation.drawn.expected)
            steps.append(rebuild_index(name, table, made))
        elif kind == "constraint":
            steps.append(validate_constraint(name, table))
    return steps


def _run(draft: Draft, names: tuple[str, ...], *, only: bool) -> Step:
    runs = {run.revision_id: run for run in draft.situation.seen.replay.revisions}
    known = [runs[name] for name in names if name in runs]
    sql = tuple(statement for run in known for statement in run.statements)
    how = "Run just the missing revisions" if only else "Upgrade to the heads"
    return Step(
        kind="run-revisions",
        title=f"{how}: {', '.join(names)}",
        sql=sql,
        revisions=names,
        only=only,
        commit=any(run.lost for run in known),
        transactional=not any(run.stoppable for run in known),
        lock=strongest(lock for text in sql for lock in locks_of(text)),
        answers=("phantom", "hole", "spliced-ancestor", "multiple-heads"),
    )


def _set_rows(draft: Draft, rows: tuple[str, ...]) -> list[Step]:
    table = draft.situation.seen.rows
    shape = versions.shape_statements(table, rows)
    if rows == table.ids and not shape:
        return []
    before = ", ".join(table.ids) or "nothing"
    return [
        Step(
            kind="set-version-rows",
            title=f"Record what is proven: {', '.join(rows) or 'nothing'} instead of {before}",
            sql=(*shape, *versions.row_statements(table.table, rows)),
            reverse=versions.row_statements(table.table, table.ids),
            rows_before=table.ids,
            rows_after=rows,
            lock=f"EXCLUSIVE on {table.table}",
            answers=("phantom", "unrecorded", "unlocated-row", "redundant-row", "inexact-id"),
        )
    ]


def _plan(
    draft: Draft,
    strategy: StrategyName,
    steps: Sequence[Step],
    *,
    extra: tuple[FileEdit, ...] = (),
    heads: tuple[str, ...] = (),
    drops: tuple[str, ...] = (),
) -> Plan:
    situation = draft.situation
    final = apply_edits(draft.tree, extra)
    edits = combine(draft.edits, extra)
    steps = [answering(step, draft.found) for step in steps]
    answers = (*situation.repair.answers, *(code for step in steps for code in step.answers))
    if edits:
        steps = [edit_files(edits, situation.repair.answers), *steps]
    return Plan(
        environment=situation.seen.environment,
        target=situation.seen.target,
        strategy=strategy,
        steps=tuple(steps),
        edits=edits,
        tree_before=situation.tree.digest,
        tree_after=final.digest,
        catalog_before=artifacts.digest(situation.seen.live),
        rows_before=situation.seen.rows.ids,
        heads_after=heads or graphs.effective_heads(draft.graph),
        answers=tuple(sorted(set(answers))),
        drops=drops,
        loses=losses.allowed(situation.may_lose, steps),
    )
