"""0002 needs rows."""

import sqlalchemy as sa
from alembic import op

revision = "f2"
down_revision = "f1"


def upgrade() -> None:
    op.create_table("badges", sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id")))
    op.execute("INSERT INTO badges (user_id) VALUES (2)")


def downgrade() -> None:
    op.drop_table("badges")
