"""Doubts: what a replay over an inferred baseline cannot prove. Pure.

Such a baseline was read off the live database, after the fact. Three things follow. What a
revision finds when it looks at the schema may be other than what it found when it really ran. An
object that was only assumed proves nothing by its absence. And a table that a revision drops and
the database has may have been made again by whatever made it first, outside of Alembic.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from runbook_lib.catalog import Aspects, Catalog, parts, split, table_of
from runbook_lib.effects import Replay, RevisionReplay

_MADE_OUTSIDE = ("table", "type", "domain", "sequence", "view", "materialized_view", "function")
_GUARDED = re.compile(
    r'\bIF\s+(?:NOT\s+)?EXISTS\s+((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))*)', re.I
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What is not proven; all empty where the baseline is given or empty.

    ``asking`` are revisions that look at the schema before they act, ``guarded`` the names that
    each revision acts upon only if they are (not) there. ``assumed`` are keys that the database
    has not. ``contested`` are keys that the database has although a revision takes them away, with
    that revision. ``undone`` are changes (revision, key) that a later revision, which looked before
    it acted, may have undone. ``inferred``: there is such a baseline at all.
    """

    inferred: bool = False
    asking: frozenset[str] = frozenset()
    guarded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    assumed: frozenset[str] = frozenset()
    contested: Mapping[str, str] = field(default_factory=dict)
    undone: frozenset[tuple[str, str]] = frozenset()

    def hears(self, revision_id: str, key: str, owner: str, *, absent: bool, ran: bool) -> bool:
        """Whether the object ``key`` (of the table ``owner``) proves that the revision ``ran``.

        ``absent``: what the revision leaves behind is that the object is not there.
        """
        if revision_id in self.asking or (not ran and (revision_id, key) in self.undone):
            return False
        if absent and {key, f"table:{owner}"} & self.assumed:
            return False
        names = self.guarded.get(revision_id, frozenset())
        own = {bare(split(key)[1])} | ({bare(owner)} if owner else set())
        return not own & names

    @property
    def droppers(self) -> frozenset[str]:
        return frozenset(self.contested.values())


def doubts(replay: Replay, live: Catalog) -> Doubts:
    """Return what the replay leaves unproven against the ``live`` catalog."""
    if replay.inferred is None:
        return Doubts()
    return Doubts(
        inferred=True,
        asking=frozenset(run.revision_id for run in replay.revisions if _asks(run)),
        guarded={run.revision_id: _guarded(run) for run in replay.revisions},
        assumed=frozenset(replay.inferred.assumed),
        contested=_contested(replay, live),
        undone=frozenset(_undone(replay, replay.inferred.objects)),
    )


def _undone(replay: Replay, before: Collection[str]) -> Iterator[tuple[str, str]]:
    """Give what may have been put back since: the baseline has it as it was found, after the fact.

    One that asks and changes nothing here may have done anything when it really ran.
    """
    texts, anything = "", False
    for run in reversed(replay.revisions):
        for change in run.changes:
            key = change.object
            if key in before and (anything or bare(split(key)[1]) in texts):
                yield run.revision_id, key
        if _asks(run):
            texts += "\n".join(run.statements)
            anything = anything or not run.changes


def _asks(run: RevisionReplay) -> bool:
    unseen = bool(run.changes) and not run.statements  # it used the driver itself
    return run.asks or unseen


def _guarded(run: RevisionReplay) -> frozenset[str]:
    return frozenset(bare(name) for text in run.statements for name in _GUARDED.findall(text))


def bare(name: str) -> str:
    """Return the last part of a name without its quotes, "" for none."""
    found = parts(name)
    return found[-1].strip('"') if found else ""


def _contested(replay: Replay, live: Catalog) -> dict[str, str]:
    found: dict[str, str] = {}
    for run in replay.revisions:
        for change in run.changes:
            key = change.object
            taken = key in (replay.inferred.objects if replay.inferred else {})
            gone = change.after is None and key not in replay.final.objects
            if taken and gone and key in live.objects and split(key)[0] in _MADE_OUTSIDE:
                found[key] = run.revision_id
    return {**found, **_belonging(found, replay, live)}


def _belonging(found: Mapping[str, str], replay: Replay, live: Catalog) -> dict[str, str]:
    """Whatever is part of a contested table is contested with it."""
    known: dict[str, Aspects] = dict(replay.baseline.objects)
    for run in replay.revisions:
        known |= {c.object: c.after for c in run.changes if c.after is not None}
    known |= live.objects
    owners = {key: f"table:{table_of(key, aspects)}" for key, aspects in known.items()}
    return {key: found[owner] for key, owner in owners.items() if owner in found}


def kept(contested: Mapping[str, str], live: Catalog, gone: Collection[str]) -> Catalog:
    """Return the contested objects of ``live``, less those that the revisions ``gone`` remove."""
    return Catalog(
        objects={
            key: live.objects[key]
            for key, revision_id in contested.items()
            if key in live.objects and revision_id not in gone
        }
    )
