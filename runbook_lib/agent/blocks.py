"""Blocks: the statements inside of a DO block, as far as its text shows them all."""

from __future__ import annotations

import re

from runbook_lib.agent.statements import COMMENTS, parts, word

BLOCK = re.compile(
    r"\s*DO\s+(?:LANGUAGE\s+plpgsql\s+)?(?P<tag>\$\w*\$)(?P<body>.*)(?P=tag)"
    r"\s*(?:LANGUAGE\s+plpgsql)?\s*;?\s*$",
    re.S | re.I,
)
# What comes before a statement: the condition or the declarations that lead to it.
LEAD = re.compile(r".*\b(?:BEGIN|THEN|ELSE|DECLARE)\b", re.S | re.I)
IDLE = ("END", "NULL", "RAISE", "RETURN", "EXCEPTION")
# What a condition may call: the schema is asked, and nobody is known to have a function so named.
ASKING = ("exists", "in", "not", "and", "or", "count", "any", "all", "array", "coalesce", "lower",
          "upper", "cast", "to_regclass", "to_regtype", "current_schema", "current_database",
          "begin", "if", "then")  # fmt: skip
ACTS = re.compile(r"\b(CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE|EXECUTE|PERFORM|CALL)\b", re.I)
CALLS = re.compile(r'([\w$]+|")\s*\(')


def inside(statement: str) -> list[str] | None:
    """Return the statements of a text that is one DO block; None when it may run others too."""
    block = BLOCK.match(COMMENTS.sub(" ", statement))
    if block is None:
        return None
    found = []
    for part in parts(block["body"]):
        lead = LEAD.match(part)
        before, rest = (lead[0], part[lead.end() :].strip()) if lead else ("", part)
        if not _asks_only(before):
            return None
        if rest and word(rest) not in IDLE:
            found.append(rest)
        elif not _asks_only(rest):
            return None
    return found


def _asks_only(text: str) -> bool:
    return not ACTS.search(text) and all(name.lower() in ASKING for name in CALLS.findall(text))
