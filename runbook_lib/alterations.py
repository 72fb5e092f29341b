"""Alterations: the statements that turn one value of an object into another. Values in and out."""

from __future__ import annotations

from collections.abc import Iterator

from runbook_lib import columns, definitions, lookups
from runbook_lib.catalog import Aspects, Catalog, split, table_of
from runbook_lib.definitions import Statement, differing
from runbook_lib.identifiers import identifier, literal, member, sql_name


def alterations(
    key: str, old: Aspects, new: Aspects, before: Catalog, after: Catalog
) -> Iterator[Statement]:
    """Yield the statements that turn ``old`` into ``new``, comments aside."""
    kind, _ = split(key)
    if kind == "column":
        yield from columns.alterations(key, old, new, before, after)
    elif kind == "table":
        yield from _table(key, old, new)
    elif kind == "sequence":
        yield from _sequence(key, old, new)
    elif kind == "domain":
        yield from _domain(key, old, new)
    elif kind in ("view", "materialized_view"):
        yield _view(key, old, new, before, after)
    elif kind in ("function", "procedure"):
        yield _function(key, old, new, before, after)
    elif kind == "constraint" and _only(old, new, "validated") and new.get("validated") == "yes":
        yield _validate(key, old, before)
    elif kind in ("trigger", "rule", "event_trigger") and _only(old, new, "enabled"):
        yield _enable(key, old, new)
    elif definitions.drop(key) and definitions.make(key, new, after):
        yield _replaced(key, old, new, before, after, drop=True)


def _only(old: Aspects, new: Aspects, aspect: str) -> bool:
    return differing(old, new) - {"comment"} == {aspect}


def _replaced(
    key: str, old: Aspects, new: Aspects, before: Catalog, after: Catalog, *, drop: bool
) -> Statement:
    """Drop the object and make it anew, or replace it; what hangs on it is made anew with it."""
    gone = [definitions.drop(key)] if drop else []
    return Statement(
        sql=";\n".join([*gone, definitions.make(key, new, after), *_hanging(key, after)]),
        guard=lookups.differs(key, new),
        reverse=";\n".join([*gone, definitions.make(key, old, before), *_hanging(key, before)]),
        object=key,
        lock=definitions.lock(key, new),
    )


def _view(key: str, old: Aspects, new: Aspects, before: Catalog, after: Catalog) -> Statement:
    """A view keeps its place if it can: it is dropped only where its columns change."""
    whole = _replaced(key, old, new, before, after, drop=True)
    if split(key)[0] == "materialized_view" or "options" in differing(old, new):
        return whole
    return Statement(
        sql=_replace_or(definitions.make(key, new, after), whole.sql),
        guard=whole.guard,
        reverse=_replace_or(definitions.make(key, old, before), whole.reverse),
        object=key,
        lock=whole.lock,
    )


def _function(key: str, old: Aspects, new: Aspects, before: Catalog, after: Catalog) -> Statement:
    """A function keeps its place unless its result or its arguments' names change."""
    whole = _replaced(key, old, new, before, after, drop=True)
    made, unmade = definitions.make(key, new, after), definitions.make(key, old, before)
    return Statement(
        sql=_replace_or(made, whole.sql),
        guard=whole.guard,
        reverse=_replace_or(unmade, whole.reverse),
        object=key,
    )


def _replace_or(create: str, whole: str) -> str:
    """Replace, and where PostgreSQL refuses that, drop and make anew."""
    replaced = create.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)
    refused = "invalid_table_definition OR invalid_function_definition"
    tag = "$replace$"
    while tag in whole:
        tag = f"{tag[:-1]}_$"
    return f"DO {tag}\nBEGIN\n{replaced};\nEXCEPTION WHEN {refused} THEN\n{whole};\nEND\n{tag}"


def _hanging(key: str, catalog: Catalog) -> Iterator[str]:
    """Yield what goes when the object is dropped: its comment, indexes and grants."""
    _, name = split(key)
    comment = catalog.objects.get(key, {}).get("comment")
    if comment is not None:
        yield definitions.comment(key, comment)
    for other, aspects in catalog.objects.items():
        if other.startswith("index:") and table_of(other, aspects) == name:
            yield definitions.make(other, aspects, catalog)
    for grantee, privileges in catalog.objects.get(f"grant:{key}", {}).items():
        yield from granting(key, grantee, None, privileges)


def _validate(key: str, old: Aspects, before: Catalog) -> Statement:
    table, bare = member(split(key)[1])
    return Statement(
        sql=f"ALTER TABLE {table} VALIDATE CONSTRAINT {identifier(bare)}",
        guard=f"EXISTS (SELECT FROM pg_constraint WHERE oid = {lookups.oid(key)} "
        "AND NOT convalidated)",
        reverse=f"{definitions.drop(key)};\n{definitions.make(key, old, before)}",
        object=key,
        lock=f"SHARE UPDATE EXCLUSIVE on {table}",
    )


def _enable(key: str, old: Aspects, new: Aspects) -> Statement:
    return Statement(
        sql=definitions.enabling(key, new),
        guard=lookups.differs(key, new),
        reverse=definitions.enabling(key, old),
        object=key,
        lock=definitions.lock(key, new),
    )


