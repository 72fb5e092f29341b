"""Statements: what a text of SQL does, told without running it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)
# What a semicolon or a keyword inside of means nothing, found in one pass from the left: a comment
# in a literal is none, and neither is a literal in a comment.
OPAQUE = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<name>"(?:[^"]|"")*")|\b[eE]'(?:[^'\\]|''|\\.)*'|"""
    r"""'(?:[^']|'')*'|(?<![\w$])(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)""",
    re.S,
)
WRITES = re.compile(
    r"\b(INSERT\s+INTO|UPDATE\s+(ONLY\s+)?[^\s;]+\s+(AS\s+\w+\s+)?SET|DELETE\s+FROM|MERGE\s+INTO|"
    r"TRUNCATE|COPY)\b",
    re.I,
)
ROW_WORDS = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE")
HARMLESS = (*ROW_WORDS, "SET", "RESET", "SHOW", "SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN",
            "SAVEPOINT", "RELEASE", "LOCK")  # fmt: skip
# What stands before a bracket and changes no row: PostgreSQL's own functions that questions use,
# types, and words of the language. Another function may do anything.
CALL = re.compile(r'((?:(?:"[^"]+"|[\w$]+)\s*\.\s*)*(?:"[^"]+"|[\w$]+))\s*\(')
OWN = re.compile(
    r"(?:pg_catalog\.|information_schema\.)?(?:pg_\w+|to_\w+|json\w*|array\w*|regexp_\w+|string_\w+|"
    r"quote_\w+|current_\w+|has_\w+|generate_\w+|substr\w*|date_\w+|make_\w+|bool_\w+|row\w*|"
    r"\w*trim|all|and|any|as|avg|between|bit|by|case|cast|char\w*|coalesce|concat\w*|col_description|"
    r"count|decimal|distinct|else|every|except|exists|extract|filter|first_value|float|format\w*|from|"
    r"gen_random_uuid|greatest|group|having|in|intersect|interval|is|join|lag|last_value|lateral|lead|"
    r"least|left|length|like|lower|materialized|max|md5|min|not|now|nextval|nullif|numeric|"
    r"obj_description|oidvectortypes|on|only|or|order|over|overlay|partition|position|rank|replace|"
    r"returning|right|round|select|set_config|setval|shobj_description|some|split_part|sum|then|time|"
    r"timestamp\w*|timezone|union|unnest|upper|using|uuid\w*|values|varchar|version|when|where|with|"
    r"within|ilike)",
    re.I,
)
CALLING = ("SELECT", "WITH", "VALUES", "CALL")
IN_A_BLOCK = re.compile(r"\b(?:PERFORM|CALL|SELECT)\s+(?=[^\s(]+\s*\()[^;]*", re.I)
ENDINGS = ("COMMIT", "END", "ROLLBACK", "ABORT")


@lru_cache(maxsize=512)
def parts(statement: str) -> tuple[str, ...]:
    """Return the statements of a text, without comments, literals and function bodies."""
    text = OPAQUE.sub(_blank, statement)
    pieces = (part.strip(" \t\r\n(") for part in text.split(";"))
    return tuple(part for part in pieces if part)


def _blank(found: re.Match[str]) -> str:
    if found["name"]:
        return found[0].replace(";", ",")
    return " " if found["comment"] or found["tag"] else "''"


def word(part: str) -> str:
    found = re.match(r"[A-Za-z]+", part)
    return found[0].upper() if found else ""


def touches_rows(statement: str) -> bool:
    """Say whether a text would change rows, even where the shadow has none."""
    for part in parts(statement):
        first = word(part)
        if first in ROW_WORDS or (first in ("WITH", "EXPLAIN") and WRITES.search(part)):
            return True
        if first in CALLING and calls_foreign(part):
            return True
        body = COMMENTS.sub(" ", statement) if first == "DO" else ""
        if WRITES.search(body) or any(map(calls_foreign, IN_A_BLOCK.findall(body))):
            return True
    return False


