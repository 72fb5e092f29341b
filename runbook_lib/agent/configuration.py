"""Configuration: the project's ``alembic.ini``, read as Alembic's command line does."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import os
import re
from typing import Any

from runbook_lib.agent.surroundings import substituted
from runbook_lib.agent.wire import Refused

FOREIGN_URL = re.compile(r"\s*(?!postgres)(\w+(\+\w+)?://|\{\w+\}\s*$)")


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
    require_versions()
    importlib.import_module("alembic.config")


def require_versions() -> None:
    """Refuse releases that the agent's hooks do not fit, before one of them fails somewhere."""
    for name, oldest in (("alembic", (1, 7)), ("sqlalchemy", (1, 4))):
        version = str(getattr(importlib.import_module(name), "__version__", ""))
        found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if found and found < oldest:
            needed = ".".join(map(str, oldest))
            raise Refused(
                "configuration",
                f"The project has {name} {version}; the runbook needs {needed} or newer.",
                f"Set [project] python to a virtual environment with the project's packages and "
                f"{name}>={needed}: one beside the application's own will do.",
            )


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
    fill_location(config, ini)
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


def fill_location(config: Any, ini: str) -> None:
    """Take the folder of an ini that lies beside env.py where script_location leads to none.

    Flask-Migrate's ini has no script_location, or one that ``flask db`` never looks at.
    """
    try:
        given = config.get_main_option("script_location")
    except Exception:
        return
    folder = os.path.dirname(ini) or "."
    if given and (":" in given or os.path.isfile(os.path.join(given, "env.py"))):
        return
    if os.path.isfile(os.path.join(folder, "env.py")):
        config.set_main_option("script_location", folder.replace("%", "%%"))


def fill_url(config: Any, address: dict[str, Any] | None) -> None:
    """Give ``sqlalchemy.url`` a value where the ini's leads to no PostgreSQL database.

    It has none, the template's placeholder, another system's address (a developer's SQLite file
    that the application replaces before it runs Alembic), or a field that the application fills in.
    """
    if not address:
        return
    try:
        given = config.get_main_option("sqlalchemy.url")
    except Exception:
        return
    if not given or FOREIGN_URL.match(given):
        known = ["psycopg2", "psycopg", "pg8000", "asyncpg"]
        known = ["asyncpg", "psycopg"] if is_async(config) else known
        drivers = [name for name in known if has(name)]
        driver = f"+{drivers[0]}" if drivers else ""
        url = "postgresql" + driver + address["url"][len("postgresql") :]
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))


def is_async(config: Any) -> bool:
    """True when env.py makes an asynchronous engine, which takes no other driver."""
    path = os.path.join(config.get_main_option("script_location") or "", "env.py")
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return False
    return bool(re.search(r"\b(async_engine_from_config|create_async_engine|AsyncEngine)\b", text))


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
