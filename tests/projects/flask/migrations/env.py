"""An env.py that works within an application's context only, as ``flask db`` runs it."""

from alembic import context
from flask import current_app

extension = current_app.extensions["migrate"]
url = extension.db.engine.url.render_as_string(hide_password=False)
context.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))

with extension.db.engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=extension.db.metadata, **extension.configure_args
    )
    with context.begin_transaction():
        context.run_migrations()
