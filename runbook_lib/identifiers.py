"""Identifiers: the names of a catalog's keys, spelled so that PostgreSQL reads them, and literals.

In a key a keyword stands without quotes, because servers differ in what a keyword is. In SQL every
such word is quoted, whatever the server.
"""

from __future__ import annotations

import json
import re

from runbook_lib.catalog import parts

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_WORDS = """
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
boolean both case cast char character check coalesce collate collation column concurrently
constraint create cross current_catalog current_date current_role current_schema current_time
current_timestamp current_user dec decimal default deferrable desc distinct do else end except
exists extract false fetch float for foreign freeze from full grant greatest group grouping having
ilike in initially inner inout int integer intersect interval into is isnull join json json_array
json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize
json_table json_value lateral leading least left like limit localtime localtimestamp merge_action
national natural nchar none normalize not notnull null nullif numeric offset on only or order out
outer overlaps overlay placing position precision primary real references returning right row
select session_user setof similar smallint some substring symmetric system_user table tablesample
then time timestamp to trailing treat trim true union unique user using values varchar variadic
verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest
xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
"""
_KEYWORDS = frozenset(_WORDS.split())


def quoted(part: str) -> str:
    """Return one part of a key's name as an SQL identifier; a part in quotes stays as it is."""
    if part.startswith('"'):
        return part
    if _PLAIN.fullmatch(part) and part not in _KEYWORDS:
        return part
    return '"' + part.replace('"', '""') + '"'


def unquoted(part: str) -> str:
    """Return the bare name that the catalog's tables hold for one part of a key's name."""
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def spelled(bare: str) -> str:
    """Return a bare name as the catalog's keys spell it: keywords stay without quotes."""
    return bare if _PLAIN.fullmatch(bare) else '"' + bare.replace('"', '""') + '"'


def key_name(name: str) -> str:
    """Return a qualified SQL name as the catalog's keys spell it."""
    return ".".join(spelled(unquoted(part)) for part in parts(name))


def sql_name(name: str) -> str:
    """Return a key's whole name as SQL; the argument types of a function stay as they are."""
    *front, last = parts(name)
    bare, bracket, arguments = _function(last)
    return ".".join(quoted(part) for part in (*front, bare)) + bracket + arguments


def _function(part: str) -> tuple[str, str, str]:
    if part.startswith('"'):
        end = re.match(r'"(?:[^"]|"")*"', part)
        length = end.end() if end else len(part)
        return part[:length], "", part[length:]
    return part.partition("(")


def member(name: str) -> tuple[str, str]:
    """Return (SQL name of the table, bare name of its part) of a column, constraint, trigger …"""
    found = parts(name)
    return ".".join(quoted(part) for part in found[:2]), unquoted(found[-1])


def literal(text: str) -> str:
    """Return ``text`` as an SQL string literal."""
    body = text.replace("'", "''")
    return "E'" + body.replace("\\", "\\\\") + "'" if "\\" in body else f"'{body}'"


def toml(text: str) -> str:
    """Return ``text`` as a TOML string, for a line that somebody is to write into runbook.toml."""
    return json.dumps(text, ensure_ascii=False)


def identifier(bare: str) -> str:
    """Return a bare name as an SQL identifier."""
    plain = _PLAIN.fullmatch(bare) and bare not in _KEYWORDS
    return bare if plain else '"' + bare.replace('"', '""') + '"'
