"""Marks: a sign beside every colour, so that nothing is said by colour alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from runbook_lib.codes import Severity
from runbook_lib.forensics import Comparison, DriftKind, Executed, RevisionVerdict
from runbook_lib.render.display import Tone
from runbook_lib.render.table import Cell


@dataclass(frozen=True, slots=True)
class Look:
    """How a verdict looks: its mark, its meaning, and its node's fill and line, also by night."""

    mark: str
    tone: Tone
    meaning: str
    fill: str
    line: str
    night: tuple[str, str]


# Tints of the Okabe-Ito palette: distinct under every common colour blindness, and in print by
# their lightness and their marks.
LOOKS: dict[str, Look] = {
    "applied": Look(
        "✓",
        "good",
        "recorded, and every effect is there",
        "#d5efe4",
        "#00735c",
        ("#0f3d30", "#3fc9a2"),
    ),
    "pending": Look(
        "○",
        "",
        "not recorded, and no effect is there",
        "#fefefe",
        "#5b6770",
        ("#20262d", "#9aa7b0"),
    ),
    "phantom": Look(
        "✗",
        "bad",
        "recorded, but no effect is there",
        "#f7c3a0",
        "#a63c00",
        ("#5e2a0c", "#ff9a5c"),
    ),
    "partial": Look(
        "◐",
        "warn",
        "some effects are there, others are not",
        "#fbe6a6",
        "#8a6100",
        ("#4a3a05", "#e9bd45"),
    ),
    "unrecorded": Look(
        "+",
        "note",
        "every effect is there, but it is not recorded",
        "#cbe4f8",
        "#005f9e",
        ("#123a5c", "#6dbbf5"),
    ),
    "unknowable": Look(
        "?",
        "",
        "it leaves no trace in the catalog",
        "#e6e1ec",
        "#63557a",
        ("#3a3150", "#bdaade"),
    ),
}

SEVERITIES: dict[Severity, tuple[str, Tone]] = {
    "error": ("✗ error", "bad"),
    "warning": ("! warning", "warn"),
    "info": ("i info", "note"),
}

STATUSES: dict[str, tuple[str, Tone]] = {
    "missing": ("✗ missing", "bad"),
    "changed": ("≈ changed", "warn"),
    "renamed": ("≈ renamed", "warn"),
    "extra": ("+ extra", "note"),
    "equal": ("✓ equal", "good"),
}

EXECUTED: dict[Executed, str] = {
    "yes": "✓ yes",
    "no": "– no",
    "partly": "◐ partly",
    "unknowable": "? unknowable",
}


def row_id(revision_id: str) -> str:
    """Return the id of a revision's row in a page; whatever the revision is called, it is safe."""
    if re.fullmatch(r"[\w.-]+", revision_id, re.ASCII):
        return f"revision-{revision_id}"
    return f"revision-{hashlib.sha256(revision_id.encode(errors='replace')).hexdigest()[:12]}"


def verdict_cell(item: RevisionVerdict) -> Cell:
    look = LOOKS[item.verdict]
    return Cell(f"{look.mark} {item.verdict}", look.tone)


def status_cell(status: str | DriftKind) -> Cell:
    text, tone = STATUSES[status]
    return Cell(text, tone)


def severity_cell(severity: Severity) -> Cell:
    text, tone = SEVERITIES[severity]
    return Cell(text, tone)


def passed_cell(passed: bool, yes: str = "passed", no: str = "failed") -> Cell:
    return Cell(f"✓ {yes}", "good") if passed else Cell(f"✗ {no}", "bad")


def yes_no(value: bool) -> str:
    return "✓ yes" if value else "– no"


def rank(comparison: Comparison) -> int:
    """Worst first: missing, changed, renamed, extra, equal."""
    return list(STATUSES).index(comparison.status)
