"""Table: rows of cells under a caption, as accessible HTML and as text of 100 columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbook_lib.render.display import (
    EDGES,
    TINTS,
    WIDTH,
    Display,
    Tone,
    cells_of,
    clean,
    escape,
    filled,
    fit,
    folded,
    paragraph,
)

if TYPE_CHECKING:
    import pandas as pd

LONG = 120
CARDS = 12  # rows, at most, of a table whose rows are cards where the page is narrow


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. ``code`` sets a fixed-width font, ``number`` aligns to the right.

    ``rest`` is what HTML shows on demand; text and data frame do without it. ``anchor`` is the
    id that a link in HTML leads to. ``bar`` is drawn in HTML in place of the text: where it begins
    and how long it is, in shares of its column.
    """

    text: str
    tone: Tone | None = None
    code: bool = False
    number: bool = False
    rest: str = ""
    anchor: str = ""
    bar: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``below`` puts its text under the row in a terminal, where width is short."""

    name: str
    below: bool = False


Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its caption; the first cell of every row is the row's header.

    ``total`` is a last row of sums. Of a long table the ``quiet`` last rows are folded away in
    HTML and left out in text, where ``quiet_noun`` says what they are.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Row = ()
    quiet: int = 0
    quiet_noun: str = ""

    def display(self) -> Display:
        return TableDisplay(html_of(self), text_of(self), self)

    def frame(self) -> pd.DataFrame:
        """Return all rows as a data frame, to sort and to filter."""
        import pandas as pd  # slow to import, and only needed when somebody asks

        names = [column.name for column in self.columns]
        return pd.DataFrame([[cell.text for cell in row] for row in self.rows], columns=names)


@dataclass(frozen=True, slots=True, repr=False)
class TableDisplay(Display):
    """A displayed table; ``frame()`` gives its rows as a pandas data frame."""

    table: Table

    def frame(self) -> pd.DataFrame:
        return self.table.frame()


def table(
    caption: str,
    columns: Sequence[str | Column],
    rows: Sequence[Sequence[str | Cell]],
    *,
    total: Sequence[str | Cell] = (),
    quiet: int = 0,
    quiet_noun: str = "",
    empty: str = "",
) -> Display:
    """Build a table from plain values; without rows the sentence ``empty`` stands in its place.

    A column that goes below its row is left out where it has nothing to say.
    """
    if not rows and empty:
        return paragraph(empty, "good" if empty.startswith("✓") else "")
    named = [item if isinstance(item, Column) else Column(item) for item in columns]
    built = [_row(row) for row in rows]
    kept = [
        index
        for index, column in enumerate(named)
        if not column.below or any(row[index].text for row in built)
    ]
    return Table(
        caption=clean(caption),
        columns=tuple(named[index] for index in kept),
        rows=tuple(tuple(row[index] for index in kept) for row in built),
        total=tuple(cell for index, cell in enumerate(_row(total)) if index in kept),
        quiet=quiet if len(rows) > LONG else 0,
        quiet_noun=quiet_noun,
    ).display()


def _row(values: Sequence[str | Cell]) -> Row:
    return tuple(item if isinstance(item, Cell) else Cell(item) for item in values)


# --- HTML -----------------------------------------------------------------------------------


def html_of(table: Table) -> str:
    """Return the table as HTML; a long one keeps its quiet rows folded."""
    loud = len(table.rows) - table.quiet
    caption = table.caption
    if not table.quiet:
        return _html_table(table, table.rows, caption)
    hidden = f"{table.quiet:,} {table.quiet_noun}"
    rest = _html_table(table, table.rows[loud:], f"{caption} — {hidden}")
    shown = _html_table(table, table.rows[:loud], caption) if loud else paragraph(caption).html
    return shown + folded(f"Show {hidden}", Display(rest, ""))


def _html_table(table: Table, rows: tuple[Row, ...], caption: str) -> str:
    style = f"{_style()};border-bottom:2px solid #888888;white-space:nowrap"
    head = "".join(
        f'<th scope="col" style="{style}">{escape(column.name)}</th>' for column in table.columns
    )
    body = "".join(f"<tr>{_html_row(row, table.columns)}</tr>" for row in rows)
    foot = _html_row(table.total, table.columns, bold=True)
    kind = "cards" if len(rows) <= CARDS else "grid"  # what a page makes of it on a phone
    foot = f"<tfoot><tr>{foot}</tr></tfoot>" if table.total else ""
    return (
        f'<div tabindex="0" role="group" aria-label="{escape(caption)}" '
        'style="overflow-x:auto;margin:6px 0">'
        f'<table class="{kind}" style="border-collapse:collapse;margin:0;font-size:13px">'
        '<caption style="caption-side:top;text-align:left;font-weight:bold;padding:4px 0">'
        f"{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody>{foot}</table></div>"
    )


def _html_row(row: Row, columns: Sequence[Column], bold: bool = False) -> str:
    return "".join(
        _html_cell(cell, columns[index], header=not index, bold=bold)
        for index, cell in enumerate(row)
    )


def _html_cell(cell: Cell, column: Column, *, header: bool, bold: bool) -> str:
    wide, shown = column.below, cell.text or cell.rest or cell.bar
    label = f' data-label="{escape(column.name)}"' if shown else ""
    style = _style("right" if cell.number else "left")
    if cell.code:
        longest = max(map(len, cell.text.split()), default=0)
        style += f";overflow-wrap:anywhere;min-width:{min(longest, 26) * 3 // 5 + 2}em"
    if wide:
        style += f";overflow-wrap:anywhere;min-width:{min(len(cell.text) // 4 + 3, 11)}em"
    if cell.number or cell.tone is not None:
        style += ";white-space:nowrap"
    if cell.tone is not None:
        style += f";background:{TINTS[cell.tone]};border-left:3px solid {EDGES[cell.tone]}"
    weight = "bold" if bold else "normal"
    text = _html_text(cell, breakable=cell.code or wide)
    if header:
        place = f' id="{escape(cell.anchor)}"' if cell.anchor else ""
        return f'<th scope="row"{place}{label} style="{style};font-weight:{weight}">{text}</th>'
    return f'<td{label} style="{style}">{f"<b>{text}</b>" if bold else text}</td>'


def _html_text(cell: Cell, breakable: bool) -> str:
    if cell.bar:
        return (
            f'<div style="width:10em"><div style="margin-left:{cell.bar[0]:.1%};'
            f"width:{cell.bar[1]:.1%};min-width:2px;margin-top:4px;"
            f'border-top:9px solid {EDGES["note"]}"></div></div>'
        )
    text = escape(cell.text).replace("\n", "<br>")
    text = _breakable(text) if breakable else text
    text = f"<code>{text}</code>" if cell.code and cell.text else text
    if not cell.rest:
        return text
    rest = _breakable(escape(cell.rest).replace("\n", "<br>"))
    return f"<details><summary>{text}</summary>{rest}</details>"


def _breakable(markup: str) -> str:
    """Let a long name break after its dots, slashes and underscores, where people read a break."""
    return re.sub(r"(?<=[\w)][._/])(?=\w)", "<wbr>", markup)


def _style(align: str = "left") -> str:
    return (
        f"text-align:{align};vertical-align:top;padding:4px 8px;max-width:560px;"
        "overflow-wrap:break-word;border-bottom:1px solid rgba(128,128,128,0.4)"
    )


# --- text -----------------------------------------------------------------------------------


def text_of(table: Table) -> str:
    """Return the table as text, at most :data:`WIDTH` terminal cells wide."""
    main = [index for index, column in enumerate(table.columns) if not column.below]
    loud = table.rows[: len(table.rows) - table.quiet]
    shown = [*loud, table.total] if table.total else list(loud)
    widths = column_widths(
        [
            [
                cells_of(line)
                for row in ([*map(Cell, _names(table))], *shown)
                for line in _lines(row, i)
            ]
            for i in main
        ]
    )
    out = [filled(table.caption)]
    if shown:
        out += _text_row([Cell(_names(table)[i]) for i in main], widths)
        out.append("  ".join("-" * width for width in widths))
    for row in shown:
        out += _text_row([row[i] for i in main if i < len(row)], widths)
        out += _text_below(table, row)
    if table.quiet:
        out.append(f"… and {table.quiet:,} {table.quiet_noun} (in the artifact and in the HTML).")
    return "\n".join(line.rstrip() for line in out)


def _names(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def _lines(row: Sequence[Cell], index: int) -> list[str]:
    return clean(row[index].text).expandtabs(4).split("\n") if index < len(row) else []


def column_widths(measures: Sequence[Sequence[int]]) -> list[int]:
    """Share :data:`WIDTH` out among columns, given the lengths of each column's lines."""
    widths = [max([*lengths, 1]) for lengths in measures]
    room = WIDTH - 2 * (len(widths) - 1)
    while sum(widths) > room and max(widths) > 6:
        widest = widths.index(max(widths))
        others = [width for index, width in enumerate(widths) if index != widest]
        next_one = max(others, default=0)
        spare = sum(widths) - room
        widths[widest] -= min(spare, max(1, widths[widest] - next_one))
    return widths


def _text_row(cells: Sequence[Cell], widths: Sequence[int]) -> list[str]:
    columns = [fit(clean(cell.text), width) for cell, width in zip(cells, widths, strict=False)]
    height = max(map(len, columns), default=0)
    return [
        "  ".join(
            _pad(column[line] if line < len(column) else "", width, cell.number)
            for column, width, cell in zip(columns, widths, cells, strict=False)
        )
        for line in range(height)
    ]


def _text_below(table: Table, row: Row) -> list[str]:
    out: list[str] = []
    for index, column in enumerate(table.columns):
        if column.below and index < len(row) and row[index].text:
            lead = f"    {column.name}: "
            lines = fit(clean(row[index].text), WIDTH - len(lead))
            out += [
                (lead if not number else " " * len(lead)) + line
                for number, line in enumerate(lines)
            ]
    return out


def _pad(text: str, width: int, right: bool) -> str:
    blanks = " " * max(0, width - cells_of(text))
    return blanks + text if right else text + blanks
