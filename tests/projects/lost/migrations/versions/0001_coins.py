"""0001 coins."""

import sqlalchemy as sa
from alembic import op

revision = "l1"
down_revision = None


def upgrade() -> None:
    op.create_table("coins", sa.Column("id", sa.Integer, primary_key=True))


def downgrade() -> None:
    op.drop_table("coins")
