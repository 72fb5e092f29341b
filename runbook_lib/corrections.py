"""Corrections: what a revision's error in the replay says that the baseline has wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from runbook_lib import backdating, baseline
from runbook_lib.baseline import Guess
from runbook_lib.catalog import split
from runbook_lib.effects import RevisionReplay

Correction = Callable[[Guess, RevisionReplay, str, "re.Match[str]"], Guess | None]
_KEYS = ("primary key", "unique")
_Q = r'"([^"]+)"'


def correct(
    guess: Guess, run: RevisionReplay, text: str, elsewhere: Collection[str]
) -> Guess | None:
    """Return a better guess, or None when the error says nothing about the baseline.

    ``text`` is the revision's file; ``elsewhere`` are keys that other revisions make: one of these
    that is missing is an undeclared dependency.
    """
    for pattern, answer in CORRECTIONS:
        match = re.search(pattern, run.error)
        if match is None:
            continue
        better = answer(guess, run, text, match)
        if better is None:
            continue
        fresh = {*(better.taken - guess.taken), *(better.assumed.keys() - guess.assumed.keys())}
        return None if fresh & set(elsewhere) else better
    return None


def missing(error: str) -> bool:
    """Whether an error says that something is not there."""
    return "does not exist" in error or error.startswith("NoSuchTableError")


def _relation(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
    name = match[1]
    return (
        baseline.take(guess, "relation", name)
        or backdating.table(guess, name)
        or _assume(guess, "table", name)
    )


def _assume(guess: Guess, kind: str, name: str) -> Guess | None:
    key = f"{kind}:{name if '.' in name else f'public.{name}'}"
    return baseline.assume(guess, key, baseline.stub(key))


def _index(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
    taken = baseline.take(guess, "index", match[1])
    if taken:
        return taken
    named = re.search(rf"['\"]{re.escape(match[1])}['\"]\)?,\s*(?:table_name=)?['\"](\w+)", text)
    tables = sorted(key for key in guess.taken if key.startswith("table:"))
    table = baseline.table_key(guess, named[1]) if named else next(iter(tables), "")
    key = f"index:public.{match[1]}"
    sql = baseline.stub(key, split(table)[1]) if table else ""
    return baseline.assume(guess, key, sql) if sql else None


def _typed(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
    kinds = ("type", "domain")
    taken = (baseline.take(guess, kind, match[1]) for kind in kinds)
    return next((one for one in taken if one), None) or _assume(guess, "type", match[1])


def _kind(kind: str) -> Correction:
    def answer(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
        return baseline.take(guess, kind, match[1])

    return answer


def _column(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
    return _part(guess, "column", match[2], match[1])


def _constraint(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
    return _part(guess, "constraint", match[2], match[1])


def _part(guess: Guess, kind: str, table: str, name: str) -> Guess | None:
    taken = baseline.take(guess, kind, name, table)
    if not taken and kind == "column":
        taken = backdating.column(guess, table, name)
    if taken:
        return taken
    key = baseline.within(guess, kind, table, name)
    return baseline.assume(guess, key, baseline.stub(key))


def _loose(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
    """A column without its table: the failing statement names that."""
    bare = match[1].rpartition(".")[2].strip('"')
    last = run.statements[-1] if run.statements else ""
    for one in backdating.tables_of(guess, bare):
        if re.search(rf"(?<!\w){re.escape(one)}(?!\w)", last):
            taken = backdating.column(guess, one, bare)
            if taken:
                return taken
    named = re.search(r"\b(?:UPDATE|FROM|INTO|TABLE|ON|JOIN)\s+(?:ONLY\s+)?([\w\".]+)", last, re.I)
    return _part(guess, "column", named[1].replace('"', ""), bare) if named else None


def _made(kind: str) -> Correction:
    def answer(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
        table = match[2] if match.re.groups > 1 else ""
        return baseline.ban(guess, kind, match[1], table)

    return answer


def _made_relation(
    guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]
) -> Guess | None:
    kinds = ("relation", "constraint")
    left = (baseline.ban(guess, kind, match[1]) for kind in kinds)
    return next((one for one in left if one), None)


def _second_key(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
    keys = [
        key
        for key in guess.taken
        if key.startswith("constraint:")
        and guess.live.objects[key].get("type") == "primary key"
        and split(key)[1].split(".")[1].strip('"') == match[1]
    ]
    return baseline.ban_key(guess, keys) if keys else None


def _referred(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
    """A foreign key needs the key of the table that it refers to, whoever claims that."""
    better = guess
    for key in baseline.find(guess.live, "table", match[1])[:1]:
        for name, aspects in guess.live.objects.items():
            if name.startswith(f"constraint:{split(key)[1]}.") and aspects.get("type") in _KEYS:
                better = baseline.take(better, "constraint", split(name)[1]) or better
    return better if better != guess else None


def _dependents(guess: Guess, run: RevisionReplay, text: str, match: re.Match[str]) -> Guess | None:
    """What hangs on an object that a revision drops came later."""
    found = re.findall(
        r"(constraint|view|materialized view|index|function) (\S+)(?: on table (\S+))? depends on",
        run.error,
    )
    better = guess
    for kind, name, table in found:
        better = baseline.ban(better, kind.replace(" ", "_"), name, table) or better
    return better if better != guess else None


CORRECTIONS: tuple[tuple[str, Correction], ...] = (
    (rf"column {_Q} of relation {_Q} does not exist", _column),
    (rf"constraint {_Q} (?:of|for) (?:relation|table) {_Q} does not exist", _constraint),
    (rf"(?:relation|table|view|sequence|materialized view) {_Q} does not exist", _relation),
    (r"NoSuchTableError: (\w+)", _relation),
    (rf"index {_Q} does not exist", _index),
    (rf"type {_Q} does not exist", _typed),
    (rf"schema {_Q} does not exist", _kind("schema")),
    (r"function (?:\w+\.)?(\w+)\([^)]*\) does not exist", _kind("function")),
    (
        rf"column {_Q} (?:named in key|referenced in foreign key constraint)? ?does not",
        _loose,
    ),
    (r"column ((?:\w+\.)?\w+) does not exist", _loose),
    (rf"column {_Q} of relation {_Q} already exists", _made("column")),
    (rf"constraint {_Q} for relation {_Q} already exists", _made("constraint")),
    (rf"relation {_Q} already exists", _made_relation),
    (rf"type {_Q} already exists", _made("type")),
    (rf"schema {_Q} already exists", _made("schema")),
    (rf"function {_Q} already exists", _made("function")),
    (rf"multiple primary keys for table {_Q} are not allowed", _second_key),
    (rf"no unique constraint matching given keys for referenced table {_Q}", _referred),
    (r"other objects depend on it", _dependents),
)
