"""Failures: how a notebook ended that did not run to its end, in words for papermill's command."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import click

from runbook_lib.errors import RunbookError


class NotebookFailed(RunbookError, click.ClickException):  # type: ignore[misc]
    """A notebook did not run to its end; shown by papermill's command without a traceback.

    ``ename`` is the class of the error that its cell raised, or "" when there was none.
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = 1, ename: str = "") -> None:
        RunbookError.__init__(self, message, hint)
        self.exit_code = exit_code
        self.ename = ename

    def format_message(self) -> str:
        return str(self)

    @classmethod
    def of(cls, error: RunbookError) -> NotebookFailed:
        """Return another error of ours in this form, its words and its exit code kept."""
        return cls(error.message, error.hint, error.exit_code, type(error).__name__)


class Interrupted(NotebookFailed):
    """The run was ended by a signal; the exit code is 128 plus its number, as in a shell."""


@contextlib.contextmanager
def handled(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Let ``handler`` have SIGINT, SIGTERM and SIGHUP, unless they are ignored (nohup)."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    mine = [number for number in numbers if before[number] != signal.SIG_IGN]
    for number in mine:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, before[number])
