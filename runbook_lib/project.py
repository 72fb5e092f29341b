"""The project's own Alembic, run in the project's own interpreter, wherever that lives.

The agent's text and the request go over standard input; answers come back as JSON lines. So the
same path serves a local virtual environment, ``docker exec -i``, ``kubectl exec -i`` and ``ssh``,
nothing has to be installed there, and no secret stands in any argument.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from runbook_lib import questions
from runbook_lib.answers import (
    STATUS,
    Description,
    Found,
    Run,
    description,
    revision,
    run_of,
    settled,
)
from runbook_lib.catalog import READING
from runbook_lib.config import ProjectSettings
from runbook_lib.conversation import BOOTSTRAP, Conversation, Event, Progress, agent_code
from runbook_lib.dsn import Dsn, redact
from runbook_lib.edits import FileEdit
from runbook_lib.effects import RevisionReplay
from runbook_lib.errors import (
    ConfigurationError,
    ProjectError,
    RunbookError,
    SafetyError,
    UnreachableError,
)
from runbook_lib.graph import SourceTree
from runbook_lib.narrowing import GENERIC_PLANS, functions

KINDS: dict[str, type[RunbookError]] = {
    "configuration": ConfigurationError,
    "project": ProjectError,
    "safety": SafetyError,
    "unreachable": UnreachableError,
}


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
            unread=found["unread"],
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
        found = self._one("described", {"op": "describe", "edits": questions.files(edits)}, dsn)
        return description(found)

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
        together: bool = False,
        progress: Progress | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> Run:
        """Replay, as ``replay`` does, and return all that is known of the run.

        ``create_roles`` lets it create roles that GRANT and OWNER need and the server lacks.
        ``partial``: read only the tables that a revision names, where its statements are of kinds
        that change nothing else. ``together``: let all of them have one transaction, as Alembic
        has it by default. The result's ``again`` says whether that was right.
        ``meanwhile`` makes the database while the agent starts up.
        """
        snapshot = {**READING, "functions": functions() if partial else ()}
        request = {
            "op": "replay",
            "target": target,
            "skip": sorted(skip),
            "edits": questions.files(edits),
            "snapshot": snapshot,
            "create_roles": create_roles,
            "together": together,
            "session": ["SET synchronous_commit TO off", GENERIC_PLANS],
        }
        return self._run(request, dsn, progress, meanwhile)

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
            "edits": questions.files(edits),
            "session": questions.limits(lock_timeout, statement_timeout),
        }
        return settled(self._run(request, dsn, progress))

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
            "edits": questions.files(edits),
            "session": questions.limits(lock_timeout, statement_timeout),
        }
        return settled(self._run(request, dsn, progress))

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
            "edits": questions.files(edits),
            "session": questions.limits(lock_timeout, statement_timeout),
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
            "edits": questions.files(edits),
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

    def _run(
        self,
        request: dict[str, Any],
        dsn: Dsn,
        progress: Progress | None,
        meanwhile: Callable[[], object] | None = None,
    ) -> Run:
        revisions: dict[str, RevisionReplay] = {}
        facts: dict[str, Event] = {}
        for event in self._events(request, dsn, meanwhile=meanwhile):
            kind = event["event"]
            facts[kind] = event
            if kind in STATUS:
                revisions.pop(event["revision"], None)  # a later pass runs it again, and later
                revisions[event["revision"]] = revision(event, self._masked(dsn))
            if progress and "revision" in event:
                progress(event)
        return run_of(tuple(revisions.values()), facts)

    def _one(
        self, name: str, request: dict[str, Any], dsn: Dsn | None = None, timeout: float = 0
    ) -> Event:
        """Return the one event of that name that the request is answered with."""
        events = {event["event"]: event for event in self._events(request, dsn, timeout)}
        return events[name]

    def _events(
        self,
        request: dict[str, Any],
        dsn: Dsn | None,
        timeout: float = 0,
        meanwhile: Callable[[], object] | None = None,
    ) -> Iterator[Event]:
        """Send one request and give the answers as they come. Raises what the agent reports."""
        conversation = Conversation(self._argv(), self.folder, timeout)
        masked = self._masked(dsn)
        with conversation.open() as lines, ThreadPoolExecutor(1) as beside:
            done = beside.submit(meanwhile or int)
            code = b"" if self.settings.exec else agent_code()  # elsewhere, more bytes cost more
            conversation.send(json.dumps(self._request(request, dsn)), code=code)
            done.result()
            for event in lines:
                if event["event"] == "waiting":
                    conversation.go_on()
                    continue
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
        forbid = (
            self.forbid if dsn and self.forbid and not questions.is_same(dsn, self.forbid) else None
        )
        return {
            "root": root,
            "shown_root": settings.root,
            "ini": settings.ini,
            "section": settings.section,
            "x": list(settings.x),
            "env": dict(settings.env),
            "address": questions.address(dsn) if dsn else None,
            "forbid": questions.address(forbid) if forbid else None,
            **request,
        }

    def _masked(self, dsn: Dsn | None) -> tuple[str, ...]:
        known = [item.password for item in (dsn, self.forbid) if item and item.password]
        return (*self.secrets, *known)
