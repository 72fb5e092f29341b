"""The runner: notebooks strung together for real, and the archive that they leave behind."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runbook_lib import cli, index, runner
from runbook_lib.closing import verdict_of
from runbook_lib.config import Environment, load_environment
from runbook_lib.errors import ConfigurationError, GateError, RunbookError, SafetyError
from runbook_lib.evidence import PhaseResult, RunFolder
from runbook_lib.going_back import Rollback, RollbackPlan
from runbook_lib.kernels import signal_kernel, start_kernel
from runbook_lib.promotion import Approval
from runbook_lib.scrub import scrub_for
from runbook_lib.seal import read_sealed, seal
from runbook_lib.verification import verify

NOTEBOOKS = Path(__file__).parent / "notebooks"
TINY = ("00_current_state", "03_cleanup", "05_deployment", "06_prevention")
SECRET = "Tr0ub4dor&3@x/y"

CONFIG = """
[environments.staging]
url_env = "WALLET_URL"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WALLET_URL", "postgresql://app:Tr0ub4dor%263%40x%2Fy@db/wallet")
    path = tmp_path / "runbook.toml"
    path.write_text(CONFIG)
    return str(path)


@pytest.fixture
def environment(config: str) -> Environment:
    return load_environment("staging", config)


def run(
    config: str, phases: tuple[str, ...] = TINY, kind: str = "tiny", **given: Any
) -> tuple[runner.Outcome, list[str]]:
    lines: list[str] = []
    outcome = runner.run(
        "staging",
        config=config,
        phases=phases,
        notebooks=NOTEBOOKS / kind,
        echo=lines.append,
        **given,
    )
    return outcome, lines


def test_a_run_waits_for_approval_and_goes_on_with_it(config: str) -> None:
    waiting, lines = run(config)
    assert (waiting.exit_code, waiting.verdict) == (3, "")
    assert re.fullmatch("[0-9a-f]{64}", waiting.digest)
    assert any("00_current_state … " in line and "7 applied, 1 phantom" in line for line in lines)
    assert f"runbook run -e staging --approve {waiting.digest}" in lines[-1]
    assert not waiting.folder.sealed
    assert (waiting.folder.path / "record.html").exists()

    wrong = "0" * 64
    with pytest.raises(SafetyError, match=f"{wrong} is approved, but the plan's is"):
        run(config, approve=wrong)

    done, lines = run(config, approve=waiting.digest[:12], by="Ada")
    assert (done.exit_code, done.verdict) == (0, "repaired")
    assert done.folder == waiting.folder
    assert not any("03_cleanup … " in line for line in lines), "it went on at the deployment"
    record = read_sealed(done.folder).record
    assert [item.phase for item in record.phases] == list(TINY)
    assert record.approval is not None
    assert (record.approval.by, record.plan_digest) == ("Ada", waiting.digest)
    assert (record.tree_before, record.tree_after) == ("t1", "t2")
    assert [item.ok for item in verify(Path(config).parent / "outputs")] == [True]
    kept = {path.name for path in (done.folder.path / "superseded").iterdir()}
    assert {"05_deployment.1.ipynb", "05_deployment.result.1.json", "record.1.html"} <= kept


def test_a_plain_run_leaves_a_waiting_one_behind_and_begins_anew(
    config: str, environment: Environment
) -> None:
    first, _ = run(config, TINY[1:3])
    second, _ = run(config, TINY[1:3])
    assert second.folder != first.folder
    assert read_sealed(first.folder).record.verdict == "interrupted"
    approval = {"environment": "staging", "digest": second.digest, "by": "Bo", "at": "", "how": ""}
    assert RunFolder.waiting(environment) == second.folder
    second.folder.write("approval", approval)
    done, _ = run(config, TINY[1:3])
    assert done.folder == second.folder, "an approval recorded meanwhile counts"
    assert done.verdict == "repaired"


def test_nothing_to_approve_is_told(config: str) -> None:
    with pytest.raises(GateError, match="No run waits"):
        run(config, approve="0" * 64)


@pytest.mark.parametrize(
    ("phase", "exit_code", "verdict", "sentence"),
    [
        ("gate_fails", 1, "failed", "The checklist does not hold. Run staging first."),
        ("writes_no_verdict", 1, "failed", "ran to its end without writing its verdict"),
        ("exits_before_its_verdict", 1, "failed", "sys.exit(0)"),
        ("is_refused", 5, "refused", "The target has changed."),
        ("finds_nobody", 4, "failed", "db does not answer."),
        ("is_cut_off", 4, "failed", "Is it up? Every step is in force on the target, and was not"),
    ],
)
def test_a_phase_that_does_not_pass_ends_the_run(
    config: str, phase: str, exit_code: int, verdict: str, sentence: str
) -> None:
    outcome, lines = run(config, (phase, "never_reached"), "ends")
    assert (outcome.exit_code, outcome.verdict) == (exit_code, verdict)
    assert sentence in outcome.sentence
    assert not any(line.startswith("never_reached …") for line in lines)
    assert read_sealed(outcome.folder).record.verdict == verdict
    assert (outcome.folder.path / f"{phase}.html").exists()


