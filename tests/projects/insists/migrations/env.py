"""An environment that knows only one database, the target, and insists on it in three ways."""

import os
from typing import Any

import psycopg2
from alembic import context
from sqlalchemy import create_engine, event

TARGET = os.environ["TARGET_URL"]
WAY = os.environ.get("WAY", "url")


def connect() -> Any:
    return psycopg2.connect(TARGET)


plain = TARGET.replace("postgresql://", "postgresql+psycopg2://")
if WAY == "creator":
    engine = create_engine("postgresql+psycopg2://", creator=connect)
else:
    engine = create_engine(plain)

if WAY == "listener":

    @event.listens_for(engine, "do_connect")
    def insist(dialect: Any, record: Any, cargs: Any, cparams: Any) -> Any:
        return connect()


with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
