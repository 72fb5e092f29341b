"""The word that something long is still at work, as a notebook's cell shows it."""

from __future__ import annotations

from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

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