def calls_foreign(part: str) -> bool:
    """Say whether a part calls a function that may be anybody's, and so may change rows."""
    names = (re.sub(r'[\s"]', "", name) for name in CALL.findall(part))
    return any(not OWN.fullmatch(name) for name in names)


def may_change_schema(statement: str) -> bool:
    """Say whether a text could change the catalog. Errs on the side of yes."""
    for part in parts(statement):
        first = word(part)
        if first not in HARMLESS:
            return True
        if first in ("SELECT", "WITH", "TABLE", "EXPLAIN", "VALUES"):
            reads_catalog = "pg_catalog." in part and not calls_foreign(part)
            if re.search(r"\bINTO\b", part, re.I) or ("(" in part and not reads_catalog):
                return True
    return False


def as_written(statement: str, context: Any) -> str:
    """Undo what SQLAlchemy's compiler does to percent signs for some drivers."""
    doubled = getattr(context, "compiled", None) is not None
    if doubled and context.dialect.paramstyle in ("format", "pyformat"):
        statement = statement.replace("%%", "%")
    return statement.strip()


WORD = r'(?:"[^"]+"|[\w$]+)'
NAME = rf"({WORD}(?:\.{WORD})*)"
# What changes nothing beyond one table, by its form; the name is the last group but for "move".
SIMPLE = (
    ("table", rf"CREATE TABLE (?:IF NOT EXISTS )?{NAME} ?\("
              r"(?!.*\b(?:LIKE|INHERITS|PARTITION|AS)\b)"),
    ("table", rf"CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?{NAME} ON {NAME}"),
    ("rename", rf"ALTER TABLE (?:IF EXISTS )?{NAME} RENAME (?:COLUMN )?{WORD} TO {WORD}$"),
    ("table", rf"ALTER TABLE (?:IF EXISTS )?{NAME} RENAME CONSTRAINT {WORD} TO {WORD}$"),
    ("move", rf"ALTER TABLE (?:IF EXISTS )?{NAME} RENAME TO ({WORD})$"),
    ("table", rf"ALTER TABLE (?:IF EXISTS )?{NAME} (?!.*\b(?:RENAME|SCHEMA|ATTACH|DETACH|INHERIT|"
              r"OWNER|CASCADE|OF|TRIGGER|RULE|PARTITION|TABLESPACE)\b)"
              r"(?:ADD|DROP|ALTER|VALIDATE)\b"),
    ("table", rf"COMMENT ON TABLE {NAME} IS "),
    ("table", rf"COMMENT ON COLUMN {NAME}\.{WORD} IS "),
    ("index", rf"DROP INDEX (?:CONCURRENTLY )?(?:IF EXISTS )?{NAME}$"),
    ("index", rf"ALTER INDEX (?:IF EXISTS )?{NAME} RENAME TO {WORD}$"),
    ("drop", rf"DROP TABLE (?:IF EXISTS )?{NAME}(?: RESTRICT)?$"),
)  # fmt: skip
# What changes nothing but what stands beside tables; without CASCADE a DROP reaches no further.
OTHERS = (
    ("view", rf"CREATE (?:OR REPLACE )?VIEW {NAME}(?![\w$.\"])"),
    ("view", rf"DROP VIEW (?:IF EXISTS )?{NAME}(?: RESTRICT)?$"),
    ("view", rf"COMMENT ON VIEW {NAME} IS "),
    ("function", rf"CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE) {NAME} ?\("),
    ("function", rf"DROP (?:FUNCTION|PROCEDURE) (?:IF EXISTS )?{NAME} ?(?:\([^()]*\))?"
                 r"(?: RESTRICT)?$"),
    ("function", rf"COMMENT ON (?:FUNCTION|PROCEDURE) {NAME} ?\("),
    ("trigger", rf"CREATE (?:OR REPLACE )?TRIGGER {WORD} (?:BEFORE|AFTER|INSTEAD OF) "
                rf"(?:(?! ON ).)*? ON {NAME} (?:FOR|REFERENCING|WHEN|EXECUTE)\b"),
    ("trigger", rf"DROP TRIGGER (?:IF EXISTS )?{WORD} ON {NAME}(?: RESTRICT)?$"),
    ("trigger", rf"COMMENT ON TRIGGER {WORD} ON {NAME} IS "),
    ("types", r"CREATE TYPE \S+ AS ENUM\b|ALTER TYPE \S+ ADD VALUE\b|"
              r"DROP TYPE\b(?!.*\bCASCADE\b)|COMMENT ON TYPE\b"),
    ("policies", r"(?:CREATE|ALTER) POLICY\b|DROP POLICY\b(?!.*\bCASCADE\b)|COMMENT ON POLICY\b"),
    ("views", r"DROP VIEW\b(?!.*\bCASCADE\b)"),
    ("functions", r"DROP (?:FUNCTION|PROCEDURE)\b(?!.*\bCASCADE\b)"),
    ("triggers", r"(?:CREATE (?:OR REPLACE )?|COMMENT ON )TRIGGER\b|"
                 r"DROP TRIGGER\b(?!.*\bCASCADE\b)"),
)  # fmt: skip
FORMS = tuple((form, re.compile(pattern, re.I)) for form, pattern in (*SIMPLE, *OTHERS))


