"""Alembic's environment with the application's own settings and naming convention."""

from alembic import context
from app.settings import settings
from sqlalchemy import MetaData, create_engine

metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(column_0_label)s"})
print("settings loaded", flush=True)

with create_engine(settings.url).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, include_schemas=True)
    with context.begin_transaction():
        context.run_migrations()
