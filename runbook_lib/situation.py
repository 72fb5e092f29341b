"""Situation: what planning starts from, and a refusal, its other possible result. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbook_lib.auditing import Conclusions, Observations
from runbook_lib.config import Decision, History
from runbook_lib.edits import TreeRepair
from runbook_lib.graph import SourceTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What planning starts from. ``tree`` is the project's own, ``repair`` made it loadable.

    ``target`` is Alembic's name for what the environment is to have, "heads" or a branch;
    ``may_lose`` the keys of tables and columns whose data a person allows revisions to drop.
    """

    seen: Observations
    drawn: Conclusions
    tree: SourceTree
    repair: TreeRepair
    history: History = "merge"
    target: str = "heads"
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    may_lose: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why no repair may be planned: a finding code, and a sentence with the choices."""

    code: str
    reason: str
