"""The documentation says what the code does: generated pages, schemas, examples, links."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

import click
import pytest
import yaml
from browser import chromium, needs_chromium
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runbook_lib import cli, runner
from runbook_lib.artifacts import to_json
from runbook_lib.codes import CODES
from runbook_lib.config import load_environment, load_environments
from runbook_lib.dsn import Dsn
from runbook_lib.evidence import RUNNER_VARIABLE
from runbook_lib.forensics import DriftKind
from runbook_lib.prevention import schedule
from runbook_lib.seal import Sealed, read_sealed

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LIBRARY = ROOT / "runbook_lib"
PROJECT = ROOT / "tests" / "projects" / "plain"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
BY_HAND = [page for page in PAGES if page.parent.name != "reference"]

sys.path.insert(0, str(DOCS))
import generate  # noqa: E402  (a script beside the pages that it writes)

# What the design promises to every reader of an audit.
AUDIT = {"environment", "target", "tree", "current_heads", "revisions", "drift", "findings"}
NESTED = {
    "target": {"database", "server_version", "system_identifier", "version_table"},
    "tree": {"digest", "heads", "bases"},
    "revisions": {
        *("revision_id", "down_revisions", "depends_on", "file", "doc", "recorded", "executed"),
        *("verdict", "reason", "evidence"),
    },
    "findings": {"code", "severity", "subject", "message", "suggestion"},
}
EVIDENCE = {"kind", "object", "expected", "found"}


# The generated pages


def test_the_generated_pages_are_what_the_code_gives() -> None:
    assert CliRunner().invoke(cli.main, ["run", "--help"]).exit_code == 0
    assert generate.stale() == (), "run: make docs (whatever ran before in this process)"


def test_a_page_that_was_edited_or_that_nothing_makes_is_noticed(tmp_path: Path) -> None:
    copy = shutil.copytree(DOCS, tmp_path / "docs")
    page = copy / "reference" / "findings.md"
    page.write_text(page.read_text() + "more\n")
    (copy / "reference" / "other.md").write_text("")
    assert generate.stale(copy) == ("reference/findings.md", "reference/other.md")


def literals(node: ast.AST) -> Iterator[str]:
    """The texts in a module; an f-string ``drift-{…}`` stands for every kind of drift."""
    for item in ast.walk(node):
        if isinstance(item, ast.Constant) and isinstance(item.value, str):
            yield item.value
            yield item.value.partition(":")[0]
            if item.value == "drift-":
                yield from (f"drift-{kind}" for kind in get_args(DriftKind))


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(LIBRARY.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def test_every_finding_code_that_is_used_is_documented_and_the_other_way_round() -> None:
    used = {
        text
        for path, tree in modules()
        if path.name != "findings.py"
        for text in literals(tree)
        if text in CODES
    }
    assert set(CODES) - used == set()
    page = (DOCS / "reference" / "findings.md").read_text()
    assert set(re.findall(r"^### (.+)$", page, re.M)) == set(CODES)


def test_no_finding_is_made_with_a_code_that_is_not_documented() -> None:
    made = {
        item.args[0].value
        for _, tree in modules()
        for item in ast.walk(tree)
        if isinstance(item, ast.Call) and getattr(item.func, "id", "") == "finding"
        if isinstance(item.args[0], ast.Constant)
    }
    made |= {
        keyword.value.value
        for _, tree in modules()
        for item in ast.walk(tree)
        if isinstance(item, ast.Call) and getattr(item.func, "id", "") == "Refusal"
        for keyword in item.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    assert len(made) > 20
    assert made - set(CODES) == set()


def test_every_variable_of_the_environment_is_documented() -> None:
    named = {
        text
        for _, tree in modules()
        for text in literals(tree)
        if re.fullmatch(r"RUNBOOK_[A-Z_]+", text)
    }
    page = (DOCS / "reference" / "configuration.md").read_text()
    told = set(re.findall(r"^\| `(RUNBOOK_[A-Z_]+)` \|", page, re.M))
    assert told == named - {RUNNER_VARIABLE}


# Schemas


def validator(name: str) -> Draft202012Validator:
    document = json.loads((DOCS / "reference" / "schemas" / f"{name}.json").read_text())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


@pytest.mark.parametrize("name", sorted(generate.ARTIFACTS))
def test_every_artifact_fits_its_schema(name: str) -> None:
    cls, _ = generate.ARTIFACTS[name]
    checked = validator(name)

    @settings(
        max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(st.from_type(cls))
    def fits(artifact: Any) -> None:
        data = json.loads(json.dumps(to_json(artifact)))
        assert list(checked.iter_errors(data)) == []

    fits()


@pytest.fixture
def config(database: Dsn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose database records two revisions that did not run."""
    project = shutil.copytree(PROJECT, tmp_path / "project")
    path = tmp_path / "runbook.toml"
    path.write_text(
        f'[project]\nroot = "{project.name}"\n[project.env]\nDATABASE_URL = "{{url}}"\n'
        '[environments.staging]\nurl_env = "STAGING_URL"\nprotected = false\n'
    )
    monkeypatch.setenv("STAGING_URL", database.text)
    monkeypatch.chdir(tmp_path)
    return path


