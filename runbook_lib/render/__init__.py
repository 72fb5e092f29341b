"""Render: draws artifacts, and computes nothing but presentation.

Every function returns one :class:`Display`, with HTML for a notebook and text for a terminal.
The same artifact always gives the same bytes. Whatever comes from a project or a database is
taken as hostile: cleaned of control characters, and escaped.
"""

from __future__ import annotations

from runbook_lib.render.audit import (
    binding,
    drift,
    evidence,
    findings,
    revisions,
    strategies,
    verdict,
)
from runbook_lib.render.display import Display
from runbook_lib.render.drawing import graph, legend
from runbook_lib.render.proof import (
    alerts,
    approval,
    backup,
    checklist,
    checks,
    deployment,
    rows,
    schedule,
    timeline,
    watch,
    ways_back,
)
from runbook_lib.render.repair import (
    candidates,
    patch,
    plan,
    rehearsal,
    rollback,
    rolled_back,
    steps,
)
from runbook_lib.render.schema import comparisons, differences

__all__ = [
    "Display",
    "alerts",
    "approval",
    "backup",
    "binding",
    "candidates",
    "checklist",
    "checks",
    "comparisons",
    "deployment",
    "differences",
    "drift",
    "evidence",
    "findings",
    "graph",
    "legend",
    "patch",
    "plan",
    "rehearsal",
    "revisions",
    "rollback",
    "rolled_back",
    "rows",
    "schedule",
    "steps",
    "strategies",
    "timeline",
    "verdict",
    "watch",
    "ways_back",
]
