"""Main: one request in, its answers out."""

from __future__ import annotations

import json
import sys
from typing import Any, Callable  # noqa: UP035  (Python 3.9 at run time)

from runbook_lib.agent.surroundings import enter_project
from runbook_lib.agent.wire import Channel, Refused, watch_input


def main() -> int:
    """Carry out the one request on standard input; return the exit code."""
    channel = Channel()
    request = json.loads(sys.stdin.buffer.readline())
    watch_input()
    try:
        enter_project(request)
        operation(request["op"])(request, channel)
    except Refused as error:
        channel.send("error", kind=error.kind, message=error.message, hint=error.hint)
        return 1
    channel.send("end")
    return 0


def operation(name: str) -> Callable[[dict[str, Any], Channel], None]:
    """Return what carries out a request, importing no more than it needs."""
    if name in ("collect", "digests"):
        from runbook_lib.agent import collecting

        return collecting.collect if name == "collect" else collecting.digests
    from runbook_lib.agent import operations

    others = {"run": operations.run_command, "call": operations.call_function}
    return others.get(name, operations.alembic_operation)
