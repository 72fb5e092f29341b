"""The anatomy of the notebooks: what each cell may hold, in which order, and who may write."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from runbook_lib import index
from runbook_lib.evidence import PHASES

FOLDER = Path(__file__).parent.parent / "notebooks"
FRONT = ("about", "parameters", "setup", "binding", "precondition", "expectation", "inspect")
BACK = ("verdict", "next")
MIDDLE = {
    "03_cleanup": ("render", "plan", "rehearse"),
    "05_deployment": ("render", "gate", "apply", "read-back"),
    "90_rollback": ("render", "gate", "apply", "read-back"),
}
TEXT_ONLY = {"about", "expectation", "next"}
WRITERS = {"05_deployment": {"deploy"}, "90_rollback": {"roll_back"}}
WRITING = {"deploy", "roll_back"}
FORBIDDEN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Try)

every_notebook = pytest.mark.parametrize("name", PHASES)


def load(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


def tag_of(cell: Any) -> str:
    (tag,) = cell.metadata["tags"]
    return str(tag)


def code_cells(name: str) -> list[Any]:
    return [cell for cell in load(name).cells if cell.cell_type == "code"]


def calls(source: str) -> set[str]:
    """The names of all functions and methods that are called."""
    found = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {func.attr if isinstance(func, ast.Attribute) else ast.unparse(func) for func in found}


def test_there_is_one_notebook_for_each_phase_and_no_other() -> None:
    assert tuple(sorted(path.stem for path in FOLDER.glob("*.ipynb"))) == PHASES


def test_the_index_links_to_headings_that_the_notebooks_have() -> None:
    for anchor, phases in (
        (index.GRAPH, ("00_current_state", "02_audit")),
        (index.DIFFERENCES, ("00_current_state", "02_audit")),
        (index.PLAN, ("03_cleanup",)),
    ):
        heading = f"## {anchor[1:].replace('-', ' ')}\n"
        for phase in phases:
            assert any(f"{cell.source}\n".startswith(heading) for cell in load(phase).cells)


@every_notebook
def test_the_file_is_valid_and_without_results(name: str) -> None:
    notebook = load(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(not cell.outputs for cell in code_cells(name))
    assert all(cell.execution_count is None for cell in code_cells(name))


@every_notebook
def test_cells_stand_in_the_order_of_the_anatomy(name: str) -> None:
    tags = [tag_of(cell) for cell in load(name).cells]
    assert tuple(dict.fromkeys(tags)) == (*FRONT, *MIDDLE.get(name, ("render",)), *BACK)
    assert tags == sorted(tags, key=list(dict.fromkeys(tags)).index), "a tag comes back later"


@every_notebook
def test_every_step_has_code_and_every_narration_is_text(name: str) -> None:
    kinds: dict[str, set[str]] = {}
    for cell in load(name).cells:
        kinds.setdefault(tag_of(cell), set()).add(cell.cell_type)
    for tag, found in kinds.items():
        assert ("code" in found) is (tag not in TEXT_ONLY), tag


@every_notebook
def test_the_introduction_says_what_it_reads_and_writes_and_how_to_undo_it(name: str) -> None:
    about = load(name).cells[0].source
    assert all(f"**{word}.**" in about for word in ("Purpose", "Reads", "Writes", "Undo"))


@every_notebook
def test_code_cells_are_short_and_plain(name: str) -> None:
    for cell in code_cells(name):
        assert len(cell.source.splitlines()) <= 9, cell.id
        tree = ast.parse(cell.source)
        assert not [node for node in ast.walk(tree) if isinstance(node, FORBIDDEN)], cell.id
        assert not re.search(r"sys\.exit|\bexit\(|\bquit\(|^\s*[%!]", cell.source, re.M), cell.id


@every_notebook
def test_cell_ids_say_phase_tag_and_number(name: str) -> None:
    numbers: dict[str, int] = {}
    for cell in load(name).cells:
        tag = tag_of(cell)
        numbers[tag] = numbers.get(tag, 0) + 1
        assert cell.id == f"{name}-{tag}-{numbers[tag]}"


@every_notebook
def test_parameters_are_annotated_literals_with_a_comment_and_a_safe_default(name: str) -> None:
    (cell,) = [cell for cell in code_cells(name) if tag_of(cell) == "parameters"]
    values = {}
    for line in cell.source.splitlines():
        assert re.fullmatch(r"\w+: \w+ = .+  # .+", line), line
        (node,) = ast.parse(line).body
        assert isinstance(node, ast.AnnAssign)
        assert node.value is not None
        values[ast.unparse(node.target)] = ast.literal_eval(node.value)
    expected = {"environment": "staging", "run": "latest", "config": ""}
    if name in WRITERS:
        expected |= {"approve": "", "by": ""}
    assert expected.items() <= values.items()


@every_notebook
def test_only_the_apply_cell_of_two_notebooks_writes_the_target(name: str) -> None:
    writing = {
        (tag_of(cell), call) for cell in code_cells(name) for call in calls(cell.source) & WRITING
    }
    assert writing == {("apply", call) for call in WRITERS.get(name, ())}


@every_notebook
def test_every_function_that_a_notebook_names_exists(name: str) -> None:
    from runbook_lib import phases, render

    rooms = {"phases": phases, "render": render}
    for cell in code_cells(name):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                room = rooms.get(node.value.id)
                assert room is None or hasattr(room, node.attr), f"{node.value.id}.{node.attr}"


@every_notebook
def test_no_name_is_used_before_a_cell_above_has_made_it(name: str) -> None:
    known: set[str] = {"str"}
    for cell in code_cells(name):
        tree = ast.parse(cell.source)
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        made |= {alias.name for node in imports for alias in node.names}
        assert used - made <= known, cell.id
        known |= made


@every_notebook
def test_the_verdict_is_the_last_code_and_finishes_the_phase(name: str) -> None:
    last = code_cells(name)[-1]
    assert tag_of(last) == "verdict"
    assert "finish" in calls(last.source)


@every_notebook
def test_the_file_is_written_as_jupyter_writes_it(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text()
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
