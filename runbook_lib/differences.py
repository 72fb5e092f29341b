"""Differences: the live catalog beside the one that the heads promise. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from runbook_lib import dialect, inference, moves
from runbook_lib.catalog import Aspects, Catalog, describe, diff, renamed, split, table_of
from runbook_lib.effects import Replay
from runbook_lib.forensics import Comparison, Drift, RevisionVerdict
from runbook_lib.identifiers import identifier, member, sql_name
from runbook_lib.inference import ABSENT, Inference
from runbook_lib.verdicts import mostly_there


def align(
    live: Catalog, expected: Catalog, known: Collection[str] = ()
) -> tuple[Catalog, dict[str, str]]:
    """Give objects of ``live`` the name and the spelling that are ``expected``: neither is drift.

    Keys in ``known`` keep theirs: a revision gave it, and another may be what renames it. Returns
    the aligned catalog, and the live key of every object that was renamed by its expected key.
    """
    live = dialect.translated(live, expected)
    changes = [c for c in diff(expected, live) if c.before is not None or c.object not in known]
    pairs = dict(renamed(changes))
    back = {new: old for old, new in pairs.items()}
    objects = {back.get(key, key): aspects for key, aspects in live.objects.items()}
    return Catalog(objects=objects), pairs


def compare(
    expected: Catalog, live: Catalog, names: Mapping[str, str], writers: Mapping[str, str]
) -> tuple[Comparison, ...]:
    """Lay every object of either catalog side by side.

    ``live`` is aligned, ``names`` are the live keys of renamed objects, ``writers`` the revision
    that made each object last.
    """
    keys = sorted({*expected.objects, *live.objects})
    return tuple(
        _comparison(key, expected.objects.get(key), live.objects.get(key), names, writers)
        for key in keys
    )


def _comparison(
    key: str,
    wanted: Aspects | None,
    found: Aspects | None,
    names: Mapping[str, str],
    writers: Mapping[str, str],
) -> Comparison:
    kind, name = split(key)
    text = "" if found is None else describe(key, found) or "present"
    if key in names:
        text = f"{text} (named {split(names[key])[1]})"
    return Comparison(
        kind=kind,
        table=table_of(key, wanted or found),
        name=name,
        expected="" if wanted is None else describe(key, wanted) or "present",
        found=text,
        status=_status(key, wanted, found, names),
        revision_id=writers.get(key, ""),
    )


def _status(
    key: str, wanted: Aspects | None, found: Aspects | None, names: Mapping[str, str]
) -> Literal["equal", "missing", "extra", "changed", "renamed"]:
    if wanted is None:
        return "extra"
    if found is None:
        return "missing"
    if wanted != found:
        return "changed"
    return "renamed" if key in names else "equal"


def last_writers(replay: Replay) -> dict[str, str]:
    """Return the revision that changed each object last, by object key."""
    return {change.object: run.revision_id for run in replay.revisions for change in run.changes}


def find_drift(
    replay: Replay,
    live: Catalog,
    known: Inference,
    verdicts: Mapping[str, RevisionVerdict],
    names: Mapping[str, str],
    explained: Catalog | None = None,
    murky: Collection[str] = (),
) -> tuple[Drift, ...]:
    """Return what differs by nobody's doing: values on no chain, unknown and lost objects.

    ``explained`` is what the revisions that ran make by themselves, if that is known: it is then
    what is there, but for what nobody makes. Of ``murky`` objects nobody knows whose doing they
    are, so nothing is said of them.
    """
    made = {*inference.object_histories(replay)}
    made |= explained.objects.keys() if explained else _left_over(replay, live, made, verdicts)
    whose = "No revision" if replay.whole else "No revision that could be replayed"
    found = [*_extra(live, made.union(murky), replay.final, f"{whose} makes it.")]
    if explained is None:
        odd = [*_changed(known, verdicts), *_lost(replay, live, verdicts)]
        found += [drift for drift in odd if drift.object not in murky]
    found += [_renaming(key, name) for key, name in names.items()]
    return tuple(sorted(found, key=lambda drift: (drift.kind, drift.object, drift.aspect)))


def _changed(known: Inference, verdicts: Mapping[str, RevisionVerdict]) -> Iterable[Drift]:
    for chain in known.drifted:
        last = chain.links[-1]
        maker = verdicts.get(last.writer)
        if chain.live == "" and maker is not None and maker.executed == "partly":
            continue  # it is a part of what is told of the maker
        missing = chain.live in (ABSENT, "") or _unfinished(chain, maker)
        yield Drift(
            object=chain.object,
            kind="missing" if missing else "changed",
            aspect=chain.aspect,
            expected=_shown(last.value),
            found=_shown(chain.live),
            note=f"No revision gives it this value; the last to set it was "
            f"{last.writer or 'the baseline'}.",
        )


def _unfinished(chain: inference.Chain, maker: RevisionVerdict | None) -> bool:
    """Whether NOT NULL is only lacking on a column that a half-executed revision should make."""
    lacking = chain.aspect == "nullable" and chain.live == "yes"
    return lacking and maker is not None and maker.executed == "partly"


def _shown(value: str) -> str:
    return "absent" if value == ABSENT else value or "none"


def _left_over(
    replay: Replay, live: Catalog, made: Collection[str], verdicts: Mapping[str, RevisionVerdict]
) -> set[str]:
    """Objects that a renamed table brought along, as who should remove them may not have run."""
    writers, unknown = last_writers(replay), live.objects.keys() - made
    formers = moves.brought(unknown, replay, made)
    last = {key: verdicts.get(writers.get(former, "")) for key, former in formers.items()}
    return {key for key, verdict in last.items() if verdict and verdict.executed != "yes"}


def _extra(live: Catalog, made: Collection[str], final: Catalog, note: str) -> Iterable[Drift]:
    unknown = [key for key in live.objects if key not in made]
    for key in unknown:
        owner = table_of(key, live.objects[key])
        if owner and f"table:{owner}" in unknown and key != f"table:{owner}":
            continue
        yield Drift(
            object=key,
            kind="extra",
            aspect="",
            expected="absent",
            found=describe(key, live.objects[key]) or "present",
            note=f"{note} {_once(key, live, final)}".rstrip(),
        )


def _once(key: str, live: Catalog, final: Catalog) -> str:
    """Say which missing table an unknown one may be, under a name that somebody gave it."""
    kind, name = split(key)
    own = _columns(name, live) if kind == "table" else None
    gone = (other for other in final.objects if own and other not in live.objects)
    missing = [split(other)[1] for other in gone if other.startswith("table:")]
    alike = [other for other in missing if _columns(other, final) == own]
    if len(alike) != 1:
        return ""
    return (
        f"It has exactly the columns of {alike[0]}, which is missing: if somebody renamed that, "
        "give it its name back, then audit again."
    )


def _columns(table: str, catalog: Catalog) -> frozenset[str]:
    """Return the bare names of a table's columns, as keys spell them."""
    start = f"column:{table}."
    return frozenset(k.removeprefix(start) for k in catalog.objects if k.startswith(start))


