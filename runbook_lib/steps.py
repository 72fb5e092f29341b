"""Steps: the typed steps of a plan, each with its SQL, its reverse and its lock. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from runbook_lib import ddl
from runbook_lib.catalog import Catalog, parts, split, table_of
from runbook_lib.counting import count
from runbook_lib.ddl import Statement
from runbook_lib.differences import data_of
from runbook_lib.edits import FileEdit
from runbook_lib.identifiers import identifier, literal, sql_name, unquoted
from runbook_lib.locks import strongest
from runbook_lib.plan import Step

# Rows that row-level security hides from the user would be taken for none: an error instead.
ALL_ROWS = "SET LOCAL row_security = off"


def edit_files(edits: Sequence[FileEdit], answers: tuple[str, ...]) -> Step:
    return Step(
        kind="edit-files",
        title=f"Repair the tree: {len(edits)} file{'s' if len(edits) > 1 else ''}",
        sql=tuple(f"-- {edit.path}: {edit.reason}" for edit in edits),
        reverse=("-- the patch, applied in reverse",),
        answers=answers,
    )


def finish_revisions(names: Sequence[str], statements: Sequence[Statement]) -> Step:
    return Step(
        kind="run-sql",
        title=f"Run what is left of {', '.join(names)}: "
        + count(len(statements), "guarded statement"),
        sql=tuple(ddl.guarded(statement) for statement in statements),
        reverse=_reverse(statements),
        transactional=all(statement.transactional for statement in statements),
        reversible=all(statement.reverse for statement in statements),
        lock=_locks(statements),
        answers=("partial", "hole"),
    )


def run_corrective(name: str, statements: Sequence[Statement], sql: tuple[str, ...]) -> Step:
    return Step(
        kind="run-revisions",
        title=f"Run the corrective revision {name}: {count(len(statements), 'guarded statement')}",
        sql=tuple(statement.sql for statement in statements),
        reverse=_reverse(statements),
        revisions=(name,),
        transactional=all(statement.transactional for statement in statements),
        reversible=all(statement.reverse for statement in statements),
        lock=_locks(statements),
        answers=("partial", "phantom", "hole", "drift-missing"),
    )


def corrective_doc(statements: Sequence[Statement]) -> str:
    objects = sorted({split(statement.object)[1] for statement in statements})
    shown = ", ".join(objects[:4]) + (" and others" if len(objects) > 4 else "")
    return f"Make what earlier revisions promise and a database lacks: {shown}."


def drop_empty(drops: Sequence[Statement]) -> Step:
    objects = ", ".join(" ".join(split(item.object)) for item in drops)
    return Step(
        kind="run-sql",
        title=f"Drop what holds no data and is to be reverted: {objects}",
        sql=(ALL_ROWS, *_require_empty(drops), *(ddl.guarded(item) for item in drops)),
        reverse=_reverse(drops),
        reversible=all(item.reverse for item in drops),
        lock=_locks(drops),
        answers=("drift-extra",),
    )


def _require_empty(drops: Sequence[Statement]) -> tuple[str, ...]:
    """Statements that fail, in the same transaction, when something to be dropped holds data."""
    return tuple(
        f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n"
        f"DO $runbook$ BEGIN IF EXISTS (SELECT FROM {table} WHERE {condition}) THEN RAISE "
        f"EXCEPTION 'it holds data: %', {literal(item.object)}; END IF; END $runbook$"
        for item in drops
        for table, condition in data_of(item.object)
    )


def dropped(live: Catalog, drops: Sequence[Statement]) -> tuple[str, ...]:
    """Return the tables and sequences that go, spelled as fingerprints name them."""
    gone = {item.object for item in drops}
    tables = {split(key)[1] for key in gone if split(key)[0] == "table"}
    sequences = {
        f"sequence {split(key)[1]}"
        for key, aspects in live.objects.items()
        if split(key)[0] == "sequence" and (key in gone or table_of(key, aspects) in tables)
    }
    return tuple(sorted(tables | sequences))


def rebuild_index(name: str, table: str, definition: str) -> Step:
    """Drop and rebuild: a dump leaves invalid indexes out, so on the clone it is only built."""
    sql = re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX CONCURRENTLY ", definition)
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {sql_name(name)}"
    return Step(
        kind="run-sql",
        title=f"Rebuild index {name}, which a failed CONCURRENTLY left invalid",
        sql=(drop, sql),
        reverse=(drop,),
        transactional=False,
        lock=f"SHARE UPDATE EXCLUSIVE on {table}",
        answers=("invalid-index",),
    )


def validate_constraint(name: str, table: str) -> Step:
    table, constraint = sql_name(table), identifier(unquoted(parts(name)[-1]))
    return Step(
        kind="run-sql",
        title=f"Validate constraint {name}",
        sql=(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}",),
        lock=f"SHARE UPDATE EXCLUSIVE on {table}",
        answers=("not-valid-constraint",),
    )


def answering(step: Step, found: Collection[str]) -> Step:
    """A step that can answer several findings answers those that there are."""
    there = tuple(code for code in step.answers if code in found)
    return replace(step, answers=there) if len(step.answers) > 1 else step


def _reverse(statements: Sequence[Statement]) -> tuple[str, ...]:
    return tuple(item.reverse for item in reversed(statements) if item.reverse)


def _locks(statements: Sequence[Statement]) -> str:
    return strongest(item.lock for item in statements)
