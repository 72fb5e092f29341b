"""Be sad, outside a transaction."""

from alembic import op

revision = "v2"
down_revision = "v1"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'sad'")


def downgrade() -> None:
    pass
