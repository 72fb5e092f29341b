"""Small artifacts for tests of what draws them; no database is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from runbook_lib.forensics import (
    Audit,
    Comparison,
    Evidence,
    Executed,
    RevisionVerdict,
    Target,
    Verdict,
)
from runbook_lib.revisions import Tree

TARGET = Target(
    database="tondeka",
    server_version="18.1",
    system_identifier="7401",
    version_table="public.alembic_version",
)
EXECUTED: dict[Verdict, Executed] = {
    "applied": "yes",
    "unrecorded": "yes",
    "phantom": "no",
    "pending": "no",
    "partial": "partly",
    "unknowable": "unknowable",
}


def revision(
    revision_id: str,
    *parents: str,
    verdict: Verdict = "applied",
    doc: str = "",
    depends_on: tuple[str, ...] = (),
    evidence: tuple[Evidence, ...] = (),
    file: str = "",
) -> RevisionVerdict:
    return RevisionVerdict(
        revision_id=revision_id,
        down_revisions=parents,
        depends_on=depends_on,
        file=file or f"versions/{revision_id}.py",
        doc=doc,
        recorded=verdict in ("applied", "phantom"),
        executed=EXECUTED[verdict],
        verdict=verdict,
        reason="",
        evidence=evidence,
        effects=(),
        touches_rows=False,
        seconds=0.01,
    )


def audit(
    revisions: Sequence[RevisionVerdict],
    *,
    current: tuple[str, ...] = (),
    cycle_edges: tuple[tuple[str, str], ...] = (),
) -> Audit:
    """An audit over ``revisions``, with the shape of the tree worked out from their parents."""
    ids = {item.revision_id for item in revisions}
    edges = [(item.revision_id, parent) for item in revisions for parent in item.down_revisions]
    children = Counter(parent for _, parent in dict.fromkeys(edges))
    tree = Tree(
        digest="0" * 64,
        heads=tuple(sorted(ids - set(children))),
        bases=tuple(sorted({item.revision_id for item in revisions if not item.down_revisions})),
        branch_points=tuple(sorted(name for name in ids if children[name] > 1)),
        merge_points=tuple(
            sorted({item.revision_id for item in revisions if len(item.down_revisions) > 1})
        ),
        cycle_edges=cycle_edges,
        dangling_edges=tuple(edge for edge in edges if edge[1] not in ids),
    )
    return Audit(
        environment="staging",
        target=TARGET,
        tree=tree,
        current_heads=current,
        revisions=tuple(revisions),
        drift=(),
        findings=(),
        comparisons=(),
        strategies=(),
        baseline_origin="empty",
        catalog_digest="0" * 64,
    )


def comparison(kind: str, table: str, name: str, status: str, **kw: str) -> Comparison:
    return Comparison(
        kind=kind,
        table=table,
        name=name,
        expected=kw.get("expected", "" if status == "extra" else "integer"),
        found=kw.get("found", "" if status == "missing" else "integer"),
        status=status,  # type: ignore[arg-type]
        revision_id=kw.get("revision_id", "" if status == "extra" else "a1"),
    )


def wallet() -> Audit:
    """The case it was born from: a phantom merged history, a pending head, two long ids."""
    long_one, long_two = "add_unique_constraint_transactions", "add_reference_id_unique_constraint"
    missing = Evidence(
        kind="column",
        object="column:public.transactions.trade_id",
        aspect="type",
        expected="integer",
        found="absent",
        speaks="against",
    )
    return audit(
        (
            revision("1d661194d41e", doc="Custodial wallet, currency, swap"),
            revision(long_one, "1d661194d41e", doc="Unique constraint on transactions"),
            revision(long_two, "1d661194d41e", doc="Unique constraint on the reference id"),
            revision("add_ledger_portfolio_models", "1d661194d41e", doc="Ledger and portfolio"),
            revision("23e791c49f3a", long_one, doc="The state before the conflicts"),
            revision(
                "3d91640ec9e0",
                *("23e791c49f3a", long_two, "add_ledger_portfolio_models"),
                verdict="unknowable",
                doc="Merge the branches",
            ),
            revision(
                "add_trading_models",
                "3d91640ec9e0",
                verdict="phantom",
                doc="Trading models: trades and vouchers",
                evidence=(missing,),
            ),
            revision(
                "c8d25c64b432", "add_trading_models", verdict="pending", doc="Trade id column"
            ),
        ),
        current=("add_trading_models",),
    )
