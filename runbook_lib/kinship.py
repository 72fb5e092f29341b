"""Kinship: which revisions have to do with an object, whatever its table is called by now. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from runbook_lib import moves
from runbook_lib.catalog import Catalog, table_of
from runbook_lib.effects import Replay, RevisionReplay

_NAME = re.compile(r'(?:"(?:[^"]|"")+"|[\w$]+)\.(?:"(?:[^"]|"")+"|[\w$]+)')


class Kinship:
    """Knows the objects and tables of every revision; a table and its later names are one."""

    def __init__(self, replay: Replay, live: Catalog) -> None:
        self._catalogs = (live, replay.final)
        self._first: dict[str, str] = {}
        for run in replay.revisions:
            for new, old in moves.renamings(run).items():
                self._first[new] = self._first.get(old, old)
        self._own = {run.revision_id: self._written(run) for run in replay.revisions}

    def writers(self, keys: Collection[str]) -> frozenset[str]:
        """Return who writes one of the objects, or to a table that one is part of or names."""
        wanted = {trace for key in keys for trace in self._traces(key)}
        return frozenset(name for name, own in self._own.items() if not own.isdisjoint(wanted))

    def among(self, keys: Collection[str], doubtful: Collection[str]) -> frozenset[str]:
        """Return the objects that have to do with one of the ``doubtful`` revisions."""
        return frozenset(key for key in keys if not self.writers({key}).isdisjoint(doubtful))

    def _written(self, run: RevisionReplay) -> frozenset[str]:
        found = {change.object for change in run.changes}
        found |= {self._table(table_of(c.object, c.after or c.before)) for c in run.changes}
        return frozenset(found - {""})

    def _table(self, name: str) -> str:
        return self._first.get(name, name)

    def _traces(self, key: str) -> frozenset[str]:
        known = [one.objects[key] for one in self._catalogs if key in one.objects]
        found = {key, self._table(table_of(key))}
        for aspects in known:
            owner = table_of(key, aspects)
            named = [] if owner else _NAME.findall(aspects.get("definition", ""))
            found |= {self._table(name) for name in (owner, *named)}
        return frozenset(found - {""})


def since(keys: Collection[str], replay: Replay) -> frozenset[str]:
    """Return ``keys`` and those that renamed tables would give these objects later on."""
    found = {*keys}
    for run in replay.revisions:
        for new, old in moves.renamings(run).items():
            found |= {moves.renamed(key, old, new) for key in found}
        found |= {new for old, new in moves.moved(run).items() if old in found}
    return frozenset(found)
