"""0008 roles."""

from alembic import op

revision = "f8"
down_revision = "f6_a_revision_id_longer_than_the_column_is"


def upgrade() -> None:
    op.execute("GRANT SELECT ON users TO runbook_test_reader")


def downgrade() -> None:
    pass
