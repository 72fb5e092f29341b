"""Database addresses, and how to keep their secrets out of everything that is shown."""

from __future__ import annotations

import base64
import codecs
import html
import json
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
        if "@" in (url.host or ""):  # what follows it would be shown as the host
            raise ConfigurationError(
                "The password in the database address has an @ that is not percent-encoded.",
                "Write %40 in place of every @ but the last, which stands before the host.",
            )
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
        return self.url.username or self.options.get("user", "")

    @property
    def password(self) -> str:
        return self.url.password or self.options.get("password", "")

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


COMMON_WORDS = frozenset(
    (
        *("postgres", "postgresql", "password", "passwort", "secret", "admin", "root", "user"),
        *("test", "runbook", "alembic", "localhost", "public", "database", "development"),
        *("staging", "production"),
    )
)
"""Passwords that are also plain words of every report: they are searched in their place only."""

_SEPARATORS = "@:/?#"


def secret_forms(
    secret: str, names: Iterable[str] = (), *, fragments: bool = True
) -> tuple[str, ...]:
    """Return every form in which ``secret`` may appear in a text, the longest first.

    Raw, backwards, in rot13, percent-encoded in the usual fashions up to three times, as JSON,
    HTML, Python and libpq escape it, in hexadecimal, base64 and base85 at each alignment, and,
    since drivers print ``fragments`` of a badly escaped address, what stands before and after each
    of ``@ : / ? #``.

    A secret that ``is_weak`` would be found everywhere: of those only the forms that show it as a
    password are given, such as ``:word@`` and ``password=word``.
    """
    lawful = _lawful(names)
    if not secret:
        return ()
    if is_weak(secret, names):
        return _in_place(secret)
    forms = _escaped(secret) | _encoded(secret.encode())
    if fragments:
        forms |= {part for part in _fragments(secret) if part.casefold() not in lawful}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _lawful(names: Iterable[str]) -> frozenset[str]:
    return COMMON_WORDS | {name.casefold() for name in names}


def is_weak(secret: str, names: Iterable[str] = ()) -> bool:
    """Say whether a secret may as well be a word, a number or a part of a digest in a report.

    So is one of fewer than four characters, one of fewer than eight letters and digits, a number
    or a date, and one that is a common word or among ``names`` (the user, the database, the host,
    and what is ordinary in reports).
    """
    short = len(secret) < 4 or (len(secret) < 8 and secret.isalnum())
    plain = len(secret) < 16 and bool(_PLAIN.fullmatch(secret))
    return bool(secret) and (short or plain or secret.casefold() in _lawful(names))


_PLAIN = re.compile(r"[0-9]+(?:[._:/-][0-9]+)*")


def is_mixed(secret: str, names: Iterable[str] = ()) -> bool:
    """Say whether no ordinary text has the secret by chance, whatever the case of its letters.

    So is one of ten characters or more of three kinds (small and capital letters, digits, others),
    or of fourteen of two.
    """
    if is_weak(secret, names):
        return False
    had = _kinds(secret)
    return (had >= 3 and len(secret) >= 10) or (had >= 2 and len(secret) >= 14)


def solid_forms(secret: str, names: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the forms that no ordinary text has by chance, also where its lines are joined.

    The encoded ones of any secret that is not weak; the secret itself when it ``is_mixed``.
    """
    known = tuple(names)
    if is_weak(secret, known):
        return ()
    own = (secret,) if is_mixed(secret, known) else ()
    return (*sorted(_encoded(secret.encode())), *own)


def folded_forms(secret: str, names: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the forms that no ordinary text has in small letters either, in small letters."""
    if not is_mixed(secret, names):
        return ()
    return (secret.casefold(), *sorted(form.lower() for form in _thirty_two(secret.encode())))


def _in_place(secret: str) -> tuple[str, ...]:
    quoted = {secret, quote(secret, safe="")}
    forms = {f":{form}@" for form in quoted}
    for key in _KEYS:
        for mark in ("=", "='", '="', "': '", '": "', ": "):
            forms |= {f"{key}{mark}{form}" for form in quoted}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


_KEYS = ("password", "PASSWORD", "Password", "passwd", "PASSWD", "pwd", "PWD")


def _escaped(secret: str) -> set[str]:
    percent = {quote(secret, safe=safe) for safe in ("", "/", " +")} | {quote_plus(secret)}
    percent |= {quote(form, safe="") for form in percent}
    percent |= {quote(form, safe="") for form in percent}
    percent |= {re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), form) for form in percent}
    plain = {secret, repr(secret)[1:-1], html.escape(secret), html.escape(secret, quote=False)}
    plain |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    plain.add(secret.replace("\\", "\\\\").replace("'", "\\'"))
    plain_json = json.dumps(secret)
    plain |= {secret.replace("'", "''"), repr(secret.encode())[2:-1], json.dumps(plain_json)[1:-1]}
    plain |= {secret[::-1], codecs.encode(secret, "rot13")}
    raw = secret.encode()
    hexed = {raw.hex(), raw.hex().upper(), raw.hex(":"), raw.hex(" "), raw.hex(" ", 2)}
    hexed |= {raw.hex(" ", -2), str(list(raw))[1:-1], str([ord(letter) for letter in secret])[1:-1]}
    return percent | plain | hexed


