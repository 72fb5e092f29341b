"""0001 views."""

from alembic import op

revision = "r1"
down_revision = None
branch_labels = ("reports",)
depends_on = "c2"


def upgrade() -> None:
    op.execute("CREATE VIEW totals AS SELECT count(*) FROM entries")


def downgrade() -> None:
    op.execute("DROP VIEW totals")
