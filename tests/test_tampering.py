"""The archive's adversary: whatever is done to a file or a run, ``verify`` says so in one line."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook_lib import cli, index
from runbook_lib.artifacts import digest, file_digest
from runbook_lib.closing import plan_digest, seal_run
from runbook_lib.config import Environment, ProjectSettings
from runbook_lib.errors import ConfigurationError, SafetyError
from runbook_lib.evidence import RunFolder
from runbook_lib.files import pretty
from runbook_lib.promotion import Approval
from runbook_lib.scrub import Scrub
from runbook_lib.seal import Sealed, read_sealed, seal
from runbook_lib.verification import fault_of, verify

PLAN = {"environment": "staging", "steps": ["one"]}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(
        name="staging",
        project=ProjectSettings(),
        folder=tmp_path,
        outputs=tmp_path / "outputs",
        url_env="X",
    )


def deployed_run(environment: Environment, /, **other: str) -> Sealed:
    """Seal a run that approved its plan and applied it; ``other`` changes the approval."""
    folder = RunFolder.open(environment, "new")
    folder.write("plan", PLAN)
    given = {"environment": "staging", "digest": digest(PLAN), "by": "Ada", "how": "", **other}
    approval = Approval.from_json({"at": "2026-01-01T00:00:00Z", **given})
    folder.write("approval", approval)
    (folder.path / "backup").mkdir()
    folder.write_text("backup/full.dump", f"rows of {folder.name}")
    if not other.get("how"):
        folder.append_event("approved", "05_deployment", digest=approval.digest)
    folder.append_event("applying", "05_deployment", digest=digest(PLAN))
    return seal(
        folder,
        verdict="repaired",
        phases=[],
        scrub=Scrub(),
        plan_digest=digest(PLAN),
        approval=approval,
    )


@pytest.fixture
def runs(environment: Environment) -> list[Sealed]:
    return [deployed_run(environment) for _ in range(3)]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[random.Random(path.name).randrange(len(data))] ^= 1 << random.Random(0).randrange(8)
    path.write_bytes(data)


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_a_link(path: Path) -> None:
    aside = path.rename(path.parents[3] / f"aside-{path.name}")
    path.symlink_to(aside)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def nest_deeply(path: Path) -> None:
    path.write_text("[" * 100_000)


def swap_case(path: Path) -> None:
    path.rename(path.with_name(path.name.swapcase()))


TAMPERINGS: tuple[Callable[[Path], object], ...] = (
    flip,
    become_a_pipe,
    become_a_link,
    become_a_folder,
    nest_deeply,
    swap_case,
    lambda path: path.unlink(),
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    lambda path: path.rename(path.with_name("renamed")),
    lambda path: shutil.copy(path, path.with_name("copy.json")),
    lambda path: shutil.copy(path, path.with_name(f"{path.name} ")),
)


@pytest.mark.parametrize("tamper", TAMPERINGS)
def test_every_file_of_every_run(
    environment: Environment, runs: list[Sealed], tmp_path: Path, tamper: Callable[[Path], object]
) -> None:
    whole = shutil.copytree(environment.outputs, tmp_path / "whole")
    for run in runs:
        for name in (*run.files, "run.json"):
            tamper(run.folder.path / name)
            bad = [result.name for result in verify(environment.outputs) if not result.ok]
            assert f"staging/{run.folder.name}" in bad, name
            shutil.rmtree(environment.outputs)
            shutil.copytree(whole, environment.outputs)


def test_swapped_files_and_older_runs_in_newer_places(
    environment: Environment, runs: list[Sealed]
) -> None:
    first, second, third = (run.folder.path for run in runs)
    for a, b in ((first / "backup/full.dump", third / "backup/full.dump"), (first, second)):
        aside = a.rename(environment.folder / "aside")
        b.rename(a)
        aside.rename(b)
        assert len([result for result in verify(environment.outputs) if not result.ok]) == 2
        aside = a.rename(environment.folder / "aside")
        b.rename(a)
        aside.rename(b)
    shutil.rmtree(third)
    shutil.copytree(first, third)
    bad = [result.sentence for result in verify(environment.outputs) if not result.ok]
    assert "swapped or renamed" in bad[-1]


def rewritten(run: Sealed, change: Callable[[str], str]) -> str:
    """Rewrite a run's seal, and the head pointer to it, as somebody without scruples would."""
    path = run.folder.path / "run.json"
    path.write_text(change(path.read_text()))
    link = {"run": run.folder.name, "sha256": file_digest(path)}
    (run.folder.path.parent / "HEAD.json").write_bytes(pretty(link))
    (result,) = [item for item in verify(run.folder.path.parents[1]) if not item.ok]
    return result.sentence


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"verdict": ', '"verdict": "healthy",\n    "verdict": '),
        lambda text: text.replace('"verdict": "repaired"', '"verdict": NaN'),
        lambda text: text.replace('"verdict": "repaired"', '"verdict": "fine"'),
        lambda text: text.replace('"subject": [', '"subject": [], "other": ['),
        lambda text: text.replace('"name": "plan.json"', '"name": "../plan.json"'),
        lambda text: f" {text}",
        lambda text: "\ufeff" + text,
        lambda text: "[]",
    ],
)
def test_a_seal_that_readers_could_take_in_two_ways(
    runs: list[Sealed], change: Callable[[str], str]
) -> None:
    assert rewritten(runs[-1], change)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"digest": "0" * 64}, "another plan than the one that was applied"),
        ({"environment": "production"}, "one for production"),
        ({"at": "2999-01-01T00:00:00Z"}, "after the first write"),
        ({"how": "never logged"}, "before any approval"),
    ],
)
def test_an_approval_that_does_not_fit_what_was_done(
    environment: Environment, other: dict[str, str], sentence: str
) -> None:
    run = deployed_run(environment, **other)
    (result,) = verify(environment.outputs)
    assert not result.ok
    assert sentence in result.sentence
    assert sentence in fault_of(run.folder)


