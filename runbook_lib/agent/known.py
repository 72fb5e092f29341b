"""Known: the catalog as the last revision left it, by object and by table."""

from __future__ import annotations

import re
from typing import Any, Collection, Iterable, Iterator  # noqa: UP035  (Python 3.9 at run time)

PLAIN_NAME = re.compile(r"^[a-z_][a-z0-9_]*$")
PIECE = re.compile(r'"(?:[^"]|"")*"|[^."]+')
TABLE_PARTS = ("table", "foreign_table", "column", "constraint", "trigger", "rule", "policy")
READ = ("table", "column", "constraint", "index", "sequence", "grant")  # what runbook_part reads
# What runbook_beside reads besides, all of it.
BESIDE = ("type", "domain", "label", "view", "materialized_view", "function", "procedure",
          "aggregate", "trigger", "rule", "policy", "statistics")  # fmt: skip

NAMED = ("table", "index")  # what is asked for by name

TYPES = ("type", "domain", "label", "grant")  # stand beside the tables, and name no column of one

Objects = dict[str, dict[str, str]]


class Known:
    """``objects`` are the aspects by object key, as a snapshot gives them."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._tables: dict[str, set[str]] = {}
        self._names: dict[str, set[str]] = {}
        self._listed = False

    def _list(self) -> None:
        """List the keys by table and by name, once anybody asks."""
        if not self._listed:
            self._listed = True
            for key in self.objects:
                self._enter(key)

    def _enter(self, key: str) -> None:
        self._tables.setdefault(table_of(key, self.objects), set()).add(key)
        if kind_of(key) in NAMED:
            self._names.setdefault(tail(key), set()).add(key)

    def _leave(self, key: str) -> None:
        self._of(table_of(key, self.objects)).discard(key)
        self._names.get(tail(key), set()).discard(key)

    def _of(self, table: str) -> set[str]:
        """Return the keys of a table and of all that belongs to it."""
        self._list()
        return self._tables.setdefault(table, set())

    def put(
        self, tables: Collection[str], part: Objects, *, gone: Collection[str], beside: bool
    ) -> list[list[Any]]:
        """Replace what was read of ``tables``, and beside them, by ``part``; return the changes.

        Of the tables that are ``gone``, nothing stays.
        """
        if beside:
            tables = {*tables, *views(self.objects), *views(part)}
        mine = {key for table in tables for key in self._of(table) if kind_of(key) in READ}
        mine |= set(filter(stands_beside, self.objects)) if beside else set()
        mine |= {key for table in gone for key in self._of(table)}
        before = {key: self.objects[key] for key in mine}
        after = {
            key: aspects
            for key, aspects in part.items()
            if stands_beside(key) or (kind_of(key) in READ and table_of(key, part) in tables)
        }
        for key in mine:
            self._leave(key)
        for key in mine - after.keys():
            del self.objects[key]
        self.objects.update(after)
        for key in after:
            self._enter(key)
        return changes(before, after)

    def named(self, kind: str, name: str) -> list[str]:
        """Return the keys of that kind whose name, with or without its schema, is ``name``."""
        self._list()
        name = ".".join(spelled(read(piece)) for piece in PIECE.findall(name))
        end = f":{name}" if "." in name else f".{name}"
        alike = self._names.get(tail(name), ())
        return sorted(key for key in alike if kind_of(key) == kind and key.endswith(end))

    def tables(self, name: str) -> list[str]:
        """Return the full names of the tables that may be meant by a name."""
        return [key.partition(":")[2] for key in self.named("table", name)]

    def referring(self, table: str) -> list[str]:
        """Return the full names of the tables whose foreign keys lead to ``table``."""
        names = (re.escape(piece.strip('"')) for piece in PIECE.findall(table))
        sign = re.compile(" REFERENCES " + r"\.".join(f'"?{name}"?' for name in names) + r"\(")
        return [
            table_of(key, self.objects)
            for key, aspects in self.objects.items()
            if key.startswith("constraint:") and sign.search(aspects.get("definition", ""))
        ]

    def mentions_tables(self) -> bool:
        """Say whether something stands beside the tables in whose text one may be named."""
        return any(stands_beside(key) and kind_of(key) not in TYPES for key in self.objects)


def spelled(name: str) -> str:
    """Quote a name the way the snapshot does."""
    return name if PLAIN_NAME.match(name) else '"' + name.replace('"', '""') + '"'


def read(piece: str) -> str:
    """Return the name that a piece of SQL means: in quotes as it stands, else in lower case."""
    quoted = piece.startswith('"')
    return piece[1:-1].replace('""', '"') if quoted else piece.lower()


def tail(name: str) -> str:
    """Return the last part of a name, or of a key, as it is spelled."""
    return PIECE.findall(name)[-1] if '"' in name else name.rpartition(".")[2]


def kind_of(key: str) -> str:
    return key.partition(":")[0]


def views(objects: Iterable[str]) -> Iterator[str]:
    """Give the names of views; the privileges on their columns are read with them."""
    return (key.partition(":")[2] for key in objects if key.startswith("view:"))


def stands_beside(key: str) -> bool:
    """Say whether runbook_beside reads all of that kind, or the privileges on such an object."""
    kind, _, name = key.partition(":")
    return (kind_of(name) if kind == "grant" else kind) in BESIDE


def table_of(key: str, objects: Objects) -> str:
    """Return the table that an object is or belongs to; "" where there is none."""
    kind, _, name = key.partition(":")
    if kind == "grant":
        return table_of(name, objects)
    if kind in TABLE_PARTS:
        return two_parts(name)
    aspects = objects.get(key, {})
    return aspects.get("table") or two_parts(aspects.get("owned_by", ""))


def two_parts(name: str) -> str:
    """Return the schema and the table of a qualified name."""
    pieces = PIECE.findall(name) if '"' in name else name.split(".", 2)
    return ".".join(pieces[:2])


def changes(before: Objects, after: Objects) -> list[list[Any]]:
    """Return [key, before, after] of every object that differs, sorted by key."""
    keys = {key for key, value in before.items() if after.get(key) != value}
    keys |= after.keys() - before.keys()
    return [[key, before.get(key), after.get(key)] for key in sorted(keys)]
