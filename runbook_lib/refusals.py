"""Refusals: what forbids a repair until a person has decided or mended something. Pure."""

from __future__ import annotations

from collections.abc import Collection

from runbook_lib import graph as graphs
from runbook_lib import orphans, suspects, unread, versions
from runbook_lib.auditing import cannot_be_imported
from runbook_lib.branches import advice, rival, told
from runbook_lib.corrections import missing
from runbook_lib.edits import replay_only
from runbook_lib.effects import RevisionReplay
from runbook_lib.forensics import Drift, RevisionVerdict
from runbook_lib.situation import Refusal, Situation
from runbook_lib.verdicts import mostly_there


def refusals(situation: Situation) -> tuple[Refusal, ...]:
    """Return everything that forbids a repair; the code's age and the files' lack come first."""
    gravest = (
        *_unreadable(situation),
        *_ahead(situation),
        *_second_table(situation),
        *_several_histories(situation),
        *_unreplayed(situation),
        *_unexplained(situation),
        *_misnamed(situation),
    )
    return gravest or (
        *_undecided(situation),
        *_would_lose(situation),
        *_half_done_data(situation),
        *_committed_before(situation),
        *_contradicted_data(situation),
        *_unproven(situation),
    )


def _unreadable(situation: Situation) -> list[Refusal]:
    return [
        Refusal(
            code="unloadable-file",
            reason=f"{edit.path} cannot be loaded ({edit.reason}), so what it promises is "
            "unknown. Mend the file, then run again.",
        )
        for edit in replay_only(situation.repair.edits)
        if edit.after is None
    ]


def _ahead(situation: Situation) -> list[Refusal]:
    rows = versions.unlocated(situation.seen.rows, situation.seen.graph)
    extra = _undecided_extra(situation)
    known = situation.seen.replay.whole and not situation.repair.stands_in
    if not rows or not extra or not known:
        return []
    shown = ", ".join(extra[:4]) + (" and others" if len(extra) > 4 else "")
    reason = (
        f"The database is ahead of the code: it records {', '.join(rows)}, which no file has, and "
        f"holds {shown}, which no file makes. Deploy the newer code or restore the missing files "
        "and run again; or downgrade with the newer code first."
        f"{''.join(_elsewhere(situation, row) for row in rows)}"
    )
    return [Refusal(code="code-behind-database", reason=reason)]


def _elsewhere(situation: Situation, revision_id: str) -> str:
    """Say which file that Alembic does not read has the id, and what to do about it, or ""."""
    known = situation.seen.unread
    said = f"{unread.told(revision_id, known)} {unread.advice(revision_id, known)}"
    return said.rstrip()


def _undecided_extra(situation: Situation) -> list[str]:
    return [
        item.object
        for item in situation.drawn.drift
        if item.kind == "extra" and item.object not in situation.decisions
    ]


def _second_table(situation: Situation) -> list[Refusal]:
    rows = situation.seen.rows
    if not rows.others or situation.seen.pinned:
        return []
    where = f"[environments.{situation.seen.environment}]"
    reason = (
        f"There are several version tables: {', '.join((rows.table, *rows.others))}. Which one "
        f"Alembic means depends on the search path. Set version_table_schema in {where} (and in "
        "the project's env.py) to the right one's schema, and retire the other."
    )
    return [Refusal(code="second-version-table", reason=reason)]


def _unreplayed(situation: Situation) -> list[Refusal]:
    return [
        Refusal(
            code=_why_unreplayed(situation, run),
            reason=f"{run.revision_id} fails in the replay, so what it promises is unknown: "
            f"{run.error}{_restore(situation)}{_base(situation, run)}",
        )
        for run in situation.seen.replay.revisions
        if run.status == "failed" and not rival(run, situation.seen.loadable, situation.seen.replay)
    ]


def _several_histories(situation: Situation) -> list[Refusal]:
    seen = situation.seen
    if not seen.histories:
        return []
    reason = f"{told(seen.histories)} {advice(seen.environment, seen.histories)}"
    return [Refusal(code="exclusive-bases", reason=reason)]


def _why_unreplayed(situation: Situation, run: RevisionReplay) -> str:
    if situation.repair.stands_in:
        return "dangling-parent"
    if cannot_be_imported(run):
        return "unloadable-file"
    return "not-replayable"


def _base(situation: Situation, run: RevisionReplay) -> str:
    """Say how to give a baseline where something is missing that no baseline could be read for."""
    origin = situation.seen.replay.baseline_origin
    if origin == "given" or not missing(run.error) or situation.repair.stands_in:
        return ""
    return (
        ". If the tree expects an older schema, give it: [project] baseline = a .sql file, or "
        '"callable:module:function".'
    )


def _restore(situation: Situation) -> str:
    missing = ", ".join(situation.repair.stands_in)
    there = "".join(_elsewhere(situation, name) for name in situation.repair.stands_in)
    advice = there or f" The file of {missing} is missing: restore it from version control."
    return advice * bool(missing)


def _unexplained(situation: Situation) -> list[Refusal]:
    """Objects that may be a missing file's doing: nobody can decide about them as about drift."""
    odd = [
        item.object
        for item in situation.drawn.drift
        if (item.kind == "missing" or needs_decision(item))
        and item.object not in situation.decisions
    ]
    left = [
        one.revision_id
        for one in situation.drawn.verdicts.values()
        if orphans.bereft(one) and suspects.speaking(one, "against") - {*odd, *situation.decisions}
    ]
    if not situation.repair.stands_in or not (odd or left):
        return []
    named = odd or left
    shown = ", ".join(named[:4]) + (" and others" if len(named) > 4 else "")
    place = f"environments.{situation.seen.environment}"
    ways = [f"decide about each object in [{place}.drift]: adopt, revert or ignore"] * bool(odd)
    ways += [f"say of {', '.join(left)} ran or not_ran in [{place}]"] * bool(left)
    reason = (
        f"No file explains what became of {shown}, and no tombstone could be proven."
        f"{_restore(situation)} If it is lost for good, {' and '.join(ways)}."
    )
    return [Refusal(code="dangling-parent", reason=reason)]


