"""Runner: string the notebooks of one run together through papermill, show progress, seal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.engines import papermill_engines

from runbook_lib import index, pages, record
from runbook_lib.closing import DEPLOYMENT, begin, plan_digest, results, seal_run, verdict_of
from runbook_lib.config import Environment, find_config, load_environment
from runbook_lib.engine import RunbookEngine
from runbook_lib.errors import RunbookError
from runbook_lib.evidence import LEFT, PHASES, PhaseResult, PhaseStatus, RunFolder, locked
from runbook_lib.failures import Interrupted, NotebookFailed, handled
from runbook_lib.handler import notebook_path
from runbook_lib.kernels import end_kernel, start_kernel, sweep_kernels
from runbook_lib.parameters import declared_parameters
from runbook_lib.scrub import Scrub, scrub_for
from runbook_lib.seal import Sealed, require_key

ALL = PHASES[:-1]  # a rollback is never part of a run
WARM = ("runbook_lib.session", "runbook_lib.phases")
Echo = Callable[[str], Any]

_STATUS: dict[str, PhaseStatus] = {"ApprovalNeeded": "approval-needed", "SafetyError": "refused"}
_WORDS = {"passed": "ok", "approval-needed": "waits for approval"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run: ``verdict`` is "" while it waits for approval or was interrupted.

    ``digest`` is the plan's, "" where there is none; ``sentence`` says why it ended as it did.
    """

    exit_code: int
    digest: str
    folder: RunFolder
    verdict: str
    sentence: str = ""


