"""Notices: findings about how much the audit can prove at all. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from runbook_lib import branches
from runbook_lib.branches import History
from runbook_lib.catalog import split
from runbook_lib.effects import Inferred
from runbook_lib.findings import Finding, finding
from runbook_lib.forensics import RevisionVerdict


def of_histories(environment: str, histories: Sequence[History]) -> Iterable[Finding]:
    """Say which histories exclude one another, and which of them the schema proves."""
    if histories:
        bases = ", ".join(item.base for item in histories)
        advice = branches.advice(environment, histories)
        yield finding("exclusive-bases", bases, branches.told(histories), advice)


def of_baseline(
    inferred: Inferred | None, judged: Collection[RevisionVerdict]
) -> Iterable[Finding]:
    """Say what an inferred baseline holds, and of which revisions it leaves the traces open."""
    if inferred is None:
        return
    tables = sorted(split(key)[1] for key in inferred.objects if key.startswith("table:"))
    assumed = ", ".join(" ".join(split(key)) for key in inferred.assumed)
    text = (
        "Revisions need what no revision makes, and no baseline is given. It was inferred from the "
        f"live database: {len(inferred.objects)} objects, among them the tables "
        f"{', '.join(tables) or 'none'}. They are not proven: what was changed by hand in them is "
        "not seen."
    )
    held = f" Assumed, because revisions remove or change it: {assumed}." if assumed else ""
    yield finding("inferred-baseline", "baseline", text + held)
    for verdict in judged:
        against = any(item.speaks == "against" for item in verdict.evidence)
        if verdict.executed == "unknowable" and against:
            name = verdict.revision_id
            yield finding("inferred-baseline", name, f"{name}: {verdict.reason}")
