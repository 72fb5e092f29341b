"""Add trade_id to transactions.

The SOL finality checker has to know which trade waits for a transaction.

Revision ID: c8d25c64b432
Revises: add_trading_models
Create Date: 2025-06-05 17:09:22.660843

"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "c8d25c64b432"
down_revision = "add_trading_models"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "transactions",
        sa.Column(
            "trade_id", sa.BigInteger(), nullable=True, comment="The trade that waits for it"
        ),
    )
    op.create_foreign_key(
        op.f("fk_transactions_trade_id_trades"),
        "transactions",
        "trades",
        ["trade_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index(op.f("ix_transactions_trade_id"), "transactions", ["trade_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_transactions_trade_id"), table_name="transactions")
    op.drop_constraint(op.f("fk_transactions_trade_id_trades"), "transactions", type_="foreignkey")
    op.drop_column("transactions", "trade_id")
