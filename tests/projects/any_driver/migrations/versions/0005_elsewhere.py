"""Ask each driver for a connection to somewhere else."""

import asyncio
import os
import threading
from typing import Any

revision = "v5"
down_revision = "v2"
HOST, PORT, USER, NAME = "127.0.0.1", 9, "somebody", "elsewhere"


def psycopg2() -> None:
    import psycopg2

    psycopg2.connect(host=HOST, port=PORT, user=USER, dbname=NAME)


def psycopg() -> None:
    import psycopg

    psycopg.connect(f"host={HOST} port={PORT} user={USER} dbname={NAME}")


def asyncpg() -> None:
    import asyncpg

    async def connect() -> None:
        await asyncpg.connect(host=HOST, port=PORT, user=USER, database=NAME)

    asyncio.run(connect())


def pg8000() -> None:
    import pg8000.dbapi

    pg8000.dbapi.connect(host=HOST, port=PORT, user=USER, database=NAME)


def upgrade() -> None:
    found: list[Any] = []

    def ask() -> None:
        try:
            globals()[os.environ["DRIVER"]]()
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=ask)  # an event loop may be running in this one
    thread.start()
    thread.join()
    raise found[0]


def downgrade() -> None:
    pass
