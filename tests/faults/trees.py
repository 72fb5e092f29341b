"""Small Alembic projects, one per graph topology, written from short specifications."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent
from typing import NamedTuple

ENV_PY = """\
from alembic import context
from sqlalchemy import create_engine, pool

config = context.config
engine = create_engine(config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=None, transaction_per_migration=PER_MIGRATION
    )
    with context.begin_transaction():
        context.run_migrations()
"""
INI = """\
[alembic]
script_location = migrations
path_separator = os
sqlalchemy.url = postgresql+psycopg2://
"""


class Spelling(NamedTuple):
    """How a revision's file says a statement in Python, and what it then sends if it acts."""

    sql: str
    python: str
    sends: tuple[str, ...]
    asks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rev:
    """One revision: ``up`` and ``down`` are SQL statements, ``outside`` run in autocommit.

    If it ``commits``, those run in one transaction after a literal COMMIT instead. ``spelled`` are
    statements that its file says in Python.
    """

    id: str
    parents: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    doc: str = ""
    commits: bool = False
    spelled: tuple[Spelling, ...] = ()

    @property
    def file(self) -> str:
        return f"migrations/versions/{self.id.strip().lower()}.py"

    def text(self) -> str:
        """The file as Alembic's template lays it out."""
        imported = "import sqlalchemy as sa\n" if self.spelled else ""
        down = repr(self.parents[0]) if len(self.parents) == 1 else repr(self.parents or None)
        return (
            f'"""{self.doc or f"Make {self.id}"}\n\nRevision ID: {self.id}\n'
            f'Revises: {", ".join(self.parents)}\n\n"""\n'
            f"{imported}from alembic import op\n\n"
            f"revision = {self.id!r}\ndown_revision = {down}\n"
            f"branch_labels = {self.labels or None!r}\ndepends_on = {self.depends or None!r}\n"
            f"\n\ndef upgrade():\n{self._upgrade()}"
            f"\n\ndef downgrade():\n{_body(self.down)}"
        )

    def _upgrade(self) -> str:
        if self.commits:
            return _body((*self.up, "COMMIT", *self.outside), self.spelled)
        block = "    with op.get_context().autocommit_block():\n" + indent(
            _body(self.outside, self.spelled), "    "
        )
        if not self.outside:
            return _body(self.up, self.spelled)
        return (_body(self.up, self.spelled) if self.up else "") + block


