"""Losses: which changes of rows a plan is allowed, and which it would have to be allowed. Pure.

A revision may change rows, since that is what it is for. That rows or values go altogether takes a
person's word in runbook.toml, which the plan repeats and its approval covers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from runbook_lib.catalog import parts, split
from runbook_lib.fingerprints import DERIVED, SEQUENCE, Place
from runbook_lib.identifiers import key_name, spelled, toml, unquoted
from runbook_lib.plan import Plan, Step
from runbook_lib.survival import TableProof


def allowed(keys: Iterable[str], steps: Sequence[Step]) -> tuple[str, ...]:
    """Return which of the declared keys the steps may be about: their revisions name them."""
    sql = "\n".join(_revisions_sql(steps))
    return tuple(sorted(key for key in keys if re.search(_word(_bare(key)), sql, re.I)))


def spared(loses: Collection[str], places: Iterable[Place]) -> Mapping[str, tuple[str, ...]]:
    """Return the columns, by table, whose values may go, so that they do not count."""
    found = {
        place.table: tuple(
            column
            for column in place.columns
            if f"column:{key_name(place.table)}.{spelled(column)}" in loses
        )
        for place in places
    }
    return {table: columns for table, columns in found.items() if columns}


def meant(plan: Plan, proof: TableProof) -> bool:
    """Whether the plan may change the rows of this table as it did.

    A table that the plan drops is meant to go: its step refuses one that holds rows. A revision
    may drop an empty table, and the sequences of any; so may a step that reverts what was added.
    What holds rows or values may go only where the plan says so; that a revision of the project's
    own writes to the table, or gives a column another type, is its doing.
    """
    if proof.lost and set(proof.lost) <= {*plan.loses}:
        return True
    if proof.rows_after < proof.rows_before:
        rowless = not proof.rows_before or proof.table.startswith((SEQUENCE, DERIVED))
        return proof.rows_after < 0 and (proof.table in plan.drops or (rowless and _may_drop(plan)))
    names = "|".join(_word(_last(name)) for name in (proof.table, proof.now) if name)
    writes = r"\b(?:UPDATE|INSERT\s+INTO|ALTER\s+TABLE)\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?[^\s;]*"
    found = (re.search(rf"{writes}(?:{names})", sql, re.I) for sql in _revisions_sql(plan.steps))
    return not proof.lost and any(
        match is not None and (match[0][:5].upper() != "ALTER" or _retypes(match.string))
        for match in found
    )


def _retypes(sql: str) -> bool:
    return bool(re.search(r"\bALTER\s+(?:COLUMN\s+)?\S+\s+(?:SET\s+DATA\s+)?TYPE\b", sql, re.I))


def _revisions_sql(steps: Sequence[Step]) -> list[str]:
    """The statements of the project's own revisions: a step with a reverse is the runbook's."""
    own = [step for step in steps if step.kind == "run-revisions" and not step.reverse]
    return [sql for step in own for sql in step.sql]


def _may_drop(plan: Plan) -> bool:
    return any(step.kind == "run-revisions" or "drift-extra" in step.answers for step in plan.steps)


def _last(name: str) -> str:
    return unquoted(parts(name)[-1])


def _bare(key: str) -> str:
    return _last(split(key)[1])


def _word(bare: str) -> str:
    return rf"(?<![\w$]){re.escape(bare)}(?![\w$])"


def reasons(plan: Plan, proofs: Iterable[TableProof]) -> list[str]:
    """Return in sentences which rows are not as they have to be."""
    return [_reason(proof) for proof in proofs if not proof.equal and not meant(plan, proof)]


def _reason(proof: TableProof) -> str:
    columns = [key for key in proof.lost if split(key)[0] == "column"]
    if proof.rows_after < 0:
        return f"{proof.table} is gone, with {proof.rows_before} rows."
    if columns:
        return f"The values of {_shown(columns)} are gone."
    return f"Rows of {proof.table} changed: {proof.rows_before} before, {proof.rows_after} after."


def lost(plan: Plan, proofs: Iterable[TableProof]) -> tuple[str, ...]:
    """Return the keys of what went although nobody allowed it."""
    return tuple(key for proof in proofs if not meant(plan, proof) for key in proof.lost)


def losing(keys: Sequence[str], environment: str) -> str:
    """Say what would be lost, and how a person allows it."""
    listed = ", ".join(map(toml, keys))
    return (
        f"The data of {_shown(keys)} would be lost, and by itself the runbook loses none. If "
        f"revisions are meant to drop it, say may_lose = [{listed}] in "
        f"[environments.{environment}]: the plan then names the loss, whoever approves the plan "
        "approves it, and the backup keeps the data."
    )


def _shown(keys: Iterable[str]) -> str:
    return ", ".join(" ".join(split(key)) for key in keys)