def _table(key: str, old: Aspects, new: Aspects) -> Iterator[Statement]:
    _, name = split(key)
    found = lookups.oid(key)
    steps = {
        "row_security": (_secured(new), "relrowsecurity, relforcerowsecurity"),
        "persistence": (_persistent(new), "relpersistence"),
        "replica_identity": (_identified(new), "relreplident"),
        "options": (_optioned(old, new), "array_to_string(reloptions, ', ')"),
        "partition_of": (_attached(name, old, new), "pg_get_expr(relpartbound, oid)"),
        "inherits": (_inherited(name, old, new), _PARENTS),
    }
    back = {
        "row_security": _secured(old),
        "persistence": _persistent(old),
        "replica_identity": _identified(old),
        "options": _optioned(new, old),
        "partition_of": _attached(name, new, old),
        "inherits": _inherited(name, new, old),
    }
    for aspect in sorted(differing(old, new) & steps.keys()):
        forward, state = steps[aspect]
        yield Statement(
            sql=_on_table(name, forward),
            guard=f"(SELECT concat_ws('/', {state}) FROM pg_class WHERE oid = {found})"
            f" IS DISTINCT FROM {literal(_state(aspect, new))}",
            reverse=_on_table(name, back[aspect]),
            object=key,
            lock=definitions.lock(key, new),
        )


def _on_table(name: str, actions: tuple[str, ...]) -> str:
    return ";\n".join(
        action if action.startswith("ALTER") else f"ALTER TABLE {sql_name(name)} {action}"
        for action in actions
    )


def _state(aspect: str, aspects: Aspects) -> str:
    """Return what pg_class holds, as the guard spells it, once the aspect is as wanted."""
    value = aspects.get(aspect, "")
    if aspect == "row_security":
        return "/".join("t" if word in value else "f" for word in ("enabled", "forced"))
    if aspect == "persistence":
        return "u" if value else "p"
    if aspect == "replica_identity":
        return {"": "d", "NOTHING": "n", "FULL": "f"}.get(value, "i")
    return aspects.get("bound", "") if aspect == "partition_of" else value


def _secured(aspects: Aspects) -> tuple[str, ...]:
    value = aspects.get("row_security", "")
    return (
        f"{'ENABLE' if 'enabled' in value else 'DISABLE'} ROW LEVEL SECURITY",
        f"{'FORCE' if 'forced' in value else 'NO FORCE'} ROW LEVEL SECURITY",
    )


def _persistent(aspects: Aspects) -> tuple[str, ...]:
    return ("SET UNLOGGED" if "persistence" in aspects else "SET LOGGED",)


def _identified(aspects: Aspects) -> tuple[str, ...]:
    return (f"REPLICA IDENTITY {aspects.get('replica_identity', 'DEFAULT')}",)


def _optioned(old: Aspects, new: Aspects) -> tuple[str, ...]:
    names = [pair.partition("=")[0] for pair in old.get("options", "").split(", ") if pair]
    steps = [f"RESET ({', '.join(names)})"] if names else []
    return (*steps, *([f"SET ({new['options']})"] if "options" in new else []))


def _attached(name: str, old: Aspects, new: Aspects) -> tuple[str, ...]:
    own = sql_name(name)
    steps = []
    if "partition_of" in old:
        steps.append(f"ALTER TABLE {sql_name(old['partition_of'])} DETACH PARTITION {own}")
    if "partition_of" in new:
        parent = sql_name(new["partition_of"])
        steps.append(f"ALTER TABLE {parent} ATTACH PARTITION {own} {new['bound']}")
    return tuple(steps)


_PARENTS = (
    "(SELECT string_agg(CAST(CAST(inhparent AS regclass) AS text), ', ' ORDER BY inhseqno) "
    "FROM pg_inherits WHERE inhrelid = oid)"
)


def _inherited(name: str, old: Aspects, new: Aspects) -> tuple[str, ...]:
    was, now = ([p for p in side.get("inherits", "").split(", ") if p] for side in (old, new))
    left = [f"NO INHERIT {sql_name(parent)}" for parent in was if parent not in now]
    return (*left, *(f"INHERIT {sql_name(parent)}" for parent in now if parent not in was))


def _sequence(key: str, old: Aspects, new: Aspects) -> Iterator[Statement]:
    if not {"type", "options"} & differing(old, new):
        return
    yield Statement(
        sql=_sequenced(key, new),
        guard=f"EXISTS (SELECT FROM pg_sequence WHERE seqrelid = {lookups.oid(key)} "
        f"AND ({_sequence_state(new)}))",
        reverse=_sequenced(key, old),
        object=key,
        lock=definitions.lock(key, new),
    )


def _sequenced(key: str, aspects: Aspects) -> str:
    options = aspects.get("options", "INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1 NO CYCLE")
    start = "" if "START" in options else " START WITH 1"
    return f"ALTER {definitions.target(key)} AS {aspects['type']} {options}{start}"


