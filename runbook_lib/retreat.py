"""Retreat: the passages of the change record about going back, as ready HTML."""

from __future__ import annotations

from html import escape

from runbook_lib import balance, passages
from runbook_lib.going_back import Rollback
from runbook_lib.pages import table


def facts(done: Rollback, when: str, *, database: bool) -> list[tuple[str, str]]:
    """What is taken back, and what that loses; ``when`` it was done, "" in a dry run."""
    seen, plan = done.plan.target, done.plan
    told = [("Database", passages.target(seen))] if seen and database else []
    told.append(("Deployment", f"that of run <code>{escape(plan.run)}</code>"))
    if when:
        told.append(("Taken back", f"by {escape(plan.way)}, {when}"))
    lost = escape("; ".join(plan.loses)) or "nothing that was written since"
    return [*told, ("Lost" if when else "Would be lost", lost)]


def origin(done: Rollback) -> str:
    """Which deployment this takes back; its own record says what was wrong then."""
    run = escape(done.plan.run)
    return (
        f'<p>This run is about taking back the deployment of run <a href="../{run}/record.html">'
        f"<code>{run}</code></a>: what was wrong then, and what was done, is in its record.</p>"
    )


def planned(done: Rollback) -> str:
    """The way back, step by step, and what it loses."""
    steps = [(str(number), escape(step)) for number, step in enumerate(done.plan.steps, 1)]
    return (
        f"<p>The way back by {escape(done.plan.way)}, digest <code>{done.plan.digest}</code>.</p>\n"
        + (table(("Step", "What"), steps) if steps else "")
        + _lost(done)
    )


def _lost(done: Rollback) -> str:
    verb = "It lost" if done.approval else "It would lose"
    if not done.plan.loses:
        return f"<p>{verb} nothing that was written since.</p>"
    rows = [(escape(item),) for item in done.plan.loses]
    return table((f"{verb} what was written since the backup",), rows)


def rehearsed(done: Rollback) -> str:
    return f"<p>The way back by {escape(done.plan.way)}: {escape(done.plan.rehearsed)}</p>"


def schema(done: Rollback) -> str:
    """Version rows before and after going back; what a dry run leaves as it is, is left out."""
    if not done.steps:
        return ""
    before, after = balance.ids(done.plan.rows_now), balance.ids(done.rows_after)
    told = {0: "as before the deployment", 1: "NOT as before the deployment"}
    now = f"<code>{done.plan.catalog_now[:12]}</code>"
    rows = [
        ("Version rows", before, after),
        ("Whole catalog", now, told.get(done.differences, "not read back")),
    ]
    return table(("", "Before going back", "After"), rows, cards=False)


def again(done: Rollback) -> str:
    """How to go on from here."""
    name = escape(done.plan.environment)
    if done.approval is None:
        return (
            f"<p>To do it: <code>runbook rollback -e {name} --way {escape(done.plan.way)} "
            f"--approve {done.plan.digest} --by NAME</code></p>"
        )
    return (
        "<p>Going back is taken back by the repair only, from its beginning: "
        f"<code>runbook run -e {name}</code></p>"
    )