# Sets what a name means, or whose it is: then names do not say which tables the others changed.
ELSEWHERE = re.compile(r"(RE)?SET\b.*\b(search_path|SCHEMA|ROLE|AUTHORIZATION|ALL)\b", re.I)


class Touch(NamedTuple):
    """What one statement changes, by its ``form``.

    Of the table ``name`` something ("table"), a column's name ("rename"), its own, which becomes
    ``new`` ("move"), a "trigger", or all ("drop"); the table of the "index" ``name``; a "view" or a
    "function" of that name; or any of the "types", "policies", "views", "functions" or "triggers".
    """

    form: str
    name: str = ""
    new: str = ""


def touched(statement: str) -> list[Touch] | None:
    """Return what is touched by statements that change nothing beyond one table each.

    None: the text has a statement of another kind, whose reach only the whole catalog shows.
    """
    found: list[Touch] = []
    for part in parts(statement):
        text = re.sub(r"\bON (DELETE|UPDATE) CASCADE\b", "", " ".join(part.split()), flags=re.I)
        touch = _touch(text)
        if touch:
            found.append(touch)
        elif may_change_schema(part) or ELSEWHERE.match(part):
            return None
    return found


def _touch(text: str) -> Touch | None:
    for form, pattern in FORMS:
        hit = pattern.match(text)
        if hit:
            return Touch(form, *(hit.groups() if form == "move" else hit.groups()[-1:]))
    return None


def is_reflection(statement: str) -> bool:
    """SQLAlchemy's own questions to the catalog are no part of what a revision does.

    A question that calls somebody's function is: the function may change anything.
    """
    if statement.lstrip()[:6].upper() != "SELECT" or "pg_catalog." not in statement:
        return False
    return len(pieces := parts(statement)) == 1 and not calls_foreign(pieces[0])


def asks_catalog(statement: str) -> bool:
    """Say whether a text looks at the schema, so that what follows may depend on what is there.

    So may a function of somebody's that it calls.
    """
    if re.match(r"\s*DO\b", COMMENTS.sub(" ", statement), re.I):
        return True
    if re.search(r"\bpg_[a-z]\w+\b|\binformation_schema\b|\bto_reg", statement, re.I):
        return True
    return any(word(part) in CALLING and calls_foreign(part) for part in parts(statement))


def ends_transaction(statement: str) -> bool:
    ending = [part for part in parts(statement) if word(part) in ENDINGS]
    return any(not re.match(r"ROLLBACK\s+(\w+\s+)?TO\b", part, re.I) for part in ending)


OF_TRANSACTION = re.compile(
    r"\bSET\s+(LOCAL|CONSTRAINTS|TRANSACTION)\b|\bset_config\s*\(|\bON\s+COMMIT\b|"
    r"\bpg_(try_)?advisory_xact",
    re.I,
)


def ends_with_transaction(statement: str) -> bool:
    """Say whether something that a text sets lasts no longer than the transaction around it."""
    return bool(OF_TRANSACTION.search(COMMENTS.sub(" ", statement)))
