"""Effects: what a revision changed in the catalog, by reading no more of it than is sure."""

from __future__ import annotations

import json
import re
from typing import Any

from runbook_lib.agent.recording import Record
from runbook_lib.agent.session import Session
from runbook_lib.agent.statements import may_change_schema, simple_tables

PLAIN_NAME = re.compile(r"^[a-z_][a-z0-9_]*$")
TABLE_PARTS = ("table", "foreign_table", "column", "constraint", "trigger", "rule", "policy")
RESOLVE = """
SELECT CAST(json_agg(json_build_array(x, CAST(CAST(c.oid AS bigint) AS text), n.nspname, c.relname,
    c.relkind = 'r' AND NOT c.relispartition AND NOT c.relhassubclass AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid))) AS text)
FROM unnest(CAST(ARRAY[NAMES] AS text[])) x
JOIN pg_catalog.pg_class c ON c.oid = to_regclass(x)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""


class Witness:
    """Knows the catalog as the last revision left it, and so what the next one changes.

    ``queries`` are the request's: prepare, query, restore, and where narrowing is wanted part and
    narrow; and spelling, by which one expression has one text. ``partial``: something was put
    together from parts, so the whole has to be compared at the end. ``triggers``: there are event
    triggers, whose reach no statement shows.
    """

    def __init__(self, session: Session, queries: dict[str, Any]) -> None:
        self.session = session
        self.queries = queries
        self.catalog: dict[str, Any] | None = None
        self.text = ""
        self.version_table = ""
        self.prepared = False
        self.partial = False
        self.triggers = False

    def moment(self) -> Any:
        """Return what tells one transaction from the next: its start, backend and id."""
        try:
            row = self.session.raw(
                "SELECT CAST(now() AS text), pg_backend_pid(),"
                " CAST(txid_current_if_assigned() AS text),"
                " (SELECT count(*) FROM pg_prepared_statements WHERE name = 'runbook_snapshot')"
            )
            self.prepared = bool(row[3])
            return tuple(row)
        except Exception:
            return None  # the transaction is aborted or the connection gone: the caller will see

    def begin(self) -> dict[str, Any]:
        """Read the whole catalog for the first time, and return it."""
        self._find_version_table()
        self._take(self.snapshot())
        return self.catalog or {}

    def note(self, record: Record, before: Any, after: Any) -> None:
        """Put into ``record`` what changed between the two moments."""
        if not self._may_have_effects(record, before, after):
            return
        fresh = self._partly(record)
        if fresh is not None:
            record.changes = changes(self.catalog or {}, fresh)
            self.catalog, self.text, self.partial = fresh, "", True
            return
        text = self.snapshot()
        if text != self.text:
            record.changes = self._take(text)

    def reread(self, connection: Any) -> list[list[Any]]:
        """Read the whole catalog over another connection; return what changed."""
        return self._take(self.snapshot_over(connection))

    def is_exact(self, text: str) -> bool:
        return self.parse(text) == self.catalog

    def _take(self, text: str) -> list[list[Any]]:
        before, self.catalog, self.text = self.catalog or {}, self.parse(text), text
        self.triggers = any(key.startswith("event_trigger:") for key in self.catalog)
        return changes(before, self.catalog)

    # Reading

    def snapshot(self, tables: str = "") -> str:
        """Read the catalog's JSON text in the running transaction, settings restored after it.

        ``tables`` is an array of oids, as a literal, when only those tables are of interest.
        """
        raw, given = self.session.raw, self.queries
        alone = bool(getattr(self.session.driver_connection(), "autocommit", False))
        if alone:
            raw("BEGIN", fetch=False)
        raw(given["prepare"], fetch=False)
        if not alone and not raw("SELECT current_setting('runbook.jit', true)")[0]:
            alone = True  # the revision sent COMMIT itself, and the driver has not noticed
            raw("BEGIN", fetch=False)
            raw(given["narrow" if tables else "prepare"], fetch=False)
        if not self.prepared:  # planning it takes longer than running it
            raw(f"PREPARE runbook_snapshot AS {given['query']}", fetch=False)
            if given.get("part"):
                raw(f"PREPARE runbook_part (oid[]) AS {given['part']}", fetch=False)
            self.prepared = True
        (text,) = raw(f"EXECUTE runbook_{f'part ({tables})' if tables else 'snapshot'}")
        raw(given["restore"], fetch=False)
        if alone:
            raw("COMMIT", fetch=False)
        return respelled(str(text), given["spelling"])

    def snapshot_over(self, connection: Any) -> str:
        """Read the whole catalog over another connection than the migration's own."""
        with self.session.on(connection):
            self.prepared = False
            try:
                return self.snapshot()
            finally:
                self.prepared = False

    def parse(self, text: str) -> dict[str, Any]:
        objects = json.loads(text)
        table = self.version_table
        return {key: value for key, value in objects.items() if not belongs(key, value, table)}

    def _find_version_table(self) -> None:
        """Note the version table's name as the snapshot spells it."""
        context = self.session.context
        schema = context.version_table_schema
        if not schema:
            (schema,) = self.session.raw("SELECT current_schema()")
        self.version_table = f"{spelled(str(schema))}.{spelled(context.version_table)}"

    # Which part of it

    def _may_have_effects(self, record: Record, before: Any, after: Any) -> bool:
        if not record.statements:  # it may have used the driver itself
            return bool(before is None or after[2] != before[2] or before[2] is not None)
        return any(may_change_schema(statement) for statement in record.statements)

    def _partly(self, record: Record) -> dict[str, Any] | None:
        """Return the new catalog by reading only the tables that the revision changed.

        None when that is not sure to be all: then the whole catalog is read. What was put
        together so is compared with the whole catalog once, at the end of the replay.
        """
        reached = [simple_tables(statement) for statement in record.statements]
        narrow = self.queries.get("part") and not self.triggers
        if not narrow or record.autocommit or record.commits_inside:
            return None
        if not record.statements or any(item is None for item in reached):
            return None
        named = [pair for item in reached for pair in item or []]
        tables = self._tables_of(named)
        if tables is None:
            return None
        oids = ",".join(str(oid) for oid, _ in tables if oid)
        part = self.parse(self.snapshot(f"'{{{oids}}}'")) if oids else {}
        names = [name for _, name in tables]
        mine = {key: part[key] for key in part if any(belongs(key, part[key], n) for n in names)}
        rest = {
            key: value
            for key, value in (self.catalog or {}).items()
            if not any(belongs(key, value, name) for name in names)
        }
        return {**rest, **mine}

    def _tables_of(self, named: list[tuple[str, str]]) -> list[tuple[int, str]] | None:
        """Return (oid, spelled name) of the tables, oid 0 for those that are gone.

        None when one has parents, children or partitions, or cannot be told from its name.
        """
        wanted = self._wanted(named)
        if not wanted:
            return None if wanted is None else []
        array = ",".join("'" + name.replace("'", "''") + "'" for name in sorted(wanted))
        (text,) = self.session.raw(RESOLVE.replace("NAMES", array))
        found: dict[str, list[Any]] = {item[0]: item for item in json.loads(text or "[]")}
        tables = []
        for name in sorted(wanted):
            if name in found:
                _, oid, schema, relation, alone = found[name]
                if not alone:
                    return None
                tables.append((oid, f"{spelled(schema)}.{spelled(relation)}"))
            else:
                keys = keys_named(self.catalog or {}, "table", name)
                if len(keys) > 1:
                    return None
                tables.extend((0, key.partition(":")[2]) for key in keys)
        return tables

    def _wanted(self, named: list[tuple[str, str]]) -> set[str] | None:
        """Return the tables' names, those of dropped indexes among them; None when in doubt."""
        catalog = self.catalog or {}
        wanted = {name for form, name in named if form != "drop index"}
        for form, name in named:
            if form == "drop index":
                keys = keys_named(catalog, "index", name)
                owners = {catalog[key].get("table", "") for key in keys}
                if len(owners) != 1:
                    return None
                wanted |= owners
        return wanted


