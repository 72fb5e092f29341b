"""Coins."""

import sqlalchemy as sa
from alembic import op

revision = "coins1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "coin",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(20), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("coin")
