"""Engine: how papermill runs a notebook here, so that its record never says more than is true.

``papermill --engine runbook NOTEBOOK OUT …`` uses it. Against papermill's own engine:
cells that did not run stay ``pending`` and the one that died is ``failed``, after ``sys.exit``,
the kernel's death, a timeout and a signal too; parameters are held against the ``parameters``
cell before a kernel starts; every write is atomic, and free of secrets and machine paths.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
import types
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import click
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from runbook_lib import errors
from runbook_lib.errors import ConfigurationError, RunbookError
from runbook_lib.evidence import RunFolder, atomic_write
from runbook_lib.parameters import check_parameters, declared_parameters
from runbook_lib.scrub import Scrub, scrub_for_parameters

PENDING, RUNNING, COMPLETED, FAILED = "pending", "running", "completed", "failed"
INTERRUPT_PATIENCE = 5.0
"""Seconds that a cell has to clean up after an interrupt, before its kernel is killed."""


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


class Interrupted(NotebookFailed):
    """The run was ended by a signal; the exit code is 128 plus its number, as in a shell."""


class Record:
    """The state of one notebook while it runs, and its file. papermill's manager, made strict."""

    def __init__(self, notebook: Any, output: Path | None, scrub: Scrub) -> None:
        self.notebook = notebook
        self.output = output
        self.scrub = scrub
        self.started = datetime.now(UTC)
        self.done: dict[int, Any] = {}

    def start(self) -> None:
        """Clear what an earlier run left in the notebook, and save."""
        self.notebook.metadata.setdefault("papermill", {})
        self.notebook.metadata.papermill.update(
            start_time=_moment(self.started), end_time=None, duration=None, exception=None
        )
        for cell in self.notebook.cells:
            if "injected-parameters" in cell.metadata.get("tags", []):
                cell.id = "injected-parameters"
            cell.metadata.papermill = {
                "exception": None,
                "start_time": None,
                "end_time": None,
                "duration": None,
                "status": PENDING,
            }
            if cell.cell_type == "code":
                cell.execution_count = None
                cell.outputs = []
        self.save()

    def cell_started(self, cell: Any) -> None:
        cell.metadata.papermill.update(
            status=RUNNING, start_time=_moment(datetime.now(UTC)), exception=False
        )
        self.save()

    def cell_ended(self, cell: Any, failed: bool) -> None:
        mark = cell.metadata.papermill
        mark.update(status=FAILED if failed else COMPLETED, exception=failed)
        mark.update(_times(datetime.fromisoformat(mark["start_time"])))
        self.done[id(cell)] = self.scrub.clean_data(cell)
        self.save()

    def end(self, failed: bool) -> None:
        """Save for the last time; from here on the notebook in memory is the cleaned one too."""
        self.notebook.metadata.papermill.update(_times(self.started))
        self.notebook.metadata.papermill["exception"] = failed or None
        self.done.clear()
        cleaned = self.cleaned()
        self.notebook.metadata = cleaned.metadata
        self.notebook.cells = cleaned.cells
        self.save()

    def cleaned(self) -> Any:
        """Return a copy without secrets and machine paths; cells that have ended are kept."""
        rest = {key: value for key, value in self.notebook.items() if key != "cells"}
        copied = type(self.notebook)(self.scrub.clean_data(rest))
        copied["cells"] = [
            self.done.get(id(cell)) or self.scrub.clean_data(cell) for cell in self.notebook.cells
        ]
        return copied

    def save(self) -> None:
        if self.output is not None:
            atomic_write(self.output, (nbformat.writes(self.cleaned()) + "\n").encode())


def _moment(time: datetime) -> str:
    return time.isoformat()


