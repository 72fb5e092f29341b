"""Longer names."""

import sqlalchemy as sa
from alembic import op

revision = "eee5"
down_revision = "ddd4"


def upgrade() -> None:
    op.alter_column("users", "name", type_=sa.String(80))


def downgrade() -> None:
    op.alter_column("users", "name", type_=sa.String(50))
