"""The scoreboard: how every fault ends, and how it ends with what people usually try instead.

``make scoreboard`` runs the suite with RUNBOOK_SCOREBOARD set, which fills build/scoreboard.lines,
and then writes docs/scoreboard.json and docs/scoreboard.md from it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from faults.running import Outcome, Truth, misjudged
from faults.worlds import Workshop, World, alembic
from runbook_lib.catalog import Catalog, diff, renamed

VARIABLE = "RUNBOOK_SCOREBOARD"
USUAL = ("alembic upgrade heads", "alembic stamp heads, then upgrade", "metadata.create_all")


@dataclass(frozen=True, kw_only=True)
class Attempted:
    """What one of the usual remedies did to a copy: its error, else what it left behind."""

    error: str
    catalog: Catalog
    rows: tuple[str | None, ...] | None
    kept: bool


def wanted() -> bool:
    return bool(os.environ.get(VARIABLE))


def try_usual(workshop: Workshop, world: World, truth: Truth) -> dict[str, str]:
    """Try each usual remedy on a copy of the broken world; say right, fails or wrong.

    Right is what the broken tree itself promises (the healthy one where that does not load): its
    objects, its heads in the version table, and every row there was. What a person decided to
    leave in the database, and several heads, are not held against a remedy.
    """
    promised, heads = _promise(workshop, world)
    attempts = {name: _try(workshop, world, name, truth) for name in USUAL}
    extra = truth.same_catalog
    return {name: _judge(item, promised, heads, extra) for name, item in attempts.items()}


def _promise(workshop: Workshop, world: World) -> tuple[Catalog, tuple[str, ...]]:
    with contextlib.suppress(Exception):
        return workshop.fresh(world.project), workshop.heads(world.project)
    healthy = workshop.world(world.topology)
    try:
        return workshop.fresh(healthy.project), workshop.heads(healthy.project)
    finally:
        workshop.drop(healthy)


def _try(workshop: Workshop, world: World, name: str, truth: Truth) -> Attempted:
    found = world.rows(truth.dropped)
    before = {table: rows for table, rows in found.items() if table not in truth.written}
    with workshop.copied(world) as copy:
        try:
            _remedy(workshop, copy, name)
            error = ""
        except (Exception, SystemExit) as failure:
            error = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        rows: tuple[str | None, ...] | None = None
        with contextlib.suppress(Exception):
            rows = copy.recorded()
        kept = not copy.same_rows(before)
        return Attempted(error=error, catalog=copy.catalog(), rows=rows, kept=kept)


def _remedy(workshop: Workshop, copy: World, name: str) -> None:
    if name.startswith("metadata"):
        _create_all(workshop, copy)
        return
    if "stamp" in name:
        alembic(copy.project, copy.dsn, "stamp", "heads")
    alembic(copy.project, copy.dsn, "upgrade", "heads")


def _create_all(workshop: Workshop, copy: World) -> None:
    """Models that promise what the healthy tree does, and ``create_all`` of them."""
    healthy, metadata = workshop.world(copy.topology), sa.MetaData()
    engine = sa.create_engine(healthy.dsn.with_driver("psycopg2"))
    metadata.reflect(engine)
    engine.dispose()
    workshop.drop(healthy)
    engine = sa.create_engine(copy.dsn.with_driver("psycopg2"))
    try:
        metadata.create_all(engine)
    finally:
        engine.dispose()


def _judge(item: Attempted, promised: Catalog, heads: tuple[str, ...], extra_counts: bool) -> str:
    if item.error:
        return "fails"
    if not item.kept:
        return "wrong: rows changed"
    changes = diff(promised, item.catalog)
    named = {key for pair in renamed(changes) for key in pair}
    number = sum(
        change.object not in named and (extra_counts or change.before is not None)
        for change in changes
    )
    if number:
        return f"wrong: {number} object{'s differ' if number > 1 else ' differs'}"
    return "right" if item.rows == heads else "wrong: version rows"


def note(
    number: int, name: str, topology: str, truth: Truth, outcome: Outcome, bad: list[str],
    usual: Mapping[str, str],
) -> None:  # fmt: skip
    """Add one line to the scoreboard's file; workers append whole lines."""
    line = {
        "number": number,
        "fault": name,
        "topology": topology,
        "diagnosed": not misjudged(outcome.audit, truth),
        "end": outcome.end,
        "wanted": truth.end,
        "right": not bad,
        "usual": dict(usual),
    }
    path = Path(os.environ[VARIABLE])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lines").open("a") as stream:
        stream.write(json.dumps(line) + "\n")


