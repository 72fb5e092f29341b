"""The notebooks as people use them: working copies, stepped through in a real JupyterLab."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser import chromium, needs_chromium

from runbook_lib import demo
from runbook_lib.config import load_environment
from runbook_lib.errors import ConfigurationError
from runbook_lib.evidence import PHASES, RunFolder
from runbook_lib.lab import make_copies

SMALL = ("--users", "50", "--transactions", "500")


class TestCopies:
    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        path = tmp_path / "runbook.toml"
        path.write_text('[environments.live]\nurl_env = "LIVE_URL"\n')
        return path

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / ".runbook" / "lab" / "live"

    def test_they_say_visibly_which_environment_they_work_on(
        self, config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert make_copies("live", config, folder) == ()
        assert sorted(path.stem for path in folder.iterdir()) == sorted(PHASES)
        monkeypatch.chdir(folder)
        for phase in PHASES:
            told: dict[str, Any] = {}
            source = parameters(folder / f"{phase}.ipynb")
            exec(source, told)
            assert (told["environment"], told["run"]) == ("live", "latest")
            assert all("  # " in line for line in source.splitlines()), "comments stay"
            assert load_environment(told["environment"], told["config"]).folder == config.parent
            assert str(config.parent) not in source

    def test_but_for_the_parameters_they_are_the_notebooks(
        self, config: Path, folder: Path, repository: Path
    ) -> None:
        make_copies("live", config, folder)
        for phase in PHASES:
            copy = nbformat.read(folder / f"{phase}.ipynb", 4)
            origin = nbformat.read(repository / "notebooks" / f"{phase}.ipynb", 4)
            changed = [a.id for a, b in zip(copy.cells, origin.cells, strict=True) if a != b]
            assert changed == [f"{phase}-parameters-1"]

    def test_what_an_engineer_edited_is_kept_and_named(self, config: Path, folder: Path) -> None:
        make_copies("live", config, folder)
        edited, run, lost = (folder / f"{phase}.ipynb" for phase in PHASES[:3])
        change(edited, lambda nb: nb.cells.append(nbformat.v4.new_markdown_cell("mine")))
        change(run, lambda nb: nb.cells[1].update(execution_count=7))
        lost.unlink()
        before = edited.read_bytes(), run.read_bytes()
        assert make_copies("live", config, folder) == (edited.name,)
        assert (edited.read_bytes(), run.read_bytes()) == before, "outputs are kept too"
        assert lost.exists()

    def test_an_untouched_copy_follows_a_newer_notebook(self, config: Path, folder: Path) -> None:
        make_copies("live", config, folder)
        fresh = {path.name: path.read_bytes() for path in folder.iterdir()}
        other = config.with_name("other.toml")
        config.rename(other)
        assert make_copies("live", other, folder) == ()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} != fresh
        assert '"../../../other.toml"' in parameters(folder / "02_audit.ipynb").replace("'", '"')

    def test_a_broken_copy_is_told_and_not_replaced(self, config: Path, folder: Path) -> None:
        make_copies("live", config, folder)
        (folder / "01_backup.ipynb").write_text("<<<<<<< mine")
        with pytest.raises(ConfigurationError, match=r"01_backup\.ipynb cannot be read"):
            make_copies("live", config, folder)
        assert (folder / "01_backup.ipynb").read_text() == "<<<<<<< mine"


def parameters(path: Path) -> str:
    cells = nbformat.read(path, 4).cells
    return str(next(cell.source for cell in cells if "parameters" in cell.metadata["tags"]))


def change(path: Path, edit: Callable[[Any], object]) -> None:
    notebook = nbformat.read(path, 4)
    edit(notebook)
    nbformat.write(notebook, path)


# --- in the browser -------------------------------------------------------------------------


class Notebook:
    """One notebook in the JupyterLab that a page shows; cells go by their id's end."""

    def __init__(self, page: Any, path: str) -> None:
        self.page, self.path = page, path
        page.evaluate(OPEN, path)

    def run_all(self) -> None:
        self.page.evaluate("async () => { await jupyterapp.restored; }")
        self.page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")

    def run(self, cell: str) -> Any:
        self.page.evaluate(RUN, self.index(cell))
        return self.cell(cell)

    def write(self, cell: str, old: str, new: str) -> None:
        source = self.cell(cell)["source"]
        assert old in source
        self.page.evaluate(WRITE, [self.index(cell), source.replace(old, new)])

    def save(self) -> None:
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")

    def close(self) -> None:
        self.page.evaluate(CLOSE)

    @property
    def cells(self) -> list[Any]:
        found: list[Any] = self.page.evaluate(f"() => {CURRENT}.model.toJSON().cells")
        return [
            {**cell, "source": "".join(cell["source"])}
            for cell in found
            if cell["cell_type"] == "code"
        ]

    def cell(self, name: str) -> Any:
        (found,) = [cell for cell in self.cells if cell["id"].endswith(name)]
        return found

    def index(self, name: str) -> int:
        ids = self.page.evaluate(f"() => {CURRENT}.model.toJSON().cells.map((cell) => cell.id)")
        (found,) = [number for number, item in enumerate(ids) if item.endswith(name)]
        return int(found)

    @property
    def errors(self) -> list[list[str]]:
        """The traceback of each error that is shown: one line is a sentence of ours."""
        return [error for cell in self.cells for error in errors_of(cell)]

    def shown(self, cell: str) -> Any:
        """Scroll a cell into view; return how many pictures and tables of it can be seen."""
        return self.page.evaluate(SHOWN, self.index(cell))


