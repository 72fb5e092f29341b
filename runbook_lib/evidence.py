"""Evidence: the folder of one run, its events and artifacts, and who may write there."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from runbook_lib.artifacts import Artifact, from_json
from runbook_lib.config import Environment
from runbook_lib.errors import GateError, RunbookError, SafetyError
from runbook_lib.files import atomic_write, numbered, pretty, read_plain, writing

PHASES = (
    "00_current_state",
    "01_backup",
    "02_audit",
    "03_cleanup",
    "04_validation",
    "05_deployment",
    "06_prevention",
    "90_rollback",
)
SEAL = "run.json"
SIGNATURE = "run.json.dsse"
EVENTS = "events.jsonl"
SUPERSEDED = "superseded"
LOCK = ".lock"
LEFT = {
    "applying": "The target was being written to: some steps may be in force.",
    "applied": "Every step is in force on the target, and was not read back.",
    "step failed": "A step failed on the target; what came of it was not read back.",
    "rolling back": "The target was being taken back: that may be done or not.",
    "rolled back": "The target was taken back, and was not read back.",
}
"""What the last event that tells of a write to the target may have left there."""
RUNNER_VARIABLE = "RUNBOOK_RUNNER_PID"
_STAMP = "%Y%m%dT%H%M%SZ"
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")

PhaseStatus = Literal["passed", "failed", "approval-needed", "refused", "interrupted"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult(Artifact):
    """How one phase ended: one sentence for people, ``seconds`` of wall time, an exit code."""

    phase: str
    status: PhaseStatus
    sentence: str
    seconds: float = 0.0
    exit_code: int = 0


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return moment(datetime.now(UTC))


def moment(time: datetime) -> str:
    """Return a time in UTC as every artifact and event writes it."""
    return time.strftime(_MOMENT)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """``outputs/<environment>/<UTC time>-<run>/``: everything that one run leaves behind."""

    path: Path

    @classmethod
    def open(cls, environment: Environment, run: str = "latest") -> RunFolder:
        """Open a run's folder: ``latest`` (newest unsealed, else a new one), ``new`` or a name.

        Raises SafetyError while another process runs this environment, and GateError when no
        run has the given name.
        """
        require_free(environment)
        home = environment.outputs / environment.name
        runs = cls.all(home)
        if run == "latest" and runs and not runs[-1].sealed:
            return runs[-1]
        if run in ("latest", "new"):
            return cls._create(home, runs)
        return cls._named(run, runs)

    @classmethod
    def _create(cls, home: Path, runs: tuple[RunFolder, ...]) -> RunFolder:
        """Make a folder whose name sorts behind all others, also within the same second."""
        moment = datetime.now(UTC)
        if runs:
            newest = datetime.strptime(runs[-1].name[:16], _STAMP).replace(tzinfo=UTC)
            moment = max(moment, newest + timedelta(seconds=1))
        folder = cls(home / f"{moment.strftime(_STAMP)}-{secrets.token_hex(3)}")
        with writing(f"outputs/{home.name}/{folder.name}"):
            folder.path.mkdir(parents=True)
        folder.append_event("opened")
        return folder

    @classmethod
    def _named(cls, run: str, runs: tuple[RunFolder, ...]) -> RunFolder:
        for folder in runs:
            if folder.name == run:
                return folder
        names = [folder.name for folder in runs]
        near = difflib.get_close_matches(run, names, 3, 0.4) or names[-3:]
        raise GateError(
            f"There is no run {run!r}.",
            f"Near it: {', '.join(near)}." if near else "This environment has no runs yet.",
        )

    @classmethod
    def all(cls, home: Path) -> tuple[RunFolder, ...]:
        """Every run below ``outputs/<environment>``, the oldest first."""
        if not home.is_dir():
            return ()
        names = sorted(item.name for item in home.iterdir() if _NAME.fullmatch(item.name))
        return tuple(cls(home / name) for name in names)

    @classmethod
    def waiting(cls, environment: Environment) -> RunFolder:
        """Return the newest run that waits for approval. Raises GateError when there is none."""
        require_free(environment)
        found = [run for run in cls.all(environment.outputs / environment.name) if run.waits]
        if not found:
            raise GateError(
                f"No run of {environment.name} waits for approval.",
                f"Run: runbook run -e {environment.name}",
            )
        return found[-1]

    @classmethod
    def holding(cls, path: Path) -> RunFolder | None:
        """Return the run's folder in which a file lies directly, if it is one."""
        folder = path.resolve().parent
        is_run = _NAME.fullmatch(folder.name) and (folder / EVENTS).exists()
        return cls(folder) if is_run else None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def environment(self) -> str:
        return self.path.parent.name

    def ahead_of(self, at: str) -> bool:
        """Say whether the time in the run's name is later than ``at``, an event's, by a minute."""
        try:
            begun = datetime.strptime(at, _MOMENT)
            return datetime.strptime(self.name[:16], _STAMP) - begun > timedelta(minutes=1)
        except ValueError:
            return False

    @property
    def sealed(self) -> bool:
        return (self.path / SEAL).exists()

    @property
    def waits(self) -> bool:
        """Say whether the run is planned, unsealed, and nothing of the plan was applied yet."""
        return not self.sealed and self.has("plan") and "applying" not in self.happened

    @property
    def happened(self) -> frozenset[str]:
        """The names of the events in the run's log."""
        return frozenset(str(event.get("event")) for event in self.events())

    @property
    def last_write(self) -> str:
        """The last event that tells of a write to the target, or ""."""
        told = [str(event.get("event")) for event in self.events()]
        return next((event for event in reversed(told) if event in LEFT), "")

    def has(self, name: str) -> bool:
        return self._file(name).is_file()

    def read(self, name: str, cls: type[T]) -> T:
        """Read an artifact. Raises GateError when it is not there, ConfigurationError when bad."""
        try:
            data = json.loads(self._file(name).read_text())
        except FileNotFoundError as error:
            raise GateError(
                f"The run {self.name} has no {self._file(name).name} yet.",
                "Run the notebook that makes it first.",
            ) from error
        except (ValueError, RecursionError) as error:
            raise GateError(
                f"{self._file(name).name} of the run {self.name} is not JSON.",
                "It was changed; run the notebook that makes it again.",
            ) from error
        return data if cls is dict else from_json(cls, data)

    def write(self, name: str, artifact: Any) -> Path:
        """Write an artifact (or JSON data) atomically; what stood there is kept as superseded."""
        return self.write_bytes(self._file(name).name, pretty(artifact))

    def write_text(self, file: str, text: str) -> Path:
        return self.write_bytes(file, text.encode())

    def write_bytes(self, file: str, data: bytes) -> Path:
        """Write any file of the run. Raises SafetyError when the run is sealed."""
        path = self.path / file
        self.require_open()
        if path.is_file() and path.read_bytes() == data:
            return path
        self.supersede(file)
        atomic_write(path, data)
        return path

    def supersede(self, file: str) -> None:
        """Move a former file away, numbered, so that nothing good is ever overwritten."""
        path = self.path / file
        self.require_open()
        if not path.exists():
            return
        with writing(file):
            attic = self.path / SUPERSEDED
            attic.mkdir(exist_ok=True)
            path.rename(numbered(attic, path))

    def require_open(self) -> None:
        if self.sealed:
            raise SafetyError(
                f"The run {self.name} is sealed; nothing may be written to it.",
                "Use run = 'latest' or run = 'new'.",
            )

    def append_event(self, event: str, phase: str = "", **detail: str | float) -> None:
        """Add one line to the run's event log, with the time in UTC."""
        self.require_open()
        line = {"at": now(), "event": event, **({"phase": phase} if phase else {}), **detail}
        data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        with writing(EVENTS), (self.path / EVENTS).open("ab", buffering=0) as stream:
            stream.write(data)
            os.fsync(stream.fileno())

    def events(self) -> tuple[dict[str, Any], ...]:
        """Read the event log; a last line that was cut off by a crash is left out, and so is what
        is no plain file.
        """
        try:
            lines = read_plain(self.path / EVENTS).decode(errors="replace").splitlines()
        except OSError:
            return ()
        found = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                found.append(json.loads(line))
        return tuple(item for item in found if isinstance(item, dict))

    def _file(self, name: str) -> Path:
        return self.path / (name if name.endswith(".json") else f"{name}.json")


