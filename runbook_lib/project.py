"""The project's own Alembic, run in the project's own interpreter, wherever that lives.

The agent's text and the request go over standard input; answers come back as JSON lines. So the
same path serves a local virtual environment, ``docker exec -i``, ``kubectl exec -i`` and ``ssh``,
nothing has to be installed there, and no secret stands in any argument.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, Any

from runbook_lib.artifacts import Artifact
from runbook_lib.catalog import (
    PREPARE_SQL,
    RESTORE_SQL,
    SNAPSHOT_SQL,
    Catalog,
    ObjectChange,
)
from runbook_lib.config import ProjectSettings
from runbook_lib.dsn import Dsn, redact
from runbook_lib.edits import FileEdit
from runbook_lib.effects import ReplayStatus, RevisionReplay
from runbook_lib.errors import (
    ConfigurationError,
    ProjectError,
    RunbookError,
    SafetyError,
    UnreachableError,
)
from runbook_lib.graph import SourceTree

Event = Mapping[str, Any]
Progress = Callable[[Event], None]
"""Is called with each event: ``event`` is started, statement, finished, failed or skipped,
``revision`` the id; started has ``number`` and ``total``, finished and failed have ``seconds``."""

BOOTSTRAP = (
    "import sys;s=sys.stdin.buffer;"
    "exec(compile(s.read(int(s.readline())),'runbook-agent','exec'),{'__name__':'__main__'})"
)
# For a few tables nested loops are right, and planning each time is not (PostgreSQL 12 or newer).
NARROW_SQL = PREPARE_SQL.replace("'enable_nestloop', 'off'", "'enable_nestloop', 'on'")
GENERIC_PLANS = (
    "SELECT pg_catalog.set_config(name, 'force_generic_plan', false)"
    " FROM pg_catalog.pg_settings WHERE name = 'plan_cache_mode'"
)
KINDS: dict[str, type[RunbookError]] = {
    "configuration": ConfigurationError,
    "project": ProjectError,
    "safety": SafetyError,
    "unreachable": UnreachableError,
}
STATUS: dict[str, ReplayStatus] = {
    "finished": "replayed",
    "failed": "failed",
    "skipped": "skipped",
}
LOST = "Alembic reported success, but its work was rolled back: no new connection sees it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What ``collect`` found. ``context`` is a digest over everything besides revision files
    that decides what they do: env.py and its neighbours, the ini file, installed packages."""

    tree: SourceTree
    script_location: str
    context: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description(Artifact):
    """The project's interpreter and what its env.py configures; versions as they call themselves.

    ``version_table_schema`` is "" for the search path; ``script_location`` is relative to the root.
    """

    python: str
    alembic: str
    sqlalchemy: str
    driver: str
    driver_version: str
    is_async: bool
    script_location: str
    version_table: str
    version_table_schema: str
    transaction_per_migration: bool
    has_metadata: bool
    include_schemas: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the project's Alembic. ``rows`` were read afterwards, on a new connection.

    ``baseline`` is the catalog before the first revision (replay only). ``sources`` are digests
    of the project's own modules that were imported, by path relative to the root.
    """

    revisions: tuple[RevisionReplay, ...]
    rows: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    rolled_back: tuple[str, ...] = ()
    baseline: Catalog | None = None
    version_table: str = ""
    server_version: str = ""
    exact: bool = True
    sources: Mapping[str, str]
    description: Description | None = None


class Project:
    """The Alembic project of ``settings``; ``folder`` is where ``runbook.toml`` lies.

    ``secrets`` are masked in everything that comes back. ``forbid`` is the environment's own
    database: no run against another address may connect to it.
    """

    def __init__(
        self,
        settings: ProjectSettings,
        folder: Path,
        secrets: Sequence[str] = (),
        *,
        forbid: Dsn | None = None,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.secrets = tuple(secrets)
        self.forbid = forbid
        self._collected: Found | None = None

    # Reading the tree

    def collect(self) -> SourceTree:
        """Read the revision files, importing none. Raises ConfigurationError when not found."""
        return self.collection(again=True).tree

    def collection(self, *, again: bool = False) -> Found:
        """Return what ``collect`` found, read once unless ``again``."""
        if again or self._collected is None:
            self._collected = self._collect()
        return self._collected

    def _collect(self) -> Found:
        found = self._one("collected", {"op": "collect"})
        tree = SourceTree(
            files=found["files"],
            locations=tuple(found["locations"]),
            sourceless=tuple(found["sourceless"]),
        )
        return Found(
            tree=tree,
            script_location=found["script_location"],
            context=found["context"],
            versions=found["versions"],
        )

    def digests(self, paths: Collection[str]) -> Mapping[str, str]:
        """Return the SHA-256 of files of the project by path relative to its root, "" if gone."""
        files: Mapping[str, str] = self._one("digests", {"op": "digests", "paths": sorted(paths)})[
            "files"
        ]
        return files

    # Running Alembic

    def describe(self, dsn: Dsn, edits: Sequence[FileEdit] = ()) -> Description:
        """Run env.py against ``dsn`` without doing anything and say what it configured."""
        found = self._one("described", {"op": "describe", "edits": _edits(edits)}, dsn)
        return _description(found)

    def replay(
        self,
        dsn: Dsn,
        *,
        edits: Sequence[FileEdit] = (),
        target: str = "heads",
        skip: Collection[str] = (),
        progress: Progress | None = None,
    ) -> tuple[RevisionReplay, ...]:
        """Run the revisions in the shadow ``dsn`` and return what each one did, in order."""
        return self.run_replay(
            dsn, edits=edits, target=target, skip=skip, progress=progress
        ).revisions

    def run_replay(
        self,
        dsn: Dsn,
        *,
        edits: Sequence[FileEdit] = (),
        target: str = "heads",
        skip: Collection[str] = (),
        create_roles: bool = False,
        partial: bool = False,
        progress: Progress | None = None,
    ) -> Run:
        """Replay, as ``replay`` does, and return all that is known of the run.

        ``create_roles`` lets it create roles that GRANT and OWNER need and the server lacks.
        ``partial``: read only the tables that a revision names, where its statements are of kinds
        that change nothing else; the result's ``exact`` says whether that was right.
        """
        snapshot = {"prepare": PREPARE_SQL, "query": SNAPSHOT_SQL, "restore": RESTORE_SQL}
        snapshot |= {"part": part_sql(), "narrow": NARROW_SQL} if partial else {}
        request = {
            "op": "replay",
            "target": target,
            "skip": sorted(skip),
            "edits": _edits(edits),
            "snapshot": snapshot,
            "create_roles": create_roles,
            "session": ["SET synchronous_commit TO off", GENERIC_PLANS],
        }
        return self._run(request, dsn, progress)

    def upgrade(
        self,
        dsn: Dsn,
        target: str = "heads",
        *,
        edits: Sequence[FileEdit] = (),
        only: Sequence[str] = (),
        commit: bool = False,
        progress: Progress | None = None,
        lock_timeout: str = "",
        statement_timeout: str = "",
    ) -> tuple[RevisionReplay, ...]:
        """Upgrade as the project's Alembic does it: nothing is forced.

        ``only`` runs exactly the named revisions in that order and leaves the version rows alone;
        ``commit`` commits what env.py leaves in a transaction that it never commits. A revision
        that failed, or whose work no new connection sees, has the status ``failed``.
        """
        request = {
            "op": "upgrade",
            "target": target,
            "only": list(only),
            "commit": commit,
            "edits": _edits(edits),
            "session": _timeouts(lock_timeout, statement_timeout),
        }
        return _settled(self._run(request, dsn, progress))

    def downgrade(
        self,
        dsn: Dsn,
        target: str = "",
        *,
        edits: Sequence[FileEdit] = (),
        only: Sequence[str] = (),
        progress: Progress | None = None,
        lock_timeout: str = "",
        statement_timeout: str = "",
    ) -> tuple[RevisionReplay, ...]:
        """Downgrade as the project's Alembic does it; see ``upgrade``.

        Raises ConfigurationError when neither ``target`` nor ``only`` is given.
        """
        if not target and not only:
            raise ConfigurationError("A downgrade needs a target.", "Name a revision, or base.")
        request = {
            "op": "downgrade",
            "target": target,
            "only": list(only),
            "edits": _edits(edits),
            "session": _timeouts(lock_timeout, statement_timeout),
        }
        return _settled(self._run(request, dsn, progress))

    def stamp(
        self,
        dsn: Dsn,
        target: str | Sequence[str],
        *,
        edits: Sequence[FileEdit] = (),
        lock_timeout: str = "",
        statement_timeout: str = "",
    ) -> tuple[RevisionReplay, ...]:
        """Write the version table without running a script. Raises ProjectError if it was lost."""
        request = {
            "op": "stamp",
            "target": [target] if isinstance(target, str) else list(target),
            "edits": _edits(edits),
            "session": _timeouts(lock_timeout, statement_timeout),
        }
        run = self._run(request, dsn, None)
        if run.lost:
            raise ProjectError(
                "Alembic reported that it stamped the database, but no new connection sees it.",
                "env.py leaves its transaction uncommitted: call context.configure first thing.",
            )
        return run.revisions

    def state(self, dsn: Dsn, edits: Sequence[FileEdit] = ()) -> Mapping[str, str]:
        """Return what ``alembic current``, ``history`` and ``heads`` print, or "error: …".

        The session is read-only, so that this may look at the target.
        """
        request = {
            "op": "state",
            "edits": _edits(edits),
            "session": ["SET default_transaction_read_only TO on"],
        }
        texts = self._one("state", request, dsn)["texts"]
        return {name: redact(text, self._masked(dsn)) for name, text in texts.items()}

    # Application checks

    def run(self, argv: Sequence[str], dsn: Dsn, timeout: float = 60.0) -> tuple[int, str]:
        """Run a command in the project's place; return its exit code and redacted output."""
        request = {"op": "run", "argv": list(argv), "timeout": timeout}
        return self._result(request, dsn)

    def call(self, function: str, dsn: Dsn, timeout: float = 60.0) -> tuple[bool, str]:
        """Call ``module:function`` in the project's interpreter, with the URL if it takes one.

        Return whether it gave a true value, and what it gave or raised.
        """
        request = {"op": "call", "callable": function, "timeout": timeout}
        code, output = self._result(request, dsn)
        return code == 0, output

    def prepare(self, function: str, dsn: Dsn, timeout: float = 600.0) -> None:
        """Call a function that fills a database; what it returns does not matter.

        Raises ProjectError with the function's own error.
        """
        request = {"op": "call", "callable": function, "timeout": timeout}
        code, output = self._result(request, dsn)
        if code == 1:
            raise ProjectError(f"{function} failed: {output}.", "Mend it, then try again.")

    def _result(self, request: dict[str, Any], dsn: Dsn) -> tuple[int, str]:
        found = self._one("result", request, dsn, timeout=request["timeout"] + 10)
        return int(found["code"]), redact(found["output"], self._masked(dsn))

    # The conversation with the agent

    def _run(self, request: dict[str, Any], dsn: Dsn, progress: Progress | None) -> Run:
        revisions: dict[str, RevisionReplay] = {}
        facts: dict[str, Event] = {}
        for event in self._events(request, dsn):
            kind = event["event"]
            facts[kind] = event
            if kind in STATUS:
                revisions.pop(event["revision"], None)  # a later pass runs it again, and later
                revisions[event["revision"]] = _revision(event, self._masked(dsn))
            if progress and "revision" in event:
                progress(event)
        return _run_of(tuple(revisions.values()), facts)

    def _one(
        self, name: str, request: dict[str, Any], dsn: Dsn | None = None, timeout: float = 0
    ) -> Event:
        """Return the one event of that name that the request is answered with."""
        events = {event["event"]: event for event in self._events(request, dsn, timeout)}
        return events[name]

    def _events(
        self, request: dict[str, Any], dsn: Dsn | None, timeout: float = 0
    ) -> Iterator[Event]:
        """Send one request and give the answers as they come. Raises what the agent reports."""
        conversation = Conversation(self._argv(), self.folder, timeout)
        masked = self._masked(dsn)
        with conversation.open() as lines:
            conversation.send(agent_source(), json.dumps(self._request(request, dsn)))
            for event in lines:
                if event["event"] == "error":
                    raise KINDS[event["kind"]](redact(event["message"], masked), event["hint"])
                if event["event"] == "end":
                    return
                yield event
        raise self._ended(conversation, masked)

    def _ended(self, conversation: Conversation, masked: Sequence[str]) -> RunbookError:
        """Say why there is no final answer: it never began, it hung, or it died."""
        words = redact(conversation.last_words, masked)
        if not conversation.answered and self.settings.exec:
            prefix = shlex.join(self.settings.exec)
            return UnreachableError(
                f"The project's interpreter cannot be reached with `{prefix}`: "
                f"{words or 'it said nothing'}",
                "Check [project] exec and python: run that command by hand.",
            )
        if conversation.timed_out:
            return ProjectError("The project's interpreter did not answer in time.", words)
        return ProjectError(
            f"The project's interpreter ended without an answer (exit code {conversation.code}): "
            f"{words or 'it said nothing'}",
            "Its own words are above; run alembic by hand in the project to see more.",
        )

    def _argv(self) -> list[str]:
        settings = self.settings
        python = settings.python or ("python" if settings.exec else sys.executable)
        if not settings.exec and os.sep in python:
            python = str(self.folder / python)  # not resolved: a venv's python is a link
        own = [python, "-c", BOOTSTRAP]
        # ssh hands its words to a shell on the other side.
        remote = any(Path(item).name in ("ssh", "autossh") for item in settings.exec)
        return [*settings.exec, *(shlex.join([item]) if remote else item for item in own)]

    def _request(self, request: dict[str, Any], dsn: Dsn | None) -> dict[str, Any]:
        settings = self.settings
        root = settings.root if settings.exec else str((self.folder / settings.root).resolve())
        forbid = self.forbid if dsn and self.forbid and not _same(dsn, self.forbid) else None
        return {
            "root": root,
            "shown_root": settings.root,
            "ini": settings.ini,
            "section": settings.section,
            "x": list(settings.x),
            "env": dict(settings.env),
            "address": _address(dsn) if dsn else None,
            "forbid": _address(forbid) if forbid else None,
            **request,
        }

    def _masked(self, dsn: Dsn | None) -> tuple[str, ...]:
        known = [item.password for item in (dsn, self.forbid) if item and item.password]
        return (*self.secrets, *known)


