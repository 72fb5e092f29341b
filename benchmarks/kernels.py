"""What notebooks cost: the eight phases through the runner, against the same calls in one process.

The peer runs the notebooks' own code cells, one after the other, in a single plain Python process:
no kernel, no papermill, no outputs kept. Counted are the phases, each from its first cell to its
last; pages and seal are not. The runner starts every kernel ahead, while the notebook before it
runs; beside that it is measured with each kernel started when its notebook begins. The database is
the demonstration's staging, broken anew for each; the rollback is a dry run.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from benchmarks.measuring import Cost, Row
from runbook_lib import demo, runner
from runbook_lib.closing import results
from runbook_lib.evidence import PHASES

SCALE = ("--users", "50", "--transactions", "500")
PLAIN = """
import ast, json, sys, time
from runbook_lib.errors import ApprovalNeeded

took = {}
for number, path in enumerate(sys.argv[2:]):
    start, names = time.perf_counter(), {"__name__": "__main__"}
    given = {"environment": "staging", "config": sys.argv[1], "run": "latest" if number else "new"}
    with open(path, encoding="utf-8") as stream:
        cells = json.load(stream)["cells"]
    try:
        for cell in cells:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), path, "exec"), names)
            if "parameters" in cell["metadata"].get("tags", ()):
                names.update(given)
    except ApprovalNeeded:
        assert "90_rollback" in path
    took[path] = time.perf_counter() - start
print(json.dumps(took), file=sys.__stderr__)
"""


def rows(rounds: int) -> list[Row]:
    """Measure the plain calls, kernels started ahead, and kernels started when they are needed."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        shutil.copy(demo.CHECKOUT / "runbook.toml", root)
        works: dict[str, Callable[[Path], float]] = {
            "plain": _plain,
            "ahead": _through_the_runner,
            "cold": _cold,
        }
        try:
            found = [
                {name: _afresh(root, work) for name, work in works.items()} for _ in range(rounds)
            ]
        finally:
            demo.stop(lambda text: None, root=root)
    medians = {name: Cost(seconds=statistics.median(item[name] for item in found), cpu=0.0)
               for name in works}  # fmt: skip
    plain, ahead, cold = (medians[name] for name in works)
    return [
        Row(what="eight notebooks, kernels started ahead / plain calls", ours=ahead, peer=plain),
        Row(what="eight notebooks, kernels not started ahead / plain calls", ours=cold, peer=plain),
        Row(what="kernels started ahead / not", ours=ahead, peer=cold, limit=1.0),
    ]


def _afresh(root: Path, work: Callable[[Path], float]) -> float:
    """Break the databases anew, then return the seconds of the phases."""
    shutil.rmtree(root / "outputs", ignore_errors=True)
    demo.make_demo(root, scale=SCALE, echo=lambda text: None)
    return work(root)


def _plain(root: Path) -> float:
    config = str(root / "runbook.toml")
    paths = [str(runner.notebook_path(phase)) for phase in PHASES]
    command = [sys.executable, "-c", PLAIN, config, *paths]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    took: dict[str, float] = json.loads(done.stderr.splitlines()[-1])
    return sum(took.values())


def _through_the_runner(root: Path) -> float:
    """Run all phases, then the rollback's dry run; return the sum of what each notebook took."""
    total = 0.0
    for phases in (runner.ALL, PHASES[-1:]):
        done = runner.run(
            "staging", config=str(root / "runbook.toml"), phases=phases, echo=lambda text: None
        )
        if done.exit_code not in (0, 3):
            raise RuntimeError(done.sentence)
        total += sum(item.seconds for item in results(done.folder) if item.phase in phases)
    return total


def _cold(root: Path) -> float:
    with mock.patch.object(runner.Conductor, "_warm_kernel", return_value=None):
        return _through_the_runner(root)
