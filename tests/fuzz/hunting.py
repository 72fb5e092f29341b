"""Hunting: an invented life through all phases, and everything that is then wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from faults.running import Outcome, Run, go
from faults.worlds import Rows, Workshop, alembic, connected, load, read

from fuzz.living import Life
from runbook_lib import phases
from runbook_lib.catalog import Catalog, diff, renamed
from runbook_lib.forensics import Audit

QUIET = frozenset({"multiple-heads", "not-valid-constraint", "long-revision-id"})


@dataclass(frozen=True, kw_only=True)
class Hunt:
    """How one life went: what is ``wrong`` with it, in sentences, and how it ended."""

    end: str
    reason: str
    wrong: tuple[str, ...]
    strategy: str = ""


def hunt(workshop: Workshop, life: Life, *, back: bool = False) -> Hunt:
    """Run a life through the phases; with ``back`` take the deployment back again."""
    world = life.world
    catalog, rows = world.catalog(), world.rows()
    outcome = go(world)
    bad = [*misjudged(life, outcome.audit), *false_findings(life, outcome.audit)]
    if outcome.end in ("repaired", "nothing"):
        bad += unrepaired(workshop, life, outcome)
        bad += changed(life, rows, outcome)
        if back and outcome.end == "repaired":
            bad += unrestored(life, catalog, rows)
    else:
        if not outcome.end.startswith("refused:"):
            bad.append(f"ended {outcome.end}: {outcome.reason}")
        if diff(catalog, world.catalog()) or world.rows() != rows:
            bad.append("it refused, and yet changed the database")
    strategy = outcome.plan.strategy if outcome.plan else ""
    return Hunt(end=outcome.end, reason=outcome.reason, wrong=tuple(bad), strategy=strategy)


def misjudged(life: Life, audit: Audit) -> Iterator[str]:
    """Verdicts that are not what really happened, and not indistinguishable from it."""
    if life.state not in life.knowledge.digest:  # it ran thanks to rows: not supposed
        return
    found = {item.revision_id: item for item in audit.revisions}
    for number, rev in enumerate(life.order):
        item, true = found[rev.id], life.knowledge.allowed(life.state, number)
        if item.executed == "unknowable" and (item.implied in true or not item.implied):
            continue
        if item.executed not in true:
            yield f"{rev.id} is {item.executed}, not {sorted(true)}: {item.reason}"


def false_findings(life: Life, audit: Audit) -> Iterator[str]:
    """Drift where nobody changed a thing by hand, and verdict codes that verdicts do not bear."""
    for item in audit.findings:
        if item.code.startswith("drift-") and "by_hand" not in item.subject \
                and "hand_made" not in item.subject:  # fmt: skip
            yield f"false finding {item.code}: {item.message}"


def unrepaired(workshop: Workshop, life: Life, outcome: Outcome) -> Iterator[str]:
    world = life.world
    assert outcome.again is not None
    for item in outcome.again.findings:
        if item.severity == "error" and item.code not in QUIET:
            yield f"the second audit finds {item.code}: {item.message}"
    rows = world.recorded()
    if rows != workshop.heads(world.project):
        yield f"the rows are {rows}, not those of {load(world.project).get_heads()}"
    alembic(world.project, world.dsn, "upgrade", "heads")
    if world.recorded() != rows:
        yield "alembic upgrade heads moved the rows"
    changes = diff(workshop.fresh(world.project), world.catalog())
    named = {key for pair in renamed(changes) for key in pair}
    for change in changes:
        if change.object not in named:
            yield f"{change.object} differs: {change.before} {change.after}"


def changed(life: Life, before: Rows, outcome: Outcome) -> Iterator[str]:
    """Rows lost, or changed where no revision that was to run changes them."""
    texts = "\n".join(text for rev in life.missing for text in (*rev.up, *rev.outside))
    with connected(life.world.dsn) as cursor:
        after = life.world.rows()
        for table, (columns, rows) in before.items():
            bare = table.split(".", 1)[1].strip('"')
            if table not in after:
                if rows and not re.search(rf'"?{re.escape(bare)}"? RENAME TO', texts):
                    yield f"{len(rows)} rows of {table} are gone with it"
                continue
            kept = tuple(column for column in columns if column in after[table][0])
            if len(after[table][1]) < len(rows):
                yield f"{table} had {len(rows)} rows and has {len(after[table][1])}"
            elif not re.search(
                rf'(UPDATE|INTO|ALTER TABLE)( IF EXISTS)? "?{re.escape(bare)}"?\s', texts
            ):
                now = read(cursor, table, kept)
                if kept == columns and now != rows:
                    yield f"rows of {table} changed"


def unrestored(life: Life, catalog: Catalog, rows: Rows) -> Iterator[str]:
    """Go back by restore; say what is not as it was before the deployment."""
    run = Run(life.world)
    phase = run.phase("90_rollback")
    proposed = phases.propose_rollback(phase, way="restore")
    approval = phases.require_rollback_approval(phase, proposed, approve=proposed.digest, by="me")
    done = phases.read_back_rollback(phase, phases.roll_back(phase, proposed, approval))
    if not done.passed:
        yield f"the rollback failed: {done.steps}"
    for change in diff(catalog, life.world.catalog()):
        yield f"after the rollback {change.object} differs"
    if life.world.rows() != rows:
        yield "after the rollback rows differ"
    found = life.world.recorded() if life.kind != "missing" else ()
    if sorted(map(str, found)) != sorted(map(str, life.rows)):
        yield f"after the rollback the version rows are {found}"
