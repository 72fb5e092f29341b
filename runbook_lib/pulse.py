"""Pulse: say now and then that something long is still at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FIRST = 10.0
"""Seconds until the first word; each later one comes after twice as long."""


@contextmanager
def pulse(
    say: Callable[[str], None], what: Callable[[], str], first: float = FIRST
) -> Iterator[None]:
    """Say ``what`` is still at work after 10, 20, 40 … seconds, until the block ends."""
    over, begun = threading.Event(), time.monotonic()

    def beat() -> None:
        due = first
        while not over.wait(begun + due - time.monotonic()):
            say(f"  {what()} is still at work after {due:,.0f} s")
            due *= 2

    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
