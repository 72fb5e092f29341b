"""Join orders and addresses."""

revision = "ddd4"
down_revision = ("bbb2", "ccc3")


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
