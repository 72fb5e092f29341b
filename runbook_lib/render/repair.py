"""The repair, drawn: the plan and its steps, the patch, the rehearsal, a way back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from runbook_lib.counting import count
from runbook_lib.render.audit import binding, duration, listing
from runbook_lib.render.display import (
    PRE,
    TINTS,
    WIDTH,
    Display,
    block,
    clean,
    escape,
    fit,
    folded,
    heading,
    paragraph,
    stack,
)
from runbook_lib.render.marks import passed_cell
from runbook_lib.render.proof import rows, timeline
from runbook_lib.render.table import Cell, Column, table

if TYPE_CHECKING:
    from runbook_lib.plan import Attempt, Plan, Rehearsal, Step, StepResult
    from runbook_lib.promotion import Approval
    from runbook_lib.survival import TableProof

PREVIEW_LINES = 60


class Proposal(Protocol):
    """What :func:`rollback` needs to know of a proposed way back."""

    @property
    def environment(self) -> str: ...
    @property
    def way(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def steps(self) -> tuple[str, ...]: ...
    @property
    def loses(self) -> tuple[str, ...]: ...
    @property
    def rehearsed(self) -> str: ...


class Return(Protocol):
    """What :func:`rolled_back` needs to know of a rollback; without approval it was a dry run."""

    @property
    def approval(self) -> Approval | None: ...
    @property
    def steps(self) -> tuple[StepResult, ...]: ...
    @property
    def rows_after(self) -> tuple[str, ...]: ...
    @property
    def tables(self) -> tuple[TableProof, ...]: ...
    @property
    def differences(self) -> int: ...
    @property
    def passed(self) -> bool: ...


def candidates(plans: Sequence[Plan]) -> Display:
    """The plans worth trying, in the order in which they are tried on the clone."""
    return table(
        f"{count(len(plans), 'candidate')}, the least invasive first",
        ("#", "strategy", "steps", "file edits", Column("answers", True)),
        [
            (
                *(Cell(str(number), number=True), Cell(item.strategy, code=True)),
                *(Cell(str(len(item.steps)), number=True), Cell(str(len(item.edits)), number=True)),
                ", ".join(item.answers),
            )
            for number, item in enumerate(plans, 1)
        ],
        empty="There is no candidate: a person has to decide first; the rehearsal says why.",
    )


def plan(proposed: Plan | None) -> Display:
    """The plan: its digest, its steps with their SQL and reverse, and the files that it edits."""
    if proposed is None:
        return paragraph(
            "✗ There is no plan: nothing was proven right, or a person decides.", "bad"
        )
    facts = {
        "digest": proposed.digest,
        "strategy": proposed.strategy,
        "for": f"{proposed.environment}, database {proposed.target.database}",
        "version rows now": ", ".join(proposed.rows_before) or "none",
        "version rows after": ", ".join(proposed.heads_after) or "none",
        "answers": ", ".join(proposed.answers) or "nothing",
        **({"may lose the data of": ", ".join(proposed.loses)} if proposed.loses else {}),
    }
    edits = [
        (Cell(item.path, code=True), _edit_kind(item.before, item.after), item.reason)
        for item in proposed.edits
    ]
    return stack(
        binding(facts, "The plan, and the digest that is approved"),
        steps(proposed.steps),
        table(
            f"{count(len(edits), 'file edit')} (in full in the patch)",
            ("file", "edit", Column("reason", True)),
            edits,
            empty="No file of the project changes.",
        ),
    )


def _edit_kind(before: str | None, after: str | None) -> Cell:
    if before is None:
        return Cell("+ added", "note")
    return Cell("✗ removed", "warn") if after is None else Cell("≈ changed", "note")


def steps(items: Sequence[Step]) -> Display:
    """Numbered steps: what each runs, what undoes it, the lock it takes."""
    if not items:
        return paragraph("No step is needed.", "good")
    parts = [_step(number, item) for number, item in enumerate(items, 1)]
    return stack(heading(count(len(items), "step")), *parts)


def _step(number: int, item: Step) -> Display:
    facts = [
        f"kind: {item.kind}",
        "✓ transactional" if item.transactional else "! not transactional",
        "✓ reversible" if item.reversible else "! not reversible",
        f"lock: {item.lock or 'none'}",
    ]
    if item.answers:
        facts.append(f"answers: {', '.join(item.answers)}")
    if item.revisions:
        facts.append(f"revisions: {', '.join(item.revisions)}")
    if item.rows_before or item.rows_after:
        before, after = (", ".join(rows) or "none" for rows in (item.rows_before, item.rows_after))
        facts.append(f"version rows: {before} → {after}")
    return stack(
        heading(f"{number}. {item.title}"),
        _facts(facts),
        *_script("Runs", item.sql),
        *_script("Undone by", item.reverse),
        gap="\n",
    )


def _facts(facts: Sequence[str]) -> Display:
    html = " · ".join(f"<span>{escape(fact)}</span>" for fact in facts)
    return Display(
        f'<p style="margin:2px 0">{html}</p>',
        "\n".join(f"   {line}" for fact in facts for line in fit(clean(fact), WIDTH - 3)),
    )


def _script(title: str, statements: Sequence[str]) -> list[Display]:
    lines = "\n".join(statements).splitlines()
    if not lines:
        return []
    if len(lines) > PREVIEW_LINES:
        more = f"-- … {len(lines) - PREVIEW_LINES:,} more lines, all in the artifact"
        lines = [*lines[:PREVIEW_LINES], more]
    label = Display(f'<p style="margin:2px 0">{escape(title)}:</p>', f"   {title}:")
    return [label, block("\n".join(lines))]


def patch(text: str) -> Display:
    """The unified diff of the project's files; additions and removals keep their + and -."""
    if not text.strip():
        return paragraph("No file of the project changes.", "good")
    caption = heading("File edits, as a patch that git apply accepts")
    files = re.split(r"(?m)^(?=diff --git )", clean(text))
    return Display(caption.html + "".join(map(_patch_file, files)), clean(text).rstrip("\n"))


