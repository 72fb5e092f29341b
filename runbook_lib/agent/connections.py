"""Connections: every one goes to the request's address, or is denied."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import json
import os
import re
import sys
from typing import Any, Callable  # noqa: UP035  (Python 3.9 at run time)

from runbook_lib.agent.drivers import Patches
from runbook_lib.agent.wire import MissingDriver, Refused, explain

ADDRESS_KEYS = re.compile(
    r"^(host|hostaddr|hosts|port|user|username|password|passfile|passcode|dbname|database|dsn|"
    r"service|servicefile|ssl.*|gss.*|krb.*|channel_binding|require_auth|requirepeer|"
    r"target_session_attrs|load_balance_hosts|unix_sock.*|source_address|async_creator_fn|"
    r"direct_tls|replication|creator|connection_factory)$"
)
DRIVERS = ("psycopg2", "psycopg", "pg8000", "asyncpg")
LOCAL = ("localhost", "127.0.0.1", "::1", "")


def missing_driver(name: str) -> MissingDriver:
    """Say which driver the URL asks for, which there are, and what to write instead."""
    there = [driver for driver in DRIVERS if importlib.util.find_spec(driver)]
    plain = (
        " SQLAlchemy 2.1 takes a URL that names no driver, such as {url}, for psycopg's."
        if name == "psycopg"
        else ""
    )
    driver = there[0] if there else name
    plain_place = "{user}:{password}@{host}:{port}/{database}"
    place = "{user}@localhost:{port}/{database}?host={host}&port={port}"
    url = f"postgresql+{driver}://{plain_place if driver == 'pg8000' else place}"
    return MissingDriver(
        "configuration",
        f"The project asks for the driver {name}, which its interpreter lacks; it has "
        f"{', '.join(there) or 'none'}.{plain}",
        f"Name the driver in [project.env] of runbook.toml: DATABASE_URL = {json.dumps(url)}"
        if there
        else f"Install {name} where [project] python points to.",
    )


class Redirect:
    """Sends every connection to one address, and denies those that cannot be sent.

    ``connecting`` is called before each of them that is allowed.
    """

    def __init__(
        self, request: dict[str, Any], connecting: Callable[[], None] | None = None
    ) -> None:
        self.connecting = connecting
        self.address: dict[str, Any] = request["address"]
        self.forbidden: dict[str, Any] | None = request.get("forbid")
        self.session: list[str] = request.get("session", [])
        self.failure = ""

    def install(self) -> None:
        """Has to run before anything of the project is imported."""
        patches = Patches(self.require_allowed)
        sys.meta_path.insert(0, patches)
        for name, guard in patches.guards.items():
            if name in sys.modules:
                guard(sys.modules[name])
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.pool import Pool

        event.listen(Engine, "do_connect", self.do_connect)
        event.listen(Pool, "connect", self.prepare)
        self._drop_creators()
        if self.forbidden and self._elsewhere(
            self.forbidden["host"], self.forbidden["port"], self.address["database"]
        ):
            sys.addaudithook(self.audit)

    def _drop_creators(self) -> None:
        """An engine with a ``creator`` would connect by itself, past ``do_connect``."""
        import sqlalchemy

        original = sqlalchemy.create_engine

        def create_engine(*args: Any, **keywords: Any) -> Any:
            keywords.pop("creator", None)
            try:
                return original(*args, **keywords)
            except ModuleNotFoundError as error:
                if error.name not in DRIVERS:
                    raise
                raise missing_driver(str(error.name)) from None

        for name in ("sqlalchemy", "sqlalchemy.engine", "sqlalchemy.engine.create"):
            module: Any = sys.modules.get(name)
            if module is not None:
                module.create_engine = create_engine
        late: Any = sys.modules.get("sqlalchemy.ext.asyncio.engine")
        if late is not None:
            late._create_engine = create_engine

    def do_connect(self, dialect: Any, record: Any, cargs: Any, cparams: Any) -> Any:
        """Make the connection, so that no later listener can lead it elsewhere."""
        if dialect.name != "postgresql":
            raise Refused(
                "configuration",
                f"The project's env.py connects to a {dialect.name} database, not to PostgreSQL.",
                "Set what env.py reads in [project.env] of runbook.toml, for example "
                'DATABASE_URL = "{url}".',
            )
        kept = {key: value for key, value in cparams.items() if not ADDRESS_KEYS.match(key)}
        try:
            return dialect.connect(**self.parameters(dialect.driver, kept))
        except Refused:
            raise
        except Exception as error:
            self.failure = explain(error)
            raise

    def parameters(self, driver: str, kept: dict[str, Any]) -> dict[str, Any]:
        """Return the driver's keywords for the address; ``kept`` are those that are no address."""
        address = self.address
        known = {name: address[name] for name in ("host", "port", "user", "password")}
        known = {name: value for name, value in known.items() if value}
        if driver == "asyncpg":
            mode = address["options"].get("sslmode")
            extra = {"ssl": mode} if mode else {}
            return {**kept, **known, **extra, "database": address["database"]}
        if driver == "pg8000":
            return {**kept, **self._pg8000(known), "database": address["database"]}
        options = " ".join(filter(None, (address["options"].get("options"), kept.get("options"))))
        more = {**address["options"], **({"options": options} if options else {})}
        return {**kept, **more, **known, "dbname": address["database"]}

    def _pg8000(self, known: dict[str, Any]) -> dict[str, Any]:
        known.setdefault("user", getpass.getuser())
        if self.address["socket"]:
            path = f"{known.pop('host')}/.s.PGSQL.{known.pop('port')}"
            return {**known, "unix_sock": path}
        mode = self.address["options"].get("sslmode", "")
        if mode in ("require", "verify-ca", "verify-full"):
            known["ssl_context"] = ssl_context(mode, self.address["options"].get("sslrootcert"))
        return known

    def prepare(self, connection: Any, record: Any) -> None:
        """Set timeouts and the like on a new connection."""
        if self.session:
            cursor = connection.cursor()
            for statement in self.session:
                cursor.execute(statement)
            cursor.close()
            connection.commit()

    def require_allowed(self, host: Any, port: Any, database: Any) -> None:
        """Deny a connection that a driver was asked for, unless it goes to the address."""
        hosts = host if isinstance(host, (list, tuple)) else str(host or "").split(",")
        if any(self._elsewhere(item, port, database) for item in hosts):
            where = f"{','.join(map(str, hosts))}:{port or self.address['port']}/{database or ''}"
            raise Refused(
                "safety",
                f"The project opens a connection of its own to {where}; it was denied.",
                "Connect through SQLAlchemy's engine in env.py, or set what the project reads in "
                '[project.env] of runbook.toml, for example DATABASE_URL = "{url}".',
            )
        if self.connecting:
            self.connecting()

    def _elsewhere(self, host: Any, port: Any, database: Any) -> bool:
        mine = self.address
        host = str(host or mine["host"])
        same_host = host == str(mine["host"]) or (host in LOCAL and mine["host"] in LOCAL)
        same_port = str(port or mine["port"]) == str(mine["port"])
        return not (same_host and same_port and (database or mine["database"]) == mine["database"])

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """The last line of defence against drivers written in Python: no socket to the target."""
        if event != "socket.connect" or not self.forbidden:
            return
        where = args[1]
        host, port = str(self.forbidden["host"]), self.forbidden["port"]
        if isinstance(where, (str, bytes)):
            denied = os.fsdecode(where) == f"{host}/.s.PGSQL.{port}"
        else:
            denied = where[1] == port and (where[0] == host or where[0] in addresses(host))
        if denied:
            raise Refused("safety", "A connection to the environment's own database was denied.")


def addresses(host: str) -> frozenset[str]:
    """Return the numeric addresses of a host; none when its name is not known here."""
    import socket

    if host not in KNOWN_ADDRESSES:
        KNOWN_ADDRESSES[host] = frozenset()
        with contextlib.suppress(OSError):
            found = socket.getaddrinfo(host, None)
            KNOWN_ADDRESSES[host] = frozenset(str(item[4][0]) for item in found)
    return KNOWN_ADDRESSES[host]


KNOWN_ADDRESSES: dict[str, frozenset[str]] = {}


def ssl_context(mode: str, root: str | None) -> Any:
    import ssl

    context = ssl.create_default_context(cafile=root or None)
    context.check_hostname = mode == "verify-full"
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context