def _body(statements: Iterable[str], spelled: Iterable[Spelling] = ()) -> str:
    python = {item.sql: item.python for item in spelled}
    lines = [python.get(text, f"op.execute({text!r})\n") for text in statements]
    return indent("".join(lines), "    ") or "    pass\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A healthy tree and its rows.

    ``last`` is a head whose objects nobody else uses, ``middle`` an inner revision of which the
    same holds: both can be undone by their ``down`` alone. ``rows`` fills tables, in order.
    """

    name: str
    revisions: tuple[Rev, ...]
    last: str
    middle: str
    rows: tuple[tuple[str, str], ...] = ()
    declared: bool = False
    per_migration: bool = False

    def rev(self, revision_id: str) -> Rev:
        return next(rev for rev in self.revisions if rev.id == revision_id)

    def with_rev(self, changed: Rev) -> Topology:
        revs = tuple(changed if rev.id == changed.id else rev for rev in self.revisions)
        return replace(self, revisions=revs)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(rev.id for rev in self.revisions)


def write(topology: Topology, folder: Path) -> Path:
    """Write the project into ``folder``."""
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    env = ENV_PY.replace("PER_MIGRATION", str(topology.per_migration))
    (folder / "migrations" / "env.py").write_text(env)
    for rev in topology.revisions:
        (folder / rev.file).write_text(rev.text())
    return folder


PEOPLE = Rev(
    id="a1_people",
    doc="People and their mood",
    up=(
        "CREATE TYPE mood AS ENUM ('ok', 'bad')",
        "CREATE TABLE people (id serial PRIMARY KEY, name varchar(50) NOT NULL, "
        "mood mood NOT NULL DEFAULT 'ok')",
    ),
    down=("DROP TABLE people", "DROP TYPE mood"),
)
EMAIL = Rev(
    id="a2_email",
    parents=("a1_people",),
    doc="An address for everybody",
    up=(
        "ALTER TABLE people ADD email varchar(100)",
        "ALTER TABLE people ADD CONSTRAINT uq_people_email UNIQUE (email)",
        "CREATE TABLE letters (id serial PRIMARY KEY, body text NOT NULL)",
        "CREATE INDEX ix_letters_body ON letters (body)",
    ),
    down=("DROP TABLE letters", "ALTER TABLE people DROP email"),
)
ORDERS = Rev(
    id="a3_orders",
    parents=("a2_email",),
    doc="Orders of people",
    up=(
        "CREATE TABLE orders (id serial PRIMARY KEY, "
        "person_id integer NOT NULL REFERENCES people (id), "
        "total numeric(10, 2) NOT NULL DEFAULT 0, "
        "CONSTRAINT ck_orders_total CHECK (total >= 0))",
        "ALTER TABLE people ALTER name TYPE varchar(80)",
    ),
    down=("DROP TABLE orders", "ALTER TABLE people ALTER name TYPE varchar(50)"),
)
INVOICES = Rev(
    id="a4_invoices",
    parents=("a3_orders",),
    doc="Invoices for orders",
    up=(
        "CREATE TABLE invoices (id serial PRIMARY KEY, order_id integer REFERENCES orders (id))",
        "CREATE INDEX ix_invoices_order_id ON invoices (order_id)",
        "ALTER TABLE orders ADD invoiced boolean NOT NULL DEFAULT false",
    ),
    down=("ALTER TABLE orders DROP invoiced", "DROP TABLE invoices"),
)
ROWS = (
    ("people", "INSERT INTO people (name, mood) VALUES ('Ada', 'ok'), ('Bo', 'bad'), ('Cy', 'ok')"),
    ("orders", "INSERT INTO orders (person_id, total) VALUES (1, 10), (1, 20.5), (2, 0)"),
    ("letters", "INSERT INTO letters (body) VALUES ('dear'), ('sir')"),
    ("stock", "INSERT INTO stock (name) VALUES ('nut'), ('bolt')"),
)

LINE = Topology(
    name="line",
    revisions=(PEOPLE, EMAIL, ORDERS, INVOICES),
    last="a4_invoices",
    middle="a2_email",
    rows=ROWS,
)

STOCK = Rev(
    id="b2_stock",
    parents=("a1_people",),
    doc="What lies in stock",
    up=("CREATE TABLE stock (id serial PRIMARY KEY, name text NOT NULL)",),
    down=("DROP TABLE stock",),
)
DIAMOND = Topology(
    name="diamond",
    revisions=(
        PEOPLE,
        EMAIL,
        STOCK,
        Rev(id="c3_merge", parents=("a2_email", "b2_stock"), doc="Merge e-mail and stock"),
        replace(ORDERS, parents=("c3_merge",)),
    ),
    last="a3_orders",
    middle="b2_stock",
    rows=ROWS,
)

BRANCHES = Topology(
    name="two-branches",
    revisions=(PEOPLE, EMAIL, STOCK, replace(ORDERS, parents=("a2_email",))),
    last="a3_orders",
    middle="a2_email",
    rows=ROWS,
)

DEPENDS = Topology(
    name="depends-on",
    revisions=(
        replace(PEOPLE, labels=("expand",)),
        replace(EMAIL, parents=("a1_people",)),
        replace(STOCK, parents=(), depends=("a2_email",), labels=("contract",)),
        Rev(
            id="b3_price",
            parents=("b2_stock",),
            doc="A price for stock",
            up=(
                "ALTER TABLE stock ADD price numeric(8, 2)",
                "CREATE INDEX ix_stock_price ON stock (price)",
            ),
            down=("ALTER TABLE stock DROP price",),
        ),
    ),
    last="b3_price",
    middle="a2_email",
    rows=ROWS,
    declared=True,
)

BASES = Topology(
    name="two-bases",
    revisions=(
        replace(PEOPLE, labels=("core",)),
        replace(EMAIL),
        replace(STOCK, parents=(), labels=("shop",)),
        Rev(
            id="b3_price",
            parents=("b2_stock",),
            doc="A price for stock",
            up=(
                "ALTER TABLE stock ADD price numeric(8, 2)",
                "CREATE INDEX ix_stock_price ON stock (price)",
            ),
            down=("ALTER TABLE stock DROP price",),
        ),
    ),
    last="b3_price",
    middle="a2_email",
    rows=ROWS,
    declared=True,
)

OBJECTS = Topology(
    name="objects",
    revisions=(
        PEOPLE,
        Rev(
            id="d2_view",
            parents=("a1_people",),
            doc="A view, a function and a trigger",
            up=(
                "CREATE VIEW glad AS SELECT id, name FROM people WHERE mood = 'ok'",
                "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$",
                "CREATE TRIGGER loud BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION shout()",
            ),
            down=("DROP TRIGGER loud ON people", "DROP FUNCTION shout()", "DROP VIEW glad"),
        ),
        Rev(
            id="d3_mail",
            parents=("d2_view",),
            doc="An address that no two share",
            up=(
                "ALTER TABLE people ADD email varchar(100) DEFAULT 'none' NOT NULL",
                "COMMENT ON COLUMN people.email IS 'where letters go'",
                "CREATE SEQUENCE numbers",
            ),
            down=("DROP SEQUENCE numbers", "ALTER TABLE people DROP email"),
        ),
        Rev(
            id="d4_kinds",
            parents=("d3_mail",),
            doc="Kinds of things",
            up=(
                "CREATE TYPE kind AS ENUM ('big', 'small')",
                "CREATE TABLE things (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
                "kind kind NOT NULL, CONSTRAINT ck_things_id CHECK (id > 0))",
            ),
            down=("DROP TABLE things", "DROP TYPE kind"),
        ),
    ),
    last="d4_kinds",
    middle="d2_view",
    rows=ROWS,
)

DATA = Topology(
    name="data-only",
    revisions=(
        PEOPLE,
        EMAIL,
        Rev(
            id="e3_fill",
            parents=("a2_email",),
            doc="Give everybody an address",
            up=("UPDATE people SET email = lower(name) || '@example.org' WHERE email IS NULL",),
            down=("UPDATE people SET email = NULL",),
        ),
        replace(ORDERS, parents=("e3_fill",)),
    ),
    last="a3_orders",
    middle="a2_email",
    rows=ROWS,
)

AUTOCOMMIT = Topology(
    name="autocommit",
    revisions=(
        PEOPLE,
        Rev(
            id="f2_index",
            parents=("a1_people",),
            doc="Find people quickly",
            up=("ALTER TABLE people ADD nick text",),
            outside=(
                "CREATE INDEX CONCURRENTLY ix_people_name ON people (name)",
                "CREATE INDEX CONCURRENTLY ix_people_nick ON people (nick)",
            ),
            down=("ALTER TABLE people DROP nick", "DROP INDEX ix_people_name"),
        ),
        replace(STOCK, parents=("f2_index",)),
    ),
    last="b2_stock",
    middle="f2_index",
    rows=ROWS,
)

COMMITS = Topology(
    name="commits-inside",
    revisions=(
        PEOPLE,
        Rev(
            id="g2_commit",
            parents=("a1_people",),
            doc="Two columns, with a COMMIT between them",
            up=(
                "ALTER TABLE people ADD nick text",
                "COMMIT",
                "ALTER TABLE people ADD age integer",
                "CREATE INDEX ix_people_age ON people (age)",
            ),
            down=("ALTER TABLE people DROP nick", "ALTER TABLE people DROP age"),
        ),
        replace(STOCK, parents=("g2_commit",)),
    ),
    last="b2_stock",
    middle="g2_commit",
    rows=ROWS,
)

TOPOLOGIES: dict[str, Topology] = {
    item.name: item
    for item in (
        LINE,
        DIAMOND,
        BRANCHES,
        DEPENDS,
        BASES,
        OBJECTS,
        DATA,
        AUTOCOMMIT,
        COMMITS,
    )
}
