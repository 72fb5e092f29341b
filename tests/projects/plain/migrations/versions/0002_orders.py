"""Orders of users."""

import sqlalchemy as sa
from alembic import op

revision = "bbb2"
down_revision = "aaa1"


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("orders")
