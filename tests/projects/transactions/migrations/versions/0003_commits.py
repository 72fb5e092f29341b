"""0003 commits."""

import sqlalchemy as sa
from alembic import op

revision = "t3"
down_revision = "t2"


def upgrade() -> None:
    op.add_column("people", sa.Column("before", sa.Integer))
    op.get_bind().commit()
    op.add_column("people", sa.Column("after", sa.Integer))


def downgrade() -> None:
    pass
