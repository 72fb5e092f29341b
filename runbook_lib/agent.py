"""The agent: one self-contained script that runs in the project's own interpreter.

``project`` sends this file's text over standard input, followed by one JSON line, the request;
it never imports it for its functions. Python 3.9 or newer, the standard library, and what every
Alembic project has: alembic (1.7 or newer) and sqlalchemy (1.4 to 2.1), with any driver.

Answers are JSON lines on the original standard output. Whatever the project prints goes to
standard error instead. When standard input closes, whoever sent the request is gone, and the
agent ends at once, so that nothing runs on unseen in a container.

Two rules keep a replay away from the target. Every SQLAlchemy engine is sent to the request's
address, whatever its own URL says, at the ``do_connect`` event. Every connection that a driver is
asked for directly is denied unless it goes to that same address.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import getpass
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tokenize
import traceback
import types
from typing import Any, Callable, Iterable, Iterator  # noqa: UP035  (Python 3.9 at run time)
from urllib.parse import quote

PLAIN_NAME = re.compile(r"^[a-z_][a-z0-9_]*$")
REVISION_FILE = re.compile(r"(?!\.#|__init__)(.*\.py)$")
TABLE_PARTS = ("table", "foreign_table", "column", "constraint", "trigger", "rule", "policy")
TAIL = 20_000  # characters of a check's output that are of interest


class Refused(Exception):
    """Something that a person has to mend; ``kind`` names the error class on the other side."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.hint = kind, message, hint


class Channel:
    """The original standard output, taken away from everyone else in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, **fields}, default=str)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


CHILDREN: list[subprocess.Popen[str]] = []


def watch_input() -> None:
    """End the process when the other side of standard input is gone."""
    given = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def watch() -> None:
        while os.read(given, 1024):
            pass
        for child in CHILDREN:
            kill_group(child)
        os._exit(70)

    threading.Thread(target=watch, daemon=True).start()


def kill_group(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)


# Surroundings ------------------------------------------------------------------------------------


def enter_project(request: dict[str, Any]) -> None:
    """Go to the project's folder, with the environment that its ``env.py`` reads."""
    try:
        os.chdir(request["root"])
    except OSError as error:
        raise Refused(
            "configuration",
            f"The project's folder {request['shown_root']} cannot be entered ({error.strerror}).",
            "Set [project] root to the folder that holds alembic.ini, as the project's own "
            "machine or container sees it.",
        ) from None
    sys.dont_write_bytecode = True  # the project's files are not ours to touch
    set_variables(request)


def set_variables(request: dict[str, Any]) -> None:
    """Set ``[project.env]`` and libpq's variables, so that defaults lead to the given address."""
    address = request.get("address")
    if address:
        for name in [name for name in os.environ if name.startswith("PG")]:
            del os.environ[name]
        os.environ.update(address["environ"])
        redirect_variables(address, request.get("forbid"))
    for name, value in request.get("env", {}).items():
        os.environ[name] = substituted(value, address)


def redirect_variables(address: dict[str, Any], forbidden: dict[str, Any] | None) -> None:
    """Give variables that hold the forbidden database's URL the allowed one, driver kept."""
    for name, value in list(os.environ.items()):
        found = re.match(r"(postgres[\w+]*)://(?:[^@/]*@)?([^/?]*)/([^?]*)", value)
        if found and forbidden and found[3] == forbidden["database"]:
            os.environ[name] = found[1] + address["url"][len("postgresql") :]


def substituted(text: str, address: dict[str, Any] | None) -> str:
    """Replace ``{url} {host} {port} {user} {password} {database} {socket}``.

    Within a URL, user, password and database are percent-encoded as URLs want them.
    """
    names = ("url", "host", "port", "user", "password", "database", "socket")
    values = {f"{{{name}}}": str((address or {}).get(name, "")) for name in names}
    if "://" in text:
        for name in ("{user}", "{password}", "{database}"):
            values[name] = quote(values[name], safe="")
    return re.sub(r"\{[a-z]+\}", lambda found: values.get(found[0], found[0]), text)


# Connections -------------------------------------------------------------------------------------

ADDRESS_KEYS = re.compile(
    r"^(host|hostaddr|hosts|port|user|username|password|passfile|passcode|dbname|database|dsn|"
    r"service|servicefile|ssl.*|gss.*|krb.*|channel_binding|require_auth|requirepeer|"
    r"target_session_attrs|load_balance_hosts|unix_sock.*|source_address|async_creator_fn|"
    r"direct_tls|replication|creator|connection_factory)$"
)
LOCAL = ("localhost", "127.0.0.1", "::1", "")


