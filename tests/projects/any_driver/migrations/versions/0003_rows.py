"""Fill in rows."""

from alembic import op

revision = "v3"
down_revision = "v2"


def upgrade() -> None:
    op.execute("INSERT INTO people (mood) VALUES ('glad'), ('sad')")
    op.execute("UPDATE people SET share = 1")


def downgrade() -> None:
    op.execute("DELETE FROM people")
