"""Misnomers: tables that somebody renamed by hand, told by what they consist of. Pure.

To a chain a table under another name is gone, and whoever made it seems not to have run. So where a
table that no revision makes has the columns, and what else keeps its name, of one that is gone, the
revisions are judged as if it still had its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, product

from runbook_lib import moves
from runbook_lib.catalog import Aspects, Catalog, split, table_of
from runbook_lib.effects import Replay
from runbook_lib.forensics import Drift, RevisionVerdict
from runbook_lib.inference import Histories, object_histories

READINGS = 4  # at most, of which table was renamed to which


def readings(live: Catalog, replay: Replay) -> tuple[Mapping[str, str], ...]:
    """Return which tables may have been renamed by hand: the former names by the ones of now.

    Several where more than one table is gone that it may have been; none where nothing was.
    """
    known = object_histories(replay)
    strange = [key for key in live.objects if key.startswith("table:") and key not in known]
    left = [key for key in strange if not moves.brought({key}, replay, known)]
    gone = [key for key in known if key.startswith("table:") and key not in live.objects]
    options = {
        split(new)[1]: [split(old)[1] for old in gone if _same(new, old, live, known)]
        for new in left if gone
    }  # fmt: skip
    options = {new: olds for new, olds in options.items() if olds}
    chosen = (dict(zip(options, olds, strict=True)) for olds in product(*options.values()))
    apart = (one for one in chosen if one and len({*one.values()}) == len(one))
    return tuple(islice(apart, READINGS))


def _same(new: str, old: str, live: Catalog, known: Histories) -> bool:
    """Whether all of a table's columns, and one thing that keeps its name, are the other's."""
    table, former = split(new)[1], split(old)[1]
    own = {key: aspects for key, aspects in live.objects.items() if table_of(key, aspects) == table}
    columns = {key: aspects for key, aspects in own.items() if key.startswith("column:")}
    if not columns or not all(
        aspects.get("type") in _types(known.get(moves.renamed(key, table, former), ()))
        for key, aspects in columns.items()
    ):
        return False
    others = [key for key in own if split(key)[0] in ("constraint", "index", "sequence")]
    return any(moves.renamed(key, table, former) in known for key in others)


def _types(history: Iterable[tuple[str, Aspects | None]]) -> set[str | None]:
    return {state.get("type") for _, state in history if state is not None}


def undone(live: Catalog, former: Mapping[str, str]) -> Catalog:
    """Return the catalog with the tables under their former names."""
    objects = dict(live.objects)
    for new, old in former.items():
        objects = {
            moves.renamed(key, new, old): moves.respelled(aspects, new, old)
            for key, aspects in objects.items()
        }
    return Catalog(objects=objects)


def drift(readings: Sequence[Mapping[str, str]]) -> Iterator[Drift]:
    """Name every renamed table, and the one that is gone."""
    for new in readings[0]:
        olds = sorted({one[new] for one in readings})
        whose = " or ".join(olds)
        note = f"It was renamed by hand: it consists of what {whose} does. Give it its name back."
        yield Drift(
            object=f"table:{new}", kind="extra", aspect="", expected="absent", found="table",
            note=note,
        )  # fmt: skip
        for old in olds if len(olds) == 1 else ():
            yield Drift(
                object=f"table:{old}", kind="missing", aspect="", expected="table", found="absent",
                note=f"It was renamed by hand: {new} consists of what it does.",
            )  # fmt: skip


def agreed(
    told: Sequence[Mapping[str, RevisionVerdict]], readings: Sequence[Mapping[str, str]]
) -> dict[str, RevisionVerdict]:
    """Return the verdicts on which all readings agree; the others are open."""
    names = " and ".join(readings[0])
    return {
        name: verdict
        if len({one[name].executed for one in told}) == 1
        else replace(
            verdict,
            executed="unknowable",
            verdict="unknowable",
            implied="",
            reason=f"Of {names}, which was renamed by hand, nothing tells which table it was, and "
            "it depends on that whether this one ran.",
        )
        for name, verdict in told[0].items()
    }
