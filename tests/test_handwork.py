"""Runs that a person stepped through are sealed by what their notebooks show, and by no less."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_output

from runbook_lib import render
from runbook_lib.config import Environment, ProjectSettings
from runbook_lib.errors import GateError, SafetyError
from runbook_lib.evidence import PhaseResult, RunFolder
from runbook_lib.handler import notebook_path
from runbook_lib.handwork import seal_by_hand
from runbook_lib.lab import folder_of_copies
from runbook_lib.verification import verify

PHASE = "00_current_state"
SENTENCE = (
    "8 revisions: 8 applied; 0 errors among 0 findings, as the catalog of the database shows."
)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.delenv("RUNBOOK_STATE", raising=False)
    monkeypatch.setenv("WALLET_URL", "postgresql://app:Tr0ub4dor@db/wallet")
    return Environment(
        name="staging",
        project=ProjectSettings(),
        folder=tmp_path,
        outputs=tmp_path / "outputs",
        url_env="WALLET_URL",
    )


@pytest.fixture
def folder(environment: Environment) -> RunFolder:
    """A run whose first phase has passed, as its last cell leaves it."""
    run = RunFolder.open(environment, "new")
    conclude(run)
    return run


def conclude(run: RunFolder, phase: str = PHASE, sentence: str = SENTENCE) -> None:
    run.write(f"{phase}.result", PhaseResult(phase=phase, status="passed", sentence=sentence))


def executed(run: str, phase: str = PHASE, sentence: str = SENTENCE) -> Any:
    """The phase's own notebook with the outputs that bind it to a run and its verdict."""
    notebook = nbformat.read(notebook_path(phase), 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        shown = render.binding({"run": run}) if "binding" in cell.id else None
        shown = render.verdict("passed", sentence) if cell is code[-1] else shown
        if shown:
            data = {"text/plain": repr(shown)}
            cell.outputs = [new_output("execute_result", data=data, execution_count=count)]
    return notebook


def save(environment: Environment, notebook: Any, phase: str = PHASE) -> None:
    home = folder_of_copies(environment)
    home.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, home / f"{phase}.ipynb")


def seal(environment: Environment) -> Any:
    return seal_by_hand(environment, echo=lambda _: None)


def test_a_new_run_has_nothing_to_seal(environment: Environment, folder: RunFolder) -> None:
    with pytest.raises(GateError, match="A new run has nothing to seal"):
        seal_by_hand(environment, "new")
    assert RunFolder.all(environment.outputs / environment.name) == (folder,)


def test_a_run_in_the_lab_is_sealed_with_its_notebooks_and_said_to_be_made_by_hand(
    environment: Environment, folder: RunFolder
) -> None:
    save(environment, executed(folder.name))
    sealed = seal(environment)
    assert (sealed.record.by_hand, sealed.record.notes) == ((PHASE,), ())
    assert {f"{PHASE}.ipynb", f"{PHASE}.html", "record.html"} <= set(sealed.files)
    (result,) = verify(environment.outputs)
    assert result.ok
    assert result.sentence.endswith("verdict healthy, stepped through by hand.")
    assert "stepped through by hand" in (folder.path / "record.html").read_text()
    assert "stepped through by hand" in (environment.outputs / "index.html").read_text()
    with pytest.raises(GateError, match="has no run that is not sealed"):
        seal(environment)
    with pytest.raises(SafetyError, match="is sealed"):
        seal_by_hand(environment, folder.name)


def unrun(notebook: Any) -> None:
    notebook.cells[-2].execution_count = None


def failed(notebook: Any) -> None:
    cell = next(cell for cell in notebook.cells if cell.id == f"{PHASE}-setup-1")
    cell.outputs = [new_output("error", ename="GateError", evalue="no", traceback=[])]


def cleared(notebook: Any) -> None:
    notebook.cells[-2].outputs = []


def another_run(notebook: Any) -> None:
    for cell in notebook.cells:
        if "binding" in cell.id and cell.cell_type == "code":
            cell.outputs = []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (unrun, "was not run in its cell 00_current_state-verdict-2"),
        (failed, "shows an error in its cell 00_current_state-setup-1"),
        (cleared, "does not show the phase's last verdict"),
        (another_run, "does not show the run"),
    ],
)
def test_a_notebook_that_is_not_whole_seals_nothing(
    environment: Environment, folder: RunFolder, spoil: Callable[[Any], None], told: str
) -> None:
    notebook = executed(folder.name)
    spoil(notebook)
    save(environment, notebook)
    with pytest.raises(GateError, match=told) as caught:
        seal(environment)
    assert "Run the notebook from its top to its end and save it" in caught.value.hint
    assert not folder.sealed
    assert not (folder.path / f"{PHASE}.ipynb").exists()


def test_a_verdict_of_an_earlier_pass_through_the_notebook_does_not_count(
    environment: Environment, folder: RunFolder
) -> None:
    save(environment, executed(folder.name, sentence="7 revisions: 7 applied."))
    with pytest.raises(GateError, match="does not show the phase's last verdict"):
        seal(environment)


def test_a_missing_notebook_is_named(environment: Environment, folder: RunFolder) -> None:
    with pytest.raises(GateError, match=r"00_current_state\.ipynb is not there"):
        seal(environment)


def test_cells_run_again_and_cells_edited_are_noted(
    environment: Environment, folder: RunFolder
) -> None:
    notebook = executed(folder.name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[2].execution_count = 40
    code[3].source += "\nprint('mine')"
    save(environment, notebook)
    order, edited = seal(environment).record.notes
    assert order.startswith(f"{PHASE}: the cells were not run once each from top to bottom (1, 2, ")
    assert edited.endswith(f"differs from the runbook's own notebook in: {code[3].id}.")
    page = (folder.path / "record.html").read_text()
    assert "the cells were not run once each" in page


def test_a_plan_that_was_not_carried_out_keeps_the_run_open(
    environment: Environment, folder: RunFolder
) -> None:
    save(environment, executed(folder.name))
    folder.write("plan", {"digest": "d"})
    with pytest.raises(GateError, match="was not carried out to its verdict") as caught:
        seal(environment)
    assert "the next runbook run seals it as interrupted" in caught.value.hint
    assert not folder.sealed


def test_a_secret_in_a_cell_is_taken_out(environment: Environment, folder: RunFolder) -> None:
    notebook = executed(folder.name)
    notebook.cells[-1].source = "I tried Tr0ub4dor"
    save(environment, notebook)
    seal(environment)
    assert "Tr0ub4dor" not in (folder.path / f"{PHASE}.ipynb").read_text()


def test_what_the_runner_did_is_not_called_handwork(
    environment: Environment, folder: RunFolder
) -> None:
    folder.append_event("finished", PHASE, seconds=1.0)
    folder.append_event("finished", "06_prevention", seconds=1.0)
    folder.append_event("by hand", "06_prevention")
    folder.append_event("shown again", PHASE)
    nbformat.write(executed(folder.name), folder.path / f"{PHASE}.ipynb")
    conclude(folder, "06_prevention", "0 lint findings, 0 monitor errors.")
    save(
        environment,
        executed(folder.name, "06_prevention", "0 lint findings, 0 monitor errors."),
        "06_prevention",
    )
    record = seal(environment).record
    assert record.by_hand == ("06_prevention",)
    (note,) = record.notes
    assert note == f"{PHASE}: cells were run again later; they showed the record and did nothing."
