"""0004 sibling."""

from alembic import op

revision = "f4"
down_revision = "f1"


def upgrade() -> None:
    op.create_index("ix_users", "users", ["email"])


def downgrade() -> None:
    op.drop_index("ix_users")
