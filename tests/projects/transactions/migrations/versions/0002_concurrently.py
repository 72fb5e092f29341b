"""0002 concurrently."""

from alembic import op

revision = "t2"
down_revision = "t1"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TYPE mood ADD VALUE 'sad'")
        op.create_index("ix_people", "people", ["id"], postgresql_concurrently=True)


def downgrade() -> None:
    pass
