"""Known: the catalog as the last revision left it, by object and by table."""

from __future__ import annotations

import re
from typing import Any, Iterable, Iterator, NamedTuple  # noqa: UP035  (Python 3.9 at run time)

PLAIN_NAME = re.compile(r"^[a-z_][a-z0-9_]*$")
PIECE = re.compile(r'"(?:[^"]|"")*"|[^."]+')
TABLE_PARTS = ("table", "foreign_table", "column", "constraint", "trigger", "rule", "policy")
READ = ("table", "column", "constraint", "index", "sequence", "grant")  # what runbook_part reads
ON_TABLES = (*READ, "trigger", "rule")  # what runbook_beside does
# What stands beside the tables, by what runbook_beside calls it.
GROUPS = {
    "types": ("type", "domain", "label"),
    "views": ("view", "materialized_view"),
    "functions": ("function", "procedure", "aggregate"),
    "triggers": ("trigger",),
    "rules": ("rule",),
    "policies": ("policy",),
    "statistics": ("statistics",),
}
GROUP = {kind: group for group, kinds in GROUPS.items() for kind in kinds}
MENTIONING = frozenset(GROUPS) - {"types"}  # in their texts a table or a column may be named
NAMED = ("table", "index", "view")  # what is asked for by name

Objects = dict[str, dict[str, str]]


class Place(NamedTuple):
    """What a look at a part of the catalog covers, by full names.

    ``views`` with all that is theirs; ``tables``, with their triggers and rules where ``more`` than
    tables was read; ``functions`` by their bare names; everything of some ``kinds``. Of the tables
    that are ``gone`` nothing stays.
    """

    tables: frozenset[str]
    gone: frozenset[str]
    views: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    more: bool = False

    def has(self, key: str, objects: Objects) -> bool:
        """Say whether an object, as ``objects`` have it, belongs to it."""
        group = group_of(key)
        if group in self.kinds or (group == "functions" and bare(key) in self.functions):
            return True
        table = table_of(key, objects)
        if table in self.views:
            return True
        return table in self.tables and kind_of(key) in (ON_TABLES if self.more else READ)


class Known:
    """``objects`` are the aspects by object key, as a snapshot gives them."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._tables: dict[str, set[str]] = {}
        self._names: dict[str, set[str]] = {}
        self._groups: dict[str, set[str]] = {}
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
        self._groups.setdefault(group_of(key), set()).add(key)

    def _leave(self, key: str) -> None:
        self._of(table_of(key, self.objects)).discard(key)
        self._names.get(tail(key), set()).discard(key)
        self._groups.get(group_of(key), set()).discard(key)

    def _of(self, table: str) -> set[str]:
        """Return the keys of a table and of all that belongs to it."""
        self._list()
        return self._tables.setdefault(table, set())

    def put(self, part: Objects, place: Place) -> list[list[Any]]:
        """Replace what was read of a place by ``part``; return the changes."""
        self._list()
        if "views" in place.kinds:
            place = place._replace(tables=place.tables | {*views(self.objects), *views(part)})
        near = {key for table in place.tables | place.views for key in self._of(table)}
        for group in place.kinds | ({"functions"} if place.functions else set()):
            near |= self._groups.get(group, set())
        mine = {key for key in near if place.has(key, self.objects)}
        mine |= {key for table in place.gone for key in self._of(table)}
        before = {key: self.objects[key] for key in mine}
        after = {key: aspects for key, aspects in part.items() if place.has(key, part)}
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
        self._list()
        return any(self._groups.get(group) for group in MENTIONING)


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


def group_of(key: str) -> str:
    """Return the group of what stands beside the tables, or of what a privilege is on; else ""."""
    kind, _, name = key.partition(":")
    return GROUP.get(kind_of(name) if kind == "grant" else kind, "")


def bare(key: str) -> str:
    """Return the name of a function without its schema and the types of its arguments."""
    return read(tail(key.partition("(")[0].rpartition(":")[2]))


def table_of(key: str, objects: Objects) -> str:
    """Return the table or view that an object is or belongs to; "" where there is none."""
    kind, _, name = key.partition(":")
    if kind == "grant":
        return table_of(name, objects)
    if kind in TABLE_PARTS:
        return two_parts(name)
    if kind in ("view", "materialized_view"):
        return name
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
