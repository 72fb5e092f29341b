"""Passages of the change record that depend on one artifact only, as ready HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from runbook_lib import chart
from runbook_lib.artifacts import Artifact
from runbook_lib.counting import count
from runbook_lib.findings import Finding, grouped, told
from runbook_lib.forensics import Audit, Evidence, Target
from runbook_lib.pages import fold, moment, table, took, word
from runbook_lib.plan import Plan, Rehearsal, Step, StepResult
from runbook_lib.promotion import Approval, Deployment
from runbook_lib.validation import CheckResult, Validation


def hands(by_hand: Sequence[str], run: bool, *, back: bool) -> str:
    """Who carried the run out; ``run`` says that its log tells of a command, ``back`` of which."""
    if not by_hand and not run:
        return "by hand, and left behind before it was closed"
    if not by_hand and back:
        return "by <code>runbook rollback</code>"
    if not by_hand:
        return "by <code>runbook run</code>, notebook after notebook"
    return f"stepped through by hand: {escape(', '.join(by_hand))}; sealed afterwards"


def target(seen: Target) -> str:
    return (
        f"<code>{escape(seen.database)}</code>, PostgreSQL {escape(seen.server_version)}, "
        f"system identifier {escape(seen.system_identifier)}, version table "
        f"<code>{escape(seen.version_table)}</code>"
    )


def found(audit: Audit) -> str:
    errors = sum(item.severity == "error" for item in audit.findings)
    wrong = sum(item.status != "equal" for item in audit.comparisons)
    return (
        f"{count(errors, 'error')} among {count(len(audit.findings), 'finding')}; "
        f"{count(wrong, 'object')} of the schema not as the heads promise"
        + ("" if all(item.replayed for item in audit.revisions) else ", as far as that is known")
    )


def how(audit: Audit) -> str:
    """Say by what the verdicts are known, and which revisions promise what nobody knows."""
    total, left = len(audit.revisions), [r.revision_id for r in audit.revisions if not r.replayed]
    who = f"{total - len(left)} of {total} revisions were" if left else "every revision was"
    named = escape(", ".join(left[:8])) + (f" and {len(left) - 8} others" if left[8:] else "")
    others = f" Not run to its end, so that what it promises is not known: {named}." if left else ""
    return (
        f"<p>How we know: {who} really run, one by one, {_PLACES[audit.baseline_origin]}, and "
        "what each did was compared with the database's own catalog. What the version table says "
        f"played no part in it.{others}</p>\n"
    )


_PLACES = {
    "empty": "in an empty database",
    "given": "in a database that held only the given baseline",
    "inferred": "in a database that held only a baseline, read off this very database",
}


def findings(audit: Audit) -> str:
    rows = [
        (
            f"<code>{group[0].code}</code>",
            word(group[0].severity),
            escape(told(group)) + _each(group),
        )
        for group in grouped(audit.findings)
    ]
    return table(("Finding", "Severity", "What"), rows) if rows else "<p>Nothing: no finding.</p>"


def _each(group: Sequence[Finding]) -> str:
    """What each of many findings says, folded."""
    said = "<br>".join(escape(item.message) for item in group)
    return fold("All of them", f"<p>{said}</p>", is_open=False) if len(group) > 1 else ""


def revisions(audit: Audit) -> str:
    """Every revision with its verdict and the first object that speaks for it."""
    rows = []
    for item in audit.revisions:
        against = (fact for fact in item.evidence if fact.speaks == "against")
        proof = next(against, None) or next(iter(item.evidence), None)
        name = f"<code>{escape(item.revision_id)}</code>"
        seen = _seen(proof) if proof else ""
        rows.append((name, word(item.verdict), escape(item.reason), escape(seen)))
    shown = table(("Revision", "Verdict", "Reason", "For example"), rows)
    return fold(f"All {count(len(rows), 'revision')}", shown, is_open=len(rows) <= 40)


def _seen(proof: Evidence) -> str:
    if proof.expected == proof.found:
        return f"{proof.object}: {proof.found}, as expected"
    return f"{proof.object}: expected {proof.expected}; found {proof.found}"


def no_plan(rehearsal: Rehearsal | None) -> str:
    """Say why there is no plan; ``rehearsal`` is None where the run did not come to one."""
    if rehearsal is None:
        return "The run ended before a plan was made."
    why = "a repair was refused" if rehearsal.refused else "no repair could be proven"
    return f"None: {why}, as the next section says."


def steps(plan: Plan) -> str:
    """The plan's steps, what each sends and what undoes it, and the files that change."""
    rows = [
        (str(number), escape(step.title), _undone(step), _locks(step.lock))
        for number, step in enumerate(plan.steps, 1)
    ]
    files = [(f"<code>{escape(item.path)}</code>", escape(item.reason)) for item in plan.edits]
    return (
        (table(("Step", "What", "Undone by", "Locks"), rows) if rows else "")
        + "".join(_sql(number, step) for number, step in enumerate(plan.steps, 1))
        + (table(("File", "Why it changes"), files) if files else "")
    )