def _times(started: datetime) -> dict[str, Any]:
    ended = datetime.now(UTC)
    return {"end_time": _moment(ended), "duration": (ended - started).total_seconds()}


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
        install_atomic_writes()
        running: Running | None = None
        try:
            record = _prepare(nb, input_path, output_path, scrub)
            running = Running(record, km, kernel_name, start_timeout, execution_timeout)
        finally:
            if running is None and km is not None:
                end_kernel(km)
        running.streams = (stdout_file, stderr_file)
        cls.current = running
        try:
            with _signals(running):
                running.run()
        finally:
            cls.current = None
        return record.notebook

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        return name or str(nb.metadata.get("kernelspec", {}).get("name") or "python3")

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        told = nb.metadata.get("kernelspec", {}).get("language")
        return language or str(told or nb.metadata.get("language_info", {}).get("name", "python"))


def _prepare(nb: Any, input_path: str, output_path: str | None, scrub: Scrub | None) -> Record:
    given = dict(nb.metadata.get("papermill", {}).get("parameters", {}))
    name = Path(input_path or "notebook.ipynb").stem
    try:
        check_parameters(given, declared_parameters(_parameters_source(nb)), name)
    except ConfigurationError as error:
        raise NotebookFailed(error.message, error.hint, 2, "ConfigurationError") from None
    output = Path(output_path) if output_path else None
    folder = RunFolder.holding(output) if output else None
    if folder and output:
        folder.supersede(output.name)
    record = Record(nb, output, scrub or scrub_for_parameters(_defaults(nb) | given))
    record.start()
    return record


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
        record: Record,
        km: Any,
        kernel_name: str,
        start_timeout: float,
        execution_timeout: float | None,
    ) -> None:
        self.record = record
        self.signal = 0
        self.streams: tuple[Any, Any] = (None, None)
        self.client = NotebookClient(
            record.notebook,
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
                for index, cell in enumerate(self.record.notebook.cells):
                    self._run_cell(index, cell)
                self._keep_language()
            failed = False
        finally:
            self.record.end(failed)

    @contextlib.contextmanager
    def _kernel(self) -> Iterator[None]:
        """Have a kernel; end it in any case, at once when the notebook failed."""
        try:
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
        self.record.cell_started(cell)
        failed = True
        try:
            self.client.execute_cell(cell, index)
            self._require_run(index, cell)
            failed = False
        except (CellExecutionError, DeadKernelError, CellTimeoutError) as error:
            raise self._explained(index, error) from None
        finally:
            self.record.cell_ended(cell, failed)
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
                "The cells after it did not run. Give it more time or find out what it waits for.",
            )
        return NotebookFailed(
            f"The kernel died in cell {index}.",
            "The cells after it did not run. Was it killed, or out of memory?",
        )

    def _raised(self, index: int, error: CellExecutionError) -> NotebookFailed:
        """The error of a cell: one of ours keeps its words and its exit code."""
        if error.ename == "SystemExit":
            return NotebookFailed(
                f"Cell {index} left the notebook with sys.exit({error.evalue}).",
                "The cells after it did not run, so this proves nothing.",
                ename=error.ename,
            )
        text = self.record.scrub.clean(error.evalue)
        known = getattr(errors, error.ename, None)
        if isinstance(known, type) and issubclass(known, RunbookError):
            return NotebookFailed(text, exit_code=known.exit_code, ename=error.ename)
        return NotebookFailed(
            f"Cell {index} raised {error.ename}: {text}", ename=error.ename, exit_code=1
        )

    def _interrupted(self, index: int) -> Interrupted:
        name = signal.Signals(self.signal).name
        return Interrupted(
            f"{name} ended the run in cell {index}.",
            "Run again: it begins anew, and what was recorded so far is kept.",
            exit_code=128 + self.signal,
            ename="Interrupted",
        )

    def _failure(self, what: str, error: Exception) -> RunbookError:
        if isinstance(error, NotebookFailed):
            return error
        if self.signal:
            return self._interrupted(0)
        reason = self.record.scrub.clean(str(error)).splitlines()
        return NotebookFailed(f"{what}: {reason[0] if reason else type(error).__name__}.")

    def _keep_language(self) -> None:
        reply = self.client.wait_for_reply(self.client.kc.kernel_info())
        if reply is not None:
            self.record.notebook.metadata["language_info"] = reply["content"]["language_info"]

    def _pass_on(self, cell: Any) -> None:
        """Copy a cell's streams to the files that papermill's command was given."""
        for output in cell.get("outputs", []):
            stream = self.streams[0] if output.get("name") == "stdout" else self.streams[1]
            if output.output_type == "stream" and stream is not None:
                stream.write(self.record.scrub.clean(output.text))

    def interrupt(self, number: int, _frame: types.FrameType | None = None) -> None:
        """End the running cell: first by an interrupt, so that it can clean up, then by force."""
        first, self.signal = not self.signal, number
        km = self.client.km
        if km is None or not km.has_kernel:
            return
        if not first:
            _signal_kernel(km, signal.SIGKILL)
            return
        _signal_kernel(km, signal.SIGINT)
        timer = threading.Timer(INTERRUPT_PATIENCE, _signal_kernel, (km, signal.SIGKILL))
        timer.daemon = True
        timer.start()


