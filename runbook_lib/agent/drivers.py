"""Drivers: connections that the project asks a driver for directly."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import inspect
import os
from typing import Any, Callable  # noqa: UP035  (Python 3.9 at run time)


class Patches(importlib.abc.MetaPathFinder):
    """Guards each driver right after it was imported, whoever imports it."""

    def __init__(self, require_allowed: Callable[[Any, Any, Any], None]) -> None:
        self.require_allowed = require_allowed
        self.guards: dict[str, Callable[[Any], None]] = {
            "psycopg2": self.psycopg2,
            "psycopg2.extensions": self.psycopg2_extensions,
            "psycopg.connection": self.psycopg,
            "psycopg.connection_async": self.psycopg,
            "asyncpg.connect_utils": self.asyncpg,
            "pg8000.core": self.pg8000,
        }

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        patch = self.guards.get(name)  # looking is not importing: it may be asked for again
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if patch else None
        if patch is None or spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        execute, guard = loader.exec_module, patch

        def exec_module(module: Any) -> None:
            execute(module)
            guard(module)

        loader.exec_module = exec_module
        return spec

    def libpq(self, dsn: str, keywords: dict[str, Any], parse: Callable[[str], Any]) -> None:
        found = {**parse(dsn or ""), **{key: value for key, value in keywords.items() if value}}
        host = found.get("service") or found.get("hostaddr") or found.get("host")
        self.require_allowed(host, found.get("port"), found.get("dbname") or found.get("database"))

    def psycopg2(self, module: Any) -> None:
        original = module._connect

        def connect(dsn: str = "", connection_factory: Any = None, **keywords: Any) -> Any:
            self.libpq(dsn, {}, module.extensions.parse_dsn)
            factory = connection_factory or module.extensions.connection
            return original(dsn, connection_factory=factory, **keywords)

        module._connect = connect

    def psycopg2_extensions(self, module: Any) -> None:
        check = self.libpq

        class Connection(module.connection):  # type: ignore[misc]
            """psycopg2's own connection, which can be opened without psycopg2.connect."""

            def __init__(self, dsn: str, *args: Any, **keywords: Any) -> None:
                check(dsn, {}, module.parse_dsn)
                super().__init__(dsn, *args, **keywords)

        module.connection = Connection

    def psycopg(self, module: Any) -> None:
        cls = getattr(module, "AsyncConnection", None) or module.Connection
        original = cls.connect.__func__

        def connect(cls_: Any, conninfo: str = "", *args: Any, **keywords: Any) -> Any:
            from psycopg.conninfo import conninfo_to_dict  # type: ignore[import-not-found]

            self.libpq(conninfo, keywords, conninfo_to_dict)
            return original(cls_, conninfo, *args, **keywords)

        cls.connect = classmethod(connect)

    def asyncpg(self, module: Any) -> None:
        original = module._connect_addr

        async def connect(**keywords: Any) -> Any:
            where, database = keywords["addr"], keywords["params"].database
            if isinstance(where, str):
                folder, _, port = where.rpartition("/.s.PGSQL.")
                where = (folder, port)
            self.require_allowed(where[0], where[1], database)
            return await original(**keywords)

        module._connect_addr = connect

    def pg8000(self, module: Any) -> None:
        original = module.CoreConnection.__init__
        signature = inspect.signature(original)

        def connect(connection: Any, *args: Any, **keywords: Any) -> None:
            given = signature.bind(connection, *args, **keywords).arguments
            host, port = given.get("host") or "localhost", given.get("port", 5432)
            if given.get("unix_sock"):
                host, _, port = os.fsdecode(given["unix_sock"]).rpartition("/.s.PGSQL.")
            self.require_allowed(host, port, given.get("database") or given["user"])
            original(connection, *args, **keywords)

        module.CoreConnection.__init__ = connect
