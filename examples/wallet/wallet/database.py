"""The application's database, addressed by DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME."""

from __future__ import annotations

import os

from sqlalchemy import URL, Engine, create_engine


def database_url() -> URL:
    """Build the address. ``DB_HOST`` may be the folder of a Unix socket."""
    host = os.environ.get("DB_HOST", "localhost")
    port = int(os.environ.get("DB_PORT") or 5432)
    address = {
        "drivername": "postgresql+psycopg2",
        "username": os.environ.get("DB_USER") or "tondeka",
        "password": os.environ.get("DB_PASSWORD") or None,
        "database": os.environ.get("DB_NAME") or "tondeka",
    }
    if host.startswith("/"):
        return URL.create(**address, query={"host": host, "port": str(port)})
    return URL.create(**address, host=host, port=port)


def engine() -> Engine:
    """Return an engine for the application's database."""
    return create_engine(database_url(), connect_args={"connect_timeout": 10})
