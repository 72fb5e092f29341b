"""A run that is killed while it writes to the target: the next one converges, and both are kept."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib import demo
from runbook_lib.evidence import RunFolder
from runbook_lib.seal import sealed_runs
from runbook_lib.verification import verify

SMALL = ("--users", "60", "--transactions", "1200")
ORDER = ("completed", "running", "failed", "pending")
COMMAND = (sys.executable, "-m", "runbook_lib.cli", "run", "-e", "staging")


@pytest.fixture
def wallet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[demo.Demo]:
    shutil.copy(demo.CHECKOUT / "runbook.toml", tmp_path)
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / ".runbook"))
    yield demo.make_demo(tmp_path, scale=SMALL, echo=lambda _: None)
    demo.stop(lambda _: None, root=tmp_path)


def wait_for_event(home: Path, event: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        folders = RunFolder.all(home)
        if folders and any(line["event"] == event for line in folders[-1].events()):
            return
        time.sleep(0.02)
    raise TimeoutError(f"the run never said {event!r}")


def children(pid: int) -> set[int]:
    """Every process below ``pid``, by the kernel's own table."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = {pid}
    while more := {child for child, parent in pairs if parent in found} - found:
        found |= more
    return found - {pid}


@pytest.mark.corpus
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(12))
def test_killed_anywhere_then_run_again(wallet: demo.Demo, seed: int) -> None:
    """The runner, or a kernel, agent or program of its; any signal; before or while it writes."""
    chance, home = random.Random(seed), wallet.root / "outputs" / "staging"
    event = chance.choice(["opened", "applying", "applying"])
    number = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    runner = subprocess.Popen(COMMAND, cwd=wallet.root, start_new_session=True)
    wait_for_event(home, event)
    time.sleep(chance.random() * (0.6 if event == "applying" else 20))
    victims = [runner.pid, *sorted(children(runner.pid))]
    with contextlib.suppress(ProcessLookupError):
        os.kill(victims[0] if chance.random() < 0.5 else chance.choice(victims), number)
    runner.wait(timeout=240)
    time.sleep(2)
    for notebook in home.glob("*/*.ipynb"):
        marks = [
            cell["metadata"]["papermill"] for cell in json.loads(notebook.read_text())["cells"]
        ]
        order = [ORDER.index(mark["status"]) for mark in marks]
        assert order == sorted(order), notebook.name
    again = subprocess.run(COMMAND, cwd=wallet.root, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert all(result.ok for result in verify(wallet.root / "outputs"))
    there, transactions = demo._promised(wallet.addresses["staging"])
    assert all(there)
    assert transactions == wallet.transactions["staging"]


@pytest.mark.timeout(600)
def test_killed_while_applying_then_run_again(wallet: demo.Demo) -> None:
    home = wallet.root / "outputs" / "staging"
    runner = subprocess.Popen(COMMAND, cwd=wallet.root, start_new_session=True)
    try:
        wait_for_event(home, "applying")
    finally:
        os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()
    assert not RunFolder.all(home)[-1].sealed
    again = subprocess.run(COMMAND, cwd=wallet.root, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    verdicts = [run.record.verdict for run in sealed_runs(home)]
    assert verdicts[0] == "interrupted"
    assert verdicts[-1] in ("repaired", "healthy")
    assert all(result.ok for result in verify(wallet.root / "outputs"))
