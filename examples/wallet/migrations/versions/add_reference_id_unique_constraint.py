"""Unique constraint on transactions.reference_id.

A reference is the other side's number; booking it twice would pay twice.

Revision ID: add_reference_id_unique_constraint
Revises: 23e791c49f3a
Create Date: 2025-05-20 08:27:13.559201

"""

from __future__ import annotations

from alembic import op

revision = "add_reference_id_unique_constraint"
down_revision = "23e791c49f3a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_unique_constraint(
        op.f("uq_transactions_reference_id"), "transactions", ["reference_id"]
    )


def downgrade() -> None:
    op.drop_constraint(op.f("uq_transactions_reference_id"), "transactions", type_="unique")
