"""Conversation: one agent process, what it is sent and what it answers, line by line."""

from __future__ import annotations

import json
import marshal
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import resources
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import IO, Any

from runbook_lib.errors import ConfigurationError

Event = Mapping[str, Any]
Progress = Callable[[Event], None]
"""Is called with each event: ``event`` is started, statement, finished, failed or skipped,
``revision`` the id; started has ``number`` and ``total``, finished and failed have ``seconds``."""

BOOTSTRAP = (
    "import sys;s=sys.stdin.buffer;"
    "n=s.readline()or sys.exit('nothing came over its standard input; docker exec and kubectl exec"
    " need -i, docker compose exec needs -T');"
    "n,m=map(int,n.split());t=s.read(n);"
    "exec(compile(t,'runbook-agent','exec'),{'__name__':'__main__','CODE':s.read(m)})"
)


# Imports the agent's modules, compiled where this Python can read CODE and else from their texts,
# under a name that no project has. The current folder comes off the path before the first import: a
# project may have a module types, or enum.
LOADER = """
import sys
sys.path[:] = [path for path in sys.path if path]
import importlib.abc, importlib.util, marshal, os

MAGIC = importlib.util.MAGIC_NUMBER
CODES = marshal.loads(CODE[len(MAGIC):]) if CODE.startswith(MAGIC) else {}

class Loader(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.util.spec_from_loader(name, self, is_package=name == "runbook_agent")

    def get_source(self, name):
        return SOURCES[name]

    def get_code(self, name):
        return CODES.get(name) or super().get_code(name)

sys.meta_path.insert(0, Loader())
from runbook_agent.main import main
code = main()
sys.stderr.flush()
os._exit(code)  # threads of the project must not keep the process
"""


@cache
def agent_source() -> bytes:
    """Return the text of the agent as it is sent: one script that holds all of its modules."""
    return f"SOURCES = {_texts()!r}\n{LOADER}".encode()


@cache
def agent_code() -> bytes:
    """Return the agent's modules compiled, for another Python of this one's version."""
    codes = {name: compile(text, f"{name}.py", "exec") for name, text in _texts().items()}
    return MAGIC_NUMBER + marshal.dumps(codes)


def _texts() -> dict[str, str]:
    return {
        ".".join(["runbook_agent", *([] if file.name == "__init__.py" else [file.name[:-3]])]):
        file.read_text("utf-8").replace("runbook_lib.agent", "runbook_agent")
        for file in sorted(resources.files("runbook_lib.agent").iterdir(), key=lambda f: f.name)
        if file.name.endswith(".py")
    }  # fmt: skip


class Conversation:
    """One agent process: what is sent to it, what it answers, and how it ended."""

    def __init__(self, argv: Sequence[str], folder: Path, timeout: float = 0) -> None:
        self.argv = argv
        self.folder = folder
        self.timeout = timeout
        self.answered = False
        self.timed_out = False
        self.code = 0
        self._noise: deque[str] = deque(maxlen=200)

    @property
    def last_words(self) -> str:
        """What it said at last; of a traceback only the error: its lines mean nothing here."""
        lines = [line.rstrip() for line in self._noise if line.strip()]
        if any(line.startswith("Traceback ") for line in lines):
            lines = [line for line in lines if not line.startswith(("Traceback ", " "))]
        return " / ".join(line.strip() for line in lines[-5:])

    @contextmanager
    def open(self) -> Iterator[Iterator[Event]]:
        """Start the process; whatever happens inside, it has ended when the block is left."""
        process = self._start()
        self._process = process
        listener = threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)
        listener.start()
        timer = threading.Timer(self.timeout, self._expire) if self.timeout else None
        if timer:
            timer.start()
        try:
            yield self._answers(process.stdout)
        finally:
            if timer:
                timer.cancel()
            self._end(process)
            listener.join(timeout=2)
            if process.stderr and not listener.is_alive():  # else a grandchild still holds it
                process.stderr.close()

    def send(self, request: str, *, code: bytes = b"") -> None:
        """Write the agent and one request; a process that has died is told by its end.

        ``code`` is ``agent_code()`` where the other side is likely to be able to use it.
        """
        stream, source = self._process.stdin, agent_source()
        assert stream is not None
        with suppress(BrokenPipeError):
            stream.write(b"%d %d\n" % (len(source), len(code)))
            stream.write(source + code + request.encode() + b"\n")
            stream.flush()

    def go_on(self) -> None:
        """Tell an agent that waits for its database that it is there."""
        stream = self._process.stdin
        assert stream is not None
        with suppress(BrokenPipeError):
            stream.write(b"\n")
            stream.flush()

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self.argv,
                cwd=self.folder,
                start_new_session=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise ConfigurationError(
                f"{Path(self.argv[0]).name} cannot be run ({error.strerror}).",
                "Check [project] exec and python in runbook.toml.",
            ) from error

    def _answers(self, stream: IO[bytes] | None) -> Iterator[Event]:
        assert stream is not None
        for line in stream:
            try:
                event = json.loads(line)
                kind = event["event"]
            except (ValueError, TypeError, KeyError):
                self._noise.append(line.decode(errors="replace"))  # a banner of ssh's, say
                continue
            self.answered = self.answered or bool(kind)
            yield event

    def _listen(self, stream: IO[bytes] | None) -> None:
        with suppress(ValueError):
            for line in stream or ():
                self._noise.append(line.decode(errors="replace"))

    def _expire(self) -> None:
        self.timed_out = True
        self._kill(self._process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Close its input, which ends the agent on the other side too, and wait for it."""
        with suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            self.code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._kill(process)
            self.code = process.wait()
        if process.stdout:
            process.stdout.close()

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
