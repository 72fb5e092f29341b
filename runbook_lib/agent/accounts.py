"""Accounts: what the version rows say at the end, beside what was reported as done."""

from __future__ import annotations

import contextlib
from typing import Any, Collection, Iterable, Mapping, Sequence  # noqa: UP035  (Python 3.9)

from runbook_lib.agent.tree import parents


def lost(
    request: Mapping[str, Any],
    script: Any,
    finished: Sequence[str],
    rows: list[str],
    promised: Collection[str],
) -> list[str]:
    """Return the revisions that were reported as done and are not recorded."""
    if request.get("only") or sorted(promised) == rows:
        return []
    if request["op"] == "stamp":
        return sorted(set(promised).symmetric_difference(rows))
    return undone(request, script, finished, rows) or list(finished[-1:])


def undone(
    request: Mapping[str, Any], script: Any, finished: Sequence[str], rows: list[str]
) -> list[str]:
    """Return the finished revisions of which the version rows know nothing."""
    known = recorded(script, rows)
    down = request["op"] == "downgrade"
    return [item for item in finished if (item in known) == down]


def recorded(script: Any, rows: Iterable[str]) -> set[str]:
    """Return the revisions that the rows stand for: themselves, and all that they build on."""
    found: set[str] = set()
    waiting = list(rows)
    while waiting:
        item = waiting.pop()
        if item not in found:
            found.add(item)
            with contextlib.suppress(Exception):  # a row that no file has
                waiting.extend(parents(script.get_revision(item)))
    return found
