"""Effects: what a revision changed in the catalog, by reading no more of it than is sure."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any, Callable, Iterable, NamedTuple  # noqa: UP035  (Python 3.9 at run time)

from runbook_lib.agent.failures import Again
from runbook_lib.agent.known import Known, Objects, Place, changes, spelled, table_of
from runbook_lib.agent.reach import Reach, reach_of
from runbook_lib.agent.recording import Record
from runbook_lib.agent.session import Session
from runbook_lib.agent.statements import may_change_schema
from runbook_lib.agent.wire import sqlstate

ABORTED = "25P02"  # in_failed_sql_transaction
PLAIN_MOMENT = """
SELECT CAST(json_build_array(CAST(now() AS text), pg_backend_pid(),
    CAST(txid_current_if_assigned() AS text), null) AS text)
"""


class Moment(NamedTuple):
    """What tells one transaction from the next: its start, backend and id.

    ``written`` counts the rows of the catalog that the transaction wrote: "near" the tables, of one
    of the GROUPS, or "beyond", of kinds that only the whole shows; None where nobody counts.
    """

    start: str
    backend: int
    transaction: str | None
    written: dict[str, int] | None

    def shares_transaction(self, other: Moment | None) -> bool:
        return other is not None and self[:2] == other[:2]


class Witness:
    """Knows the catalog as the last revision left it, and so what the next one changes.

    ``queries`` are the request's: prepare, query and restore; spelling, by which one expression has
    one text; and functions where it is wanted that only what a revision touched is read.
    ``first`` are the objects before the first revision, ``last`` is the moment after the newest.
    ``partial``: something was not read, so the whole has to be compared at the end. ``triggers``:
    there are event triggers, whose reach no statement shows. ``deferring``: something is, or was,
    there that may wait for the commit. ``equipped``: the functions are there, in the migration's
    own session.
    """

    def __init__(self, session: Session, queries: dict[str, Any]) -> None:
        self.session = session
        self.queries = queries
        self.known: Known | None = None
        self.first: Objects = {}
        self.last: Moment | None = None
        self.text = ""
        self.version_table = ""
        self.equipped = False
        self.partial = False
        self.triggers = False
        self.deferring = False

    def equip(self) -> None:
        """Make the functions in the migration's session, before anything of a revision runs.

        The server plans their queries when they are first called, which takes longer than all else.
        """
        self.equipped = False
        if not self.queries.get("functions"):
            return
        try:
            with self.session.aside():
                for statement in self.queries["functions"]:
                    self.session.raw(statement, fetch=False)
                self.session.raw("SELECT pg_temp.runbook_part(CAST(ARRAY[] AS oid[]))")
                self.session.raw("SELECT pg_temp.runbook_whole()")
            self.equipped = True
        except Exception:  # no right to temporary objects, say: then everything is read
            return

    def moment(self) -> Moment | None:
        """Return the moment; None when the transaction is aborted or the connection gone."""
        question = "SELECT pg_temp.runbook_moment()" if self.equipped else PLAIN_MOMENT
        text = self._ask(question)
        return Moment(*json.loads(text)) if text else None

    def _ask(self, question: str) -> str:
        """Return the one answer, "" in an aborted transaction: the caller will see that."""
        try:
            return str(self.session.raw(question)[0])
        except Exception as error:
            if self.equipped and sqlstate(error) not in ("", ABORTED):
                raise Again(partial=False) from error  # a revision took them away: see it in full
            return ""

    def begin(self) -> Objects:
        """Read the whole catalog for the first time, and return it."""
        self._find_version_table()
        self._take(self.snapshot())
        self.first = dict(self.known.objects) if self.known else {}
        return self.first

    def has_changed(self, connection: Any) -> bool:
        """Say whether another connection sees a catalog that is not as it was at first."""
        return self.parse(self.snapshot_over(connection)) != self.first

    def forget(self) -> None:
        """All was rolled back: begin anew."""
        self.known, self.last, self.text, self.partial = None, None, "", False

    def begin_note(self, record: Record, *, ahead: bool = False) -> Callable[[], None]:
        """Begin to see what changed since ``last``; return what ends it, with that in ``record``.

        What the commit would check or do is checked and done first: it is the revision's own.
        ``ahead``: whoever is called next may go on while the server looks.
        """
        if self.deferring or any(" deferr" in text.lower() for text in record.statements):
            self.session.raw("SET CONSTRAINTS ALL IMMEDIATE", fetch=False)
        sure = self.equipped and not self.triggers
        reach = reach_of(record, self.known) if self.known and sure else None
        if reach and ahead:
            answer = self.session.ahead(partial(self._ask_part, reach))
            return lambda: self._note(record, reach, *answer(), late=True)
        after, found = self._ask_part(reach) if reach else (self.moment(), {})
        self._note(record, reach, after, found)
        return lambda: None

    def _note(
        self,
        record: Record,
        reach: Reach | None,
        after: Moment | None,
        answer: dict[str, Any],
        *,
        late: bool = False,
    ) -> None:
        """Put into ``record`` what changed; ``late``: something else may have run meanwhile."""
        before, self.last = self.last, after
        record.crosses(before, after)
        if after is None or not self._has_effects(record, before, after):
            return
        part = self._put(answer, reach) if reach and _covers(reach, before, after) else None
        if part is not None:
            record.changes = part
            return
        if late and self.moment() != after:
            raise Again(partial=True)  # each by itself is looked at before anything else is sent
        text = self.snapshot()
        if text != self.text:
            record.changes = self._take(text)

    def is_exact(self) -> bool:
        """Say whether what is known, put together from parts, is what a look at it all shows."""
        if not self.partial:
            return True
        with self.session.aside():
            text = self.snapshot()
        self.partial = False
        return self.known is not None and self.parse(text) == self.known.objects

    def reread(self, connection: Any) -> list[list[Any]]:
        """Read the whole catalog over another connection; return what changed."""
        self.partial = False
        return self._take(self.snapshot_over(connection))

    def _take(self, text: str) -> list[list[Any]]:
        before = self.known.objects if self.known else {}
        self.known, self.text = Known(self.parse(text)), text
        self.triggers = any(key.startswith("event_trigger:") for key in self.known.objects)
        return self._minded(changes(before, self.known.objects))

    def _minded(self, found: list[list[Any]]) -> list[list[Any]]:
        self.deferring = self.deferring or any(
            " DEFERRABLE" in after.get("definition", "") for _, _, after in found if after
        )
        return found

    # Reading

    def snapshot(self) -> str:
        """Read the catalog's JSON text in the running transaction, settings restored after it."""
        if self.equipped:
            return respelled(self._ask("SELECT pg_temp.runbook_whole()"), self.queries["spelling"])
        raw, given = self.session.raw, self.queries
        alone = bool(getattr(self.session.driver_connection(), "autocommit", False))
        if alone:
            raw("BEGIN", fetch=False)
        raw(given["prepare"], fetch=False)
        if not alone and not raw("SELECT current_setting('runbook.jit', true)")[0]:
            alone = True  # the revision sent COMMIT itself, and the driver has not noticed
            raw("BEGIN", fetch=False)
            raw(given["prepare"], fetch=False)
        (text,) = raw(given["query"])
        raw(given["restore"], fetch=False)
        if alone:
            raw("COMMIT", fetch=False)
        return respelled(str(text), self.queries["spelling"])

    def snapshot_over(self, connection: Any) -> str:
        """Read the whole catalog over another connection than the migration's own."""
        equipped, self.equipped = self.equipped, False
        try:
            with self.session.on(connection):
                return self.snapshot()
        finally:
            self.equipped = equipped

    def parse(self, text: str) -> Objects:
        """Return the objects of a snapshot, without the version table and what belongs to it."""
        objects: Objects = json.loads(text)
        table = self.version_table
        for key in [key for key in objects if table_of(key, objects) == table]:
            del objects[key]
        return objects

    def _find_version_table(self) -> None:
        """Note the version table's name as the snapshot spells it."""
        context = self.session.context
        schema = context.version_table_schema
        if not schema:
            (schema,) = self.session.raw("SELECT current_schema()")
        self.version_table = f"{spelled(str(schema))}.{spelled(context.version_table)}"

    # How much of it

    def _has_effects(self, record: Record, before: Moment | None, after: Moment) -> bool:
        """Say whether the catalog can have changed; the server's own count is the best witness."""
        counted = before and before.written is not None and after.written is not None
        if before and counted and after.shares_transaction(before) and not record.elsewhere:
            self.partial = True
            return after.written != before.written
        if not record.statements:  # it may have used the driver itself
            return before is None or after[2] != before[2] or before[2] is not None
        return any(may_change_schema(statement) for statement in record.statements)

    def _ask_part(self, reach: Reach) -> tuple[Moment | None, dict[str, Any]]:
        """Ask for the tables, which the session's own search path finds."""
        found = ", ".join(f"CAST(to_regclass('{name}') AS oid)" for name in reach.tables)
        given = f"CAST(ARRAY[{found}] AS oid[])"
        if reach.beside:
            text = self._ask(
                f"SELECT pg_temp.runbook_beside({given}, {_texts(reach.kinds)},"
                f" {_texts(reach.functions)})"
            )
        else:
            text = self._ask(f"SELECT pg_temp.runbook_part({given})")
        if not text:
            return None, {}
        answer: dict[str, Any] = json.loads(respelled(text, self.queries["spelling"]))
        return Moment(*answer["moment"]), answer

    def _put(self, answer: dict[str, Any], reach: Reach) -> list[list[Any]] | None:
        """Note the answer; return what changed.

        None when a table has parents, children or partitions, or should be there and is not.
        """
        found: dict[str, set[str]] = {"table": set(), "view": set(), "gone": set()}
        for place, (schema, called, kind) in enumerate(answer["names"]):
            name = reach.tables[place]
            if called is None and name in reach.gone:
                found["gone"].add(name)
            elif called is None and name in reach.views:
                found["view"].add(name)
            elif kind == "table" or (kind == "view" and name in reach.views):
                found[kind].add(f"{spelled(schema)}.{spelled(called)}")
            else:
                return None
        self.text, self.partial = "", True
        if self.known is None:
            return None
        covered = Place(
            tables=frozenset(found["table"]), gone=frozenset(found["gone"]),
            views=frozenset(found["view"]), functions=reach.functions, kinds=reach.kinds,
            more=reach.beside,
        )  # fmt: skip
        return self._minded(self.known.put(answer["objects"], covered))


def _covers(reach: Reach, before: Moment | None, after: Moment) -> bool:
    """Say whether the transaction wrote to no kind of object that the reach leaves out."""
    if reach.told:
        return True
    if before is None or not after.shares_transaction(before):
        return False
    if before.written is None or after.written is None:
        return False
    read = {"near", *reach.kinds}
    read |= {"views"} if reach.views else set()
    read |= {"functions"} if reach.functions else set()
    return all(before.written[kind] == after.written[kind] for kind in after.written.keys() - read)


def _texts(names: Iterable[str]) -> str:
    return "CAST(ARRAY[{}] AS text[])".format(", ".join(f"'{name}'" for name in sorted(names)))


def respelled(text: str, spelling: dict[str, Any]) -> str:
    """Spell a catalog's text as the other side does: patterns and what replaces them, in order."""
    if any(sign in text for sign in spelling["signs"]):
        for pattern, replacement in spelling["pairs"]:
            text = re.sub(pattern, replacement, text)
    return text
