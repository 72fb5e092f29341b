"""Rehearsal: candidate plans tried on copies of the clone until one proves right."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbook_lib import (
    carrying,
    catalog,
    differences,
    fingerprints,
    losses,
    observation,
    postgres,
    survival,
    violations,
)
from runbook_lib.backup import Backup
from runbook_lib.carrying import Stage
from runbook_lib.catalog import Catalog
from runbook_lib.config import Environment
from runbook_lib.counting import count
from runbook_lib.dsn import Dsn
from runbook_lib.plan import Attempt, Plan, Rehearsal, StepResult
from runbook_lib.planning import Refusal
from runbook_lib.postgres import Scratch
from runbook_lib.project import Project
from runbook_lib.survival import TableProof

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where rehearsals happen, and what proves them.

    ``clone`` is the restored backup and stays untouched: every attempt gets a copy of it.
    ``expected`` is the catalog that the heads promise, ``version`` the version table's schema and
    name, ``ignore`` patterns of objects that do not count, ``writers`` the revision that made each
    object last.
    """

    environment: Environment
    project: Project
    scratch: Scratch
    clone: Dsn
    backup: Backup
    expected: Catalog
    version: tuple[str, str]
    ignore: tuple[str, ...] = ()
    writers: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = print


def rehearse(
    bench: Bench,
    plans: Sequence[Plan],
    refused: Sequence[Refusal],
    replayed: Callable[[Plan], Catalog],
) -> tuple[Plan | None, Rehearsal]:
    """Try ``plans`` in order; return the first that is proven, with all attempts.

    ``replayed`` gives the catalog that a plan's own final tree makes from empty. With refusals
    nothing is tried.
    """
    if refused:
        return None, _refusal(refused)
    attempts: list[Attempt] = []
    for plan in plans:
        copy = bench.scratch.create("clone", template=bench.clone)
        attempt = _attempt(bench, plan, copy, replayed)
        attempts.append(attempt)
        if attempt.proven:
            return plan, Rehearsal(
                plan_digest=plan.digest,
                proven=True,
                attempts=tuple(attempts),
                reason=attempt.reason,
                clone=copy.database,
            )
        bench.scratch.drop(copy)
    return None, _unproven(bench, attempts)


def _refusal(refused: Sequence[Refusal]) -> Rehearsal:
    return Rehearsal(
        plan_digest="",
        proven=False,
        attempts=(),
        refused=tuple(sorted({item.code for item in refused})),
        reason=" ".join(item.reason for item in refused),
    )


def _unproven(bench: Bench, attempts: Sequence[Attempt]) -> Rehearsal:
    """Say why nothing is proven; where all steps of an attempt ran, no rows were in their way."""
    stuck = all(any(step.error for step in attempt.steps) for attempt in attempts)
    broken = violations.find(bench.clone, bench.expected, bench.version) if stuck else ()
    lost = sorted({key for attempt in attempts for key in attempt.lost})
    codes = ("data-violates-constraint",) if broken else ("no-proven-repair",)
    tried = " ".join(f"{attempt.strategy}: {attempt.reason}" for attempt in attempts)
    if lost and not broken:
        codes, broken = (
            ("would-lose-data",),
            (f"{losses.losing(lost, bench.environment.name)} {tried}",),
        )
    return Rehearsal(
        plan_digest="",
        proven=False,
        attempts=tuple(attempts),
        refused=codes,
        reason=" ".join(broken) or f"No strategy could be proven. {tried}",
    )


def _attempt(bench: Bench, plan: Plan, copy: Dsn, replayed: Callable[[Plan], Catalog]) -> Attempt:
    start = time.monotonic()
    bench.progress(f"Trying {plan.strategy} on a copy of the clone")
    steps = carrying.carry_out(plan, stage_on(bench, plan, copy))
    reasons, lost = _failure(steps), tuple[str, ...]()
    if not reasons:
        reasons, lost = prove(bench, plan, copy, replayed)
    return Attempt(
        strategy=plan.strategy,
        proven=not reasons,
        reason=" ".join(reasons) or "The catalog equals the replay, every row is there.",
        steps=steps,
        seconds=round(time.monotonic() - start, 3),
        lost=lost,
    )


