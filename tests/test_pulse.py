"""The word that something long is still at work, as a notebook's cell shows it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from test_record import PLAN

from runbook_lib import carrying
from runbook_lib.config import Environment, ProjectSettings
from runbook_lib.dsn import Dsn
from runbook_lib.plan import Step
from runbook_lib.project import Project
from runbook_lib.pulse import pulse

LONG = """
import time
from runbook_lib.pulse import pulse

with pulse(print, lambda: "Make the index", first=1):
    time.sleep(3.4)
with pulse(print, lambda: "A short one"):
    pass
print("done")
"""


def test_a_long_step_says_that_it_is_at_work_and_a_short_one_nothing() -> None:
    notebook = new_notebook(cells=[new_code_cell(LONG)])
    NotebookClient(notebook, timeout=60).execute()
    told = "".join(output.text for output in notebook.cells[0].outputs)
    assert told.splitlines() == [
        "  Make the index is still at work after 1 s",
        "  Make the index is still at work after 2 s",
        "done",
    ]


def test_a_step_of_a_plan_says_that_it_is_at_work(
    database: Dsn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same code carries it out on a copy and on the target; here the pulse beats faster."""
    monkeypatch.setattr(carrying, "pulse", partial(pulse, first=0.2))
    project = Project(ProjectSettings(), tmp_path)
    environment = Environment(
        name="live", project=ProjectSettings(), folder=tmp_path, outputs=tmp_path / "outputs"
    )
    told: list[str] = []
    stage = carrying.Stage(
        dsn=database, project=project, environment=environment, progress=told.append
    )
    sql = Step(kind="run-sql", title="Make the index: on trades", sql=("SELECT pg_sleep(0.7)",))
    (result,) = carrying.carry_out(replace(PLAN, steps=(sql,)), stage)
    assert result.error == ""
    assert told[0] == "Make the index: on trades"
    assert told[1] == "  Make the index is still at work after 0 s"
