"""The files that say what to install agree with one another."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture
def project(repository: Path) -> dict[str, Any]:
    """The ``[project]`` table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    return table


@pytest.fixture
def environment(repository: Path) -> dict[str, Any]:
    """environment.yml, with its pip list taken out of ``dependencies`` to ``pip``."""
    data: dict[str, Any] = yaml.safe_load((repository / "environment.yml").read_text())
    *programs, last = data["dependencies"]
    return {**data, "dependencies": programs, "pip": last["pip"]}


def asked(project: dict[str, Any]) -> list[str]:
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


def test_conda_gives_what_pyproject_asks_for(
    project: dict[str, Any], environment: dict[str, Any]
) -> None:
    options = [item for item in environment["pip"] if item.startswith("-")]
    assert [item for item in environment["pip"] if item not in options] == asked(project)
    assert options == ["-c constraints.txt", "-e ."]
    assert environment["name"] == project["name"]


def test_conda_gives_the_programs_and_the_same_python(
    project: dict[str, Any], environment: dict[str, Any]
) -> None:
    assert f"python{project['requires-python']}" in environment["dependencies"]
    assert {"pip", "graphviz", "postgresql"} <= set(environment["dependencies"])
    assert environment["channels"] == ["conda-forge", "nodefaults"]


def test_constraints_hold_versions_only(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text().splitlines()
    assert [
        line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)
    ] == []
    names = [canonicalize_name(line.split("==")[0]) for line in lines]
    assert len(names) == len(set(names))


def test_constraints_fit_what_pyproject_asks_for(repository: Path, project: dict[str, Any]) -> None:
    lines = (repository / "constraints.txt").read_text().split()
    versions = {canonicalize_name(name): v for name, v in (line.split("==") for line in lines)}
    for requirement in map(Requirement, asked(project)):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])


def test_the_package_asks_for_what_its_code_imports(
    repository: Path, project: dict[str, Any]
) -> None:
    """What the library imports is its own, Python's, a dependency's, or one that those name.

    (The last are Jupyter's parts: nbclient without nbformat does not exist.)
    """
    direct = named(project["dependencies"])
    asked_for = direct.union(*(named(requires(name) or []) for name in direct))
    own = {"runbook_lib", *sys.stdlib_module_names}
    providers = packages_distributions()
    for file in (repository / "runbook_lib").rglob("*.py"):
        if file.parent.name == "agent":  # runs in the user's project, with what that has
            continue
        for name in imported(file) - own:
            assert {canonicalize_name(item) for item in providers[name]} & asked_for, (file, name)


def named(requirements: list[str]) -> set[str]:
    parsed = map(Requirement, requirements)
    return {
        canonicalize_name(item.name)
        for item in parsed
        if item.marker is None or item.marker.evaluate({"extra": ""})
    }


def imported(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    from_ = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in (*plain, *from_)}
