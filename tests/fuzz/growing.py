"""Growing: random Alembic trees, the same one for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from faults.trees import Rev, Topology

from fuzz.inventing import WORDS, Inventor, insert_rows, update_rows
from fuzz.minding import MIND
from fuzz.wording import MORE

# From these seeds on revisions say more; the trees of those before stay as they were.
RICH = 5000
MINDFUL = 20000
ROWS = ((insert_rows, 1), (update_rows, 1))


def invent(seed: int, cursor: Any, *, longest: int = 7) -> Topology:
    """Return the tree of a seed; ``cursor`` has an empty database and a transaction of its own."""
    words = WORDS if seed < RICH else (*WORDS, *MORE)
    mindful = seed >= MINDFUL
    inventor = Inventor(seed, cursor, (*words, *MIND) if mindful else words, commits=mindful)
    choose = inventor.random
    shape = list(_shape(choose, longest, across=mindful))
    made: list[Rev] = []
    above: dict[str, frozenset[str]] = {}
    for rev in shape:
        named = (*rev.parents, *rev.depends)
        above[rev.id] = frozenset().union(*(above[one] | {one} for one in named))
        merge = len(rev.parents) > 1 and choose.random() < 0.7
        wanted = 0 if merge else choose.randint(1, inventor.busy)
        rows = mindful and choose.random() < 0.08
        made.append(inventor.revision(rev, above[rev.id], wanted, ROWS if rows else ()))
    return Topology(
        name=f"invented-{seed}",
        revisions=tuple(made),
        last="",
        middle="",
        declared=len(_heads(made)) > 1,
        per_migration=choose.random() < 0.4,
    )


def _shape(choose: random.Random, longest: int, *, across: bool) -> Iterator[Rev]:
    """Give the revisions without their statements, parents first.

    ``across``: any of them may depend on one of another branch.
    """
    ids: list[str] = []
    heads: list[str] = []
    for number in range(choose.randint(2, longest)):
        name = _id(choose, number)
        depends: tuple[str, ...] = ()
        throw = choose.random()
        if not ids or throw < 0.05:
            parents: tuple[str, ...] = ()
        elif throw < 0.18:
            parents = (choose.choice(ids),)
        elif throw < 0.35 and len(heads) > 1:
            parents = tuple(heads)
        else:
            parents = (choose.choice(heads),)
        if not parents and ids and choose.random() < 0.5:
            depends = (choose.choice(ids),)
        if across and ids and not depends and choose.random() < 0.2:
            depends = (choose.choice([one for one in ids if one not in parents] or [""]),)
        depends = tuple(one for one in depends if one)
        heads = [head for head in heads if head not in parents] + [name]
        ids.append(name)
        yield Rev(id=name, parents=parents, depends=depends)
    if len(heads) > 1:
        yield Rev(id=f"merge{len(ids)}", parents=tuple(heads))


def _id(choose: random.Random, number: int) -> str:
    kind = choose.random()
    if kind < 0.15:
        return f"{number}{choose.randint(1000, 9999)}"  # looks like a number
    if kind < 0.25:
        return f"{number}e{choose.randint(10, 99)}"
    if kind < 0.3:
        return f"{'long_' * 6}{number}"  # just fits into 32
    return f"{choose.getrandbits(44):011x}{number}"


def _heads(revs: list[Rev]) -> list[str]:
    parents = {parent for rev in revs for parent in rev.parents}
    return [rev.id for rev in revs if rev.id not in parents]
