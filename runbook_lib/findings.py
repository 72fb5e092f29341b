"""Findings: things that are wrong, each under one of the stable codes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runbook_lib.codes import CODES, Severity

MANY = 12  # findings alike that still stand each by itself
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong: ``subject`` names the revision, row, file or object."""

    code: str
    severity: Severity
    subject: str
    message: str
    suggestion: str


def finding(code: str, subject: str, message: str, suggestion: str = "") -> Finding:
    """Make a finding; severity and suggestion come from :data:`CODES` unless given."""
    known = CODES[code]
    return Finding(
        code=code,
        severity=known.severity,
        subject=subject,
        message=message,
        suggestion=suggestion or known.fix,
    )


def gravity(item: Finding) -> tuple[int, int, str]:
    """The order to read findings in: errors first, then the tree, the version table, the schema;
    a revision that never ran comes before a comment that is missing.
    """
    known = list(CODES)
    place = known.index(item.code) if item.code in CODES else len(known)
    return SEVERITIES.index(item.severity), place, item.subject


def grouped(found: Iterable[Finding]) -> list[list[Finding]]:
    """Return the findings in the order to read them; many that are alike but for their subject are
    one group, every other one is a group by itself.
    """
    alike: defaultdict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for item in sorted(found, key=gravity):
        alike[item.severity, item.code, item.suggestion].append(item)
    groups = alike.values()
    return [
        part
        for group in groups
        for part in ([group] if len(group) > MANY else ([one] for one in group))
    ]


def told(group: Sequence[Finding]) -> str:
    """Return what a group of findings says."""
    first = group[0].message
    return first if len(group) == 1 else f"{len(group):,} findings alike. The first: {first}"


def worst(findings: Iterable[Finding]) -> Severity | None:
    """Return the gravest severity among ``findings``, or None when there are none."""
    present = {item.severity for item in findings}
    return next((severity for severity in SEVERITIES if severity in present), None)