def test_a_verdict_that_cannot_be_written_says_what_it_was_about(config: str) -> None:
    told = r"result\.json could not be written: .* file .* is unchanged\. .* Every step is in force"
    with pytest.raises(RunbookError, match=told):
        run(config, ("cannot_be_concluded",), "ends")


def test_a_secret_in_an_artifact_keeps_the_run_unsealed(config: str) -> None:
    outcome, lines = run(config, ("archives_a_secret",), "ends")
    assert (outcome.exit_code, outcome.verdict) == (5, "")
    assert "notes.json" in outcome.sentence
    assert SECRET not in "\n".join(lines)
    assert not outcome.folder.sealed


def test_a_rollback_is_a_dry_run_until_approved(config: str) -> None:
    phases = ("90_rollback",)
    dry, _ = run(config, phases, parameters={"way": "downgrade"})
    assert (dry.exit_code, dry.verdict) == (3, "dry-run")
    assert dry.sentence == "Going back by downgrade waits for approval."
    done, _ = run(config, phases, approve="0" * 64)
    assert (done.exit_code, done.verdict) == (0, "rolled-back")
    assert done.folder != dry.folder


def test_a_rollback_that_changed_nothing_is_sealed_as_a_dry_run(environment: Environment) -> None:
    plan = RollbackPlan(
        environment="staging",
        way="restore",
        run="a-run",
        plan_digest="",
        backup_sha256="",
        steps=(),
        loses=("public.a: 1 rows at the backup, 2 now",),
        rehearsed="proven on a copy",
        catalog_now="",
        rows_now=(),
    )
    passed = PhaseResult(phase="90_rollback", status="passed", sentence="")
    approval = Approval(environment="staging", digest=plan.digest, by="me", at="", how="")
    for given, verdict in ((None, "dry-run"), (approval, "rolled-back")):
        folder = RunFolder.open(environment, "new")
        folder.write("90_rollback", Rollback(plan=plan, approval=given, steps=()))
        assert verdict_of(folder, passed, ("90_rollback",)) == verdict


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("-n 20", "runbook: Only 20 files may be open at once here, and 128 are needed."),
        ("-Sn 20", "runbook: There is no runbook.toml"),  # the runbook may raise this one itself
    ],
)
def test_too_few_open_files_are_told_before_anything_starts(
    tmp_path: Path, limit: str, told: str
) -> None:
    command = f"ulimit {limit}; exec '{sys.executable}' -m runbook_lib.cli run -e staging"
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith(told)
    assert "Traceback" not in done.stderr


