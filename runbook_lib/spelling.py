"""Spelling: one text for an expression that PostgreSQL spells in two ways.

``status IN ('new', 'paid')`` on a varchar column is kept as a cast of the whole array. What
pg_dump makes of that is parsed again with the cast on each element, so that a restored database
spells the same check otherwise than the one that it was dumped from (seen on 15 and 18; everything
else that was tried keeps its spelling). The restored form, which stays as it is from then on, is
the one that catalogs hold: it may be executed, and says the same.
"""

from __future__ import annotations

import re

_TEXT = r"(?:E?'[^']*(?:''[^']*)*'|NULL)::character varying"
PAIRS = (
    # each element of a cast array gets the cast; in the pretty spelling of views without brackets
    (rf"({_TEXT})(?=(?:, {_TEXT})*\]\)::text\[\])", r"(\1)::text"),
    (rf"({_TEXT})(?=(?:, {_TEXT})*\]::text\[\])", r"\1::text"),
    # and the array loses it
    (rf"\(ARRAY\[((?:\({_TEXT}\)::text(?:, )?)+)\]\)::text\[\]", r"ARRAY[\1]"),
    (rf"ARRAY\[((?:{_TEXT}::text(?:, )?)+)\]::text\[\]", r"ARRAY[\1]"),
)
"""Patterns and what replaces them, one after the other; Python's and PostgreSQL's syntax both.

A quote is the same character in JSON, so that they fit a whole catalog's text as well."""
SIGNS = "]::text[]", "])::text[]"
"""A text without one of these needs no replacing."""


def canonical(text: str) -> str:
    """Return the text with every such expression spelled as catalogs hold it."""
    if not any(sign in text for sign in SIGNS):
        return text
    for pattern, replacement in PAIRS:
        text = re.sub(pattern, replacement, text)
    return text
