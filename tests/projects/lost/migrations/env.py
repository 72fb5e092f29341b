"""An environment whose first query opens a transaction that nobody commits."""

from alembic import context
from sqlalchemy import create_engine, text

with create_engine("postgresql+psycopg2://app@nowhere.invalid/app").connect() as connection:
    connection.execute(text("SELECT 1"))
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
