"""The house keeps its order: imports go one way, and modules stay small."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import runbook_lib

ROOT = Path(runbook_lib.__file__).parent
LONGEST = 400
PURE = (
    "agreement",
    "artifacts",
    "auditing",
    "branches",
    "case",
    "catalog",
    "ddl",
    "dialect",
    "differences",
    "discrepancies",
    "effects",
    "findings",
    "forensics",
    "foresight",
    "graph",
    "hypotheses",
    "inference",
    "kinship",
    "misnomers",
    "moves",
    "nearness",
    "neighbours",
    "orphans",
    "plan",
    "planning",
    "reckoning",
    "remedies",
    "revisions",
    "spelling",
    "suspects",
    "verdicts",
    "versions",
)


def modules() -> dict[str, Path]:
    """Every module by its dotted name; ``render`` counts as one room."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT.parent).with_suffix("").as_posix().replace("/", ".")
        found[name.removesuffix(".__init__")] = path
    return found


def imported(path: Path) -> set[str]:
    """What a module imports of the library when it is loaded itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runbook_lib"):
            module = node.module or ""
            own = {f"{module}.{alias.name}" for alias in node.names}
            found |= (own & set(modules())) or {module}
    return found


def test_imports_go_one_way() -> None:
    graph = {name: imported(path) - {name, "runbook_lib"} for name, path in modules().items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert order.index("runbook_lib.errors") < order.index("runbook_lib.cli")


def test_pure_rooms_touch_no_database_and_no_file() -> None:
    effects = {"psycopg2", "subprocess", "runbook_lib.postgres", "runbook_lib.project"}
    for name in PURE:
        tree = ast.parse((ROOT / f"{name}.py").read_text())
        used = {
            alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names
        } | imported(ROOT / f"{name}.py")
        assert not used & effects, name


def test_only_two_rooms_open_the_target_for_writing() -> None:
    """Everything else holds it through a session with default_transaction_read_only = on."""
    writers = {
        path.stem
        for path in ROOT.glob("*.py")
        if re.search(r"phase\.dsn, read_only=False|alone\(phase\.dsn", path.read_text())
    }
    assert writers == {"deployment", "going_back"}


def test_modules_stay_small() -> None:
    long = {
        path.name: lines
        for path in modules().values()
        if (lines := len(path.read_text().splitlines())) > LONGEST
    }
    assert not long
