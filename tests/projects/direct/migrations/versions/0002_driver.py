"""Ask the driver for the target's rows."""

import os

import psycopg2

revision = "k2"
down_revision = "k1"


def upgrade() -> None:
    connection = psycopg2.connect(os.environ["TARGET_URL"])
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM coins")


def downgrade() -> None:
    pass
