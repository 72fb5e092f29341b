"""Balance: before against after, for the change record — version rows, objects, rows of tables."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from runbook_lib.counting import count
from runbook_lib.forensics import Audit, Comparison
from runbook_lib.pages import fold, table, word
from runbook_lib.promotion import Deployment
from runbook_lib.survival import TableProof, kept
from runbook_lib.validation import Validation


def schema(audit: Audit | None, deployment: Deployment | None) -> str:
    """Version rows and catalog before and after, and every object that differed."""
    before = deployment.rows_before if deployment else audit.current_heads if audit else ()
    rows = [("Version rows", ids(before), ids(deployment.rows_after) if deployment else "–")]
    if deployment:
        digests = (deployment.catalog_before, deployment.catalog_after)
        was, now = (f'<code title="{item}">{item[:12]}</code>' for item in digests)
        rows.append(("Digest of the whole catalog", was, now))
    if audit:
        wrong = sum(item.status != "equal" for item in audit.comparisons)
        after = str(deployment.differences) if deployment else "–"
        rows.append(("Objects that differ from what the heads promise", str(wrong), after))
    return table(("", "Before", "After"), rows, cards=False) + _objects(audit, deployment)


def ids(ids: Sequence[str]) -> str:
    return "<br>".join(f"<code>{escape(item)}</code>" for item in ids) or "none"


def _objects(audit: Audit | None, deployment: Deployment | None) -> str:
    """Every object that differed; ``after`` is claimed only where nothing differs any more."""
    found = [item for item in audit.comparisons if item.status != "equal"] if audit else []
    if not found:
        return ""
    done = deployment is not None and deployment.passed and not deployment.differences
    now = "After, as the heads promise" if done else "What the heads promise"
    shown = table(("Object", "Was", "Before", now), [_object(item) for item in found])
    return fold(f"The {count(len(found), 'object')} that differed", shown, is_open=len(found) <= 12)


def _object(item: Comparison) -> tuple[str, ...]:
    return (
        f"{escape(item.kind)} <code>{escape(item.name)}</code>",
        word(item.status),
        f"<code>{escape(item.found)}</code>" if item.found else "absent",
        f"<code>{escape(item.expected)}</code>" if item.expected else "no revision makes it",
    )


def rows(validation: Validation | None, deployment: Deployment | None) -> str:
    """The rows of the target's tables where it was changed, else of the clone's; "" without any."""
    if deployment and deployment.tables:
        return tables("On the target", deployment.tables)
    if validation and validation.tables:
        return tables("On the clone", validation.tables)
    return ""


def tables(where: str, proofs: Sequence[TableProof], *, versions: bool = True) -> str:
    """Say which tables kept their rows; ``versions`` says that the version table is left out."""
    ordered = sorted(proofs, key=lambda item: (item.equal, item.table))
    shown = table(("Table", "Rows before", "Rows after", "Values"), [_table(i) for i in ordered])
    is_open = len(proofs) <= 12 or not ordered[0].equal
    left_out = " The version table, which is meant to change, is left out." if versions else ""
    return (
        f"<p>{where}: {kept(proofs)}. Rows were counted, and all their values put into one "
        f"fingerprint, before and after, over the columns that both have.{left_out}</p>\n"
        + fold("Table by table", shown, is_open=is_open)
    )


def _rows(item: TableProof) -> tuple[str, str]:
    return f"{item.rows_before:,}", f"{max(0, item.rows_after):,}"


def _table(item: TableProof) -> tuple[str, ...]:
    return (
        f"<code>{escape(item.shown)}</code>",
        *(("–", "–") if item.is_sequence else _rows(item)),
        word("passed") + " same values" if item.equal else word("failed") + " differs",
    )
