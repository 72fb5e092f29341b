"""Lookups: SQL expressions that find an object in pg_catalog and say what it is now.

They are the guards of corrective statements, spelled for ``search_path = pg_catalog``, where a
definition reads the same as in a snapshot.
"""

from __future__ import annotations

from runbook_lib import spelling
from runbook_lib.catalog import Aspects, parts, split
from runbook_lib.identifiers import literal, member, sql_name, unquoted

_RELATIONS = ("table", "foreign_table", "view", "materialized_view", "index", "sequence")
_ROUTINES = ("function", "procedure", "aggregate")
_MEMBERS = {
    "constraint": ("pg_constraint", "conrelid", "conname"),
    "trigger": ("pg_trigger", "tgrelid", "tgname"),
    "rule": ("pg_rewrite", "ev_class", "rulename"),
    "policy": ("pg_policy", "polrelid", "polname"),
}
_GLOBALS = {
    "schema": ("pg_namespace", "nspname"),
    "extension": ("pg_extension", "extname"),
    "event_trigger": ("pg_event_trigger", "evtname"),
}
_STATES = {"yes": "O", "no": "D", "replica": "R", "always": "A"}


def oid(key: str) -> str:
    """Return an expression for the object's oid, NULL where there is no such object."""
    kind, name = split(key)
    if kind in _RELATIONS:
        return f"to_regclass({literal(sql_name(name))})"
    if kind in ("type", "domain"):
        return f"to_regtype({literal(sql_name(name))})"
    if kind in _ROUTINES:
        return f"to_regprocedure({literal(sql_name(name))})"
    if kind in _MEMBERS:
        table, bare = member(name)
        catalog, owner, column = _MEMBERS[kind]
        return (
            f"(SELECT oid FROM {catalog} WHERE {owner} = to_regclass({literal(table)}) "
            f"AND {column} = {literal(bare)})"
        )
    if kind in _GLOBALS:
        catalog, column = _GLOBALS[kind]
        bare = name if kind == "extension" else unquoted(name)
        return f"(SELECT oid FROM {catalog} WHERE {column} = {literal(bare)})"
    schema, bare = (unquoted(part) for part in parts(name))
    return (
        f"(SELECT s.oid FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace "
        f"WHERE n.nspname = {literal(schema)} AND s.stxname = {literal(bare)})"
    )


def catalog_of(kind: str) -> str:
    """Return the table of pg_catalog that objects of ``kind`` live in."""
    if kind in _RELATIONS or kind == "column":
        return "pg_class"
    if kind in ("type", "domain"):
        return "pg_type"
    if kind in _ROUTINES:
        return "pg_proc"
    return {**_MEMBERS, **_GLOBALS}.get(kind, ("pg_statistic_ext",))[0]


def missing(key: str) -> str:
    """Return an expression that is true while there is no such object."""
    kind, name = split(key)
    if kind == "column":
        return f"NOT {column(name, 'true')}"
    if kind == "label":
        *owner, label = parts(name)
        return (
            f"NOT EXISTS (SELECT FROM pg_enum WHERE enumtypid = "
            f"to_regtype({literal(sql_name('.'.join(owner)))}) "
            f"AND enumlabel = {literal(unquoted(label))})"
        )
    return f"{oid(key)} IS NULL"


def present(key: str) -> str:
    """Return an expression that is true while there is such an object."""
    absent = missing(key)
    if split(key)[0] == "index":  # one of this name that a constraint owns is another thing
        found = oid(key)
        owned = f"EXISTS (SELECT FROM pg_constraint WHERE conindid = {found} AND contype <> 'f')"
        return f"{found} IS NOT NULL AND NOT {owned}"
    return absent[4:] if absent.startswith("NOT ") else absent.replace("IS NULL", "IS NOT NULL")


def column(name: str, condition: str) -> str:
    """Return an expression: the column is there, and ``condition`` holds for its row ``a``."""
    table, bare = member(name)
    return (
        f"EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass({literal(table)}) "
        f"AND a.attname = {literal(bare)} AND NOT a.attisdropped AND {condition})"
    )


def comment(key: str) -> str:
    """Return an expression for the object's comment, NULL where it has none."""
    kind, name = split(key)
    if kind == "column":
        table, bare = member(name)
        return (
            f"(SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = "
            f"to_regclass({literal(table)}) AND attname = {literal(bare)})"
        )
    return f"obj_description({oid(key)}, {literal(catalog_of(kind))})"


def differs(key: str, wanted: Aspects) -> str:
    """Return an expression that is true while the object is not there as ``wanted`` says."""
    kind, _ = split(key)
    current, expected = _definitions(kind, oid(key), wanted)
    pairs = zip(current, expected, strict=True)
    return " OR ".join(
        f"{spelled(now, then)} IS DISTINCT FROM {literal(then) if then is not None else 'NULL'}"
        for now, then in pairs
    )


