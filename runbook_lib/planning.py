"""Planning: strategies from the least invasive up, each as a whole plan. Pure.

Which of them is right is not decided here: the rehearsal tries them on copies of the clone in
this order, and the first that proves right is offered.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from runbook_lib import artifacts, branches, ddl, versions
from runbook_lib import graph as graphs
from runbook_lib.auditing import Conclusions, Observations
from runbook_lib.catalog import ObjectChange, diff, split, table_of
from runbook_lib.config import Decision, History
from runbook_lib.ddl import Statement
from runbook_lib.differences import last_writers
from runbook_lib.edits import FileEdit, TreeRepair, add_revision, apply_edits, combine, merge_heads
from runbook_lib.forensics import Drift, RevisionVerdict
from runbook_lib.graph import RevisionGraph, SourceTree
from runbook_lib.plan import Plan, Step, StrategyName
from runbook_lib.revisions import parse_tree
from runbook_lib.verdicts import ran


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What planning starts from. ``tree`` is the project's own, ``repair`` made it loadable.

    ``target`` is Alembic's name for what the environment is to have, "heads" or a branch.
    """

    seen: Observations
    drawn: Conclusions
    tree: SourceTree
    repair: TreeRepair
    history: History = "merge"
    target: str = "heads"
    decisions: Mapping[str, Decision] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why no repair may be planned: a finding code, and a sentence with the choices."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What every strategy needs: the final tree, and who ran, who did not and who half did."""

    situation: Situation
    tree: SourceTree
    graph: RevisionGraph
    order: tuple[str, ...]
    done: frozenset[str]
    partly: frozenset[str]
    edits: tuple[FileEdit, ...]

    @property
    def adopts(self) -> bool:
        return "adopt" in self.situation.decisions.values()

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(r for r in self.order if r not in self.done and r not in self.partly)


def refusals(situation: Situation) -> tuple[Refusal, ...]:
    """Return everything that forbids a repair until a person has decided or mended something."""
    return (
        *_unreadable(situation),
        *_undecided(situation),
        *_unreplayed(situation),
        *_half_done_data(situation),
    )


def _unreadable(situation: Situation) -> list[Refusal]:
    return [Refusal(code="unloadable-file", reason=text) for text in situation.repair.open]


def _undecided(situation: Situation) -> list[Refusal]:
    return [
        Refusal(
            code=f"drift-{drift.kind}",
            reason=f"{drift.object}: expected {drift.expected}, found {drift.found}. Decide in "
            f"[environments.{situation.seen.environment}.drift]: adopt, revert or ignore.",
        )
        for drift in situation.drawn.drift
        if needs_decision(drift) and drift.object not in situation.decisions
    ]


def needs_decision(drift: Drift) -> bool:
    """Whether a person has to say what becomes of it: names do not matter, losses are mended."""
    unfinished = drift.aspect in ("valid", "validated")
    return drift.kind != "missing" and drift.aspect != "name" and not unfinished


def _unreplayed(situation: Situation) -> list[Refusal]:
    return [
        Refusal(
            code="not-replayable",
            reason=f"{run.revision_id} fails in the replay, so what it promises is unknown: "
            f"{run.error}",
        )
        for run in situation.seen.replay.revisions
        if run.status == "failed"
    ]


def _half_done_data(situation: Situation) -> list[Refusal]:
    """Rows that a half-executed revision changes: nothing in the schema tells if it did."""
    return [
        Refusal(
            code="partial",
            reason=f"{verdict.revision_id} is half executed and also changes rows; the schema "
            "cannot tell whether that part ran. Finish it by hand, then audit again.",
        )
        for verdict in situation.drawn.verdicts.values()
        if verdict.executed == "partly" and verdict.touches_rows and not _lost_later(verdict)
    ]


def _lost_later(verdict: RevisionVerdict) -> bool:
    """Whether most of it is there: then it ran as a whole, and something was removed since."""
    there = sum(item.speaks == "for" for item in verdict.evidence)
    return there > len(verdict.evidence) - there


