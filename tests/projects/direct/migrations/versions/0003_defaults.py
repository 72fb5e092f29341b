"""Ask the driver for its default database, which is the one that was given."""

import psycopg2

revision = "k3"
down_revision = "k1"


def upgrade() -> None:
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM coins")


def downgrade() -> None:
    pass
