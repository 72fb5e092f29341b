"""``runbook.toml``: which project, which databases, and what may be done to them.

Secrets are references only: ``url_env`` names an environment variable, ``url_file`` a file. A
``url`` with a password in it is refused.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from runbook_lib.dsn import Dsn
from runbook_lib.errors import ConfigurationError

FILE_NAME = "runbook.toml"
CONFIG_VARIABLE = "RUNBOOK_CONFIG"

Approval = Literal["person", "auto"]
History = Literal["merge", "linear"]
Decision = Literal["adopt", "revert", "ignore"]
T = TypeVar("T")

DECISIONS: tuple[Decision, ...] = ("adopt", "revert", "ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """``[project]``: where the Alembic project lives and which interpreter runs it.

    ``root`` is the folder that holds ``alembic.ini`` (inside the container, when ``exec`` is a
    ``docker exec``); ``env`` sets what the project's ``env.py`` reads, with the placeholders
    ``{url} {host} {port} {user} {password} {database} {socket}``.
    """

    root: str = "."
    ini: str = "alembic.ini"
    section: str = "alembic"
    python: str = ""
    exec: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    x: tuple[str, ...] = ()
    baseline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """``[[checks]]``: one application check; exactly one of command, sql and callable.

    A ``command`` runs in the project's interpreter's place with ``[project.env]`` set for the
    database under test and is good when it exits 0; ``sql`` is good when it returns one true
    value; ``callable`` is ``module:function``, called in the project's interpreter.
    """

    name: str
    command: tuple[str, ...] = ()
    sql: str = ""
    callable: str = ""
    timeout: float = 60.0
    on_target: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """``[alerts]``: where findings of the monitor go. The URL is a reference, as all secrets."""

    webhook_env: str = ""
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """``[environments.NAME]``: one target database and the rules that hold for it.

    Timeouts are PostgreSQL interval texts, ``watch_seconds`` seconds. ``after`` names the
    environment whose sealed evidence has to be there first. ``branch`` is an Alembic target such
    as ``main@head`` when only one branch of the tree belongs to this database. ``ran`` and
    ``not_ran`` are what a person knows of revisions that leave no trace in the schema; ``may_lose``
    are keys of tables and columns whose data revisions may drop.
    """

    name: str
    project: ProjectSettings
    folder: Path
    outputs: Path
    url_env: str = ""
    url_file: str = ""
    url: str = ""
    protected: bool = True
    approval: Approval = "person"
    after: str = ""
    history: History = "merge"
    write_files: bool = False
    branch: str = "heads"
    version_table: str = ""
    version_table_schema: str = ""
    scratch: str = "embedded"
    ignore: tuple[str, ...] = ()
    drift: Mapping[str, Decision] = field(default_factory=dict)
    ran: tuple[str, ...] = ()
    not_ran: tuple[str, ...] = ()
    may_lose: tuple[str, ...] = ()
    lock_timeout: str = "5s"
    statement_timeout: str = "15min"
    watch_seconds: float = 5.0
    checks: tuple[Check, ...] = ()
    alerts: Alerts = Alerts()

    def dsn(self) -> Dsn:
        """Resolve the reference. Raises ConfigurationError that names the reference only."""
        return Dsn.parse(resolve_reference(self, self.url_env, self.url_file, self.url))

    @property
    def project_root(self) -> Path:
        """The project's folder on this machine (of meaning when ``exec`` is empty)."""
        return (self.folder / self.project.root).resolve()

    @property
    def state_folder(self) -> Path:
        """Where caches and the embedded server live; never archived, safe to delete."""
        return Path(os.environ.get("RUNBOOK_STATE") or self.folder / ".runbook")


def resolve_reference(environment: Environment, variable: str, file: str, plain: str) -> str:
    """Return what a secret reference stands for."""
    where = f"[environments.{environment.name}]"
    if variable:
        value = os.environ.get(variable, "")
        if not value:
            raise ConfigurationError(
                f"{where} takes its address from the variable {variable}, which is not set.",
                f"Run: export {variable}=postgresql://USER:PASSWORD@HOST/DATABASE",
            )
        return value
    if file:
        path = environment.folder / file
        try:
            return path.read_text().strip()
        except OSError as error:
            raise ConfigurationError(
                f"{where} takes its address from the file {file}, which cannot be read "
                f"({error.strerror}).",
                "Write the database's URL into it, readable by you alone.",
            ) from error
    if plain:
        return plain
    raise ConfigurationError(f"{where} has no address.", "Set url_env or url_file.")


def find_config(start: Path | None = None, name: str = "") -> Path:
    """Find ``runbook.toml``: as named, else $RUNBOOK_CONFIG, else here or in a folder above."""
    named = name or os.environ.get(CONFIG_VARIABLE, "")
    start = (start or Path.cwd()).resolve()
    if named:
        path = Path(named) if Path(named).is_absolute() else start / named
        path = path / FILE_NAME if path.is_dir() else path
        if not path.is_file():
            raise ConfigurationError(
                f"There is no {named}.", "Check the path, or run: runbook init"
            )
        return path
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigurationError(
        f"There is no {FILE_NAME} here or in a folder above.", "Run: runbook init"
    )


