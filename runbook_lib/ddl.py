"""DDL: corrective statements that turn one catalog into another. Values in, values out.

What hangs on other objects goes first (grants, triggers, views, foreign keys, indexes), then
objects are changed and made, containers before their content, and at the end emptied containers
are dropped. Within that order a statement comes after those that make what it mentions. Undone in
the opposite order, the ``reverse`` of each leads back.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from runbook_lib import alterations, definitions, lookups
from runbook_lib.catalog import Aspects, Catalog, ObjectChange, parts, split, table_of
from runbook_lib.definitions import Statement
from runbook_lib.identifiers import literal, sql_name

__all__ = ["Statement", "create_statements", "guarded"]

_RANKS = {
    kind: rank
    for rank, kinds in enumerate(
        (
            ("schema",),
            ("extension",),
            ("type", "domain"),
            ("label",),
            ("sequence",),
            ("table",),
            ("column",),
            ("owner",),
            ("function", "procedure", "aggregate"),
            ("constraint",),
            ("index", "statistics"),
            ("foreign key",),
            ("view", "materialized_view"),
            ("trigger", "rule", "policy", "event_trigger"),
            ("comment",),
            ("grant",),
        )
    )
    for kind in kinds
}
_ROUTINES = ("function", "procedure", "aggregate")
_CONTAINERS = ("schema", "extension", "type", "domain", "sequence", "table", "column", *_ROUTINES)
_PROVIDERS = (*_CONTAINERS, "view", "materialized_view")

Ranked = tuple[int, Statement]


def create_statements(
    changes: Sequence[ObjectChange], before: Catalog, after: Catalog
) -> tuple[Statement, ...]:
    """Return the statements that carry out exactly ``changes`` on a database that has ``before``.

    What cannot be synthesised from a snapshot (base types, foreign tables, the loss of an enum's
    value) gives no statement: compare the result with ``after``.
    """
    made = {change.object for change in changes if change.before is None}
    gone = {change.object for change in changes if change.after is None}
    drops = _ordered(_removed(changes, gone, before, after))[::-1]
    early = [item for item in drops if split(item.object)[0] not in _CONTAINERS]
    late = [item for item in drops if split(item.object)[0] in _CONTAINERS]
    released = [
        alterations.owning(change.object, change.before["owned_by"], None)
        for change in changes
        if change.before is not None
        and change.after is None
        and split(change.object)[0] == "sequence"
        and "owned_by" in change.before
    ]
    return (*early, *released, *_ordered(_made(changes, made, before, after)), *late)


def guarded(statement: Statement) -> str:
    """Return a DO block that runs the statement only while it is still needed.

    It works offline and through any driver: percent signs, and colons that SQLAlchemy would take
    for a parameter, are spelled by their number and put back before the statement runs.
    """
    guard, sql = (_dollar(*_safe(text)) for text in (f"SELECT {statement.guard}", statement.sql))
    return (
        "DO $runbook$\nDECLARE\n    path text; bodies text; needed boolean;\nBEGIN\n"
        "    path = pg_catalog.current_setting('search_path');\n"
        "    bodies = pg_catalog.current_setting('check_function_bodies');\n"
        "    PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true);\n"
        "    PERFORM pg_catalog.set_config('check_function_bodies', 'off', true);\n"
        f"    EXECUTE {guard} INTO needed;\n"
        f"    IF needed THEN\n        EXECUTE {sql};\n    END IF;\n"
        "    PERFORM pg_catalog.set_config('check_function_bodies', bodies, true);\n"
        "    PERFORM pg_catalog.set_config('search_path', path, true);\n"
        "END\n$runbook$"
    )


def _safe(text: str) -> tuple[str, dict[str, int]]:
    """Return the text without the signs that a driver reads as a parameter, and their stand-ins."""
    stand_ins: dict[str, int] = {}
    for sign, pattern in (("%", "%"), (":", r"(?<!:):(?=\w)|\\:"), ("?", r"\?")):
        if re.search(pattern, text):
            mark = f"<{ord(sign)}>"
            while mark in text:
                mark = f"<{mark}>"
            text = text.replace(sign, mark)
            stand_ins[mark] = ord(sign)
    return text, stand_ins


def _dollar(text: str, stand_ins: Mapping[str, int]) -> str:
    """Return the text as a dollar-quoted expression that gives the signs back."""
    tag = "$statement$"
    while tag in text or tag == "$runbook$":
        tag = f"{tag[:-1]}_$"
    expression = f"{tag}{text}{tag}"
    for mark, number in stand_ins.items():
        expression = f"pg_catalog.replace({expression}, '{mark}', pg_catalog.chr({number}))"
    return expression


def _removed(
    changes: Iterable[ObjectChange], gone: set[str], before: Catalog, after: Catalog
) -> Iterator[Ranked]:
    for change in changes:
        if change.before is None or change.after is not None:
            continue
        kind, name = split(change.object)
        if kind == "grant":
            yield from _granted(name, change.before, {})
        elif _handed_over(change.object, before, after):
            continue
        elif not _within(change.object, gone, kind in ("column", "label")):
            statement = definitions.removal(change.object, change.before, before)
            if statement:
                yield _rank(kind, change.before), statement


def _made(
    changes: Iterable[ObjectChange], made: set[str], before: Catalog, after: Catalog
) -> Iterator[Ranked]:
    for change in changes:
        kind, name = split(change.object)
        old, new = change.before or {}, change.after
        if new is None or (not old and _handed_over(change.object, before, after)):
            continue
        if kind == "grant":
            yield from _granted(name, old, new)
            continue
        for statement in _statements(change, made, before, after):
            yield _rank(kind, new), statement
        if old.get("comment") != new.get("comment"):
            yield _RANKS["comment"], _commented(change.object, old, new)
        if kind == "sequence" and old.get("owned_by") != new.get("owned_by"):
            owned = alterations.owning(change.object, old.get("owned_by"), new.get("owned_by"))
            yield _RANKS["owner"], owned


def _statements(
    change: ObjectChange, made: set[str], before: Catalog, after: Catalog
) -> Iterator[Statement]:
    kind, _ = split(change.object)
    if change.before is not None and change.after is not None:
        if definitions.differing(change.before, change.after) - {"comment", "owned_by"}:
            yield from alterations.alterations(
                change.object, change.before, change.after, before, after
            )
    elif change.after is not None and not _within(change.object, made, kind in ("column", "label")):
        statement = definitions.creation(change.object, change.after, after)
        if statement:
            yield statement


def _within(key: str, others: set[str], part: bool) -> bool:
    """True for a column of a table, or a label of a type, that comes or goes as a whole."""
    owner = ".".join(parts(split(key)[1])[:2])
    return part and bool({f"table:{owner}", f"type:{owner}"} & others)


def _handed_over(key: str, before: Catalog, after: Catalog) -> bool:
    """True for a column that a table takes from its parent, or keeps when it leaves it."""
    owner = f"table:{table_of(key)}"
    if not key.startswith("column:") or owner not in before.objects or owner not in after.objects:
        return False
    changed = definitions.differing(before.objects[owner], after.objects[owner])
    return bool(changed & {"partition_of", "inherits"})


def _rank(kind: str, aspects: Aspects) -> int:
    return _RANKS.get("foreign key" if aspects.get("type") == "foreign key" else kind, 13)


def _commented(key: str, old: Aspects, new: Aspects) -> Statement:
    wanted = new.get("comment")
    return Statement(
        sql=definitions.comment(key, wanted),
        guard=f"{lookups.comment(key)} IS DISTINCT FROM "
        + ("NULL" if wanted is None else literal(wanted)),
        reverse=definitions.comment(key, old.get("comment")),
        object=key,
    )


def _granted(key: str, old: Aspects, new: Aspects) -> Iterator[Ranked]:
    for grantee in sorted({*old, *new}):
        was, now = old.get(grantee), new.get(grantee)
        if was != now:
            yield (
                _RANKS["grant"],
                Statement(
                    sql=";\n".join(alterations.granting(key, grantee, was, now)),
                    guard=lookups.privileges(key, grantee, now),
                    reverse=";\n".join(alterations.granting(key, grantee, now, was)),
                    object=f"grant:{key}",
                ),
            )


def _ordered(ranked: Iterable[Ranked]) -> list[Statement]:
    """Sort by rank and key; what is mentioned comes before what mentions it."""
    waiting = sorted(ranked, key=lambda item: (item[0], item[1].object))
    makes = _makers(waiting)
    needs = {
        index: {
            makes[name]
            for name in _mentions(statement, makes)
            if makes[name] != index and waiting[makes[name]][1].object != statement.object
        }
        for index, (_, statement) in enumerate(waiting)
    }
    return [waiting[index][1] for index in _topological(needs)]


def _topological(needs: Mapping[int, set[int]]) -> list[int]:
    """Return the numbers in their order, each after those it needs; a cycle is cut at its least."""
    open_needs = {index: set(needed) for index, needed in needs.items()}
    users: dict[int, set[int]] = {}
    for index, needed in needs.items():
        for one in needed:
            users.setdefault(one, set()).add(index)
    ready = [index for index, needed in open_needs.items() if not needed]
    done: list[int] = []
    while open_needs:
        index = heapq.heappop(ready) if ready else min(open_needs)
        if open_needs.pop(index, None) is None:
            continue
        done.append(index)
        for user in users.get(index, set()) & open_needs.keys():
            open_needs[user].discard(index)
            if not open_needs[user]:
                heapq.heappush(ready, user)
    return done


def _makers(waiting: Sequence[Ranked]) -> dict[str, int]:
    """Return which statement makes which name."""
    makes: dict[str, int] = {}
    for index, (_, statement) in enumerate(waiting):
        kind, name = split(statement.object)
        if kind in _PROVIDERS and kind != "column":
            makes.setdefault(sql_name(name).partition("(")[0], index)
    return makes


def _mentions(statement: Statement, makes: Mapping[str, int]) -> set[str]:
    kind, _ = split(statement.object)
    text = statement.sql if not statement.sql.startswith("DROP") else statement.reverse
    if kind in ("function", "procedure"):
        text = re.split(r"\nAS \$", text, maxsplit=1)[0]  # a body is bound when it runs
    words = re.findall(r'(?:"(?:[^"]|"")+"|\w+)(?:\.(?:"(?:[^"]|"")+"|\w+))*', text)
    found = {".".join(parts(word)[:2]) for word in words} | set(words)
    return found & makes.keys()
