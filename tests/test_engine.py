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

from runbook_lib.errors import ConfigurationError, RunbookError
from runbook_lib.failures import Interrupted, NotebookFailed
from runbook_lib.kernels import start_kernel
from runbook_lib.parameters import check_parameters, declared_parameters

NOTEBOOKS = Path(__file__).parent / "notebooks"
SECRET = "Tr0ub4dor&3@x/y"
URL = "postgresql://app:Tr0ub4dor%263%40x%2Fy@db/wallet"
CRASH = "import ctypes, faulthandler; faulthandler.enable(); ctypes.string_at(0)"
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


class TestPlainCommand:
    """``papermill NOTEBOOK OUT``, no engine named."""

    PLAIN = (sys.executable, "-m", "papermill", "--no-progress-bar")

    @pytest.fixture
    def phase(self, tmp_path: Path) -> Path:
        """A notebook with the anatomy of a phase, whose kernel dies in the middle."""
        cells = {
            "parameters": 'environment: str = "staging"  # which',
            "binding": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "verdict": "print('never')",
        }
        book = nbformat.v4.new_notebook(
            metadata={
                "kernelspec": {"name": "python3", "language": "python", "display_name": "Python"}
            }
        )
        for tag, source in cells.items():
            book.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": [tag]}))
        nbformat.write(book, tmp_path / "phase.ipynb")
        return tmp_path / "phase.ipynb"

    def test_what_a_kernel_says_past_its_notebook_is_not_shown_but_for_its_end(
        self, phase: Path
    ) -> None:
        killing = phase.read_text().replace("os.kill(os.getpid(), signal.SIGKILL)", CRASH)
        phase.write_text(killing)
        done = self.call(phase, "out.ipynb", cwd=phase.parent)
        assert "It said last: Fatal Python error: Segmentation fault" in done.stderr
        assert "Current thread" not in done.stderr

    def call(self, *argv: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        words = [*self.PLAIN, *map(str, argv)]
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)

    def test_a_phase_tells_the_truth_without_naming_the_engine(self, phase: Path) -> None:
        (phase.parent / "elsewhere").mkdir()
        done = self.call(phase, "out.ipynb", "--cwd", "elsewhere", cwd=phase.parent)
        assert done.returncode == 1
        assert "The kernel died in cell 1" in done.stderr
        assert "Traceback" not in done.stderr
        assert statuses(phase.parent / "out.ipynb") == ["completed", "failed", "pending"]
        assert not list((phase.parent / "elsewhere").iterdir())
        assert "It said last" not in done.stderr, "it had no time to say anything"
        unknown = self.call(phase, "other.ipynb", "-p", "enviroment", "a", cwd=phase.parent)
        assert unknown.returncode == 2
        assert "Did you mean 'environment'" in unknown.stderr
        assert not (phase.parent / "other.ipynb").exists()

    def test_other_notebooks_are_left_to_papermill(self, output: Path) -> None:
        from papermill.engines import papermill_engines

        papermill.execute_notebook(
            NOTEBOOKS / "good.ipynb", output, progress_bar=False, cwd=output.parent
        )
        assert output.read_text().count("Runs to its end") == 1
        engine = papermill_engines.get_engine(None)
        assert engine.former is papermill_engines.get_engine("nbclient")

    def test_an_executed_notebook_is_not_overwritten(self, output: Path) -> None:
        for number in range(3):
            run("good", output, parameters={"count": number})
        kept = sorted(path.name for path in output.parent.glob("out.*ipynb"))
        assert kept == ["out.1.ipynb", "out.2.ipynb", "out.ipynb"]
        counts = [nbformat.read(output.parent / name, 4).cells[-1].outputs[0] for name in kept]
        assert [item.data["text/plain"] for item in counts] == ["1", "2", "3"]


class TestArchiveAddress:
    @pytest.fixture(autouse=True)
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "runbook.toml").write_text('[environments.staging]\nurl_env = "X"\n')
        monkeypatch.chdir(tmp_path)

    def test_it_leads_into_the_run_and_keeps_what_was_there(self, tmp_path: Path) -> None:
        from papermill.iorw import papermill_io

        address = "runbook://staging/02_audit.ipynb"
        papermill_io.write("{}", address)
        papermill_io.write('{"a": 1}', address)
        (run_folder,) = (tmp_path / "outputs" / "staging").glob("2*")
        assert papermill_io.read(address) == '{"a": 1}\n'
        assert (run_folder / "superseded" / "02_audit.1.ipynb").read_text() == "{}\n"
        assert papermill_io.listdir("runbook://staging") == [f"runbook://staging/{run_folder.name}"]
        assert '"parameters"' in papermill_io.read("runbook://02_audit.ipynb")

    @pytest.mark.parametrize(
        ("address", "sentence"),
        [
            ("runbook://production/02_audit.ipynb", "no environment 'production'"),
            ("runbook://staging/../../evil.ipynb", "no place in the archive"),
            ("runbook://staging/notes.ipynb", "no place in the archive"),
            ("runbook://staging/20200101T000000Z-abcdef/02_audit.ipynb", "There is no run"),
        ],
    )
    def test_another_place_is_refused(self, address: str, sentence: str) -> None:
        from papermill.iorw import papermill_io

        with pytest.raises(NotebookFailed, match=sentence):
            papermill_io.write("{}", address)


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