def _undone(step: Step) -> str:
    if step.reverse:
        return "its reverse, below"
    return "a way in section 8" if step.reversible else "restoring the backup only"


def _locks(locks: str) -> str:
    return "<br>".join(escape(item) for item in locks.split("; ")) if locks else "none"


def _sql(number: int, step: Step) -> str:
    """What a step sends and what undoes it; long texts are folded, and can be unfolded."""
    blocks = []
    for name, statements in (("What runs", step.sql), ("What undoes it", step.reverse)):
        text = "\n".join(statements)
        if text:
            shown = f"<pre>{escape(text)}</pre>"
            blocks.append(fold(f"{name} in step {number}", shown, is_open=text.count("\n") < 12))
    return "\n".join(blocks)


def results(items: Sequence[StepResult]) -> str:
    return "<br>".join(
        f"{escape(step.title)}: {'failed' if step.error else f'{step.seconds:.2f} s'}"
        for step in items
    )


def carried_out(items: Sequence[StepResult]) -> str:
    """Each step on the target with what came of it, and its time to scale."""
    drawn = chart.bars([(s.seconds, "failed" if s.error else "passed") for s in items])
    rows = [
        (
            escape(step.title),
            word("failed" if step.error else "passed") + " " + escape(step.error),
            took(step.seconds, 2),
            drawn[number],
        )
        for number, step in enumerate(items)
    ]
    return table(("Step", "How it went", "Took", "When"), rows)


def measured(validation: Validation | None) -> str:
    if validation is None:
        return ""
    good = sum(item.status in ("equal", "renamed") for item in validation.comparisons)
    told = f"<p>{good} of {len(validation.comparisons)} objects are as the heads promise.</p>"
    return told + checked("Application checks, on the clone", validation.checks)


def checked(caption: str, checks: Sequence[CheckResult]) -> str:
    """Each application check with what it printed last."""
    if not checks:
        return f"<p>{caption}: none.</p>"
    rows = [
        (
            escape(item.name),
            word("passed" if item.passed else "failed"),
            took(item.seconds),
            escape((item.output.strip().splitlines() or [""])[-1]),
        )
        for item in checks
    ]
    return f"<p>{caption}:</p>" + table(("Check", "How it went", "Took", "It said"), rows)


def approval(given: Approval, noun: str, what: Artifact | None) -> str:
    """Who approved which digest, and whether that is the digest of what was done."""
    same = what is not None and given.digest == what.digest
    which = f", which is {'the' if same else 'NOT the'} {noun}'s" if what else ""
    return (
        f"<p>{escape(given.by)}, at {moment(given.at)} ({escape(given.how)}): the digest "
        f"<code>{escape(given.digest)}</code>{which}.</p>"
    )


def conditions(deployment: Deployment | None) -> str:
    """The checklist that was held before the first write."""
    if deployment is None or not deployment.checklist:
        return ""
    rows = [
        (escape(item.name), word("passed" if item.passed else "failed"), escape(item.detail))
        for item in deployment.checklist
    ]
    return "<p>What had to hold before the first write:</p>" + table(
        ("Condition", "Holds", "Detail"), rows
    )