def errors_of(cell: Any) -> list[list[str]]:
    return [out["traceback"] for out in cell["outputs"] if out["output_type"] == "error"]


CURRENT = "jupyterapp.shell.currentWidget.content"
OPEN = """async (path) => {
  await jupyterapp.restored;
  const soon = () => new Promise((done) => setTimeout(done, 100));
  const widget = await jupyterapp.commands.execute('docmanager:open', {path});
  const isUp = () => jupyterapp.shell.currentWidget === widget && widget.isVisible;
  for (let i = 0; i < 300 && !isUp(); i++) {
    jupyterapp.shell.activateById(widget.id); await soon();
  }
  await widget.context.ready; await widget.sessionContext.ready;
  for (let i = 0; i < 300 && widget.sessionContext.kernelDisplayStatus !== 'idle'; i++)
    await soon();
  if (jupyterapp.shell.currentWidget !== widget) throw new Error(`${path} does not come up`);
}"""
SETTLED = """() => {
  const widget = window.jupyterapp?.shell.currentWidget;
  return widget?.context?.path === '00_current_state.ipynb'
    && widget.sessionContext.kernelDisplayStatus === 'idle';
}"""
CLOSE = """async () => {
  const widget = jupyterapp.shell.currentWidget;
  await widget.context.save(); await widget.sessionContext.shutdown();
  await jupyterapp.commands.execute('application:close');
}"""
RUN = f"""async (index) => {{
  {CURRENT}.activeCellIndex = index;
  await jupyterapp.commands.execute('notebook:run-cell');
}}"""
WRITE = f"([index, text]) => {CURRENT}.widgets[index].model.sharedModel.setSource(text)"
SHOWN = f"""async (index) => {{
  const cell = {CURRENT}.widgets[index];
  await {CURRENT}.scrollToItem(index, 'start');
  await cell.ready;
  await new Promise((done) => setTimeout(done, 300));
  const seen = (tag) => [...cell.node.querySelectorAll('.jp-OutputArea-output ' + tag)]
    .filter((item) => item.checkVisibility() && item.getBoundingClientRect().height > 20);
  return {{pictures: seen('img').filter((item) => item.naturalWidth > 100).length,
          tables: seen('table').length}};
}}"""

