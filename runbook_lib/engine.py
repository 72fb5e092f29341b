"""Engine: how papermill runs a notebook here, so that its record never says more than is true.

``papermill NOTEBOOK OUT …`` uses it for the runbook's notebooks, ``--engine runbook`` for any.
Against papermill's own engine: cells that did not run stay ``pending`` and the one that died is
``failed``, after ``sys.exit``, the kernel's death, a timeout and a signal too; parameters are held
against the ``parameters`` cell before a kernel starts; every write is atomic, and free of secrets
and machine paths.
"""

from __future__ import annotations

import contextlib
import functools
import math
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from runbook_lib import errors
from runbook_lib.errors import RunbookError
from runbook_lib.evidence import set_aside
from runbook_lib.failures import Interrupted, NotebookFailed, handled
from runbook_lib.files import atomic_write
from runbook_lib.handler import SCHEME, archived_path
from runbook_lib.kernels import end_kernel, last_words, lives, signal_kernel, start_kernel
from runbook_lib.parameters import check_parameters, declared_parameters
from runbook_lib.scrub import Scrub, scrub_for_parameters
from runbook_lib.transcript import Transcript

INTERRUPT_PATIENCE = 5.0
"""Seconds that a cell has to clean up after an interrupt, before its kernel is killed."""


_ON_TARGET = (
    " It was writing to the target: the statement that it had sent may still go on there, and the "
    "next deployment waits for its end. What was committed is found by the next run's audit."
)


class RunbookEngine:
    """The engine ``runbook`` (entry point ``papermill.engine``); it owns every kernel it runs in.

    papermill's own classes are not imported here: papermill loads this module while it is itself
    being imported.
    """

    current: ClassVar[Running | None] = None

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        *,
        input_path: str = "",
        scrub: Scrub | None = None,
        km: Any = None,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        stdout_file: Any = None,
        stderr_file: Any = None,
        **_ignored: Any,
    ) -> Any:
        """Run a parameterised notebook in a fresh kernel, or in ``km``, a kernel started before.

        Raises ConfigurationError on wrong parameters, NotebookFailed when the notebook does not
        run to its end, Interrupted on SIGINT or SIGTERM.
        """
        install()
        running: Running | None = None
        try:
            transcript = _prepare(nb, input_path, output_path, scrub)
            running = Running(transcript, km, kernel_name, start_timeout, execution_timeout)
            running.streams = (stdout_file, stderr_file)
            cls.current = running
            with _signals(running):
                running.run()
        except NotebookFailed:
            raise
        except RunbookError as error:
            raise NotebookFailed.of(error) from None
        finally:
            cls.current = None
            if running is None and km is not None:
                end_kernel(km)
        return transcript.notebook

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        return name or str(nb.metadata.get("kernelspec", {}).get("name") or "python3")

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        told = nb.metadata.get("kernelspec", {}).get("language")
        return language or str(told or nb.metadata.get("language_info", {}).get("name", "python"))


class DefaultEngine(RunbookEngine):
    """What ``papermill`` uses when no engine is named: ours for a notebook with a verdict of ours
    in it, so that the plain command tells the truth too; for any other, the one that was there."""

    former: ClassVar[Any] = None

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, *args: Any, **options: Any) -> Any:
        chosen = RunbookEngine if _is_phase(nb) else cls.former
        return chosen.execute_notebook(nb, kernel_name, *args, **options)


def _is_phase(nb: Any) -> bool:
    tags = {tag for cell in nb.cells for tag in cell.metadata.get("tags", [])}
    return {"parameters", "binding", "verdict"} <= tags


def _prepare(nb: Any, input_path: Any, output_path: str | None, scrub: Scrub | None) -> Transcript:
    """Check the parameters, put away what stands where the notebook will, and write it pending."""
    given = dict(nb.metadata.get("papermill", {}).get("parameters", {}))
    name = Path(input_path).stem if isinstance(input_path, str) and input_path else "the notebook"
    check_parameters(given, declared_parameters(_parameters_source(nb)), name)
    writer = _writer(output_path) if output_path else None
    transcript = Transcript(nb, writer, scrub or scrub_for_parameters(_defaults(nb) | given))
    transcript.start()
    return transcript


