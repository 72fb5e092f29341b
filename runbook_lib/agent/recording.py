"""Recording: what a revision sends while it runs, seen through SQLAlchemy's events."""

from __future__ import annotations

from typing import Any, Callable  # noqa: UP035  (Python 3.9 at run time)

from runbook_lib.agent.known import two_parts
from runbook_lib.agent.session import Session
from runbook_lib.agent.statements import (
    ROW_WORDS,
    as_written,
    asks_catalog,
    ends_transaction,
    ends_with_transaction,
    is_reflection,
    parts,
    touches_rows,
    word,
)
from runbook_lib.agent.wire import Channel, explain


class Record:
    """What is known of one revision while it runs.

    ``elsewhere``: it sent statements over another connection than the migration's own.
    """

    def __init__(self, revision_id: str) -> None:
        self.revision_id = revision_id
        self.statements: list[str] = []
        self.changes: list[list[Any]] = []
        self.seconds = 0.0
        self.rows = 0
        self.touches_rows = False
        self.commits_inside = False
        self.autocommit = False
        self.elsewhere = False
        self.asks = False
        self.first_error = ""

    def facts(self) -> dict[str, Any]:
        names = ("statements", "changes", "seconds", "rows", "touches_rows", "commits_inside",
                 "autocommit", "asks")  # fmt: skip
        return {"revision": self.revision_id, **{name: getattr(self, name) for name in names}}

    def crosses(self, before: Any, after: Any) -> None:
        """Note when two moments are not of one transaction: something committed in between."""
        if before and after and before[:2] != after[:2] and not self.autocommit:
            self.commits_inside = True


def stands_alone(record: Record) -> bool:
    """Say whether a revision may do something else where others share its transaction.

    It committed, or used another connection; or something that it set ends with the transaction; or
    it added a value to an enum, which later statements may use only if the type is of the same
    transaction.
    """
    if record.commits_inside or record.elsewhere:
        return True
    if any(map(ends_with_transaction, record.statements)):
        return True
    made = {key.partition(":")[2] for key, before, _ in record.changes if before is None}
    labels = (key.partition(":")[2] for key, before, _ in record.changes
              if key.startswith("label:") and before is None)  # fmt: skip
    return not record.autocommit and any(two_parts(label) not in made for label in labels)


class Recorder:
    """Fills the ``current`` record while ``capturing``. Statements are sent on unless ``silent``.

    ``before`` is called before everything that is sent.
    ``in_block``: Alembic is inside an ``autocommit_block``, or on its way in or out.
    """

    def __init__(
        self, session: Session, channel: Channel, *, silent: bool, before: Callable[[], None]
    ) -> None:
        self.session = session
        self.before = before
        self.channel = channel
        self.silent = silent
        self.current: Record | None = None
        self.capturing = False
        self.in_block = False

    def install(self) -> None:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        self.session.watch(self.before)
        event.listen(Engine, "before_cursor_execute", self.before_statement)
        event.listen(Engine, "after_cursor_execute", self.after_statement)
        event.listen(Engine, "commit", self.after_commit)
        event.listen(Engine, "handle_error", self.on_error)

    def before_statement(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        self.before()
        record = self.current
        if not self.capturing or record is None:
            return
        if ends_transaction(statement) and not self.in_block:
            record.commits_inside = True
        record.asks = record.asks or asks_catalog(statement)
        if is_reflection(statement):
            return
        record.elsewhere = record.elsewhere or not self.session.is_ours(conn)
        text = as_written(statement, context)
        record.statements.append(text)
        record.touches_rows = record.touches_rows or touches_rows(text)
        if not self.silent:
            self.channel.send("statement", revision=record.revision_id, text=text)

    def after_statement(self, conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if self.capturing and self.current:
            pieces = parts(statement)
            if pieces and word(pieces[-1]) in (*ROW_WORDS, "WITH"):
                self.current.rows += max(0, getattr(cursor, "rowcount", 0) or 0)

    def after_commit(self, conn: Any) -> None:
        self.before()
        if self.capturing and self.current and not self.in_block and self.session.is_ours(conn):
            self.current.commits_inside = True

    def on_error(self, context: Any) -> None:
        if self.capturing and self.current and not self.current.first_error:
            self.current.first_error = explain(context.original_exception)
            self.current.asks = True  # if it goes on, then because it minds what it found
