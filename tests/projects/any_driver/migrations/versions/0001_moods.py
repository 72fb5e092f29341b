"""Moods of people."""

import sqlalchemy as sa
from alembic import op

revision = "v1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("mood", sa.Enum("glad", name="mood"), nullable=False),
        sa.Column("share", sa.Numeric(5, 2), server_default="0"),
    )
    op.execute("COMMENT ON TABLE people IS '100% of them'")


def downgrade() -> None:
    op.drop_table("people")
    op.execute("DROP TYPE mood")
