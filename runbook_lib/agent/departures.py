"""Departures: a revision is over while the server still looks for what it changed."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable  # noqa: UP035  (Python 3.9 at run time)

from runbook_lib.agent.recording import Record
from runbook_lib.agent.wire import Channel


class Departures:
    """Keeps what is said of revisions in order: one is finished before the next has started.

    ``finish`` is called with every record that is complete. ``waited``: the seconds that a revision
    spent waiting for the one before it.
    """

    def __init__(self, channel: Channel, finish: Callable[[Record], None]) -> None:
        self.channel = channel
        self.finish = finish
        self.waited = 0.0
        self._leaving: tuple[Record, Callable[[], None]] | None = None
        self._started: dict[str, Any] = {}
        self._failure: BaseException | None = None

    def announce(self, **facts: Any) -> None:
        """Say that a revision starts, as soon as the one before is finished."""
        self._started = facts
        if not self._leaving:
            self._say()

    def leave(self, record: Record, end: Callable[[], None]) -> None:
        """Let a revision go; ``end`` waits for the look at what it changed."""
        self._leaving = record, end

    def settle(self) -> None:
        """Finish the revision that left, before anything else is sent.

        Raises what that raised, each time: the revision that it is told to may swallow it.
        """
        if self._failure:
            raise self._failure
        if not self._leaving:
            return
        started = time.perf_counter()
        (record, end), self._leaving = self._leaving, None
        try:
            end()
            self.finish(record)
        except BaseException as error:
            self._failure = error
            raise
        self._say()
        self.waited += time.perf_counter() - started

    def abandon(self) -> BaseException | None:
        """Let nothing be at work on the connection any more; return what failed, if it did."""
        leaving, failure = self._leaving, self._failure
        self._leaving, self._failure, self._started = None, None, {}
        if leaving:
            with contextlib.suppress(Exception):
                leaving[1]()
        return failure

    def _say(self) -> None:
        facts, self._started = self._started, {}
        if facts:
            self.channel.send("started", **facts)
