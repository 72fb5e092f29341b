"""0006 long."""

from alembic import op

revision = "f6_a_revision_id_longer_than_the_column_is"
down_revision = "f5"


def upgrade() -> None:
    op.execute("COMMENT ON TABLE users IS 'people'")


def downgrade() -> None:
    pass