@contextlib.contextmanager
def _signals(running: Running) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the notebook in order; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, running.interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _signal_kernel(km: Any, number: int) -> None:
    """Signal the kernel and the programs that it started: they share a process group."""
    process = getattr(km.provisioner, "process", None)
    if process is not None and process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(os.getpgid(process.pid), number)


def end_kernel(km: Any) -> None:
    """End a kernel for good, with what it started, and remove its connection file."""
    from jupyter_core.utils import run_sync

    _signal_kernel(km, signal.SIGKILL)
    with contextlib.suppress(RuntimeError):
        run_sync(km.shutdown_kernel)(now=True)
    run_sync(km.cleanup_resources)()
    if km.transport == "ipc" and Path(km.ip).parent.name.startswith("runbook-"):
        shutil.rmtree(Path(km.ip).parent, ignore_errors=True)


def start_kernel(
    kernel_name: str = "python3",
    modules: tuple[str, ...] = (),
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Any:
    """Start a kernel without waiting for it, and let it import ``modules`` meanwhile.

    Returns a kernel manager for ``execute_notebook(km=…)``. The kernel listens on Unix sockets in
    a folder that only this user can enter, and not on the network.
    """
    from jupyter_client.kernelspec import NoSuchKernel
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync

    folder = Path(tempfile.mkdtemp(prefix="runbook-"))
    km = AsyncKernelManager(kernel_name=kernel_name, transport="ipc", ip=str(folder / "k"))
    code = _IMPORTS.format(modules=modules).strip()
    options: dict[str, Any] = {"cwd": str(cwd)} if cwd else {}
    if env is not None:
        options["env"] = dict(env)
    arguments = [f"--IPKernelApp.exec_lines={code}"] if modules else []
    try:
        run_sync(km.start_kernel)(extra_arguments=arguments, **options)
    except NoSuchKernel as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ConfigurationError(
            f"There is no Jupyter kernel {kernel_name!r}.",
            "Install one with: python -m ipykernel install --sys-prefix",
        ) from error
    return km


_IMPORTS = """
import contextlib as _c, importlib as _i
for _m in {modules!r}:
    with _c.suppress(ImportError):
        _i.import_module(_m)
del _c, _i, _m
"""


def install_atomic_writes() -> None:
    """Let papermill's own last write of a local file be atomic too (it truncates in place)."""
    from papermill import iorw

    for _scheme, handler in iorw.papermill_io._handlers:
        if isinstance(handler, iorw.LocalHandler) and "write" not in vars(handler):
            handler.write = types.MethodType(_atomic_local_write, handler)


def _atomic_local_write(handler: Any, buffer: str, path: str) -> None:
    folder = Path(handler._cwd or ".")
    atomic_write(folder / path, buffer.encode() + b"\n" * (not buffer.endswith("\n")))


if "papermill.iorw" in sys.modules:
    install_atomic_writes()
