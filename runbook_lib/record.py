"""Record: the change record of one run — what was wrong, what was done, and where the proof is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TypeVar

from runbook_lib.backup import Backup, TableProof
from runbook_lib.errors import RunbookError
from runbook_lib.evidence import PhaseResult, RunFolder
from runbook_lib.forensics import Audit
from runbook_lib.pages import frame, table, word
from runbook_lib.plan import Plan, Rehearsal, Step, StepResult
from runbook_lib.promotion import Approval, Deployment
from runbook_lib.scrub import Scrub
from runbook_lib.validation import Validation

FILE = "record.html"
T = TypeVar("T")


def write(folder: RunFolder, phases: Sequence[PhaseResult], verdict: str, scrub: Scrub) -> Path:
    """Write ``record.html`` from the run's artifacts; what is not there is said to be missing."""
    page = scrub.clean(render(folder, phases, verdict), markup=True)
    return folder.write_text(FILE, page)


def render(folder: RunFolder, phases: Sequence[PhaseResult], verdict: str) -> str:
    """Return the page: nine questions in the order in which an auditor asks them."""
    audit = _read(folder, "02_audit", Audit) or _read(folder, "00_current_state", Audit)
    validation = _read(folder, "04_validation", Validation)
    deployment = _read(folder, "05_deployment", Deployment)
    sections = (
        ("What was wrong, and how do we know?", _wrong(audit)),
        ("What was planned?", _planned(_read(folder, "plan", Plan))),
        ("What did the rehearsal show?", _rehearsed(folder, validation)),
        ("Who approved it, and when?", _approved(folder)),
        ("What was done?", _done(deployment)),
        ("How was it before, and how is it now?", _before_after(audit, deployment)),
        ("Was every row kept?", _rows(validation, deployment)),
        ("How to go back?", _back(folder, validation)),
        ("Where is the proof?", _proof(folder, phases)),
    )
    head = (
        f"<h1>{escape(folder.environment)}: run {escape(folder.name)}</h1>\n"
        f"<p>Verdict: {word(verdict)}.{_target(audit)}</p>"
    )
    parts = [f"<h2>{number}. {title}</h2>\n{body}" for number, (title, body) in _number(sections)]
    return frame(f"{folder.environment} {folder.name}", "\n".join([head, *parts]))


def _number(sections: Iterable[tuple[str, str]]) -> Iterator[tuple[int, tuple[str, str]]]:
    return enumerate(sections, 1)


def _read(folder: RunFolder, name: str, cls: type[T]) -> T | None:
    if folder.has(name):
        with contextlib.suppress(RunbookError):
            return folder.read(name, cls)
    return None


def _target(audit: Audit | None) -> str:
    if audit is None:
        return ""
    target = audit.target
    return (
        f" Database <code>{escape(target.database)}</code>, PostgreSQL "
        f"{escape(target.server_version)}, system identifier {escape(target.system_identifier)}."
    )


def _missing(what: str) -> str:
    return f'<p class="soft">{what}</p>'


def _wrong(audit: Audit | None) -> str:
    if audit is None:
        return _missing("The run ended before the audit.")
    findings = [
        (f"<code>{item.code}</code>", word(item.severity), escape(item.message))
        for item in audit.findings
    ]
    told = (
        table(("Finding", "Severity", "What"), findings)
        if findings
        else "<p>Nothing: no finding.</p>"
    )
    return f"{told}\n{_revisions(audit)}"


def _revisions(audit: Audit) -> str:
    """Every revision with its verdict and the first object that speaks for it."""
    rows = []
    for item in audit.revisions:
        proof = next((e for e in item.evidence if e.speaks == "against"), None) or next(
            iter(item.evidence), None
        )
        seen = f"{proof.object}: expected {proof.expected}, found {proof.found}" if proof else ""
        name = f"<code>{escape(item.revision_id)}</code>"
        rows.append((name, word(item.verdict), escape(item.reason), escape(seen)))
    return table(("Revision", "Verdict", "Reason", "For example"), rows)


def _planned(plan: Plan | None) -> str:
    if plan is None:
        return _missing("No plan was made, or none could be proven.")
    rows = [
        (str(number), escape(step.title), _undone(step), escape(step.lock) or "none")
        for number, step in enumerate(plan.steps, 1)
    ]
    files = [(f"<code>{escape(item.path)}</code>", escape(item.reason)) for item in plan.edits]
    return (
        f"<p>Strategy {escape(plan.strategy)}, digest <code>{plan.digest}</code>.</p>\n"
        + (table(("Step", "What", "Undone by", "Lock"), rows) if rows else "")
        + "".join(_sql(number, step) for number, step in enumerate(plan.steps, 1))
        + (table(("File", "Why it changes"), files) if files else "")
    )


def _undone(step: Step) -> str:
    if step.reverse:
        return "its reverse, below"
    return "a way in section 8" if step.reversible else "restoring the backup only"


def _sql(number: int, step: Step) -> str:
    """What a step sends and what undoes it; long texts are folded, and can be unfolded."""
    blocks = []
    for name, statements in (("What runs", step.sql), ("What undoes it", step.reverse)):
        text = "\n".join(statements)
        if text:
            is_open = " open" if text.count("\n") < 12 else ""
            blocks.append(
                f"<details{is_open}><summary>{name} in step {number}</summary>"
                f"<pre>{escape(text)}</pre></details>"
            )
    return "\n".join(blocks)


