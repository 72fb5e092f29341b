"""Edits of the tree: repairs to revision files as before/after texts, and as one patch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbook_lib.artifacts import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEdit:
    """One file, relative to the project's root: ``before`` None adds it, ``after`` None removes."""

    path: str
    before: str | None
    after: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRepair(Artifact):
    """Edits that make a tree loadable (or clean), with the ids that they renamed (old to new).

    ``answers`` are the finding codes that the edits resolve; ``open`` are sentences on what no
    edit can resolve without a person.
    """

    edits: tuple[FileEdit, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
