"""Fail on the server."""

from alembic import op

revision = "v4"
down_revision = "v2"


def upgrade() -> None:
    op.execute("CREATE INDEX ix ON no_such_table (id)")


def downgrade() -> None:
    pass