# --- the page -----------------------------------------------------------------------------


def main(source: str, page: str) -> None:
    """Gather the lines that the suite left beside ``source``; write the page and its JSON."""
    lines = Path(source).with_suffix(".lines").read_text().splitlines()
    found = sorted(
        (json.loads(line) for line in lines), key=lambda i: (i["number"], i["fault"], i["topology"])
    )
    kept = {"command": "make scoreboard", "totals": _totals(found), "cases": found}
    Path(page).with_suffix(".json").write_text(json.dumps(kept, indent=1) + "\n")
    Path(page).write_text("\n".join(_page(found)) + "\n")


def _page(found: list[dict[str, Any]]) -> Iterator[str]:
    right = sum(item["right"] for item in found)
    yield "# Scoreboard"
    yield ""
    yield "Generated by `make scoreboard`; do not edit. Every fault of the catalogue is injected"
    yield "into small trees over real databases with rows in them. The true state is known before"
    yield "the runbook looks. The faults, the trees and what is asserted: `tests/faults/`. The same"
    yield "as data: [scoreboard.json](scoreboard.json)."
    yield ""
    yield f"**{right} of {len(found)} cases end as they should.**"
    yield ""
    yield "| | cases | right verdicts | repaired and proven | refused rightly | wrong |"
    yield "|---|---|---|---|---|---|"
    yield f"| runbook | {' | '.join(str(number) for number in _totals(found).values())} |"
    yield ""
    yield from _matrix(found)
    yield ""
    yield "The same broken databases, with what people usually try instead. *Right* means that the"
    yield "schema and the version rows end as the tree promises (the healthy tree where the broken"
    yield "one does not load) and no row is lost; several heads are not held against a remedy. The"
    yield "models behind `create_all` are those of the healthy tree."
    yield ""
    yield "| | right | fails | wrong, and reports success |"
    yield "|---|---|---|---|"
    for name in USUAL:
        ends = [item["usual"].get(name, "fails") for item in found if item["number"]]
        good, fails = ends.count("right"), ends.count("fails")
        yield f"| `{name}` | {good} | {fails} | {len(ends) - good - fails} |"
    yield ""
    yield "## Case by case"
    yield ""
    yield "| Fault | Tree | Verdicts | runbook | " + " | ".join(f"`{n}`" for n in USUAL) + " |"
    yield "|---|---|---|---|" + "---|" * len(USUAL)
    for item in found:
        end = item["end"] if item["right"] else f"**wrong**: {item['end'][:60]}"
        verdicts = "right" if item["diagnosed"] else "**wrong**"
        usual = " | ".join(item["usual"].get(name, "") for name in USUAL)
        name = f"{item['number']} {item['fault'].replace('-', ' ')}"
        yield f"| {name} | {item['topology']} | {verdicts} | {end} | {usual} |"


def _totals(found: list[dict[str, Any]]) -> dict[str, int]:
    ends = Counter(_end(item) for item in found)
    return {
        "cases": len(found),
        "diagnosed": sum(item["diagnosed"] for item in found),
        "repaired": ends["repaired"],
        "refused": ends["refused"],
        "wrong": ends["**wrong**"],
    }


def _end(item: Mapping[str, Any]) -> str:
    return str(item["end"]).partition(":")[0] if item["right"] else "**wrong**"


def _matrix(found: list[dict[str, Any]]) -> Iterator[str]:
    """Faults by trees: how many cases of a fault's number end in which way on which tree."""
    trees = sorted({item["topology"] for item in found})
    yield "How each fault of the catalogue ends on each tree; *nothing* means that nothing was"
    yield "wrong and nothing was done."
    yield ""
    yield f"| Fault | {' | '.join(trees)} |"
    yield "|---" * (len(trees) + 1) + "|"
    for number in sorted({item["number"] for item in found}):
        cells = []
        for tree in trees:
            here = [i for i in found if (i["number"], i["topology"]) == (number, tree)]
            ends = sorted(Counter(_end(item) for item in here).items())
            cells.append(", ".join(f"{count} {end}" for end, count in ends))
        yield f"| {number} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
