"""The SOL finality checker: which pending transactions has the chain made final?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wallet.models import Account, Currency, Trade, TradeStatus, Transaction, TransactionStatus

FINAL_AFTER_SLOTS = 32
NOT_FINAL = (TransactionStatus.PENDING, TransactionStatus.CONFIRMED)


@dataclass(frozen=True)
class Finality:
    """What one round found: numbers of transactions and of the trades that wait for them."""

    pending: int
    finalized: int
    trades_waiting: int


def pending_sol_transactions(session: Session) -> Sequence[Transaction]:
    """Return the SOL transactions that are not final yet, the oldest first."""
    statement = (
        select(Transaction)
        .join(Transaction.account)
        .join(Account.currency)
        .where(Currency.code == "SOL", Transaction.status.in_(NOT_FINAL))
        .order_by(Transaction.created_at, Transaction.id)
    )
    return session.scalars(statement).all()


def trades_waiting(session: Session) -> Sequence[Trade]:
    """Return the trades of which a SOL transaction is not final yet."""
    statement = (
        select(Trade)
        .join(Transaction, Transaction.trade_id == Trade.id)
        .join(Transaction.account)
        .join(Account.currency)
        .where(
            Currency.code == "SOL",
            Transaction.status.in_(NOT_FINAL),
            Trade.status != TradeStatus.CANCELLED,
        )
        .distinct()
    )
    return session.scalars(statement).all()


def check_finality(session: Session, current_slot: int) -> Finality:
    """Mark as final what lies ``FINAL_AFTER_SLOTS`` or more below the chain's current slot.

    Nothing is committed: that is the caller's to do.
    """
    pending = pending_sol_transactions(session)
    finalized = 0
    for transaction in pending:
        if transaction.slot is None:
            continue
        transaction.confirmations = max(0, current_slot - transaction.slot)
        if transaction.confirmations >= FINAL_AFTER_SLOTS:
            transaction.status = TransactionStatus.FINALIZED
            transaction.finalized_at = datetime.now(UTC)
            finalized += 1
    session.flush()
    return Finality(
        pending=len(pending), finalized=finalized, trades_waiting=len(trades_waiting(session))
    )
