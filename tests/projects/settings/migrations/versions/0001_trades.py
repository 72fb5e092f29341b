"""0001 trades."""

import sqlalchemy as sa
from alembic import op

revision = "s1"
down_revision = None


def upgrade() -> None:
    op.create_table("trades", sa.Column("id", sa.Integer, primary_key=True))


def downgrade() -> None:
    op.drop_table("trades")
