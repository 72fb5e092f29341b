"""Reach: which tables a revision's statements can have changed, told from their texts."""

from __future__ import annotations

import re
from typing import Collection, Iterable, NamedTuple  # noqa: UP035  (Python 3.9 at run time)

from runbook_lib.agent.blocks import inside
from runbook_lib.agent.known import GROUPS, MENTIONING, PIECE, Known, read
from runbook_lib.agent.recording import Record
from runbook_lib.agent.statements import Touch, touched

SAFE_NAME = re.compile(r'^(?:"[\w $]+"|[\w$]+)(?:\.(?:"[\w $]+"|[\w$]+))?$')


class Reach(NamedTuple):
    """What statements can have changed: ``tables`` by name, and perhaps what stands beside them.

    ``gone`` are those among the tables, by their full names, that need not be there any more.
    ``views`` among the names are of views, or of either where only triggers are made. ``functions``
    are bare names. ``kinds`` of what stands beside the tables can have changed anywhere. ``told``:
    that is all they do, as nobody counts over several transactions.
    """

    tables: list[str]
    gone: frozenset[str]
    told: bool
    views: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()

    @property
    def beside(self) -> bool:
        """Say whether more than tables is to be read."""
        return bool(self.views or self.functions or self.kinds)


class Unclear(Exception):
    """A statement's reach is not sure."""


def reach_of(record: Record, known: Known) -> Reach | None:
    """Return what the revision's statements changed; None when that is not sure to be all."""
    if record.commits_inside or record.elsewhere:
        return None
    if record.autocommit and record.touches_rows:  # a trigger of theirs may do anything
        return None
    found: list[Touch] = []
    for statement in record.statements:
        touches = _touched(statement)
        if touches is None:
            return None
        found += touches
    try:
        return _put_together(found, known, told=record.autocommit)
    except Unclear:
        return None


def _touched(statement: str) -> list[Touch] | None:
    """Look into a DO block, of which every statement may have run."""
    found: list[Touch] = []
    for one in inside(statement) or [statement]:
        touches = touched(one)
        if touches is None:
            return None
        found += touches
    return found


def _put_together(found: Collection[Touch], known: Known, *, told: bool) -> Reach | None:
    renamed = [item for item in found if item.form in ("rename", "move")]
    gone = frozenset(_full(known, item.name) for item in found if item.form in ("drop", "move"))
    wanted = {item.name for item in found if item.form in ("table", "rename")}
    wanted |= {_owner(known, item.name) for item in found if item.form == "index"}
    wanted |= {_moved(known, item) for item in found if item.form == "move"}
    wanted |= {table for item in renamed for table in known.referring(_full(known, item.name))}
    views = {one for item in found if item.form == "view" for one in _views(known, item.name)}
    views |= {item.name for item in found if item.form == "trigger"}
    names = gone | {
        name for name in wanted | views if known.tables(name) not in [[one] for one in gone]
    }
    functions = {item.name for item in found if item.form == "function"}
    kinds = {item.form for item in found if item.form in GROUPS}
    if renamed and known.mentions_tables():
        kinds |= MENTIONING
    if not (names or functions or kinds) or not all(map(SAFE_NAME.match, names | functions)):
        return None
    bare = frozenset(read(PIECE.findall(name)[-1]) for name in functions)
    return Reach(sorted(names), gone, told, frozenset(views), bare, frozenset(kinds))


def _views(known: Known, name: str) -> set[str]:
    """Return a view's name as it stands, and in full where one is known: it may be gone."""
    return {name, *(key.partition(":")[2] for key in known.named("view", name))}


def _full(known: Known, name: str) -> str:
    """Return a table's full name. Raises Unclear where not just one is known by that name."""
    return _only(known.tables(name))


def _owner(known: Known, index: str) -> str:
    """Return the table of an index."""
    return _only({known.objects[key].get("table", "") for key in known.named("index", index)})


def _moved(known: Known, item: Touch) -> str:
    """Return the full name of a table after it was renamed: its schema stays."""
    return f"{PIECE.findall(_full(known, item.name))[0]}.{item.new}"


def _only(names: Iterable[str]) -> str:
    found = list(names)
    if len(found) != 1:
        raise Unclear
    return found[0]
