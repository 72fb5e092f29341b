"""Password files: what libpq itself reads for an address that holds no password."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator
from pathlib import Path

from runbook_lib.dsn import Dsn

_FIELD = re.compile(r"((?:[^:\\]|\\.)*)(?::|$)")


def passwords(dsn: Dsn) -> Iterator[str]:
    """Give the passwords of an address in ``.pgpass`` and in the file of connection services.

    A file that is not there, or cannot be read, has none.
    """
    file = dsn.options.get("passfile") or os.environ.get("PGPASSFILE") or "~/.pgpass"
    for line in _read(file).splitlines():
        fields = [re.sub(r"\\(.)", r"\1", field) for field in _FIELD.findall(line)[:5]]
        if len(fields) == 5 and not line.startswith("#") and _is_of(dsn, fields):
            yield fields[4]
    yield from _of_service(dsn)


def _is_of(dsn: Dsn, fields: list[str]) -> bool:
    hosts = {dsn.host, "localhost"} if dsn.host.startswith("/") else {dsn.host}
    mine = (hosts, {str(dsn.port)}, {dsn.database}, {dsn.user})
    return all(field == "*" or field in own for field, own in zip(fields, mine, strict=False))


def _of_service(dsn: Dsn) -> Iterator[str]:
    service = dsn.options.get("service") or os.environ.get("PGSERVICE", "")
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), allow_no_value=True)
    try:
        parser.read_string(_read(os.environ.get("PGSERVICEFILE") or "~/.pg_service.conf"))
    except configparser.Error:
        return
    if password := parser.get(service, "password", fallback=""):
        yield password


def _read(name: str) -> str:
    try:
        return Path(name).expanduser().read_text("utf-8", errors="replace")
    except (OSError, RuntimeError):
        return ""
