"""Discrepancies: findings about a live schema that is not what the heads promise. Pure.

Drift is nobody's doing. Beside a hole much may be unknowable, so that no finding accounts for what
is not as promised: that is told all the same, with whoever may be behind it. An audit without
findings says that the schema is the heads'.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from runbook_lib import moves
from runbook_lib.catalog import Catalog, split, table_of
from runbook_lib.effects import Replay
from runbook_lib.findings import Finding, finding
from runbook_lib.forensics import Comparison, Drift, RevisionVerdict
from runbook_lib.identifiers import toml
from runbook_lib.kinship import Kinship

NAMED = 4  # objects that a message names, before it counts the others


def of_drift(
    environment: str, drift: Collection[Drift], causes: Sequence[str] = ()
) -> Iterable[Finding]:
    """Name every drifted object, and how to decide about it.

    ``causes`` say why revisions could not be replayed: what differs may be their doing, so it is
    told in one finding, and nobody is asked to decide.
    """
    told = [item for item in drift if item.aspect not in ("name", "valid", "validated")]
    if causes and told:
        yield _unjudged(told, causes)
        return
    for item in told:  # the others are no drift, or a finding of their own
        kind, name = split(item.object)
        aspect = f" {item.aspect}" if item.aspect else ""
        text = f"{kind} {name}{aspect}: expected {item.expected}, found {item.found}. {item.note}"
        advice = "" if item.kind == "missing" else _advice(item, environment)
        code = f"drift-{item.kind}"
        yield finding(code, item.object, text, advice)


def _unjudged(drift: Collection[Drift], causes: Sequence[str]) -> Finding:
    """Say what differs where nobody can tell drift from what was not replayed."""
    objects = list(dict.fromkeys(item.object for item in drift))
    more = f" and {len(objects) - NAMED} more" if len(objects) > NAMED else ""
    text = (
        f"Beside {' and '.join(causes)}, nothing tells drift from what could not be replayed. Not "
        f"as the rest makes it: {', '.join(objects[:NAMED])}{more}."
    )
    return finding("drift-unjudged", objects[0] if len(objects) == 1 else "schema", text)


def _advice(item: Drift, environment: str) -> str:
    """Say which line of runbook.toml decides about a drifted object."""
    return (
        f"Decide in runbook.toml, [environments.{environment}.drift]: {toml(item.object)} = "
        '"adopt" (the tree takes it over), "revert" (the database goes back) or "ignore".'
    )


def of_validity(live: Catalog) -> Iterable[Finding]:
    """Name indexes and constraints that are there and do not hold."""
    for key, aspects in live.objects.items():
        kind, name = split(key)
        if kind == "index" and aspects.get("valid") == "no":
            text = f"Index {name} on {table_of(key, aspects)} is INVALID: PostgreSQL never uses it."
            yield finding("invalid-index", key, text)
        if kind == "constraint" and aspects.get("validated") == "no":
            text = f"Constraint {name} was added NOT VALID and never validated."
            yield finding("not-valid-constraint", key, text)


def of_differences(
    comparisons: Collection[Comparison],
    verdicts: Mapping[str, RevisionVerdict],
    drift: Collection[Drift],
    replay: Replay,
    live: Catalog,
    names: Mapping[str, str],
) -> Iterable[Finding]:
    """Say what differs and is neither drift nor the doing of a revision found not to have run.

    ``names`` are the ids of the project's files, where the loadable tree has others.
    """
    told = {item.object for item in drift}
    left = [
        item for item in comparisons
        if item.status in ("missing", "extra", "changed") and told.isdisjoint(_keys(item))
        and not _is_validity(item, live)
    ]  # fmt: skip
    behind: dict[tuple[tuple[str, ...], bool], list[Comparison]] = {}
    for item, own in _unaccounted(left, verdicts, replay, live) if left else ():
        doubtful = [one for one in own if one.executed == "unknowable"]
        who = tuple(names.get(one.revision_id, one.revision_id) for one in doubtful or own)
        behind.setdefault((who, bool(doubtful)), []).append(item)
    for (who, silent), items in behind.items():
        text = f"{_shown(items)} {_suspected(who, silent)}"
        subject = ", ".join(who) or items[0].name
        yield finding("unexplained-difference", subject, text, _ask(who))


def _keys(item: Comparison) -> set[str]:
    return {f"{item.kind}:{item.name}", f"table:{item.table}"}


def _unaccounted(
    left: Sequence[Comparison],
    verdicts: Mapping[str, RevisionVerdict],
    replay: Replay,
    live: Catalog,
) -> Iterator[tuple[Comparison, Sequence[RevisionVerdict]]]:
    """Give what nothing accounts for, with the verdicts of those who make it so.

    A revision that is found not to have (wholly) run accounts for what it makes; one that has not
    to run yet, too. So it does for what a revision that ran makes of the same tables: that may be
    something else beside a hole.
    """
    kin, writers = Kinship(replay, live), _writers(replay)
    for item in left:
        key = f"{item.kind}:{item.name}"
        own = [verdicts[name] for name in writers.get(key, ()) if name in verdicts]
        if any(map(_excuses, own)):
            continue
        related = [verdicts[name] for name in kin.writers({key}) if name in verdicts]
        doubtful = any(verdict.executed == "unknowable" for verdict in own)
        if doubtful or not any(map(_excuses, related)):
            yield item, own


def _writers(replay: Replay) -> Mapping[str, Sequence[str]]:
    """Return who wrote each object, also while its table had another name."""
    found: dict[str, list[str]] = {}
    for run in replay.revisions:
        for change in run.changes:
            found.setdefault(change.object, []).append(run.revision_id)
    return {**found, **moves.makers(replay)}


def _is_validity(item: Comparison, live: Catalog) -> bool:
    """Whether it is only not valid (yet), of which there is a finding anyway."""
    aspects = live.objects.get(f"{item.kind}:{item.name}", {})
    return "no" in (aspects.get("valid"), aspects.get("validated"))


def _excuses(verdict: RevisionVerdict) -> bool:
    pending = not verdict.recorded and verdict.executed != "yes"
    return pending or verdict.executed in ("no", "partly")


def _shown(items: Sequence[Comparison]) -> str:
    shown = [
        f"{item.kind} {item.name} (expected {item.expected or 'absent'}, "
        f"found {item.found or 'absent'})"
        for item in items[:NAMED]
    ]
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return f"Not as the heads promise: {'; '.join(shown)}{more}."


def _suspected(who: Sequence[str], silent: bool) -> str:
    """Say who may be behind it; ``silent`` are revisions of which nothing proves anything."""
    if not who:
        return "No revision writes it: it was there before the first one."
    if silent:
        return f"Nothing proves whether {' and '.join(who)} ran, which would make it so."
    written = f"{' and '.join(who)} write{'s' * (len(who) == 1)} it"
    return f"{written}; the schema does not tell who of those that ran left it so."


def _ask(who: Sequence[str]) -> str:
    """Say what to do; "" for what the code says, where nobody can be named."""
    if not who:
        return ""
    return (
        "Let the run repair it: what it offers is proven on a copy. Where it refuses, say of "
        f"{' or '.join(who)}, in runbook.toml, ran or not_ran."
    )
