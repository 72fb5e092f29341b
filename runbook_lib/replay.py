"""Replay: run every revision for real in a shadow database, and see what it does.

Cached by content: the key covers the revision files, everything else that decides what they do,
and the server. An unchanged tree replays nothing. After a full replay the shadow is kept, so that
a revision that was added on top replays only itself, in a copy of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from runbook_lib import baseline, postgres, shadows
from runbook_lib.answers import Run
from runbook_lib.artifacts import digest
from runbook_lib.catalog import (
    READING,
    Catalog,
    ObjectChange,
    apply_changes,
    snapshot,
    table_of,
    without,
)
from runbook_lib.conversation import Progress, agent_source
from runbook_lib.dsn import Dsn
from runbook_lib.edits import FileEdit
from runbook_lib.effects import Inferred, Replay, RevisionReplay
from runbook_lib.graph import SourceTree, ancestors
from runbook_lib.narrowing import functions
from runbook_lib.project import Project
from runbook_lib.revisions import parse_tree
from runbook_lib.shelf import Shelf


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stands in a kept shadow: a replay that went well, of these files (path to digest).

    ``key`` is the name under which that replay lies on the shelf.
    """

    database: str
    setting: str
    files: Mapping[str, str]
    version_table: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """A replay on the shelf, with the digests of the project's modules that it imported."""

    sources: Mapping[str, str]
    replay: Replay


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One replay to do. ``setting`` is the digest of everything but the revision files."""

    project: Project
    tree: SourceTree
    scratch: postgres.Scratch
    edits: tuple[FileEdit, ...]
    target: str
    exclude: tuple[str, ...]
    progress: Progress | None
    shelf: Shelf
    setting: str
    inferred: Inferred | None = None

    @property
    def files(self) -> Mapping[str, str]:
        """The digest of every revision file, by path."""
        texts = self.tree.files.items()
        return {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts}

    @property
    def key(self) -> str:
        return digest([self.setting, self.files])

    @property
    def kept_name(self) -> str:
        """One kept shadow a project and place, another one for its edited trees."""
        settings = self.project.settings
        place = [settings.root, settings.ini, settings.section, list(settings.exec), self.target]
        own = [str(self.project.folder.resolve()), str(self.scratch.admin), bool(self.edits)]
        return f"runbook_kept_{digest([place, own])[:12]}"


def make_job(
    project: Project,
    tree: SourceTree,
    scratch: postgres.Scratch,
    *,
    edits: Sequence[FileEdit] = (),
    target: str = "heads",
    cache_folder: Path,
    exclude: Collection[str] = (),
    progress: Progress | None = None,
    inferred: Inferred | None = None,
) -> Job:
    """Put together what a replay of ``tree`` (with ``edits``) needs.

    ``exclude`` names tables, such as a version table, that count for nothing. ``inferred`` is what
    is made before the first revision, where no baseline is given.
    """
    job = Job(
        project=project,
        tree=_edited(tree, edits),
        scratch=scratch,
        edits=tuple(edits),
        target=target,
        exclude=tuple(sorted(exclude)),
        progress=progress,
        shelf=Shelf(cache_folder),
        setting=_setting(project, scratch, target, exclude),
    )
    return based(job, inferred) if inferred else job


def replay(job: Job) -> Replay:
    """Return what every revision of the job's tree does, each run once in a shadow.

    A revision that fails is in the result with its error. Raises ProjectError when env.py itself
    fails.
    """
    found = job.shelf.read(job.key, Cached)
    if found and _unchanged(job.project, found.sources):
        return baseline.as_found(replace(found.replay, cached=True))
    done = _with_kept(job)
    job.shelf.write(job.key, done)
    return baseline.as_found(done.replay)


def based(job: Job, inferred: Inferred) -> Job:
    """Return the same job over an inferred baseline."""
    return replace(job, inferred=inferred, setting=digest([job.setting, inferred]))


def _edited(tree: SourceTree, edits: Iterable[FileEdit]) -> SourceTree:
    """Apply the edits, whether or not ``tree`` has them already."""
    files = dict(tree.files)
    for edit in edits:
        files.pop(edit.path, None)
        if edit.after is not None and edit.path.endswith(".py"):
            files[edit.path] = edit.after
    return replace(tree, files=files)


def _setting(
    project: Project, scratch: postgres.Scratch, target: str, exclude: Collection[str]
) -> str:
    """Return the digest of all that decides a replay's result besides the revision files."""
    settings = project.settings
    parts = {
        "context": project.collection().context,
        "env": dict(settings.env),
        "baseline": shadows.baseline_digest(project),
        "agent": hashlib.sha256(agent_source()).hexdigest(),
        "snapshot": digest([READING, functions()]),
    }
    return digest([parts, settings.section, target, sorted(exclude), scratch.major])


def _unchanged(project: Project, sources: Mapping[str, str]) -> bool:
    return not sources or dict(project.digests(sources)) == dict(sources)


# The kept shadow ------------------------------------------------------------------------------


def _with_kept(job: Job) -> Cached:
    """Replay on top of the kept shadow where that is right, else from the start."""
    with job.shelf.lock(job.kept_name) as mine:
        kept = job.shelf.read(job.kept_name, Kept) if mine else None
        before = _usable(job, kept) if kept else None
        done = _on_top(job, kept, before) if kept and before else None
        return done or _from_start(job, keep=mine and job.scratch.place != "target")


