"""Ledger entries and portfolios.

Every transaction is posted to the ledger; ``account_balances`` adds the postings up. A portfolio
is what a user holds of one currency and what it cost. The ledger will post trades, hence the
dependencies on the trading models and on transactions.trade_id.

Revision ID: add_ledger_portfolio_models
Revises: 23e791c49f3a
Create Date: 2025-05-21 14:55:30.870114

"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "add_ledger_portfolio_models"
down_revision = "23e791c49f3a"
branch_labels = None
depends_on = ("add_trading_models", "c8d25c64b432")


def upgrade() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "direction",
            sa.Enum("DEBIT", "CREDIT", name="ledger_direction"),
            nullable=False,
        ),
        sa.Column("amount", sa.Numeric(precision=36, scale=18), nullable=False),
        sa.Column(
            "posted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["transactions.id"],
            name=op.f("fk_ledger_entries_transaction_id_transactions"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_ledger_entries_account_id_accounts")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_ledger_entries_amount")),
        comment="Append only",
    )
    op.create_index(
        op.f("ix_ledger_entries_account_id_posted_at"),
        "ledger_entries",
        ["account_id", "posted_at"],
    )
    op.create_index(op.f("ix_ledger_entries_transaction_id"), "ledger_entries", ["transaction_id"])
    op.create_table(
        "portfolios",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("currency_id", sa.Integer(), nullable=False),
        sa.Column(
            "quantity",
            sa.Numeric(precision=36, scale=18),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column(
            "cost",
            sa.Numeric(precision=20, scale=2),
            server_default=sa.text("0"),
            nullable=False,
            comment="What it cost, in US dollars",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_portfolios_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["currency_id"], ["currencies.id"], name=op.f("fk_portfolios_currency_id_currencies")
        ),
        sa.UniqueConstraint("user_id", "currency_id", name=op.f("uq_portfolios_user_currency")),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_portfolios_quantity")),
    )
    op.execute(
        """
        CREATE VIEW account_balances AS
        SELECT account_id,
               sum(CASE direction WHEN 'CREDIT' THEN amount ELSE -amount END) AS balance,
               count(*) AS entries,
               max(posted_at) AS last_posted_at
        FROM ledger_entries
        GROUP BY account_id
        """
    )


def downgrade() -> None:
    op.execute("DROP VIEW account_balances")
    op.drop_table("portfolios")
    op.drop_table("ledger_entries")
    op.execute("DROP TYPE ledger_direction")
