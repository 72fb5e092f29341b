"""Commits: whether anybody commits what revisions did outside of a transaction of Alembic's."""

from __future__ import annotations

import contextlib
from typing import Any

from runbook_lib.agent.session import Session
from runbook_lib.agent.statements import parts, word


class Commits:
    """Watches one run of env.py, and who begins and commits there.

    A replay commits after every revision whatever env.py does, so that it sees each by itself. What
    would have been lost without that is ``loose``, unless env.py commits after the last revision.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.begun = False  # env.py had Alembic begin a transaction for all of its steps
        self.over = False
        self.tainted = False
        self.loose: list[str] = []

    def install(self) -> None:
        from alembic.runtime.migration import MigrationContext
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        begin_transaction = MigrationContext.begin_transaction

        def begun(context: Any, *args: Any, **keywords: Any) -> Any:
            if not (args or keywords or getattr(context, "_in_external_transaction", False)):
                self.begun = True
            return begin_transaction(context, *args, **keywords)

        setattr(MigrationContext, "begin_transaction", begun)  # noqa: B010  (mypy: not a method)
        event.listen(Engine, "commit", self._committed)
        event.listen(Engine, "before_cursor_execute", self._sent)

    def configured(self) -> None:
        """A new migration context: nobody has begun anything for it."""
        self.begun = self.tainted = self.over = False

    def left(self, revision_id: str, *, alone: bool) -> None:
        """A revision is done. ``alone``: each has a transaction of its own, as env.py wants it."""
        settled = self.session.settle() and not self._by_itself()
        if settled or self.tainted:
            self.loose.append(revision_id)
            self.tainted = not alone

    def unclaimed(self, *, alone: bool) -> bool:
        """Say whether the first statement begins a transaction of which Alembic knows nothing."""
        return not (alone or self.begun or self._by_itself())

    def _by_itself(self) -> bool:
        """Say whether the connection commits every statement, or SQLAlchemy 1.4 does."""
        connection = self.session.context.connection
        if not hasattr(connection, "commit"):
            return True
        with contextlib.suppress(Exception):
            return bool(self.session.driver_connection().autocommit)
        return False

    def _committed(self, connection: Any) -> None:
        if self.over and self.session.is_ours(connection):
            self.loose.clear()

    def _sent(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if self.over and any(word(part) in ("COMMIT", "END") for part in parts(statement)):
            self._committed(connection)
