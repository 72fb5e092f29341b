"""Backup: full, schema-only and migration-state dumps, proven by restoring them into a clone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Literal

from runbook_lib import counting
from runbook_lib.artifacts import Artifact, file_digest
from runbook_lib.catalog import Catalog, ObjectChange, diff, snapshot
from runbook_lib.connection import one_instant
from runbook_lib.dialect import translated
from runbook_lib.dsn import Dsn
from runbook_lib.errors import GateError, RunbookError
from runbook_lib.evidence import moment
from runbook_lib.fingerprints import SEQUENCE, TableFingerprint, fingerprints
from runbook_lib.postgres import (
    Connection,
    Scratch,
    connect,
    ensure_roles,
    fetch,
    roles_of,
)
from runbook_lib.programs import client_environment, client_program, require_success
from runbook_lib.restore import restore, restore_over
from runbook_lib.survival import compare_rows

__all__ = [
    "Backup",
    "BackupFile",
    "make_backup",
    "require_space",
    "restore",
    "restore_over",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFile:
    """One file of the backup; ``path`` is relative to the run's folder, ``size`` in bytes."""

    kind: Literal["full", "schema", "migration-state"]
    path: str
    size: int
    sha256: str
    seconds: float


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

    @property
    def tables(self) -> tuple[TableFingerprint, ...]:
        """The fingerprints of tables and materialized views, without those of sequences."""
        return tuple(f for f in self.fingerprints if not f.table.startswith(SEQUENCE))


Progress = Callable[[str], None]
LOCK_WAIT = "60s"
SPARE_BYTES = 64 * 2**20


def make_backup(
    dsn: Dsn,
    folder: Path,
    scratch: Scratch,
    *,
    project_state: Mapping[str, str],
    rows: Sequence[str | None] | None,
    version_table: str,
    progress: Progress | None = None,
) -> Backup:
    """Back up a database and prove the backup by restoring it into a clone.

    Dumps, fingerprints and catalog are of one instant, while the application goes on writing.
    ``folder`` is the run's folder; the files go to its ``backup``. ``project_state`` is what
    Alembic says of itself (texts by name), ``rows`` are the version table's (None: no table). The
    clone stays, for the phases to come. Raises RunbookError; no half-written file is left then.
    """
    report = progress or _silent
    taken_at = datetime.now(UTC)
    connection = connect(dsn, lock_timeout=LOCK_WAIT, statement_timeout="0")
    try:
        _require_space(connection, folder, scratch)
        roles = roles_of(connection)
        with one_instant(connection) as name:
            report("Fingerprinting every table")
            before = fingerprints(connection)
            catalog = snapshot(connection)
            state = {**project_state, "version_table": version_table, "rows": rows}
            files = _dump(connection, dsn, folder, taken_at, name, state, report)
        report("Restoring into the clone")
        started = time.monotonic()
        clone = scratch.create("clone", like=connection)
    finally:
        connection.close()
    try:
        ensure_roles(clone, roles)
        differences, unequal = _prove(folder / files[0].path, clone, catalog, before)
    except BaseException:
        with suppress(RunbookError):
            scratch.drop(clone)
        raise
    report("Restored and compared")
    return Backup(
        taken_at=moment(taken_at),
        files=files,
        fingerprints=before,
        catalog_digest=catalog.digest,
        clone=clone.database,
        differences=differences,
        unequal_tables=unequal,
        restore_seconds=round(time.monotonic() - started, 3),
    )


def _silent(text: str) -> None:
    """Report to nobody."""


def _prove(
    dump: Path, clone: Dsn, catalog: Catalog, before: tuple[TableFingerprint, ...]
) -> tuple[tuple[ObjectChange, ...], tuple[str, ...]]:
    """Restore into the clone; return the objects and the tables that differ from the target."""
    connection = connect(clone, read_only=False)
    try:
        restore(dump, clone, server_version_num=connection.server_version)
        if "schema:public" not in catalog.objects:  # a new database has one, the target has not
            with connection.cursor() as cursor:
                cursor.execute("DROP SCHEMA IF EXISTS public")
        proofs = compare_rows(before, connection)
        unequal = tuple(proof.table for proof in proofs if not proof.equal)
        wanted = _dumped(catalog)
        return diff(wanted, translated(snapshot(connection), wanted)), unequal
    finally:
        connection.close()


