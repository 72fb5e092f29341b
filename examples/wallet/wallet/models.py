"""The application's tables."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from sqlalchemy import (
    CHAR,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy import Enum as SqlEnum
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

BigId = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]
Amount = Annotated[Decimal, mapped_column(Numeric(36, 18))]
Money = Annotated[Decimal, mapped_column(Numeric(20, 2))]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Stamped = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=text("now()"))]


class AccountType(enum.Enum):
    FIAT = "fiat"
    CRYPTO = "crypto"


class SwapStatus(enum.Enum):
    QUOTED = "quoted"
    EXECUTED = "executed"
    EXPIRED = "expired"


class TransactionType(enum.Enum):
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    SWAP = "swap"
    TRADE = "trade"
    VOUCHER = "voucher"


class TransactionStatus(enum.Enum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"
    FAILED = "failed"


class LedgerDirection(enum.Enum):
    DEBIT = "debit"
    CREDIT = "credit"


class TradeSide(enum.Enum):
    BUY = "buy"
    SELL = "sell"


class TradeStatus(enum.Enum):
    OPEN = "open"
    PAID = "paid"
    SETTLED = "settled"
    CANCELLED = "cancelled"


class VoucherStatus(enum.Enum):
    ISSUED = "issued"
    REDEEMED = "redeemed"
    EXPIRED = "expired"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        item: SqlEnum(item, name=name)
        for name, item in {
            "account_type": AccountType,
            "swap_status": SwapStatus,
            "transaction_type": TransactionType,
            "transaction_status": TransactionStatus,
            "ledger_direction": LedgerDirection,
            "trade_side": TradeSide,
            "trade_status": TradeStatus,
            "voucher_status": VoucherStatus,
        }.items()
    }


class User(Base):
    __tablename__ = "users"
    __table_args__ = ({"comment": "People who hold money with us"},)

    id: Mapped[BigId]
    email: Mapped[str] = mapped_column(String(320), unique=True)
    full_name: Mapped[str] = mapped_column(String(200))
    country_code: Mapped[str] = mapped_column(CHAR(2))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[Stamped]
    updated_at: Mapped[Stamped]

    accounts: Mapped[list[Account]] = relationship(back_populates="user")


class Currency(Base):
    __tablename__ = "currencies"
    __table_args__ = (CheckConstraint("decimals BETWEEN 0 AND 18", name="decimals"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    code: Mapped[str] = mapped_column(String(10), unique=True, comment="ISO 4217 or ticker")
    name: Mapped[str] = mapped_column(String(80))
    decimals: Mapped[int] = mapped_column(SmallInteger, comment="Digits after the point")
    is_crypto: Mapped[bool] = mapped_column(server_default=text("false"))


class Account(Base):
    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("user_id", "currency_id", name="uq_accounts_user_currency"),
        CheckConstraint("balance >= 0", name="balance"),
    )

    id: Mapped[BigId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    currency_id: Mapped[int] = mapped_column(ForeignKey("currencies.id"))
    account_type: Mapped[AccountType]
    balance: Mapped[Amount] = mapped_column(
        server_default=text("0"), comment="Cached; the ledger is the truth"
    )
    created_at: Mapped[Stamped]
    updated_at: Mapped[Stamped]

    user: Mapped[User] = relationship(back_populates="accounts")
    currency: Mapped[Currency] = relationship()


class CustodialWallet(Base):
    __tablename__ = "custodial_wallets"
    __table_args__ = (
        UniqueConstraint("network", "address", name="uq_custodial_wallets_address"),
        Index(
            "ix_custodial_wallets_active",
            "user_id",
            "network",
            unique=True,
            postgresql_where=text("is_active"),
        ),
    )

    id: Mapped[BigId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    network: Mapped[str] = mapped_column(String(20))
    address: Mapped[str] = mapped_column(String(64))
    key_reference: Mapped[str] = mapped_column(
        String(120), comment="Where the custodian's vault keeps the key; never the key"
    )
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[Stamped]


class Swap(Base):
    __tablename__ = "swaps"
    __table_args__ = (
        CheckConstraint("from_account_id <> to_account_id", name="accounts"),
        CheckConstraint("from_amount > 0 AND to_amount > 0", name="amounts"),
    )

    id: Mapped[BigId]
    from_account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    to_account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    from_amount: Mapped[Amount]
    to_amount: Mapped[Amount]
    rate: Mapped[Amount]
    status: Mapped[SwapStatus] = mapped_column(server_default="QUOTED")
    created_at: Mapped[Stamped]


class Transaction(Base):
    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("account_id", "blockchain_txid", name="uq_transactions_account_txid"),
        CheckConstraint("amount <> 0", name="amount"),
        CheckConstraint("confirmations >= 0", name="confirmations"),
        Index(None, "account_id", "created_at"),
        Index(
            "ix_transactions_not_final",
            "created_at",
            postgresql_where=text(
                "status = ANY (ARRAY['PENDING'::transaction_status,"
                " 'CONFIRMED'::transaction_status])"
            ),
        ),
    )

    id: Mapped[BigId]
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    swap_id: Mapped[int | None] = mapped_column(ForeignKey("swaps.id"))
    transaction_type: Mapped[TransactionType]
    amount: Mapped[Amount]
    reference_id: Mapped[str | None] = mapped_column(
        String(64),
        unique=True,
        comment="The other side's number: TRD-… of a trade, VCH-… of a voucher",
    )
    blockchain_txid: Mapped[str | None] = mapped_column(String(128), comment="Chain signature")
    details: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[Stamped]
    updated_at: Mapped[Stamped]
    status: Mapped[TransactionStatus] = mapped_column(server_default="PENDING")
    confirmations: Mapped[int] = mapped_column(server_default=text("0"))
    slot: Mapped[int | None] = mapped_column(BigInteger, comment="Slot the chain put it in")
    finalized_at: Mapped[Moment | None]
    trade_id: Mapped[int | None] = mapped_column(
        ForeignKey("trades.id", ondelete="SET NULL"),
        index=True,
        comment="The trade that waits for it",
    )

    account: Mapped[Account] = relationship()
    trade: Mapped[Trade | None] = relationship(back_populates="transactions")


class LedgerEntry(Base):
    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        Index(None, "account_id", "posted_at"),
        {"comment": "Append only"},
    )

    id: Mapped[BigId]
    transaction_id: Mapped[int] = mapped_column(
        ForeignKey("transactions.id", ondelete="RESTRICT"), index=True
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    direction: Mapped[LedgerDirection]
    amount: Mapped[Amount]
    posted_at: Mapped[Stamped]


class Portfolio(Base):
    __tablename__ = "portfolios"
    __table_args__ = (
        UniqueConstraint("user_id", "currency_id", name="uq_portfolios_user_currency"),
        CheckConstraint("quantity >= 0", name="quantity"),
    )

    id: Mapped[BigId]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    currency_id: Mapped[int] = mapped_column(ForeignKey("currencies.id"))
    quantity: Mapped[Amount] = mapped_column(server_default=text("0"))
    cost: Mapped[Money] = mapped_column(
        server_default=text("0"), comment="What it cost, in US dollars"
    )


class Trade(Base):
    __tablename__ = "trades"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("status <> 'SETTLED' OR settled_at IS NOT NULL", name="settled"),
        Index("ix_trades_unsettled", "opened_at", postgresql_where=text("settled_at IS NULL")),
        {"comment": "Purchases and sales of crypto currency"},
    )

    id: Mapped[BigId]
    reference: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    quantity: Mapped[Amount]
    currency_id: Mapped[int | None] = mapped_column(ForeignKey("currencies.id"))
    account_id: Mapped[int | None] = mapped_column(
        ForeignKey("accounts.id"), comment="Known once the trade is settled"
    )
    side: Mapped[TradeSide] = mapped_column(server_default="BUY")
    status: Mapped[TradeStatus] = mapped_column(server_default="OPEN")
    unit_price: Mapped[Decimal] = mapped_column(Numeric(20, 8), server_default=text("0"))
    fee: Mapped[Decimal] = mapped_column(Numeric(20, 8), server_default=text("0"))
    opened_at: Mapped[Stamped]
    settled_at: Mapped[Moment | None]
    updated_at: Mapped[Stamped]

    currency: Mapped[Currency | None] = relationship()
    transactions: Mapped[list[Transaction]] = relationship(back_populates="trade")
    vouchers: Mapped[list[Voucher]] = relationship(back_populates="trade")


class Voucher(Base):
    __tablename__ = "vouchers"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("(status = 'REDEEMED') = (redeemed_at IS NOT NULL)", name="redeemed"),
        Index("ix_vouchers_redeemable", "expires_at", postgresql_where=text("status = 'ISSUED'")),
    )

    id: Mapped[BigId]
    code: Mapped[str] = mapped_column(String(32), unique=True)
    currency_id: Mapped[int] = mapped_column(ForeignKey("currencies.id"))
    amount: Mapped[Money]
    status: Mapped[VoucherStatus] = mapped_column(server_default="ISSUED")
    trade_id: Mapped[int | None] = mapped_column(
        ForeignKey("trades.id"), index=True, comment="The trade that it paid"
    )
    expires_at: Mapped[Moment]
    redeemed_at: Mapped[Moment | None]

    trade: Mapped[Trade | None] = relationship(back_populates="vouchers")
