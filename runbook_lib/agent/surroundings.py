"""Surroundings: the project's folder, and the environment variables that its ``env.py`` reads."""

from __future__ import annotations

import os
import re
import sys
from typing import Any
from urllib.parse import quote

from runbook_lib.agent.wire import Refused


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
