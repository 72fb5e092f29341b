"""Definitions: the statement that makes one object of a catalog, and the one that takes it away.

Values in, values out; the objects' aspects come from a snapshot, so every name in a definition is
qualified and every statement may run with ``search_path = pg_catalog``.
"""

from __future__ import annotations

from dataclasses import dataclass

from runbook_lib import lookups
from runbook_lib.catalog import Aspects, Catalog, parts, split, table_of
from runbook_lib.identifiers import identifier, literal, member, sql_name, unquoted

HOLDS_DATA = ("table", "column", "sequence", "materialized_view", "schema", "extension")
KEYWORDS = {
    "schema": "SCHEMA",
    "extension": "EXTENSION",
    "type": "TYPE",
    "domain": "DOMAIN",
    "sequence": "SEQUENCE",
    "table": "TABLE",
    "column": "COLUMN",
    "index": "INDEX",
    "view": "VIEW",
    "materialized_view": "MATERIALIZED VIEW",
    "function": "FUNCTION",
    "procedure": "PROCEDURE",
    "aggregate": "AGGREGATE",
    "statistics": "STATISTICS",
    "event_trigger": "EVENT TRIGGER",
    "constraint": "CONSTRAINT",
    "trigger": "TRIGGER",
    "rule": "RULE",
    "policy": "POLICY",
}
_ENABLING = {
    "yes": "ENABLE",
    "no": "DISABLE",
    "replica": "ENABLE REPLICA",
    "always": "ENABLE ALWAYS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of corrective DDL (or a few that belong together, with ``;`` between).

    ``guard`` is an SQL condition, spelled for ``search_path = pg_catalog``, that is true while
    ``sql`` is still needed. ``reverse`` undoes it, "" where nothing can. ``object`` is the key of
    the object. ``lock`` is the strongest lock, on what. ``transactional``: other statements of the
    same transaction may use the result. ``needs_empty``: it fails on a table that holds rows.
    """

    sql: str
    guard: str
    reverse: str
    object: str
    lock: str = ""
    destructive: bool = False
    transactional: bool = True
    needs_empty: bool = False


def differing(old: Aspects, new: Aspects) -> set[str]:
    """Return the names of the aspects that differ."""
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}


def creation(key: str, aspects: Aspects, catalog: Catalog) -> Statement | None:
    """Return the statement that makes the object as ``catalog`` has it.

    None for what is part of another statement, or cannot be made from a snapshot (a base type).
    """
    kind, _ = split(key)
    sql = make(key, aspects, catalog)
    if not sql:
        return None
    return Statement(
        sql=sql,
        guard=lookups.missing(key),
        reverse=drop(key),
        object=key,
        lock=lock(key, aspects),
        transactional=kind != "label",
        needs_empty=kind == "column" and _needs_value(aspects),
    )


def removal(key: str, aspects: Aspects, catalog: Catalog) -> Statement | None:
    """Return the statement that drops the object which ``catalog`` has; its reverse makes it."""
    kind, _ = split(key)
    sql = drop(key)
    if not sql:
        return None
    restored = [make(key, aspects, catalog)]
    whole = {key: aspects, **(columns(split(key)[1], catalog) if kind == "table" else {})}
    restored += [comment(one, it["comment"]) for one, it in whole.items() if "comment" in it]
    return Statement(
        sql=sql,
        guard=lookups.present(key),
        reverse=";\n".join(part for part in restored if part),
        object=key,
        lock=lock(key, aspects),
        destructive=kind in HOLDS_DATA,
    )


def _needs_value(aspects: Aspects) -> bool:
    """True where a new column has no value to give to the rows that are there."""
    given = {"default", "generated", "identity"} & aspects.keys()
    return aspects.get("nullable") == "no" and not given


def make(key: str, aspects: Aspects, catalog: Catalog) -> str:
    """Return the SQL that makes the object, "" where there is none."""
    kind, name = split(key)
    makers = {
        "type": _type,
        "domain": _domain,
        "label": _label,
        "table": _table,
        "index": _index,
        "constraint": _constraint,
        "trigger": _switched,
        "policy": _policy,
        "sequence": _sequence,
        "column": _add_column,
        "view": _view,
        "materialized_view": _view,
        "aggregate": _aggregate,
        "event_trigger": _event_trigger,
        "rule": _switched,
    }
    if kind in makers:
        return makers[kind](key, aspects, catalog)
    if kind == "schema":
        return f"CREATE SCHEMA {sql_name(name)}"
    if kind == "extension":
        schema = f" SCHEMA {sql_name(aspects['schema'])}" if "schema" in aspects else ""
        return f"CREATE EXTENSION IF NOT EXISTS {identifier(name)}{schema}"
    return aspects.get("definition", "").strip().rstrip(";")


def drop(key: str) -> str:
    """Return the SQL that takes the object away, "" where nothing can."""
    kind, name = split(key)
    if kind in ("label", "foreign_table") or kind not in KEYWORDS:
        return ""
    if kind in ("column", "constraint"):
        table, bare = member(name)
        return f"ALTER TABLE {table} DROP {KEYWORDS[kind]} {identifier(bare)}"
    if kind == "sequence":  # it goes with the column that owns it
        return f"DROP SEQUENCE IF EXISTS {sql_name(name)}"
    return f"DROP {target(key)}"


def target(key: str) -> str:
    """Return how COMMENT ON and DROP name the object, such as ``TRIGGER t ON public.users``."""
    kind, name = split(key)
    if kind in ("constraint", "trigger", "rule", "policy"):
        table, bare = member(name)
        return f"{KEYWORDS[kind]} {identifier(bare)} ON {table}"
    if kind == "aggregate" and name.endswith("()"):
        return f"AGGREGATE {sql_name(name).removesuffix('()')}(*)"
    return f"{KEYWORDS[kind]} {identifier(name) if kind == 'extension' else sql_name(name)}"


def comment(key: str, text: str | None) -> str:
    """Return the SQL that sets the object's comment."""
    return f"COMMENT ON {target(key)} IS {'NULL' if text is None else literal(text)}"


def lock(key: str, aspects: Aspects) -> str:
    """Return the strongest lock that making or dropping the object takes, and on what."""
    kind, name = split(key)
    table = sql_name(table_of(key, aspects)) if table_of(key, aspects) else ""
    if kind == "index":
        return f"SHARE on {table}"
    if kind == "trigger" or aspects.get("type") == "foreign key":
        return f"SHARE ROW EXCLUSIVE on {table}"
    if kind in ("column", "constraint", "rule", "policy"):
        return f"ACCESS EXCLUSIVE on {table}"
    if kind in ("table", "view", "materialized_view", "sequence"):
        return f"ACCESS EXCLUSIVE on {sql_name(name)}"
    return f"SHARE UPDATE EXCLUSIVE on {table}" if kind == "statistics" else ""


def labels(name: str, catalog: Catalog) -> tuple[str, ...]:
    """Return the values of an enum type, in the catalog's order."""
    prefix = f"label:{name}."
    return tuple(
        unquoted(parts(split(key)[1])[-1]) for key in catalog.objects if key.startswith(prefix)
    )


def columns(name: str, catalog: Catalog) -> dict[str, Aspects]:
    """Return the columns of a table by key, in the catalog's order."""
    prefix = f"column:{name}."
    return {key: value for key, value in catalog.objects.items() if key.startswith(prefix)}


def column(bare: str, aspects: Aspects) -> str:
    """Return a column as CREATE TABLE and ADD COLUMN spell it."""
    words = [identifier(bare), aspects.get("type", "")]
    words += [f"COLLATE {aspects['collation']}"] if "collation" in aspects else []
    words += [f"DEFAULT {aspects['default']}"] if "default" in aspects else []
    if "generated" in aspects:
        words.append(f"GENERATED ALWAYS AS {aspects['generated']}")
    words += [identity(aspects)] if "identity" in aspects else []
    words += ["NOT NULL"] if aspects.get("nullable") == "no" else []
    return " ".join(words)


def identity(aspects: Aspects) -> str:
    """Return the identity clause of a column."""
    options = f" ({aspects['identity_options']})" if "identity_options" in aspects else ""
    return f"GENERATED {aspects['identity'].upper()} AS IDENTITY{options}"


def storage(key: str, aspects: Aspects) -> str:
    """Return the SQL that gives the column its storage, "" where it has its type's own."""
    if "storage" not in aspects:
        return ""
    table, bare = member(split(key)[1])
    word = aspects["storage"].upper()
    return f"ALTER TABLE {table} ALTER COLUMN {identifier(bare)} SET STORAGE {word}"


def _type(key: str, aspects: Aspects, catalog: Catalog) -> str:
    _, name = split(key)
    if aspects.get("kind") == "enum":
        values = ", ".join(literal(label) for label in labels(name, catalog))
        return f"CREATE TYPE {sql_name(name)} AS ENUM ({values})"
    if aspects.get("kind") == "composite":
        return f"CREATE TYPE {sql_name(name)} AS ({aspects.get('attributes', '')})"
    if aspects.get("kind") == "range":
        return f"CREATE TYPE {sql_name(name)} AS RANGE (SUBTYPE = {aspects.get('subtype', '')})"
    return ""


def _domain(key: str, aspects: Aspects, catalog: Catalog) -> str:
    words = [f"CREATE DOMAIN {sql_name(split(key)[1])} AS {aspects.get('type', '')}"]
    words += [f"DEFAULT {aspects['default']}"] if "default" in aspects else []
    words += ["NOT NULL"] if aspects.get("nullable") == "no" else []
    return " ".join([*words, aspects.get("checks", "")]).strip()


def _label(key: str, aspects: Aspects, catalog: Catalog) -> str:
    *owner, label = parts(split(key)[1])
    known = labels(".".join(owner), catalog)
    place = known.index(unquoted(label))
    after = f" AFTER {literal(known[place - 1])}" if place and place + 1 < len(known) else ""
    name = sql_name(".".join(owner))
    return f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {literal(unquoted(label))}{after}"


def _table(key: str, aspects: Aspects, catalog: Catalog) -> str:
    _, name = split(key)
    unlogged = "UNLOGGED " if "persistence" in aspects else ""
    words = [f"CREATE {unlogged}TABLE {sql_name(name)}"]
    if "partition_of" in aspects:
        words.append(f"PARTITION OF {sql_name(aspects['partition_of'])} {aspects['bound']}")
    elif "of_type" in aspects:
        words.append(f"OF {aspects['of_type']}")
    else:
        words.append(_body(columns(name, catalog)))
    words += [f"INHERITS ({aspects['inherits']})"] if "inherits" in aspects else []
    words += [f"PARTITION BY {aspects['partition_by']}"] if "partition_by" in aspects else []
    words += [f"WITH ({aspects['options']})"] if "options" in aspects else []
    return ";\n".join([" ".join(words), *table_settings(key, aspects, catalog)])


def _body(found: dict[str, Aspects]) -> str:
    lines = [column(member(split(key)[1])[1], aspects) for key, aspects in found.items()]
    return "(" + ",".join(f"\n    {line}" for line in lines) + ("\n)" if lines else ")")


def table_settings(key: str, aspects: Aspects, catalog: Catalog) -> list[str]:
    """Return what a table needs after CREATE TABLE, indexes and constraints aside."""
    _, name = split(key)
    table = f"ALTER TABLE {sql_name(name)}"
    security = aspects.get("row_security", "")
    settings = [f"{table} ENABLE ROW LEVEL SECURITY"] if "enabled" in security else []
    settings += [f"{table} FORCE ROW LEVEL SECURITY"] if "forced" in security else []
    settings += [storage(one, column) for one, column in columns(name, catalog).items()]
    replica = aspects.get("replica_identity", "")
    if replica and not replica.startswith("USING"):
        settings.append(f"{table} REPLICA IDENTITY {replica}")
    return [setting for setting in settings if setting]


def _add_column(key: str, aspects: Aspects, catalog: Catalog) -> str:
    table, bare = member(split(key)[1])
    added = f"ALTER TABLE {table} ADD COLUMN {column(bare, aspects)}"
    return ";\n".join(part for part in (added, storage(key, aspects)) if part)


def _sequence(key: str, aspects: Aspects, catalog: Catalog) -> str:
    unlogged = "UNLOGGED " if "persistence" in aspects else ""
    name = sql_name(split(key)[1])
    options = f" {aspects['options']}" if "options" in aspects else ""
    return f"CREATE {unlogged}SEQUENCE {name} AS {aspects.get('type', 'bigint')}{options}"


def _index(key: str, aspects: Aspects, catalog: Catalog) -> str:
    *_, bare = parts(split(key)[1])
    unique = "UNIQUE " if aspects.get("unique") == "yes" else ""
    table = sql_name(aspects.get("table", ""))
    name = identifier(unquoted(bare))
    return f"CREATE {unique}INDEX {name} ON {table} USING {aspects.get('definition', '')}"


def _constraint(key: str, aspects: Aspects, catalog: Catalog) -> str:
    table, bare = member(split(key)[1])
    loose = " NOT VALID" if unvalidated(aspects) else ""
    definition = aspects.get("definition", "")
    return f"ALTER TABLE {table} ADD CONSTRAINT {identifier(bare)} {definition}{loose}"


def unvalidated(aspects: Aspects) -> bool:
    """True for a constraint that was added NOT VALID and never validated."""
    enforced = "NOT ENFORCED" not in aspects.get("definition", "")
    return aspects.get("validated") == "no" and enforced


def _switched(key: str, aspects: Aspects, catalog: Catalog) -> str:
    """Return what makes a trigger or a rule, switched on or off as it is."""
    made = [aspects.get("definition", "").rstrip(";")]
    if aspects.get("enabled", "yes") != "yes":
        made.append(enabling(key, aspects))
    return ";\n".join(made)


def enabling(key: str, aspects: Aspects) -> str:
    """Return the SQL that switches a trigger, a rule or an event trigger on or off."""
    kind, name = split(key)
    how = _ENABLING[aspects.get("enabled", "yes")]
    if kind == "event_trigger":
        return f"ALTER {target(key)} {how}"
    table, bare = member(name)
    return f"ALTER TABLE {table} {how} {KEYWORDS[kind]} {identifier(bare)}"


def _policy(key: str, aspects: Aspects, catalog: Catalog) -> str:
    how = "PERMISSIVE" if aspects.get("permissive") == "yes" else "RESTRICTIVE"
    words = [f"CREATE {target(key)} AS {how} FOR {aspects.get('command', 'ALL')}"]
    words += [f"TO {aspects['roles']}"] if "roles" in aspects else []
    words += [f"USING ({aspects['using']})"] if "using" in aspects else []
    words += [f"WITH CHECK ({aspects['check']})"] if "check" in aspects else []
    return " ".join(words)


def _view(key: str, aspects: Aspects, catalog: Catalog) -> str:
    options = f" WITH ({aspects['options']})" if "options" in aspects else ""
    return f"CREATE {target(key)}{options} AS\n{aspects.get('definition', '')}"


def _aggregate(key: str, aspects: Aspects, catalog: Catalog) -> str:
    """Return the plain kind only: of the other clauses a snapshot has but a summary."""
    if "more" in aspects:
        return ""
    return f"CREATE {target(key)} ({aspects.get('definition', '')})"


def _event_trigger(key: str, aspects: Aspects, catalog: Catalog) -> str:
    tags = ", ".join(literal(tag) for tag in aspects.get("tags", "").split(", ") if tag)
    when = f" WHEN TAG IN ({tags})" if tags else ""
    function = aspects.get("function", "")
    made = f"CREATE {target(key)} ON {aspects.get('event')}{when} EXECUTE FUNCTION {function}"
    on = aspects.get("enabled", "yes") == "yes"
    return made if on else f"{made};\n{enabling(key, aspects)}"
