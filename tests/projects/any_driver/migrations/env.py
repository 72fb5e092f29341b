"""Alembic's environment for whatever driver DATABASE_URL names, sync or async."""

import asyncio
import os
from typing import Any

from alembic import context
from sqlalchemy import create_engine, pool

URL = os.environ["DATABASE_URL"]


def migrate(connection: Any) -> None:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def migrate_async() -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(URL, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


if os.environ.get("MODE") == "async":
    asyncio.run(migrate_async())
else:
    with create_engine(URL, poolclass=pool.NullPool).connect() as connection:
        migrate(connection)
