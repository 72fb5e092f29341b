"""Transaction status and finality columns.

Deposits from a chain are not final when they are seen. A transaction gets a status and counts its
confirmations; everything from before this revision was settled long ago and is backfilled so.

Revision ID: 23e791c49f3a
Revises: 1d661194d41e
Create Date: 2025-03-11 16:40:05.733190

"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "23e791c49f3a"
down_revision = "1d661194d41e"
branch_labels = None
depends_on = None

transaction_status = postgresql.ENUM(
    "PENDING", "CONFIRMED", "FINALIZED", "FAILED", name="transaction_status", create_type=False
)


def upgrade() -> None:
    transaction_status.create(op.get_bind(), checkfirst=False)
    op.add_column("transactions", sa.Column("status", transaction_status, nullable=True))
    op.execute("UPDATE transactions SET status = 'FINALIZED'")
    op.alter_column("transactions", "status", nullable=False, server_default="PENDING")
    op.add_column(
        "transactions",
        sa.Column("confirmations", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "transactions",
        sa.Column("slot", sa.BigInteger(), nullable=True, comment="Slot the chain put it in"),
    )
    op.add_column(
        "transactions", sa.Column("finalized_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_check_constraint(
        op.f("ck_transactions_confirmations"), "transactions", "confirmations >= 0"
    )
    op.create_index(
        "ix_transactions_not_final",
        "transactions",
        ["created_at"],
        postgresql_where=sa.text(
            "status = ANY (ARRAY['PENDING'::transaction_status, 'CONFIRMED'::transaction_status])"
        ),
    )


def downgrade() -> None:
    op.drop_index("ix_transactions_not_final", table_name="transactions")
    op.drop_constraint(op.f("ck_transactions_confirmations"), "transactions", type_="check")
    op.drop_column("transactions", "finalized_at")
    op.drop_column("transactions", "slot")
    op.drop_column("transactions", "confirmations")
    op.drop_column("transactions", "status")
    transaction_status.drop(op.get_bind(), checkfirst=False)
