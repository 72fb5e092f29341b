"""Lab: working copies of the notebooks for one environment, opened in JupyterLab.

The environment stands in the copies' ``parameters`` cells, where everybody sees it; nothing is
overridden behind the notebook's back.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from runbook_lib import artifacts
from runbook_lib.config import Environment
from runbook_lib.errors import ConfigurationError
from runbook_lib.evidence import PHASES
from runbook_lib.files import atomic_write
from runbook_lib.handler import notebook_path

MARK = "runbook_copy"  # in a copy's metadata: the digest of its cells as they were written
EXTENSIONS = Path(__file__).with_name("labextensions")  # shows the cell that failed
OURS = (
    "--ServerApp.ip=127.0.0.1",  # a notebook server runs the code that it is sent
    f"--LabApp.default_url=/lab/tree/{PHASES[0]}.ipynb",
    "--LabApp.news_url=None",  # it asks the network for nothing
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    f"--LabApp.extra_labextensions_path={EXTENSIONS}",
)


def open_lab(
    environment: Environment,
    config: Path,
    options: Sequence[str] = (),
    echo: Callable[[str], Any] = print,
) -> int:
    """Make the working copies and open them in JupyterLab; return its exit code.

    ``options`` go to JupyterLab as they are, behind ours.
    """
    folder = folder_of_copies(environment)
    for name in make_copies(environment.name, config, folder):
        echo(f"{name} was edited here and is kept; delete it to get a fresh copy.")
    program = (sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}")
    try:
        return subprocess.call([*program, *OURS, *options], cwd=folder)
    except KeyboardInterrupt:
        return 0


def folder_of_copies(environment: Environment) -> Path:
    return environment.state_folder.resolve() / "lab" / environment.name


def make_copies(environment: str, config: Path, folder: Path) -> tuple[str, ...]:
    """Write the copies that are missing or that nobody edited; return the names of the others.

    A copy that is up to date stays as it is, with the outputs that it has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = {"environment": environment, "config": os.path.relpath(config.resolve(), folder)}
    kept = []
    for phase in PHASES:
        fresh = _set_parameters(nbformat.read(notebook_path(phase), 4), values)
        path = folder / f"{phase}.ipynb"
        present = _read(path)
        if present is None or _is_older(present, fresh):
            atomic_write(path, (nbformat.writes(fresh) + "\n").encode())
        elif _cells(present) != _cells(fresh):
            kept.append(path.name)
    return tuple(kept)


def _set_parameters(notebook: Any, values: Mapping[str, str]) -> Any:
    """Set annotated literals of the ``parameters`` cell; their comments stay."""
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = "\n".join(_set_line(line, values) for line in cell.source.splitlines())
    notebook.metadata[MARK] = _cells(notebook)
    return notebook


def _set_line(line: str, values: Mapping[str, str]) -> str:
    """Replace the literal of ``name: str = "…"  # comment`` where ``values`` has the name."""
    (node,) = ast.parse(line).body or (None,)
    if not (isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) in values):
        return line
    literal = ascii(values[ast.unparse(node.target)])
    data = line.encode()  # the offsets of ast are bytes
    start, end = node.value.col_offset, node.value.end_col_offset
    return (data[:start] + literal.encode() + data[end:]).decode()


def _read(path: Path) -> Any:
    """Return the notebook, or None where there is none. Raises ConfigurationError."""
    try:
        return nbformat.read(path, 4)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise ConfigurationError(
            f"The working copy {path.name} cannot be read ({type(error).__name__}).",
            f"Delete {path.parent.name}/{path.name} in the state folder to get a fresh one.",
        ) from None


def _is_older(present: Any, fresh: Any) -> bool:
    """Say whether a copy is just as it was once written, and is written differently now."""
    now = _cells(present)
    return now == present.metadata.get(MARK) and now != _cells(fresh)


def _cells(notebook: Any) -> str:
    """Return the digest of what a person can edit: kinds and texts of the cells, no outputs."""
    return artifacts.digest([[cell.cell_type, cell.source] for cell in notebook.cells])