def _patch_file(text: str) -> str:
    """One file's diff; a long one is folded, under its name and how many lines it is."""
    lines = text.splitlines()
    shown = f'<pre style="{PRE}">{chr(10).join(map(_patch_line, lines))}</pre>' if lines else ""
    if len(lines) <= PREVIEW_LINES:
        return shown
    return folded(f"{lines[0]}: {len(lines):,} lines", Display(shown, ""))


def _patch_line(line: str) -> str:
    if line.startswith(("+++", "---", "diff ", "@@")):
        return f"<b>{escape(line)}</b>"
    tone = {"+": "good", "-": "bad"}.get(line[:1])
    if tone is None:
        return escape(line)
    return f'<span style="background:{TINTS[tone]}">{escape(line)}</span>'  # type: ignore[index]


def rehearsal(result: Rehearsal) -> Display:
    """What the clone showed: each strategy tried, why cheaper ones failed, seconds per step."""
    last = [item for item in result.attempts if item.proven] or list(result.attempts[-1:])
    return stack(
        _outcome(result),
        table(
            f"{count(len(result.attempts), 'strategy')} tried, the least invasive first",
            ("strategy", "result", "time", Column("why", True)),
            [_attempt_row(item) for item in result.attempts],
            empty="No strategy was tried.",
        ),
        *(timeline(item.steps, f"The steps of {item.strategy}, on the clone") for item in last),
    )


def _outcome(result: Rehearsal) -> Display:
    digest = f" Plan {result.plan_digest}." if result.plan_digest else ""
    if result.proven:
        return paragraph(f"✓ Proven on the clone. {result.reason}".rstrip() + digest, "good")
    codes = f" Forbidden by: {', '.join(result.refused)}." if result.refused else ""
    return paragraph(f"✗ Not proven. {result.reason}".rstrip() + codes + digest, "bad")


def _attempt_row(item: Attempt) -> tuple[Cell | str, ...]:
    result = passed_cell(item.proven, "proven", "not proven")
    return Cell(item.strategy, code=True), result, duration(item.seconds), item.reason


def rollback(proposed: Proposal) -> Display:
    """A proposed way back: its digest, its steps, what it loses, and whether it was rehearsed."""
    facts = {
        "digest": proposed.digest,
        "environment": proposed.environment,
        "way": proposed.way,
        "takes back": f"the deployment of run {proposed.run}",
        "rehearsed": proposed.rehearsed,
    }
    return stack(
        binding(facts, "The way back, and the digest that is approved"),
        listing(proposed.steps, count(len(proposed.steps), "step"), "There is nothing to do."),
        listing(proposed.loses, "! What going back loses", "✓ Going back loses nothing."),
    )


def rolled_back(done: Return) -> Display:
    """What going back did, and what was read back; or that it was a dry run."""
    if done.approval is None:
        return paragraph("○ Dry run: nothing was changed, because nothing was approved.", "note")
    sentence = "✓ Back where it was." if done.passed else "✗ Not back where it was."
    facts = {"version rows now": ", ".join(done.rows_after) or "none"}
    if done.differences >= 0:
        facts["schema"] = "≈ differs" if done.differences else "✓ as before the deployment"
    return stack(
        paragraph(sentence, "good" if done.passed else "bad"),
        timeline(done.steps, "Steps on the target"),
        binding(facts, "Read back on a new connection"),
        rows(done.tables),
    )