def _rehearsed(folder: RunFolder, validation: Validation | None) -> str:
    rehearsal = _rehearsal(folder)
    if rehearsal is None:
        return _missing("Nothing was rehearsed.")
    rows = [
        (
            escape(item.strategy),
            word("passed" if item.proven else "failed") + " " + escape(item.reason),
            f"{item.seconds:.1f} s",
            _steps(item.steps),
        )
        for item in rehearsal.attempts
    ]
    refused = f"<p>Refused: {escape(', '.join(rehearsal.refused))}. {escape(rehearsal.reason)}</p>"
    told = table(("Strategy", "On the clone", "Took", "Steps"), rows) if rows else ""
    return (refused if rehearsal.refused else "") + told + _measured(validation)


def _rehearsal(folder: RunFolder) -> Rehearsal | None:
    data = _read(folder, "03_cleanup", dict) or {}
    with contextlib.suppress(RunbookError):
        return Rehearsal.from_json(data.get("rehearsal", data))
    return None


def _measured(validation: Validation | None) -> str:
    if validation is None:
        return ""
    good = sum(item.status in ("equal", "renamed") for item in validation.comparisons)
    checks = ", ".join(
        f"{escape(item.name)} {word('passed' if item.passed else 'failed')}"
        for item in validation.checks
    )
    return (
        f"<p>{good} of {len(validation.comparisons)} objects are as the heads promise. "
        f"Application checks: {checks or 'none'}.</p>"
    )


def _steps(steps: Sequence[StepResult]) -> str:
    return "<br>".join(
        f"{escape(step.title)}: {escape(step.error) or f'{step.seconds:.2f} s'}" for step in steps
    )


def _approved(folder: RunFolder) -> str:
    approval = _read(folder, "approval", Approval)
    if approval is None:
        return _missing("Nobody: nothing was approved in this run.")
    return (
        f"<p>{escape(approval.by)}, at {escape(approval.at)} ({escape(approval.how)}), the digest "
        f"<code>{escape(approval.digest)}</code>.</p>"
    )


def _done(deployment: Deployment | None) -> str:
    if deployment is None:
        return _missing("Nothing was changed on the target.")
    rows = [
        (escape(step.title), word("failed" if step.error else "passed"), f"{step.seconds:.2f} s")
        for step in deployment.steps
    ]
    return table(("Step", "How it went", "Took"), rows) if rows else "<p>Nothing to do.</p>"


def _before_after(audit: Audit | None, deployment: Deployment | None) -> str:
    before = deployment.rows_before if deployment else audit.current_heads if audit else ()
    rows = [("Version rows", _ids(before), _ids(deployment.rows_after) if deployment else "–")]
    if deployment:
        before_digest, after = deployment.catalog_before[:12], deployment.catalog_after[:12]
        rows.append(("Catalog digest", f"<code>{before_digest}</code>", f"<code>{after}</code>"))
        wrong = sum(item.status != "equal" for item in audit.comparisons) if audit else 0
        rows.append(
            ("Objects that differ", str(wrong) if audit else "–", str(deployment.differences))
        )
    return table(("", "Before", "After"), rows, cards=False)


def _ids(ids: Sequence[str]) -> str:
    return "<br>".join(f"<code>{escape(item)}</code>" for item in ids) or "none"


def _rows(validation: Validation | None, deployment: Deployment | None) -> str:
    """The tables of the target where it was changed, else those of the clone."""
    if deployment and deployment.tables:
        return f"<p>On the target:</p>\n{_tables(deployment.tables)}"
    if validation and validation.tables:
        return f"<p>On the clone:</p>\n{_tables(validation.tables)}"
    return _missing("No table was compared.")


def _tables(proofs: Sequence[TableProof]) -> str:
    rows = [
        (
            f"<code>{escape(item.table)}</code>",
            f"{item.rows_before:,}",
            f"{item.rows_after:,}",
            word("passed") + " same values" if item.equal else word("failed") + " differs",
        )
        for item in proofs
    ]
    return table(("Table", "Rows before", "Rows after", "Values"), rows)


def _back(folder: RunFolder, validation: Validation | None) -> str:
    backup = _read(folder, "01_backup", Backup)
    ways = [
        (
            escape(way.way),
            word("passed" if way.proven else "failed") + " " + escape(way.reason),
            f"{way.seconds:.1f} s",
            f"<code>{escape(way.command)}</code>",
        )
        for way in (validation.ways_back if validation else ())
    ]
    told = table(("Way", "Rehearsed", "Took", "Command"), ways) if ways else ""
    if backup is None:
        return told or _missing("No backup was taken.")
    return (
        f"{told}<p>The backup was taken at {escape(backup.taken_at)} and restored in "
        f"{backup.restore_seconds:.1f} s; the restored copy "
        f"{'equals' if backup.verified else 'does NOT equal'} the database.</p>"
    )


def _proof(folder: RunFolder, phases: Sequence[PhaseResult]) -> str:
    rows = [
        (
            _link(folder, f"{item.phase}.html", item.phase),
            word(item.status),
            f"{item.seconds:.1f} s",
            escape(item.sentence),
            _files(folder, item.phase),
        )
        for item in phases
    ]
    others = ("plan.json", "repair.patch", "approval.json", "events.jsonl")
    more = ", ".join(_link(folder, name, name) for name in others if (folder.path / name).exists())
    return (
        table(("Phase", "Status", "Took", "Result", "Files"), rows)
        + f"<p>Also: {more}. <code>run.json</code> holds the SHA-256 of every file here; "
        "<code>runbook verify</code> re-computes them.</p>"
    )


def _files(folder: RunFolder, phase: str) -> str:
    names = [f"{phase}.ipynb", f"{phase}.json"]
    return " ".join(_link(folder, name, name) for name in names if (folder.path / name).exists())


def _link(folder: RunFolder, name: str, text: str) -> str:
    there = (folder.path / name).exists()
    return f'<a href="{escape(name)}">{escape(text)}</a>' if there else escape(text)
