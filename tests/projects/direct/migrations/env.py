"""An environment that goes past SQLAlchemy: it asks the driver for the target itself."""

import os

import psycopg2
import psycopg2.extensions
from alembic import context
from sqlalchemy import engine_from_config

config = context.config
if os.environ.get("WAY") == "env":
    psycopg2.connect(os.environ["TARGET_URL"])
if os.environ.get("WAY") == "class":
    psycopg2.extensions.connection(os.environ["TARGET_URL"])

section = config.get_section(config.config_ini_section)
with engine_from_config(section, prefix="sqlalchemy.").connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
