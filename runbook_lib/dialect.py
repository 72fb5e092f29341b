"""Dialect: one definition as servers of different versions spell it. Pure.

A database keeps expressions as trees and spells them when it is asked. How it does depends on the
server that spells, and on the one that parsed: since PostgreSQL 14 ``EXTRACT``, ``TRIM`` and ``AT
TIME ZONE`` are kept as such; before, as calls of functions, which they stay in a database that was
upgraded since. Before 16, a view names the table of every column, also where there is only one.
Texts that say the same are brought together here, where one catalog is laid beside another. (Seen
on 11 to 18 with some 130 definitions.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeAlias

from runbook_lib.catalog import Aspects, Catalog, diff
from runbook_lib.effects import Replay

Node: TypeAlias = "str | list[Node]"
"""A token, or what stands between two brackets."""

SPELLED = frozenset(
    ("definition", "default", "generated", "using", "check", "checks", "partition_by", "bound")
)
"""The aspects that the server spells."""

_TOKEN = re.compile(
    r"\$(\w*)\$.*?\$\1\$|E?'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[^\W\d][\w$]*|::|\S", re.DOTALL
)
_SYNTAX = ("EXTRACT", "TRIM", "SUBSTRING", "POSITION", "OVERLAY")
_ON_TEXTS = ("btrim", "ltrim", "rtrim", "substring", "position", "overlay", "timezone")
_NAMES = (*_ON_TEXTS, *_SYNTAX, "overlaps", "similar_escape")
_TRIMS = {"BOTH": "btrim", "LEADING": "ltrim", "TRAILING": "rtrim"}
_SEPARATORS = ("FROM", "FOR", "SIMILAR", "ESCAPE", "PLACING")
_SETS = ("SELECT", "UNION", "INTERSECT", "EXCEPT", "VALUES")
_CLAUSES = ("WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "OFFSET", "LIMIT", "FETCH", "FOR",
            "TABLESAMPLE")  # fmt: skip
_CONSTANT = re.compile(r"(?:\( )?(-? ?\d[\d .]*)(?: \))? :: (?:numeric|double precision)\b")


def translated(live: Catalog, expected: Catalog) -> Catalog:
    """Give what ``live`` spells otherwise than ``expected``, and means the same, that spelling."""
    pairs = {c.object: [c.before] for c in diff(expected, live) if c.before and c.after}
    return chosen(live, pairs)


def chosen(catalog: Catalog, known: Mapping[str, Sequence[Aspects]]) -> Catalog:
    """Give every object the spelling of the first of its ``known`` states that says the same."""
    found = {
        key: _chosen(catalog.objects[key], states)
        for key, states in known.items()
        if key in catalog.objects and catalog.objects[key] not in states[:1]
    }
    return Catalog(objects={**catalog.objects, **found}) if found else catalog


def unified(replay: Replay, known: Mapping[str, Sequence[Aspects]]) -> Replay:
    """Give what revisions only spell in another way the spelling of the first state.

    On an older server it is the same, so that nothing tells there whether such a revision ran.
    """
    several = {key: states for key, states in known.items() if _several(states)}
    if not several:
        return replay

    def told(key: str, aspects: Aspects | None) -> Aspects | None:
        return _chosen(aspects, several[key]) if aspects and key in several else aspects

    runs = tuple(
        replace(run, changes=tuple(
            replace(c, before=told(c.object, c.before), after=told(c.object, c.after))
            for c in run.changes
        ))
        for run in replay.revisions
    )  # fmt: skip
    final, baseline = chosen(replay.final, several), chosen(replay.baseline, several)
    return replace(replay, revisions=runs, final=final, baseline=baseline)


def _several(states: Sequence[Aspects]) -> bool:
    """Say whether two of the states spell the same otherwise."""
    return any(_chosen(state, states) != state for state in states[1:])


def _chosen(aspects: Aspects, states: Sequence[Aspects]) -> Aspects:
    found = dict(aspects)
    for name in SPELLED & aspects.keys():
        texts = dict.fromkeys(state[name] for state in states if name in state)
        found[name] = next((text for text in texts if alike(text, found[name])), found[name])
    return found


def alike(one: str, other: str) -> bool:
    """Say whether two spellings of a definition come to the same."""
    if one == other:
        return True
    first, second = _parsed(one), _parsed(other)
    if _plain(first) == _plain(second):
        return True
    # A cast that nobody wrote is spelled in a call, and is not in the syntax of TRIM or EXTRACT.
    as_called = _plain(first, bare=True) == _plain(second, bare=True)
    return as_called and _has_syntax(first) != _has_syntax(second)


def _parsed(text: str) -> list[Node]:
    stack: list[list[Node]] = [[]]
    for token in (found[0] for found in _TOKEN.finditer(text)):
        if token == "(":
            stack.append([])
        elif token == ")" and len(stack) > 1:
            group = stack.pop()
            stack[-1].append(group)
        else:
            stack[-1].append(token)
    return stack[0]


def _plain(nodes: list[Node], *, bare: bool = False) -> str:
    """Return what a definition says as one text, ``bare`` without casts to text in calls."""
    words = " ".join(_words(_called(_unqualified(_modeless(nodes)), bare)))
    words = words.replace("EXECUTE PROCEDURE", "EXECUTE FUNCTION")  # in triggers, before 12
    # date_part gives a double, EXTRACT a numeric: the constants beside it follow.
    return _CONSTANT.sub(r"\1", words) if "date_part" in words else words


def _words(nodes: list[Node]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        else:
            yield from ("(", *_words(node), ")")


def _has_syntax(nodes: list[Node]) -> bool:
    """Say whether something is spelled in a syntax of its own instead of as a call."""
    words = [*_words(nodes)]
    return any(
        (word in _SYNTAX and after == "(") or word == "OVERLAPS" or (word, after) == ("AT", "TIME")
        for word, after in pairwise(words)
    )


# Calls instead of syntax ----------------------------------------------------------------------


def _called(nodes: list[Node], bare: bool) -> list[Node]:
    """Spell everything that has a syntax of its own as the call that it stands for."""
    done: list[Node] = []
    for node in nodes:
        if isinstance(node, str):
            done.append(node)
            continue
        word = done[-1] if done and isinstance(done[-1], str) and done[-2:-1] != ["."] else ""
        word = word.strip('"')
        if word in _NAMES:
            done.pop()
        name, inner = _call(word if word in _NAMES else "", _called(node, bare))
        done += [name] if name else []
        done.append(_without_casts(inner) if bare and name in _ON_TEXTS else inner)
    return done


def _call(name: str, inner: list[Node]) -> tuple[str, list[Node]]:
    """Return the function that a word before brackets, or what is in them, calls; "" for none."""
    groups = [part for part in inner if isinstance(part, list)]
    if not name and inner.count("ZONE") == 1 and inner[inner.index("ZONE") - 2] == "AT":
        at = inner.index("ZONE")
        return "timezone", [*inner[at + 1 :], ",", *inner[: at - 2]]
    if not name and "OVERLAPS" in inner and len(groups) == 2:
        return "overlaps", [*groups[0], ",", *groups[1]]
    if name == "similar_escape" and inner[-4:] == [",", "NULL", "::", "text"]:
        return "similar_to_escape", inner[:-4]
    if name == "EXTRACT" and inner[1:2] == ["FROM"]:
        return "date_part", [f"'{inner[0]}'", "::", "text", ",", *inner[2:]]
    if name == "TRIM" and "FROM" in inner and inner[0] in _TRIMS:
        end = inner.index("FROM")
        chars = [",", *inner[1:end]] if end > 1 else []
        return _TRIMS[str(inner[0])], [*inner[end + 1 :], *chars]
    if name == "POSITION" and len(groups) == 2 and len(inner) == 3:
        return "position", [*groups[1], ",", *groups[0]]
    if name in ("SUBSTRING", "OVERLAY"):
        return name.lower(), ["," if word in _SEPARATORS else word for word in inner]
    return name, inner


def _without_casts(inner: list[Node]) -> list[Node]:
    """Take from each argument of a call the cast to text at its end, and the brackets for it."""
    done: list[Node] = []
    for argument in _arguments(inner):
        while argument[-2:] == ["::", "text"]:
            argument = argument[:-2]
            if len(argument) == 1 and isinstance(argument[0], list):
                argument = argument[0]
        done += [",", *argument] if done else argument
    return done


def _arguments(inner: list[Node]) -> Iterator[list[Node]]:
    start = 0
    for at in [*(at for at, node in enumerate(inner) if node == ","), len(inner)]:
        yield inner[start:at]
        start = at + 1


# Routines and views ---------------------------------------------------------------------------


def _modeless(nodes: list[Node]) -> list[Node]:
    """Leave IN out of a procedure's arguments: it says nothing, and is spelled since 14."""
    if "PROCEDURE" not in nodes[:4]:
        return nodes
    first = next((at for at, node in enumerate(nodes) if isinstance(node, list)), -1)
    arguments = [part[1:] if part[:1] == ["IN"] else part for part in _arguments([*nodes[first]])]
    inner = [node for part in arguments for node in (",", *part)][1:]
    return [*nodes[:first], inner, *nodes[first + 1 :]] if first >= 0 else nodes


