"""Handwork: seal a run whose notebooks a person stepped through, by what they show themselves.

As strict as with the runner: of a phase that passed, every code cell ran, none shows an error, and
the notebook shows this run and the verdict that the run's folder has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from runbook_lib import index, pages
from runbook_lib.closing import DEPLOYMENT, ROLLBACK, maybe, results, seal_run, verdict_of
from runbook_lib.config import Environment
from runbook_lib.errors import GateError
from runbook_lib.evidence import PhaseResult, RunFolder, locked
from runbook_lib.going_back import Rollback
from runbook_lib.handler import notebook_path
from runbook_lib.lab import folder_of_copies
from runbook_lib.scrub import Scrub, scrub_for
from runbook_lib.seal import Sealed, Verdict

_LEFT = "Or leave it: the next runbook run seals it as interrupted."


def seal_by_hand(
    environment: Environment,
    run: str = "latest",
    notebooks: Path | None = None,
    echo: Callable[[str], Any] = print,
) -> Sealed:
    """Take the executed notebooks into the run's folder and seal it.

    They are looked for in the run's folder, then in ``notebooks`` (default: the working copies of
    ``runbook lab``). Raises GateError, and seals nothing, when the run is not at its end or a
    notebook is not whole.
    """
    with locked(environment):
        folder, scrub = _chosen(environment, run), scrub_for(environment)
        found = results(folder)
        _require_end(folder, found)
        places = (folder.path, notebooks or folder_of_copies(environment))
        taken = [_find(item, folder.name, places, scrub) for item in found]
        for item in taken:
            item.keep(folder)
            echo(f"{item.phase}: {'by hand' if item.phase in _by_hand(folder, found) else 'run'}")
        sealed = seal_run(
            folder,
            _verdict(folder, found),
            scrub,
            by_hand=_by_hand(folder, found),
            notes=[note for item in taken for note in (*item.notes(), *_again(folder, item.phase))],
        )
        index.write(environment.outputs)
    return sealed


def _chosen(environment: Environment, run: str) -> RunFolder:
    """Return the run of that name, or the newest one that is not sealed. Raises GateError."""
    if run == "new":
        raise GateError(
            "A new run has nothing to seal.",
            "Name the run that was stepped through, or leave --run out for the newest one.",
        )
    if run != "latest":
        named = RunFolder.open(environment, run)
        named.require_open()
        return named
    left = [f for f in RunFolder.all(environment.outputs / environment.name) if not f.sealed]
    if not left:
        raise GateError(
            f"{environment.name} has no run that is not sealed.",
            f"Step through the notebooks first: runbook lab -e {environment.name}",
        )
    return left[-1]


def _require_end(folder: RunFolder, found: Sequence[PhaseResult]) -> None:
    if not found:
        raise GateError(
            f"No phase of the run {folder.name} has a verdict yet.",
            "Run a notebook to its last cell first.",
        )
    status = {item.phase: item.status for item in found}
    if folder.has("plan") and status.get(DEPLOYMENT, "approval-needed") == "approval-needed":
        raise GateError(
            f"The plan of the run {folder.name} was not carried out to its verdict.",
            f"Run {DEPLOYMENT} to its last cell. {_LEFT}",
        )


def _by_hand(folder: RunFolder, found: Sequence[PhaseResult]) -> tuple[str, ...]:
    """Return the phases whose last verdict was not the runner's."""
    told = (event for event in folder.events() if event.get("event") in ("finished", "by hand"))
    last = {event.get("phase"): event["event"] for event in told}
    return tuple(item.phase for item in found if last.get(item.phase) != "finished")


def _again(folder: RunFolder, phase: str) -> Iterator[str]:
    """Say where a notebook may show the record of an earlier pass through it."""
    if any((e.get("event"), e.get("phase")) == ("shown again", phase) for e in folder.events()):
        yield f"{phase}: cells were run again later; they showed the record and did nothing."


def _verdict(folder: RunFolder, found: Sequence[PhaseResult]) -> Verdict:
    """Name what the run came to; a way back that was only tried dry does not change it."""
    back = maybe(folder, ROLLBACK, Rollback)
    if back is not None and back.approval is None and len(found) > 1:
        found = [item for item in found if item.phase != ROLLBACK]
    last = next((item for item in found if item.status != "passed"), found[-1])
    return verdict_of(folder, last, tuple(item.phase for item in found))


@dataclass(frozen=True, slots=True)
class _Executed:
    """An executed notebook, without secrets and machine paths."""

    phase: str
    notebook: Any

    @property
    def code(self) -> list[Any]:
        cells = self.notebook.cells
        return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]

    def fault(self, run: str, result: PhaseResult) -> str:
        """Return the first reason why this is not the record of the phase in this run, or ""."""
        if run not in "".join(map(_words, self.code)):
            return f"does not show the run {run}"
        if result.status != "passed":
            return ""
        for cell in self.code:
            if cell.execution_count is None:
                return f"was not run in its cell {cell.id}"
            if any(output.output_type == "error" for output in cell.outputs):
                return f"shows an error in its cell {cell.id}"
        told = _words(self.code[-1])
        return "" if _packed(result.sentence) in told else "does not show the phase's last verdict"

    def keep(self, folder: RunFolder) -> None:
        """Write the notebook and its page to the run's folder."""
        folder.write_bytes(f"{self.phase}.ipynb", (nbformat.writes(self.notebook) + "\n").encode())
        pages.publish(folder, self.phase)

    def notes(self) -> Iterator[str]:
        """Say what an auditor should know: cells in another order, and cells that were edited."""
        counts = [cell.execution_count or 0 for cell in self.code]
        if counts != list(range(1, len(counts) + 1)):
            order = ", ".join(map(str, counts))
            yield f"{self.phase}: the cells were not run once each from top to bottom ({order})."
        edited = ", ".join(_edited(self.phase, self.code))
        if edited:
            yield f"{self.phase}: code differs from the runbook's own notebook in: {edited}."


def _find(result: PhaseResult, run: str, places: Sequence[Path], scrub: Scrub) -> _Executed:
    """Return a phase's executed notebook. Raises GateError that says why there is none."""
    faults = []
    for place in places:
        path = place / f"{result.phase}.ipynb"
        if path.is_file():
            found = _Executed(result.phase, scrub.clean_data(_read(path)))
            fault = found.fault(run, result)
            if not fault:
                return found
            faults.append(fault)
    raise GateError(
        f"{result.phase}.ipynb {faults[-1] if faults else 'is not there'}, so the run {run} is "
        "not sealed.",
        f"Run the notebook from its top to its end and save it, then seal again. {_LEFT}",
    )


def _read(path: Path) -> Any:
    try:
        return nbformat.read(path, 4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise GateError(
            f"{path.name} cannot be read as a notebook ({type(error).__name__}).",
            "Save it again from JupyterLab.",
        ) from None


def _words(cell: Any) -> str:
    """Return what a cell shows as text, without blanks: lines are broken at 100 columns."""
    shown = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    told = [output.get("evalue", "") for output in cell.outputs]
    return _packed("".join([*shown, *told]))


def _packed(text: str) -> str:
    return "".join(text.split())


def _edited(phase: str, code: Sequence[Any]) -> list[str]:
    """Return the ids of code cells that are not the runbook's own, parameters aside."""
    own = {cell.id: cell.source for cell in nbformat.read(notebook_path(phase), 4).cells}
    return [
        cell.id
        for cell in code
        if not {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", []))
        and cell.source != own.get(cell.id)
    ]
