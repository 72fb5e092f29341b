"""One display object for every picture and table: HTML for notebooks, text for terminals.

Notebooks that were not trusted yet lose ``<style>`` and every role attribute, so all style is
inline, and colours are tints over the page's own background: they hold in light and in dark.
"""

from __future__ import annotations

import html
import re
import textwrap
import unicodedata
from dataclasses import dataclass
from typing import Literal

WIDTH = 100
Tone = Literal["good", "bad", "warn", "note", ""]

TINTS: dict[Tone, str] = {
    "good": "rgba(0,158,115,0.16)",
    "bad": "rgba(213,94,0,0.22)",
    "warn": "rgba(230,159,0,0.22)",
    "note": "rgba(86,180,233,0.18)",
    "": "rgba(128,128,128,0.12)",
}
EDGES: dict[Tone, str] = {
    "good": "#009e73",
    "bad": "#d55e00",
    "warn": "#e69f00",
    "note": "#56b4e9",
    "": "#888888",
}
PRE = (
    "margin:4px 0;padding:6px 8px;text-align:left;white-space:pre-wrap;overflow-wrap:anywhere;"
    "font-family:monospace;font-size:12px;line-height:1.4;background:rgba(128,128,128,0.12)"
)
# Control characters and bidirectional overrides can repaint a terminal or reverse a line.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Display:
    """What a function of ``render`` returns. ``html`` is self-contained, ``text`` is plain."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return wrap(self.html)

    def __repr__(self) -> str:
        return self.text

    def __add__(self, other: Display) -> Display:
        return Display(self.html + other.html, f"{self.text}\n\n{other.text}")


def wrap(inner: str) -> str:
    """Return ``inner`` as one block. MathJax must leave the dollars of SQL alone."""
    return (
        '<div class="runbook tex2jax_ignore mathjax_ignore" '
        f'style="font-family:sans-serif;font-size:13px;line-height:1.4">{inner}</div>'
    )


def clean(value: object) -> str:
    """Return ``value`` as text in which no character can act on a terminal or a page."""
    text = str(value).replace("\r\n", "\n")
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def escape(value: object) -> str:
    """Return ``value`` cleaned and escaped for HTML, quotes included."""
    return html.escape(clean(value), quote=True)


def cells_of(text: str) -> int:
    """Return how many terminal cells ``text`` takes: wide characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def paragraph(text: str, tone: Tone | None = None) -> Display:
    """One sentence; with a tone it stands on a tint with a coloured edge."""
    style = "margin:4px 0"
    if tone is not None:
        style += f";padding:6px 10px;background:{TINTS[tone]};border-left:4px solid {EDGES[tone]}"
    return Display(f'<p style="{style}">{escape(text)}</p>', filled(text))


def filled(text: str) -> str:
    """Return ``text`` cleaned, in lines that a terminal of :data:`WIDTH` cells shows whole."""
    return "\n".join(fit(clean(text), WIDTH))


def fit(text: str, width: int) -> list[str]:
    """Return ``text`` as lines of at most ``width`` terminal cells; words break when they must."""
    lines: list[str] = []
    for part in text.expandtabs(4).split("\n"):
        if cells_of(part) <= width:
            lines.append(part)
            continue
        wrapped = textwrap.wrap(part, max(1, width), break_on_hyphens=False)
        for line in wrapped or [""]:
            lines += _halve(line, width)
    return lines


def _halve(line: str, width: int) -> list[str]:
    """Break a line of wide characters, which textwrap counts as narrow ones."""
    if cells_of(line) <= width or len(line) < 2:
        return [line]
    middle = len(line) // 2
    return _halve(line[:middle], width) + _halve(line[middle:], width)


def heading(text: str) -> Display:
    """A small heading inside a display, below the notebook's own."""
    return Display(f'<p style="margin:10px 0 2px;font-weight:bold">{escape(text)}</p>', clean(text))


def block(text: str) -> Display:
    """Text as it is, in a fixed-width font; indented in a terminal."""
    indented = "\n".join(f"    {line}".rstrip() for line in clean(text).splitlines())
    return Display(f'<pre style="{PRE}">{escape(text)}</pre>', indented)


def folded(summary: str, inner: Display) -> str:
    """Return HTML that shows ``inner`` on demand."""
    return (
        f'<details style="margin:4px 0"><summary>{escape(summary)}</summary>{inner.html}</details>'
    )


def stack(*displays: Display, gap: str = "\n\n") -> Display:
    """Return several displays as one, from top to bottom."""
    return Display(
        "".join(item.html for item in displays),
        gap.join(item.text for item in displays if item.text),
    )


def seconds(value: float) -> str:
    """Return wall time as a person reads it: 0.02 s, 12.3 s, 3 min 05 s."""
    if value < 60:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes:,} min {rest:02d} s"
