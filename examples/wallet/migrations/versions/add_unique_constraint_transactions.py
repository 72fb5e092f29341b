"""Unique constraint on transactions: one row per account and chain signature.

The deposit watcher booked the same signature twice after a restart in May.

Revision ID: add_unique_constraint_transactions
Revises: 23e791c49f3a
Create Date: 2025-05-19 11:02:51.004417

"""

from __future__ import annotations

from alembic import op

revision = "add_unique_constraint_transactions"
down_revision = "23e791c49f3a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_unique_constraint(
        op.f("uq_transactions_account_txid"), "transactions", ["account_id", "blockchain_txid"]
    )


def downgrade() -> None:
    op.drop_constraint(op.f("uq_transactions_account_txid"), "transactions", type_="unique")
