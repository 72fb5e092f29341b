"""Finishing: the verdict of each phase, in one sentence, written down and shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from runbook_lib import deployment
from runbook_lib.artifacts import Artifact
from runbook_lib.backup import Backup
from runbook_lib.counting import count, size
from runbook_lib.errors import GateError, RunbookError, SafetyError
from runbook_lib.evidence import PhaseStatus
from runbook_lib.forensics import Audit
from runbook_lib.going_back import Rollback
from runbook_lib.prevention import Prevention
from runbook_lib.promotion import Deployment
from runbook_lib.reading import Cleanup
from runbook_lib.session import Phase
from runbook_lib.survival import kept
from runbook_lib.validation import Validation

Ending = tuple[str, PhaseStatus, RunbookError | None]


def finish(phase: Phase, artifact: Artifact) -> Any:
    """Write the phase's artifact and verdict and return a banner; raise when it failed."""
    sentence, status, error = _ENDINGS[type(artifact)](artifact)
    return phase.conclude(artifact, sentence, status=status, error=error)


def _passed(sentence: str) -> Ending:
    return sentence, "passed", None


def _failed(sentence: str, hint: str) -> Ending:
    """End badly; the hint is part of what is told wherever the sentence stands alone."""
    error = GateError(sentence, hint)
    return str(error), "failed", error


def _audit(audit: Audit) -> Ending:
    counted = Counter(revision.verdict for revision in audit.revisions)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counted.items()))
    errors = sum(item.severity == "error" for item in audit.findings)
    return _passed(
        f"{count(len(audit.revisions), 'revision')}: {verdicts or 'none'}; "
        f"{count(errors, 'error')} among {count(len(audit.findings), 'finding')}."
    )


def _backup(backup: Backup) -> Ending:
    rows = sum(table.rows for table in backup.tables)
    files = f"{size(sum(item.size for item in backup.files))} in {count(len(backup.files), 'file')}"
    if backup.verified:
        return _passed(
            f"{files}; restored and equal: {count(len(backup.tables), 'table')}, "
            f"{count(rows, 'row')}."
        )
    return _failed(
        f"The restored clone is not what was dumped: {count(len(backup.differences), 'object')} "
        f"and {count(len(backup.unequal_tables), 'table')} differ.",
        "Without a backup that restores, nothing is repaired: the notebook shows the differences.",
    )


def _cleanup(done: Cleanup) -> Ending:
    if done.plan is None:
        sentence = f"Refused ({', '.join(done.refused)}): {done.reason}"
        return sentence, "refused", SafetyError(sentence, "Nothing was changed.")
    return _passed(
        f"{done.plan.strategy}, {count(len(done.plan.steps), 'step')}, proven on a copy of the "
        f"database; plan {done.digest[:12]}."
    )


def _validation(done: Validation) -> Ending:
    ways = [way.way for way in done.ways_back if way.proven]
    sentence = f"{done.told}, ways back proven: {', '.join(ways) or 'none'}."
    if done.passed:
        return _passed(sentence)
    return _failed(
        sentence, "The notebook shows what did not hold; nothing was changed on the target."
    )


def _deployment(done: Deployment) -> Ending:
    sentence = deployment.sentence(done)
    if done.passed:
        return _passed(sentence)
    return _failed(sentence, "Decide: run again to go on, or runbook rollback to go back.")


def _prevention(done: Prevention) -> Ending:
    sentence = (
        f"{count(len(done.lint), 'lint finding')}, {count(len(done.monitor), 'monitor error')}."
    )
    if done.monitor:
        codes = ", ".join(sorted({item.code for item in done.monitor}))
        return _failed(f"{sentence[:-1]}: {codes}.", "Run: runbook run")
    return _passed(sentence)


def _rollback(done: Rollback) -> Ending:
    other = "downgrade" if done.plan.way == "restore" else "restore"
    command = f"runbook rollback -e {done.plan.environment} --way {other}"
    if done.approval is None:
        doubt = "" if done.plan.proven else f"Look at the other way first: {command}. "
        return _passed(
            f"Dry run of the way back by {done.plan.way}, {done.plan.rehearsed.rstrip('.')}; "
            f"nothing was changed. It would lose {_some(done.plan.loses)} {doubt}"
            f"To do it: --approve {done.plan.digest}"
        )
    if done.passed:
        return _passed(
            f"Went back by {done.plan.way}: schema and version rows are as they were before the "
            f"deployment; {kept(done.tables)}. It lost {_some(done.plan.loses)}"
        )
    errors = " ".join(step.error for step in done.steps if step.error)
    return _failed(
        f"The way back by {done.plan.way} did not end where it should. {errors}".strip(),
        f"Try the other way: {command}",
    )


def _some(sentences: Sequence[str]) -> str:
    shown = "; ".join(sentences[:3]) or "nothing"
    rest = len(sentences) - 3
    return f"{shown}; and {rest} more." if rest > 0 else f"{shown}."


_ENDINGS: dict[type[Artifact], Callable[[Any], Ending]] = {
    Audit: _audit,
    Backup: _backup,
    Cleanup: _cleanup,
    Validation: _validation,
    Deployment: _deployment,
    Prevention: _prevention,
    Rollback: _rollback,
}