def _usable(job: Job, kept: Kept) -> Cached | None:
    """Return what stands in the kept shadow when the tree only adds revisions above that."""
    if kept.setting != job.setting or not job.scratch.has(kept.database):
        return None
    done, files = job.shelf.read(kept.key, Cached), job.files
    same = all(files.get(path) == known for path, known in kept.files.items())
    if done is None or not same or not _unchanged(job.project, done.sources):
        return None
    ids = frozenset(item.revision_id for item in done.replay.revisions)
    below = ancestors(parse_tree(job.tree), ids) - ids
    return None if below else done


def _on_top(job: Job, kept: Kept, done: Cached) -> Cached | None:
    """Run what is new in a copy of the kept shadow; None when it is not what it should be."""
    shadow, stays = job.scratch.name("shadow"), False
    try:
        job.scratch.make(shadow, template=job.scratch.dsn(kept.database))
        found, before = read_shadow(shadow, (*job.exclude, kept.version_table)), done.replay
        if found.digest != before.final.digest:
            return None
        run = run_in(job, shadow, together=True)
        if run.again:
            return None
        known = {item.revision_id for item in before.revisions}
        fresh = {item.revision_id for item in parse_tree(job.tree).revisions} - known
        if {item.revision_id for item in run.revisions} != fresh:
            return None
        revisions = (*before.revisions, *_without(run.revisions, job.exclude))
        done = _cached(job, run, before.baseline, revisions, {**done.sources, **run.sources})
        stays = _keep(job, shadow, run, done)
        return done
    finally:
        if not stays:
            job.scratch.drop(shadow)


def _from_start(job: Job, *, keep: bool, partial: bool = True, together: bool = True) -> Cached:
    """Replay in a fresh shadow, the quickest way first; another one if that was not right."""
    shadow, stays = job.scratch.name("shadow"), False

    if keep:  # what was kept is of no use for this tree
        job.shelf.forget(job.kept_name)

    def meanwhile() -> None:
        make_shadow(job, shadow)

    try:
        run = run_in(job, shadow, partial=partial, together=together, meanwhile=meanwhile)
        if run.again:
            return _from_start(job, keep=keep, partial=run.again == "apart", together=False)
        before = run.baseline or read_shadow(shadow, job.exclude)
        before = without(before, [f"table:{name}" for name in job.exclude])
        revisions = _without(run.revisions, job.exclude)
        done = _cached(job, run, before, revisions, run.sources)
        stays = keep and _keep(job, shadow, run, done)
        if keep and not stays:
            job.scratch.drop(job.scratch.dsn(job.kept_name))
        return done
    finally:
        if not stays:
            job.scratch.drop(shadow)


def make_shadow(job: Job, shadow: Dsn) -> None:
    """Create the shadow and load the baseline."""
    shadows.make(job.project, job.scratch, shadow, job.inferred)


def run_in(
    job: Job,
    shadow: Dsn,
    *,
    partial: bool = False,
    together: bool = False,
    skip: Collection[str] = (),
    meanwhile: Callable[[], object] | None = None,
) -> Run:
    """Run what has not run yet in the shadow, less ``skip`` and what builds on it."""
    return job.project.run_replay(
        shadow,
        edits=job.edits,
        target=job.target,
        skip=skip,
        create_roles=job.scratch.place != "target",
        partial=partial,
        together=together,
        progress=job.progress,
        meanwhile=meanwhile,
    )


def _cached(
    job: Job,
    run: Run,
    before: Catalog,
    revisions: tuple[RevisionReplay, ...],
    sources: Mapping[str, str],
) -> Cached:
    final = before
    for item in revisions:
        final = apply_changes(final, item.changes)
    done = Replay(
        baseline=before,
        baseline_origin=_origin(job),
        revisions=revisions,
        final=final,
        server_version=run.server_version,
        inferred=job.inferred,
    )
    return Cached(sources=sources, replay=done)


def _origin(job: Job) -> Literal["empty", "given", "inferred"]:
    given = bool(job.project.settings.baseline)
    return "inferred" if job.inferred else "given" if given else "empty"


def _keep(job: Job, shadow: Dsn, run: Run, done: Cached) -> bool:
    """Put the shadow aside for the next replay, if all went well; say whether that was done.

    The next one looks first whether what stands in it is still right. The one kept before goes only
    now: some file systems make new files slowly where many were deleted a moment ago.
    """
    good = all(item.status == "replayed" and not item.lost for item in done.replay.revisions)
    if not good or not run.rows:
        return False
    job.shelf.forget(job.kept_name)
    job.scratch.rename(shadow, job.kept_name)
    kept = Kept(
        database=job.kept_name,
        setting=job.setting,
        files=job.files,
        version_table=run.version_table,
        key=job.key,
    )
    job.shelf.write(job.kept_name, kept)
    return True


def read_shadow(dsn: Dsn, exclude: Collection[str]) -> Catalog:
    """Return the shadow's catalog without the tables that ``exclude`` names."""
    connection = postgres.connect(dsn)
    try:
        return snapshot(connection, exclude=[name for name in exclude if name])
    finally:
        connection.close()


def _without(
    revisions: Iterable[RevisionReplay], exclude: Collection[str]
) -> tuple[RevisionReplay, ...]:
    """Leave out the changes of excluded tables and what belongs to them."""

    def counts(change: ObjectChange) -> bool:
        aspects = change.after or change.before
        return table_of(change.object, aspects) not in exclude

    return tuple(replace(item, changes=tuple(filter(counts, item.changes))) for item in revisions)
