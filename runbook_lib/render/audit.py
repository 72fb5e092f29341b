"""What the audit found, as tables: revisions, their evidence, findings, strategies, drift."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from operator import itemgetter

from runbook_lib.counting import count
from runbook_lib.findings import SEVERITIES, Finding, grouped, told
from runbook_lib.forensics import Audit, Drift, RevisionVerdict, Strategy
from runbook_lib.render.display import Display, clean, folded, paragraph, seconds, stack
from runbook_lib.render.marks import (
    EXECUTED,
    LOOKS,
    row_id,
    severity_cell,
    status_cell,
    verdict_cell,
    yes_no,
)
from runbook_lib.render.table import LONG, Cell, Column, table

SHORT = 6  # effects, or revisions' evidence, that are shown as they are
MANY = 200  # effects that are listed on demand
KINDS = 4  # kinds of effects that are counted


def binding(facts: Mapping[str, str], caption: str = "What this notebook is bound to") -> Display:
    """Names and values, such as the database, its redacted address, and the heads."""
    rows = [(Cell(name), Cell(str(value))) for name, value in facts.items()]
    return table(caption, ("what", "value"), rows, empty="Nothing is bound.")


def verdict(status: str, sentence: str) -> Display:
    """A plain banner. A status it does not know is shown as it is, without a judgement."""
    good = ("passed", "good", "ok", "proven", "applied", "verified", "clean", "done")
    bad = ("failed", "bad", "refused", "error", "broken")
    name = status.lower()
    if name in good:
        return paragraph(f"✓ {status.upper()} — {sentence}", "good")
    if name in bad:
        return paragraph(f"✗ {status.upper()} — {sentence}", "bad")
    return paragraph(f"! {status.upper()} — {sentence}", "warn")


def revisions(audit: Audit) -> Display:
    """Every revision: what is recorded, what was executed, and the verdict of the two.

    In a long history the revisions that nothing speaks against come last, folded; and with them
    most of those that are wrong, where very many are wrong alike.
    """
    items, alike = audit.revisions, _alike(audit.revisions)
    repeated = set(alike[SHORT:])
    last = [_is_quiet(item) or item in repeated for item in items]
    if len(items) > LONG:
        items = tuple(item for _, item in sorted(zip(last, items, strict=True), key=itemgetter(0)))
    noun = "revisions that nothing speaks against"
    if alike:
        noun = f"revisions that are {alike[0].verdict} too, or that nothing speaks against"
    first = {item.revision_id: item for item in reversed(items)}  # files may share an id
    return table(
        f"{count(len(items), 'revision')} of {audit.environment}: {_tally(items)}",
        (
            *("revision", "recorded", "executed", "verdict", "for/against", "seconds"),
            *(Column("purpose", True), Column("reason", True), Column("effects", True)),
        ),
        [_revision_row(item, first[item.revision_id] is item) for item in items],
        quiet=sum(last),
        quiet_noun=noun,
        empty="The tree has no revisions.",
    )


def _alike(items: Sequence[RevisionVerdict]) -> list[RevisionVerdict]:
    """Return the revisions of the commonest verdict that something speaks against, if many."""
    groups: defaultdict[str, list[RevisionVerdict]] = defaultdict(list)
    for item in items:
        if not _is_quiet(item):
            groups[item.verdict].append(item)
    most = max(groups.values(), key=len, default=[])
    return most if len(most) > LONG else []


def _is_quiet(item: RevisionVerdict) -> bool:
    return item.verdict in ("applied", "pending") or (
        item.verdict == "unknowable" and item.implied != ("no" if item.recorded else "yes")
    )


def _tally(items: Sequence[RevisionVerdict]) -> str:
    found = Counter(item.verdict for item in items)
    return ", ".join(
        f"{look.mark} {found[name]:,} {name}"  # type: ignore[index]
        for name, look in LOOKS.items()
        if name in found
    )


def _revision_row(item: RevisionVerdict, anchored: bool) -> tuple[Cell, ...]:
    votes = Counter(fact.speaks for fact in item.evidence)
    return (
        Cell(item.revision_id, code=True, anchor=row_id(item.revision_id) if anchored else ""),
        Cell(yes_no(item.recorded)),
        Cell(EXECUTED[item.executed]),
        verdict_cell(item),
        Cell(f"{votes['for']} / {votes['against']}", number=True),
        Cell(f"{item.seconds:.2f}", number=True),
        Cell(item.doc.strip() or "(no purpose given)"),
        Cell(item.reason),
        _effects_cell(item),
    )


def _effects_cell(item: RevisionVerdict) -> Cell:
    """A few effects as they are; of many how many of each kind, and a list on demand."""
    rows = ["changes rows"] if item.touches_rows else []
    if len(item.effects) <= SHORT:
        return Cell("\n".join([*item.effects, *rows]) or "nothing in the catalog")
    shown = list(item.effects[:MANY])
    if len(item.effects) > MANY:
        shown.append(f"… and {len(item.effects) - MANY:,} more, in the artifact")
    return Cell("; ".join([*_tally_effects(item.effects), *rows]), rest="\n".join(shown))


def _tally_effects(effects: Sequence[str]) -> list[str]:
    """Count effects by sign and kind, such as “+5 tables, 41 columns”; tables lead."""
    kinds: dict[str, Counter[str]] = {}
    for line in effects:
        sign, noun = [*clean(line).split()[:2], "", ""][:2]
        kinds.setdefault(sign, Counter())[noun or "object"] += 1
    return [f"{sign}{_tally_kinds(found)}" for sign, found in kinds.items()]


def _tally_kinds(found: Counter[str]) -> str:
    order = sorted(found, key=lambda noun: (noun != "table", -found[noun], noun))
    parts = [count(found[noun], noun) for noun in order[:KINDS]]
    return ", ".join(parts) + (" …" if len(order) > KINDS else "")


def evidence(audit: Audit, revision_id: str = "") -> Display:
    """The objects that speak for and against one revision having run.

    Without ``revision_id``: of every revision on which record and database disagree, each folded
    when there are many.
    """
    if not revision_id:
        found = [item for item in audit.revisions if not _is_quiet(item)]
        sound = "✓ Record and database agree on every revision; none needs its evidence shown."
        draw = _evidence_of if len(found) <= SHORT else _folded_evidence
        return stack(*map(draw, found)) if found else paragraph(sound, "good")
    found = [item for item in audit.revisions if item.revision_id == revision_id]
    if not found:
        return paragraph(f"The tree has no revision {revision_id}.", "warn")
    return stack(*map(_evidence_of, found))


def _evidence_of(item: RevisionVerdict) -> Display:
    facts = sorted(item.evidence, key=lambda fact: (fact.speaks == "for", fact.object, fact.aspect))
    caption = _evidence_caption(item)
    return table(
        caption,
        ("object", "kind", "aspect", "expected", "found", "speaks"),
        [
            (
                Cell(fact.object, code=True),
                *(fact.kind, fact.aspect, Cell(fact.expected, code=True)),
                *(Cell(fact.found, code=True), _speaks(fact.speaks == "for")),
            )
            for fact in facts
        ],
        quiet=sum(fact.speaks == "for" for fact in facts),
        quiet_noun="objects and aspects that speak for it",
        empty=f"{caption} No object speaks for or against it.",
    )


def _evidence_caption(item: RevisionVerdict) -> str:
    return f"{item.revision_id}: {LOOKS[item.verdict].mark} {item.verdict}. {item.reason}".strip()


def _folded_evidence(item: RevisionVerdict) -> Display:
    drawn = _evidence_of(item)
    return Display(folded(_evidence_caption(item), drawn), drawn.text)


def _speaks(in_favour: bool) -> Cell:
    return Cell("✓ for", "good") if in_favour else Cell("✗ against", "bad")


def findings(found: Sequence[Finding]) -> Display:
    """What is wrong, errors first. Many that are alike but for their subject share one row."""
    tally = Counter(item.severity for item in found)
    parts = [count(tally[name], name) for name in SEVERITIES if name in tally and name != "info"]
    parts += [f"{tally['info']:,} for information"] if "info" in tally else []
    return table(
        f"{count(len(found), 'finding')}: {', '.join(parts)}",
        ("code", "severity", "subject", Column("message", True), Column("suggestion", True)),
        list(map(_finding_row, grouped(found))),
        empty="✓ No findings.",
    )


def _finding_row(group: Sequence[Finding]) -> tuple[Cell, ...]:
    """Return one row, which in HTML shows on demand what each of many says."""
    first, more = group[0], len(group) - 1
    rest = "\n".join(item.message for item in group) if more else ""
    subject = Cell(f"{first.subject} and {more:,} more") if more else Cell(first.subject, code=True)
    return (
        Cell(first.code, code=True),
        severity_cell(first.severity),
        *(subject, Cell(told(group), rest=rest), Cell(first.suggestion)),
    )


def strategies(items: Sequence[Strategy]) -> Display:
    """What would resolve each conflict, and why."""
    return table(
        f"{count(len(items), 'conflict')}, and what resolves each",
        ("conflict", "findings", Column("strategy", True), Column("why", True)),
        [(item.conflict, ", ".join(item.codes), item.strategy, item.why) for item in items],
        empty="✓ No conflict needs a strategy.",
    )


def drift(items: Sequence[Drift]) -> Display:
    """Where the live catalog differs from what every revision does."""
    order = {"missing": 0, "changed": 1, "extra": 2}
    return table(
        f"{count(len(items), 'aspect')} on which no revision accounts for the database",
        ("object", "drift", "aspect", "expected", "found", Column("note", True)),
        [
            (
                *(Cell(item.object, code=True), status_cell(item.kind), item.aspect),
                *(Cell(item.expected, code=True), Cell(item.found, code=True), item.note),
            )
            for item in sorted(items, key=lambda item: (order[item.kind], item.object, item.aspect))
        ],
        empty="✓ No drift: every object in the database is some revision's doing.",
    )


def listing(items: Sequence[str], caption: str, empty: str) -> Display:
    """A plain numbered list, one item a row."""
    rows = [(Cell(str(number), number=True), clean(item)) for number, item in enumerate(items, 1)]
    return table(caption, ("#", "what"), rows, empty=empty)


def duration(value: float) -> Cell:
    return Cell(seconds(value), number=True)
