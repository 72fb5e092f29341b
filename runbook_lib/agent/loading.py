"""Loading: a revision that cannot be imported fails by itself and not with the whole tree."""

from __future__ import annotations

import ast
import importlib
import os
import types
from typing import Any

from runbook_lib.agent.tree import read


def install() -> None:
    """Let Alembic load a stand-in for every revision file whose import fails."""
    util: Any = importlib.import_module("alembic.util")
    load = util.load_python_file

    def load_python_file(folder: Any, name: Any) -> Any:
        try:
            return load(folder, name)
        except Exception as error:
            path = os.path.join(str(folder), str(name))
            stub = None if str(name) == "env.py" else stub_module(path, error)
            if stub is None:
                raise
            return stub

    util.load_python_file = load_python_file


def stub_module(path: str, error: Exception) -> Any:
    """Stand in for a revision that cannot be imported: it fails with that error when it runs."""
    names = ("revision", "down_revision", "depends_on", "branch_labels")
    found: dict[str, Any] = {}
    try:
        tree = ast.parse(read(path) or "")
        for node in tree.body:
            targets: list[Any] = list(getattr(node, "targets", []))
            if isinstance(node, ast.AnnAssign) and node.value:
                targets = [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id in names:
                    found[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
    except (SyntaxError, ValueError):
        return None
    if "revision" not in found:
        return None

    def fail(**keywords: Any) -> None:
        raise error

    module: Any = types.ModuleType(os.path.basename(path))
    module.__dict__.update({"down_revision": None, **found, "__file__": path})
    module.upgrade = module.downgrade = fail
    return module