def _sequence_state(aspects: Aspects) -> str:
    highest = {"smallint": 32767, "integer": 2147483647}.get(aspects["type"], 9223372036854775807)
    wanted = aspects.get(
        "options",
        f"INCREMENT BY 1 MINVALUE 1 MAXVALUE {highest} START WITH 1 CACHE 1 NO CYCLE",
    )
    return (
        f"format_type(seqtypid, NULL) <> {literal(aspects['type'])} OR concat('INCREMENT BY ', "
        "seqincrement, ' MINVALUE ', seqmin, ' MAXVALUE ', seqmax, ' START WITH ', seqstart, "
        "' CACHE ', seqcache, CASE WHEN seqcycle THEN ' CYCLE' ELSE ' NO CYCLE' END) "
        f"<> {literal(wanted)}"
    )


def owning(key: str, old: str | None, new: str | None) -> Statement:
    """Return the statement that gives a sequence to a column, or to nobody."""

    def owned(column: str | None) -> str:
        return f"ALTER {definitions.target(key)} OWNED BY {sql_name(column) if column else 'NONE'}"

    found = lookups.oid(key)
    owner = (
        f"EXISTS (SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid "
        f"AND a.attnum = d.refobjsubid WHERE d.classid = CAST('pg_class' AS regclass) "
        f"AND d.objid = {found} AND d.deptype = 'a'"
    )
    if new:
        table, bare = member(new)
        owner += f" AND d.refobjid = to_regclass({literal(table)}) AND a.attname = {literal(bare)}"
    guard = f"{'NOT ' if new else ''}{owner})"
    return Statement(sql=owned(new), guard=guard, reverse=owned(old), object=key)


def _domain(key: str, old: Aspects, new: Aspects) -> Iterator[Statement]:
    changed = differing(old, new)
    if "type" in changed:
        return  # columns of the domain stand in the way; nothing safe can be said
    steps = _domained(key, old, new)
    if steps and changed - {"comment"}:
        yield Statement(
            sql=";\n".join(steps),
            guard=f"EXISTS (SELECT FROM pg_type t WHERE t.oid = {lookups.oid(key)} "
            f"AND ({_domain_state(new)}))",
            reverse=";\n".join(_domained(key, new, old)),
            object=key,
        )


def _domained(key: str, old: Aspects, new: Aspects) -> list[str]:
    alter = f"ALTER {definitions.target(key)}"
    steps = []
    if old.get("default") != new.get("default"):
        given = f"SET DEFAULT {new['default']}" if "default" in new else "DROP DEFAULT"
        steps.append(f"{alter} {given}")
    if old.get("nullable") != new.get("nullable"):
        word = "SET" if new.get("nullable") == "no" else "DROP"
        steps.append(f"{alter} {word} NOT NULL")
    was, now = (_checks(side.get("checks", "")) for side in (old, new))
    steps += [f"{alter} DROP {one.partition(' CHECK ')[0]}" for one in was if one not in now]
    return steps + [f"{alter} ADD {one}" for one in now if one not in was]


def _checks(text: str) -> list[str]:
    head, *rest = text.split(" CONSTRAINT ")
    return [one for one in (head, *(f"CONSTRAINT {part}" for part in rest)) if one]


def _domain_state(new: Aspects) -> str:
    default = literal(new["default"]) if "default" in new else "NULL"
    checks = literal(new["checks"]) if "checks" in new else "NULL"
    text = lookups.spelled("pg_get_constraintdef(k.oid)", new.get("checks"))
    return (
        f"t.typnotnull <> {'true' if new.get('nullable') == 'no' else 'false'} "
        f"OR t.typdefault IS DISTINCT FROM {default} OR (SELECT string_agg('CONSTRAINT ' || "
        f"quote_ident(k.conname) || ' ' || {text}, ' ' ORDER BY k.conname) "
        "FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c') "
        f"IS DISTINCT FROM {checks}"
    )


def granting(key: str, grantee: str, old: str | None, new: str | None) -> Iterator[str]:
    """Yield the SQL that turns a role's privileges ``old`` on an object into ``new``."""
    kind, name = split(key)
    words = {"table": "TABLE", "view": "TABLE", "materialized_view": "TABLE"}
    if kind == "column":
        table, bare = member(name)
        where, column = f"TABLE {table}", f" ({identifier(bare)})"
    else:
        where, column = f"{words.get(kind, definitions.KEYWORDS.get(kind, kind))} ", ""
        where += sql_name(name)
    if old is not None or new == "none":
        yield f"REVOKE ALL{column} ON {where} FROM {grantee}"
    if old == "none" and new is None:
        yield f"GRANT {lookups.usual(kind)} ON {where} TO {grantee}"
    granted = [one for one in (new or "").split(", ") if one and one != "none"]
    for option in ("", " WITH GRANT OPTION"):
        chosen = [
            one.removesuffix(" WITH GRANT OPTION") + column
            for one in granted
            if one.endswith(" WITH GRANT OPTION") == bool(option)
        ]
        if chosen:
            yield f"GRANT {', '.join(chosen)} ON {where} TO {grantee}{option}"