def set_aside(path: Path) -> None:
    """Make room for a notebook without losing a good one: an executed one gets a number.

    In a run's folder whatever stands there is kept as superseded; raises SafetyError when the run
    is sealed.
    """
    folder = RunFolder.holding(path)
    if folder:
        folder.supersede(path.name)
    elif _is_executed(path):
        with writing(path.name):
            path.rename(numbered(path.parent, path))


def _is_executed(path: Path) -> bool:
    """Say whether a notebook ran to its end under papermill."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
        marks = [cell["metadata"]["papermill"]["status"] for cell in cells]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(marks) and set(marks) == {"completed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that runs an environment now, and since when (UTC)."""

    pid: int
    since: str


@contextlib.contextmanager
def locked(environment: Environment) -> Iterator[None]:
    """Hold an environment's lock; kernels started meanwhile may write to its runs.

    Raises SafetyError that names the holder. The lock ends with the process, however it ends.
    """
    with _lock_file(environment.outputs / environment.name) as stream:
        if not _take(stream.fileno()):
            raise _busy(environment, holder(environment.outputs / environment.name))
        with writing(LOCK):
            _describe_holder(stream.fileno())
        before = os.environ.get(RUNNER_VARIABLE)
        os.environ[RUNNER_VARIABLE] = str(os.getpid())
        try:
            yield
        finally:
            os.ftruncate(stream.fileno(), 0)
            os.environ.pop(RUNNER_VARIABLE)
            if before is not None:
                os.environ[RUNNER_VARIABLE] = before


