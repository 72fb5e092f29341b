"""0002 notes."""

import sqlalchemy as sa
from alembic import op

revision = "l2"
down_revision = "l1"


def upgrade() -> None:
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))


def downgrade() -> None:
    op.drop_table("notes")
