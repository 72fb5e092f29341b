"""Transcript: the state of one notebook while it runs, and its file on the disk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import nbformat

from runbook_lib.scrub import Scrub

Writer = Callable[[bytes], None]
CUT_OFF = "The runner died before this cell had ended; the cells after it did not run.\n"
PENDING, RUNNING, COMPLETED, FAILED = "pending", "running", "completed", "failed"


class Transcript:
    """The state of one notebook while it runs, and its file. papermill's manager, made strict."""

    def __init__(self, notebook: Any, writer: Writer | None, scrub: Scrub) -> None:
        self.notebook = notebook
        self.writer = writer
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
        self._save_after(cell)

    def cell_ended(self, cell: Any, failed: bool) -> None:
        mark = cell.metadata.papermill
        mark.update(status=FAILED if failed else COMPLETED, exception=failed)
        mark.update(_times(datetime.fromisoformat(mark["start_time"])))
        self.done[id(cell)] = self.scrub.clean_data(cell)
        self._save_after(cell)

    def _save_after(self, cell: Any) -> None:
        """Save for a code cell; a text cell's mark goes to the disk with the next one."""
        if cell.cell_type == "code":
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
        if self.writer is not None:
            self.writer((nbformat.writes(self.cleaned()) + "\n").encode())


def settle(notebook: Any) -> int | None:
    """Mark the cell that was running when its runner died as failed; return its index, or None.

    ``notebook`` is the JSON of a notebook that nobody writes any more.
    """
    for index, cell in enumerate(notebook.get("cells", [])):
        mark = cell.get("metadata", {}).get("papermill", {})
        if mark.get("status") == RUNNING:
            mark.update(status=FAILED, exception=True)
            told = {"output_type": "stream", "name": "stderr", "text": CUT_OFF}
            cell["outputs"] = [*cell.get("outputs", ()), told]
            return index
    return None


def _moment(time: datetime) -> str:
    return time.isoformat()


def _times(started: datetime) -> dict[str, Any]:
    ended = datetime.now(UTC)
    return {"end_time": _moment(ended), "duration": (ended - started).total_seconds()}