class Redirect:
    """Sends every connection to one address, and denies those that cannot be sent."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.address: dict[str, Any] = request["address"]
        self.forbidden: dict[str, Any] | None = request.get("forbid")
        self.session: list[str] = request.get("session", [])
        self.failure = ""

    def install(self) -> None:
        """Has to run before anything of the project is imported."""
        patches = Patches(self)
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
            return original(*args, **keywords)

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


class Patches(importlib.abc.MetaPathFinder):
    """Guards each driver right after it was imported, whoever imports it."""

    def __init__(self, redirect: Redirect) -> None:
        self.redirect = redirect
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
        self.redirect.require_allowed(
            host, found.get("port"), found.get("dbname") or found.get("database")
        )

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
            self.redirect.require_allowed(where[0], where[1], database)
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
            self.redirect.require_allowed(host, port, given.get("database") or given["user"])
            original(connection, *args, **keywords)

        module.CoreConnection.__init__ = connect


# The project's Alembic ---------------------------------------------------------------------------


def load_alembic() -> None:
    """Import Alembic before the project's folder is on the path: it may hold an ``alembic``."""
    for name in ("alembic", "sqlalchemy"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise Refused(
                "configuration",
                f"The interpreter cannot import {name}: {error}.",
                "Set [project] python to the interpreter of the project's virtual environment.",
            ) from None
    importlib.import_module("alembic.config")


def load_config(request: dict[str, Any], stdout: Any = None) -> Any:
    """Read ``alembic.ini`` (or ``[tool.alembic]``) as Alembic's command line does."""
    from alembic.config import Config

    ini, section = request["ini"], request["section"]
    toml = "toml_file" in inspect.signature(Config.__init__).parameters and has_tool_section()
    if not os.path.isfile(ini) and not toml:
        raise Refused(
            "configuration",
            f"There is no {ini} in the project's folder {request['shown_root']}.",
            "Set [project] root and ini in runbook.toml.",
        )
    options = [substituted(item, request.get("address")) for item in request["x"]]
    namespace = argparse.Namespace(x=options or None, config=ini, name=section)
    keywords: dict[str, Any] = {"ini_section": section, "cmd_opts": namespace}
    keywords.update({"stdout": stdout} if stdout else {})
    keywords.update({"toml_file": "pyproject.toml"} if toml else {})
    config = Config(ini if os.path.isfile(ini) else None, **keywords)
    require_section(config, request, toml)
    fill_url(config, request.get("address"))
    return config


def has_tool_section() -> bool:
    try:
        with open("pyproject.toml", encoding="utf-8") as stream:
            return "[tool.alembic" in stream.read()
    except OSError:
        return False


def require_section(config: Any, request: dict[str, Any], toml: bool) -> None:
    import configparser

    try:
        sections = config.file_config.sections()
    except configparser.Error as error:
        words = " ".join(str(error).split())
        raise Refused(
            "configuration", f"{request['ini']} cannot be read: {words}.", "Mend it."
        ) from None
    if request["section"] not in sections and not toml:
        raise Refused(
            "configuration",
            f"{request['ini']} has no section [{request['section']}]; it has: "
            f"{', '.join(sections) or 'none'}.",
            "Set [project] section in runbook.toml.",
        )


def fill_url(config: Any, address: dict[str, Any] | None) -> None:
    """Give ``sqlalchemy.url`` a value where the ini has none or the template's placeholder."""
    if not address:
        return
    try:
        given = config.get_main_option("sqlalchemy.url")
    except Exception:
        return
    if not given or given.startswith("driver://"):
        drivers = [name for name in ("psycopg2", "psycopg", "pg8000", "asyncpg") if has(name)]
        driver = f"+{drivers[0]}" if drivers else ""
        url = "postgresql" + driver + address["url"][len("postgresql") :]
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def load_script(config: Any, request: dict[str, Any]) -> Any:
    """Build Alembic's ScriptDirectory, which imports neither env.py nor any revision."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    root = os.getcwd()
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        return ScriptDirectory.from_config(config)
    except (CommandError, ImportError, ModuleNotFoundError, TypeError, ValueError) as error:
        words = str(error).replace(root + os.sep, "").replace(root, ".")
        raise Refused(
            "configuration",
            f"Alembic cannot use [{request['section']}] of {request['ini']}: {words}.",
            "Check script_location and version_locations; relative ones are looked for in the "
            f"project's folder {request['shown_root']}.",
        ) from None


def version_locations(script: Any) -> list[str]:
    """Return the absolute paths of the version locations, in Alembic's order."""
    return [os.path.abspath(str(path)) for path in script._version_locations]


def relative(path: str, locations: list[str]) -> str:
    """Return ``path`` relative to the project's root, else ``n:path`` of the n-th location."""
    root = os.getcwd()
    for base in (root, os.path.realpath(root)):
        if path == base or path.startswith(base + os.sep):
            return os.path.relpath(path, base).replace(os.sep, "/")
    for number, location in enumerate(locations):
        if path == location or path.startswith(location + os.sep):
            inner = os.path.relpath(path, location).replace(os.sep, "/")
            return f"{number}:{'' if inner == '.' else inner}"
    return os.path.basename(path)


def absolute(path: str, locations: list[str]) -> str:
    """Undo ``relative``."""
    number, colon, inner = path.partition(":")
    if colon and number.isdigit():
        return os.path.normpath(os.path.join(locations[int(number)], inner))
    return os.path.normpath(os.path.join(os.getcwd(), path))


def decoded(data: bytes) -> str:
    """Return a Python file's text, by its own coding line; newlines are kept as they are."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return data.decode("utf-8", errors="replace")


def read(path: str) -> str | None:
    try:
        with open(path, "rb") as stream:
            return decoded(stream.read())
    except OSError:
        return None


# Collecting --------------------------------------------------------------------------------------


def collect(request: dict[str, Any], channel: Channel) -> None:
    """Send the text of every revision file, importing none of them."""
    load_alembic()
    config = load_config(request)
    script = load_script(config, request)
    locations = version_locations(script)
    if not any(os.path.isdir(path) for path in locations):
        shown = ", ".join(relative(path, locations) for path in locations)
        raise Refused(
            "configuration",
            f"There is no version location: {shown} is not in the project's folder "
            f"{request['shown_root']}.",
            "Check version_locations and script_location in the ini file.",
        )
    paths = [path for place in locations for path in python_files(place, script)]
    channel.send(
        "collected",
        files={relative(path, locations): read(path) or "" for path in paths},
        locations=[relative(path, locations) for path in locations],
        sourceless=[relative(path, locations) for path in sourceless(locations)],
        script_location=relative(os.path.abspath(str(script.dir)), locations),
        context=context_digest(request, script, set(paths)),
        versions=versions(),
    )


def python_files(location: str, script: Any) -> Iterator[str]:
    """Give the files that Alembic takes for revisions, sorted within each folder."""
    deep = bool(getattr(script, "recursive_version_locations", False))
    for folder, folders, names in os.walk(location):
        folders[:] = sorted(name for name in folders if name != "__pycache__") if deep else []
        for name in sorted(names):
            if REVISION_FILE.match(name):
                yield os.path.join(folder, name)


def sourceless(locations: list[str]) -> Iterator[str]:
    for location in locations:
        names = set(os.listdir(location)) if os.path.isdir(location) else set()
        for name in sorted(names):
            if name.endswith((".pyc", ".pyo")) and name[:-1] not in names:
                yield os.path.join(location, name)


def context_digest(request: dict[str, Any], script: Any, revisions: set[str]) -> str:
    """Return a digest over what besides revision files decides what a revision does."""
    known = hashlib.sha256(json.dumps([request["x"], installed()], sort_keys=True).encode())
    places = [os.path.abspath(str(script.dir)), *version_locations(script)]
    found = {path for place in places for path in context_files(place)} - revisions
    inis = [os.path.abspath(name) for name in (request["ini"], "pyproject.toml")]
    for path in sorted(found) + [path for path in inis if os.path.isfile(path)]:
        known.update(relative(path, places).encode() + b"\0" + file_digest(path).encode())
    return known.hexdigest()


def context_files(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and name[0] != "."]
        for name in names:
            if not name.endswith((".mako", ".pyc", ".pyo", ".md", ".rst")) and name != "README":
                yield os.path.join(place, name)


def file_digest(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return ""


def installed() -> list[str]:
    """Return the names, with versions, of everything installed for this interpreter."""
    names = {sys.version}
    for folder in filter(os.path.isdir, sys.path):
        names.update(name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg")))
    return sorted(names)


def versions() -> dict[str, str]:
    import alembic
    import sqlalchemy

    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, "alembic": alembic.__version__, "sqlalchemy": sqlalchemy.__version__}


def loaded_sources() -> dict[str, str]:
    """Return the digests of the project's own modules that the run imported, by their path.

    They decide what a revision does as much as its own file, so a cache has to know them.
    """
    root = os.getcwd() + os.sep
    library = os.path.dirname(os.__file__)
    outside = tuple(
        os.path.join(path, "") for path in {library, *(p for p in sys.path if "-packages" in p)}
    )
    found: dict[str, str] = {}
    for module in list(sys.modules.values()):
        path = str(getattr(module, "__file__", None) or "")
        if path.startswith(root) and path.endswith(".py") and not path.startswith(outside):
            found[os.path.relpath(path, root)] = file_digest(path)
    return found


def digests(request: dict[str, Any], channel: Channel) -> None:
    channel.send("digests", files={path: file_digest(path) for path in request["paths"]})


# Edits -------------------------------------------------------------------------------------------


class Overlay:
    """A copy of the version locations with edits applied; everything around them is linked."""

    def __init__(self, script: Any, edits: list[dict[str, Any]]) -> None:
        self.root = os.getcwd()
        self.locations = version_locations(script)
        self.script_folder = os.path.abspath(str(script.dir))
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="runbook-tree-"))
        self.edits = edits

    def build(self) -> None:
        edited = [absolute(edit["path"], self.locations) for edit in self.edits]
        for path, edit in zip(edited, self.edits):  # noqa: B905
            self._require_place(path, edit["path"])
        real = {*self.locations, *(self._home(path) for path in edited)}
        real = {path for path in real if os.path.isdir(path)}
        if any(self._inside(path) for path in real):
            self._expose(self.root, self.copy_of(self.root), real)
        for path in real:
            if not os.path.exists(self.copy_of(path)):
                self._copy(path, self.copy_of(path))
        for path, edit in zip(edited, self.edits):  # noqa: B905
            self._apply(path, edit)

    def _home(self, path: str) -> str:
        """Return the folder that is copied for the sake of an edited file."""
        fitting = [place for place in self.locations if path.startswith(place + os.sep)]
        return fitting[0] if fitting else self.script_folder

    def _require_place(self, path: str, shown: str) -> None:
        places = (self.script_folder, *self.locations)
        if not any(path.startswith(place + os.sep) for place in places):
            raise Refused(
                "project",
                f"The edit of {shown} lies outside script_location and version_locations.",
                "Edits may change the Alembic tree only.",
            )

    def _inside(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + os.sep)

    def copy_of(self, path: str) -> str:
        if self._inside(path):
            return os.path.normpath(
                os.path.join(self.folder, "root", os.path.relpath(path, self.root))
            )
        return os.path.join(self.folder, "outside", *path.split(os.sep)[1:])

    def _expose(self, source: str, copy: str, real: set[str]) -> None:
        """Fill ``copy`` with links to what ``source`` holds; folders in ``real`` are copied."""
        if source in real:
            return self._copy(source, copy)
        os.makedirs(copy)
        for name in os.listdir(source):
            path, twin = os.path.join(source, name), os.path.join(copy, name)
            if any(item == path or item.startswith(path + os.sep) for item in real):
                self._expose(path, twin, real)
            else:
                os.symlink(path, twin)
        return None

    def _copy(self, source: str, copy: str) -> None:
        ignore = shutil.ignore_patterns("__pycache__", ".git", ".venv", "node_modules")
        shutil.copytree(source, copy, ignore=ignore, dirs_exist_ok=True)

    def _apply(self, path: str, edit: dict[str, Any]) -> None:
        copy = self.copy_of(path)
        if read(copy) != edit["before"]:
            raise Refused(
                "project",
                f"{edit['path']} is not what the edit was made for.",
                "The file changed since; make the plan again.",
            )
        if edit["after"] is None:
            os.remove(copy)
            return
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        with open(copy, "w", encoding="utf-8", newline="") as stream:
            stream.write(edit["after"])

    def use(self) -> None:
        """Make every ScriptDirectory of this process read the copy."""
        from alembic.script import ScriptDirectory

        directory: Any = ScriptDirectory
        original = directory.from_config.__func__
        homes = {self._home(absolute(edit["path"], self.locations)) for edit in self.edits}

        def from_config(cls: Any, config: Any) -> Any:
            script = original(cls, config)
            script.version_locations = [self.copy_of(path) for path in self.locations]
            if self.script_folder in homes - set(self.locations):
                script.dir = self.copy_of(self.script_folder)
            return script

        directory.from_config = classmethod(from_config)

    def original(self, path: str) -> str:
        """Return the project's path for a path in the copy."""
        inside = os.path.join(self.folder, "root")
        return path.replace(inside, self.root, 1) if path.startswith(inside) else path

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


# Statements --------------------------------------------------------------------------------------

COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)
LITERALS = re.compile(r"'(?:[^']|'')*'", re.S)
BODIES = re.compile(r"(\$\w*\$).*?\1", re.S)
WRITES = re.compile(
    r"\b(INSERT\s+INTO|UPDATE\s+(ONLY\s+)?[^\s;]+\s+(AS\s+\w+\s+)?SET|DELETE\s+FROM|MERGE\s+INTO|"
    r"TRUNCATE|COPY)\b",
    re.I,
)
ROW_WORDS = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE")
HARMLESS = (*ROW_WORDS, "SET", "RESET", "SHOW", "SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN",
            "SAVEPOINT", "RELEASE", "LOCK")  # fmt: skip