def test_a_plan_or_approval_exchanged_after_the_fact(environment: Environment) -> None:
    """Sealed anew without a signature, so that every digest is right: the story is not."""
    run = deployed_run(environment)
    (run.folder.path / "run.json").unlink()
    (run.folder.path / "plan.json").write_bytes(pretty({**PLAN, "steps": ["another"]}))
    record = run.record
    seal(
        run.folder,
        verdict=record.verdict,
        phases=[],
        scrub=Scrub(),
        plan_digest=record.plan_digest,
        approval=record.approval,
    )
    assert "plan.json is not the plan that its seal names" in fault_of(run.folder)


def test_names_that_cannot_be_written_down(environment: Environment) -> None:
    folder = RunFolder.open(environment, "new")
    for name in (b"\xff.txt", b"a\nb", b"\x1b[31m"):
        path = os.path.join(os.fsencode(folder.path), name)
        with open(path, "wb"):
            pass
        with pytest.raises(SafetyError, match="cannot be written down"):
            seal(folder, verdict="healthy", phases=[], scrub=Scrub())
        os.unlink(path)


class TestExpected:
    """What no archive can tell of itself, a digest that was kept elsewhere can."""

    @pytest.fixture
    def rewrites(self, environment: Environment, runs: list[Sealed]) -> list[Sealed]:
        """The newest run dropped and the pointer put back: a chain without a fault."""
        shutil.rmtree(runs[2].folder.path)
        head = {"run": runs[1].folder.name, "sha256": runs[1].sha256}
        (runs[1].folder.path.parent / "HEAD.json").write_bytes(pretty(head))
        assert all(result.ok for result in verify(environment.outputs))
        return runs

    def test_a_dropped_newest_run(self, environment: Environment, rewrites: list[Sealed]) -> None:
        pins = [run.sha256 for run in rewrites]
        kept, lost = verify(environment.outputs, expect=(pins[1], pins[2]))[-2:]
        assert (kept.ok, lost.ok) == (True, False)
        assert "its newest runs are gone" in lost.sentence
        later = verify(environment.outputs, expect=(pins[0][:12],))[-1]
        assert "1 later" in later.sentence

    def test_the_command_says_what_it_cannot_know(
        self, environment: Environment, rewrites: list[Sealed]
    ) -> None:
        call = ["verify", "--outputs", str(environment.outputs)]
        plain = CliRunner().invoke(cli.main, call)
        assert plain.exit_code == 0
        assert f"staging {rewrites[1].sha256}" in plain.output
        (rewrites[0].folder.path / "plan.json").write_text("{}")
        bad = CliRunner().invoke(cli.main, call)
        assert "plan.json was changed after the seal." in bad.output
        assert bad.output.splitlines()[-1].startswith("What is marked ✗ proves nothing")
        assert rewrites[1].sha256 not in bad.output, "no digest of a bad archive is worth keeping"
        RunFolder.open(environment, "new")
        bad = CliRunner().invoke(cli.main, call)
        told = bad.output.splitlines()
        assert "runbook seal -e staging, or left behind by: runbook run -e staging" in told[-1]
        assert told[-2].startswith("What is marked ✗ proves nothing")
        (rewrites[0].folder.path / "plan.json").write_bytes(pretty(PLAN))
        only_open = CliRunner().invoke(cli.main, call)
        assert only_open.exit_code == 1
        assert "who could write here" not in only_open.output, "nobody is accused of a run at work"
        wrong = CliRunner().invoke(cli.main, [*call, "--expect", rewrites[2].sha256])
        assert wrong.exit_code == 1
        with pytest.raises(ConfigurationError, match="no digest to expect"):
            verify(environment.outputs, expect=("xyz",))


