"""Retreat: the passages of the change record about going back, as ready HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from runbook_lib import balance, passages
from runbook_lib.backup import Backup
from runbook_lib.extent import Extent
from runbook_lib.going_back import Rollback
from runbook_lib.pages import moment, table, took, word
from runbook_lib.validation import WayBack

ENDED = "This run was about going back, and ended before it proposed a way back."

UNRECORDED = "This run was about going back, and ended before it recorded what it did."

SHOWN = "It was not recorded; the notebook shows it."
ASK = "A dry run of runbook rollback says it for the database as it is now."


def database(done: Rollback) -> list[tuple[str, str]]:
    """Which database is taken back."""
    seen = done.plan.target
    return [("Database", passages.target(seen))] if seen else []


def facts(done: Rollback, when: str) -> list[tuple[str, str]]:
    """What is taken back, and what that loses; ``when`` it was done, "" in a dry run."""
    plan = done.plan
    told = [("Deployment", f"that of run <code>{escape(plan.run)}</code>")]
    if when:
        told.append(("Taken back", f"by {escape(plan.way)}, {when}"))
    lost = escape("; ".join(plan.loses)) or "nothing that was written since"
    return [*told, ("Lost" if when else "Going back would lose", lost)]


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
    """What the rehearsal of this way showed, in the run that deployed."""
    run = escape(done.plan.run)
    return (
        f"<p>The way back by {escape(done.plan.way)}: {escape(done.plan.rehearsed)}</p>"
        f'<p class="soft">Proof: <a href="../{run}/04_validation.html">04_validation.html of '
        f"{run}</a></p>"
    )


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
        f"<code>runbook run -e {name}</code>. {FILES}</p>"
    )


FILES = (
    "Revision files that the deployment wrote are not taken back: revert the repair.patch of its "
    "run for the old tree."
)


def ways(found: Sequence[WayBack], extent: Extent) -> str:
    """Every way back with what its rehearsal showed, and the command that takes it."""
    rows = [
        (
            escape(way.way),
            word("passed" if way.proven else "failed") + " " + escape(way.reason),
            took(way.seconds),
            escape(extent.closed(way)) or f"<code>{escape(way.command)}</code>",
        )
        for way in found
    ]
    return table(("Way", "Rehearsed", "Took", "Command"), rows) if rows else ""


def backup(made: Backup) -> str:
    """The backup's files, and whether its restored copy is the database."""
    rows = [
        (
            f"<code>{escape(item.path)}</code>",
            escape(item.kind),
            f"{item.size:,}",
            f"<code>{escape(item.sha256)}</code>",
        )
        for item in made.files
    ]
    same = "equals" if made.verified else "does NOT equal"
    return (
        f"<p>The backup was taken at {moment(made.taken_at)} and restored in "
        f"{made.restore_seconds:.1f} s; the restored copy {same} the database.</p>"
        + table(("Backup file", "Holds", "Bytes", "SHA-256"), rows)
    )
