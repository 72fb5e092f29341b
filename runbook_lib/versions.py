"""Versions: what the version table says, and what is wrong with how it says it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from runbook_lib import graph as graphs
from runbook_lib import unread
from runbook_lib.catalog import parts
from runbook_lib.findings import Finding, finding
from runbook_lib.graph import RevisionGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRows:
    """The version table as it stands: ``rows`` is None when there is no table.

    ``table`` is qualified by its schema; ``width`` is the column's length, None for no limit;
    ``others`` are further version tables of other schemas; ``has_key`` tells a primary key.
    """

    table: str
    rows: tuple[str | None, ...] | None
    width: int | None = 32
    has_key: bool = True
    others: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The distinct ids that are recorded, sorted."""
        return tuple(sorted({row for row in self.rows or () if row is not None}))


def row_findings(
    versions: VersionRows,
    graph: RevisionGraph,
    *,
    schema_has_tables: bool,
    pinned: bool = False,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Finding, ...]:
    """Return what is wrong with the version table itself.

    ``pinned``: the version table's schema is configured, so that no search path decides it.
    ``elsewhere`` are ids by file, of files that Alembic does not read.
    """
    found: list[Finding] = _second_tables(versions, pinned)
    found += _table_findings(versions, schema_has_tables)
    found += _shape_findings(versions)
    found += _id_findings(versions, graph, elsewhere)
    found += _redundant(versions, graph)
    return tuple(found)


def _second_tables(versions: VersionRows, pinned: bool) -> list[Finding]:
    return [
        replace(
            finding(
                "second-version-table",
                other,
                f"There is another version table, {other}, beside {versions.table}.",
            ),
            severity="info" if pinned else "error",
        )
        for other in versions.others
    ]


def _table_findings(versions: VersionRows, schema_has_tables: bool) -> list[Finding]:
    found: list[Finding] = []
    if not schema_has_tables:
        return found
    if versions.rows is None:
        message = f"There is no version table {versions.table}, but the schema has tables."
        found.append(finding("version-table-missing", versions.table, message))
    elif not versions.ids:
        message = f"{versions.table} records no revision, but the schema has tables."
        found.append(finding("version-table-empty", versions.table, message))
    return found


def _shape_findings(versions: VersionRows) -> list[Finding]:
    rows = versions.rows or ()
    found = []
    nulls = sum(row is None for row in rows)
    if nulls:
        message = f"{versions.table} has {nulls} row{'s' if nulls > 1 else ''} that are NULL."
        found.append(finding("null-row", versions.table, message))
    for row, count in sorted(Counter(row for row in rows if row is not None).items()):
        if count > 1:
            message = f"{versions.table} records {row} {count} times; its primary key is gone."
            found.append(finding("duplicate-row", row, message))
    return found


def _id_findings(
    versions: VersionRows, graph: RevisionGraph, elsewhere: Mapping[str, str]
) -> list[Finding]:
    nameless = [item.file for item in graph.unloadable if not item.revision_id]
    known = {revision.revision_id for revision in graph.revisions}
    found = []
    for row in versions.ids:
        if row in known:
            continue
        exact = exact_id(row, known)
        if exact:
            message = f"{versions.table} records {row!r}; the tree's revision is {exact!r}."
            found.append(finding("inexact-id", row, message, f"Record {exact!r}."))
        else:
            message = f"{versions.table} records {row!r}, and no file has that revision."
            message += unread.told(row, elsewhere, nameless)
            advice = unread.advice(row, elsewhere)
            found.append(finding("unlocated-row", row, message, advice))
    return found


def unlocated(versions: VersionRows, graph: RevisionGraph) -> tuple[str, ...]:
    """Return the recorded ids that no file has, not even inexactly."""
    known = {revision.revision_id for revision in graph.revisions}
    return tuple(row for row in versions.ids if row not in known and not exact_id(row, known))


def exact_id(row: str, known: Collection[str]) -> str:
    """Return the one id that ``row`` means but for blanks, case or truncation, else ""."""
    bare = row.strip().lower()
    same = [item for item in known if item.lower() == bare]
    if not same and len(bare) >= 4:
        same = [item for item in known if item.lower().startswith(bare)]
    return same[0] if len(same) == 1 else ""


def _redundant(versions: VersionRows, graph: RevisionGraph) -> list[Finding]:
    found = []
    for row in versions.ids:
        others = [other for other in versions.ids if other != row]
        for other in others:
            if row in graphs.ancestors(graph, [other]) and row in _line(graph, other):
                message = f"{versions.table} records {row}, an ancestor of {other}, as well."
                found.append(finding("redundant-row", row, message))
                break
    return found


def _line(graph: RevisionGraph, revision_id: str) -> set[str]:
    """The ancestors along down_revision only: a depends_on parent may have its own row."""
    parents = {r.revision_id: r.down_revisions for r in graph.revisions}
    seen: set[str] = set()
    todo: list[str] = [revision_id]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(parents.get(current, ()))
    return seen - {revision_id}


def exact_rows(graph: RevisionGraph, executed: Collection[str]) -> tuple[str, ...]:
    """Return the rows that record exactly ``executed``, as Alembic would have left them.

    A revision has a row unless another executed one names it as down_revision or, through
    ``depends_on``, implies it.
    """
    chosen: Sequence[str] = sorted(set(executed))
    implied: set[str] = set()
    for item in chosen:
        implied |= graphs.ancestors(graph, [item]) - {item}
    return tuple(item for item in chosen if item not in implied)


def row_statements(table: str, rows: Sequence[str]) -> tuple[str, ...]:
    """Return the SQL that makes ``rows`` the only rows of the version table."""
    inserts = [f"INSERT INTO {table} (version_num) VALUES ({_literal(row)})" for row in rows]
    return (f"DELETE FROM {table}", *inserts)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def shape_statements(table: VersionRows, rows: Sequence[str]) -> tuple[str, ...]:
    """Return the SQL that gives the version table back the shape that Alembic makes."""
    name = table.table
    key = f"{parts(table.table)[-1]}_pkc"
    longest = max((len(row) for row in rows), default=0)
    width = max(32, longest)
    if table.rows is None:
        return (
            f"CREATE TABLE IF NOT EXISTS {name} (version_num VARCHAR({width}) NOT NULL, "
            f"CONSTRAINT {key} PRIMARY KEY (version_num))",
        )
    statements = []
    if table.width is not None and longest > table.width:
        statements.append(f"ALTER TABLE {name} ALTER COLUMN version_num TYPE VARCHAR({width})")
    if not table.has_key:
        statements += [
            f"DELETE FROM {name}",
            f"ALTER TABLE {name} ALTER COLUMN version_num SET NOT NULL",
            f"ALTER TABLE {name} ADD CONSTRAINT {key} PRIMARY KEY (version_num)",
        ]
    return tuple(statements)
