"""Operations: what a request may ask for besides collecting."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import io
import os
import subprocess
import sys
import traceback
from typing import Any

from runbook_lib.agent.configuration import load_alembic, load_config
from runbook_lib.agent.connections import Redirect
from runbook_lib.agent.failures import describe
from runbook_lib.agent.runner import Runner
from runbook_lib.agent.wire import CHILDREN, Channel, Refused, explain, kill_group

TAIL = 20_000  # characters of a check's output that are of interest


def state(request: dict[str, Any], channel: Channel) -> None:
    """Send what ``alembic current``, ``history`` and ``heads`` print, or their error."""
    from alembic import command

    texts: dict[str, str] = {}
    for name in ("current", "history", "heads"):
        output = io.StringIO()
        config = load_config(request, output)
        try:
            getattr(command, name)(config)
            texts[name] = output.getvalue().rstrip()
        except (Exception, SystemExit) as error:
            texts[name] = f"error: {explain(error)}"
    channel.send("state", texts=texts)


def run_command(request: dict[str, Any], channel: Channel) -> None:
    """Run one application check in the project's place; its own interpreter comes first."""
    here = os.path.dirname(sys.executable)
    os.environ["PATH"] = here + os.pathsep + os.environ.get("PATH", os.defpath)
    try:
        child = subprocess.Popen(
            request["argv"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return channel.send("result", code=127, output=f"{request['argv'][0]}: {error.strerror}")
    CHILDREN.append(child)
    try:
        output, _ = child.communicate(timeout=request["timeout"])
        code = child.returncode
    except subprocess.TimeoutExpired:
        kill_group(child)
        output, _ = child.communicate()
        code, output = 124, f"{output}\nIt did not end within {request['timeout']:g} seconds."
    return channel.send("result", code=code, output=output[-TAIL:])


def call_function(request: dict[str, Any], channel: Channel) -> None:
    """Call ``module:function``, with the URL where it takes an argument; True is good."""
    with contextlib.suppress(Refused):
        load_alembic()
        Redirect(request).install()
    sys.path.insert(0, os.getcwd())
    module, _, name = request["callable"].partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        takes = any(
            item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD, item.VAR_POSITIONAL)
            for item in inspect.signature(function).parameters.values()
        )
        result = function(request["address"]["url"]) if takes else function()
        result = asyncio.run(result) if inspect.iscoroutine(result) else result
    except (Exception, SystemExit) as error:
        return channel.send("result", code=1, output=explain(error)[-TAIL:])
    return channel.send("result", code=0 if result else 2, output=f"returned {result!r}"[:TAIL])


def advice(error: BaseException) -> str:
    """Say what to do about a failure of Alembic, known by what it misses."""
    if isinstance(error, AttributeError) and "'Config' object" in str(error):
        return (
            "env.py reads what the application sets before it runs Alembic: set [project] ini to "
            "one with an env.py of your own (docs/how-to/own-project.md)."
        )
    if isinstance(error, AttributeError) and "has no attribute 'downgrade'" in str(error):
        return "That revision has no downgrade: go back by the backup (--way restore)."
    return (
        "Run alembic by hand to see it whole; what env.py reads is set in [project.env]. Where "
        "only the application can run it, write an env.py of your own (docs/how-to/own-project.md)."
    )


def alembic_operation(request: dict[str, Any], channel: Channel) -> None:
    runner = Runner(request, channel)
    try:
        runner.start()
        if request["op"] == "state":
            return state(request, channel)
        getattr(runner, f"op_{request['op']}")()
    except Refused:
        raise
    except (Exception, SystemExit) as error:
        if runner.redirect.failure and runner.session.context is None:
            raise Refused(
                "unreachable",
                "The project's interpreter cannot reach the database: " + runner.redirect.failure,
                "The address has to work from where the project's interpreter lives.",
            ) from error
        traceback.print_exc()
        raise Refused(
            "project",
            f"The project's Alembic failed: {describe(error, None, runner.overlay)}.",
            advice(error),
        ) from error
    finally:
        if runner.overlay:
            runner.overlay.remove()
    return None