def candidates(situation: Situation) -> tuple[Plan, ...]:
    """Return the plans worth trying, the least invasive first."""
    draft = _draft(situation)
    plans = [_upgrade_plan(draft), _missing_plan(draft), _corrective_plan(draft)]
    return tuple(plan for plan in plans if plan is not None)


def _draft(situation: Situation) -> Draft:
    loadable = apply_edits(situation.tree, situation.repair.edits)
    joined = merge_heads(loadable, history=situation.history)
    tree = apply_edits(loadable, joined.edits)
    graph = branches.restrict(parse_tree(tree), situation.target)
    judged = situation.drawn.verdicts
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
    closed = graphs.ancestors(draft.graph, sorted(draft.done)) == draft.done
    if draft.partly or draft.adopts or not (closed or not draft.done):
        return None
    rows = versions.exact_rows(draft.graph, draft.done)
    steps = [*_unfinished(draft), *_set_rows(draft, rows)]
    if draft.missing:
        steps.append(_run(draft, draft.missing, only=False))
    return _plan(draft, _upgrade_name(draft, rows), steps)


def _upgrade_name(draft: Draft, rows: tuple[str, ...]) -> StrategyName:
    moved = rows != _rows_now(draft)
    if draft.missing:
        return "stamp-back-and-upgrade" if moved else "upgrade"
    if moved or _unfinished(draft):
        return "correct-version-rows"
    return "repair-tree" if draft.edits else "nothing-to-do"


def _missing_plan(draft: Draft) -> Plan | None:
    """Strategy 3: run exactly the missing revisions, then record the heads."""
    if draft.partly or draft.adopts or not draft.missing:
        return None
    heads = graphs.effective_heads(draft.graph)
    steps = [
        *_unfinished(draft),
        _run(draft, draft.missing, only=True),
        *_set_rows(draft, heads),
    ]
    return _plan(draft, "run-missing-revisions", steps)


def _corrective_plan(draft: Draft) -> Plan | None:
    """Strategy 4: corrective DDL for exactly what is missing, as a guarded revision."""
    data = tuple(
        name
        for name in draft.missing
        if name in draft.situation.drawn.verdicts
        and draft.situation.drawn.verdicts[name].touches_rows
    )
    statements = _corrective_statements(draft, data)
    if not statements:
        return None
    heads = graphs.effective_heads(draft.graph)
    sql = tuple(ddl.guarded(statement) for statement in statements)
    name = f"corrective_{artifacts.digest(sql)[:12]}"
    edit = add_revision(
        draft.tree,
        revision_id=name,
        down_revisions=heads,
        doc=_corrective_doc(statements),
        upgrade_sql=sql,
        downgrade_sql=(),
    )
    steps = [*_unfinished(draft), *_set_rows(draft, heads), _corrective_step(name, statements, sql)]
    if data:
        steps.append(_run(draft, data, only=True))
    return _plan(draft, "corrective-revision", steps, extra=(edit,), heads=(name,))


def _corrective_doc(statements: Sequence[Statement]) -> str:
    objects = sorted({split(statement.object)[1] for statement in statements})
    shown = ", ".join(objects[:4]) + (" and others" if len(objects) > 4 else "")
    return f"Make what earlier revisions promise and a database lacks: {shown}."


def _corrective_statements(draft: Draft, data: Collection[str]) -> tuple[Statement, ...]:
    """What the database lacks, and what the tree takes over (a no-op here, work elsewhere)."""
    drawn = draft.situation.drawn
    writers = last_writers(draft.situation.seen.replay)
    decisions = draft.situation.decisions
    lacking = tuple(
        change
        for change in diff(drawn.live, drawn.expected)
        if writers.get(change.object) not in data
        and _decision(change, decisions) not in ("adopt", "ignore")
        and not _only_unfinished(change)
    )
    adopted = tuple(
        change
        for change in diff(drawn.expected, drawn.live)
        if _decision(change, decisions) == "adopt"
    )
    return (
        *ddl.create_statements(lacking, drawn.live, drawn.expected),
        *ddl.create_statements(adopted, drawn.expected, drawn.live),
    )


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
        if not _only_unfinished(change):
            continue
        kind, name = split(change.object)
        table = table_of(change.object, change.after)
        if kind == "index":
            steps.append(_rebuild(name, table))
        elif kind == "constraint":
            steps.append(_validate(name, table))
    return steps


