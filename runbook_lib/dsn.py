"""Database addresses, and how to keep their secrets out of everything that is shown."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from runbook_lib.errors import ConfigurationError

MASK = "***"


@dataclass(frozen=True, slots=True)
class Dsn:
    """The address of one PostgreSQL database. Its ``repr`` and ``str`` never show the password."""

    url: URL

    @classmethod
    def parse(cls, text: str) -> Dsn:
        """Read a URL such as ``postgresql://user:secret@host:5432/database``.

        Raises ConfigurationError, which never repeats the text: it may hold a password.
        """
        try:
            url = make_url(text.strip())
        except (ArgumentError, ValueError) as error:
            raise ConfigurationError(
                "The database address cannot be read as a URL.",
                "Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters in "
                "the password percent-encoded.",
            ) from error
        if url.get_backend_name() not in ("postgresql", "postgres"):
            raise ConfigurationError(
                f"The database address is of a {url.get_backend_name()} database.",
                "The runbook works on PostgreSQL only.",
            )
        if not url.database:
            raise ConfigurationError("The database address names no database.", "Add /DATABASE.")
        return cls(url.set(drivername="postgresql"))

    @property
    def host(self) -> str:
        """Host name, address, or the folder of a Unix socket (begins with ``/``)."""
        host = self.url.host or self.url.query.get("host") or "localhost"
        return host if isinstance(host, str) else host[0]

    @property
    def port(self) -> int:
        port = self.url.port or self.url.query.get("port") or 5432
        return int(port if isinstance(port, (str, int)) else port[0])

    @property
    def database(self) -> str:
        return self.url.database or ""

    @property
    def user(self) -> str:
        return self.url.username or ""

    @property
    def password(self) -> str:
        return self.url.password or ""

    @property
    def options(self) -> dict[str, str]:
        """The remaining libpq parameters of the URL's query, such as ``sslmode``."""
        return {
            key: value if isinstance(value, str) else value[0]
            for key, value in self.url.query.items()
            if key not in ("host", "port")
        }

    @property
    def text(self) -> str:
        """The whole URL, password included: for a driver's eyes only."""
        return self.url.render_as_string(hide_password=False)

    @property
    def redacted(self) -> str:
        """The address as it may be shown and archived."""
        where = "socket" if self.host.startswith("/") else f"{self.host}:{self.port}"
        secret = f":{MASK}" if self.password else ""
        return f"postgresql://{self.user}{secret}@{where}/{self.database}"

    def with_database(self, name: str) -> Dsn:
        """Return the address of another database on the same server, for the same user."""
        return Dsn(self.url.set(database=name))

    def with_driver(self, driver: str) -> str:
        """Return the whole URL for a SQLAlchemy driver such as ``psycopg2``."""
        return self.url.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)

    def libpq(self) -> dict[str, str]:
        """Return the keyword arguments for ``psycopg2.connect``."""
        known = {
            "host": self.host,
            "port": str(self.port),
            "dbname": self.database,
            "user": self.user,
            "password": self.password,
        }
        return {**self.options, **{key: value for key, value in known.items() if value}}

    def environ(self) -> dict[str, str]:
        """Return the ``PG*`` variables for client programs, so that no secret is in argv."""
        names = {
            "host": "PGHOST",
            "port": "PGPORT",
            "dbname": "PGDATABASE",
            "user": "PGUSER",
            "password": "PGPASSWORD",
            "sslmode": "PGSSLMODE",
            "sslrootcert": "PGSSLROOTCERT",
            "sslcert": "PGSSLCERT",
            "sslkey": "PGSSLKEY",
            "connect_timeout": "PGCONNECT_TIMEOUT",
            "options": "PGOPTIONS",
        }
        return {names[key]: value for key, value in self.libpq().items() if key in names}

    def __repr__(self) -> str:
        return f"Dsn({self.redacted!r})"

    def __str__(self) -> str:
        return self.redacted


def secret_forms(secret: str) -> tuple[str, ...]:
    """Return every form in which ``secret`` may appear in a text, the longest first.

    Raw, URL-encoded in both fashions, base64 at the three alignments, and, since drivers print
    fragments of a badly escaped address, the parts between ``@ : / ? #`` of four or more letters.
    Secrets shorter than four characters have no safe form to search for and give none.
    """
    if len(secret) < 4:
        return ()
    forms = {secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}
    raw = secret.encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        inner = encoded[shift + 1 if shift else 0 : len(encoded) - (len(encoded) % 4 and 1)]
        if len(inner) >= 8:
            forms.add(inner)
    forms.update(part for part in re.split(r"[@:/?#]", secret) if len(part) >= 4)
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with every form of every secret masked."""
    for form in sorted(
        {form for secret in secrets for form in secret_forms(secret)}, key=lambda f: -len(f)
    ):
        text = text.replace(form, MASK)
    return re.sub(r"(postgres(?:ql)?(?:\+\w+)?://[^\s:/@]+):[^\s@]+@", rf"\1:{MASK}@", text)