def test_a_real_audit_fits_its_schema_and_has_the_promised_fields(config: Path) -> None:
    done = CliRunner().invoke(cli.main, ["audit", "-e", "staging", "--json"])
    audit = json.loads(done.stdout)
    assert list(validator("audit").iter_errors(audit)) == []
    assert set(audit) >= AUDIT
    assert audit["revisions"]
    for field, names in NESTED.items():
        for item in audit[field] if isinstance(audit[field], list) else [audit[field]]:
            assert set(item) >= names
    evidence = [item for revision in audit["revisions"] for item in revision["evidence"]]
    assert evidence
    assert all(set(item) >= EVIDENCE for item in evidence)
    wrong = {**audit, "current_heads": "none"}
    assert [error.json_path for error in validator("audit").iter_errors(wrong)] == [
        "$.current_heads"
    ]


def test_a_real_archive_fits_the_schemas(config: Path) -> None:
    outcome = runner.run(
        "staging",
        config=str(config),
        phases=("00_current_state", "06_prevention"),
        echo=lambda text: None,
    )
    sealed: Sealed = read_sealed(outcome.folder)
    assert sealed.files
    expected = {
        "run.json": "run",
        "00_current_state.json": "audit",
        "00_current_state.result.json": "phase-result",
        "06_prevention.json": "prevention",
        "06_prevention.result.json": "phase-result",
    }
    for file, name in expected.items():
        data = json.loads((outcome.folder.path / file).read_text())
        assert list(validator(name).iter_errors(data)) == [], file


# Examples


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.M | re.S)
    return [text for language, text in found if language in languages]


def commands(page: Path) -> Iterator[str]:
    """Every command line that a page shows: after a prompt, in YAML, and within sentences."""
    for text in blocks(page, "console"):
        yield from re.findall(r"^\$ (.+)$", text.replace("\\\n", " "), re.M)
    for text in blocks(page, "yaml"):
        for line in text.splitlines():
            yield re.sub(r"^\s*(- )?(run: )?", "", line)
    yield from re.findall(r"`(runbook [^`]+)`", re.sub(r"\s+", " ", page.read_text()))


def calls(line: str) -> Iterator[list[str]]:
    """The words of each ``runbook`` in a command line, up to what the shell reads."""
    for part in re.split(r"[;&|>#]+", line):
        words = shlex.split(part.replace("…", "")) if part.count("'") % 2 == 0 else []
        if words and words[0] == "runbook":
            yield words[1:]


def shown() -> list[tuple[str, list[str]]]:
    return [
        (page.name, words) for page in BY_HAND for line in commands(page) for words in calls(line)
    ]


@pytest.mark.parametrize(("page", "words"), shown())
def test_every_command_shown_is_understood(page: str, words: list[str]) -> None:
    parse(words)


def parse(words: list[str]) -> None:
    """Parse as the command line does, and run nothing. Raises click.UsageError."""
    context = cli.main.make_context("runbook", list(words), resilient_parsing=False)
    name, command, rest = cli.main.resolve_command(
        context, [*context._protected_args, *context.args]
    )
    assert command is not None
    if set(rest) & {"-h", "--help"} or ("-e" not in rest and set(rest) <= {"--json"}):
        return  # named in a sentence without what it needs
    command.make_context(name, rest, parent=context)


def test_what_is_not_understood_is_noticed() -> None:
    assert len(shown()) > 40
    for line in ("runbook run -e staging --aprove X", "runbook repair -e staging"):
        with pytest.raises(click.UsageError):
            parse(*calls(line))


@pytest.mark.parametrize("page", BY_HAND, ids=lambda page: page.name)
def test_every_configuration_shown_is_valid(page: Path, tmp_path: Path) -> None:
    for text in blocks(page, "toml"):
        path = tmp_path / "runbook.toml"
        after = "" if "[environments.staging]" in text else "[environments.staging]\n"
        path.write_text(f"{text}\n{after}")
        assert load_environments(path)


@pytest.mark.parametrize("page", BY_HAND, ids=lambda page: page.name)
def test_every_yaml_shown_can_be_read(page: Path) -> None:
    for text in blocks(page, "yaml"):
        assert yaml.safe_load(text)


CI = DOCS / "how-to" / "ci.md"
WAITING = ["run", "-e", "production"]


