"""Small revision trees for tests, and Alembic's own opinion of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from alembic.script import ScriptDirectory

from runbook_lib.revisions import RevisionGraph, SourceTree, parse_tree

Parents = str | Sequence[str] | None

BODY = """
def upgrade():
    op.create_table("t_{name}", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade():
    op.drop_table("t_{name}")
"""


def revision(
    revision_id: str,
    down: Parents = None,
    depends: Parents = None,
    labels: Parents = None,
    *,
    created: str = "",
    body: str = BODY,
) -> str:
    """Return the text of a revision file in the layout of Alembic's template."""
    revises = down if isinstance(down, str) else ", ".join(down or ())
    date = f"Create Date: {created}\n" if created else ""
    return (
        f'"""Make {revision_id}\n\nRevision ID: {revision_id}\nRevises: {revises}\n{date}\n"""\n'
        "from alembic import op\nimport sqlalchemy as sa\n\n"
        f"revision = {revision_id!r}\ndown_revision = {_literal(down)}\n"
        f"branch_labels = {_literal(labels)}\ndepends_on = {_literal(depends)}\n\n"
        + body.replace("{name}", revision_id)
    )


def _literal(value: Parents) -> str:
    return repr(tuple(value) if isinstance(value, list) else value)


def tree(*texts: tuple[str, str] | str, location: str = "versions") -> SourceTree:
    """Return a tree; a text goes by its revision's id unless given as (file name, text)."""
    files = {}
    for number, item in enumerate(texts):
        name, text = (f"{number:03}.py", item) if isinstance(item, str) else item
        files[f"{location}/{name}"] = text
    return SourceTree(files=files, locations=(location,))


def graph(*edges: tuple[str, Parents] | tuple[str, Parents, Parents]) -> RevisionGraph:
    """Return the graph of (id, down_revision[, depends_on]) triples."""
    return parse_tree(tree(*(revision(*edge) for edge in edges)))


def put(source: SourceTree, folder: Path) -> Path:
    """Write the tree's files below ``folder``."""
    for path, text in source.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())
    return folder


def alembic(source: SourceTree, folder: Path) -> ScriptDirectory:
    """Load the tree with Alembic itself; a warning is an error."""
    put(source, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        script = ScriptDirectory(
            str(folder), version_locations=[str(folder / one) for one in source.locations]
        )
        script.get_heads()
    return script
