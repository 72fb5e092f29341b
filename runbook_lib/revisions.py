"""RevisionGraph: the Alembic tree as its files say it, parsed with ``ast`` and never imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.artifacts import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree(Artifact):
    """The text of every revision file, by its path relative to the project's root.

    ``locations`` are the version locations in Alembic's order, relative to the root where they
    lie below it. ``sourceless`` names ``.pyc`` files that stand there without their source.
    """

    files: Mapping[str, str]
    locations: tuple[str, ...]
    sourceless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision file. ``file`` is relative to the project's root, ``doc`` its purpose."""

    revision_id: str
    file: str
    down_revisions: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    branch_labels: tuple[str, ...] = ()
    doc: str = ""
    source_digest: str = ""
    operations: tuple[str, ...] = ()
    has_downgrade: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloadableFile:
    """A file in a version location that cannot be read as a revision, and why."""

    file: str
    line: int
    error: str
    revision_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionGraph(Artifact):
    """Every revision of the tree in file order, duplicates kept, with what could not be read."""

    revisions: tuple[Revision, ...]
    unloadable: tuple[UnloadableFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The shape of the revision graph; edges are (child, parent) pairs of revision ids."""

    digest: str
    heads: tuple[str, ...]
    bases: tuple[str, ...]
    branch_points: tuple[str, ...]
    merge_points: tuple[str, ...]
    cycle_edges: tuple[tuple[str, str], ...]
    dangling_edges: tuple[tuple[str, str], ...]