def _encoded(raw: bytes) -> set[str]:
    """Base64 of ``raw`` alone, and the characters it alone decides behind 0, 1 or 2 other bytes.

    Each character carries 6 bits: with ``shift`` unknown bytes before, the first that depends on
    ``raw`` only is number ceil(8 * shift / 6), and the last ends at floor(8 * (shift + len) / 6).
    Fewer than six such characters would match by chance.
    """
    forms = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    forms |= _eighty_five(raw)
    for shift in range(3):
        first, end = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
        if end - first >= 6:
            padded = b"\0" * shift + raw
            forms.add(base64.b64encode(padded).decode()[first:end])
            forms.add(base64.urlsafe_b64encode(padded).decode()[first:end])
    return forms


def _thirty_two(raw: bytes) -> set[str]:
    """Base32 of ``raw``: what it alone decides behind other bytes, as above; 5 bits a letter."""
    forms = {base64.b32encode(raw).decode().rstrip("=")}
    for shift in range(5):
        first, end = -(-8 * shift // 5), 8 * (shift + len(raw)) // 5
        if end - first >= 8:
            forms.add(base64.b32encode(b"\0" * shift + raw).decode()[first:end])
    return forms


def _eighty_five(raw: bytes) -> set[str]:
    """Both kinds of base85: the groups of four bytes that lie within ``raw``."""
    parts = [raw[shift : shift + (len(raw) - shift) // 4 * 4] for shift in range(4)]
    whole = [part for part in parts if len(part) >= 8]
    return {pack(part).decode() for part in whole for pack in (base64.b85encode, base64.a85encode)}


def halves(secret: str, names: Iterable[str] = ()) -> tuple[str, ...]:
    """Return every run of 8 characters (of 12) of a long secret that no text has by chance.

    So are 8 characters of three kinds, or 12 of two, without a word of four letters in them. They
    are what is left of a secret that was cut off, or put into two cells.
    """
    if len(secret) < 12 or not is_mixed(secret, names):
        return ()
    runs = {secret[at : at + size] for size in (8, 12) for at in range(len(secret) - size + 1)}
    return tuple(
        sorted(
            run
            for run in runs
            if _kinds(run) >= (3 if len(run) == 8 else 2) and not re.search("[A-Za-z]{4}", run)
        )
    )


def _kinds(text: str) -> int:
    kinds = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
    return sum(any(map(kind, text)) for kind in kinds)


def _fragments(secret: str) -> set[str]:
    cuts = [index for index, letter in enumerate(secret) if letter in _SEPARATORS]
    parts = set(re.split(f"[{_SEPARATORS}]", secret))
    parts |= {secret[:cut] for cut in cuts} | {secret[cut + 1 :] for cut in cuts}
    return {part for part in parts if len(part) >= 4}


def redact(text: str, secrets: Iterable[str], names: Iterable[str] = ()) -> str:
    """Return ``text`` with every form of every secret masked; ``names`` as in secret_forms."""
    known = tuple(names)
    return mask(text, {form for secret in secrets for form in secret_forms(secret, known)})


def mask(text: str, forms: Iterable[str]) -> str:
    """Return ``text`` with the given forms masked, and the password of any PostgreSQL URL."""
    for form in sorted(forms, key=lambda item: (-len(item), item)):
        text = text.replace(form, _masked(form))
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", text)


def mask_parts(text: str, parts: Iterable[str]) -> str:
    """Return ``text`` with every stretch masked that is made of ``parts``, which may overlap."""
    covered = {
        place
        for part in parts
        for found in re.finditer(f"(?={re.escape(part)})", text)
        for place in range(found.start(), found.start() + len(part))
    }
    kept = (letter if place not in covered else "\0" for place, letter in enumerate(text))
    return re.sub("\0+", MASK, "".join(kept)) if covered else text


def _masked(form: str) -> str:
    """Keep what surrounds a password that is searched in its place only."""
    if form.startswith(":") and form.endswith("@"):
        return f":{MASK}@"
    lead = re.match(rf"""(?:{"|".join(_KEYS)})(?:=['"]?|['"]?: ['"]?)""", form)
    return f"{lead[0]}{MASK}" if lead else MASK


_URL_PASSWORD = re.compile(r"""(postgres(?:ql)?(?:\+\w+)?://[^\s:/@'"<>]*):[^\s'"<>]+@""")
