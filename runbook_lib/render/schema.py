"""Expected against found: every object that the heads promise, or only what differs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from runbook_lib.catalog import parts
from runbook_lib.counting import count, differing, plural
from runbook_lib.forensics import Comparison
from runbook_lib.render.display import Display, paragraph
from runbook_lib.render.marks import STATUSES, rank, status_cell
from runbook_lib.render.table import Cell, Column, table

MAIN_KINDS = ("table", "column", "constraint", "index")


def comparisons(items: Sequence[Comparison], kind: str) -> Display:
    """Every object of one ``kind``, expected against found, each ticked.

    ``kind`` is one of :data:`MAIN_KINDS`, another kind of the catalog, ``other`` for all kinds but
    the main ones, or "" for all.
    """
    chosen = sorted((item for item in items if _is_of(item, kind)), key=_worst_first)
    noun = {"": "object", "other": "other object"}.get(kind, kind)
    return table(
        _count_line(chosen, noun),
        (noun, "status", "expected", "found", Column("made by", True)),
        [_comparison_row(item, kind in ("", "other")) for item in chosen],
        quiet=sum(item.status == "equal" for item in chosen),
        quiet_noun=f"{plural(noun)} as promised",
        empty=f"The heads promise no {plural(noun)}, and the database has none.",
    )


def _is_of(item: Comparison, kind: str) -> bool:
    if kind == "other":
        return item.kind not in MAIN_KINDS
    return kind in ("", item.kind)


def _worst_first(item: Comparison) -> tuple[int, bool, str, int, str]:
    """Sort by gravity, then tables with their parts before all that belongs to no table."""
    main = MAIN_KINDS.index(item.kind) if item.kind in MAIN_KINDS else len(MAIN_KINDS)
    table = item.table or (item.name if item.kind == "table" else "")
    return rank(item), not table, table, main, item.name


def _count_line(items: Sequence[Comparison], noun: str) -> str:
    tally = Counter(item.status for item in items)
    promised = len(items) - tally["extra"]
    wrong = tally["missing"] + tally["changed"]
    mark = "✗" if wrong else "✓" if tally["equal"] == len(items) else "≈"
    rest = [f"{tally[name]:,} {name}" for name in STATUSES if name != "equal" and name in tally]  # type: ignore[index]
    return "; ".join(
        [f"{mark} {tally['equal']:,} of {promised:,} {plural(noun)} are as promised", *rest]
    )


def _comparison_row(item: Comparison, with_kind: bool) -> tuple[Cell, ...]:
    name = f"{item.kind} {item.name}" if with_kind else item.name
    return (
        Cell(name, code=True),
        status_cell(item.status),
        Cell(item.expected or "(absent)", code=bool(item.expected)),
        Cell(item.found or "(absent)", code=bool(item.found)),
        _maker(item),
    )


def _maker(item: Comparison) -> Cell:
    if item.status == "extra" and not item.revision_id:
        return Cell("no revision")
    return Cell(item.revision_id, code=True)


def differences(items: Sequence[Comparison]) -> Display:
    """Only what differs, grouped by table, the worst table first.

    What belongs to a wholly missing (or extra) table or enum is counted in its own row.
    """
    wrong = [item for item in items if item.status != "equal"]
    if not wrong:
        return paragraph("✓ No difference: the database has what the heads promise.", "good")
    folded = _fold(wrong)
    tally = Counter(item.status for item in wrong)
    counts = [f"{tally[name]:,} {name}" for name in STATUSES if name in tally]  # type: ignore[index]
    return table(
        f"✗ {differing(len(wrong))}: {', '.join(counts)}",
        ("table", "kind", "object", "status", "expected", "found", Column("made by", True)),
        [_difference_row(item, with_it) for item, with_it in folded],
    )


WHOLES = ("table", "type")


def _owner(item: Comparison) -> str:
    """Return the table, or the enum type, that the object is or is part of."""
    if item.kind == "label":
        return ".".join(parts(item.name)[:2])
    return item.name if item.kind in WHOLES else item.table


def _fold(items: Sequence[Comparison]) -> list[tuple[Comparison, str]]:
    """Return the rows to show, each with what its table or type takes along, as a sentence."""
    whole = {
        _owner(item): item.status
        for item in items
        if item.kind in WHOLES and item.status in ("missing", "extra")
    }
    shown, inside = [], defaultdict[str, list[str]](list)
    for item in items:
        if item.kind not in WHOLES and whole.get(_owner(item)) == item.status:
            inside[_owner(item)].append(item.kind)
        else:
            shown.append(item)
    worst: dict[str, int] = {}
    for item in shown:
        worst[item.table] = min(rank(item), worst.get(item.table, 99))
    shown.sort(key=lambda item: (not item.table, worst[item.table], *_worst_first(item)))
    return [(item, _with(inside[_owner(item)]) if item.kind in WHOLES else "") for item in shown]


def _with(kinds: Iterable[str]) -> str:
    found = Counter(kinds)
    counts = [count(found[kind], kind) for kind in sorted(found)]
    return f"with {', '.join(counts)}" if counts else ""


def _difference_row(item: Comparison, with_it: str) -> tuple[Cell, ...]:
    expected, found = item.expected, item.found
    if with_it and item.status == "missing":
        expected = f"{expected}\n{with_it}".strip()
    elif with_it:
        found = f"{found}\n{with_it}".strip()
    return (
        Cell(item.table or "–", code=bool(item.table)),
        *(Cell(item.kind), Cell(item.name, code=True), status_cell(item.status)),
        *(Cell(expected or "(absent)", code=True), Cell(found or "(absent)", code=True)),
        _maker(item),
    )
