"""Nearness: what keeps a schema from being the live one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from runbook_lib import differences
from runbook_lib.case import Case
from runbook_lib.catalog import Aspects, Catalog, ObjectChange, diff
from runbook_lib.effects import Replay
from runbook_lib.inference import object_histories
from runbook_lib.kinship import since

_UNDONE = {"added": "removed", "removed": "added", "changed": "changed"}


class Nearness:
    """Tells what keeps a schema from being the live one.

    What no revision makes does not count, unless one might have (``unmade``); nor what those of the
    revisions ``begun`` left undone that are among the chosen.
    """

    def __init__(
        self, case: Case, live: Catalog, begun: frozenset[str], unmade: frozenset[str]
    ) -> None:
        self.case, self.live, self.begun = case, live, begun
        self._allowed: dict[frozenset[str], Mapping[str, set[str]]] = {}
        self._known = object_histories(case.replay)
        self._foreign = live.objects.keys() - self._known.keys() - unmade

    def apart(self, made: Catalog, chosen: frozenset[str] | None = None) -> list[ObjectChange]:
        """Return the objects at odds; of all of them, stopped or not, without ``chosen``."""
        aligned, _ = differences.align(self.live, made, self._known)
        undone = {} if chosen is None else self._undone(chosen)
        return [
            change
            for change in diff(_finished(made), _finished(aligned))
            if not (change.before is None and change.object in self._foreign)
            and change.kind not in undone.get(change.object, ())
        ]

    def renames(self, made: Catalog) -> bool:
        """Whether an object is the same under another name."""
        return bool(differences.align(self.live, made, self._known)[1])

    def _undone(self, chosen: frozenset[str]) -> Mapping[str, set[str]]:
        """Return how objects may differ because a revision did not come to them."""
        names = chosen & self.begun
        if names not in self._allowed:
            self._allowed[names] = _left(names, self.case.replay)
        return self._allowed[names]


def _left(names: Collection[str], replay: Replay) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for run in replay.revisions:
        for change in run.changes if run.revision_id in names else ():
            for key in since({change.object}, replay):
                found.setdefault(key, set()).add(_UNDONE[change.kind])
    return found


def _finished(catalog: Catalog) -> Catalog:
    """Leave out whether indexes and constraints are valid: that is found by itself."""
    return Catalog(objects=dict(_without_validity(catalog.objects.items())))


def _without_validity(
    items: Iterable[tuple[str, Aspects]],
) -> Iterator[tuple[str, Aspects]]:
    for key, aspects in items:
        known = {k: v for k, v in aspects.items() if k not in ("valid", "validated")}
        yield key, known if len(known) < len(aspects) else aspects