def _unqualified(nodes: list[Node]) -> list[Node]:
    """Take the table's name from the columns of a view of one table, but not of its queries."""
    if nodes[:1] not in (["SELECT"], ["WITH"]) or sum(node in _SETS for node in nodes) != 1:
        return nodes
    table = _only_table(nodes)
    return [*_without_prefix(nodes, table)] if table else nodes


def _only_table(nodes: list[Node]) -> str:
    """Return what the one item after FROM is called, "" when there are several or none."""
    starts = [at for at, node in enumerate(nodes) if node == "FROM" and nodes[at - 1] != "DISTINCT"]
    if len(starts) != 1:
        return ""
    rest = nodes[starts[0] + 1 :]
    end = next((at for at, node in enumerate(rest) if node in _CLAUSES), len(rest))
    words = [node for node in rest[:end] if isinstance(node, str)]
    return words[-1] if words and not {",", "JOIN"} & {*words} else ""


def _without_prefix(nodes: list[Node], table: str) -> Iterator[Node]:
    skip = False
    for at, node in enumerate(nodes):
        if isinstance(node, list):
            query = node[:1] in (["SELECT"], ["WITH"], ["VALUES"])
            yield node if query else [*_without_prefix(node, table)]
            continue
        column = nodes[at + 1 : at + 2] == ["."] and nodes[at + 2 : at + 3] != ["*"]
        if node == table and column and nodes[at - 1 : at] != ["."]:
            skip = True
        elif not (skip and node == "."):
            skip = False
            yield node
