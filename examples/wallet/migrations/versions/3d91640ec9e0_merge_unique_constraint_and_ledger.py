"""Merge the unique constraint and the ledger branches.

Revision ID: 3d91640ec9e0
Revises: add_unique_constraint_transactions, add_ledger_portfolio_models
Create Date: 2025-05-22 10:18:09.345672

"""

from __future__ import annotations

revision = "3d91640ec9e0"
down_revision = ("add_unique_constraint_transactions", "add_ledger_portfolio_models")
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
