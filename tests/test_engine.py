"""The engine: what a notebook's record says after each way in which a notebook can end."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from runbook_lib.engine import Interrupted, NotebookFailed
from runbook_lib.errors import ConfigurationError, RunbookError
from runbook_lib.kernels import start_kernel
from runbook_lib.parameters import check_parameters, declared_parameters

NOTEBOOKS = Path(__file__).parent / "notebooks"
SECRET = "Tr0ub4dor&3@x/y"
URL = "postgresql://app:Tr0ub4dor%263%40x%2Fy@db/wallet"
COMMAND = (sys.executable, "-m", "papermill", "--engine", "runbook", "--no-progress-bar")


def run(name: str, output: Path, **options: Any) -> Any:
    return papermill.execute_notebook(
        NOTEBOOKS / f"{name}.ipynb",
        output,
        engine_name="runbook",
        progress_bar=False,
        cwd=output.parent,
        **options,
    )


def statuses(output: Path) -> list[str]:
    book = nbformat.read(output, as_version=4)
    nbformat.validate(book)
    return [cell.metadata.papermill["status"] for cell in book.cells if cell.cell_type == "code"]


def shown(output: Path) -> str:
    book = nbformat.read(output, as_version=4)
    return json.dumps([cell.get("outputs", []) for cell in book.cells])


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.ipynb"


def test_a_good_notebook_is_completed(output: Path) -> None:
    run("good", output, parameters={"revision": "4e1234567890"})
    assert statuses(output) == ["completed"] * 4
    assert "revision '4e1234567890'" in shown(output)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("exits", r"Cell 3 left the notebook with sys\.exit\(0\)"),
        ("dies", r"kernel died in cell 3"),
        ("killed", r"kernel died in cell 3"),
        ("sleeps", r"Cell 3 took longer than 1 s"),
        ("raises_value_error", r"Cell 3 raised ValueError: in <"),
    ],
)
def test_a_notebook_that_does_not_reach_its_end(output: Path, name: str, sentence: str) -> None:
    with pytest.raises(NotebookFailed, match=sentence) as caught:
        run(name, output, execution_timeout=1 if name == "sleeps" else None)
    assert caught.value.exit_code == 1
    assert statuses(output) == ["completed", "completed", "failed", "pending"]
    assert "never" not in shown(output)


def test_our_own_error_keeps_its_words_and_exit_code(output: Path) -> None:
    with pytest.raises(NotebookFailed) as caught:
        run("raises_gate_error", output)
    assert str(caught.value) == "The target has changed. Run the audit again."
    assert (caught.value.exit_code, caught.value.ename) == (5, "SafetyError")


def test_a_prepared_kernel_is_used_and_ended(output: Path) -> None:
    km = start_kernel(modules=("colorsys", "no_such_module"), cwd=output.parent)
    run("good", output, km=km)
    assert statuses(output) == ["completed"] * 3
    assert not Path(km.ip).parent.exists()


class TestParameters:
    SOURCE = 'revision: str = ""  # an id\ncount: int = 1\nfactor: float = 1.0\ndry_run = True'

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ({"revison": "a"}, "Did you mean 'revision'"),
            ({"revision": 123456789012}, "use -r revision"),
            ({"revision": 4e12}, "use -r revision"),
            ({"revision": None}, "use -r revision"),
            ({"revision": ["a"]}, "has to be: str"),
            ({"count": "1"}, "has to be: int"),
            ({"count": True}, "as int, and bool was given"),
            ({"dry_run": "false"}, "has to be: bool"),
        ],
    )
    def test_wrong_ones_are_refused(self, given: Mapping[str, Any], sentence: str) -> None:
        with pytest.raises(ConfigurationError, match=sentence):
            check_parameters(given, declared_parameters(self.SOURCE), "02_audit")

    def test_right_ones_pass(self) -> None:
        given = {"revision": "123456789012", "count": 2, "factor": 1, "dry_run": False}
        check_parameters(given, declared_parameters(self.SOURCE), "02_audit")

    def test_the_plain_command_says_so_without_a_traceback(self, output: Path) -> None:
        argv = [*COMMAND, NOTEBOOKS / "good.ipynb", output, "-p", "revision", "4e1234567890"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "use -r revision VALUE" in done.stderr
        assert "Traceback" not in done.stderr
        assert not output.exists()


class TestRecord:
    def test_secrets_and_paths_stay_out(
        self, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WALLET_URL", URL)
        run("prints_a_secret", output, parameters={"revision": f"{SECRET} {output.parent}"})
        text = output.read_text()
        assert "***" in text
        for form in (SECRET, "Tr0ub4dor", "VHIwdWI0ZG9y", "d1YjRkb3", str(output.parent)):
            assert form not in text

    def test_a_full_disk_leaves_the_older_notebook(self, output: Path) -> None:
        output.write_text("older")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))
        try:
            with pytest.raises(RunbookError, match="no space left"):
                run("good", output)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert output.read_text() == "older"
        assert [path.name for path in output.parent.iterdir()] == ["out.ipynb"]

    def test_papermill_alone_writes_atomically_too(self, output: Path) -> None:
        done = papermill.execute_notebook(
            NOTEBOOKS / "good.ipynb", output, progress_bar=False, cwd=output.parent
        )
        inode = output.stat().st_ino
        papermill.iorw.write_ipynb(done, str(output))
        assert output.stat().st_ino != inode, "replaced, not truncated"
        assert statuses(output) == ["completed"] * 3


class TestSignals:
    @pytest.mark.parametrize("name", ["sleeps", "ignores_interrupts"])
    def test_the_command_is_ended_in_order(self, output: Path, name: str) -> None:
        argv = [*COMMAND, NOTEBOOKS / f"{name}.ipynb", output]
        process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        wait_for_cell(output, 2)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 143
        assert "SIGTERM ended the run in cell 3" in errors
        assert statuses(output) == ["completed", "completed", "failed", "pending"]

    def test_an_interrupt_ends_the_cell(self, output: Path) -> None:
        def later() -> None:
            wait_for_cell(output, 2)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=later, daemon=True).start()
        with pytest.raises(Interrupted) as caught:
            run("sleeps", output)
        assert caught.value.exit_code == 130
        assert statuses(output)[-2:] == ["failed", "pending"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def wait_for_cell(output: Path, number: int) -> None:
    """Wait until the code cell of that number is running."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if output.exists() and statuses(output)[number] == "running":
            time.sleep(0.3)
            return
        time.sleep(0.05)
    raise AssertionError("the cell was never started")