ENDINGS = ("COMMIT", "END", "ROLLBACK", "ABORT")


def parts(statement: str) -> list[str]:
    """Return the statements of a text, without comments, literals and function bodies."""
    text = LITERALS.sub("''", COMMENTS.sub(" ", statement))
    pieces = (part.strip(" \t\r\n(") for part in BODIES.sub(" ", text).split(";"))
    return [part for part in pieces if part]


def word(part: str) -> str:
    found = re.match(r"[A-Za-z]+", part)
    return found[0].upper() if found else ""


def touches_rows(statement: str) -> bool:
    """Say whether a text would change rows, even where the shadow has none."""
    for part in parts(statement):
        first = word(part)
        if first in ROW_WORDS or (first in ("WITH", "EXPLAIN") and WRITES.search(part)):
            return True
        if first == "DO" and WRITES.search(COMMENTS.sub(" ", statement)):
            return True
    return False


def may_change_schema(statement: str) -> bool:
    """Say whether a text could change the catalog. Errs on the side of yes."""
    for part in parts(statement):
        first = word(part)
        if first not in HARMLESS:
            return True
        if first in ("SELECT", "WITH", "TABLE", "EXPLAIN", "VALUES"):
            reads_catalog = "pg_catalog." in part
            if re.search(r"\bINTO\b", part, re.I) or ("(" in part and not reads_catalog):
                return True
    return False


