"""0001 moods."""

import sqlalchemy as sa
from alembic import op

revision = "t1"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TYPE mood AS ENUM ('glad')")
    op.create_table("people", sa.Column("id", sa.Integer, primary_key=True))


def downgrade() -> None:
    op.drop_table("people")
    op.execute("DROP TYPE mood")
