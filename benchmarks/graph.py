"""The revision graph of a large tree, against Alembic's own loading of it.

Alembic imports each file (once before, to warm its compiled files up, so that it is at its
fastest); the runbook parses the files' texts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from alembic.script import ScriptDirectory

from benchmarks.measuring import Row, in_turns
from runbook_lib import source
from runbook_lib.revisions import SourceTree, parse_tree, topological, tree_findings

REVISIONS, LIMIT = 5_000, 0.5
FILE = '''"""Make table {name}

Revision ID: {name}
Revises: {parent}
Create Date: 2024-01-01 00:00:00

"""
from typing import Sequence, Union

import sqlalchemy as sa
from alembic import op

# revision identifiers, used by Alembic.
revision: str = "{name}"
down_revision: Union[str, Sequence[str], None] = {down}
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    op.create_table(
        "t_{name}",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
    )
    op.create_index("ix_t_{name}_name", "t_{name}", ["name"], unique=True)
    op.add_column("t_{name}", sa.Column("note", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("t_{name}", "note")
    op.drop_index("ix_t_{name}_name", table_name="t_{name}")
    op.drop_table("t_{name}")
'''


def build(folder: Path, revisions: int) -> SourceTree:
    """Write a tree with a branch and its merge at every tenth revision."""
    (folder / "versions").mkdir()
    files = {}
    for number in range(revisions):
        parents = _parents(number)
        text = FILE.format(
            name=_name(number),
            parent=", ".join(parents),
            down=repr(parents if len(parents) > 1 else parents[0] if parents else None),
        )
        files[f"versions/{_name(number)}.py"] = text
    for path, text in files.items():
        (folder / path).write_text(text)
    return SourceTree(files=files, locations=("versions",))


def _parents(number: int) -> tuple[str, ...]:
    if number == 0:
        return ()
    place = number % 10
    if place == 2:
        return (_name(number - 2),) if number > 2 else (_name(0),)
    if place == 3:
        return (_name(number - 1), _name(number - 2))
    return (_name(number - 1),)


def _name(number: int) -> str:
    return f"{number:012x}"


def _load_with_alembic(folder: Path) -> None:
    script = ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])
    list(script.walk_revisions())


def _parse(tree: SourceTree) -> None:
    source.read.cache_clear()
    graph = parse_tree(tree)
    topological(graph)
    tree_findings(graph)


def rows(rounds: int) -> list[Row]:
    """Measure both on a tree of 5,000 revisions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = build(folder, REVISIONS)
        _load_with_alembic(folder)
        works = {"peer": lambda: _load_with_alembic(folder), "ours": lambda: _parse(tree)}
        costs = in_turns(works, rounds, None)
    what = f"graph of {REVISIONS:,} revisions / Alembic's load"
    return [Row(what=what, ours=costs["ours"], peer=costs["peer"], limit=LIMIT)]
