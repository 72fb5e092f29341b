"""0001 users."""

import sqlalchemy as sa
from alembic import op

revision = "f1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("email", sa.Text)
    )


def downgrade() -> None:
    op.drop_table("users")