def _misnamed(situation: Situation) -> list[Refusal]:
    """Tables that were renamed by hand: to make them anew would leave their rows behind."""
    return [
        Refusal(
            code="drift-extra",
            reason=f"{new} consists of what {old} does, which is gone: it was renamed by hand. "
            "Give it its name back, then run again.",
        )
        for new, old in situation.drawn.misnamed.items()
        if f"table:{new}" not in situation.decisions
    ]


def _undecided(situation: Situation) -> list[Refusal]:
    place = f"[environments.{situation.seen.environment}.drift]"
    return [
        Refusal(
            code=f"drift-{drift.kind}",
            reason=f"{drift.object}: expected {drift.expected}, found {drift.found}. {drift.note} "
            f"Decide in {place}: adopt, revert or ignore.",
        )
        for drift in situation.drawn.drift
        if needs_decision(drift) and drift.object not in situation.decisions
        if not situation.repair.stands_in
    ]


def needs_decision(drift: Drift) -> bool:
    """Whether a person has to say what becomes of it: names do not matter, losses are mended."""
    unfinished = drift.aspect in ("valid", "validated")
    return drift.kind != "missing" and drift.aspect != "name" and not unfinished


def _would_lose(situation: Situation) -> list[Refusal]:
    """What a person wants reverted and holds data: nothing that holds data is ever dropped."""
    return [
        Refusal(
            code="drift-extra",
            reason=f"{key} is to be reverted, but it holds data, and the runbook drops nothing "
            "that holds data. Save the data elsewhere and drop it by hand, or adopt or ignore it.",
        )
        for key in situation.seen.filled
        if situation.decisions.get(key) == "revert"
    ]


def _half_done_data(situation: Situation) -> list[Refusal]:
    """Rows that a half-executed revision changes: nothing in the schema tells if it did."""
    return [
        Refusal(
            code="partial",
            reason=f"{verdict.revision_id} is half executed and also changes rows; the schema "
            "cannot tell whether that part ran. Finish it by hand and say so with "
            f"{_statement(situation, verdict, 'ran')}.",
        )
        for verdict in situation.drawn.verdicts.values()
        if verdict.executed == "partly"
        and verdict.touches_rows
        and not mostly_there(verdict)
        and situation.seen.stated.get(verdict.revision_id) is not True
    ]


def _committed_before(situation: Situation) -> list[Refusal]:
    """Rows that may have been left out by a revision that commits on its way and then failed.

    Where a later revision ran, it was over with this one.
    """
    ran = {name for name, verdict in situation.drawn.verdicts.items() if verdict.executed == "yes"}
    over = graphs.ancestors(situation.seen.loadable, ran) - _tops(situation, ran)
    loose = {
        run.revision_id
        for run in situation.seen.replay.revisions
        if run.touches_rows and run.stoppable
    } - over
    return [
        Refusal(
            code="partial",
            reason=f"What {name} makes is there, but it is not recorded, it commits on its way, "
            "and it also changes rows; the schema cannot tell whether that part ran. Finish it by "
            f"hand and say so with {_statement(situation, verdict, 'ran')}.",
        )
        for name, verdict in situation.drawn.verdicts.items()
        if name in loose
        and verdict.verdict == "unrecorded"
        and situation.seen.stated.get(name) is not True
    ]


def _tops(situation: Situation, names: Collection[str]) -> frozenset[str]:
    """Return those of the revisions that have none of the others above them."""
    graph = situation.seen.loadable
    return frozenset(
        name for name in names if not graphs.descendants(graph, [name]) & {*names} - {name}
    )


def _contradicted_data(situation: Situation) -> list[Refusal]:
    """Revisions that change rows, and of which nothing tells whether they ran."""
    return [
        Refusal(
            code="unknowable-data",
            reason=f"{verdict.revision_id} changes rows, and nothing tells whether it ran. "
            f"{verdict.reason} Find out from the rows, then say "
            f"{_statement(situation, verdict, 'ran')} or "
            f"{_statement(situation, verdict, 'not_ran')}.",
        )
        for verdict in situation.drawn.verdicts.values()
        if verdict.executed == "unknowable" and verdict.touches_rows and not verdict.implied
    ]


def _unproven(situation: Situation) -> list[Refusal]:
    """Revisions that a repair needs to know about, where an inferred baseline proves nothing."""
    return [
        Refusal(
            code="inferred-baseline",
            reason=f"{verdict.revision_id}: {verdict.reason} Give a baseline ([project] baseline "
            '= a .sql file, or "callable:module:function"), or find out and say '
            f"{_statement(situation, verdict, 'ran')} or "
            f"{_statement(situation, verdict, 'not_ran')}.",
        )
        for verdict in situation.drawn.verdicts.values()
        if situation.seen.replay.inferred
        and verdict.executed == "unknowable"
        and not verdict.implied
        and not verdict.touches_rows
        and any(item.speaks == "against" for item in verdict.evidence)
    ]


def _statement(situation: Situation, verdict: RevisionVerdict, key: str) -> str:
    where = f"[environments.{situation.seen.environment}]"
    return f'{key} = ["{verdict.revision_id}"] in {where}'
