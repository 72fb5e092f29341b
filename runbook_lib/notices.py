"""Notices: findings about how much the audit can prove at all. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from runbook_lib import branches
from runbook_lib import graph as graphs
from runbook_lib.branches import History
from runbook_lib.catalog import split
from runbook_lib.effects import Inferred
from runbook_lib.findings import Finding, finding
from runbook_lib.forensics import ELSEWHERE, UNDECIDED, RevisionVerdict
from runbook_lib.graph import RevisionGraph


def of_histories(environment: str, histories: Sequence[History]) -> Iterable[Finding]:
    """Say which histories exclude one another, and which of them the schema proves."""
    if histories:
        bases = ", ".join(item.base for item in histories)
        advice = branches.advice(environment, histories)
        yield finding("exclusive-bases", bases, branches.told(histories), advice)


def aside(branch: str, *, proven: bool, undecided: bool) -> str:
    """Say why revisions that load are not judged, or "": they are no part of the history."""
    if undecided:
        return f"{UNDECIDED}, and the schema proves none of them."
    if branch in ("heads", "head"):
        return ""
    return f"{ELSEWHERE} {branch}{', which the schema proves' if proven else ''}."


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


def of_rows(
    environment: str, judged: Collection[RevisionVerdict], graph: RevisionGraph
) -> Iterable[Finding]:
    """Name revisions that change rows, and for which nothing but their record speaks."""
    ran = {item.revision_id for item in judged if item.executed in ("yes", "partly")}
    below = graphs.ancestors(graph, sorted(ran))
    for verdict in judged:
        name = verdict.revision_id
        alone = verdict.recorded and verdict.implied == "yes" and name not in below
        if alone and verdict.touches_rows:
            text = (
                f"{name} changes rows and leaves no trace, and no revision after it is proven to "
                "have run: nothing but the record says that it did."
            )
            advice = (
                f'If its rows say otherwise: not_ran = ["{name}"] in [environments.{environment}].'
            )
            yield replace(finding("unknowable-data", name, text, advice), severity="info")


def on_failure(error: str, graph: RevisionGraph) -> str:
    """Say what may mend a revision that fails in the replay; "" for what is usual.

    Files that are missing come first: their objects may be what lacks. An error of Python's, which
    the server's are not named as, may be for want of what the application sets up.
    """
    missing = ", ".join(dict.fromkeys(parent for _, parent in graphs.dangling(graph)))
    if missing:
        return f"Restore the missing file of {missing} first: it may make what lacks."
    return IN_PYTHON if re.match(r"(?!NoSuchTable)\w+Error: ", error) else ""


IN_PYTHON = (
    "Python failed here, not the server: let env.py import or set up what the revision takes from "
    "the application (docs/how-to/own-project.md); otherwise mend the revision."
)
