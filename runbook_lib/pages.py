"""Pages: an executed notebook as one HTML file that needs nothing else, the same each time."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from runbook_lib.evidence import RunFolder

_STYLE = re.compile(r"<style.*?</style>", re.DOTALL)
_HEADING = re.compile(r'<h2 id="([^"]*)">(.*?)<a class="anchor-link"')
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
TEMPLATES = Path(__file__).parent / "templates"


def publish(folder: RunFolder, notebook: str) -> Path:
    """Write ``<notebook>.html`` beside ``<notebook>.ipynb`` in a run's folder.

    The notebook was cleaned when it was written; the seal looks at both once more.
    """
    page = convert(folder.path / f"{notebook}.ipynb", title=notebook)
    return folder.write_text(f"{notebook}.html", page)


def _with_contents(page: str) -> str:
    """Put the way to the other pages, and this one's headings, above a notebook's page."""
    links = ['<a href="../../index.html">All runs</a>', '<a href="record.html">Change record</a>']
    links += [f'<a href="#{place}">{title}</a>' for place, title in _HEADING.findall(page)]
    nav = f'<nav class="runbook-contents" aria-label="Contents">{" · ".join(links)}</nav>'
    return page.replace("<main>", f"<main>\n{nav}", 1)


def convert(path: Path, title: str) -> str:
    """Return a notebook's page; nothing in it depends on when or where it is made."""
    page, _resources = exporter().from_filename(str(path), resources={"metadata": {"name": title}})
    return _with_contents(_STYLE.sub(lambda found: _COMMENT.sub("", found[0]), str(page)))


@functools.cache
def exporter() -> Any:
    """Load nbconvert, which takes about a second, and our template; the first call pays."""
    from nbconvert import HTMLExporter

    return HTMLExporter(template_name="runbook", extra_template_basedirs=[str(TEMPLATES)])


def frame(title: str, body: str, script: str = "") -> str:
    """Return a whole page around ``body``; style and script are inside of it."""
    style = (TEMPLATES / "page.css").read_text()
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n"
        + (f"<script>\n{script}</script>\n" if script else "")
        + "</body>\n</html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], cards: bool = True) -> str:
    """Return a table of ready HTML cells; on a narrow screen each row becomes a card."""
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<td data-label="{escape(head)}"><span>{cell}</span></td>'
            for head, cell in zip(heads, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    head = "".join(_head(item) for item in heads)
    kind = ' class="cards"' if cards else ""
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{escape(", ".join(heads))}">'
        f"<table{kind}>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def took(seconds: float, digits: int = 1) -> str:
    """Return seconds so that the unit stays on their line."""
    return f"{seconds:,.{digits}f}&nbsp;s"


def moment(at: str) -> str:
    """Return a time of an artifact for people; it stays on one line."""
    shown = escape(at.replace("T", " ").replace("Z", " UTC"))
    return f'<time datetime="{escape(at)}">{shown}</time>'


def missing(what: str) -> str:
    """Say in a quiet voice that something is not there."""
    return f'<p class="soft">{what}</p>'


def fold(summary: str, inner: str, *, is_open: bool) -> str:
    """Return HTML that can be folded; in print it is always unfolded."""
    state = " open" if is_open else ""
    return f"<details{state}><summary>{escape(summary)}</summary>{inner}</details>"


def _head(name: str) -> str:
    return f'<th scope="col">{escape(name)}</th>' if name else "<td></td>"


def word(status: str) -> str:
    """Return a status or verdict as a coloured word."""
    return f'<span class="word {escape(status)}">{escape(status)}</span>'
