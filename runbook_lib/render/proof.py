"""Proof, drawn: the backup, checks, rows, ways back, gates, the deployment and its watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from runbook_lib.counting import count, size
from runbook_lib.render.audit import binding, duration, listing
from runbook_lib.render.display import (
    Display,
    block,
    heading,
    paragraph,
    seconds,
    stack,
)
from runbook_lib.render.marks import passed_cell
from runbook_lib.render.table import Cell, Column, table
from runbook_lib.survival import kept

if TYPE_CHECKING:
    from runbook_lib.backup import Backup
    from runbook_lib.plan import StepResult
    from runbook_lib.promotion import Approval, ChecklistItem, Deployment
    from runbook_lib.survival import TableProof
    from runbook_lib.validation import CheckResult, WayBack


def backup(made: Backup) -> Display:
    """The backup's files, and the proof that they can be restored."""
    files = table(
        f"Backup taken at {made.taken_at}",
        ("file", "holds", "size", "time", Column("SHA-256", True)),
        [
            (
                *(Cell(item.path, code=True), item.kind, Cell(size(item.size), number=True)),
                *(duration(item.seconds), Cell(item.sha256, code=True)),
            )
            for item in made.files
        ],
        empty="No file was written.",
    )
    return stack(_restored(made), files, *_unlike(made))


def _restored(made: Backup) -> Display:
    rows = sum(item.rows for item in made.tables)
    held = f"{count(len(made.tables), 'table')}, {count(rows, 'row')}"
    took = f"restored into the clone {made.clone} in {seconds(made.restore_seconds)}"
    if made.verified:
        return paragraph(f"✓ Verified: {took}; equal in schema and in every row ({held}).", "good")
    return paragraph(f"✗ Not verified: {took}, but the clone differs ({held}).", "bad")


def _unlike(made: Backup) -> list[Display]:
    rows: list[tuple[Cell | str, ...]] = [
        (Cell(item.object, code=True), Cell(f"≈ {item.kind}", "bad")) for item in made.differences
    ]
    rows += [(Cell(name, code=True), Cell("≈ rows differ", "bad")) for name in made.unequal_tables]
    return [table("Where the clone differs", ("object", "difference"), rows)] if rows else []


def timeline(results: Sequence[StepResult], caption: str = "Steps, in order") -> Display:
    """Each step's result and time, and when it began, counted from the first."""
    rows: list[tuple[Cell | str, ...]] = []
    began, whole = 0.0, sum(item.seconds for item in results)
    for number, item in enumerate(results, 1):
        mark = passed_cell(not item.error, "done", "failed")
        times = Cell(seconds(began), number=True), Cell(seconds(item.seconds), number=True)
        rows.append(
            (
                Cell(str(number), number=True),
                item.title,
                mark,
                *times,
                _when(began, item.seconds, whole),
                item.error,
            )
        )
        began += item.seconds
    return table(
        caption,
        ("#", "step", "result", "began at", "took", "when", Column("error", True)),
        rows,
        total=(Cell(""), "total", "", "", Cell(seconds(began), number=True), "", "")
        if rows
        else (),
        empty="No step was carried out.",
    )


def _when(began: float, took: float, whole: float) -> Cell:
    """A bar within the time of all steps; in a terminal of characters."""
    width = 16
    share = took / whole if whole else 0.0
    left = min(began / whole if whole else 0.0, 1 - share)
    start, long = round(left * width), max(1, round(share * width))
    text = ("·" * min(start, width - long) + "█" * long).ljust(width, "·")
    return Cell(text, bar=(left, share))


def checks(results: Sequence[CheckResult]) -> Display:
    """Application checks, with the redacted end of what each printed."""
    good = sum(item.passed for item in results)
    mark = "✓" if good == len(results) else "✗"
    return table(
        f"{mark} {good} of {count(len(results), 'application check')} passed",
        ("check", "result", "time", Column("output", True)),
        [
            (item.name, passed_cell(item.passed), duration(item.seconds), _output(item.output))
            for item in sorted(results, key=lambda item: item.passed)
        ],
        empty="No application check is configured ([[checks]] in runbook.toml).",
    )


def _output(text: str) -> Cell:
    return Cell(text.strip("\n"), code=True)


