"""The trading service: open a trade, pay it with a voucher, settle it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from wallet.models import (
    Account,
    AccountType,
    Currency,
    LedgerDirection,
    LedgerEntry,
    Portfolio,
    Trade,
    TradeStatus,
    Transaction,
    TransactionStatus,
    TransactionType,
    User,
    Voucher,
    VoucherStatus,
)


class TradingError(Exception):
    """A trade or a voucher is not in the state that the step needs."""


class TradingService:
    """Works in the session that it is given, and leaves the commit to its caller."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def open_trade(
        self, user: User, currency: Currency, quantity: Decimal, unit_price: Decimal
    ) -> Trade:
        """Open a purchase of ``quantity`` units at ``unit_price`` US dollars each."""
        if quantity <= 0 or unit_price <= 0:
            raise TradingError("Quantity and price have to be positive.")
        trade = Trade(
            reference=f"TRD-{uuid.uuid4().hex[:16].upper()}",
            user_id=user.id,
            currency_id=currency.id,
            quantity=quantity,
            unit_price=unit_price,
        )
        self.session.add(trade)
        self.session.flush()
        self.session.refresh(trade)
        return trade

    def pay_with_voucher(self, trade: Trade, code: str) -> Voucher:
        """Redeem a voucher for a trade; the voucher has to cover it."""
        voucher = self.session.scalar(select(Voucher).where(Voucher.code == code).with_for_update())
        if voucher is None or voucher.status is not VoucherStatus.ISSUED:
            raise TradingError("The voucher is unknown or used up.")
        if voucher.expires_at <= datetime.now(UTC):
            raise TradingError("The voucher has expired.")
        if trade.status is not TradeStatus.OPEN:
            raise TradingError("The trade is not open.")
        if voucher.amount < trade.quantity * trade.unit_price + trade.fee:
            raise TradingError("The voucher does not cover the trade.")
        voucher.status = VoucherStatus.REDEEMED
        voucher.redeemed_at = datetime.now(UTC)
        voucher.trade_id = trade.id
        trade.status = TradeStatus.PAID
        self.session.flush()
        return voucher

    def settle(self, trade: Trade) -> Transaction:
        """Book a paid trade: the transaction, its ledger entry, the account, the portfolio."""
        if trade.status is not TradeStatus.PAID or trade.currency_id is None:
            raise TradingError("The trade is not paid.")
        account = self._account(trade.user_id, trade.currency_id)
        transaction = Transaction(
            account_id=account.id,
            transaction_type=TransactionType.TRADE,
            amount=trade.quantity,
            reference_id=trade.reference,
            status=TransactionStatus.PENDING,
            trade_id=trade.id,
        )
        self.session.add(transaction)
        self.session.flush()
        self._post(transaction)
        account.balance += trade.quantity
        self._hold(trade)
        trade.account_id = account.id
        trade.status = TradeStatus.SETTLED
        trade.settled_at = datetime.now(UTC)
        self.session.flush()
        return transaction

    def _account(self, user_id: int, currency_id: int) -> Account:
        account = self.session.scalar(
            select(Account).where(Account.user_id == user_id, Account.currency_id == currency_id)
        )
        if account is None:
            account = Account(
                user_id=user_id,
                currency_id=currency_id,
                account_type=AccountType.CRYPTO,
                balance=Decimal(0),
            )
            self.session.add(account)
            self.session.flush()
        return account

    def _post(self, transaction: Transaction) -> None:
        self.session.add(
            LedgerEntry(
                transaction_id=transaction.id,
                account_id=transaction.account_id,
                direction=LedgerDirection.CREDIT,
                amount=transaction.amount,
            )
        )

    def _hold(self, trade: Trade) -> None:
        portfolio = self.session.scalar(
            select(Portfolio).where(
                Portfolio.user_id == trade.user_id, Portfolio.currency_id == trade.currency_id
            )
        )
        if portfolio is None:
            portfolio = Portfolio(
                user_id=trade.user_id,
                currency_id=trade.currency_id,
                quantity=Decimal(0),
                cost=Decimal(0),
            )
            self.session.add(portfolio)
        portfolio.quantity += trade.quantity
        portfolio.cost += trade.quantity * trade.unit_price
