"""Moves: what a revision that renames a table takes along, and who made it before. Pure.

To a chain, the column that a rename moves is another column. So what one before it did not make is
missing from the new table, and seems to be the renaming's lack; who is behind that is found here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from runbook_lib.catalog import Aspects, Catalog, parts, split, table_of
from runbook_lib.effects import Replay, RevisionReplay
from runbook_lib.identifiers import spelled, unquoted

_NAME = r'((?:"(?:[^"]|"")+"|[\w$]+)(?:\.(?:"(?:[^"]|"")+"|[\w$]+))*)'
_TOLD = re.compile(
    rf"\bALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{_NAME}\s+"
    rf"(?:RENAME\s+TO|SET\s+(SCHEMA))\s+{_NAME}",
    re.I,
)

_ANEW = re.compile(rf"\b(DROP|CREATE)\s+TABLE\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?{_NAME}", re.I)


def renamings(run: RevisionReplay) -> dict[str, str]:
    """Return the tables that a run renames, perhaps adding columns: the former name by the new.

    Where it makes another table of the former name, only its statements tell.
    """
    gone = _tables(run, made=False)
    come = _tables(run, made=True)
    told = {new: old for text in run.statements for old, new in _told(text, come)}
    seen = {
        new: old
        for new, columns in come.items()
        for old, former in gone.items()
        if former and former <= columns
    }
    return told | seen


def _told(text: str, come: Collection[str]) -> Iterator[tuple[str, str]]:
    """Give (former name, new name) of the tables that a statement renames or moves."""
    for before, schemas, after in _TOLD.findall(text):
        first, *schema = (_spelled(part) for part in reversed(parts(before)))
        for new in come:
            place, bare = parts(new)
            old = f"{schema[0] if schema else 'public' if schemas else place}.{first}"
            wanted = (_spelled(after), first) if schemas else (place, _spelled(after))
            if (place, bare) == wanted and old not in come:
                yield old, new


def made_anew(
    run: RevisionReplay, before: Collection[str], after: Collection[str]
) -> frozenset[str]:
    """Return the tables, there ``before`` and ``after``, that its statements drop and create."""
    told = [found for text in run.statements for found in _ANEW.findall(text)]
    if len({word.upper() for word, _ in told}) < 2:
        return frozenset()
    tables = {split(key)[1] for key in before if key.startswith("table:") and key in after}
    dropped, found = set[str](), set[str]()
    for word, name in told:
        named = {table for table in tables if _is_named(table, name)}
        if word.upper() == "DROP":
            dropped |= named
        else:
            found |= named & dropped
    return frozenset(found)


def _is_named(table: str, name: str) -> bool:
    said = [_spelled(part) for part in parts(name)]
    return list(parts(table))[-len(said) :] == said


def _spelled(part: str) -> str:
    """Return one part of a name in SQL as the catalog's keys spell it."""
    return spelled(unquoted(part) if part.startswith('"') else part.lower())


def _tables(run: RevisionReplay, *, made: bool) -> dict[str, frozenset[str]]:
    """Return the columns of every table that the run makes, or else removes."""
    keys = [
        change.object
        for change in run.changes
        if (change.before is None) == made and (change.after is None) != made
    ]
    found: dict[str, set[str]] = {split(key)[1]: set() for key in keys if key.startswith("table:")}
    for key in keys:
        if key.startswith("column:") and table_of(key) in found:
            found[table_of(key)].add(parts(split(key)[1])[-1])
    return {table: frozenset(columns) for table, columns in found.items()}


def behind(odd: Collection[str], replay: Replay, live: Catalog) -> tuple[str, ...]:
    """Return who wrote what became the ``odd`` objects last, before a table was renamed."""
    writers: dict[str, str] = {}
    found: dict[str, None] = {}
    for run in replay.revisions:
        for new, old in renamings(run).items():
            formers = (_formerly(key, new, old, live) for key in odd)
            found.update((writers[key], None) for key in formers if key in writers)
        writers.update((change.object, run.revision_id) for change in run.changes)
    return tuple(found)


