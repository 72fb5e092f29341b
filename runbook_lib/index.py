"""Index: one static page over every run of an archive, made from the seals alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from runbook_lib import chart
from runbook_lib.evidence import RunFolder
from runbook_lib.files import atomic_write
from runbook_lib.pages import TEMPLATES, fold, frame, moment, table, word
from runbook_lib.seal import Sealed, sealed_runs

FILE = "index.html"
_HEADS = ("Run", "Verdict", "Started (UTC)", "Errors found", "Plan", "Approved by", "Phases")
SHOWN = chart.LAST  # runs of an environment that are not folded: those of its trend
_BODY = b"</style>"  # what the page says comes after how it looks
# Where a run's first question is answered: the pages' own headings.
GRAPH = "#Revision-graph"
DIFFERENCES = "#Objects-that-differ-from-what-the-heads-promise"
PLAN = "#The-plan-that-was-proven"


def write(outputs: Path) -> Path:
    """Write ``outputs/index.html``: every environment's runs, the newest first."""
    atomic_write(outputs / FILE, _page(outputs))
    return outputs / FILE


def doubt(outputs: Path) -> str:
    """Say that the page is not what the runs make, or "": no seal names it, and people read it."""
    try:
        found = (outputs / FILE).read_bytes()
    except OSError:
        return ""
    if found.partition(_BODY)[2] == _page(outputs).partition(_BODY)[2]:
        return ""
    return (
        f"! {FILE} is not the page that these runs make now: it was changed, or another version "
        "made it. Go by the runs' own pages; the next run makes it anew."
    )


def _page(outputs: Path) -> bytes:
    homes = sorted(item for item in outputs.iterdir() if item.is_dir())
    archive = {home.name: sealed_runs(home) for home in homes}
    left = {home.name: _others(home, archive[home.name]) for home in homes}
    return render({n: runs for n, runs in archive.items() if runs or left[n]}, left).encode()


def _others(home: Path, runs: Sequence[Sealed]) -> list[RunFolder]:
    """Return the runs without a seal that can be read: none may go missing from the page."""
    known = {run.folder.name for run in runs}
    return [folder for folder in RunFolder.all(home) if folder.name not in known]


def render(archive: Mapping[str, Sequence[Sealed]], left: Mapping[str, Sequence[RunFolder]]) -> str:
    """Return the page; ``left`` are the runs without a seal. It links nowhere outside."""
    total = sum(map(len, archive.values()))
    places = " · ".join(
        f'<a href="#{escape(name)}">{escape(name)}</a> ({len(runs)})'
        for name, runs in archive.items()
    )
    head = (
        "<h1>Runs</h1>\n<p class='soft'>Every sealed run, made from its run.json. "
        "Re-compute all digests with <code>runbook verify</code>.</p>\n"
        '<label for="filter">Filter</label> <span class="soft">(press / to jump here)</span><br>\n'
        '<input id="filter" type="search" placeholder="environment, verdict, digest, name …">\n'
        f'<p class="soft" id="told" role="status">{total} of {total} runs</p>\n'
        f'<nav aria-label="Environments"><p>{places}</p></nav>'
    )
    parts = [_environment(name, runs, left.get(name, ())) for name, runs in archive.items()]
    script = (TEMPLATES / "filter.js").read_text()
    return frame("Runs of the Alembic runbook", "\n".join([head, *parts]), script)


def _environment(name: str, runs: Sequence[Sealed], left: Sequence[RunFolder]) -> str:
    parts = [f'<h2 id="{escape(name)}">{escape(name)}</h2>', *(_open(run) for run in left)]
    if runs:
        last = runs[-1].record
        parts.append(f"<p>Last sealed run: {word(last.verdict)}, ended {moment(last.ended)}.</p>")
        parts.append(chart.trend([run.record for run in runs]))
        rows = [_row(name, run) for run in reversed(runs)]
        parts.append(table(_HEADS, rows[:SHOWN]))
        if rows[SHOWN:]:  # a browser lays folded rows out only when somebody looks at them
            older = table(_HEADS, rows[SHOWN:])
            parts.append(fold(f"{len(rows) - SHOWN} older runs", older, is_open=False))
    return "\n".join(["<section>", *parts, "</section>"])


def _open(run: RunFolder) -> str:
    """A run without a seal that can be read: it may still go on, and proves nothing yet."""
    state = word("waiting") + " for approval" if run.waits else word("open")
    if run.sealed:
        state = word("failed") + ": its run.json was changed and cannot be read as a seal"
    base = f"{run.environment}/{run.name}"
    name = f"<code>{escape(run.name)}</code>"
    there = (run.path / "record.html").exists()
    link = f'<a href="{escape(base)}/record.html">{name}</a>' if there else name
    return f"<p>No seal: {link}, {state}.</p>"


def _row(environment: str, run: Sealed) -> tuple[str, ...]:
    record = run.record
    base = f"{environment}/{run.folder.name}"
    name = f"<code>{escape(run.folder.name)}</code>"
    by_hand = "<br><small>stepped through by hand</small>" if record.by_hand else ""
    return (
        f'<a href="{escape(base)}/record.html">{name}</a>' if "record.html" in run.files else name,
        word(record.verdict) + f"<span hidden> {escape(environment)}</span>{by_hand}",
        escape(record.started.replace("T", " ").rstrip("Z")),
        _found(base, run),
        _plan(base, run),
        escape(record.approval.by) if record.approval else "–",
        _phases(base, run),
    )


def _found(base: str, run: Sealed) -> str:
    """How many errors the audit found, with the graph and the differences one click away."""
    errors = run.record.errors
    looks = [
        f'<a href="{escape(base)}/{page}{anchor}">{title}</a>'
        for page, anchor, title in (
            (_first(run, "02_audit.html", "00_current_state.html"), GRAPH, "graph"),
            (_first(run, "02_audit.html", "00_current_state.html"), DIFFERENCES, "differences"),
        )
        if page
    ]
    return " · ".join(["–" if errors is None else str(errors), *looks])


def _first(run: Sealed, *names: str) -> str:
    return next((name for name in names if name in run.files), "")


def _plan(base: str, run: Sealed) -> str:
    digest = run.record.plan_digest
    if not digest:
        return "–"
    shown = f'<code title="{escape(digest)}">{escape(digest[:12])}</code>'
    page = _first(run, "03_cleanup.html")
    return f'<a href="{escape(base)}/{page}{PLAN}">{shown}</a>' if page else shown


def _phases(base: str, run: Sealed) -> str:
    """A link to each notebook's page, and how long each took."""
    found = {item.phase: item for item in run.record.phases}
    pages = [
        name.removesuffix(".html")
        for name in sorted(run.files)
        if name.endswith(".html") and name[:2].isdigit() and "/" not in name
    ]
    links = []
    for name in pages:
        status = found[name].status if name in found else "without a verdict"
        mark = "" if status == "passed" else " ✗" if status in ("failed", "refused") else " …"
        links.append(
            f'<a href="{escape(base)}/{escape(name)}.html" title="{escape(name)}: {status}" '
            f'aria-label="{escape(name)}: {status}">{escape(name[:2])}{mark}</a>'
        )
    seconds = sum(item.seconds for item in run.record.phases)
    return f"{' '.join(links)}<br>{chart.strip(run.record.phases)} {seconds:.0f} s"