SEES = f"""(sentence) => {{
  const view = {CURRENT}.node.getBoundingClientRect();
  const errors = [...{CURRENT}.node.querySelectorAll('[data-mime-type$="stderr"]')];
  const found = errors.filter((item) => item.innerText.replace(/\\s+/g, ' ').includes(sentence));
  const places = found.map((item) => item.getBoundingClientRect());
  return places.some((item) => item.height && item.top > view.top && item.bottom < view.bottom);
}}"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small demonstration of its own, both databases broken."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copy(demo.CHECKOUT / "runbook.toml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RUNBOOK_STATE", raising=False)
        demo.make_demo(folder, scale=SMALL, echo=lambda _: None)
        yield folder
        demo.stop(lambda _: None, root=folder)


@contextmanager
def lab(root: Path, environment: str) -> Iterator[str]:
    """Start ``runbook lab`` as a person does, and yield the address that it would open."""
    token, port = secrets.token_hex(16), free_port()
    jupyter = root / "jupyter" / environment
    folders = {f"JUPYTER_{name}_DIR": str(jupyter / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    spaces = {f"JUPYTERLAB_{x}_DIR": str(jupyter / x) for x in ("SETTINGS", "WORKSPACES")}
    flags = ["--no-browser", f"--ServerApp.port={port}", "--LabApp.expose_app_in_browser=True"]
    program = str(Path(sys.executable).with_name("runbook"))
    argv = [program, "lab", "-e", environment, "--", *flags]
    process = subprocess.Popen(
        [*argv, *(["--allow-root"] if os.geteuid() == 0 else [])],
        cwd=root,
        env={**os.environ, **folders, **spaces, "JUPYTER_TOKEN": token},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}/?token={token}"
    try:
        wait_for(address, process)
        yield address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start (exit code {process.poll()})")


@pytest.fixture
def open_page(root: Path, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Open an environment's JupyterLab in Chromium; return its page."""
    with ExitStack() as stack:

        def open_it(environment: str) -> Any:
            address = stack.enter_context(lab(root, environment))
            context = stack.enter_context(
                chromium(tmp_path / environment, viewport={"width": 1300, "height": 900})
            )
            page = context.pages[0]
            page.set_default_timeout(60_000)
            page.goto(address)
            page.wait_for_function(SETTLED)  # what comes up late would take the focus away
            return page

        yield open_it


@pytest.mark.browser
@needs_chromium
@pytest.mark.timeout(600)
def test_an_engineer_steps_through_the_repair_of_staging(
    root: Path, open_page: Callable[[str], Any]
) -> None:
    page = open_page("staging")
    page.wait_for_url("**/lab/tree/00_current_state.ipynb")
    stopped(page, "04_validation", at="precondition-1", says="Run notebooks/03_cleanup.ipynb first")

    looked = passed(page, "00_current_state")
    assert looked.shown("render-2")["pictures"] == 1
    looked.save()
    assert_drawn_without_trust(page, root)
    looked = passed(page, "02_audit", keep=True)
    first = html_of(looked.cell("verdict-2"))
    assert html_of(looked.run("verdict-2")) == first, "the verdict stands, however often"
    assert not errors_of(looked.run("setup-1"))
    looked.close()
    stopped(page, "03_cleanup", at="precondition-1", says="Run notebooks/01_backup.ipynb first")
    for phase in ("01_backup", "03_cleanup", "04_validation"):
        passed(page, phase)

    deployed = passed(page, "05_deployment", keep=True)
    deployed.save()
    assert not errors_of(deployed.run("apply-2"))
    before = html_of(deployed.cell("verdict-2"))
    assert html_of(deployed.run("verdict-2")) == before
    deployed.run_all()
    assert not deployed.errors
    told = json.dumps(deployed.cell("inspect-2")["outputs"])
    assert "the plan is applied, and nothing is applied twice" in told
    assert html_of(deployed.cell("verdict-2")) == before
    (folder,) = RunFolder.all(root / "outputs" / "staging")
    assert [event["event"] for event in folder.events()].count("applying") == 1
    deployed.close()
    passed(page, "06_prevention")
    passed(page, "90_rollback")
    passed(page, "02_audit")

    assert call(root, "seal", "-e", "staging").returncode == 0
    told = call(root, "verify", "-e", "staging").stdout
    assert "files are as sealed, verdict repaired, stepped through by hand." in told