def _dumped(catalog: Catalog) -> Catalog:
    """Return what of the catalog a dump holds: pg_dump leaves invalid indexes out."""
    return Catalog(
        objects={
            key: aspects
            for key, aspects in catalog.objects.items()
            if not (key.startswith("index:") and aspects.get("valid") == "no")
        }
    )


def _require_space(connection: Connection, folder: Path, scratch: Scratch) -> None:
    ((size,),) = fetch(
        connection, "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())"
    )
    require_space(folder, int(size) * (2 if scratch.private else 1) + SPARE_BYTES)


def require_space(folder: Path, needed: int) -> None:
    """Raise GateError when the disk of ``folder`` has less than ``needed`` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise GateError(
            f"The backup needs up to {counting.size(needed)} here (the dump, and the clone that "
            f"proves it), and {counting.size(free)} are free.",
            'Free some space, set outputs to a larger disk, or use scratch = "target".',
        )


def _dump(
    connection: Connection,
    dsn: Dsn,
    folder: Path,
    taken_at: datetime,
    snapshot_name: str,
    state: Mapping[str, object],
    report: Progress,
) -> tuple[BackupFile, ...]:
    """Write the three files; none is left when one fails."""
    place = folder / "backup"
    place.mkdir(parents=True, exist_ok=True)
    stem = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', dsn.database)}-{taken_at:%Y%m%dT%H%M%SZ}"
    paths = {
        "full": place / f"{stem}.dump",
        "schema": place / f"{stem}-schema.sql",
        "migration-state": place / f"{stem}-migration-state.json",
    }
    program = client_program("pg_dump", connection.server_version)
    common = ["--no-password", f"--snapshot={snapshot_name}", "--lock-wait-timeout=60s"]
    ((size,),) = fetch(connection, "SELECT pg_catalog.pg_database_size(current_database())")
    report(f"Dumping a database of {counting.size(size)}; compressed, it gets smaller")
    try:
        return (
            _file(
                "full",
                paths["full"],
                folder,
                lambda path: _run_dump(
                    program, ["--format=custom", "--compress=1", *common], dsn, path, report
                ),
            ),
            _file(
                "schema",
                paths["schema"],
                folder,
                lambda path: _run_dump(program, ["--schema-only", *common], dsn, path, report),
            ),
            _file(
                "migration-state",
                paths["migration-state"],
                folder,
                lambda path: _write_json(path, state),
            ),
        )
    except BaseException as error:
        for path in paths.values():
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise GateError(
                f"The backup of {dsn.database} cannot be written: {error.strerror}.",
                "Check the free space and the permissions of the outputs folder.",
            ) from error
        raise


def _write_json(path: Path, state: Mapping[str, object]) -> None:
    path.write_text(json.dumps(state, indent=2, ensure_ascii=False) + "\n")


def _file(
    kind: Literal["full", "schema", "migration-state"],
    path: Path,
    folder: Path,
    write: Callable[[Path], None],
) -> BackupFile:
    """Write one file beside its place, then move it there."""
    started = time.monotonic()
    partial = path.with_name(f"{path.name}.partial")
    try:
        write(partial)
        partial.chmod(0o600)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return BackupFile(
        kind=kind,
        path=path.relative_to(folder).as_posix(),
        size=path.stat().st_size,
        sha256=file_digest(path),
        seconds=round(time.monotonic() - started, 3),
    )


def _run_dump(program: Path, args: Sequence[str], dsn: Dsn, path: Path, report: Progress) -> None:
    """Run pg_dump into ``path``, and report how much it has written."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [str(program), *args, f"--file={path}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=client_environment(dsn),
        )
        try:
            for pause in chain((1, 2, 4, 8, 16), repeat(30)):
                try:
                    process.wait(pause)
                    break
                except subprocess.TimeoutExpired:
                    grown = path.stat().st_size if path.exists() else 0
                    report(f"  {counting.size(grown)} written")
        except BaseException:
            process.kill()
            process.wait()
            raise
        errors.seek(0)
        _require_dumped(program, process.returncode, errors.read(), dsn)


def _require_dumped(program: Path, code: int, errors: str, dsn: Dsn) -> None:
    if code and "row-level security" in errors:
        raise GateError(
            f"The database {dsn.database} cannot be backed up whole: row-level security hides "
            f"rows from the user {dsn.user}.",
            f'Run as a superuser: ALTER ROLE "{dsn.user}" BYPASSRLS; or back up as the owner.',
        )
    require_success(program, code, errors, dsn)
