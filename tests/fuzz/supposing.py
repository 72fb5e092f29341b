"""Supposing: every state that the revisions of a tree could have left, made for real.

A state says of each revision how much of it ran: nothing, all of it, or (where it has an
autocommit block) all before the block and so many of the block's statements, or all before its
literal COMMIT. Revisions run in the
replay's order; what does not run without the ones left out is no history that could have happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from faults.trees import Rev

from runbook_lib.agent.statements import asks_catalog, touches_rows
from runbook_lib.catalog import Catalog, diff, snapshot
from runbook_lib.effects import Replay, RevisionReplay

NO, YES = 0, -1  # a positive number: that many of the autocommit block's statements ran
State = tuple[int, ...]
EMPTY = Catalog(objects={})


@dataclass(frozen=True, kw_only=True)
class Supposed:
    """A state that could be, with the catalog that it leaves."""

    state: State
    catalog: Catalog


def sensible(rev: Rev) -> list[str]:
    """The statements as one transaction can run them."""
    return [text.replace(" CONCURRENTLY", "") for text in (*rev.up, *rev.outside)]


def ways(rev: Rev) -> tuple[tuple[int, Sequence[str]], ...]:
    """Return how a revision may have run, and the statements of each way."""
    every = sensible(rev)
    stops = range(min(len(rev.outside), 1) if rev.commits else len(rev.outside))
    half = tuple((n + 1, every[: len(rev.up) + n]) for n in stops)
    begun = tuple((n, texts) for n, texts in half if texts)
    return ((NO, ()), *begun, (YES, every))


def suppose(connection: Any, revs: Sequence[Rev], state: State = ()) -> Iterator[Supposed]:
    """Give every state that could be, within the connection's transaction."""
    if not revs:
        yield Supposed(state=state, catalog=snapshot(connection))
        return
    for how, statements in ways(revs[0]):
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT supposed")
            try:
                for statement in statements:
                    cursor.execute(statement)
            except psycopg2.Error:
                cursor.execute("ROLLBACK TO supposed; RELEASE supposed")
                continue
            yield from suppose(connection, revs[1:], (*state, how))
            cursor.execute("ROLLBACK TO supposed; RELEASE supposed")


def replayed(connection: Any, revs: Sequence[Rev]) -> Replay:
    """Return what the agent's replay of the revisions says, within the transaction."""
    runs, before = [], snapshot(connection)
    baseline = before
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT replayed")
        for rev in revs:
            sent = list(_sent(connection, rev))
            after = snapshot(connection)
            runs.append(
                RevisionReplay(
                    revision_id=rev.id,
                    status="replayed",
                    changes=diff(before, after),
                    statements=tuple(sent),
                    touches_rows=any(map(touches_rows, sent)),
                    autocommit=bool(rev.outside) and not rev.commits,
                    commits_inside=rev.commits,
                    asks=any(map(asks_catalog, sent)) or any(item.asks for item in rev.spelled),
                )
            )
            before = after
        cursor.execute("ROLLBACK TO replayed")
    return Replay(
        baseline=baseline,
        baseline_origin="empty",
        revisions=tuple(runs),
        final=before,
        server_version="18",
    )


def _sent(connection: Any, rev: Rev) -> Iterator[str]:
    """Run a revision and give the statements that the agent would see of it.

    What is said in Python sends nothing where its condition does not hold.
    """
    spelled = {item.sql: item for item in rev.spelled}
    for text in (*rev.up, *rev.outside):
        own = spelled.get(text)
        before = snapshot(connection) if own else EMPTY
        with connection.cursor() as cursor:
            cursor.execute(text.replace(" CONCURRENTLY", ""))
        if own is None:
            yield text
        elif diff(before, snapshot(connection)):
            yield from own.sends


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What can be known at all: every state that could be, by the catalog that it leaves."""

    revs: tuple[Rev, ...]
    states: Mapping[str, tuple[State, ...]]
    digest: Mapping[State, str]

    def allowed(self, state: State, number: int) -> frozenset[str]:
        """Return the words that are true of a revision in a state.

        A word is true if the revision having run just so far would have left the same catalog.
        ``unknowable`` is true if states that disagree about the revision leave it.
        """
        same = self.states[self.digest[state]]
        said = {_word(other[number]) for other in same}
        words = {
            _word(other[number])
            for other in same
            if other[:number] == state[:number] and other[number + 1 :] == state[number + 1 :]
        }
        return frozenset(words | ({"unknowable"} if len(said) > 1 else set()))

    def possible(self, state: State, said: Sequence[str]) -> bool:
        """Whether some state that leaves the same catalog is as ``said`` of every revision."""
        return any(
            all(word in (_word(how), "unknowable") for word, how in zip(said, other, strict=True))
            for other in self.states[self.digest[state]]
        )

    def certain(self, state: State, number: int) -> bool:
        """Whether every state that leaves this catalog agrees about the revision."""
        return len({_word(o[number]) for o in self.states[self.digest[state]]}) == 1


def _word(how: int) -> str:
    return {NO: "no", YES: "yes"}.get(how, "partly")


def know(revs: Sequence[Rev], supposed: Sequence[Supposed]) -> Knowledge:
    states: dict[str, list[State]] = {}
    digest: dict[State, str] = {}
    for one in supposed:
        digest[one.state] = one.catalog.digest
        states.setdefault(one.catalog.digest, []).append(one.state)
    return Knowledge(
        revs=tuple(revs), states={k: tuple(v) for k, v in states.items()}, digest=digest
    )
