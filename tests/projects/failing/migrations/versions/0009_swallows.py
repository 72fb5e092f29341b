"""0009 swallows."""

import contextlib

import sqlalchemy as sa
from alembic import op

revision = "f9"
down_revision = "f1"


def upgrade() -> None:
    with contextlib.suppress(Exception):
        op.drop_table("no_such_table")
    op.create_table("after", sa.Column("id", sa.Integer))


def downgrade() -> None:
    pass
