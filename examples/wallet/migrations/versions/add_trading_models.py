"""Trading models: trades and vouchers.

A trade is opened, paid with a voucher and settled into an account. Defaults let a trade be opened
with nothing but who, how much and under which reference.

Revision ID: add_trading_models
Revises: 3d91640ec9e0
Create Date: 2025-06-02 13:31:47.201955

"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "add_trading_models"
down_revision = "3d91640ec9e0"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trades",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=36, scale=18), nullable=False),
        sa.Column("currency_id", sa.Integer(), nullable=True),
        sa.Column(
            "account_id",
            sa.BigInteger(),
            nullable=True,
            comment="Known once the trade is settled",
        ),
        sa.Column(
            "side",
            sa.Enum("BUY", "SELL", name="trade_side"),
            server_default="BUY",
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum("OPEN", "PAID", "SETTLED", "CANCELLED", name="trade_status"),
            server_default="OPEN",
            nullable=False,
        ),
        sa.Column(
            "unit_price",
            sa.Numeric(precision=20, scale=8),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column(
            "fee",
            sa.Numeric(precision=20, scale=8),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column(
            "opened_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("reference", name=op.f("uq_trades_reference")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_trades_user_id_users")),
        sa.ForeignKeyConstraint(
            ["currency_id"], ["currencies.id"], name=op.f("fk_trades_currency_id_currencies")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_trades_account_id_accounts")
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_trades_quantity")),
        sa.CheckConstraint(
            "status <> 'SETTLED' OR settled_at IS NOT NULL", name=op.f("ck_trades_settled")
        ),
        comment="Purchases and sales of crypto currency",
    )
    op.create_index(op.f("ix_trades_user_id"), "trades", ["user_id"])
    op.create_index(
        "ix_trades_unsettled",
        "trades",
        ["opened_at"],
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.execute(
        "CREATE TRIGGER trg_trades_updated_at BEFORE UPDATE ON trades "
        "FOR EACH ROW EXECUTE FUNCTION set_updated_at()"
    )
    op.create_table(
        "vouchers",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("currency_id", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=20, scale=2), nullable=False),
        sa.Column(
            "status",
            sa.Enum("ISSUED", "REDEEMED", "EXPIRED", name="voucher_status"),
            server_default="ISSUED",
            nullable=False,
        ),
        sa.Column("trade_id", sa.BigInteger(), nullable=True, comment="The trade that it paid"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code", name=op.f("uq_vouchers_code")),
        sa.ForeignKeyConstraint(
            ["currency_id"], ["currencies.id"], name=op.f("fk_vouchers_currency_id_currencies")
        ),
        sa.ForeignKeyConstraint(
            ["trade_id"], ["trades.id"], name=op.f("fk_vouchers_trade_id_trades")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_vouchers_amount")),
        sa.CheckConstraint(
            "(status = 'REDEEMED') = (redeemed_at IS NOT NULL)", name=op.f("ck_vouchers_redeemed")
        ),
    )
    op.create_index(op.f("ix_vouchers_trade_id"), "vouchers", ["trade_id"])
    op.create_index(
        "ix_vouchers_redeemable",
        "vouchers",
        ["expires_at"],
        postgresql_where=sa.text("status = 'ISSUED'"),
    )


def downgrade() -> None:
    op.drop_table("vouchers")
    op.drop_table("trades")
    for name in ("voucher_status", "trade_status", "trade_side"):
        op.execute(f"DROP TYPE {name}")