def taken_along(replay: Replay, ran: Collection[str]) -> frozenset[str]:
    """Return the revisions that wrote to tables which one of ``ran`` renames later on."""
    found: set[str] = set()
    for number, run in enumerate(replay.revisions):
        tables = {*renamings(run).values()} if run.revision_id in ran else set()
        found.update(
            before.revision_id
            for before in replay.revisions[: number if tables else 0]
            if any(table_of(c.object, c.after or c.before) in tables for c in before.changes)
        )
    return frozenset(found)


def names_since(tables: Collection[str], replay: Replay) -> frozenset[str]:
    """Return ``tables`` and the names that revisions would give them."""
    known = {*tables}
    for run in replay.revisions:
        known.update(new for new, old in renamings(run).items() if old in known)
    return frozenset(known)


def brought(keys: Collection[str], replay: Replay, known: Collection[str]) -> dict[str, str]:
    """Return those of ``keys`` that renamings would give a ``known`` object, by which one.

    A table may be renamed more than once.
    """
    nothing = Catalog(objects={})
    formers: dict[str, dict[str, None]] = {key: {key: None} for key in keys}
    for run in reversed(replay.revisions):
        for new, old in renamings(run).items():
            for names in formers.values():
                earlier = [_formerly(name, new, old, nothing) for name in names]
                names |= dict.fromkeys(name for name in earlier if name)
    found = {key: [name for name in names if name in known] for key, names in formers.items()}
    return {key: names[0] for key, names in found.items() if names}


def makers(replay: Replay) -> dict[str, tuple[str, ...]]:
    """Return who made and changed each object there is in the end, first to last.

    An object that came along with a renamed table has the makers that it had before.
    """
    found: dict[str, tuple[str, ...]] = {}
    for run in replay.revisions:
        earlier = {
            change.object: found[former]
            for new, old in renamings(run).items()
            for change in run.changes
            if change.before is None
            and (former := _formerly(change.object, new, old, Catalog(objects={}))) in found
        }
        for change in run.changes:
            known = found.pop(change.object, ()) or earlier.get(change.object, ())
            if change.after is not None:
                found[change.object] = (*known, run.revision_id)
    return found


def moved(run: RevisionReplay) -> dict[str, str]:
    """Return the new key of what follows a table into another schema and is no part of its name."""
    schemas = {(parts(old)[0], parts(new)[0]) for new, old in renamings(run).items()}
    found = {}
    for change in run.changes if schemas else ():
        kind, name = split(change.object)
        schema, *rest = parts(name)
        for before, after in schemas:
            key = f"{kind}:{'.'.join((after, *rest))}"
            if change.after is None and schema == before != after:
                found[change.object] = key
    come = {change.object for change in run.changes if change.before is None}
    return {old: new for old, new in found.items() if new in come}


def renamed(key: str, name: str, other: str) -> str:
    """Return the key that an object has if the table ``name`` is called ``other``."""
    kind, own = split(key)
    if kind == "grant":
        return f"grant:{renamed(own, name, other)}"
    if own == name or own.startswith(f"{name}."):
        return f"{kind}:{other}{own.removeprefix(name)}"
    return key


def respelled(aspects: Aspects, name: str, other: str) -> Aspects:
    """Return the aspects of an object whose texts name the table ``name``, now called ``other``."""
    whole = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")
    return {key: whole.sub(lambda _: other, text) for key, text in aspects.items()}


def _formerly(key: str, new: str, old: str, live: Catalog) -> str:
    """Return the key that an object of the renamed table had; an index keeps its own."""
    kind, name = split(key)
    if name.startswith(f"{new}."):
        return f"{kind}:{old}{name.removeprefix(new)}"
    return key if kind == "index" or table_of(key, live.objects.get(key)) == new else ""