def test_an_unknown_phase_is_refused_before_a_run_begins(config: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no notebook 07_more\.ipynb"):
        run(config, ("07_more",))
    assert not (Path(config).parent / "outputs").exists()


def sleeping(config: str, ignored: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start a run whose notebook sleeps, in a process of its own, some signals ignored."""
    code = (
        f"import signal; [signal.signal(getattr(signal, n), signal.SIG_IGN) for n in {ignored!r}]\n"
        "import sys; from pathlib import Path; from runbook_lib import runner\n"
        "done = runner.run('staging', config=sys.argv[1], phases=('sleeps',),"
        " notebooks=Path(sys.argv[2]))\n"
        "sys.exit(done.exit_code)"
    )
    argv = [sys.executable, "-c", code, config, str(NOTEBOOKS / "ends")]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def statuses(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text())["cells"]
    return [cell["metadata"]["papermill"]["status"] for cell in cells]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_in_order_and_the_next_one_settles_it(
    config: str, environment: Environment, number: signal.Signals
) -> None:
    process = sleeping(config)
    notebook = wait_for_sleep(environment)
    with pytest.raises(SafetyError, match=f"process {process.pid}"):
        run(config)
    told = CliRunner().invoke(cli.main, ["--config", config, "verify"]).output
    assert re.search(rf"still at work, since [-\dT:]+Z \(process {process.pid}\): it is not", told)
    assert "wait for that, then verify again" in told
    assert "runbook seal" not in told, "it would be refused"
    process.send_signal(number)
    shown, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert f"{number.name} ended the run in cell" in shown
    (folder,) = RunFolder.all(environment.outputs / "staging")
    assert not folder.sealed
    assert "at work" not in verify(environment.outputs)[0].sentence
    assert folder.events()[-1]["event"] == "interrupted"
    assert statuses(notebook)[-2:] == ["failed", "pending"]
    run(config, TINY[:1])
    assert read_sealed(folder).record.verdict == "interrupted"


def test_a_run_under_nohup_goes_on_until_it_is_told_to_end(
    config: str, environment: Environment
) -> None:
    process = sleeping(config, ignored=("SIGHUP", "SIGINT"))
    notebook = wait_for_sleep(environment)
    for number in (signal.SIGHUP, signal.SIGINT):
        process.send_signal(number)
    time.sleep(0.5)
    assert statuses(notebook)[-2:] == ["running", "pending"]
    process.send_signal(signal.SIGTERM)
    shown, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "SIGTERM ended the run in cell" in shown
    assert statuses(notebook)[-2:] == ["failed", "pending"]


def test_a_runner_that_is_killed_leaves_a_record_that_the_next_run_settles(
    config: str, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could write what became of the running cell: the next run does, and sweeps."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    process = sleeping(config)
    notebook = wait_for_sleep(environment)
    process.kill()
    process.communicate(timeout=30)
    assert statuses(notebook)[-2:] == ["running", "pending"]
    assert "not sealed" in verify(environment.outputs)[0].sentence
    (left,) = (tmp_path / "tmp").glob("runbook-kernel-*")
    run(config, TINY[:1])
    assert not left.exists()
    assert not list((tmp_path / "tmp").iterdir())
    folder = RunFolder.holding(notebook)
    assert folder is not None
    assert statuses(notebook)[-2:] == ["failed", "pending"]
    record = read_sealed(folder).record
    assert record.verdict == "interrupted"
    assert [(item.phase, item.status) for item in record.phases] == [("sleeps", "interrupted")]
    assert "before this cell had ended" in notebook.with_suffix(".html").read_text()
    assert 'href="sleeps.html"' in (folder.path / "record.html").read_text()
    assert all(result.ok for result in verify(environment.outputs))


def test_a_kernel_that_died_while_it_waited_is_replaced(config: str) -> None:
    started: list[Any] = []

    def start(*args: Any, **options: Any) -> Any:
        started.append(start_kernel(*args, **options))
        if len(started) == 2:
            signal_kernel(started[1], signal.SIGKILL)
            time.sleep(0.2)
        return started[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "start_kernel", start)
        outcome, _ = run(config, (TINY[0], TINY[1]))
    assert len(started) == 2
    assert outcome.digest, outcome.sentence


def wait_for_sleep(environment: Environment) -> Path:
    """Wait until the sleeping cell is running, and return its notebook."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for path in (environment.outputs / "staging").glob("*/sleeps.ipynb"):
            cells = json.loads(path.read_text())["cells"]
            if cells[-2]["metadata"].get("papermill", {}).get("status") == "running":
                time.sleep(0.3)
                return path
        time.sleep(0.05)
    raise AssertionError("the cell was never started")


class Links(HTMLParser):
    """Collects what a page would load or point to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "action")]


def links(page: Path) -> list[str]:
    parser = Links()
    text = page.read_text()
    parser.feed(text)
    assert not re.search(r"https?://|@import|url\((?!['\"]?data:)", text)
    return [link for link in parser.found if not link.startswith("data:")]


class TestPages:
    def test_every_link_leads_to_a_file_of_the_archive(self, config: str) -> None:
        waiting, _ = run(config, TINY[1:3])
        done, _ = run(config, TINY[1:3], approve=waiting.digest, by="<script>Ada")
        outputs = Path(config).parent / "outputs"
        pages = [outputs / "index.html", *done.folder.path.glob("*.html")]
        assert len(pages) == 4
        for page in pages:
            for link in links(page):
                file, _, place = link.partition("#")
                assert (page.parent / (file or page.name)).is_file(), f"{page.name}: {link}"
                assert file or f'id="{place}"' in page.read_text(), f"{page.name}: {link}"
        assert "<script>Ada" not in (outputs / "index.html").read_text()
        assert "<script>Ada" not in (done.folder.path / "record.html").read_text()

    def test_pages_are_the_same_each_time(self, config: str) -> None:
        done, _ = run(config, TINY[:1])
        outputs = Path(config).parent / "outputs"
        before = (outputs / "index.html").read_bytes()
        assert index.write(outputs).read_bytes() == before
        notebook = done.folder.path / "00_current_state.ipynb"
        html = notebook.with_suffix(".html").read_text()
        assert runner.pages.convert(notebook, "00_current_state") == html
        for text in (html, before.decode()):
            assert str(Path(config).parent) not in text
            assert sys.prefix not in text

    def test_no_run_goes_missing_from_the_index(self, environment: Environment) -> None:
        left, changed = (RunFolder.open(environment, "new") for _ in range(2))
        seal(changed, verdict="healthy", phases=[], scrub=scrub_for(environment))
        (changed.path / "run.json").write_text("{}")
        page = index.write(environment.outputs).read_text()
        assert f'{left.name}</code>, <span class="word open">open' in page
        assert f"{changed.name}</code>, " in page
        assert "its run.json was changed and cannot be read as a seal" in page

    def test_a_thousand_runs_are_listed_in_seconds(self, environment: Environment) -> None:
        folder = RunFolder.open(environment, "new")
        phases = [PhaseResult(phase=name, status="passed", sentence="x") for name in TINY]
        sealed = seal(folder, verdict="healthy", phases=phases, scrub=scrub_for(environment))
        seal_file = folder.path / "run.json"
        for number in range(1000):
            other = folder.path.parent / f"20250101T{number:06d}Z-{number:06x}"
            other.mkdir()
            shutil.copy(seal_file, other)
        begun = time.monotonic()
        page = index.write(environment.outputs).read_text()
        assert time.monotonic() - begun < 5
        assert page.count("<tr>") == 1003, "1,001 runs, and the heads of the last and the older"
        assert sealed.folder.name in page
