"""Backdating: what a baseline had under the name that a revision took from it. Pure.

A baseline is read off the live database, in which a table or column has the name that it was given
last. Where a revision misses the former name, the object of today stood there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from runbook_lib import authorship, moves
from runbook_lib.baseline import Guess, find
from runbook_lib.catalog import Aspects, Catalog, parts, split, table_of
from runbook_lib.identifiers import spelled, unquoted

_SPELLED = ("definition", "owned_by")


def table(guess: Guess, name: str) -> Guess | None:
    """Take what the live table had that is called otherwise now; None when there is none."""
    last = next(iter(find(guess.live, "table", _last(guess, "table:", _bare(name)))), "")
    if not last or last in guess.taken or find(guess.live, "table", name):
        return None
    new = split(last)[1]
    schema, _ = parts(new)
    old = name if "." in name else f"{schema}.{spelled(_bare(name))}"
    later = guess.made - {f"table:{_bare(new)}"}
    objects, own = dict[str, Aspects](), set[str]()
    for key, aspects in guess.live.objects.items():
        former = moves.renamed(key, new, old)
        known = moves.respelled(aspects, new, old)
        mine = table_of(key, aspects) == new and not (
            authorship.makes(later, key, aspects) or authorship.makes(later, former, known)
        )
        objects[former if mine else key] = known
        own |= {former} if mine and split(key)[0] != "grant" else set()
    return _with(guess, objects, own)


def column(guess: Guess, table: str, name: str) -> Guess | None:
    """Take a column under its former name; None when none of the table's is a renamed one.

    The table may have had another name itself when the column was renamed.
    """
    names = {_bare(table), *_formers(guess, _bare(table)), *_laters(guess, _bare(table))}
    owner = next((hit for one in sorted(names) for hit in find(guess.live, "table", one)), "")
    last = {_last(guess, f"column:{one}.", name) for one in names} - {name}
    new = next((spelled(one) for one in sorted(last) if _key(owner, one) in guess.live.objects), "")
    if not owner or not new or _key(owner, name) in guess.live.objects:
        return None
    key, old, word = _key(owner, name), spelled(name), _word(new)
    objects = dict(guess.live.objects)
    objects[key] = objects.pop(_key(owner, unquoted(new)))
    for one, aspects in objects.items():
        if split(one)[0] in ("constraint", "index", "sequence") and _names(
            one, aspects, split(owner)[1]
        ):
            objects[one] = {
                aspect: word.sub(lambda _: old, text) if aspect in _SPELLED else text
                for aspect, text in aspects.items()
            }
    return _with(guess, objects, {key})


def tables_of(guess: Guess, column: str) -> list[str]:
    """Return the bare names of the tables in which files say that they rename such a column."""
    keys = (key.removeprefix("column:") for key in guess.renames if key.startswith("column:"))
    return sorted(
        table for key in keys for table, _, name in (key.rpartition("."),) if name == column
    )


def _bare(name: str) -> str:
    return unquoted(parts(name)[-1])


def _key(owner: str, column: str) -> str:
    return f"column:{split(owner)[1]}.{spelled(column)}"


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf'(?<![\w$"]){re.escape(name)}(?![\w$"])')


def _names(key: str, aspects: Aspects, table: str) -> bool:
    """Whether a constraint, index or owned sequence may name columns of the table."""
    return table_of(key, aspects) == table or f"REFERENCES {table}(" in aspects.get(
        "definition", ""
    )


def _last(guess: Guess, prefix: str, name: str) -> str:
    """Follow the renamings that the files tell, as long as they lead to another name."""
    seen = {name}
    while (later := guess.renames.get(f"{prefix}{name}", "")) and later not in seen:
        seen.add(later)
        name = later
    return name


def _formers(guess: Guess, table: str) -> frozenset[str]:
    tables = (key.removeprefix("table:") for key in guess.renames if key.startswith("table:"))
    return frozenset(one for one in tables if _last(guess, "table:", one) == table)


def _laters(guess: Guess, table: str) -> frozenset[str]:
    found, name = set[str](), table
    while (name := guess.renames.get(f"table:{name}", "")) and name not in found:
        found.add(name)
    return frozenset(found)


def _with(guess: Guess, objects: Mapping[str, Aspects], own: Collection[str]) -> Guess:
    live = Catalog(objects=dict(objects))
    taken = frozenset(key for key in {*guess.taken, *own} if key in live.objects)
    return replace(guess, live=live, taken=taken)