def scripts(job: dict[str, Any]) -> list[list[str]]:
    """The words of every ``runbook`` that a job calls, in order (GitHub's steps or GitLab's)."""
    steps = [str(step.get("run", "")) for step in job.get("steps", ())]
    lines = "\n".join([*steps, *map(str, job.get("script", ()))]).splitlines()
    return [words for line in lines for words in calls(line.strip())]


def workflow(number: int) -> dict[str, Any]:
    """The jobs of GitHub's file (0) or GitLab's (1)."""
    data = yaml.safe_load(list(blocks(CI, "yaml"))[number])
    jobs = data.get("jobs", data)
    return {name: job for name, job in jobs.items() if name in ("staging", "plan", "production")}


@pytest.mark.parametrize("number", [0, 1])
def test_a_job_that_a_person_releases_stands_between_plan_and_deployment(number: int) -> None:
    jobs = workflow(number)
    assert list(jobs) == ["staging", "plan", "production"]
    said = {name: scripts(job) for name, job in jobs.items()}
    for words in (words for lines in said.values() for words in lines):
        parse(words)
    assert said["staging"] == [["run", "-e", "staging"]]
    assert said["plan"] == [[*WAITING, "--json"]], "nothing is approved where the plan is made"
    deploy = next(words for words in said["production"] if words[0] in ("run", "approve"))
    assert "--approve" in deploy or deploy[0] == "approve"
    assert "--by" in deploy
    assert "$DIGEST" in deploy, "exactly the digest that the plan's job showed"
    assert jobs["production"]["environment"] == "production"


def test_nothing_is_installed_by_a_name_that_no_index_holds() -> None:
    """Under a name that is free anybody may put a package, and CI would run it on production."""
    snippets = schedule(load_environment("staging", str(ROOT / "runbook.toml")))
    shown = [page.read_text() for page in PAGES] + [*snippets.values()]
    assert not [text for text in shown if re.search(r"pip install [^\n`]*alembic-runbook", text)]
    for name in ("GitHub Actions", "GitLab CI"):
        assert 'pip install "$RUNBOOK"' in str(yaml.safe_load(snippets[name]))


def test_github_s_deployment_waits_for_the_plan_and_gitlab_s_for_a_click() -> None:
    github, gitlab = workflow(0), workflow(1)
    assert (github["plan"]["needs"], github["production"]["needs"]) == ("staging", "plan")
    assert "outputs.code == '3'" in github["production"]["if"]
    assert github["production"]["steps"][-2].get("run") == "runbook verify"
    assert [gitlab[name]["stage"] for name in gitlab] == ["staging", "plan", "production"]
    assert gitlab["production"]["rules"] == [{"when": "manual", "allow_failure": False}]


# The pages as built


class Page(HTMLParser):
    """The links and the anchors of one page, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        self.links |= {value for name in ("href", "src") if (value := given.get(name))}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The site, built anew: its pages by their path."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    shutil.copytree(DOCS, folder / "docs")
    program = Path(sys.executable).with_name("zensical")
    done = subprocess.run(
        [str(program), "build", "--strict"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = folder / "site"
    return {path: Page(path.read_text()) for path in made.rglob("*.html") if path.stem != "404"}


def test_every_page_is_built_and_can_be_found(site: dict[Path, Page]) -> None:
    names = {path.stem for path in site}
    assert names == {page.stem for page in PAGES} - {"README"}
    (start,) = (path for path in site if path.name == "index.html" and path.parent.name == "site")
    reached = {(start.parent / urlsplit(link).path).resolve() for link in site[start].links}
    assert {path.resolve() for path in site} <= reached


def test_every_link_resolves_and_nothing_comes_from_elsewhere(site: dict[Path, Page]) -> None:
    known = {path.resolve(): page for path, page in site.items()}
    for path, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            assert not parts.scheme, (path.name, link)
            assert not parts.netloc, (path.name, link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            assert target.exists(), (path.name, link)
            if parts.fragment and target in known:
                assert parts.fragment in known[target].anchors, (path.name, link)


@pytest.mark.browser
@needs_chromium
@pytest.mark.timeout(120)
def test_the_search_works_from_a_disk_with_the_network_off(
    site: dict[Path, Page], tmp_path: Path
) -> None:
    (page_of_ci,) = (path for path in site if path.name == "ci.html")
    with chromium(tmp_path, offline=True) as context:
        page = context.pages[0]
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(page_of_ci.as_uri())
        page.click(".md-search__button")
        box = page.get_by_placeholder("Search", exact=True)
        box.press_sequentially("inferred baseline", delay=50)
        page.get_by_text(re.compile(r"^\d+ results?$")).wait_for()
        assert box.input_value() == "inferred baseline"
        assert errors == []
