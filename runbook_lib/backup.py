"""Backup: full, schema-only and migration-state dumps, proven by restoring them into a clone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runbook_lib.artifacts import Artifact
from runbook_lib.catalog import ObjectChange


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFile:
    """One file of the backup; ``path`` is relative to the run's folder, ``size`` in bytes."""

    kind: Literal["full", "schema", "migration-state"]
    path: str
    size: int
    sha256: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFingerprint:
    """The rows of one table, in no order: their count and a digest over the named columns."""

    table: str
    columns: tuple[str, ...]
    rows: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup(Artifact):
    """A backup and the proof that it can be restored: the clone equals what was dumped.

    ``fingerprints`` were taken in the same database snapshot as the dump; ``differences`` and
    ``unequal_tables`` compare the restored clone with it, and are empty when it is verified.
    """

    taken_at: str
    files: tuple[BackupFile, ...]
    fingerprints: tuple[TableFingerprint, ...]
    catalog_digest: str
    clone: str
    differences: tuple[ObjectChange, ...]
    unequal_tables: tuple[str, ...]
    restore_seconds: float

    @property
    def verified(self) -> bool:
        return not self.differences and not self.unequal_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class TableProof:
    """The rows of one table before and after, over the columns that both have."""

    table: str
    rows_before: int
    rows_after: int
    equal: bool
