"""PostgreSQL: the place for disposable databases, and the door to connections and servers."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import errors as pg_errors

from runbook_lib.agent.wire import explain
from runbook_lib.cluster import Cluster, EmbeddedServer
from runbook_lib.config import Environment, resolve_reference
from runbook_lib.connection import (
    Connection,
    connect,
    ensure_roles,
    fetch,
    roles_of,
    target,
    version_rows,
)
from runbook_lib.dsn import Dsn
from runbook_lib.errors import ConfigurationError, GateError, SafetyError
from runbook_lib.programs import (
    EMBEDDED_BIN,
    available_extensions,
    client_program,
    local_binaries,
    program_major,
    run_client,
)

__all__ = [
    "Cluster",
    "Connection",
    "EmbeddedServer",
    "Scratch",
    "client_program",
    "connect",
    "ensure_roles",
    "fetch",
    "roles_of",
    "run_client",
    "target",
    "version_rows",
]


class Scratch:
    """A place for disposable databases, named so that leftovers are recognised and swept.

    ``private`` says that only this machine's processes use the place, so that the process number
    in a name tells whether its maker still lives. ``notes`` says in which ways the databases made
    here differ from what was asked for.
    """

    def __init__(self, admin: Dsn, *, place: str = "embedded", private: bool = True) -> None:
        self.admin = admin
        self.place = place
        self.private = private
        self.notes: list[str] = []

    @classmethod
    def for_environment(
        cls, environment: Environment, server_version_num: int, extensions: Collection[str]
    ) -> Scratch:
        """Open the place that ``environment.scratch`` names.

        ``server_version_num`` and ``extensions`` are the target's. What the place lacks is said
        before anything starts: raises ConfigurationError.
        """
        place, major = environment.scratch, server_version_num // 10000
        if place == "embedded":
            return cls._own(environment, EMBEDDED_BIN, place, major, extensions)
        if place == "local":
            binaries = local_binaries(major)
            if binaries is None:
                raise ConfigurationError(
                    f'scratch = "local": no PostgreSQL {major} server is installed here.',
                    f"Install postgresql-{major}, or use another scratch: {_others(place)}.",
                )
            return cls._own(environment, binaries, place, major, extensions)
        if place == "target":
            return cls._foreign(environment.dsn(), place, major, extensions)
        if place.startswith("env:"):
            text = resolve_reference(environment, place[4:], "", "")
            return cls._foreign(Dsn.parse(text), place, major, extensions)
        raise ConfigurationError(
            f"scratch = {place!r} is not a place for disposable databases.",
            f"Use {_others(place)}.",
        )

    @classmethod
    def _own(
        cls,
        environment: Environment,
        binaries: Path,
        place: str,
        major: int,
        extensions: Collection[str],
    ) -> Scratch:
        own = program_major(binaries / "postgres")
        _require_fit(place, own, available_extensions(binaries), major, extensions)
        cluster = Cluster.at(environment.state_folder / f"scratch-{own}", binaries, loopback=True)
        return cls(cluster.dsn("postgres"), place=place)

    @classmethod
    def _foreign(cls, dsn: Dsn, place: str, major: int, extensions: Collection[str]) -> Scratch:
        connection = connect(dsn)
        try:
            ((user, may),) = fetch(
                connection,
                "SELECT rolname, rolcreatedb OR rolsuper FROM pg_catalog.pg_roles"
                " WHERE rolname = current_user",
            )
            found = fetch(connection, "SELECT name FROM pg_catalog.pg_available_extensions")
            own = connection.server_version // 10000
        finally:
            connection.close()
        if not may:
            raise ConfigurationError(
                f"scratch = {place!r}: the user {user} may not create databases there.",
                f'Run there as a superuser: ALTER ROLE "{user}" CREATEDB; or use another scratch: '
                f"{_others(place)}.",
            )
        _require_fit(place, own, {name for (name,) in found}, major, extensions)
        return cls(dsn, place=place, private=False)

    @cached_property
    def major(self) -> int:
        """The server's major version."""
        connection = connect(self.admin)
        try:
            return int(connection.server_version) // 10000
        finally:
            connection.close()

    def dsn(self, name: str) -> Dsn:
        """Return the address of one of the place's databases."""
        return self.admin.with_database(name)

    def has(self, name: str) -> bool:
        """Say whether the place has a database of this name."""
        rows = self._query("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", (name,))
        return bool(rows)

    def name(self, purpose: str) -> Dsn:
        """Return the address of a disposable database that is still to be made."""
        if not re.fullmatch(r"[a-z0-9_]{1,24}", purpose):
            raise ConfigurationError(f"{purpose!r} is not a purpose.", "Use a-z, 0-9 and _.")
        return self.dsn(
            f"runbook_{purpose}_{int(time.time())}_{os.getpid()}_{secrets.token_hex(3)}"
        )

    def create(
        self, purpose: str, template: Dsn | None = None, like: Connection | None = None
    ) -> Dsn:
        """Name and make a database; see ``make``."""
        dsn = self.name(purpose)
        self.make(dsn, template, like)
        return dsn

    def make(self, dsn: Dsn, template: Dsn | None = None, like: Connection | None = None) -> None:
        """Make the database ``dsn``: empty, or a copy of ``template``, a database of this place.

        An empty one gets the encoding and locale of the database behind ``like`` where the
        place has that locale, else the nearest, with a note. Raises GateError.
        """
        _require_disposable(dsn.database)
        name = dsn.database
        connection = connect(self.admin, read_only=False)
        try:
            if template:
                _copy(connection, name, template.database, self._strategy(connection))
            else:
                self._make(connection, name, like)
        except pg_errors.InsufficientPrivilege as error:
            raise GateError(
                f"A disposable database cannot be created on {self.place}: {explain(error)}.",
                f"Grant CREATEDB to {self.admin.user}, or use another scratch: "
                f"{_others(self.place)}.",
            ) from None
        finally:
            connection.close()

    def drop(self, dsn: Dsn) -> None:
        """Drop a disposable database. Raises SafetyError for any other."""
        _require_disposable(dsn.database)
        self._run(f'DROP DATABASE IF EXISTS "{dsn.database}" WITH (FORCE)')

    def rename(self, dsn: Dsn, name: str) -> Dsn:
        """Give a disposable database a name that no sweep takes; it begins with ``runbook_``.

        One that had this name is dropped.
        """
        _require_disposable(dsn.database)
        _require_disposable(name)
        self._run(
            f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)',
            f'ALTER DATABASE "{dsn.database}" RENAME TO "{name}"',
        )
        return self.dsn(name)

    def sweep(self) -> tuple[str, ...]:
        """Drop what earlier processes left behind; return the names.

        A clone outlives the process that made it, as one phase hands it to the next: it goes
        when it is a week old. Everything else goes after a day, or when its maker is dead.
        """
        names = [
            name
            for (name,) in self._query("SELECT datname FROM pg_catalog.pg_database ORDER BY 1")
            if _left_over(name, time.time(), self.private)
        ]
        for name in names:
            self.drop(self.dsn(name))
        return tuple(names)

    def _strategy(self, connection: Connection) -> str:
        """Copying files is the quicker way by half, but it needs checkpoints.

        Nobody's server but our own is troubled with those.
        """
        own = self.private and connection.server_version >= 150000
        return " STRATEGY file_copy" if own else ""

    def _make(self, connection: Connection, name: str, like: Connection | None) -> None:
        wanted = _locale_of(like) if like else None
        choices = _locales(wanted, connection.server_version // 10000)
        made = f'CREATE DATABASE "{name}" TEMPLATE template0{self._strategy(connection)}'
        for number, (options, spelled) in enumerate(choices):
            try:
                _execute(connection, f"{made} {options}")
            except pg_errors.InsufficientPrivilege:
                raise
            except (psycopg2.ProgrammingError, psycopg2.DataError, psycopg2.NotSupportedError):
                if number == len(choices) - 1:
                    raise
                continue
            note = f"{self.place} lacks the locale {choices[0][1]}: {spelled} is used instead."
            if number and note not in self.notes:
                self.notes.append(note)
            return

    def _run(self, *statements: str) -> None:
        connection = connect(self.admin, read_only=False)
        try:
            for statement in statements:
                _execute(connection, statement)
        finally:
            connection.close()

    def _query(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        connection = connect(self.admin)
        try:
            return fetch(connection, statement, parameters)
        finally:
            connection.close()


_PLACES = ("embedded", "local", "target", "env:VARIABLE")
_NAME = re.compile(r"runbook_([a-z0-9_]{1,24})_(\d{10})_(\d{1,10})_[0-9a-f]{6}")
_DAY = 86_400


def _others(place: str) -> str:
    """Return the places to choose from where ``place`` will not do; another address may."""
    *some, last = (f'"{name}"' for name in _PLACES if name != place)
    return f"{', '.join(some)} or {last}"


def _require_fit(
    place: str, own: int, available: Collection[str], major: int, extensions: Collection[str]
) -> None:
    """Raise ConfigurationError for a place that cannot hold a copy of the target."""
    if own < major:
        raise ConfigurationError(
            f"scratch = {place!r} is PostgreSQL {own}, older than the target's {major}.",
            f'Use scratch = "target", scratch = "local" with PostgreSQL {major} installed here, '
            f'or scratch = "env:VARIABLE" with the address of such a server.',
        )
    missing = sorted(set(extensions) - set(available))
    if missing:
        raise ConfigurationError(
            f"scratch = {place!r} lacks what the target uses: extension {', '.join(missing)}.",
            f'Use scratch = "target", scratch = "local" with PostgreSQL {major} and these '
            f'extensions installed here, or scratch = "env:VARIABLE" with such a server.',
        )


def _require_disposable(name: str) -> None:
    if not re.fullmatch(r"runbook_[a-z0-9_]{1,55}", name):
        raise SafetyError(
            f"The database {name} is not a disposable one.",
            "Only databases whose names begin with runbook_ are renamed and dropped.",
        )


def _left_over(name: str, now: float, private: bool) -> bool:
    found = _NAME.fullmatch(name)
    if not found:
        return False
    purpose, age = found[1], now - int(found[2])
    if purpose == "clone":
        return age > 7 * _DAY
    return age > _DAY or (private and not _alive(int(found[3])))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _copy(connection: Connection, name: str, template: str, strategy: str) -> None:
    """Copy a database; a session that is just leaving the template gets a moment to go."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return _execute(connection, f'CREATE DATABASE "{name}" TEMPLATE "{template}"{strategy}')
        except pg_errors.ObjectInUse:
            if time.monotonic() > deadline:
                raise GateError(
                    f"The database {template} cannot be copied while sessions are open in it.",
                    "Close them, then try again.",
                ) from None
            time.sleep(0.05)


def _locale_of(connection: Connection) -> dict[str, Any]:
    """Return the database's row of pg_database, whatever columns this major has."""
    ((row,),) = fetch(
        connection,
        "SELECT to_jsonb(d) || jsonb_build_object('encoding', pg_encoding_to_char(d.encoding))"
        " FROM pg_catalog.pg_database d WHERE datname = current_database()",
    )
    return dict(row)


def _locales(row: dict[str, Any] | None, major: int) -> list[tuple[str, str]]:
    """Return what to try after CREATE DATABASE, best first, each with its name for a note."""
    encoding = row["encoding"] if row else "UTF8"
    libc = " LOCALE_PROVIDER libc" if major >= 15 else ""
    choices = [_same_locale(row, major)] if row else []
    if encoding == "UTF8" and major >= 17:
        builtin = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'"
        choices.append((f"ENCODING 'UTF8' {builtin}", "C.UTF-8"))
    for name in ("C.UTF-8", "C"):
        if name == "C" or encoding == "UTF8":
            options = f"ENCODING '{encoding}'{libc} LC_COLLATE '{name}' LC_CTYPE '{name}'"
            choices.append((options, name))
    return choices


def _same_locale(row: dict[str, Any], major: int) -> tuple[str, str]:
    collate, ctype = row["datcollate"].replace("'", "''"), row["datctype"].replace("'", "''")
    options = f"ENCODING '{row['encoding']}' LC_COLLATE '{collate}' LC_CTYPE '{ctype}'"
    provider = row.get("datlocprovider", "c")
    locale = str(row.get("datlocale") or row.get("daticulocale") or "").replace("'", "''")
    if provider == "i":
        return f"{options} LOCALE_PROVIDER icu ICU_LOCALE '{locale}'", f"{locale} (ICU)"
    if provider == "b":
        return f"{options} LOCALE_PROVIDER builtin BUILTIN_LOCALE '{locale}'", locale
    return options + (" LOCALE_PROVIDER libc" if major >= 15 else ""), row["datcollate"]


def _execute(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