def test_a_clock_that_went_back_is_noted_and_the_chain_holds(environment: Environment) -> None:
    first, second = (RunFolder.open(environment, "new") for _ in range(2))
    ahead = json.dumps({"at": "2099-01-01T00:00:00Z", "event": "started", "phase": "02_audit"})
    with (second.path / "events.jsonl").open("a") as stream:
        stream.write(f"{ahead}\n")
    for folder in (second, first):  # sealed in the other order, too
        folder.append_event("interrupted")
        sealed = seal_run(folder, "failed", Scrub())
        assert bool(sealed.record.notes) is (folder == second)
        noted = "The clock went back" in (folder.path / "record.html").read_text()
        assert noted is (folder == second)
    assert all(result.ok for result in verify(environment.outputs))


def test_a_clock_that_was_behind_the_run_before_is_noted(environment: Environment) -> None:
    ahead = environment.outputs / "staging" / "20990101T000000Z-abcdef"
    ahead.mkdir(parents=True)
    folder = RunFolder.open(environment, "new")
    assert folder.name > ahead.name, "the order of names is the order of runs"
    sealed = seal_run(folder, "failed", Scrub())
    assert ["behind the run before" in note for note in sealed.record.notes] == [True]


def test_the_log_may_be_torn_or_strange(environment: Environment) -> None:
    folder = RunFolder.open(environment, "new")
    with (folder.path / "events.jsonl").open("ab") as stream:
        stream.write(b'\xff\xfe\n[1]\n"text"\n' + b"[" * 100_000 + b"\n{")
    assert [event["event"] for event in folder.events()] == ["opened"]
    assert json.loads(json.dumps(folder.events()))


def test_a_page_of_all_runs_that_they_do_not_make_is_told(
    environment: Environment, runs: list[Sealed]
) -> None:
    call = ["verify", "--outputs", str(environment.outputs)]
    page = index.write(environment.outputs)
    assert "index.html" not in CliRunner().invoke(cli.main, call).output
    page.write_text(page.read_text().replace("repaired", "healthy"))
    told = CliRunner().invoke(cli.main, call)
    assert told.exit_code == 0, "another version may have made it, and no seal names it"
    assert "! index.html is not the page that these runs make now" in told.output


def test_a_seal_is_read_as_it_was_written(runs: list[Sealed]) -> None:
    assert read_sealed(runs[0].folder) == runs[0]


@pytest.mark.parametrize("become", [become_a_folder, become_a_pipe, become_a_link, nest_deeply])
@pytest.mark.parametrize("file", ["events.jsonl", "plan.json", "HEAD.json"])
def test_what_a_run_at_work_left_may_be_strange(
    environment: Environment, become: Callable[[Path], object], file: str
) -> None:
    """Nothing hangs, and nothing ends in a traceback; what cannot be read counts for nothing."""
    deployed_run(environment)
    folder = RunFolder.open(environment, "new")
    folder.write("plan", PLAN)
    home = folder.path.parent
    become(folder.path / file if (folder.path / file).exists() else home / file)
    good, unsealed = verify(environment.outputs)
    assert (good.ok, unsealed.ok) == (True, False)
    assert index.write(environment.outputs).exists()
    assert plan_digest(folder) == ""


def test_names_that_would_act_on_a_terminal_are_shown_and_do_nothing(
    environment: Environment, runs: list[Sealed]
) -> None:
    odd = os.fsencode(environment.outputs / "\x1b[2Jold") + b"\n\xff"
    shutil.copytree(os.fsencode(runs[0].folder.path), os.path.join(odd, b"20260101T000000Z-aaaaaa"))
    told = CliRunner().invoke(cli.main, ["verify", "--outputs", str(environment.outputs)])
    assert told.exit_code == 1
    (line,) = [line for line in told.output.splitlines() if "swapped or renamed" in line]
    assert "[2Jold" in line
    assert "\x1b" not in told.output