def as_written(statement: str, context: Any) -> str:
    """Undo what SQLAlchemy's compiler does to percent signs for some drivers."""
    doubled = getattr(context, "compiled", None) is not None
    if doubled and context.dialect.paramstyle in ("format", "pyformat"):
        statement = statement.replace("%%", "%")
    return statement.strip()


NAME = r'((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))*)'
SIMPLE = {
    "table": rf"CREATE TABLE (?:IF NOT EXISTS )?{NAME} ?\("
    r"(?!.*\b(?:LIKE|INHERITS|PARTITION|AS)\b)",
    "index": rf"CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?{NAME} ON {NAME}",
    "alter": rf"ALTER TABLE (?:IF EXISTS )?{NAME} (?!.*\b(?:RENAME|SCHEMA|ATTACH|DETACH|INHERIT|"
    r"OWNER|CASCADE|OF|TRIGGER|RULE|PARTITION|TABLESPACE)\b)(?:ADD|DROP|ALTER|VALIDATE)\b",
    "drop table": rf"DROP TABLE (?:IF EXISTS )?{NAME}$",
    "drop index": rf"DROP INDEX (?:CONCURRENTLY )?(?:IF EXISTS )?{NAME}$",
}


def simple_tables(statement: str) -> list[tuple[str, str]] | None:
    """Return (form, table or index) of statements that change nothing beyond one table.

    None: the text has a statement of another kind, whose reach only the whole catalog shows.
    """
    found: list[tuple[str, str]] = []
    for part in parts(statement) if may_change_schema(statement) else []:
        text = re.sub(r"\bON (DELETE|UPDATE) CASCADE\b", "", " ".join(part.split()), flags=re.I)
        forms = ((form, re.match(pattern, text, re.I)) for form, pattern in SIMPLE.items())
        hit = next(((form, match) for form, match in forms if match), None)
        if hit is None and may_change_schema(part):
            return None
        if hit:
            found.append((hit[0], hit[1][hit[1].re.groups]))
    return found


def is_reflection(statement: str) -> bool:
    """SQLAlchemy's own questions to the catalog are no part of what a revision does."""
    return statement.lstrip()[:6].upper() == "SELECT" and "pg_catalog." in statement


def ends_transaction(statement: str) -> bool:
    ending = [part for part in parts(statement) if word(part) in ENDINGS]
    return any(not re.match(r"ROLLBACK\s+(\w+\s+)?TO\b", part, re.I) for part in ending)


# Running -----------------------------------------------------------------------------------------


class Record:
    """What is known of one revision while it runs."""

    def __init__(self, revision_id: str) -> None:
        self.revision_id = revision_id
        self.statements: list[str] = []
        self.changes: list[list[Any]] = []
        self.seconds = 0.0
        self.rows = 0
        self.touches_rows = False
        self.commits_inside = False
        self.autocommit = False
        self.lost = False
        self.first_error = ""

    def facts(self) -> dict[str, Any]:
        names = ("statements", "changes", "seconds", "rows", "touches_rows", "commits_inside",
                 "autocommit", "lost")  # fmt: skip
        return {"revision": self.revision_id, **{name: getattr(self, name) for name in names}}