def _rebuild(name: str, table: str) -> Step:
    return Step(
        kind="run-sql",
        title=f"Rebuild index {name}, which a failed CONCURRENTLY left invalid",
        sql=(f"REINDEX INDEX CONCURRENTLY {name}",),
        transactional=False,
        lock=f"SHARE UPDATE EXCLUSIVE on {table}",
        answers=("invalid-index",),
    )


def _validate(name: str, table: str) -> Step:
    constraint = name.removeprefix(f"{table}.")
    return Step(
        kind="run-sql",
        title=f"Validate constraint {name}",
        sql=(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}",),
        lock=f"SHARE UPDATE EXCLUSIVE on {table}",
        answers=("not-valid-constraint",),
    )


def _corrective_step(name: str, statements: Sequence[Statement], sql: tuple[str, ...]) -> Step:
    locks = sorted({statement.lock for statement in statements if statement.lock})
    back = tuple(s.reverse for s in reversed(statements) if s.reverse)
    return Step(
        kind="run-revisions",
        title=f"Run the corrective revision {name}: {len(statements)} guarded statements",
        sql=tuple(statement.sql for statement in statements),
        reverse=back,
        revisions=(name,),
        transactional=all(statement.transactional for statement in statements),
        reversible=all(statement.reverse for statement in statements),
        lock="; ".join(locks),
        answers=("partial", "phantom", "hole", "drift-missing"),
    )


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
        transactional=not any(run.autocommit or run.commits_inside for run in known),
        lock="; ".join(sorted({lock for text in sql if (lock := lock_of(text))})),
        answers=("phantom", "hole", "spliced-ancestor", "multiple-heads"),
    )


_LOCKS = (
    (re.compile(r"^\s*ALTER TABLE (?:ONLY )?(?:IF EXISTS )?([\w.\"]+)", re.I), "ACCESS EXCLUSIVE"),
    (re.compile(r"^\s*DROP TABLE (?:IF EXISTS )?([\w.\"]+)", re.I), "ACCESS EXCLUSIVE"),
    (
        re.compile(
            r"^\s*CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY).* ON (?:ONLY )?([\w.\"]+)", re.I
        ),
        "SHARE",
    ),
    (
        re.compile(r"^\s*CREATE (?:UNIQUE )?INDEX CONCURRENTLY.* ON ([\w.\"]+)", re.I),
        "SHARE UPDATE EXCLUSIVE",
    ),
    (re.compile(r"^\s*CREATE TRIGGER .* ON ([\w.\"]+)", re.I | re.S), "SHARE ROW EXCLUSIVE"),
    (re.compile(r"^\s*(?:UPDATE|DELETE FROM|INSERT INTO) ([\w.\"]+)", re.I), "ROW EXCLUSIVE"),
)


def lock_of(sql: str) -> str:
    """Return the strongest table lock that a statement takes, by the documentation's table.

    Source: PostgreSQL manual, "Explicit Locking", table-level locks.
    """
    for pattern, lock in _LOCKS:
        match = pattern.match(sql)
        if match:
            return f"{lock} on {match.group(1)}"
    return ""


def _rows_now(draft: Draft) -> tuple[str, ...]:
    return draft.situation.seen.rows.ids


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
) -> Plan:
    situation = draft.situation
    final = apply_edits(draft.tree, extra)
    edits = combine(draft.edits, extra)
    answers = (*situation.repair.answers, *(code for step in steps for code in step.answers))
    if edits:
        steps = [_edit_step(edits, situation.repair.answers), *steps]
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
    )


def _edit_step(edits: Sequence[FileEdit], answers: tuple[str, ...]) -> Step:
    return Step(
        kind="edit-files",
        title=f"Repair the tree: {len(edits)} file{'s' if len(edits) > 1 else ''}",
        sql=tuple(f"-- {edit.path}: {edit.reason}" for edit in edits),
        reverse=("-- the patch, applied in reverse",),
        answers=answers,
    )