def passed(page: Any, phase: str, keep: bool = False) -> Notebook:
    """Run a phase's notebook from its top; every cell ran, and what it shows can be seen."""
    notebook = Notebook(page, f"{phase}.ipynb")
    notebook.run_all()
    assert notebook.errors == []
    assert [cell["execution_count"] for cell in notebook.cells] == list(
        range(1, len(notebook.cells) + 1)
    )
    for cell in notebook.cells:
        drawn = html_of(cell).split("<details")[0]
        if "<table" in drawn or "<img" in drawn:
            seen = notebook.shown(cell["id"])
            assert seen["tables"] + seen["pictures"] >= 1, cell["id"]
    assert "✓ PASSED" in html_of(notebook.cells[-1])
    if not keep and phase != "00_current_state":
        notebook.close()
    return notebook


def html_of(cell: Any) -> str:
    return "".join("".join(out.get("data", {}).get("text/html", "")) for out in cell["outputs"])


def stopped(page: Any, phase: str, *, at: str, says: str) -> None:
    """Run a notebook whose gate is not met: one sentence, and nothing below it runs."""
    notebook = Notebook(page, f"{phase}.ipynb")
    notebook.run_all()
    assert says in sentence_of(notebook.cell(at))
    behind = notebook.cells[[cell["id"] for cell in notebook.cells].index(f"{phase}-{at}") + 1 :]
    assert behind
    assert {cell["execution_count"] for cell in behind} == {None}
    page.wait_for_function(SEES, arg=says)
    notebook.close()


def sentence_of(cell: Any) -> str:
    """Return the one line that a cell shows in place of a traceback."""
    ((line,),) = errors_of(cell)
    assert "Traceback" not in line
    assert "\n" not in line
    return str(line)


def assert_drawn_without_trust(page: Any, root: Path) -> None:
    """Somebody else's copy of an executed notebook: JupyterLab hides SVG there, and styles."""
    folder = root / ".runbook" / "lab" / "staging"
    notebook = nbformat.read(folder / "00_current_state.ipynb", 4)
    notebook.cells[0].source += "\n\nSent by mail."
    nbformat.write(notebook, folder / "mailed.ipynb")
    mailed = Notebook(page, "mailed.ipynb")
    trusted = page.evaluate(f"() => [...{CURRENT}.model.cells].map((cell) => cell.trusted)")
    assert not any(trusted)
    assert mailed.shown("render-2")["pictures"] == 1
    assert mailed.shown("render-4")["tables"] == 1
    mailed.close()


@pytest.mark.browser
@needs_chromium
@pytest.mark.timeout(600)
def test_production_waits_for_a_person_who_names_the_digest(
    root: Path, open_page: Callable[[str], Any]
) -> None:
    assert run(root, "staging").returncode == 0
    waiting = run(root, "production")
    assert waiting.returncode == 3, waiting.stdout
    (folder,) = RunFolder.all(root / "outputs" / "production")
    digest = json.loads((folder.path / "03_cleanup.json").read_text())["digest"]

    page = open_page("production")
    stopped(page, "05_deployment", at="gate-2", says=f"The plan {digest} for production waits")
    notebook = Notebook(page, "05_deployment.ipynb")
    for cell in ("parameters-1", "setup-1"):
        notebook.run(cell)
    assert "Run the gate's cell first." in sentence_of(notebook.run("apply-2"))
    notebook.write("parameters-1", 'approve: str = ""', 'approve: str = "0123456789abcdef"')
    notebook.run_all()
    assert "is approved, but the plan's is" in sentence_of(notebook.cell("gate-2"))
    notebook.write("parameters-1", "0123456789abcdef", digest)
    notebook.write("parameters-1", 'by: str = ""', 'by: str = "Ada"')
    notebook.close()
    deployed = passed(page, "05_deployment", keep=True)
    assert "Ada" in html_of(deployed.cell("gate-2"))


def run(root: Path, environment: str) -> subprocess.CompletedProcess[str]:
    return call(root, "run", "-e", environment)


def call(root: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("runbook"))
    return subprocess.run([program, *argv], cwd=root, capture_output=True, text=True, check=False)
