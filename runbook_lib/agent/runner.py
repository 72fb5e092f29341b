"""Runner: the project's env.py, with functions of our own in place of Alembic's commands."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Iterator  # noqa: UP035  (Python 3.9 at run time)

from runbook_lib.agent import application, loading
from runbook_lib.agent.accounts import lost, undone
from runbook_lib.agent.collecting import loaded_sources, versions
from runbook_lib.agent.commits import Commits
from runbook_lib.agent.configuration import load_alembic, load_config
from runbook_lib.agent.connections import Redirect
from runbook_lib.agent.departures import Departures
from runbook_lib.agent.effects import Witness
from runbook_lib.agent.failures import Again, create_role, describe, missing_role
from runbook_lib.agent.overlay import Overlay
from runbook_lib.agent.recording import Record, Recorder, stands_alone
from runbook_lib.agent.session import Session, driver_version, server_version
from runbook_lib.agent.tree import load_script, parents, relative, version_locations
from runbook_lib.agent.wire import Channel, Refused, await_database


class Runner:
    """One run of one request: describe, replay, upgrade, downgrade, stamp or state."""

    def __init__(self, request: dict[str, Any], channel: Channel) -> None:
        self.request = request
        self.channel = channel
        self.replaying = request["op"] == "replay"
        self.together = bool(request.get("together"))
        self.hooked = False  # the project is called after every revision, and may do anything
        self.redirect = Redirect(request, self._connecting)
        self.session = Session()
        self.departures = Departures(channel, self._left)
        self.recorder = Recorder(
            self.session, channel, silent=self.replaying, before=self.departures.settle
        )
        self.witness = Witness(self.session, request.get("snapshot") or {})
        self.settings: dict[str, Any] = {}
        self.promised: set[str] | None = None
        self.finished: list[str] = []
        self.failed: set[str] = set()
        self.skipped: set[str] = set()
        self.commits = Commits(self.session)
        self.roles: set[str] = set()
        self.keywords: dict[str, Any] = {}
        self.overlay: Overlay | None = None
        self.walks = application.Walks()

    # Set-up

    def start(self) -> None:
        """Import Alembic, put every hook in its place, then load the tree's configuration."""
        load_alembic()
        self.redirect.install()
        self.config = load_config(self.request)
        self.script = load_script(self.config, self.request)
        if self.request.get("edits"):
            self.overlay = Overlay(self.script, self.request["edits"])
            self.overlay.build()
            self.overlay.use()
            self.script = load_script(self.config, self.request)
        self._hook_alembic()
        application.install(lambda: self.session.context is not None)
        self.recorder.install()
        if self.replaying:
            self.commits.install()
            loading.install()

    def _hook_alembic(self) -> None:
        from alembic.runtime import migration
        from alembic.runtime.environment import EnvironmentContext

        configure, runner = EnvironmentContext.configure, self
        run_migrations = migration.MigrationContext.run_migrations
        update_to_step = migration.HeadMaintainer.update_to_step
        autocommit_block = migration.MigrationContext.autocommit_block

        def configured(env: Any, *args: Any, **keywords: Any) -> None:
            runner.settings = dict(keywords)
            runner.walks.configured(env)
            if runner.replaying:
                runner.hooked = bool(keywords.get("on_version_apply"))
                alone = keywords.get("transaction_per_migration") or runner.hooked
                runner.together &= not alone
                keywords["transaction_per_migration"] = not runner.together
            configure(env, *args, **keywords)
            runner.configured(env.get_context())

        def running(context: Any, **keywords: Any) -> None:
            runner.keywords = keywords
            runner.walks.require_first()
            run_migrations(context, **keywords)
            if runner.request.get("commit"):
                runner.session.settle()

        def updated(maintainer: Any, step: Any) -> None:
            update_to_step(maintainer, step)
            runner.promised = set(maintainer.heads)

        @contextlib.contextmanager
        def block(context: Any) -> Iterator[None]:
            if runner.recorder.current:
                runner.recorder.current.autocommit = True
            runner.recorder.in_block = True
            try:
                with autocommit_block(context):
                    yield
            finally:
                runner.recorder.in_block = False

        replacements: list[tuple[Any, str, Any]] = [
            (EnvironmentContext, "configure", configured),
            (migration.MigrationContext, "run_migrations", running),
            (migration.MigrationContext, "autocommit_block", block),
            (migration.HeadMaintainer, "update_to_step", updated),
        ]
        for owner, name, function in replacements:
            setattr(owner, name, function)

    # What env.py configured

    def configured(self, context: Any) -> None:
        """Note the migration context; in a replay, let its version table hold every id."""
        if context.connection is None:
            return
        self.session.context = context
        if self.replaying:
            self.commits.configured()
            equipped = self.session.ahead(int if self.hooked else self.witness.equip)
            try:
                ids = [item.revision for item in self.script.walk_revisions()]
            finally:
                equipped()
            self.session.prepare_version_table(max(map(len, ids), default=0))

    def describe(self) -> dict[str, Any]:
        context, settings = self.session.context, self.settings
        locations = version_locations(self.script)
        return {
            **versions(),
            "driver": context.dialect.driver,
            "driver_version": driver_version(context.dialect),
            "is_async": bool(getattr(context.dialect, "is_async", False)),
            "script_location": relative(os.path.abspath(str(self.script.dir)), locations),
            "version_table": context.version_table,
            "version_table_schema": context.version_table_schema or "",
            "transaction_per_migration": self._alone(),
            "has_metadata": settings.get("target_metadata") is not None,
            "include_schemas": bool(settings.get("include_schemas", False)),
        }

    # Steps

    def steps(self, rows: Any, context: Any) -> Iterator[Any]:
        """Give Alembic its steps one by one, each wrapped to be seen and timed."""
        self.promised = set(rows)
        if self.replaying and self.commits.unclaimed(alone=self._alone()):
            self.together, context._transaction_per_migration = False, False
        elif self.together and not self.session.is_alembics():
            self.together, context._transaction_per_migration = False, True
        if self.request.get("only"):
            self._run_only(context)
            return
        chosen = [step for step in self._plan(rows) if self._allowed(step)]
        for number, step in enumerate(chosen, 1):
            if hasattr(step, "revision"):
                self._wrap(step, number, len(chosen))
            yield step
            self._leave()
        self.departures.settle()
        self.commits.over = True
        if self.replaying and not self.witness.is_exact():
            raise Again(partial=False)

    def _alone(self) -> bool:
        """Say whether env.py has every revision run in a transaction of its own."""
        return bool(self.settings.get("transaction_per_migration"))

    def _plan(self, rows: Any) -> list[Any]:
        operation = self.request["op"]
        target: Any = self.request["target"]
        if operation == "downgrade":
            return list(self.script._downgrade_revs(target, rows))
        if operation == "stamp":
            return list(self.script._stamp_revs(tuple(target), rows))
        return list(self.script._upgrade_revs(target, rows))

    def _allowed(self, step: Any) -> bool:
        if not self.replaying:
            return True
        revision = step.revision
        blocked = self.failed | self.skipped | set(self.request.get("skip", []))
        if revision.revision in blocked or blocked.intersection(parents(revision)):
            if revision.revision not in self.failed:
                self.skipped.add(revision.revision)
            return False
        return True

    def _wrap(self, step: Any, number: int, total: int) -> None:
        function, revision_id = step.migration_fn, step.revision.revision
        self.departures.announce(revision=revision_id, number=number, total=total)

        def migrate(**keywords: Any) -> None:
            self._perform(revision_id, function, keywords)

        step.migration_fn = migrate

    def _run_only(self, context: Any) -> None:
        """Run exactly the named revisions, in order; the version rows stay as they are."""
        names = self.request["only"]
        for number, name in enumerate(names, 1):
            module = self.script.get_revision(name).module
            function = module.downgrade if self.request["op"] == "downgrade" else module.upgrade
            self.departures.announce(revision=name, number=number, total=len(names))
            with context.begin_transaction(_per_migration=True):
                self._perform(name, function, self.keywords)
            self._leave()

    def _perform(self, revision_id: str, function: Any, keywords: dict[str, Any]) -> None:
        """Run one revision's function and see what it does, within its own transaction."""
        record = self.recorder.current = Record(revision_id)
        if not (self.together and self.witness.last):
            self.witness.last = self.witness.moment()
        if self.replaying and self.witness.known is None:
            self.channel.send("baseline", objects=self.witness.begin())
        started, self.departures.waited = time.perf_counter(), 0.0
        self.recorder.capturing = True
        try:
            function(**keywords)
        finally:
            self.recorder.capturing = False
            record.seconds = time.perf_counter() - started - self.departures.waited
        self.departures.settle()
        if not self.replaying:
            record.crosses(self.witness.last, self.witness.moment())
        elif not self.together:
            self.witness.begin_note(record)()

    def _connecting(self) -> None:
        """Have no transaction for all: another connection sees nothing of it, or waits for it."""
        record = self.recorder.current
        if self.together and self.recorder.capturing and record:
            record.elsewhere = True  # it may swallow what is raised here
            raise Again(partial=True)

    def _leave(self) -> None:
        """The revision and its version row are done (and committed, if each is by itself)."""
        record, self.recorder.current = self.recorder.current, None
        if record is None:
            return
        if self.replaying and self.together:
            self.departures.leave(record, self.witness.begin_note(record, ahead=True))
        else:
            self._left(record)

    def _left(self, record: Record) -> None:
        if self.together and stands_alone(record):
            raise Again(partial=True)
        if self.replaying:
            self.commits.left(record.revision_id, alone=self._alone())
        self.finished.append(record.revision_id)
        self.channel.send("finished", **record.facts())

    # Operations

    def run_env(self, function: Any, **options: Any) -> None:
        """Run the project's env.py, with ``function`` in place of Alembic's command."""
        from alembic.runtime.environment import EnvironmentContext

        given = {"as_sql": False, "starting_rev": None, "tag": None, **options}
        with EnvironmentContext(self.config, self.script, fn=function, **given):
            self.script.run_env()
        if self.session.context is None:
            raise Refused(
                "project",
                "env.py configured no database connection.",
                "The runbook needs env.py's online mode: context.configure(connection=...).",
            )

    def op_describe(self) -> None:
        self.run_env(lambda rows, context: [], dont_mutate=True)
        self.channel.send("described", **self.describe())

    def op_replay(self) -> None:
        await_database(self.channel)
        try:
            while not self._replay_once():
                pass
            for revision_id in sorted(self.skipped):
                self.channel.send("skipped", revision=revision_id)
            self.channel.send("described", **self.describe())
            self._finish()
        except Again as error:
            self.channel.send("again", partial=error.partial)

    def _replay_once(self) -> bool:
        """Run what can run. False when a revision failed, and its siblings wait for a next time."""
        try:
            self.run_env(self.steps, destination_rev=self.request["target"])
        except (Exception, SystemExit) as caught:
            error = self.departures.abandon() or caught
            if self.together and self.witness.known:
                self._part(error)
            elif self.recorder.current is None or isinstance(error, Again):
                raise
            elif not self._may_create_role(error):
                self._fail(error)
            self.recorder.current = None
            return False
        return True

    def _part(self, error: BaseException) -> None:
        """Let every revision have its own transaction from now on: all of them are rolled back.

        Raises Again when something was committed all the same.
        """
        if isinstance(error, Again) and not error.partial:
            raise error
        if self.session.fresh(self.witness.has_changed):
            raise Again(partial=True) from error
        self.together, self.finished = False, []
        self.witness.forget()

    def op_upgrade(self) -> None:
        try:
            self.run_env(self.steps, destination_rev=self.request["target"])
        except (Exception, SystemExit) as error:
            if self.recorder.current is None:
                raise
            self._fail(error)
        self._finish()

    op_downgrade = op_upgrade
    op_stamp = op_upgrade

    # Failures

    def _fail(self, error: BaseException) -> None:
        record = self.recorder.current
        if record is None:
            raise error
        self.failed.add(record.revision_id)
        if self.replaying:
            kept = self.session.fresh(self.session.rows) == sorted(self.promised or ())
            unsure = self.witness.partial
            changed = self.session.fresh(self.witness.reread)
            if changed and unsure:  # perhaps the work of one before it
                raise Again(partial=False) from error
            record.changes = changed if kept else []
        message = describe(error, record, self.overlay)
        self.channel.send("failed", error=message, **record.facts())

    def _may_create_role(self, error: BaseException) -> bool:
        """Create a role that the shadow's server lacks, once, where that is allowed."""
        role = missing_role(error)
        if not role or role in self.roles or not self.request.get("create_roles"):
            return False
        self.roles.add(role)
        return create_role(self.session, role)

    # The end

    def _finish(self) -> None:
        """Read the version rows on a new connection and compare them with what was promised."""
        rows, server = self.session.fresh(self._last_look)
        if self.together and rows != sorted(self.promised or ()):
            raise Again(partial=True)
        self.channel.send(
            "final",
            rows=rows,
            promised=sorted(self.promised or ()),
            lost=self.commits.loose or ([] if self.failed else self._lost(rows)),
            rolled_back=self._rolled_back(rows) if self.failed and not self.replaying else [],
            version_table=self.witness.version_table,
            server=server,
            sources=loaded_sources(),
        )

    def _last_look(self, connection: Any) -> tuple[list[str], str]:
        return self.session.rows(connection), server_version(connection)

    def _lost(self, rows: list[str]) -> list[str]:
        return lost(self.request, self.script, self.finished, rows, self.promised or ())

    def _rolled_back(self, rows: list[str]) -> list[str]:
        if self.request.get("only"):
            return [] if self._alone() else self.finished
        return undone(self.request, self.script, self.finished, rows)
