"""0003 child."""

import sqlalchemy as sa
from alembic import op

revision = "f3"
down_revision = "f2"


def upgrade() -> None:
    op.add_column("badges", sa.Column("name", sa.Text))


def downgrade() -> None:
    pass
