"""New values of enums: committed before their use, and every other byte kept."""

from __future__ import annotations

import pytest

from runbook_lib.enums import split, uncommitted

FILE = '''\
"""New moods."""

from alembic import op

revision = "n6"
down_revision = None


def upgrade():
BODY

def downgrade():
    pass
'''
ADD = """op.execute("ALTER TYPE mood ADD VALUE 'new'")"""
SAFE = """op.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'new'")"""
BLOCK = "with op.get_context().autocommit_block():"
USE = """op.execute("UPDATE people SET mood = 'new'")"""


def file(*lines: str) -> str:
    return FILE.replace("BODY", "".join(f"    {line}\n" for line in lines))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((ADD, USE), (BLOCK, f"    {SAFE}", USE)),
        ((USE, ADD, ADD, USE), (USE, BLOCK, f"    {SAFE}", f"    {SAFE}", USE)),
        ((f"{ADD}  # a word", USE), (BLOCK, f"    {SAFE}  # a word", USE)),
        ((SAFE, USE), (BLOCK, f"    {SAFE}", USE)),
        (
            ("for one in 'ab':", """    op.execute(f"ALTER TYPE mood ADD VALUE '{one}'")""", USE),
            (
                BLOCK,
                "    for one in 'ab':",
                """        op.execute(f"ALTER TYPE mood ADD VALUE IF NOT EXISTS '{one}'")""",
                USE,
            ),
        ),
        (
            ('op.execute("""ALTER TYPE mood', "ADD VALUE 'new'", '""")', USE),
            (
                BLOCK,
                '    op.execute("""ALTER TYPE mood',
                "ADD VALUE IF NOT EXISTS 'new'",
                '""")',
                USE,
            ),
        ),
    ],
    ids=["first", "several in a row", "comment", "if not exists", "loop", "text over lines"],
)
def test_values_are_added_in_a_block_of_their_own(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    assert split(file(*before)) == file(*after)
    assert split(file(*before).replace("\n", "\r\n")) == file(*after).replace("\n", "\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        (USE,),
        ("add()", USE),
        (f"{USE}; {ADD}",),
        (f"if ready: {ADD}", USE),
        ("""op.execute("ALTER TYPE mood ADD VALUE 'new'; UPDATE people SET mood = 'new'")""",),
        ("for one in 'ab':", f"    {ADD}", f"    {USE}"),
        (BLOCK, f"    {SAFE}", USE),
    ],
    ids=["none", "helper", "shared line", "condition", "two at once", "mixed loop", "done already"],
)
def test_what_is_not_plain_is_left_alone(lines: tuple[str, ...]) -> None:
    assert split(file(*lines)) == ""


def test_op_by_another_name() -> None:
    text = file(ADD, USE).replace("import op", "import op as o").replace("op.execute", "o.execute")
    assert "with o.get_context().autocommit_block():" in split(text)
    assert split(text.replace("from alembic import op as o", "import elsewhere as o")) == ""


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        ('unsafe use of new value "new" of enum type mood', True),
        ("psycopg2.errors.UnsafeNewEnumValueUsage: Verwendung nicht sicher", True),
        ("{'S': 'FEHLER', 'C': '55P04'}", True),
        ('invalid input value for enum mood: "new"', False),
    ],
)
def test_the_error_is_known_in_any_language_and_driver(error: str, is_it: bool) -> None:
    assert uncommitted(error) is is_it