def _lock_file(home: Path) -> BinaryIO:
    try:
        home.mkdir(parents=True, exist_ok=True)
        return (home / LOCK).open("a+b")
    except OSError as error:
        raise RunbookError(
            f"The archive {home.parent.name}/{home.name} cannot be written: {error.strerror}.",
            "Check who owns it, and outputs = … in runbook.toml.",
        ) from error


def _take(handle: int) -> bool:
    """Take the lock, with some patience for those who only look who holds it."""
    for _ in range(5):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(0.05)
    return False


def _describe_holder(handle: int) -> None:
    os.ftruncate(handle, 0)
    os.write(handle, json.dumps({"pid": os.getpid(), "since": now()}).encode())


def holder(home: Path) -> Holder | None:
    """Return who holds the lock of ``outputs/<environment>`` at this moment, or None."""
    try:
        with (home / LOCK).open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                data = json.loads(stream.read() or b"{}")
                return Holder(pid=int(data.get("pid", 0)), since=str(data.get("since", "")))
    except (FileNotFoundError, ValueError):
        return None
    return None


def require_free(environment: Environment) -> None:
    """Raise SafetyError when a process that did not start this one runs the environment."""
    found = holder(environment.outputs / environment.name)
    mine = {str(os.getpid()), os.environ.get(RUNNER_VARIABLE, "")}
    if found and str(found.pid) not in mine:
        raise _busy(environment, found)


def _busy(environment: Environment, found: Holder | None) -> SafetyError:
    who = f"process {found.pid} since {found.since}" if found else "another process"
    return SafetyError(
        f"The environment {environment.name} is being run by {who}.",
        "Wait until it has ended; two runs at once would falsify each other's evidence.",
    )
