"""Shapes: Alembic trees made for the purpose, each unlike the others in what a revision is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

ENV = """
import os

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = '''"""Revision {number}."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "r{number:04}"
down_revision = {down!r}


def upgrade():
{body}


def downgrade():
    pass
'''
TABLE = """op.create_table(
    "t{number}",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("parent_id", sa.Integer, {key}index=True),
    sa.Column("name", sa.String(80), nullable=False, unique=True),
    sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
    sa.CheckConstraint("length(name) > 1", name="ck_t{number}_name"),
)"""
COLUMN = """op.add_column("t{table}", sa.Column("c{number}", sa.Numeric(12, 2)))
op.create_index("ix_t{table}_c{number}", "t{table}", ["c{number}"])"""
CHANGES = (
    'op.alter_column("t{table}", "name", type_=sa.String({size}))',
    'op.alter_column("t{table}", "parent_id", new_column_name="p{number}")',
    'op.create_table_comment("t{table}", "of revision {number}")',
    'op.create_check_constraint("ck{number}", "t{table}", "id > -{number}")',
)
ENUM = """kind = postgresql.ENUM("a", "b", name="kind{number}")
kind.create(op.get_bind())
op.add_column("t{table}", sa.Column("kind{number}", kind))"""
VALUE = """with op.get_context().autocommit_block():
    op.execute("ALTER TYPE kind{number} ADD VALUE 'v{turn}'")"""
RAW = (
    "CREATE VIEW v{number} AS SELECT id, name FROM t{table} WHERE id > {number}",
    "CREATE FUNCTION f{number}() RETURNS trigger LANGUAGE plpgsql"
    " AS $$ BEGIN NEW.id = {number}; RETURN NEW; END $$;"
    " CREATE TRIGGER g{number} BEFORE UPDATE ON t{table} FOR EACH ROW"
    " EXECUTE FUNCTION f{number}()",
    "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_class WHERE relname = 'r{number}')"
    " THEN CREATE TABLE r{number} (id bigint PRIMARY KEY); END IF; END $$",
    "UPDATE t{table} SET name = upper(name)",
)


def _table(number: int, parent: int) -> str:
    key = f'sa.ForeignKey("t{parent}.id"), ' if parent != number else ""
    return TABLE.format(number=number, key=key)


def tiny(revisions: int = 150) -> Iterator[str]:
    """Two in five create a table, the others add an indexed column to the newest."""
    table = 0
    for number in range(revisions):
        if number % 5 in (0, 2):
            yield _table(number, table)
            table = number
        else:
            yield COLUMN.format(table=table, number=number)


def many() -> Iterator[str]:
    yield from tiny(300)


def tables(revisions: int = 30, each: int = 10) -> Iterator[str]:
    """Every revision creates ten tables."""
    for number in range(revisions):
        first = number * each
        yield "\n".join(_table(item, max(0, item - 1)) for item in range(first, first + each))


def big() -> Iterator[str]:
    yield from tables(5, 60)


def wide(revisions: int = 30, columns: int = 60) -> Iterator[str]:
    """Tables of sixty columns, and another ten columns for every one of them."""
    for number in range(revisions):
        new = "".join(f'sa.Column("c{item}", sa.String({item + 1})), ' for item in range(columns))
        more = "\n".join(
            f'op.add_column("w{number - 1}", sa.Column("d{item}", sa.Integer))'
            for item in range(10)
        )
        made = f'op.create_table("w{number}", sa.Column("id", sa.Integer, primary_key=True), {new})'
        yield f"{made}\n{more}" if number else made


def changing(revisions: int = 120) -> Iterator[str]:
    """Types, renames, comments and checks on twelve tables, in turn."""
    yield "\n".join(_table(item, max(0, item - 1)) for item in range(12))
    for number in range(1, revisions):
        change, turn = CHANGES[number % 4], number // 4
        table = turn % 12
        if number % 4 == 1:
            old = "parent_id" if turn < 12 else f"p{number - 48}"
            change = change.replace("parent_id", old)
        yield change.format(table=table, number=number, size=81 + number)


def enums(revisions: int = 60) -> Iterator[str]:
    """An enum and its column, then three values for it in a block of their own."""
    yield "\n".join(_table(item, max(0, item - 1)) for item in range(20))
    for number in range(1, revisions):
        owner, turn = number - (number - 1) % 4, (number - 1) % 4
        text = VALUE if turn else ENUM
        yield text.format(number=owner, table=number % 20, turn=turn)


def raw(revisions: int = 80) -> Iterator[str]:
    """SQL by hand: views, functions with triggers, DO blocks, rows."""
    yield "\n".join(_table(item, max(0, item - 1)) for item in range(20))
    for number in range(1, revisions):
        yield f"op.execute({RAW[number % 4].format(number=number, table=number % 20)!r})"


SHAPES: dict[str, Callable[[], Iterator[str]]] = {
    "150 tiny revisions": tiny,
    "300 tiny revisions": many,
    "5 revisions of 60 tables": big,
    "30 revisions of 10 tables": tables,
    "30 wide tables": wide,
    "120 changes of 12 tables": changing,
    "60 revisions of enums": enums,
    "80 revisions of raw SQL": raw,
}


def write(folder: Path, bodies: Iterator[str]) -> Path:
    """Write an Alembic project with one revision for each body; return its folder."""
    versions = folder / "migrations/versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (folder / "migrations/env.py").write_text(ENV)
    for number, body in enumerate(bodies):
        down = f"r{number - 1:04}" if number else None
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        text = REVISION.format(number=number, down=down, body=lines)
        (versions / f"r{number:04}.py").write_text(text)
    return folder.resolve()