def _lost(
    replay: Replay, live: Catalog, verdicts: Mapping[str, RevisionVerdict]
) -> Iterable[Drift]:
    """Objects that are gone although their maker ran: it cannot have left them out by itself."""
    atomic = {r.revision_id for r in replay.revisions if not (r.commits_inside or r.autocommit)}
    writers, makers = last_writers(replay), moves.makers(replay)
    doubtful = {key for key, one in verdicts.items() if _may_have_left_out(one, key in atomic)}
    for key, aspects in replay.final.objects.items():
        if key in live.objects or _owner_gone(key, aspects, live):
            continue
        verdict = verdicts.get(writers.get(key, ""))
        if verdict is None:
            yield _missing(key, aspects, "The baseline has it.")
        elif _recorded_in_vain(verdict):
            note = f"{verdict.revision_id} is recorded, and makes it when it runs here."
            yield _missing(key, aspects, note)
        elif not doubtful.isdisjoint(makers.get(key, ())):
            continue
        elif _ran_as_a_whole(verdict) and verdict.revision_id in atomic:
            note = f"{verdict.revision_id} made it and ran; it was removed since."
            yield _missing(key, aspects, note)


def _missing(key: str, aspects: Aspects, note: str) -> Drift:
    return Drift(
        object=key,
        kind="missing",
        aspect="",
        expected=describe(key, aspects) or "present",
        found="absent",
        note=note,
    )


def _ran_as_a_whole(verdict: RevisionVerdict) -> bool:
    """One that is half there and not recorded may have been downgraded: no drift."""
    partly = verdict.executed == "partly" and verdict.recorded and mostly_there(verdict)
    return partly or verdict.executed == "yes"


def _may_have_left_out(verdict: RevisionVerdict, atomic: bool) -> bool:
    """Whether what the revision makes may never have been there."""
    return verdict.executed == "no" or (verdict.executed != "yes" and not atomic)


def _recorded_in_vain(verdict: RevisionVerdict) -> bool:
    """Whether nothing proves that a recorded revision ran, and what it makes is not there."""
    against = any(item.speaks == "against" for item in verdict.evidence)
    return verdict.recorded and verdict.executed == "unknowable" and against


def _owner_gone(key: str, aspects: Aspects, live: Catalog) -> bool:
    owner = table_of(key, aspects)
    return bool(owner) and key != f"table:{owner}" and f"table:{owner}" not in live.objects


def _renaming(key: str, name: str) -> Drift:
    return Drift(
        object=key,
        kind="changed",
        aspect="name",
        expected=split(key)[1],
        found=split(name)[1],
        note="The same object under another name, which is no drift by itself.",
    )


def data_of(key: str) -> tuple[tuple[str, str], ...]:
    """Return (table, condition) under which dropping the object loses data; none if it cannot.

    A value is data even where it equals the column's default: nobody can tell it from one that
    somebody meant. A composite whose fields are all NULL is a value too, other than to IS NULL.
    """
    kind, name = split(key)
    if kind == "table":
        return ((sql_name(name), "true"),)
    if kind == "column":
        table, column = member(name)
        return ((table, f"pg_catalog.num_nonnulls({identifier(column)}) > 0"),)
    return ()
