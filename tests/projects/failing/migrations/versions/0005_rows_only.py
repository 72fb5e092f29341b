"""0005 rows only."""

from alembic import op

revision = "f5"
down_revision = "f4"


def upgrade() -> None:
    op.execute("UPDATE users SET email = lower(email) WHERE email <> ''")


def downgrade() -> None:
    pass
