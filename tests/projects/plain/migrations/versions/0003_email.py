"""Addresses of users."""

import sqlalchemy as sa
from alembic import op

revision = "ccc3"
down_revision = "aaa1"


def upgrade() -> None:
    op.add_column("users", sa.Column("email", sa.String(100)))
    op.create_index("ix_users_email", "users", ["email"])


def downgrade() -> None:
    op.drop_column("users", "email")