def _writer(output_path: str) -> Callable[[bytes], None]:
    """Return what writes the notebook: atomically, or through papermill to a place elsewhere."""
    from papermill import iorw

    handler = iorw.papermill_io.get_handler(output_path)
    if output_path.startswith(SCHEME):
        path = archived_path(output_path)
    elif isinstance(handler, iorw.LocalHandler):
        path = Path(handler._cwd or "").absolute() / output_path  # not the kernel's --cwd
    else:
        return lambda data: iorw.papermill_io.write(data.decode(), output_path)
    set_aside(path)
    return functools.partial(atomic_write, path)


def _parameters_source(nb: Any) -> str:
    for cell in nb.cells:
        if "parameters" in cell.metadata.get("tags", []):
            return str(cell.source)
    return ""


def _defaults(nb: Any) -> dict[str, Any]:
    return {item.name: item.default for item in declared_parameters(_parameters_source(nb))}


class Running:
    """One notebook that is being run; ``interrupt`` may be called from a signal handler."""

    def __init__(
        self,
        transcript: Transcript,
        km: Any,
        kernel_name: str,
        start_timeout: float,
        execution_timeout: float | None,
    ) -> None:
        self.transcript = transcript
        self.signal = 0
        self.streams: tuple[Any, Any] = (None, None)
        self.client = NotebookClient(
            transcript.notebook,
            km=km,
            kernel_name=kernel_name,
            startup_timeout=int(start_timeout),
            timeout=math.ceil(execution_timeout) if execution_timeout else None,
            iopub_timeout=60,
            raise_on_iopub_timeout=True,
        )

    def run(self) -> None:
        """Run every cell in order. Raises NotebookFailed at the first that does not succeed."""
        failed = True
        try:
            with self._kernel():
                for index, cell in enumerate(self.transcript.notebook.cells):
                    self._run_cell(index, cell)
                self._keep_language()
            failed = False
        finally:
            self.transcript.end(failed)

    @contextlib.contextmanager
    def _kernel(self) -> Iterator[None]:
        """Have a kernel; end it in any case, at once when the notebook failed."""
        try:
            if self.client.km is not None and not lives(self.client.km):
                end_kernel(self.client.km)
                self.client.km = None
            if self.client.km is None:
                self.client.km = start_kernel(self.client.kernel_name)
            with self.client.setup_kernel(cleanup_kc=False):
                yield
        except (RuntimeError, TimeoutError) as error:
            raise self._failure("The kernel did not start", error) from None
        finally:
            if self.client.kc is not None:
                self.client.kc.stop_channels()
            if self.client.km is not None:
                end_kernel(self.client.km)

    def _run_cell(self, index: int, cell: Any) -> None:
        if self.signal:
            raise self._interrupted(index)
        self.transcript.cell_started(cell)
        failed = True
        try:
            self.client.execute_cell(cell, index)
            self._require_run(index, cell)
            failed = False
        except (CellExecutionError, DeadKernelError, CellTimeoutError) as error:
            raise self._explained(index, error) from None
        finally:
            self.transcript.cell_ended(cell, failed)
            self._pass_on(cell)

    def _require_run(self, index: int, cell: Any) -> None:
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            raise NotebookFailed(f"Cell {index} has no execution count: it did not run.")

    def _explained(self, index: int, error: Exception) -> NotebookFailed:
        if self.signal:
            return self._interrupted(index)
        if isinstance(error, CellExecutionError):
            return self._raised(index, error)
        if isinstance(error, CellTimeoutError) and "IOPub" in str(error):
            return NotebookFailed(f"The output of cell {index} did not arrive within 60 s.")
        if isinstance(error, CellTimeoutError):
            return NotebookFailed(
                f"Cell {index} took longer than {self.client.timeout} s and was ended.",
                "The cells after it did not run. Give it more time or find out what it waits for."
                + self._at_work(index),
            )
        return NotebookFailed(
            f"The kernel died in cell {index}.",
            "The cells after it did not run. Was it killed, or out of memory?"
            + self._last_words()
            + self._at_work(index),
        )

    def _last_words(self) -> str:
        said = self.transcript.scrub.clean(last_words(self.client.km))
        return f" It said last: {said}" if said else ""

    def _at_work(self, index: int) -> str:
        """Warn where a statement may go on in the database without the kernel that sent it."""
        tags = self.transcript.notebook.cells[index].metadata.get("tags", [])
        return _ON_TARGET if "apply" in tags else ""

    def _raised(self, index: int, error: CellExecutionError) -> NotebookFailed:
        """The error of a cell: one of ours keeps its words and its exit code."""
        if error.ename == "SystemExit":
            return NotebookFailed(
                f"Cell {index} left the notebook with sys.exit({error.evalue}).",
                "The cells after it did not run, so this proves nothing.",
                ename=error.ename,
            )
        text = self.transcript.scrub.clean(error.evalue)
        known = getattr(errors, error.ename, None)
        if isinstance(known, type) and issubclass(known, RunbookError):
            return NotebookFailed(text, exit_code=known.exit_code, ename=error.ename)
        return NotebookFailed(
            f"Cell {index} raised {error.ename}: {text.rstrip('.')}.",
            ename=error.ename,
            exit_code=1,
        )

    def _interrupted(self, index: int) -> Interrupted:
        name = signal.Signals(self.signal).name
        return Interrupted(
            f"{name} ended the run in cell {index}.",
            "Run again: it begins anew, and what was transcripted so far is kept."
            + self._at_work(index),
            exit_code=128 + self.signal,
            ename="Interrupted",
        )

    def _failure(self, what: str, error: Exception) -> RunbookError:
        if isinstance(error, NotebookFailed):
            return error
        if self.signal:
            return self._interrupted(0)
        reason = self.transcript.scrub.clean(str(error)).splitlines()
        return NotebookFailed(f"{what}: {reason[0] if reason else type(error).__name__}.")

    def _keep_language(self) -> None:
        reply = self.client.wait_for_reply(self.client.kc.kernel_info())
        if reply is not None:
            self.transcript.notebook.metadata["language_info"] = reply["content"]["language_info"]

    def _pass_on(self, cell: Any) -> None:
        """Copy a cell's streams to the files that papermill's command was given."""
        for output in cell.get("outputs", []):
            stream = self.streams[0] if output.get("name") == "stdout" else self.streams[1]
            if output.output_type == "stream" and stream is not None:
                stream.write(self.transcript.scrub.clean(output.text))

    def interrupt(self, number: int, _frame: types.FrameType | None = None) -> None:
        """End the running cell: first by an interrupt, so that it can clean up, then by force."""
        first, self.signal = not self.signal, number
        km = self.client.km
        if km is None or not km.has_kernel:
            return
        if not first:
            signal_kernel(km, signal.SIGKILL)
            return
        signal_kernel(km, signal.SIGINT)
        timer = threading.Timer(INTERRUPT_PATIENCE, signal_kernel, (km, signal.SIGKILL))
        timer.daemon = True
        timer.start()


@contextlib.contextmanager
def _signals(running: Running) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the notebook in order; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with handled(running.interrupt):
        yield


def install() -> None:
    """Give papermill our default engine, and atomic writes of local files: its own truncate."""
    engines = sys.modules.get("papermill.engines")
    registry = getattr(engines, "papermill_engines", None)
    if registry is not None and registry._engines.get(None) is not DefaultEngine:
        DefaultEngine.former = registry._engines[None]
        registry.register(None, DefaultEngine)
    iorw: Any = sys.modules.get("papermill.iorw")
    for _scheme, handler in iorw.papermill_io._handlers if iorw else ():
        if isinstance(handler, iorw.LocalHandler) and "write" not in vars(handler):
            handler.write = types.MethodType(_atomic_local_write, handler)


def _atomic_local_write(handler: Any, buffer: str, path: str) -> None:
    folder = Path(handler._cwd or ".")
    try:
        atomic_write(folder / path, buffer.encode() + b"\n" * (not buffer.endswith("\n")))
    except RunbookError as error:
        raise NotebookFailed.of(error) from None


install()