def run(
    environment_name: str,
    *,
    config: str = "",
    approve: str = "",
    by: str = "",
    phases: Sequence[str] = ALL,
    parameters: Mapping[str, Any] | None = None,
    echo: Echo = print,
    notebooks: Path | None = None,
) -> Outcome:
    """Run the notebooks for one environment, in order, and seal what they leave behind.

    ``approve`` is the digest of the plan that waits (or at least 12 digits of its start): the
    same run goes on at its deployment. Without it, a run that was left behind is sealed as
    interrupted and a new one begins. ``parameters`` go to the notebooks that declare them.
    Raises RunbookError before a run has begun; from then on the outcome tells.
    """
    environment = load_environment(environment_name, config)
    name = find_config(name=config).name
    papermill_engines.register("runbook", RunbookEngine)
    require_key()
    for phase in phases:
        notebook_path(phase, notebooks)
    sweep_kernels()
    with locked(environment), _interruptible():
        folder, todo = begin(environment, approve, tuple(phases))
        conductor = Conductor(
            environment=environment,
            config=name,
            folder=folder,
            scrub=scrub_for(environment),
            echo=echo,
            notebooks=notebooks,
            given={**(parameters or {}), "approve": approve, "by": by},
        )
        return conductor.conduct(todo, tuple(phases))


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Turn signals into Interrupted between notebooks; the engine does within them."""

    def stop(number: int, _frame: types.FrameType | None) -> None:
        raise Interrupted(
            f"{signal.Signals(number).name} ended the run.",
            "Run again: it begins anew.",
            exit_code=128 + number,
            ename="Interrupted",
        )

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with handled(stop):
        yield


@dataclass(kw_only=True)
class Conductor:
    """One run at work: the kernel that is getting ready, and the pages that are being made."""

    environment: Environment
    config: str
    folder: RunFolder
    scrub: Scrub
    echo: Echo
    notebooks: Path | None
    given: dict[str, Any]
    kernel: Any = None
    pages: dict[str, Future[Any]] = field(default_factory=dict)

    def conduct(self, todo: tuple[str, ...], phases: tuple[str, ...]) -> Outcome:
        """Run the phases until one does not pass; then make the pages, seal, and sum up."""
        self.echo(f"{self.environment.name}: run {self.folder.name}")
        with ThreadPoolExecutor(1, thread_name_prefix="pages") as pool:
            try:
                last = self._run_all(todo, pool)
            except Interrupted as stop:
                return self._interrupted(stop)
            finally:
                self._drop_kernel()
            self._collect_pages()
        return self._finish(last, phases)

    def _collect_pages(self) -> None:
        """Wait for the pages. One that cannot be made must not cost the run its seal."""
        for phase, page in self.pages.items():
            error = page.exception()
            if error is not None:
                self.folder.append_event("no-page", phase, reason=type(error).__name__)
                self.echo(f"{phase}.html could not be made ({type(error).__name__}).")

    def _run_all(self, todo: tuple[str, ...], pool: ThreadPoolExecutor) -> PhaseResult:
        self.kernel = self._warm_kernel()
        for phase, following in zip(todo, (*todo[1:], ""), strict=True):
            ready, self.kernel = self.kernel, None
            if following:
                self.kernel = self._warm_kernel()
            result = self._run_phase(phase, ready)
            self.pages[phase] = pool.submit(pages.publish, self.folder, phase)
            if result.status != "passed":
                break
        return result

    def _warm_kernel(self) -> Any:
        return start_kernel(modules=WARM, cwd=self.environment.folder)

    def _drop_kernel(self) -> None:
        if self.kernel is not None:
            end_kernel(self.kernel)
            self.kernel = None

    def _run_phase(self, phase: str, kernel: Any) -> PhaseResult:
        """Run one notebook and say how it ended, in one line."""
        self.folder.supersede(f"{phase}.result.json")
        self.folder.append_event("started", phase)
        _announce(phase)
        begun = time.monotonic()
        failure: RunbookError | None = None
        try:
            self._execute(phase, kernel)
        except Interrupted:
            raise
        except RunbookError as error:
            failure = error
        try:
            result = self._conclude(phase, failure, round(time.monotonic() - begun, 1))
            event = {"passed": "finished"}.get(result.status, result.status)
            self.folder.append_event(event, phase, seconds=result.seconds, sentence=result.sentence)
        except RunbookError as error:  # a full disk, for one: the target matters more than a file
            error.hint = f"{error.hint} {self._written(phase)}".strip()
            raise
        self.echo(self.scrub.clean(_line(result)))
        return result

    def _execute(self, phase: str, kernel: Any) -> None:
        path = notebook_path(phase, self.notebooks)
        papermill.execute_notebook(
            str(path.resolve()),
            str((self.folder.path / f"{phase}.ipynb").resolve()),
            parameters=self._parameters(path),
            engine_name="runbook",
            progress_bar=False,
            cwd=str(self.environment.folder),
            km=kernel,
            scrub=self.scrub,
        )

    def _parameters(self, path: Path) -> dict[str, Any]:
        """What the notebook is told: only parameters that it declares and that have a value."""
        cells = nbformat.read(path, as_version=4).cells
        source = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
        declared = {item.name for item in declared_parameters("\n".join(source))}
        known = {
            "environment": self.environment.name,
            "run": self.folder.name,
            "config": self.config,
            **self.given,
        }
        return {name: value for name, value in known.items() if value and name in declared}

    def _conclude(self, phase: str, failure: RunbookError | None, seconds: float) -> PhaseResult:
        """Read the phase's own verdict, or write one for it: a phase that wrote none failed."""
        name = f"{phase}.result"
        if self.folder.has(name):
            told = self.folder.read(name, PhaseResult)
            if failure is None or told.status != "passed":
                return replace(told, seconds=seconds)
            self.folder.supersede(f"{name}.json")
        if failure is None:
            failure = NotebookFailed(
                f"{phase} ran to its end without writing its verdict.",
                "It proves nothing: its last code cell has to conclude the phase.",
            )
        ename = getattr(failure, "ename", "") or type(failure).__name__
        result = PhaseResult(
            phase=phase,
            status=_STATUS.get(ename, "failed"),
            sentence=f"{self.scrub.clean(str(failure))} {self._written(phase)}".strip(),
            seconds=seconds,
            exit_code=failure.exit_code,
        )
        self.folder.write(name, result)
        return result

    def _written(self, phase: str) -> str:
        """Say what a phase that did not get to its verdict may have left on the target."""
        told = [event["event"] for event in self.folder.events() if event.get("phase") == phase]
        return next((LEFT[event] for event in reversed(told) if event in LEFT), "")

    def _interrupted(self, stop: Interrupted) -> Outcome:
        """Leave the folder unsealed: the next run settles it."""
        self.folder.append_event("interrupted", reason=stop.message)
        self.echo(str(stop))
        return Outcome(
            exit_code=stop.exit_code,
            digest="",
            folder=self.folder,
            verdict="",
            sentence=str(stop),
        )

    def _finish(self, last: PhaseResult, phases: tuple[str, ...]) -> Outcome:
        digest = plan_digest(self.folder)
        if last.status == "approval-needed" and DEPLOYMENT in phases:
            record.write(self.folder, results(self.folder), "waiting", self.scrub)
            index.write(self.environment.outputs)
            return self._waiting(last, digest)
        verdict = verdict_of(self.folder, last, phases)
        exit_code = last.exit_code or (1 if verdict == "failed" else 0)
        try:
            sealed = seal_run(self.folder, verdict, self.scrub)
            index.write(self.environment.outputs)
        except RunbookError as error:
            self.echo(str(error))
            return self._outcome(error.exit_code, digest, "", str(error))
        self._sum_up(verdict, sealed)
        return self._outcome(exit_code, digest, verdict, last.sentence)

    def _waiting(self, last: PhaseResult, digest: str) -> Outcome:
        name = self.environment.name
        self.echo(
            f"\nThe plan {digest} waits for approval.\n"
            f"Read {_relative(self.folder.path / 'record.html')}, then approve and go on with:\n"
            f"  runbook run -e {name} --approve {digest} --by NAME"
        )
        return self._outcome(last.exit_code, digest, "", last.sentence)

    def _sum_up(self, verdict: str, sealed: Sealed) -> None:
        self.echo("")
        for line in summary(results(self.folder)):
            self.echo(self.scrub.clean(line))
        self.echo(f"\nVerdict: {verdict}. Archive: {_relative(self.folder.path)}")
        self.echo(f"SHA-256 of its run.json: {sealed.sha256}")

    def _outcome(self, exit_code: int, digest: str, verdict: str, sentence: str) -> Outcome:
        return Outcome(
            exit_code=exit_code,
            digest=digest,
            folder=self.folder,
            verdict=verdict,
            sentence=sentence,
        )


def _line(result: PhaseResult) -> str:
    word = _WORDS.get(result.status, result.status)
    return f"{result.phase} … {result.seconds:.1f} s {word}  {result.sentence}"


def summary(found: Sequence[PhaseResult]) -> tuple[str, ...]:
    """Return a plain table, one line a phase: phase, status, seconds, sentence."""
    rows = [("phase", "status", "seconds", "")]
    rows += [
        (item.phase, _WORDS.get(item.status, item.status), f"{item.seconds:.1f}", item.sentence)
        for item in found
    ]
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    return tuple(
        f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}  {d}".rstrip() for a, b, c, d in rows
    )


def _announce(phase: str) -> None:
    """On a terminal, say what is being run; the line is overwritten when it has ended."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{phase} …\r")
        sys.stderr.flush()


def _relative(path: Path) -> str:
    """The path from where the user stands, as long as that does not leave the folder."""
    near = os.path.relpath(path)
    return (
        near
        if not near.startswith("..")
        else f"{path.parent.parent.name}/" + "/".join(path.parts[-2:])
    )
