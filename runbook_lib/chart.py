"""Chart: small pictures for our own pages, each with its numbers in words; same input, same bytes.

SVG stands in the page itself here: these pages are ours alone, no notebook's output is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from runbook_lib.counting import count
from runbook_lib.evidence import PhaseResult
from runbook_lib.seal import RunRecord, Verdict

LAST = 30  # runs that a trend shows
COLUMN, HEIGHT, BASE = 12, 64, 46  # a column's width, the picture's height, where bars stand

# A shape for each verdict, so that none is told by its colour alone.
MARKS: dict[Verdict, str] = {
    "repaired": "●",
    "healthy": "✓",
    "failed": "✗",
    "refused": "■",
    "interrupted": "‖",
    "rolled-back": "◀",
    "dry-run": "○",
}


def bar(before: float, took: float, total: float, kind: str) -> str:
    """Return when and how long something was, within ``total`` seconds; numbers stand beside it."""
    scale = 1000 / max(total, 0.001)
    width = max(took * scale, 4)
    left = min(before * scale, 1000 - width)
    return (
        '<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="1000" height="10"/>'
        f'<rect class="{escape(kind)}" x="{left:.1f}" width="{width:.1f}" height="10"/></svg>'
    )


def bars(times: Sequence[tuple[float, str]]) -> list[str]:
    """Return a bar for each of several things that followed one another: seconds and kind."""
    total = sum(took for took, _ in times)
    begun = [sum(took for took, _ in times[:number]) for number in range(len(times))]
    return [bar(start, took, total, kind) for start, (took, kind) in zip(begun, times, strict=True)]


def strip(phases: Sequence[PhaseResult]) -> str:
    """Return a run's phases side by side, each as wide as it was long."""
    total = sum(item.seconds for item in phases)
    scale = 140 / max(total, 0.001)
    parts, left = [], 0.0
    for item in phases:
        width = item.seconds * scale
        parts.append(
            f'<rect class="{escape(item.status)}" x="{left:.1f}" width="{max(width - 1, 1):.1f}" '
            'height="8"/>'
        )
        left += width
    words = ", ".join(f"{item.phase[:2]} {item.seconds:.1f} s" for item in phases)
    return (
        f'<svg class="strip" viewBox="0 0 141 8" role="img"><title>Seconds: {escape(words)}</title>'
        f"{''.join(parts)}</svg>"
    )


def trend(records: Sequence[RunRecord]) -> str:
    """Return the last runs of an environment, the oldest first: errors found, and the verdict."""
    shown = list(records)[-LAST:]
    most = max((item.errors or 0 for item in shown), default=0)
    parts = [_column(number, item, most) for number, item in enumerate(shown)]
    width = max(len(shown), 1) * COLUMN
    used = [name for name in MARKS if any(item.verdict == name for item in shown)]
    last = f"the last {len(shown)} runs, the oldest first" if len(shown) > 1 else "the only run"
    key = " · ".join(f"{MARKS[name]} {name}" for name in used)
    return (
        f'<figure><svg class="trend" viewBox="0 0 {width} {HEIGHT}" width="{width * 1.5:.0f}" '
        f'role="img" aria-label="{escape(_told(shown))}">{"".join(parts)}</svg>'
        f"<figcaption>Errors found by the audit, {last}. {key}"
        "</figcaption></figure>"
    )


def _column(number: int, item: RunRecord, most: int) -> str:
    middle = number * COLUMN + COLUMN / 2
    tall = 34 * (item.errors or 0) / max(most, 1)
    found = "no audit" if item.errors is None else count(item.errors, "error")
    number_above = "" if item.errors is None else str(item.errors)
    return (
        f"<g><title>{escape(item.run)}: {item.verdict}, {found}</title>"
        f'<rect class="found" x="{middle - 4:.1f}" y="{BASE - tall:.1f}" width="8" '
        f'height="{tall:.1f}"/>'
        f'<text class="number" x="{middle:.1f}" y="{BASE - tall - 2:.1f}">{number_above}</text>'
        f'<text class="{item.verdict}" x="{middle:.1f}" y="{HEIGHT - 5}">'
        f"{MARKS[item.verdict]}</text></g>"
    )


def _told(records: Sequence[RunRecord]) -> str:
    """Say the trend in words; equal runs that follow one another are counted."""
    words = []
    for (verdict, errors), runs in groupby(records, lambda item: (item.verdict, item.errors)):
        number = len(list(runs))
        found = "without an audit" if errors is None else f"with {count(errors, 'error')} found"
        words.append(f"{count(number, 'run')} {verdict} {found}")
    return f"Trend, the oldest run first: {'; '.join(words)}."
