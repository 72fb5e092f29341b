"""Baseline: what the live catalog says was there before the first revision. Pure.

The first guess holds what the database has and no revision's file says it makes. Then the errors
of the replay decide: what "does not exist" is taken from the live catalog, what "already exists"
is left to the revision that makes it. What neither has, and a revision removes, is assumed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from runbook_lib import authorship, ddl, definitions
from runbook_lib.catalog import Aspects, Catalog, diff, parts, split, table_of
from runbook_lib.effects import Inferred, Replay
from runbook_lib.identifiers import member, sql_name, unquoted
from runbook_lib.inference import object_histories

GIVEN = ("schema:public", "extension:plpgsql")  # what an empty database has
RELATIONS = ("table", "view", "materialized_view", "sequence", "index")
_REFERENCES = re.compile(r'\bREFERENCES ((?:[\w$]+|"[^"]+")(?:\.(?:[\w$]+|"[^"]+"))*)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """One guess. ``taken`` are keys of ``live``; ``banned`` those that a revision makes.

    ``claimed`` are those that a file says it makes; ``made`` is what the files make, ``renames``
    what they rename, as authorship spells it. ``assumed`` are the statements that make what the
    live database has not, or has in a form that came later, by key; ``refused`` are keys that may
    not be assumed, because no revision removes or changes them.
    """

    live: Catalog
    taken: frozenset[str]
    claimed: frozenset[str] = frozenset()
    made: frozenset[str] = frozenset()
    renames: Mapping[str, str] = field(default_factory=dict)
    banned: frozenset[str] = frozenset()
    assumed: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()

    @property
    def catalog(self) -> Catalog:
        return Catalog(objects={k: v for k, v in self.live.objects.items() if k in self.taken})

    def inferred(self) -> Inferred:
        return Inferred(
            statements=steps(replace(self, taken=frozenset(), assumed={}), self),
            objects=self.catalog.objects,
            assumed=tuple(self.assumed),
        )


def first_guess(live: Catalog, texts: Iterable[str]) -> Guess:
    """Take what no file says it makes; no tables where a file computes the names of its own."""
    known = tuple(texts)
    found = frozenset(item for text in known for item in authorship.made(text))
    renames = {old: new for text in known for old, new in authorship.renamed(text).items()}
    computed = authorship.UNKNOWN in found
    claimed = claims(live, found)
    taken = {
        key
        for key, aspects in live.objects.items()
        if _counts(key) and key not in claimed and not (computed and _of_table(key, aspects))
    }
    return Guess(
        live=live,
        taken=frozenset(taken),
        claimed=claimed,
        made=found - authorship.named_anew(renames),
        renames=renames,
    )


def claims(live: Catalog, found: Collection[str]) -> frozenset[str]:
    """Return the live keys that files say they make."""
    items = live.objects.items()
    return frozenset(key for key, aspects in items if authorship.makes(found, key, aspects))


def _counts(key: str) -> bool:
    return key not in GIVEN and split(key)[0] != "grant"


def _of_table(key: str, aspects: Aspects) -> bool:
    return split(key)[0] in RELATIONS or bool(table_of(key, aspects))


def steps(before: Guess, after: Guess) -> tuple[str, ...]:
    """Return the statements that lead a shadow from one guess to the other."""
    gone = before.catalog.objects.keys() - after.catalog.objects.keys()
    dropped = [f"{sql} CASCADE" for key in sorted(gone) if (sql := definitions.drop(key))]
    fresh = Catalog(objects={k: v for k, v in after.catalog.objects.items() if k not in gone})
    kept = Catalog(objects={k: v for k, v in before.catalog.objects.items() if k not in gone})
    made = [item.sql for item in ddl.create_statements(diff(kept, fresh), kept, fresh)]
    assumed = [sql for key, sql in after.assumed.items() if key not in before.assumed]
    return (*dropped, *made, *assumed)


# What an error asks for -----------------------------------------------------------------------


def take(guess: Guess, kind: str, name: str, table: str = "") -> Guess | None:
    """Take the live object of that bare or qualified name; None when there is none to take."""
    for key in find(guess.live, kind, name, table):
        whole = {key, *(_reached(guess, key) - guess.banned - guess.claimed)}
        if key not in guess.banned and key not in guess.taken:
            return replace(guess, taken=guess.taken | whole)
    return None


def ban(guess: Guess, kind: str, name: str, table: str = "") -> Guess | None:
    """Leave an object, with what belongs to it, to the revision that makes it."""
    for key in find(guess.live, kind, name, table):
        if key in guess.taken:
            gone = {key}
            if split(key)[0] in RELATIONS:
                gone = set(_whole(guess.live, key))
            return replace(guess, taken=guess.taken - gone, banned=guess.banned | gone)
    return None


def ban_key(guess: Guess, keys: Collection[str]) -> Guess:
    return replace(guess, taken=guess.taken - set(keys), banned=guess.banned | set(keys))


def assume(guess: Guess, key: str, sql: str) -> Guess | None:
    """Assume an object that the live database has not; None when it may not be assumed.

    One that was taken and is not there after all could not be made: an older form is assumed.
    """
    if key in guess.refused or key in guess.assumed:
        return None
    if key in guess.live.objects and key not in guess.taken:
        return None
    return replace(guess, taken=guess.taken - {key}, assumed={**guess.assumed, key: sql})


def find(catalog: Catalog, kind: str, name: str, table: str = "") -> list[str]:
    """Return the keys of that kind whose name, qualified or not, is ``name``; public ones first."""
    kinds = RELATIONS if kind == "relation" else (kind,)
    wanted = _plain(name)
    owner = _plain(table)
    hits = [
        key
        for key, aspects in catalog.objects.items()
        if split(key)[0] in kinds
        and _ends(_plain(split(key)[1]), wanted)
        and (not table or _ends(_plain(table_of(key, aspects)), owner))
    ]
    return sorted(hits, key=lambda key: (split(key)[1].partition(".")[0] != "public", key))


def _plain(name: str) -> tuple[str, ...]:
    return tuple(unquoted(part).partition("(")[0] for part in parts(name))


def _ends(name: tuple[str, ...], tail: tuple[str, ...]) -> bool:
    return bool(tail) and name[-len(tail) :] == tail


def _whole(live: Catalog, key: str) -> frozenset[str]:
    """Return the object with all that belongs to it and whatever types its columns need."""
    kind, name = split(key)
    if kind != "table":
        return frozenset({key} | {k for k in live.objects if k.startswith(f"label:{name}.")})
    own = {k for k, aspects in live.objects.items() if _counts(k) and table_of(k, aspects) == name}
    return frozenset(own | {key})


def _reached(guess: Guess, key: str) -> frozenset[str]:
    """Return the object with all that belongs to it, and the unclaimed tables it refers to."""
    found, todo = set[str](), {key}
    while todo:
        one = todo.pop()
        own = _whole(guess.live, one)
        found |= own
        texts = [guess.live.objects[part].get("definition", "") for part in own]
        named = {f"table:{name}" for text in texts for name in _REFERENCES.findall(text)}
        todo |= (named & guess.live.objects.keys()) - found - guess.claimed - guess.banned
    return frozenset(found)


def table_key(guess: Guess, table: str) -> str:
    """Return the key that a table of this name has, or would have."""
    found = find(guess.live, "table", table)
    return found[0] if found else f"table:{table if '.' in table else f'public.{table}'}"


def within(guess: Guess, kind: str, table: str, name: str) -> str:
    """Return the key that a part of a table would have."""
    spelled = name if name.startswith('"') or name.islower() else f'"{name}"'
    return f"{kind}:{split(table_key(guess, table))[1]}.{spelled}"


def stub(key: str, table: str = "") -> str:
    """Return the least that makes an object which a revision is going to remove."""
    kind, name = split(key)
    if kind == "table":
        return f"CREATE TABLE {sql_name(name)} ()"
    if kind == "type":
        return f"CREATE TYPE {sql_name(name)} AS ENUM ()"
    if kind == "index":
        return f"CREATE INDEX {sql_name(name).rpartition('.')[2]} ON {sql_name(table)} ((1))"
    owner, _ = member(name)
    bare = sql_name(name).rpartition(".")[2]
    if kind == "column":
        return f"ALTER TABLE {owner} ADD COLUMN {bare} text"
    return f"ALTER TABLE {owner} ADD CONSTRAINT {bare} CHECK (true)"


# What a whole replay says ---------------------------------------------------------------------


def corrected(guess: Guess, replay: Replay, waiting: Collection[str]) -> Guess:
    """Return the guess as a whole replay of it corrects it; the same where it stands.

    ``waiting`` are live keys that revisions say they make which did not run.
    """
    surviving = {
        key for key in guess.assumed if key in replay.final.objects and not _changes(replay, key)
    }
    if surviving:
        kept = {key: sql for key, sql in guess.assumed.items() if key not in surviving}
        return replace(guess, assumed=kept, refused=guess.refused | surviving)
    twins = _twins(guess, replay)
    if twins:
        return ban_key(guess, twins)
    return replace(guess, taken=guess.taken | (_unexplained(guess, replay) - set(waiting)))


def _changes(replay: Replay, key: str) -> bool:
    return any(change.object == key for run in replay.revisions for change in run.changes)


def _twins(guess: Guess, replay: Replay) -> set[str]:
    """Taken objects that a revision makes too, under a name that the server had to change."""
    mine: dict[tuple[object, ...], str] = {}
    for key in guess.taken:
        if split(key)[0] in ("constraint", "index", "sequence"):
            mine[_identity(key, guess.live.objects[key])] = key
    return {
        mine[_identity(key, aspects)]
        for key, aspects in replay.final.objects.items()
        if key not in guess.live.objects and _identity(key, aspects) in mine
    }


def _identity(key: str, aspects: Aspects) -> tuple[object, ...]:
    return (split(key)[0], table_of(key, aspects), *sorted(aspects.items()))


def _unexplained(guess: Guess, replay: Replay) -> set[str]:
    """Live objects that nobody makes, unless they are part of a table that a revision makes."""
    histories = object_histories(replay)
    own = {key for key in histories if key not in guess.taken and key.startswith("table:")}
    return {
        key
        for key, aspects in guess.live.objects.items()
        if _counts(key)
        and key not in histories
        and key not in guess.banned
        and f"table:{table_of(key, aspects)}" not in own
    }


def as_found(replay: Replay) -> Replay:
    """Let what no revision touched stand as it was found, however the shadow spells it."""
    if replay.inferred is None:
        return replay
    touched = {change.object for run in replay.revisions for change in run.changes}
    tables = {key for key in replay.final.objects if key.startswith("table:")}
    found = {
        key: aspects
        for key, aspects in replay.inferred.objects.items()
        if key not in touched and _stands(key, aspects, tables | replay.inferred.objects.keys())
    }
    return replace(
        replay,
        baseline=Catalog(objects={**replay.baseline.objects, **found}),
        final=Catalog(objects={**replay.final.objects, **found}),
    )


def _stands(key: str, aspects: Aspects, tables: Collection[str]) -> bool:
    owner = table_of(key, aspects)
    return not owner or f"table:{owner}" in tables