class Runner:
    """Runs the project's env.py with functions of our own in place of Alembic's commands."""

    def __init__(self, request: dict[str, Any], channel: Channel) -> None:
        self.request = request
        self.channel = channel
        self.replaying = request["op"] == "replay"
        self.redirect = Redirect(request)
        self.context: Any = None
        self.settings: dict[str, Any] = {}
        self.current: Record | None = None
        self.capturing = False
        self.in_block = False
        self.catalog: dict[str, Any] | None = None
        self.catalog_text = ""
        self.version_table = ""
        self.prepared = False
        self.partial = False
        self.triggers = False
        self.promised: set[str] | None = None
        self.finished: list[str] = []
        self.failed: set[str] = set()
        self.tainted = False
        self.roles: set[str] = set()
        self.keywords: dict[str, Any] = {}
        self.overlay: Overlay | None = None

    # Set-up

    def start(self) -> None:
        """Import Alembic, put every hook in its place, then load the tree's configuration."""
        load_alembic()
        self.redirect.install()
        self.config = load_config(self.request)
        self.script = load_script(self.config, self.request)
        if self.request.get("edits"):
            self.overlay = Overlay(self.script, self.request["edits"])
            self.overlay.build()
            self.overlay.use()
            self.script = load_script(self.config, self.request)
        self._hook_alembic()
        self._hook_statements()
        if self.replaying:
            self._hook_loading()

    def _hook_alembic(self) -> None:
        from alembic.runtime import migration
        from alembic.runtime.environment import EnvironmentContext

        configure, runner = EnvironmentContext.configure, self
        run_migrations = migration.MigrationContext.run_migrations
        update_to_step = migration.HeadMaintainer.update_to_step
        autocommit_block = migration.MigrationContext.autocommit_block

        def configured(env: Any, *args: Any, **keywords: Any) -> None:
            runner.settings = dict(keywords)
            if runner.replaying:
                keywords["transaction_per_migration"] = True
            configure(env, *args, **keywords)
            runner.configured(env.get_context())

        def running(context: Any, **keywords: Any) -> None:
            runner.keywords = keywords
            run_migrations(context, **keywords)
            if runner.request.get("commit"):
                runner.settle()

        def updated(maintainer: Any, step: Any) -> None:
            update_to_step(maintainer, step)
            runner.promised = set(maintainer.heads)

        @contextlib.contextmanager
        def block(context: Any) -> Iterator[None]:
            if runner.current:
                runner.current.autocommit = True
            runner.in_block = True
            try:
                with autocommit_block(context):
                    yield
            finally:
                runner.in_block = False

        replacements: list[tuple[Any, str, Any]] = [
            (EnvironmentContext, "configure", configured),
            (migration.MigrationContext, "run_migrations", running),
            (migration.MigrationContext, "autocommit_block", block),
            (migration.HeadMaintainer, "update_to_step", updated),
        ]
        for owner, name, function in replacements:
            setattr(owner, name, function)

    def _hook_statements(self) -> None:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, "before_cursor_execute", self.before_statement)
        event.listen(Engine, "after_cursor_execute", self.after_statement)
        event.listen(Engine, "commit", self.after_commit)
        event.listen(Engine, "handle_error", self.on_error)

    def _hook_loading(self) -> None:
        """A revision that cannot be imported fails by itself and not with the whole tree."""
        util: Any = importlib.import_module("alembic.util")
        load = util.load_python_file

        def load_python_file(folder: Any, name: Any) -> Any:
            try:
                return load(folder, name)
            except Exception as error:
                path = os.path.join(str(folder), str(name))
                stub = None if str(name) == "env.py" else stub_module(path, error)
                if stub is None:
                    raise
                return stub

        util.load_python_file = load_python_file

    # What env.py configured

    def configured(self, context: Any) -> None:
        """Note the migration context; in a replay, let its version table hold ids of any length."""
        if context.connection is None:
            return
        self.context = context
        if self.replaying:
            from sqlalchemy import Text

            context._version.c.version_num.type = Text()
            self._prepare_version_table(context)

    def _prepare_version_table(self, context: Any) -> None:
        quote = context.dialect.identifier_preparer.quote
        schema = context.version_table_schema
        name = quote(context.version_table)
        name = f"{quote(schema)}.{name}" if schema else name
        widen = f"ALTER TABLE IF EXISTS {name} ALTER COLUMN version_num TYPE text"
        idle = not self.in_transaction()
        if schema:
            self.raw(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}", fetch=False)
        self.raw(widen, fetch=False)
        if idle:
            self.driver_connection().commit()

    def describe(self) -> dict[str, Any]:
        context, settings = self.context, self.settings
        locations = version_locations(self.script)
        return {
            **versions(),
            "driver": context.dialect.driver,
            "driver_version": driver_version(context.dialect),
            "is_async": bool(getattr(context.dialect, "is_async", False)),
            "script_location": relative(os.path.abspath(str(self.script.dir)), locations),
            "version_table": context.version_table,
            "version_table_schema": context.version_table_schema or "",
            "transaction_per_migration": bool(settings.get("transaction_per_migration", False)),
            "has_metadata": settings.get("target_metadata") is not None,
            "include_schemas": bool(settings.get("include_schemas", False)),
        }

    # Talking to the database without SQLAlchemy noticing

    def in_transaction(self) -> bool:
        return bool(self.context.connection.in_transaction())

    def driver_connection(self) -> Any:
        return self.context.connection.connection

    def raw(self, statement: str, *, fetch: bool = True) -> Any:
        """Run one statement on the migration's own connection; return its first row."""
        cursor = self.driver_connection().cursor()
        try:
            cursor.execute(statement)
            return cursor.fetchone() if fetch else None
        finally:
            cursor.close()

    def moment(self) -> Any:
        """Return what tells one transaction from the next: its start, backend and id."""
        try:
            row = self.raw(
                "SELECT CAST(now() AS text), pg_backend_pid(),"
                " CAST(txid_current_if_assigned() AS text),"
                " (SELECT count(*) FROM pg_prepared_statements WHERE name = 'runbook_snapshot')"
            )
            self.prepared = bool(row[3])
            return tuple(row)
        except Exception:
            return None  # the transaction is aborted or the connection gone: the caller will see

    def snapshot(self, tables: str = "") -> str:
        """Read the catalog's JSON text in the running transaction, settings restored after it.

        ``tables`` is an array of oids, as a literal, when only those tables are of interest.
        """
        given = self.request["snapshot"]
        driver = self.driver_connection()
        alone = bool(getattr(driver, "autocommit", False))
        if alone:
            self.raw("BEGIN", fetch=False)
        self.raw(given["prepare"], fetch=False)
        if not alone and not self.raw("SELECT current_setting('runbook.jit', true)")[0]:
            alone = True  # the revision sent COMMIT itself, and the driver has not noticed
            self.raw("BEGIN", fetch=False)
            self.raw(given["narrow" if tables else "prepare"], fetch=False)
        if not self.prepared:  # planning it takes longer than running it
            self.raw(f"PREPARE runbook_snapshot AS {given['query']}", fetch=False)
            if given.get("part"):
                self.raw(f"PREPARE runbook_part (oid[]) AS {given['part']}", fetch=False)
            self.prepared = True
        (text,) = self.raw(f"EXECUTE runbook_{f'part ({tables})' if tables else 'snapshot'}")
        self.raw(given["restore"], fetch=False)
        if alone:
            self.raw("COMMIT", fetch=False)
        return str(text)

    def _parse(self, text: str) -> dict[str, Any]:
        objects = json.loads(text)
        table = self.version_table
        return {key: value for key, value in objects.items() if not belongs(key, value, table)}

    def _find_version_table(self) -> None:
        """Note the version table's name as the snapshot spells it."""
        name = self.context.version_table
        schema = self.context.version_table_schema
        if not schema:
            (schema,) = self.raw("SELECT current_schema()")
        self.version_table = f"{spelled(str(schema))}.{spelled(name)}"

    # Events of SQLAlchemy

    def before_statement(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        record = self.current
        if not self.capturing or record is None:
            return
        if ends_transaction(statement) and not self.in_block:
            record.commits_inside = True
        if is_reflection(statement):
            return
        text = as_written(statement, context)
        record.statements.append(text)
        record.touches_rows = record.touches_rows or touches_rows(text)
        if not self.replaying:
            self.channel.send("statement", revision=record.revision_id, text=text)

    def after_statement(self, conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if self.capturing and self.current:
            pieces = parts(statement)
            if pieces and word(pieces[-1]) in (*ROW_WORDS, "WITH"):
                self.current.rows += max(0, getattr(cursor, "rowcount", 0) or 0)

    def after_commit(self, conn: Any) -> None:
        if self.capturing and self.current and not self.in_block and self._is_ours(conn):
            self.current.commits_inside = not self._entering_block()

    def _is_ours(self, conn: Any) -> bool:
        try:
            return bool(
                conn.connection.dbapi_connection
                is self.context.connection.connection.dbapi_connection
            )
        except Exception:
            return False  # fmt: skip

    def _entering_block(self) -> bool:
        return self.in_block

    def on_error(self, context: Any) -> None:
        if self.capturing and self.current and not self.current.first_error:
            self.current.first_error = explain(context.original_exception)

    # Steps

    def steps(self, rows: Any, context: Any) -> Iterator[Any]:
        """Give Alembic its steps one by one, each wrapped to be seen and timed."""
        self.promised = set(rows)
        if self.request.get("only"):
            self._run_only(context)
            return
        chosen = [step for step in self._plan(rows) if self._allowed(step)]
        for number, step in enumerate(chosen, 1):
            if hasattr(step, "revision"):
                self._wrap(step, number, len(chosen))
            yield step
            self._leave()

    def _plan(self, rows: Any) -> list[Any]:
        operation = self.request["op"]
        target: Any = self.request["target"]
        if operation == "downgrade":
            return list(self.script._downgrade_revs(target, rows))
        if operation == "stamp":
            return list(self.script._stamp_revs(tuple(target), rows))
        return list(self.script._upgrade_revs(target, rows))

    def _allowed(self, step: Any) -> bool:
        if not self.replaying:
            return True
        revision = step.revision
        blocked = self.failed | self.skipped | set(self.request.get("skip", []))
        if revision.revision in blocked or blocked.intersection(parents(revision)):
            if revision.revision not in self.failed:
                self.skipped.add(revision.revision)
            return False
        return True

    def _wrap(self, step: Any, number: int, total: int) -> None:
        function, revision_id = step.migration_fn, step.revision.revision
        self.channel.send("started", revision=revision_id, number=number, total=total)

        def migrate(**keywords: Any) -> None:
            self._perform(revision_id, function, keywords)

        step.migration_fn = migrate

    def _run_only(self, context: Any) -> None:
        """Run exactly the named revisions, in order; the version rows stay as they are."""
        names = self.request["only"]
        for number, name in enumerate(names, 1):
            module = self.script.get_revision(name).module
            function = module.downgrade if self.request["op"] == "downgrade" else module.upgrade
            self.channel.send("started", revision=name, number=number, total=len(names))
            with context.begin_transaction(_per_migration=True):
                self._perform(name, function, self.keywords)
            self._leave()

    def _perform(self, revision_id: str, function: Any, keywords: dict[str, Any]) -> None:
        """Run one revision's function and see what it does, within its own transaction."""
        record = self.current = Record(revision_id)
        before = self.moment()
        if self.replaying and self.catalog is None:
            self._first_snapshot()
        started = time.perf_counter()
        self.capturing = True
        try:
            function(**keywords)
        finally:
            self.capturing = False
            record.seconds = time.perf_counter() - started
        after = self.moment()
        if before and after and before[:2] != after[:2] and not record.autocommit:
            record.commits_inside = True
        if self.replaying and after and self._may_have_effects(record, before, after):
            self._note_effects(record)

    def _first_snapshot(self) -> None:
        self._find_version_table()
        self.catalog_text = self.snapshot()
        self.catalog = self._parse(self.catalog_text)
        self.triggers = any(key.startswith("event_trigger:") for key in self.catalog)
        self.channel.send("baseline", objects=self.catalog)

    def _may_have_effects(self, record: Record, before: Any, after: Any) -> bool:
        if not record.statements:  # it may have used the driver itself
            return bool(before is None or after[2] != before[2] or before[2] is not None)
        return any(may_change_schema(statement) for statement in record.statements)

    def _note_effects(self, record: Record) -> None:
        fresh = self._partly(record)
        if fresh is not None:
            record.changes = changes(self.catalog or {}, fresh)
            self.catalog, self.catalog_text, self.partial = fresh, "", True
            return
        text = self.snapshot()
        if text != self.catalog_text:
            fresh = self._parse(text)
            record.changes = changes(self.catalog or {}, fresh)
            self.catalog, self.catalog_text = fresh, text
            self.triggers = any(key.startswith("event_trigger:") for key in fresh)

    def _partly(self, record: Record) -> dict[str, Any] | None:
        """Return the new catalog by reading only the tables that the revision changed.

        None when that is not sure to be all: then the whole catalog is read. What was put
        together so is compared with the whole catalog once, at the end of the replay.
        """
        query = self.request["snapshot"].get("part")
        reached = [simple_tables(statement) for statement in record.statements]
        if not query or self.triggers or record.autocommit or record.commits_inside:
            return None
        if not record.statements or any(item is None for item in reached):
            return None
        named = [pair for item in reached for pair in item or []]
        tables = self._tables_of(named)
        if tables is None:
            return None
        oids = ",".join(str(oid) for oid, _ in tables if oid)
        part = self._parse(self.snapshot(f"'{{{oids}}}'")) if oids else {}
        names = [name for _, name in tables]
        mine = {key: part[key] for key in part if any(belongs(key, part[key], n) for n in names)}
        rest = {
            key: value
            for key, value in (self.catalog or {}).items()
            if not any(belongs(key, value, name) for name in names)
        }
        return {**rest, **mine}

    def _tables_of(self, named: list[tuple[str, str]]) -> list[tuple[int, str]] | None:
        """Return (oid, spelled name) of the tables, oid 0 for those that are gone.

        None when one has parents, children or partitions, or cannot be told from its name.
        """
        catalog = self.catalog or {}
        wanted = {name for form, name in named if form != "drop index"}
        for form, name in named:
            if form == "drop index":
                owners = {
                    catalog[key].get("table", "") for key in keys_named(catalog, "index", name)
                }
                if len(owners) != 1:
                    return None
                wanted |= owners
        if not wanted:
            return []
        array = ",".join("'" + name.replace("'", "''") + "'" for name in sorted(wanted))
        (text,) = self.raw(RESOLVE.replace("NAMES", array))
        found: dict[str, list[Any]] = {item[0]: item for item in json.loads(text or "[]")}
        tables = []
        for name in sorted(wanted):
            if name in found:
                _, oid, schema, relation, alone = found[name]
                if not alone:
                    return None
                tables.append((oid, f"{spelled(schema)}.{spelled(relation)}"))
            else:
                keys = keys_named(catalog, "table", name)
                if len(keys) > 1:
                    return None
                tables.extend((0, key.partition(":")[2]) for key in keys)
        return tables

    def _leave(self) -> None:
        """The revision and its version row are done (and committed, if each is by itself)."""
        record, self.current = self.current, None
        if record is None:
            return
        if self.replaying:
            settled = self.settle()
            record.lost = settled or self.tainted
            self.tainted = record.lost and not self.settings.get("transaction_per_migration")
        self.finished.append(record.revision_id)
        self.channel.send("finished", **record.facts())

    def settle(self) -> bool:
        """Commit what was left in a transaction that nobody is going to commit."""
        connection = self.context.connection
        if not connection.in_transaction() or not hasattr(connection, "commit"):
            return False
        own = self.context._transaction
        if own is not None and connection.get_transaction() is own:
            return False
        if getattr(connection, "_trans_context_manager", None) is not None:
            return False
        connection.commit()
        return True

    # Operations

    def run_env(self, function: Any, **options: Any) -> None:
        """Run the project's env.py, with ``function`` in place of Alembic's command."""
        from alembic.runtime.environment import EnvironmentContext

        given = {"as_sql": False, "starting_rev": None, "tag": None, **options}
        with EnvironmentContext(self.config, self.script, fn=function, **given):
            self.script.run_env()
        if self.context is None:
            raise Refused(
                "project",
                "env.py configured no database connection.",
                "The runbook needs env.py's online mode: context.configure(connection=...).",
            )

    def op_describe(self) -> None:
        self.run_env(lambda rows, context: [], dont_mutate=True)
        self.channel.send("described", **self.describe())

    def op_replay(self) -> None:
        self.skipped: set[str] = set()
        while not self._replay_once():
            pass
        for revision_id in sorted(self.skipped):
            self.channel.send("skipped", revision=revision_id)
        self.channel.send("described", **self.describe())
        self._finish()

    def _replay_once(self) -> bool:
        """Run what can run. False when a revision failed, and its siblings wait for a next time."""
        try:
            self.run_env(self.steps, destination_rev=self.request["target"])
        except (Exception, SystemExit) as error:
            if self.current is None:
                raise
            if not self._create_role(error):
                self._fail(error)
            self.current = None
            return False
        return True

    def _fail(self, error: BaseException) -> None:
        record = self.current
        if record is None:
            raise error
        self.failed.add(record.revision_id)
        if self.replaying:
            kept = self.fresh(self._rows_of) == sorted(self.promised or ())
            text = self.fresh(self._snapshot_of)
            after = self._parse(text)
            record.changes = changes(self.catalog or {}, after) if kept else []
            self.catalog, self.catalog_text = after, text
        message = self.describe_error(error, record)
        self.channel.send("failed", error=message, **record.facts())

    def describe_error(self, error: BaseException, record: Record | None) -> str:
        text = explain(error)
        if record and record.first_error and record.first_error not in text:
            text += f" (after an error that the revision swallowed: {record.first_error})"
        where = self.where(error)
        return f"{text} ({where})" if where else text

    def where(self, error: BaseException) -> str:
        """Return the last line of the project's own files that the error passed through."""
        found = ""
        root = os.getcwd() + os.sep
        for frame in traceback.extract_tb(error.__traceback__):
            path = self.overlay.original(frame.filename) if self.overlay else frame.filename
            if path.startswith(root) and "-packages" + os.sep not in path:
                found = f"{os.path.relpath(path, root)}:{frame.lineno}"
        return found

    def _create_role(self, error: BaseException) -> bool:
        """Create a role that the shadow's server lacks, once, where that is allowed."""
        found = re.search(r'role "([^"]+)" does not exist', explain(error))
        if not found or found[1] in self.roles or not self.request.get("create_roles"):
            return False
        self.roles.add(found[1])
        name = '"' + found[1].replace('"', '""') + '"'

        def create(connection: Any) -> None:
            cursor = connection.connection.cursor()
            cursor.execute(f"CREATE ROLE {name} NOLOGIN")
            connection.connection.commit()

        try:
            self.fresh(create)
        except Exception:
            return False
        return True

    def op_upgrade(self) -> None:
        try:
            self.run_env(self.steps, destination_rev=self.request["target"])
        except (Exception, SystemExit) as error:
            if self.current is None:
                raise
            self._fail(error)
        self._finish()

    op_downgrade = op_upgrade
    op_stamp = op_upgrade

    def _finish(self) -> None:
        """Read the version rows on a new connection and compare them with what was promised."""
        rows, server, text = self.fresh(self._last_look)
        if text and self._parse(text) != self.catalog:
            self.channel.send("inexact")
        self.channel.send(
            "final",
            rows=rows,
            promised=sorted(self.promised or ()),
            lost=[] if self.failed else self._lost(rows),
            rolled_back=self._undone(rows) if self.failed and not self.replaying else [],
            version_table=self.version_table,
            server=server,
            sources=loaded_sources(),
        )

    def _lost(self, rows: list[str]) -> list[str]:
        """Return the revisions that were reported as done and are not recorded."""
        if self.request.get("only") or sorted(self.promised or ()) == rows:
            return []
        if self.request["op"] == "stamp":
            return sorted(set(self.promised or ()).symmetric_difference(rows))
        return self._undone(rows) or self.finished[-1:]

    def _undone(self, rows: list[str]) -> list[str]:
        """Return the finished revisions of which the version rows know nothing."""
        if self.request.get("only"):
            return [] if self.settings.get("transaction_per_migration") else self.finished
        known = self._recorded(rows)
        down = self.request["op"] == "downgrade"
        return [item for item in self.finished if (item in known) == down]

    def _recorded(self, rows: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(rows)
        while waiting:
            item = waiting.pop()
            if item not in found:
                found.add(item)
                with contextlib.suppress(Exception):  # a row that no file has
                    waiting.extend(parents(self.script.get_revision(item)))
        return found

    def fresh(self, work: Callable[[Any], Any]) -> Any:
        """Run ``work`` with a new SQLAlchemy connection over the project's driver."""
        from sqlalchemy.pool import NullPool

        url = f"postgresql+{self.context.dialect.driver}://"
        if not getattr(self.context.dialect, "is_async", False):
            from sqlalchemy import create_engine

            with create_engine(url, poolclass=NullPool).connect() as connection:
                return work(connection)
        from sqlalchemy.ext.asyncio import create_async_engine

        async def main() -> Any:
            async with create_async_engine(url, poolclass=NullPool).connect() as connection:
                return await connection.run_sync(work)

        return asyncio.run(main())

    def _last_look(self, connection: Any) -> tuple[list[str], str, str]:
        """Return version rows, server version and, where it was put together, the catalog."""
        text = self._snapshot_of(connection) if self.partial else ""
        return self._rows_of(connection), server_version(connection), text

    def _rows_of(self, connection: Any) -> list[str]:
        from sqlalchemy import select

        column = self.context._version.c.version_num
        inspected = __import__("sqlalchemy").inspect(connection)
        if not inspected.has_table(self.context.version_table, self.context.version_table_schema):
            return []
        return sorted(str(row[0]) for row in connection.execute(select(column)))

    def _snapshot_of(self, connection: Any) -> str:
        kept, self.context.connection = self.context.connection, connection
        self.prepared = False
        try:
            return self.snapshot()
        finally:
            self.context.connection, self.prepared = kept, False


def server_version(connection: Any) -> str:
    cursor = connection.connection.cursor()
    cursor.execute("SELECT current_setting('server_version')")
    return str(cursor.fetchone()[0])


def driver_version(dialect: Any) -> str:
    module = getattr(dialect, "dbapi", None) or getattr(dialect, "loaded_dbapi", None)
    real = sys.modules.get(dialect.driver, module)
    return str(getattr(real, "__version__", "")).split()[0] if real else ""


def parents(revision: Any) -> set[str]:
    """Return the ids that a revision needs: its down_revisions and what it depends on."""
    return set(revision._all_down_revisions)


def spelled(name: str) -> str:
    """Quote a name the way the snapshot does."""
    return name if PLAIN_NAME.match(name) else '"' + name.replace('"', '""') + '"'


def belongs(key: str, aspects: dict[str, str], table: str) -> bool:
    """Say whether an object of the snapshot is ``table`` or a part of it."""
    kind, _, name = key.partition(":")
    if kind == "grant":
        return belongs(name, {}, table)
    if kind in TABLE_PARTS:
        return name == table or name.startswith(table + ".")
    return aspects.get("table") == table or aspects.get("owned_by", "").startswith(table + ".")


RESOLVE = """
SELECT CAST(json_agg(json_build_array(x, CAST(CAST(c.oid AS bigint) AS text), n.nspname, c.relname,
    c.relkind = 'r' AND NOT c.relispartition AND NOT c.relhassubclass AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid))) AS text)
FROM unnest(CAST(ARRAY[NAMES] AS text[])) x
JOIN pg_catalog.pg_class c ON c.oid = to_regclass(x)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""


def keys_named(catalog: dict[str, Any], kind: str, name: str) -> list[str]:
    """Return the keys of that kind whose name, with or without its schema, is ``name``."""
    tail = f":{name}" if "." in name else f".{name}"
    return [key for key in catalog if key.startswith(f"{kind}:") and key.endswith(tail)]


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[list[Any]]:
    """Return [key, before, after] of every object that differs, sorted by key."""
    keys = {key for key, value in before.items() if after.get(key) != value}
    keys |= after.keys() - before.keys()
    return [[key, before.get(key), after.get(key)] for key in sorted(keys)]


def stub_module(path: str, error: Exception) -> Any:
    """Stand in for a revision that cannot be imported: it fails with that error when it runs."""
    names = ("revision", "down_revision", "depends_on", "branch_labels")
    found: dict[str, Any] = {}
    try:
        tree = ast.parse(read(path) or "")
        for node in tree.body:
            targets: list[Any] = list(getattr(node, "targets", []))
            if isinstance(node, ast.AnnAssign) and node.value:
                targets = [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id in names:
                    found[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
    except (SyntaxError, ValueError):
        return None
    if "revision" not in found:
        return None

    def fail(**keywords: Any) -> None:
        raise error

    module: Any = types.ModuleType(os.path.basename(path))
    module.__dict__.update({"down_revision": None, **found, "__file__": path})
    module.upgrade = module.downgrade = fail
    return module


def explain(error: BaseException) -> str:
    """Return what an error says, without the parameters that SQLAlchemy adds to it."""
    cause: Any = getattr(error, "orig", None) or error
    given = cause.args[0] if getattr(cause, "args", None) else ""
    if isinstance(given, dict) and "M" in given:  # pg8000
        text = " ".join(str(given[key]) for key in ("M", "D", "H") if key in given)
    else:
        text = re.sub(r"^<class '[\w.]*?(\w+)'>: ", "", str(cause))
    text = " ".join(text.split())
    plain = type(cause).__module__.split(".")[0] in ("psycopg2", "psycopg", "sqlalchemy", "pg8000")
    named = plain or type(cause).__name__ in ("CommandError", "Refused")
    return text if named and text else f"{type(cause).__name__}: {text}".rstrip(": ")


# The remaining operations ------------------------------------------------------------------------


def state(request: dict[str, Any], channel: Channel, runner: Runner) -> None:
    """Send what ``alembic current``, ``history`` and ``heads`` print, or their error."""
    from alembic import command

    texts: dict[str, str] = {}
    for name in ("current", "history", "heads"):
        output = io.StringIO()
        config = load_config(request, output)
        try:
            getattr(command, name)(config)
            texts[name] = output.getvalue().rstrip()
        except (Exception, SystemExit) as error:
            texts[name] = f"error: {explain(error)}"
    channel.send("state", texts=texts)


def run_command(request: dict[str, Any], channel: Channel) -> None:
    """Run one application check in the project's place; its own interpreter comes first."""
    here = os.path.dirname(sys.executable)
    os.environ["PATH"] = here + os.pathsep + os.environ.get("PATH", os.defpath)
    try:
        child = subprocess.Popen(
            request["argv"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return channel.send("result", code=127, output=f"{request['argv'][0]}: {error.strerror}")
    CHILDREN.append(child)
    try:
        output, _ = child.communicate(timeout=request["timeout"])
        code = child.returncode
    except subprocess.TimeoutExpired:
        kill_group(child)
        output, _ = child.communicate()
        code, output = 124, f"{output}\nIt did not end within {request['timeout']:g} seconds."
    return channel.send("result", code=code, output=output[-TAIL:])


def call_function(request: dict[str, Any], channel: Channel) -> None:
    """Call ``module:function``, with the URL where it takes an argument; True is good."""
    with contextlib.suppress(Refused):
        load_alembic()
        Redirect(request).install()
    sys.path.insert(0, os.getcwd())
    module, _, name = request["callable"].partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        takes = any(
            item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD, item.VAR_POSITIONAL)
            for item in inspect.signature(function).parameters.values()
        )
        result = function(request["address"]["url"]) if takes else function()
        result = asyncio.run(result) if inspect.iscoroutine(result) else result
    except (Exception, SystemExit) as error:
        return channel.send("result", code=1, output=explain(error)[-TAIL:])
    return channel.send("result", code=0 if result else 2, output=f"returned {result!r}"[:TAIL])


def alembic_operation(request: dict[str, Any], channel: Channel) -> None:
    runner = Runner(request, channel)
    try:
        runner.start()
        if request["op"] == "state":
            return state(request, channel, runner)
        getattr(runner, f"op_{request['op']}")()
    except Refused:
        raise
    except (Exception, SystemExit) as error:
        if runner.redirect.failure and runner.context is None:
            raise Refused(
                "unreachable",
                "The project's interpreter cannot reach the database: " + runner.redirect.failure,
                "The address has to work from where the project's interpreter lives.",
            ) from error
        traceback.print_exc()
        raise Refused(
            "project",
            f"The project's Alembic failed: {runner.describe_error(error, None)}.",
            "Run alembic by hand to see it whole; what env.py reads is set in [project.env].",
        ) from error
    finally:
        if runner.overlay:
            runner.overlay.remove()
    return None


OTHERS: dict[str, Callable[[dict[str, Any], Channel], None]] = {
    "collect": collect,
    "digests": digests,
    "run": run_command,
    "call": call_function,
}


def main() -> int:
    """Carry out the one request on standard input; return the exit code."""
    channel = Channel()
    request = json.loads(sys.stdin.buffer.readline())
    watch_input()
    sys.path[:] = [path for path in sys.path if path]
    try:
        enter_project(request)
        OTHERS.get(request["op"], alembic_operation)(request, channel)
    except Refused as error:
        channel.send("error", kind=error.kind, message=error.message, hint=error.hint)
        return 1
    channel.send("end")
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # threads of the project must not keep the process
