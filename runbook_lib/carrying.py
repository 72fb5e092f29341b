"""Carrying out: the steps of a plan, one by one, on a clone or on the target.

The same code serves both, so that what was rehearsed is what is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2

from runbook_lib import edits, exclusion, postgres
from runbook_lib.agent.wire import explain
from runbook_lib.answers import UNDONE
from runbook_lib.config import Environment
from runbook_lib.dsn import Dsn, redact
from runbook_lib.edits import FileEdit
from runbook_lib.effects import RevisionReplay
from runbook_lib.errors import RunbookError, SafetyError
from runbook_lib.plan import Plan, Step, StepResult
from runbook_lib.project import Project
from runbook_lib.pulse import pulse
from runbook_lib.versions import row_statements

Progress = Callable[[str], None]
Doer = Callable[["Step", "Plan", "Stage"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where steps are carried out: the database, and the tree that Alembic is to see.

    ``overlay`` are edits laid over the project's files for this run only; ``written`` says that
    the edits go into the project itself.
    """

    dsn: Dsn
    project: Project
    environment: Environment
    overlay: tuple[FileEdit, ...] = ()
    written: bool = False
    progress: Progress = print


def carry_out(plan: Plan, stage: Stage) -> tuple[StepResult, ...]:
    """Carry out every step in order; stop at the first that fails, whose result has the error."""
    results = []
    for step in plan.steps:
        stage.progress(step.title)
        result = _timed(_DOERS, step.title, step, plan, stage)
        results.append(result)
        if result.error:
            break
    return tuple(results)


def _timed(
    doers: Mapping[str, Doer], title: str, step: Step, plan: Plan, stage: Stage
) -> StepResult:
    start, error = time.monotonic(), ""
    try:
        with pulse(stage.progress, lambda: title.partition(":")[0]):
            doers[step.kind](step, plan, stage)
    except (RunbookError, psycopg2.Error) as failure:
        said = str(failure) if isinstance(failure, RunbookError) else explain(failure)
        error = redact(said, [stage.dsn.password])
    return StepResult(title=title, seconds=round(time.monotonic() - start, 3), error=error)


def _edit_files(step: Step, plan: Plan, stage: Stage) -> None:
    if stage.written:
        edits.write(stage.environment.project_root, plan.edits)


def _set_rows(step: Step, plan: Plan, stage: Stage) -> None:
    table = plan.target.version_table
    run_sql(stage, step.sql, guard=lambda cursor: _require_rows(cursor, table, step.rows_before))


def _require_rows(cursor: Any, table: str, expected: Sequence[str]) -> None:
    cursor.execute("SELECT to_regclass(%s)", (table,))
    if cursor.fetchone()[0] is None:
        return
    cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
    cursor.execute(f"SELECT DISTINCT version_num FROM {table} WHERE version_num IS NOT NULL")
    found = {row[0] for row in cursor.fetchall()}
    if found != set(expected):
        raise SafetyError(
            f"{table} holds {', '.join(sorted(found)) or 'nothing'}, where the plan expects "
            f"{', '.join(expected) or 'nothing'}.",
            "Somebody changed it meanwhile: run the audit again.",
        )


def _run_sql(step: Step, plan: Plan, stage: Stage) -> None:
    _run_statements(step, step.sql, stage)


def _run_statements(step: Step, statements: Sequence[str], stage: Stage) -> None:
    if step.transactional:
        run_sql(stage, statements)
        return
    connection = _open(stage, autocommit=True)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def run_sql(
    stage: Stage, statements: Sequence[str], guard: Callable[[Any], None] = lambda cursor: None
) -> None:
    """Run statements in one transaction, after ``guard`` has had its say in the same one."""
    connection = _open(stage, autocommit=False)
    try:
        with connection, connection.cursor() as cursor:
            guard(cursor)
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def _open(stage: Stage, *, autocommit: bool) -> Any:
    connection = postgres.connect(
        stage.dsn,
        read_only=False,
        lock_timeout=stage.environment.lock_timeout,
        statement_timeout=stage.environment.statement_timeout,
    )
    postgres.fetch(connection, exclusion.SHARE)
    connection.autocommit = autocommit
    return connection


def _run_revisions(step: Step, plan: Plan, stage: Stage) -> None:
    runs = stage.project.upgrade(
        stage.dsn,
        stage.environment.branch,
        edits=stage.overlay,
        only=step.revisions if step.only else (),
        commit=step.commit,
        lock_timeout=stage.environment.lock_timeout,
        statement_timeout=stage.environment.statement_timeout,
        progress=lambda event: _show(event, stage),
    )
    _require_done(runs, "")


def _require_done(runs: Sequence[RevisionReplay], what: str) -> None:
    """Raise RunbookError for the revision that failed, not for those that only went with it.

    ``what`` begins the sentence.
    """
    failed = [run for run in runs if run.status == "failed"]
    gone = [run.revision_id for run in failed if run.error.startswith(UNDONE)]
    cause = next((run for run in failed if run.revision_id not in gone), (*failed, None)[0])
    if cause:
        others = ", ".join(name for name in gone if name != cause.revision_id)
        also = f"; rolled back with it: {others}" if others else ""
        raise RunbookError(f"{what}{cause.revision_id} failed: {cause.error}{also}")


_DOERS: dict[str, Doer] = {
    "edit-files": _edit_files,
    "set-version-rows": _set_rows,
    "run-revisions": _run_revisions,
    "run-sql": _run_sql,
}


def _show(event: Mapping[str, Any], stage: Stage) -> None:
    if event["event"] in ("finished", "failed"):
        stage.progress(f"  {event['revision']} {event['event']} in {event['seconds']:.2f} s")


def undo(plan: Plan, stage: Stage) -> tuple[StepResult, ...]:
    """Take the plan's steps back, the last first, and record what was recorded before.

    Raises nothing: the first step that cannot be taken back ends the list with its error.
    """
    results = []
    for step in reversed(plan.steps):
        stage.progress(f"Undo: {step.title}")
        results.append(_timed(_UNDOERS, f"Undo: {step.title}", step, plan, stage))
        if results[-1].error:
            break
    return tuple(results)


def _unedit_files(step: Step, plan: Plan, stage: Stage) -> None:
    if stage.written:
        edits.write(stage.environment.project_root, edits.reverse(plan.edits))


def _unrun_sql(step: Step, plan: Plan, stage: Stage) -> None:
    _run_statements(step, step.reverse, stage)


def _unrun_revisions(step: Step, plan: Plan, stage: Stage) -> None:
    if step.reverse:
        run_sql(stage, step.reverse)
    else:
        _downgrade(step, stage)
    run_sql(stage, row_statements(plan.target.version_table, plan.rows_before))


def _downgrade(step: Step, stage: Stage) -> None:
    runs = stage.project.downgrade(
        stage.dsn,
        only=tuple(reversed(step.revisions)),
        edits=stage.overlay,
        lock_timeout=stage.environment.lock_timeout,
        statement_timeout=stage.environment.statement_timeout,
    )
    _require_done(runs, "The downgrade of ")


_UNDOERS: dict[str, Doer] = {
    "edit-files": _unedit_files,
    "set-version-rows": _unrun_sql,
    "run-revisions": _unrun_revisions,
    "run-sql": _unrun_sql,
}
