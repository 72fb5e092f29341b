"""Foresight: what some revisions would make without the others, reckoned from the replay. Pure.

Only a guess, and free: it says which histories are worth a trial. What a revision changes is done
to what is there instead of what the replay had, and a renaming takes along what it finds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from runbook_lib import moves
from runbook_lib.catalog import Aspects, Catalog, ObjectChange, apply_changes, split, table_of
from runbook_lib.effects import Replay, RevisionReplay

RECKONED = 256  # histories at most,
WORK = 500_000  # and as many as have so many objects together
_GUARD = re.compile(r"\bIF\s+EXISTS\b", re.I)
_NEEDED = ("table", "column", "view", "materialized_view", "type", "domain", "function", "schema")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a history would make.

    ``odd`` are keys that it needs and has not, or has already, with the revision that minds first.
    """

    made: Catalog
    odd: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """What one revision does: it removes, renames tables (former name by new), and changes.

    ``removed`` are keys with the table that each is part of, or "". One that is ``guarded`` may
    find that a table is gone already.
    """

    revision_id: str
    guarded: bool
    removed: Mapping[str, str]
    moved: Mapping[str, str]
    changes: tuple[ObjectChange, ...]


class Foresight:
    """Reckons what any of a replay's revisions would make by themselves."""

    def __init__(self, replay: Replay) -> None:
        self._baseline = dict(replay.baseline.objects)
        self._acts: list[_Act] = []
        before = replay.baseline
        for run in replay.revisions:
            after = apply_changes(before, run.changes)
            self._acts.append(_act(run, before.objects, after.objects))
            before = after

    @property
    def affordable(self) -> int:
        """How many histories may be reckoned, about a second's or two."""
        size = len(self._baseline) + sum(len(act.changes) for act in self._acts)
        return min(RECKONED, WORK // (size + 1))

    def of(self, chosen: Collection[str]) -> Foreseen:
        objects, odd = dict(self._baseline), dict[str, str]()
        for act in self._acts:
            if act.revision_id in chosen:
                for key in _done(objects, act):
                    odd.setdefault(key, act.revision_id)
        return Foreseen(made=Catalog(objects=objects), odd=odd)


def _act(run: RevisionReplay, before: Mapping[str, Aspects], after: Mapping[str, Aspects]) -> _Act:
    """Tell a renaming as one: what it moves changes, instead of going and coming.

    A table that it drops and makes anew goes with all that it had, whatever that was.
    """
    moved = moves.renamings(run)
    was = {change.object: change.before for change in run.changes}
    become = {change.object: change.after for change in run.changes if change.after is not None}
    gone = {change.object: change.before or {} for change in run.changes if change.after is None}
    for new, old in moved.items():
        taken = {key: before[key] for key in _belonging(before, old)}
        moving = {key for key in taken if moves.renamed(key, old, new) in after}
        gone = {key: aspects for key, aspects in gone.items() if key not in moving}
        was |= dict.fromkeys(taken)
        was |= {moves.renamed(k, old, new): moves.respelled(v, old, new) for k, v in taken.items()}
        become |= {key: after[key] for key in _belonging(after, old)}
    for table in moves.made_anew(run, before, after):
        gone |= {key: before[key] for key in _belonging(before, table)}
        was |= dict.fromkeys(gone)
        become |= {key: after[key] for key in _belonging(after, table)}
    return _Act(
        revision_id=run.revision_id,
        guarded=any(map(_GUARD.search, run.statements)),
        removed={key: table_of(key, gone[key]) for key in sorted(gone)},
        moved=moved,
        changes=tuple(
            ObjectChange(object=key, before=was.get(key), after=become[key])
            for key in sorted(become)
        ),
    )


def _done(objects: dict[str, Aspects], act: _Act) -> Iterator[str]:
    """Do to ``objects`` what the revision does; give the keys at which it would fail."""
    tables = {split(key)[1] for key in act.removed if key.startswith("table:")}
    for key, owner in act.removed.items():
        if key not in objects and split(key)[0] in _NEEDED:
            needed = not act.guarded if split(key)[1] in tables else table_of(key) not in tables
            if needed:
                yield key
        if owner not in tables or table_of(key, objects.get(key)) in tables:
            objects.pop(key, None)
    for table in tables:
        for key in _belonging(objects, table):
            del objects[key]
    for new, old in act.moved.items():
        if f"table:{old}" not in objects:
            yield f"table:{old}"
        _move(objects, new, old)
    for change in act.changes:
        if (change.before is None) == (change.object in objects):
            yield change.object
        if change.before is None or change.object in objects:
            objects[change.object] = _merged(objects.get(change.object, {}), change)
    for change in act.changes:
        owner = table_of(change.object, change.after)
        if change.before is None and owner and f"table:{owner}" not in objects:
            yield f"table:{owner}"


def _move(objects: dict[str, Aspects], new: str, old: str) -> None:
    for key in _belonging(objects, old):
        aspects = moves.respelled(objects.pop(key), old, new)
        objects[moves.renamed(key, old, new)] = aspects


def _belonging(objects: Mapping[str, Aspects], table: str) -> list[str]:
    return [
        key
        for key, aspects in objects.items()
        if (
            table in key
            or table in aspects.get("table", "")
            or table in aspects.get("owned_by", "")
        )
        and table_of(key, aspects) == table
    ]


def _merged(there: Aspects, change: ObjectChange) -> Aspects:
    """Set what the revision changes, and leave what it found."""
    before, after = change.before or {}, change.after or {}
    touched = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    kept = {name: text for name, text in there.items() if name not in touched}
    return {**kept, **{name: text for name, text in after.items() if name in touched}}


def nearest(
    base: frozenset[str],
    most: int,
    wrong: Callable[[frozenset[str]], frozenset[str]],
    behind: Callable[[frozenset[str]], Collection[str]],
) -> tuple[frozenset[str], ...]:
    """Return histories near ``base``, the one with the fewest ``wrong`` objects first.

    What may be ``behind`` the wrong objects is put in or left out, one revision after another.
    """
    far = {base: wrong(base)}
    todo = [(len(far[base]), 0, 0, base)]
    while todo and len(far) < most:
        *_, chosen = heappop(todo)
        for name in sorted(behind(far[chosen])):
            other = chosen ^ {name}
            if other not in far:
                far[other] = wrong(other)
                heappush(todo, (len(far[other]), len(other ^ base), len(far), other))
    return tuple(sorted(far, key=lambda one: (len(far[one]), len(one ^ base))))
