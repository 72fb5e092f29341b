"""0004 after."""

import sqlalchemy as sa
from alembic import op

revision = "t4"
down_revision = "t3"


def upgrade() -> None:
    op.add_column("people", sa.Column("later", sa.Integer))


def downgrade() -> None:
    pass
