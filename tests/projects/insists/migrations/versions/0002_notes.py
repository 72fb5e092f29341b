"""0002 notes."""

from alembic import op

revision = "i2"
down_revision = "i1"


def upgrade() -> None:
    op.execute("CREATE TABLE notes (id integer PRIMARY KEY)")


def downgrade() -> None:
    op.drop_table("notes")