def spelled(expression: str, wanted: str | None) -> str:
    """Return ``expression`` so that its text is spelled as ``wanted``, of a catalog, is.

    It is left as it is where ``wanted`` has nothing that PostgreSQL spells in two ways.
    """
    if wanted is None or "::character varying" not in wanted:
        return expression
    for pattern, replacement in spelling.PAIRS:
        given = f"{literal(pattern)}, {literal(replacement)}, 'g'"
        expression = f"regexp_replace({expression}, {given})"
    return expression


def _definitions(
    kind: str, found: str, wanted: Aspects
) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """Return expressions for what defines the object, and the texts they should give."""
    definition = wanted.get("definition")
    if kind == "constraint":
        return (
            f"regexp_replace(pg_get_constraintdef({found}), ' NOT VALID$', '')",
            f"(SELECT CASE WHEN convalidated THEN 'yes' ELSE 'no' END FROM pg_constraint "
            f"WHERE oid = {found})",
        ), (definition, wanted.get("validated", "yes"))
    if kind == "index":
        text = f"pg_get_indexdef({found})"
        return (
            f"substr({text}, strpos({text}, ' USING ') + 7)",
            f"(SELECT CASE WHEN indisunique THEN 'yes' ELSE 'no' END FROM pg_index "
            f"WHERE indexrelid = {found} AND indisvalid)",
        ), (definition, wanted.get("unique", "no"))
    if kind == "trigger":
        return (
            f"pg_get_triggerdef({found})",
            f"(SELECT CAST(tgenabled AS text) FROM pg_trigger WHERE oid = {found})",
        ), (definition, _STATES[wanted.get("enabled", "yes")])
    if kind == "policy":
        names = ("using", "check")
        return (
            f"(SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE oid = {found})",
            f"(SELECT pg_get_expr(polwithcheck, polrelid) FROM pg_policy WHERE oid = {found})",
        ), tuple(wanted.get(name) for name in names)
    if kind in ("view", "materialized_view"):
        options = f"(SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = {found})"
        return (f"rtrim(pg_get_viewdef({found}, true), ';')", options), (
            definition,
            wanted.get("options"),
        )
    if kind in ("function", "procedure"):
        return (f"pg_get_functiondef({found})",), (definition,)
    if kind == "rule":
        return (
            f"pg_get_ruledef({found})",
            f"(SELECT CAST(ev_enabled AS text) FROM pg_rewrite WHERE oid = {found})",
        ), (definition, _STATES[wanted.get("enabled", "yes")])
    if kind == "event_trigger":
        return (f"(SELECT CAST(evtenabled AS text) FROM pg_event_trigger WHERE oid = {found})",), (
            _STATES[wanted.get("enabled", "yes")],
        )
    if kind == "statistics":
        return (f"pg_get_statisticsobjdef({found})",), (definition,)
    return (f"CASE WHEN {found} IS NOT NULL THEN 'there' END",), ("there",)


def privileges(key: str, grantee: str, wanted: str | None) -> str:
    """Return an expression: the role's own privileges on the object are not the wanted ones."""
    kind, name = split(key)
    source, acl, condition = _acl(kind, name, key)
    role = "0" if grantee == "PUBLIC" else f"to_regrole({literal(grantee)})"
    listed = (
        "SELECT string_agg(y.p, ', ' ORDER BY y.p COLLATE \"C\") FROM (SELECT DISTINCT "
        "x.privilege_type || CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS p "
        f"FROM {source}, aclexplode({acl}) x WHERE {condition} AND x.grantee = {role}) y"
    )
    if wanted == "ALL":
        return (
            f"({listed}) IS DISTINCT FROM 'DELETE, INSERT, REFERENCES, SELECT, TRIGGER, TRUNCATE, "
            f"UPDATE' AND ({listed}) IS DISTINCT FROM 'DELETE, INSERT, MAINTAIN, REFERENCES, "
            "SELECT, TRIGGER, TRUNCATE, UPDATE'"
        )
    if wanted is None and grantee == "PUBLIC":
        wanted = usual(kind)
    text = "NULL" if wanted in (None, "none") else literal(wanted or "")
    return f"({listed}) IS DISTINCT FROM {text}"


def usual(kind: str) -> str | None:
    """Return what everybody may do with such an object by default."""
    if kind in ("type", "domain"):
        return "USAGE"
    return "EXECUTE" if kind in _ROUTINES else None


def _acl(kind: str, name: str, key: str) -> tuple[str, str, str]:
    """Return (FROM, the acl with its default, WHERE) that find the object's privileges."""
    if kind == "column":
        table, bare = member(name)
        where = f"a.attrelid = to_regclass({literal(table)}) AND a.attname = {literal(bare)}"
        return "pg_attribute a", "a.attacl", where
    catalog = catalog_of(kind)
    names = {
        "pg_proc": ("proacl", "acldefault('f', a.proowner)"),
        "pg_type": ("typacl", "acldefault('T', a.typowner)"),
        "pg_namespace": ("nspacl", "acldefault('n', a.nspowner)"),
        "pg_class": ("relacl", "CAST(NULL AS aclitem[])"),
    }
    column, default = names.get(catalog, names["pg_class"])
    return f"{catalog} a", f"COALESCE(a.{column}, {default})", f"a.oid = {oid(key)}"
