"""Handler: what papermill reads and writes under ``runbook://``, so that the archive keeps it.

As an input, ``runbook://02_audit.ipynb`` is the phase's own notebook, wherever it is installed. As
an output, ``runbook://staging/02_audit.ipynb`` (or ``runbook://{environment}/…``, which papermill
fills in from ``-p``) lies in the environment's run: the newest unsealed one, else a new one.
``runbook://staging/RUN/02_audit.ipynb`` names the run. What stood there is kept as superseded.
"""

from __future__ import annotations

import contextlib
import importlib.resources
from collections.abc import Iterator
from pathlib import Path

from runbook_lib.config import load_environment
from runbook_lib.errors import ConfigurationError, RunbookError
from runbook_lib.evidence import PHASES, RunFolder
from runbook_lib.failures import NotebookFailed

SCHEME = "runbook://"


def notebook_path(phase: str, notebooks: Path | None = None) -> Path:
    """Find a phase's notebook: beside the package in a checkout, else within the package."""
    packaged = Path(str(importlib.resources.files("runbook_lib") / "notebooks"))
    checkout = Path(__file__).parent.parent / "notebooks"
    for home in (notebooks,) if notebooks else (checkout, packaged):
        if (home / f"{phase}.ipynb").is_file():
            return home / f"{phase}.ipynb"
    raise ConfigurationError(
        f"There is no notebook {phase}.ipynb.", f"The phases are: {', '.join(PHASES)}."
    )


def archived_path(address: str) -> Path:
    """Return the file that an output's address means. Raises RunbookError."""
    parts = address.removeprefix(SCHEME).split("/")
    known = parts[-1].removesuffix(".ipynb") in PHASES and parts[-1].endswith(".ipynb")
    if len(parts) not in (2, 3) or not known:
        raise ConfigurationError(
            f"{address} is no place in the archive.",
            f"Write {SCHEME}ENVIRONMENT/02_audit.ipynb or {SCHEME}ENVIRONMENT/RUN/02_audit.ipynb.",
        )
    run = parts[1] if len(parts) == 3 else "latest"
    return RunFolder.open(load_environment(parts[0]), run).path / parts[-1]


class ArchiveHandler:
    """papermill's four calls. Errors are told by its command in one sentence."""

    @classmethod
    def read(cls, path: str) -> str:
        with _told():
            name = path.removeprefix(SCHEME)
            source = archived_path(path) if "/" in name else notebook_path(Path(name).stem)
            return source.read_text()

    @classmethod
    def write(cls, buf: str, path: str) -> None:
        with _told():
            file = archived_path(path)
            data = buf if buf.endswith("\n") else f"{buf}\n"
            RunFolder(file.parent).write_text(file.name, data)

    @classmethod
    def listdir(cls, path: str) -> list[str]:
        with _told():
            environment = load_environment(path.removeprefix(SCHEME).strip("/"))
            runs = RunFolder.all(environment.outputs / environment.name)
            return [f"{SCHEME}{environment.name}/{run.name}" for run in runs]

    @classmethod
    def pretty_path(cls, path: str) -> str:
        return path


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except NotebookFailed:
        raise
    except RunbookError as error:
        raise NotebookFailed.of(error) from None
