"""Proving: expected against found, application checks, rows, and both ways back on copies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg2

from runbook_lib import backup, carrying, differences, observation, postgres, rehearsal
from runbook_lib.agent.wire import explain
from runbook_lib.catalog import diff, without
from runbook_lib.config import Check, Environment
from runbook_lib.counting import differing
from runbook_lib.dsn import Dsn, redact
from runbook_lib.errors import RunbookError
from runbook_lib.plan import Plan, StepResult
from runbook_lib.project import Project
from runbook_lib.rehearsal import Bench
from runbook_lib.scrub import Scrub, scrub_for
from runbook_lib.survival import compare_rows
from runbook_lib.validation import CheckResult, Validation, WayBack

Go = Callable[[Dsn], tuple[StepResult, ...]]


def run_checks(
    environment: Environment, project: Project, dsn: Dsn, *, on_target: bool = False
) -> tuple[CheckResult, ...]:
    """Run the application checks against ``dsn``; those with ``on_target = false`` stay off it."""
    due = [check for check in environment.checks if check.on_target or not on_target]
    with ThreadPoolExecutor(max_workers=4) as workers:
        scrub = scrub_for(environment)
        return tuple(workers.map(lambda check: _timed_check(check, project, dsn, scrub), due))


def _timed_check(check: Check, project: Project, dsn: Dsn, scrub: Scrub) -> CheckResult:
    start = time.monotonic()
    try:
        passed, output = _run_check(check, project, dsn)
    except (RunbookError, psycopg2.Error) as error:
        passed, output = False, explain(error)
    return CheckResult(
        name=check.name,
        passed=passed,
        seconds=round(time.monotonic() - start, 3),
        output=_told(redact(scrub.clean(output), [dsn.password]), scrub),
    )


def _told(output: str, scrub: Scrub) -> str:
    """The end of what a check printed; nothing of it where a secret is left that has no mask.

    It is in no hand of ours, and a run that changed the target has to be sealed.
    """
    return "(withheld, because it shows a secret)" if scrub.leaks(output) else output[-2000:]


def _run_check(check: Check, project: Project, dsn: Dsn) -> tuple[bool, str]:
    if check.sql:
        return _run_query(check.sql, dsn)
    if check.callable:
        return project.call(check.callable, dsn, check.timeout)
    code, output = project.run(check.command, dsn, check.timeout)
    return code == 0, output


def _run_query(sql: str, dsn: Dsn) -> tuple[bool, str]:
    connection = postgres.connect(dsn)
    try:
        rows = postgres.fetch(connection, sql)
    finally:
        connection.close()
    value = rows[0][0] if rows and rows[0] else None
    return bool(value), f"returned {value!r}"


def rehearse_ways_back(
    bench: Bench, plan: Plan, repaired: Dsn, dump: Path, server_version_num: int
) -> tuple[WayBack, ...]:
    """Take the repair back on copies of the repaired clone, both ways at once."""
    ways: tuple[tuple[Literal["downgrade", "restore"], Go], ...] = (
        ("downgrade", lambda copy: _undo(bench, plan, copy)),
        ("restore", lambda copy: _restore(copy, dump, server_version_num)),
    )
    with ThreadPoolExecutor(max_workers=len(ways)) as workers:
        return tuple(workers.map(lambda way: _way_back(bench, way[0], repaired, way[1]), ways))


def _undo(bench: Bench, plan: Plan, copy: Dsn) -> tuple[StepResult, ...]:
    return carrying.undo(plan, rehearsal.stage_on(bench, plan, copy))


def _restore(copy: Dsn, dump: Path, server_version_num: int) -> tuple[StepResult, ...]:
    start = time.monotonic()
    backup.restore_over(dump, copy, server_version_num=server_version_num)
    seconds = round(time.monotonic() - start, 3)
    return (StepResult(title="Restore the backup in one transaction", seconds=seconds),)


def _way_back(
    bench: Bench,
    way: Literal["downgrade", "restore"],
    repaired: Dsn,
    go: Go,
) -> WayBack:
    start = time.monotonic()
    copy = bench.scratch.create("back", template=repaired)
    try:
        steps = go(copy)
        reasons = [s.error for s in steps if s.error] or differs_from_backup(bench, copy)
    except RunbookError as error:
        steps, reasons = (), [str(error)]
    finally:
        bench.scratch.drop(copy)
    return WayBack(
        way=way,
        proven=not reasons,
        reason=" ".join(reasons) or "Schema, version rows and every row are as they were.",
        seconds=round(time.monotonic() - start, 3),
        steps=steps,
        command=f"runbook rollback -e {bench.environment.name} --way {way}",
    )


def differs_from_backup(bench: Bench, dsn: Dsn) -> list[str]:
    """Return in which ways ``dsn`` is not what was backed up; empty when it is."""
    with _connected(dsn) as connection:
        seen = observation.look(connection, *bench.version)
        tables = compare_rows(bench.backup.fingerprints, connection)
    with _connected(bench.clone) as connection:
        before = observation.look(connection, *bench.version)
    changed = diff(before.live, seen.live)
    unequal = [proof.table for proof in tables if not proof.equal]
    reasons = []
    if changed:
        named = ", ".join(change.object for change in changed[:4])
        reasons.append(f"{differing(len(changed))} from what was backed up: {named}.")
    if unequal:
        reasons.append(f"Rows are not as they were in {', '.join(unequal[:4])}.")
    if seen.versions.rows != before.versions.rows:
        reasons.append("The version rows are not as they were.")
    return reasons


@contextmanager
def _connected(dsn: Dsn) -> Iterator[Any]:
    connection = postgres.connect(dsn)
    try:
        yield connection
    finally:
        connection.close()


def validate(
    bench: Bench, plan: Plan, repaired: Dsn, dump: Path, server_version_num: int
) -> Validation:
    """Prove the repaired clone: objects, rows, application checks, and both ways back."""
    with _connected(repaired) as connection:
        seen = observation.look(connection, *bench.version)
        tables = rehearsal.row_proofs(bench, plan, connection)
    wanted = without(bench.expected, bench.ignore)
    live, names = differences.align(without(seen.live, bench.ignore), wanted)
    comparisons = differences.compare(wanted, live, names, bench.writers)
    checks = run_checks(bench.environment, bench.project, repaired)
    ways = rehearse_ways_back(bench, plan, repaired, dump, server_version_num)
    return Validation(
        plan_digest=plan.digest,
        comparisons=comparisons,
        checks=checks,
        tables=tables,
        ways_back=ways,
        passed=all(item.status in ("equal", "renamed") for item in comparisons)
        and all(check.passed for check in checks)
        and any(way.proven for way in ways),
    )