def load_environments(path: Path) -> dict[str, Environment]:
    """Read every environment of a ``runbook.toml``, by name.

    Raises ConfigurationError on unknown keys, wrong types, an unknown ``after`` or a password.
    """
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path.name} cannot be read: {error}.", "Mend it.") from error
    _only(data, {"project", "environments", "checks", "alerts", "outputs"}, path.name)
    folder = path.resolve().parent
    project = _build(ProjectSettings, data.get("project", {}), "[project]")
    checks = tuple(
        _check(item, f"[[checks]] number {number}")
        for number, item in enumerate(data.get("checks", []), 1)
    )
    alerts = _build(Alerts, data.get("alerts", {}), "[alerts]")
    shared = {
        "project": project,
        "folder": folder,
        "outputs": folder / str(data.get("outputs", "outputs")),
        "alerts": alerts,
    }
    environments = {
        name: _environment(name, table, shared, checks)
        for name, table in data.get("environments", {}).items()
    }
    for environment in environments.values():
        _require_sound(environment, environments)
    return environments


def load_environment(name: str, config: str = "") -> Environment:
    """Read one environment. Raises ConfigurationError with the nearest name when unknown."""
    environments = load_environments(find_config(name=config))
    if name in environments:
        return environments[name]
    near = difflib.get_close_matches(name, environments, 1)
    raise ConfigurationError(
        f"There is no environment {name!r}; there are: {', '.join(environments) or 'none'}.",
        f"Did you mean {near[0]!r}?" if near else "Add [environments.NAME] to runbook.toml.",
    )


def _environment(
    name: str, table: Any, shared: Mapping[str, Any], checks: tuple[Check, ...]
) -> Environment:
    where = f"[environments.{name}]"
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} is not a table.", "Mend runbook.toml.")
    if not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigurationError(
            f"{where}: the name is used as a folder.", "Use letters, digits, - and _ only."
        )
    own = tuple(_check(item, f"{where} checks") for item in table.get("checks", []))
    rest = {key: value for key, value in table.items() if key != "checks"}
    return _build(Environment, rest, where, name=name, checks=checks + own, **shared)


def _check(table: Any, where: str) -> Check:
    check = _build(Check, table, where)
    if sum(map(bool, (check.command, check.sql, check.callable))) != 1:
        raise ConfigurationError(
            f"{where} {check.name!r} needs exactly one of command, sql and callable.",
            "Mend runbook.toml.",
        )
    return check


def _require_sound(environment: Environment, all_: Mapping[str, Environment]) -> None:
    where = f"[environments.{environment.name}]"
    if environment.after and environment.after not in all_:
        raise ConfigurationError(
            f"{where} after = {environment.after!r} names no environment.", "Mend runbook.toml."
        )
    if environment.project.exec and environment.write_files:
        raise ConfigurationError(
            f"{where} write_files is true, but [project] exec says that the project is elsewhere.",
            "Set write_files = false and apply repair.patch where its files come from.",
        )
    if environment.url and Dsn.parse(environment.url).password:
        raise ConfigurationError(
            f"{where} url holds a password.", "Use url_env or url_file: secrets are references."
        )
    if environment.protected and environment.approval == "auto":
        raise ConfigurationError(
            f'{where} is protected and cannot declare approval = "auto".',
            "Set protected = false, or leave the approval to a person.",
        )
    both = sorted({*environment.ran} & {*environment.not_ran})
    if both:
        raise ConfigurationError(
            f"{where} says of {', '.join(both)} both that it ran and that it did not.",
            "Name it in ran or in not_ran.",
        )
    for key in environment.may_lose:
        if not key.startswith(("table:", "column:")):
            raise ConfigurationError(
                f"{where} may_lose {key!r} names no table and no column.",
                'Write it as the findings do: "table:public.old" or "column:public.users.old".',
            )
    for subject, decision in environment.drift.items():
        if decision not in DECISIONS:
            raise ConfigurationError(
                f"{where} drift {subject!r} = {decision!r} is not a decision.",
                f"Use one of {', '.join(DECISIONS)}.",
            )


def _only(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise ConfigurationError(
                f"{where} has an unknown key {key!r}.",
                f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(sorted(known))}.",
            )


_EXPECTED: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "float": (int, float),
    "tuple[str, ...]": (list, tuple),
    "Mapping[str, str]": (dict,),
    "Mapping[str, Decision]": (dict,),
    "Approval": (str,),
    "History": (str,),
}
_CHOICES = {"Approval": ("person", "auto"), "History": ("merge", "linear")}


def _build(cls: type[T], table: Any, where: str, **given: Any) -> T:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} is not a table.", "Mend runbook.toml.")
    kinds = {item.name: str(item.type) for item in fields(cls) if item.name not in given}  # type: ignore[arg-type]
    _only(table, set(kinds), where)
    values = {key: _value(value, kinds[key], f"{where} {key}") for key, value in table.items()}
    try:
        return cls(**values, **given)
    except TypeError as error:
        raise ConfigurationError(f"{where} lacks a key: {error}.", "Mend runbook.toml.") from error


def _value(value: Any, kind: str, where: str) -> Any:
    expected = _EXPECTED[kind]
    wrong_bool = isinstance(value, bool) and bool not in expected
    if not isinstance(value, expected) or wrong_bool:
        raise ConfigurationError(
            f"{where} = {value!r} has the wrong type.", f"It has to be: {expected[0].__name__}."
        )
    if kind in _CHOICES and value not in _CHOICES[kind]:
        raise ConfigurationError(
            f"{where} = {value!r} is not known.", f"Use one of {', '.join(_CHOICES[kind])}."
        )
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    if any(not isinstance(item, str) for item in inner):
        raise ConfigurationError(f"{where} holds something that is not a text.", "Add quotes.")
    return tuple(value) if isinstance(value, list) else value