def rows(proofs: Sequence[TableProof]) -> Display:
    """Row counts and fingerprints before and after, over the columns that both have."""
    ordered = sorted(proofs, key=lambda item: (item.equal, item.table))
    equal = sum(item.equal for item in proofs)
    tables = [item for item in proofs if not item.is_sequence]
    before, after = (
        sum(item.rows_before for item in tables),
        sum(max(0, item.rows_after) for item in tables),
    )
    all_equal = equal == len(proofs)
    return table(
        f"{'✓' if all_equal else '✗'} {kept(proofs)}",
        ("table", "rows before", "rows after", "rows and values"),
        [
            (
                Cell(item.shown, code=True),
                *_rows_of(item),
                passed_cell(item.equal, "equal", "differ"),
            )
            for item in ordered
        ],
        total=("total", _number(before), _number(after), passed_cell(all_equal, "equal", "differ")),
        quiet=equal,
        quiet_noun="tables that kept every row",
        empty="There is no table whose rows could be compared.",
    )


def _rows_of(item: TableProof) -> tuple[Cell, Cell]:
    if item.is_sequence:
        return Cell("–", number=True), Cell("–", number=True)
    return _number(item.rows_before), _number(max(0, item.rows_after))


def _number(value: int) -> Cell:
    return Cell(f"{value:,}", number=True)


def ways_back(ways: Sequence[WayBack]) -> Display:
    """Each rehearsed rollback, and the command that does it for real."""
    return table(
        "Ways back, each rehearsed on a copy",
        ("way", "result", "time", "steps", Column("why", True), Column("command", True)),
        [
            (
                *(item.way, passed_cell(item.proven, "proven", "not proven")),
                *(duration(item.seconds), Cell(str(len(item.steps)), number=True)),
                *(_reason(item), Cell(item.command, code=True)),
            )
            for item in ways
        ],
        empty="No way back was rehearsed.",
    )


def _reason(item: WayBack) -> str:
    failed = [f"{step.title}: {step.error}" for step in item.steps if step.error]
    return "\n".join([item.reason, *failed]).strip()


def checklist(items: Sequence[ChecklistItem]) -> Display:
    """The pre-deployment checklist; what does not hold comes with what to do."""
    good = sum(item.passed for item in items)
    mark = "✓" if good == len(items) else "✗"
    return table(
        f"{mark} {good} of {count(len(items), 'condition')} "
        f"{'holds' if len(items) == 1 else 'hold'}",
        ("condition", "holds", Column("detail", True), Column("to do", True)),
        [
            (
                *(item.name, passed_cell(item.passed, "yes", "no")),
                *(item.detail, "" if item.passed else item.todo),
            )
            for item in items
        ],
        empty="The checklist is empty.",
    )


def approval(given: Approval | None) -> Display:
    """Who approved which digest, when and how; or that nobody has."""
    if given is None:
        return paragraph("○ Not approved. Nothing will be written to the target.", "warn")
    facts = {
        "approved by": given.by,
        "at": given.at,
        "how": given.how,
        "environment": given.environment,
        "digest": given.digest,
    }
    return binding(facts, "✓ Approved")


def deployment(done: Deployment) -> Display:
    """What was done to the target, step by step, and what was read back."""
    outcome = "Deployed and verified" if done.passed else "The deployment is not verified"
    facts = {
        "plan": done.plan_digest,
        "version rows before": ", ".join(done.rows_before) or "none",
        "version rows after": ", ".join(done.rows_after) or "none",
        "catalog before": done.catalog_before,
        "catalog after": done.catalog_after,
        "differences from the heads": f"{done.differences:,}",
    }
    return stack(
        paragraph(f"{'✓' if done.passed else '✗'} {outcome}.", "good" if done.passed else "bad"),
        timeline(done.steps, "Steps on the target"),
        binding(facts, "Read back on a new connection"),
    )


def watch(lines: Sequence[str]) -> Display:
    """The monitor's readings, in order."""
    return listing(lines, count(len(lines), "reading"), "No reading was taken.")


def alerts(rules: Sequence[str]) -> Display:
    """What came of each alert rule, one a line."""
    return listing(rules, "Alerts, and what came of them", "No alert is configured.")


def schedule(snippets: Mapping[str, str]) -> Display:
    """Texts that schedule the audit, by the name of the scheduler."""
    if not snippets:
        return paragraph("No schedule was written.")
    return stack(*(stack(heading(name), block(text), gap="\n") for name, text in snippets.items()))
