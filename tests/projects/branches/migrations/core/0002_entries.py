"""0002 entries."""

import sqlalchemy as sa
from alembic import op

revision = "c2"
down_revision = "c1"


def upgrade() -> None:
    op.create_table("entries", sa.Column("id", sa.Integer, primary_key=True))


def downgrade() -> None:
    op.drop_table("entries")
