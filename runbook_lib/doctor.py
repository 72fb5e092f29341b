"""Doctor: what is missing before the runbook can work, in the order in which to mend it.

The target is opened read-only. What is created is one disposable database, dropped again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg2

from runbook_lib import project_probes, target_probes
from runbook_lib.agent.wire import explain
from runbook_lib.config import Environment
from runbook_lib.dsn import redact
from runbook_lib.errors import RunbookError
from runbook_lib.probing import Item, Probe, Status, Visit, bad
from runbook_lib.project import Project

__all__ = ["Item", "examine", "exit_code", "report"]

MARKS: dict[Status, str] = {"good": "✓", "bad": "✗", "unknown": "?", "note": "✓"}
REACH = frozenset(("server", "login", "database", "interpreter"))
CONFIGURATION = frozenset(
    ("configuration", "address", "project folder", "packages", "alembic options", "checks")
) | {"alerts", "scratch", "client programs"}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to look at; it cannot be told before the steps in ``needs`` are good."""

    name: str
    probe: Probe
    needs: tuple[str, ...] = ()


STEPS = (
    Step("configuration", target_probes.configuration),
    Step("address", target_probes.address),
    Step("server", target_probes.server, ("address",)),
    Step("login", target_probes.login, ("server",)),
    Step("database", target_probes.database, ("login",)),
    Step("server version", target_probes.version, ("database",)),
    Step("reading", target_probes.reading, ("server version",)),
    Step("every row", target_probes.every_row, ("server version",)),
    Step("repairing", target_probes.repairing, ("server version",)),
    Step("client programs", target_probes.programs, ("server version",)),
    Step("scratch", target_probes.scratch, ("server version",)),
    Step("project folder", project_probes.folder),
    Step("interpreter", project_probes.interpreter, ("project folder",)),
    Step("packages", project_probes.packages, ("interpreter",)),
    Step("alembic options", project_probes.options, ("packages",)),
    Step("revision files", project_probes.files, ("alembic options",)),
    Step("env.py", project_probes.environment, ("revision files", "scratch")),
    Step("version table", project_probes.version_table, ("env.py",)),
    Step("checks", project_probes.checks, ("interpreter", "scratch")),
    Step("outputs", target_probes.outputs),
    Step("disk space", target_probes.space, ("database", "outputs")),
    Step("alerts", project_probes.alerts),
)


def examine(environment: Environment) -> tuple[Item, ...]:
    """Look at everything that a run of ``environment`` needs; raises nothing."""
    project = Project(environment.project, environment.folder)
    visit = Visit(environment=environment, project=project)
    items: list[Item] = []
    try:
        for step in STEPS:
            item = _taken(step, visit, items)
            visit.status[step.name] = item.status
            items.append(_redacted(replace(item, name=step.name), visit))
    finally:
        _leave(visit)
    return tuple(items)


def _taken(step: Step, visit: Visit, items: Sequence[Item]) -> Item:
    """Take one step. Whatever it raises becomes a bad item; a traceback helps nobody here."""
    if any(visit.status[name] in ("bad", "unknown") for name in step.needs):
        first = _first_cause(step, items)
        detail = f"Cannot be told before this is mended: {first}."
        return Item(name=step.name, status="unknown", detail=detail)
    try:
        return step.probe(visit)
    except RunbookError as error:
        return bad(error.message, error.hint)
    except psycopg2.Error as error:
        told = f"PostgreSQL refused to tell: {explain(error)}"
        return bad(told, "Check the connection, then try again.")
    except Exception as error:
        return bad(f"It could not be looked at ({type(error).__name__}).", "Please report this.")


def _first_cause(step: Step, items: Sequence[Item]) -> str:
    """Name the bad step that this one waits for, through those that wait themselves."""
    known = {item.name: item for item in items}
    waiting = list(step.needs)
    while waiting:
        item = known[waiting.pop(0)]
        if item.status == "bad":
            return item.name
        if item.status == "unknown":
            waiting += next(other.needs for other in STEPS if other.name == item.name)
    return step.needs[0]


def _redacted(item: Item, visit: Visit) -> Item:
    shown = (redact(text, visit.secrets, visit.names) for text in (item.detail, item.todo))
    detail, todo = shown
    return replace(item, detail=detail, todo=todo)


def _leave(visit: Visit) -> None:
    with suppress(Exception):
        if visit.scratch and visit.shadow:
            visit.scratch.drop(visit.shadow)
    with suppress(Exception):
        if visit.connection:
            visit.connection.close()


# The words for the user


def report(name: str, items: Iterable[Item]) -> str:
    """Return a line for each item, what to do about it below it, and one sentence at the end."""
    every = tuple(items)
    width = max((len(item.name) for item in every), default=0)
    lines = [f"{name}:"]
    for item in every:
        lines.append(f"{MARKS[item.status]} {item.name:<{width}}  {item.detail}".rstrip())
        lines += [f"  {'':<{width}}  → {item.todo}"] if item.todo else []
    return "\n".join([*lines, _sentence(name, every)])


def _sentence(name: str, items: Sequence[Item]) -> str:
    missing = [item.name for item in items if item.status == "bad"]
    if missing:
        rest = f", then: {', '.join(missing[1:])}" if missing[1:] else ""
        return f"{name} is not ready: mend {missing[0]} first{rest}."
    if any(item.status == "unknown" for item in items):
        return f"{name} is not ready: not everything could be told."
    return f"{name} is ready: runbook run -e {name}"


def exit_code(items: Iterable[Item]) -> int:
    """Return 0 all good, 4 something cannot be reached, 2 configuration, 1 anything else."""
    every = tuple(items)
    names = {item.name for item in every if item.status == "bad"}
    if names & REACH:
        return 4
    if names & CONFIGURATION:
        return 2
    return 1 if names or any(item.status == "unknown" for item in every) else 0