def spelled(name: str) -> str:
    """Quote a name the way the snapshot does."""
    return name if PLAIN_NAME.match(name) else '"' + name.replace('"', '""') + '"'


def belongs(key: str, aspects: dict[str, str], table: str) -> bool:
    """Say whether an object of the snapshot is ``table`` or a part of it."""
    kind, _, name = key.partition(":")
    if kind == "grant":
        return belongs(name, {}, table)
    if kind in TABLE_PARTS:
        return name == table or name.startswith(table + ".")
    return aspects.get("table") == table or aspects.get("owned_by", "").startswith(table + ".")


def keys_named(catalog: dict[str, Any], kind: str, name: str) -> list[str]:
    """Return the keys of that kind whose name, with or without its schema, is ``name``."""
    tail = f":{name}" if "." in name else f".{name}"
    return [key for key in catalog if key.startswith(f"{kind}:") and key.endswith(tail)]


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[list[Any]]:
    """Return [key, before, after] of every object that differs, sorted by key."""
    keys = {key for key, value in before.items() if after.get(key) != value}
    keys |= after.keys() - before.keys()
    return [[key, before.get(key), after.get(key)] for key in sorted(keys)]


def respelled(text: str, spelling: dict[str, Any]) -> str:
    """Spell a catalog's text as the other side does: patterns and what replaces them, in order."""
    if any(sign in text for sign in spelling["signs"]):
        for pattern, replacement in spelling["pairs"]:
            text = re.sub(pattern, replacement, text)
    return text
