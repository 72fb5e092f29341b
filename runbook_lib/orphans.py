"""Orphans: revisions below a missing file, which may have taken away what they made. Pure.

Of the file nobody knows what it did. Where its children ran, it ran too, and what speaks against a
revision below it may be its doing: a healthy database looks then as if somebody had meddled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from runbook_lib import graph as graphs
from runbook_lib.forensics import RevisionVerdict
from runbook_lib.graph import RevisionGraph

BEREFT = "What speaks against it may be the doing of"


def doubted(
    judged: Mapping[str, RevisionVerdict],
    graph: RevisionGraph,
    gone: Collection[str],
    stated: Collection[str],
) -> dict[str, RevisionVerdict]:
    """Return ``judged``, with whom a revision without a file leaves open as unknowable.

    ``graph`` has a stand-in for each of those that are ``gone``; of the ``stated`` a person knows.
    """
    found = dict(judged)
    for name in gone:
        below = graphs.ancestors(graph, [name]) - {name, *stated}
        doubtful = {n for n in below if n in judged and judged[n].executed in ("no", "partly")}
        if doubtful and _ran(name, judged, graph):
            found |= {one: _open(judged[one], name) for one in doubtful}
    return found


def bereft(verdict: RevisionVerdict) -> bool:
    """Whether a missing file leaves open if it ran."""
    return verdict.reason.startswith(BEREFT)


def _ran(name: str, judged: Mapping[str, RevisionVerdict], graph: RevisionGraph) -> bool:
    """Whether a revision ran that builds on it."""
    ran = (one for one, verdict in judged.items() if verdict.executed == "yes" and one != name)
    return any(name in graphs.ancestors(graph, [one]) for one in ran)


def _open(verdict: RevisionVerdict, name: str) -> RevisionVerdict:
    return replace(
        verdict,
        executed="unknowable",
        verdict="unknowable",
        implied="yes",
        reason=f"{BEREFT} {name}, whose file is missing and whose children ran.",
    )
