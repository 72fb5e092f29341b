"""Index: one static page over every sealed run of an archive, made from the seals alone."""

from __future__ import annotations

from html import escape
from pathlib import Path

from runbook_lib.evidence import atomic_write
from runbook_lib.pages import TEMPLATES, frame, table, word
from runbook_lib.seal import Sealed, sealed_runs

FILE = "index.html"
_HEADS = ("Run", "Verdict", "Started (UTC)", "Seconds", "Plan", "Approved by", "Phases")


def write(outputs: Path) -> Path:
    """Write ``outputs/index.html``: every environment's sealed runs, the newest first."""
    homes = sorted(item for item in outputs.iterdir() if item.is_dir())
    archive = {home.name: sealed_runs(home) for home in homes}
    page = render({name: runs for name, runs in archive.items() if runs})
    atomic_write(outputs / FILE, page.encode())
    return outputs / FILE


def render(archive: dict[str, tuple[Sealed, ...]]) -> str:
    """Return the page; it depends on the seals only and links nowhere outside of the archive."""
    total = sum(map(len, archive.values()))
    head = (
        "<h1>Runs</h1>\n<p class='soft'>Every sealed run, made from its run.json. "
        "Re-compute all digests with <code>runbook verify</code>.</p>\n"
        '<label for="filter">Filter</label> <span class="soft">(press / to jump here)</span><br>\n'
        '<input id="filter" type="search" placeholder="environment, verdict, digest, name …">\n'
        f'<p class="soft" id="told" role="status">{total} of {total} runs</p>'
    )
    parts = [_environment(name, runs) for name, runs in archive.items()]
    script = (TEMPLATES / "filter.js").read_text()
    return frame("Runs of the Alembic runbook", "\n".join([head, *parts]), script)


def _environment(name: str, runs: tuple[Sealed, ...]) -> str:
    rows = [_row(name, run) for run in reversed(runs)]
    return f"<h2>{escape(name)}</h2>\n{table(_HEADS, rows)}"


def _row(environment: str, run: Sealed) -> tuple[str, ...]:
    record = run.record
    base = f"{environment}/{run.folder.name}"
    name = f"<code>{escape(run.folder.name)}</code>"
    seconds = sum(phase.seconds for phase in record.phases)
    digest = record.plan_digest
    return (
        f'<a href="{escape(base)}/record.html">{name}</a>' if "record.html" in run.files else name,
        word(record.verdict) + f"<span hidden> {escape(environment)}</span>",
        escape(record.started.replace("T", " ").rstrip("Z")),
        f"{seconds:.1f}",
        f'<code title="{escape(digest)}">{escape(digest[:12])}</code>' if digest else "–",
        escape(record.approval.by) if record.approval else "–",
        _phases(base, run),
    )


def _phases(base: str, run: Sealed) -> str:
    """A link to each notebook's page, with its status in the title."""
    status = {item.phase: f"{item.status}: {item.sentence}" for item in run.record.phases}
    pages = [
        name.removesuffix(".html")
        for name in sorted(run.files)
        if name.endswith(".html") and name[:2].isdigit() and "/" not in name
    ]
    return " ".join(
        f'<a href="{escape(base)}/{escape(name)}.html" title="{escape(status.get(name, ""))}">'
        f"{escape(name[:2])}</a>"
        for name in pages
    )
