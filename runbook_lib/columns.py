"""Columns: the statements that turn one value of a column into another. Values in and out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runbook_lib import definitions, lookups
from runbook_lib.catalog import Aspects, Catalog, split, table_of
from runbook_lib.definitions import Statement, differing
from runbook_lib.identifiers import identifier, literal, member

_WIDER = (
    ("smallint", "integer", "bigint", "numeric"),
    ("real", "double precision"),
    ("character varying", "text"),
)


def alterations(
    key: str, old: Aspects, new: Aspects, before: Catalog, after: Catalog
) -> Iterator[Statement]:
    """Yield the statements that turn the column ``old`` into ``new``, its comment aside."""
    changed = differing(old, new)
    if "generated" in changed:
        yield _regenerated(key, old, new)
        return
    if {"type", "collation"} & changed:
        yield _retyped(key, old, new, before, after)
    if "nullable" in changed and "identity" not in old:
        yield _nullable(key, old, new)
    if {"type", "collation"} & changed:  # the default went along with the type
        old, new = (_without(side, "default") for side in (old, new))
    if {"default", "identity", "identity_options"} & differing(old, new):
        yield _given(key, old, new)
    if "nullable" in changed and "identity" in old:
        yield _nullable(key, old, new)
    if "storage" in changed:
        yield _stored(key, old, new)


def _alter(key: str) -> str:
    table, bare = member(split(key)[1])
    return f"ALTER TABLE {table} ALTER COLUMN {identifier(bare)}"


def _altered(key: str, condition: str, sql: str, reverse: str, loses: bool = False) -> Statement:
    return Statement(
        sql=sql,
        guard=lookups.column(split(key)[1], condition),
        reverse=reverse,
        object=key,
        lock=definitions.lock(key, {}),
        destructive=loses,
    )


def _retyped(key: str, old: Aspects, new: Aspects, before: Catalog, after: Catalog) -> Statement:
    collation = new.get("collation")
    collated = (
        f"a.attcollation <> to_regcollation({literal(collation)})"
        if collation
        else "a.attcollation <> (SELECT typcollation FROM pg_type t WHERE t.oid = a.atttypid)"
    )
    return _altered(
        key,
        f"(format_type(a.atttypid, a.atttypmod) <> {literal(new['type'])} OR {collated} "
        f"OR {_other_default(new)})",
        _around(key, _retype(key, old, new), before, after),
        _around(key, _retype(key, new, old), after, before),
        loses=not _widens(old.get("type", ""), new.get("type", "")),
    )


def _around(key: str, sql: str, before: Catalog, after: Catalog) -> str:
    """Take generated columns that use the column away first, and make them anew afterwards."""
    _, bare = member(split(key)[1])
    owner = table_of(key)
    word = re.compile(rf"(?<![\w.]){re.escape(identifier(bare))}(?!\w)")
    users = [
        one
        for one, aspects in definitions.columns(owner, before).items()
        if word.search(aspects.get("generated", ""))
    ]
    made = [
        definitions.make(one, after.objects[one], after) for one in users if one in after.objects
    ]
    return ";\n".join([*(definitions.drop(one) for one in users), sql, *made])


def _retype(key: str, old: Aspects, new: Aspects) -> str:
    """A default is taken off before the type changes, as it may not fit the new type."""
    table, bare = member(split(key)[1])
    column = identifier(bare)
    collation = f" COLLATE {new['collation']}" if "collation" in new else ""
    through = "::text" if "." in old["type"] and "." in new["type"] else ""
    using = f" USING {column}{through}::{new['type']}" if old["type"] != new["type"] else ""
    actions = [f"ALTER COLUMN {column} DROP DEFAULT"] if "default" in old else []
    actions.append(f"ALTER COLUMN {column} TYPE {new['type']}{collation}{using}")
    if "default" in new:
        actions.append(f"ALTER COLUMN {column} SET DEFAULT {new['default']}")
    return f"ALTER TABLE {table} " + ", ".join(actions)


def _widens(old: str, new: str) -> bool:
    """True where every value of the old type is kept as it is by the new one."""
    for family in _WIDER:
        places = [
            next((i for i, n in enumerate(family) if t.startswith(n)), -1) for t in (old, new)
        ]
        if min(places) >= 0 and "(" not in new and places[0] <= places[1]:
            return True
    length = [t.partition("(")[2].rstrip(")") for t in (old, new)]
    same = old.partition("(")[0] == new.partition("(")[0]
    return same and all(part.isdigit() for part in length) and int(length[0]) <= int(length[1])


def _nullable(key: str, old: Aspects, new: Aspects) -> Statement:
    words = {"no": "SET NOT NULL", "yes": "DROP NOT NULL"}
    wanted = new.get("nullable", "yes")
    return _altered(
        key,
        "NOT a.attnotnull" if wanted == "no" else "a.attnotnull",
        f"{_alter(key)} {words[wanted]}",
        f"{_alter(key)} {words[old.get('nullable', 'yes')]}",
    )


def _given(key: str, old: Aspects, new: Aspects) -> Statement:
    """Default and identity together: the one has to go before the other can come."""
    code = {"always": "a", "by default": "d"}.get(new.get("identity", ""), "")
    return _altered(
        key,
        f"({_other_default(new)} OR a.attidentity <> '{code}')",
        _give(key, old, new),
        _give(key, new, old),
    )


def _other_default(aspects: Aspects) -> str:
    wanted = literal(aspects["default"]) if "default" in aspects else "NULL"
    text = lookups.spelled("pg_get_expr(d.adbin, d.adrelid)", aspects.get("default"))
    return (
        f"(SELECT {text} FROM pg_attrdef d "
        f"WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) IS DISTINCT FROM {wanted}"
    )


def _give(key: str, old: Aspects, new: Aspects) -> str:
    alter = _alter(key)
    steps = []
    if "default" in old and "default" not in new:
        steps.append(f"{alter} DROP DEFAULT")
    changed = {"identity", "identity_options"} & differing(old, new)
    if changed == {"identity"} and "identity" in old and "identity" in new:
        steps.append(f"{alter} SET GENERATED {new['identity'].upper()}")
    elif changed:
        steps += [f"{alter} DROP IDENTITY"] if "identity" in old else []
        steps += _identified(key, new) if "identity" in new else []
    if "default" in new and old.get("default") != new["default"]:
        steps.append(f"{alter} SET DEFAULT {new['default']}")
    return ";\n".join(steps) or f"{alter} DROP DEFAULT"


def _identified(key: str, new: Aspects) -> tuple[str, ...]:
    """Let the sequence of a new identity go on behind the values that are there already."""
    table, bare = member(split(key)[1])
    sequence = f"pg_get_serial_sequence({literal(table)}, {literal(bare)})"
    most = f"max({identifier(bare)})"
    return (
        f"{_alter(key)} ADD {definitions.identity(new)}",
        f"SELECT setval({sequence}, {most}) FROM {table} HAVING {most} > 0",
    )


def _regenerated(key: str, old: Aspects, new: Aspects) -> Statement:
    """A generated column is made anew: its values come from the other columns."""
    table, bare = member(split(key)[1])
    dropped = definitions.drop(key)
    text = lookups.spelled("pg_get_expr(d.adbin, d.adrelid)", new.get("generated"))
    return _altered(
        key,
        f"(SELECT '(' || {text} || ')' FROM pg_attrdef d "
        "WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) IS DISTINCT FROM "
        + (literal(new["generated"].rpartition(" ")[0]) if "generated" in new else "NULL"),
        f"{dropped};\nALTER TABLE {table} ADD COLUMN {definitions.column(bare, new)}",
        f"{dropped};\nALTER TABLE {table} ADD COLUMN {definitions.column(bare, old)}",
        loses="generated" not in old,
    )


def _stored(key: str, old: Aspects, new: Aspects) -> Statement:
    word = new.get("storage", "extended")
    code = {"plain": "p", "external": "e", "main": "m"}.get(word, "x")
    return _altered(
        key,
        f"a.attstorage <> '{code}'",
        f"{_alter(key)} SET STORAGE {word.upper()}",
        f"{_alter(key)} SET STORAGE {old.get('storage', 'extended').upper()}",
    )


def _without(aspects: Aspects, name: str) -> Aspects:
    return {key: value for key, value in aspects.items() if key != name}
