"""Probing: what an examination by the doctor hands from one step to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runbook_lib.answers import Description, Found
from runbook_lib.config import Environment
from runbook_lib.counting import count
from runbook_lib.dsn import Dsn
from runbook_lib.errors import UnreachableError
from runbook_lib.postgres import Scratch
from runbook_lib.project import Project

Status = Literal["good", "bad", "unknown", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that was looked at. A note is good enough to go on, but worth knowing."""

    name: str
    status: Status
    detail: str = ""
    todo: str = ""


@dataclass(slots=True, kw_only=True)
class Visit:
    """One examination at work: what the earlier steps found out for the later ones."""

    environment: Environment
    project: Project
    dsn: Dsn | None = None
    refusal: UnreachableError | None = None
    connection: Any = None
    scratch: Scratch | None = None
    shadow: Dsn | None = None
    found: Found | None = None
    description: Description | None = None
    status: dict[str, Status] = field(default_factory=dict)

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.dsn.password,) if self.dsn and self.dsn.password else ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.dsn.user, self.dsn.database, self.dsn.host) if self.dsn else ()


Probe = Callable[[Visit], Item]


def good(detail: str) -> Item:
    return Item(name="", status="good", detail=detail)


def note(detail: str, todo: str = "") -> Item:
    return Item(name="", status="note", detail=detail, todo=todo)


def bad(detail: str, todo: str) -> Item:
    return Item(name="", status="bad", detail=detail, todo=todo)


def some(names: Sequence[str], most: int = 3) -> str:
    """Name the first few of many."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def counted(names: Sequence[str], noun: str) -> str:
    """Count and name the first few of many."""
    return f"{count(len(names), noun)} ({some(names)})"