def stage_on(bench: Bench, plan: Plan, copy: Dsn) -> Stage:
    """Return the stage for a copy: the plan's edits are laid over the project, never written."""
    return Stage(
        dsn=copy,
        project=bench.project,
        environment=bench.environment,
        overlay=plan.edits,
        progress=bench.progress,
    )


def _failure(steps: Sequence[StepResult]) -> list[str]:
    return [f"{step.title}: {step.error}" for step in steps if step.error]


def prove(
    bench: Bench, plan: Plan, dsn: Dsn, replayed: Callable[[Plan], Catalog]
) -> tuple[list[str], tuple[str, ...]]:
    """Return why ``dsn`` is not repaired, in sentences, and what would have to be allowed to go.

    The latter are keys; none where that alone would not make it a repair.
    """
    connection = postgres.connect(dsn)
    try:
        seen = observation.look(connection, *bench.version)
        tables = row_proofs(bench, plan, connection)
    finally:
        connection.close()
    schema = [*_catalog_reasons(bench, seen.live), *_row_reasons(plan, seen.versions.rows)]
    tree = _replay_reasons(bench, replayed(plan))
    gone = losses.lost(plan, tables) if not (schema or tree) else ()
    return [*schema, *losses.reasons(plan, tables), *tree], gone


def row_proofs(bench: Bench, plan: Plan, connection: Any) -> tuple[TableProof, ...]:
    """Compare the rows of a copy with the clone's, less the columns whose values may go."""
    clone = postgres.connect(bench.clone)
    try:
        origin = fingerprints.places(clone)
        without = losses.spared(plan.loses, origin)
        others = [place.table for place in origin if place.table not in without]
        again = fingerprints.fingerprints(clone, others, without) if without else ()
    finally:
        clone.close()
    changed = {item.table: item for item in again}
    before = [changed.get(item.table, item) for item in bench.backup.fingerprints]
    return survival.compare_rows(before, connection, origin)


def different(bench_expected: Catalog, live: Catalog, ignore: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys that differ between what is promised and what is there."""
    wanted = catalog.without(bench_expected, ignore)
    aligned, _ = differences.align(catalog.without(live, ignore), wanted)
    return tuple(change.object for change in catalog.diff(wanted, aligned))


def _catalog_reasons(bench: Bench, live: Catalog) -> list[str]:
    keys = different(bench.expected, live, bench.ignore)
    word = "differs" if len(keys) == 1 else "differ"
    return [f"{count(len(keys), 'object')} still {word}: {_some(keys)}."] if keys else []


def _replay_reasons(bench: Bench, final: Catalog) -> list[str]:
    keys = different(bench.expected, final, bench.ignore)
    return [f"The repaired tree itself would make {_some(keys)} otherwise."] if keys else []


def _row_reasons(plan: Plan, rows: tuple[str | None, ...] | None) -> list[str]:
    if rows is not None and sorted(row or "" for row in rows) == sorted(plan.heads_after):
        return []
    found = ", ".join(row or "NULL" for row in rows or ()) or "nothing"
    return [f"The version table records {found}, not {', '.join(plan.heads_after)}."]


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(" ".join(catalog.split(key)) for key in keys[:4])
    return f"{shown} and {len(keys) - 4} more" if len(keys) > 4 else shown


def expected_after(promised: Catalog, live: Catalog, decisions: Mapping[str, str]) -> Catalog:
    """Return what is to be there after the repair: the promise, and what is adopted from life."""
    adopted = tuple(key for key, decision in decisions.items() if decision == "adopt")
    others = catalog.without(live, adopted).objects
    taken = {key: aspects for key, aspects in live.objects.items() if key not in others}
    return Catalog(objects={**catalog.without(promised, adopted).objects, **taken})
