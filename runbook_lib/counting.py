"""Counting: a number with its noun in the right form. Pure."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Return ``number`` with its noun in the right form: 1 index, 1,200 indexes."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of an English noun as catalogs use them."""
    if noun.endswith(("x", "s", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def differing(number: int) -> str:
    """Return "1 object differs" or "5 objects differ"."""
    return f"{count(number, 'object')} {'differs' if number == 1 else 'differ'}"


def size(number: int) -> str:
    """Return a number of bytes as a person reads it: 1.5 kB, 13.5 MB."""
    value, units = float(number), ("bytes", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return f"{number:,} bytes" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