class Conversation:
    """One agent process: what is sent to it, what it answers, and how it ended."""

    def __init__(self, argv: Sequence[str], folder: Path, timeout: float = 0) -> None:
        self.argv = argv
        self.folder = folder
        self.timeout = timeout
        self.answered = False
        self.timed_out = False
        self.code = 0
        self._noise: deque[str] = deque(maxlen=200)

    @property
    def last_words(self) -> str:
        lines = [line.strip() for line in self._noise if line.strip()]
        return " / ".join(lines[-5:])

    @contextmanager
    def open(self) -> Iterator[Iterator[Event]]:
        """Start the process; whatever happens inside, it has ended when the block is left."""
        process = self._start()
        self._process = process
        listener = threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)
        listener.start()
        timer = threading.Timer(self.timeout, self._expire) if self.timeout else None
        if timer:
            timer.start()
        try:
            yield self._answers(process.stdout)
        finally:
            if timer:
                timer.cancel()
            self._end(process)
            listener.join(timeout=2)
            if process.stderr and not listener.is_alive():  # else a grandchild still holds it
                process.stderr.close()

    def send(self, source: bytes, request: str) -> None:
        """Write the agent's text and one request; a process that has died is told by its end."""
        stream = self._process.stdin
        assert stream is not None
        with suppress(BrokenPipeError):
            stream.write(b"%d\n" % len(source) + source + request.encode() + b"\n")
            stream.flush()

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self.argv,
                cwd=self.folder,
                start_new_session=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise ConfigurationError(
                f"{Path(self.argv[0]).name} cannot be run ({error.strerror}).",
                "Check [project] exec and python in runbook.toml.",
            ) from error

    def _answers(self, stream: IO[bytes] | None) -> Iterator[Event]:
        assert stream is not None
        for line in stream:
            try:
                event = json.loads(line)
                kind = event["event"]
            except (ValueError, TypeError, KeyError):
                self._noise.append(line.decode(errors="replace"))  # a banner of ssh's, say
                continue
            self.answered = self.answered or bool(kind)
            yield event

    def _listen(self, stream: IO[bytes] | None) -> None:
        with suppress(ValueError):
            for line in stream or ():
                self._noise.append(line.decode(errors="replace"))

    def _expire(self) -> None:
        self.timed_out = True
        self._kill(self._process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Close its input, which ends the agent on the other side too, and wait for it."""
        with suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            self.code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._kill(process)
            self.code = process.wait()
        if process.stdout:
            process.stdout.close()

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@cache
def agent_source() -> bytes:
    """Return the text of the agent, as it is sent."""
    return resources.files("runbook_lib").joinpath("agent.py").read_bytes()


# The lines of SNAPSHOT_SQL that choose relations, types and functions, and what they become.
_CHOICES = (
    (
        "WHERE c.oid >= 16384 AND",
        "WHERE c.oid IN (SELECT unnest($1)"
        " UNION ALL SELECT x.indexrelid FROM pg_catalog.pg_index x WHERE x.indrelid = ANY ($1)"
        " UNION ALL SELECT x.confrelid FROM pg_catalog.pg_constraint x"
        " WHERE x.conrelid = ANY ($1)"
        " UNION ALL SELECT x.objid FROM pg_catalog.pg_depend x"
        " WHERE x.refclassid = CAST('pg_catalog.pg_class' AS regclass) AND x.refobjid = ANY ($1)"
        " AND x.classid = CAST('pg_catalog.pg_class' AS regclass) AND x.deptype IN ('a', 'i')) AND",
    ),
    ("WHERE t.oid >= 16384 AND", "WHERE false AND"),
    ("WHERE p.oid >= 16384 AND", "WHERE false AND"),
)


@cache
def part_sql() -> str:
    """Return SNAPSHOT_SQL for a few tables ($1, their oids); "" if it is not as it was."""
    text = SNAPSHOT_SQL
    for line, narrower in _CHOICES:
        if text.count(line) != 1:
            return ""
        text = text.replace(line, narrower)
    return text


def _same(one: Dsn, other: Dsn) -> bool:
    return (one.host, one.port, one.database) == (other.host, other.port, other.database)


def _address(dsn: Dsn) -> dict[str, Any]:
    return {
        "url": dsn.text,
        "host": dsn.host,
        "port": dsn.port,
        "user": dsn.user,
        "password": dsn.password,
        "database": dsn.database,
        "socket": dsn.host if dsn.host.startswith("/") else "",
        "options": dsn.options,
        "environ": dsn.environ(),
    }


def _edits(edits: Sequence[FileEdit]) -> list[dict[str, Any]]:
    return [{"path": edit.path, "before": edit.before, "after": edit.after} for edit in edits]


def _timeouts(lock_timeout: str, statement_timeout: str) -> list[str]:
    given = {"lock_timeout": lock_timeout, "statement_timeout": statement_timeout}
    return [
        f"SET {name} TO '{value.replace(chr(39), chr(39) * 2)}'"
        for name, value in given.items()
        if value
    ]


def _description(event: Event) -> Description:
    return Description(**{name: event[name] for name in Description.__slots__})


def _revision(event: Event, masked: Sequence[str]) -> RevisionReplay:
    return RevisionReplay(
        revision_id=event["revision"],
        status=STATUS[event["event"]],
        seconds=event.get("seconds", 0.0),
        statements=tuple(redact(text, masked) for text in event.get("statements", ())),
        changes=tuple(
            ObjectChange(object=key, before=before, after=after)
            for key, before, after in event.get("changes", ())
        ),
        rows=event.get("rows", 0),
        touches_rows=event.get("touches_rows", False),
        commits_inside=event.get("commits_inside", False),
        autocommit=event.get("autocommit", False),
        lost=event.get("lost", False),
        error=redact(event.get("error", ""), masked),
    )


def _run_of(revisions: tuple[RevisionReplay, ...], facts: Mapping[str, Event]) -> Run:
    final = facts.get("final", {})
    baseline = facts.get("baseline")
    described = facts.get("described")
    lost = tuple(final.get("lost", ()))
    return Run(
        revisions=tuple(
            replace(item, lost=True) if item.revision_id in lost else item for item in revisions
        ),
        rows=tuple(final.get("rows", ())),
        lost=lost,
        rolled_back=tuple(final.get("rolled_back", ())),
        baseline=Catalog(objects=baseline["objects"]) if baseline else None,
        version_table=final.get("version_table", ""),
        server_version=final.get("server", ""),
        exact="inexact" not in facts,
        sources=final.get("sources", {}),
        description=_description(described) if described else None,
    )


def _settled(run: Run) -> tuple[RevisionReplay, ...]:
    """Give revisions whose work is gone the status failed, so that nobody takes them for done."""
    cause = [item for item in run.revisions if item.error]
    words = (
        f"It was rolled back when {cause[0].revision_id} failed: {cause[0].error}" if cause else ""
    )
    gone = {**dict.fromkeys(run.rolled_back, words), **dict.fromkeys(run.lost, LOST)}
    return tuple(
        replace(item, status="failed", error=gone[item.revision_id])
        if item.revision_id in gone and not item.error
        else item
        for item in run.revisions
    )
