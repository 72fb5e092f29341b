"""Remedies: which strategy resolves which conflict. Pure."""

from __future__ import annotations

from collections.abc import Collection

from runbook_lib.findings import Finding
from runbook_lib.forensics import Strategy

_STRATEGIES: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "cyclic dependencies",
        ("cycle", "self-reference"),
        "cut the wrong edge",
        "The tree must load; the edge that nothing in the replay needs is the wrong one.",
    ),
    (
        "missing parents",
        ("dangling-parent",),
        "restore the missing file, else write a tombstone",
        "The history has to be connected before Alembic can walk it.",
    ),
    (
        "duplicate ids",
        ("duplicate-revision",),
        "give the later file a new id",
        "Alembic cannot tell the two apart.",
    ),
    (
        "ids that cannot be recorded",
        ("long-revision-id", "case-or-space-in-id"),
        "re-id the revisions together with their children",
        "No database with the default version column can hold them.",
    ),
    (
        "conflicting branches",
        ("multiple-heads",),
        "join the heads (merge revision, or one line)",
        "`alembic upgrade head` needs one head.",
    ),
    (
        "a version table that misleads",
        (
            "unlocated-row",
            "redundant-row",
            "duplicate-row",
            "null-row",
            "inexact-id",
            "version-table-empty",
            "version-table-missing",
        ),
        "write the rows that the schema proves",
        "The record follows the proof, not the other way round.",
    ),
    (
        "recorded but not executed",
        ("phantom", "hole", "spliced-ancestor"),
        "stamp back and upgrade, else run just the missing revisions",
        "The revisions' own code makes what is missing.",
    ),
    (
        "executed but not recorded",
        ("unrecorded",),
        "stamp what is proven",
        "Running it again would fail or do its work twice.",
    ),
    (
        "partly executed",
        ("partial", "drift-missing", "unexplained-difference"),
        "a corrective, guarded revision for exactly the missing objects",
        "Running the whole revision would fail on what is already there.",
    ),
    (
        "changed by hand",
        ("drift-extra", "drift-changed"),
        "decide per object: adopt, revert or ignore",
        "Only a person knows whether the change is wanted.",
    ),
    (
        "unfinished indexes and constraints",
        ("invalid-index", "not-valid-constraint"),
        "rebuild concurrently; validate",
        "They look finished and protect nothing.",
    ),
)


def strategies(found: Collection[Finding]) -> tuple[Strategy, ...]:
    """Return the strategy for every conflict that is present."""
    codes = {item.code for item in found if item.severity != "info"}
    return tuple(
        Strategy(
            conflict=conflict,
            codes=tuple(code for code in answers if code in codes),
            strategy=strategy,
            why=why,
        )
        for conflict, answers, strategy, why in _STRATEGIES
        if codes.intersection(answers)
    )
