"""Inventing: what a random revision says, over a rich vocabulary, the same for the same seed.

A statement is tried in a scratch database before it is taken, so the vocabulary needs no model
of PostgreSQL: what fails is left out.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from faults.trees import Rev, Spelling

TABLES = ("users", "orders", '"Order Items"', '"Größe"', "audit_log", '"select"', "t" * 63, "item")
COLUMNS = ("name", "qty", "email", '"Straße"', '"Mixed Case"', "note", "c" * 63, "state", '"from"')
TYPES = ("varchar(20)", "varchar(40)", "text", "integer", "bigint", "numeric(8,2)", "boolean",
         "timestamptz", "jsonb", "date", "text[]")  # fmt: skip
DEFAULTS = {"varchar(20)": "'a'", "varchar(40)": "'b'", "text": "'ü'", "integer": "0",
            "bigint": "7", "numeric(8,2)": "1.5", "boolean": "false", "timestamptz": "now()",
            "jsonb": "'{}'", "date": "'2024-01-01'", "text[]": "'{}'"}  # fmt: skip
WIDER = {"varchar(20)": ("varchar(40)", "text"), "varchar(40)": ("varchar(20)", "text"),
         "text": ("varchar(40)",), "integer": ("bigint", "numeric(8,2)"), "bigint": ("integer",),
         "numeric(8,2)": ("bigint",)}  # fmt: skip


@dataclass(kw_only=True)
class Thing:
    """One object that a revision made: ``name`` as SQL spells it, ``table`` its owner."""

    kind: str
    name: str
    by: str
    table: str = ""
    type: str = ""


@dataclass(kw_only=True)
class Draft:
    """One revision under way."""

    rev: Rev
    seen: frozenset[str]
    up: list[str] = field(default_factory=list)
    down: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    spelled: list[Spelling] = field(default_factory=list)


Words = tuple[tuple["Callable[[Inventor], None]", float], ...]
"""What can be said, and how often."""


class Inventor:
    """Invents the revisions of one tree, and tries them through ``cursor``.

    ``commits``: some of them say a literal COMMIT.
    """

    def __init__(
        self, seed: int, cursor: Any, words: Words, *, busy: int = 4, commits: bool = False
    ) -> None:
        self.random = random.Random(seed)
        self.cursor = cursor
        self.words = words
        self.busy = busy
        self.commits = commits
        self.things: list[Thing] = []
        self.draft = Draft(rev=Rev(id=""), seen=frozenset())
        self.number = 0

    # --- what there is -------------------------------------------------------------------

    def of(self, *kinds: str, table: str = "") -> list[Thing]:
        seen = self.draft.seen
        return [t for t in self.things
                if t.kind in kinds and t.by in seen and table in ("", t.table)]  # fmt: skip

    def one(self, *kinds: str, table: str = "") -> Thing:
        found = self.of(*kinds, table=table)
        if not found:
            raise LookupError(kinds)
        return self.random.choice(found)

    def column(self, table: str = "") -> Thing:
        return self.one("column", table=table)

    def free(self, names: tuple[str, ...], kind: str, table: str = "") -> str:
        used = {t.name for t in self.things if t.kind in (kind, "view") and t.table == table}
        left = [name for name in names if name not in used]
        return self.random.choice(left) if left else self.fresh(names[0].strip('"')[:8])

    def fresh(self, prefix: str) -> str:
        self.number += 1
        name = f"{prefix}_{self.number}"
        return f'"{name.title()}"' if self.random.random() < 0.15 else name

    # --- saying it -----------------------------------------------------------------------

    def say(self, *up: str, down: tuple[str, ...] = (), outside: bool = False) -> None:
        """Try statements; raises psycopg2.Error when they do not run here."""
        self.cursor.execute("SAVEPOINT say")
        try:
            for statement in up:
                self.cursor.execute(statement.replace(" CONCURRENTLY", ""))
        except psycopg2.Error:
            self.cursor.execute("ROLLBACK TO say; RELEASE say")
            raise
        self.cursor.execute("RELEASE say")
        (self.draft.outside if outside else self.draft.up).extend(up)
        self.draft.down[:0] = down

    def spell(self, spelling: Spelling, down: tuple[str, ...] = ()) -> None:
        """Say a statement that the file says in Python."""
        self.say(spelling.sql, down=down)
        self.draft.spelled.append(spelling)

    def make(self, kind: str, name: str, *, table: str = "", type_: str = "") -> None:
        self.things.append(
            Thing(kind=kind, name=name, by=self.draft.rev.id, table=table, type=type_)
        )

    def forget(self, thing: Thing) -> None:
        """Take a thing off the list, and a table's parts with it."""
        self.things.remove(thing)
        if thing.kind == "table":
            self.things = [t for t in self.things if t.table != thing.name]

    def revision(self, rev: Rev, seen: frozenset[str], wanted: int, words: Words = ()) -> Rev:
        """Let a revision say so much; of ``words`` only, where they are given."""
        self.draft = Draft(rev=rev, seen=seen | {rev.id})
        words, first = words or self.words, 0
        for _ in range(wanted * 6):
            word = self.random.choices(words, [weight for _, weight in words])[0][0]
            with contextlib.suppress(LookupError, psycopg2.Error):
                word(self)
            first = first or len(self.draft.up)
            if len(self.draft.up) + len(self.draft.outside) >= wanted:
                break
        done = self.draft
        up, outside = list(done.up), list(done.outside)
        splits = self.commits and 0 < first < len(up) and not outside
        # What a revision takes away or renames again itself, its end does not show: a known limit.
        lasting = not any(word in text for text in up[first:] for word in ("DROP", "RENAME"))
        commits = splits and lasting and self.random.random() < 0.15
        if commits:
            up, outside = up[:first], up[first:]
        if len(up) > 1 and self.random.random() < 0.15:  # several statements in one text
            up = [";\n".join(up)]
        return Rev(
            id=rev.id, parents=rev.parents, depends=rev.depends, labels=rev.labels, doc=rev.doc,
            up=tuple(up), down=tuple(done.down), outside=tuple(outside), commits=commits,
            spelled=tuple(item for item in done.spelled if item.sql in (*up, *outside)),
        )  # fmt: skip


# --- the vocabulary ---------------------------------------------------------------------------


def create_table(i: Inventor) -> None:
    name = i.free(TABLES, "table")
    if i.random.random() < 0.15 and i.of("schema"):
        name = f"{i.one('schema').name}.{name}"
    key = i.random.choice(
        ("serial", "bigserial", "integer GENERATED ALWAYS AS IDENTITY",
         "integer GENERATED BY DEFAULT AS IDENTITY", "bigint")
    )  # fmt: skip
    columns = i.random.sample(COLUMNS, i.random.randint(1, 3))
    types = {column: _type(i) for column in columns}
    parts = [f"id {key} PRIMARY KEY"]
    parts += [f"{column} {_spelled(i, type_)}" for column, type_ in types.items()]
    guard = "IF NOT EXISTS " if i.random.random() < 0.12 else ""
    i.say(f"CREATE TABLE {guard}{name} ({', '.join(parts)})", down=(f"DROP TABLE {name}",))
    i.make("table", name)
    for column, type_ in types.items():
        i.make("column", column, table=name, type_=type_)


def _type(i: Inventor) -> str:
    own = [t.name for t in i.of("enum", "domain")]
    return i.random.choice(own) if own and i.random.random() < 0.3 else i.random.choice(TYPES)


def _spelled(i: Inventor, type_: str) -> str:
    default = DEFAULTS.get(type_)
    words = [type_]
    if default and i.random.random() < 0.4:
        words.append(f"DEFAULT {default}")
        if i.random.random() < 0.5:
            words.append("NOT NULL")
    if type_ in ("integer", "bigint") and i.random.random() < 0.2:
        words.append("CHECK (true)")
    if i.random.random() < 0.07:
        words.append("UNIQUE")
    return " ".join(words)


def create_partitioned(i: Inventor) -> None:
    name = i.free(TABLES, "table")
    part = i.fresh("part")
    i.say(
        f"CREATE TABLE {name} (id bigint NOT NULL, day date NOT NULL, note text, "
        "PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
        f"CREATE TABLE {part} PARTITION OF {name} FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        down=(f"DROP TABLE {name}",),
    )
    i.make("table", name)
    i.make("column", "note", table=name, type_="text")


def create_inherited(i: Inventor) -> None:
    parent, name = i.one("table").name, i.fresh("child")
    i.say(f"CREATE TABLE {name} (extra text) INHERITS ({parent})", down=(f"DROP TABLE {name}",))
    i.make("table", name)
    i.make("column", "extra", table=name, type_="text")


def drop_table(i: Inventor) -> None:
    table = i.one("table")
    i.say(f"DROP TABLE {'IF EXISTS ' if i.random.random() < 0.2 else ''}{table.name}")
    i.forget(table)


def rename_table(i: Inventor) -> None:
    table, name = i.one("table"), i.free(TABLES, "table")
    old = table.name
    if "." in old:
        raise LookupError(old)
    i.say(f"ALTER TABLE {old} RENAME TO {name}", down=(f"ALTER TABLE {name} RENAME TO {old}",))
    table.name = name
    for thing in i.things:
        if thing.table == old:
            thing.table = name


def add_column(i: Inventor) -> None:
    table = i.one("table").name
    name, type_ = i.free(COLUMNS, "column", table), _type(i)
    guard = "IF NOT EXISTS " if i.random.random() < 0.12 else ""
    i.say(
        f"ALTER TABLE {table} ADD COLUMN {guard}{name} {_spelled(i, type_)}",
        down=(f"ALTER TABLE {table} DROP COLUMN {name}",),
    )
    i.make("column", name, table=table, type_=type_)


def add_generated(i: Inventor) -> None:
    table, name = i.one("table").name, i.fresh("made")
    i.say(
        f"ALTER TABLE {table} ADD {name} bigint GENERATED ALWAYS AS (id * 2) STORED",
        down=(f"ALTER TABLE {table} DROP {name}",),
    )
    i.make("column", name, table=table, type_="bigint")


def drop_column(i: Inventor) -> None:
    column = i.column()
    i.say(f"ALTER TABLE {column.table} DROP COLUMN {column.name}")
    i.forget(column)


def rename_column(i: Inventor) -> None:
    column = i.column()
    name = i.free(COLUMNS, "column", column.table)
    i.say(
        f"ALTER TABLE {column.table} RENAME COLUMN {column.name} TO {name}",
        down=(f"ALTER TABLE {column.table} RENAME COLUMN {name} TO {column.name}",),
    )
    column.name = name


def alter_type(i: Inventor) -> None:
    column = i.column()
    new = i.random.choice(WIDER.get(column.type) or TYPES)
    if new == column.type:
        raise LookupError(new)
    text = f"ALTER TABLE {column.table} ALTER {column.name} TYPE"
    i.say(
        f"{text} {new} USING {column.name}::{new}",
        down=(f"{text} {column.type} USING {column.name}::{column.type}",),
    )
    column.type = new


def alter_null(i: Inventor) -> None:
    column = i.column()
    first, second = i.random.choice((("SET", "DROP"), ("DROP", "SET")))
    text = f"ALTER TABLE {column.table} ALTER {column.name}"
    i.say(f"{text} {first} NOT NULL", down=(f"{text} {second} NOT NULL",))


def alter_default(i: Inventor) -> None:
    column = i.column()
    value = DEFAULTS.get(column.type, "NULL")
    word = i.random.choice((f"SET DEFAULT {value}", "DROP DEFAULT"))
    i.say(f"ALTER TABLE {column.table} ALTER {column.name} {word}")


def create_index(i: Inventor) -> None:
    column = i.column()
    name = i.fresh("ix")
    unique = "UNIQUE " if i.random.random() < 0.2 else ""
    what = column.name
    if column.type.startswith(("varchar", "text")) and i.random.random() < 0.3:
        what = f"lower({column.name})"
    if i.random.random() < 0.2:
        what += " DESC"
    where = f" WHERE {column.name} IS NOT NULL" if i.random.random() < 0.25 else ""
    outside = i.random.random() < 0.2
    how = "CONCURRENTLY " if outside else ""
    schema = column.table.split(".")[0] + "." if "." in column.table else ""
    i.say(
        f"CREATE {unique}INDEX {how}{name} ON {column.table} ({what}){where}",
        down=(f"DROP INDEX {schema}{name}",), outside=outside,
    )  # fmt: skip
    i.make("index", schema + name, table=column.table)


def drop_index(i: Inventor) -> None:
    index = i.one("index")
    i.say(f"DROP INDEX {index.name}")
    i.forget(index)


def rename_index(i: Inventor) -> None:
    index, name = i.one("index"), i.fresh("ix")
    if "." in index.name:
        raise LookupError(index.name)
    i.say(
        f"ALTER INDEX {index.name} RENAME TO {name}",
        down=(f"ALTER INDEX {name} RENAME TO {index.name}",),
    )
    index.name = name


def add_constraint(i: Inventor) -> None:
    column = i.column()
    name, table = i.fresh("con"), column.table
    what = i.random.choice(
        (f"UNIQUE ({column.name})", f"CHECK ({column.name} IS NOT NULL OR id > 0)",
         f"CHECK ({column.name} IS NOT NULL OR id > 0) NOT VALID", f"UNIQUE (id, {column.name})",
         f"FOREIGN KEY ({column.name}) REFERENCES {i.one('table').name} (id)",
         f"FOREIGN KEY ({column.name}) REFERENCES {i.one('table').name} (id) ON DELETE CASCADE",
         f"EXCLUDE ({column.name} WITH =)")
    )  # fmt: skip
    i.say(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} {what}",
        down=(f"ALTER TABLE {table} DROP CONSTRAINT {name}",),
    )
    i.make("constraint", name, table=table, type_=what)


def drop_constraint(i: Inventor) -> None:
    found = i.one("constraint")
    i.say(
        f"ALTER TABLE {found.table} DROP CONSTRAINT {found.name}",
        down=(f"ALTER TABLE {found.table} ADD CONSTRAINT {found.name} {found.type}",),
    )
    i.forget(found)


def rename_constraint(i: Inventor) -> None:
    found, name = i.one("constraint"), i.fresh("con")
    text = f"ALTER TABLE {found.table} RENAME CONSTRAINT"
    i.say(f"{text} {found.name} TO {name}", down=(f"{text} {name} TO {found.name}",))
    found.name = name


def validate(i: Inventor) -> None:
    found = i.one("constraint")
    i.say(f"ALTER TABLE {found.table} VALIDATE CONSTRAINT {found.name}")


def create_enum(i: Inventor) -> None:
    name = i.free(("mood", '"Kind"', "level"), "enum")
    i.say(f"CREATE TYPE {name} AS ENUM ('low', 'HIGH', 'ö')", down=(f"DROP TYPE {name}",))
    i.make("enum", name)


def add_value(i: Inventor) -> None:
    name = i.one("enum").name
    where = i.random.choice(("", " BEFORE 'low'", " AFTER 'low'"))
    i.say(f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS 'v{i.random.randint(1, 3)}'{where}")


def rename_value(i: Inventor) -> None:
    name = i.one("enum").name
    i.say(
        f"ALTER TYPE {name} RENAME VALUE 'low' TO 'lower'",
        down=(f"ALTER TYPE {name} RENAME VALUE 'lower' TO 'low'",),
    )


def drop_type(i: Inventor) -> None:
    found = i.one("enum", "domain")
    i.say(f"DROP {'TYPE' if found.kind == 'enum' else 'DOMAIN'} {found.name}")
    i.forget(found)


def create_domain(i: Inventor) -> None:
    name = i.fresh("dom")
    check = i.random.choice(("VALUE <> ''", "length(VALUE) < 100"))
    i.say(f"CREATE DOMAIN {name} AS text CHECK ({check})", down=(f"DROP DOMAIN {name}",))
    i.make("domain", name)


def create_sequence(i: Inventor) -> None:
    name = i.free(("numbers", '"Seq"'), "sequence")
    i.say(
        f"CREATE SEQUENCE {name} START {i.random.choice((1, 100))}", down=(f"DROP SEQUENCE {name}",)
    )
    i.make("sequence", name)


def alter_sequence(i: Inventor) -> None:
    i.say(f"ALTER SEQUENCE {i.one('sequence').name} INCREMENT BY {i.random.choice((1, 2, 5))}")


def drop_sequence(i: Inventor) -> None:
    found = i.one("sequence")
    i.say(f"DROP SEQUENCE {found.name}")
    i.forget(found)


def create_view(i: Inventor) -> None:
    column, name = i.column(), i.free(("glad", '"All"'), "view")
    kind = "MATERIALIZED VIEW" if i.random.random() < 0.3 else "VIEW"
    what = "*" if i.random.random() < 0.3 else f"id, {column.name}"
    i.say(f"CREATE {kind} {name} AS SELECT {what} FROM {column.table}",
          down=(f"DROP {kind} {name}",))  # fmt: skip
    i.make("view", name, type_=kind)


def replace_view(i: Inventor) -> None:
    found, column = i.one("view"), i.column()
    where = i.random.choice(("", " WHERE id > 1", " WHERE id > 2"))
    i.say(
        f"CREATE OR REPLACE VIEW {found.name} AS SELECT id, {column.name} FROM "
        f"{column.table}{where}"
    )


def drop_view(i: Inventor) -> None:
    found = i.one("view")
    i.say(f"DROP {found.type} {found.name}")
    i.forget(found)


def create_function(i: Inventor) -> None:
    name = i.free(("touch", '"Shout"'), "function")
    i.say(_function(i, name), down=(f"DROP FUNCTION {name}()",))
    i.make("function", name)


def _function(i: Inventor, name: str) -> str:
    body = i.random.choice(("RETURN NEW;", "RAISE NOTICE 'x'; RETURN NEW;"))
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body} END $$"
    )


def replace_function(i: Inventor) -> None:
    i.say(_function(i, i.one("function").name))


def drop_function(i: Inventor) -> None:
    found = i.one("function")
    i.say(f"DROP FUNCTION {found.name}()")
    i.forget(found)


def create_trigger(i: Inventor) -> None:
    name, table = i.fresh("trg"), i.one("table").name
    i.say(
        f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION "
        f"{i.one('function').name}()",
        down=(f"DROP TRIGGER {name} ON {table}",),
    )
    i.make("trigger", name, table=table)


def switch_trigger(i: Inventor) -> None:
    found, word = i.one("trigger"), i.random.choice(("ENABLE", "DISABLE"))
    i.say(f"ALTER TABLE {found.table} {word} TRIGGER {found.name}")


def drop_trigger(i: Inventor) -> None:
    found = i.one("trigger")
    i.say(f"DROP TRIGGER {found.name} ON {found.table}")
    i.forget(found)


def row_security(i: Inventor) -> None:
    word = i.random.choice(("ENABLE", "DISABLE", "FORCE"))
    i.say(f"ALTER TABLE {i.one('table').name} {word} ROW LEVEL SECURITY")


def create_policy(i: Inventor) -> None:
    name, table = i.fresh("pol"), i.one("table").name
    i.say(
        f"CREATE POLICY {name} ON {table} USING (id > {i.random.randint(0, 1)})",
        down=(f"DROP POLICY {name} ON {table}",),
    )
    i.make("policy", name, table=table)


def drop_policy(i: Inventor) -> None:
    found = i.one("policy")
    i.say(f"DROP POLICY {found.name} ON {found.table}")
    i.forget(found)


def comment(i: Inventor) -> None:
    text = i.random.choice(("'it''s'", "'größer'", "NULL", "'x'"))
    if i.random.random() < 0.5:
        i.say(f"COMMENT ON TABLE {i.one('table').name} IS {text}")
    else:
        column = i.column()
        i.say(f"COMMENT ON COLUMN {column.table}.{column.name} IS {text}")


def grant(i: Inventor) -> None:
    table, what = i.one("table").name, i.random.choice(("SELECT", "INSERT"))
    if i.random.random() < 0.6:
        i.say(f"GRANT {what} ON {table} TO PUBLIC", down=(f"REVOKE {what} ON {table} FROM PUBLIC",))
    else:
        i.say(f"REVOKE {what} ON {table} FROM PUBLIC")


def create_schema(i: Inventor) -> None:
    name = i.free(("extra", '"Äußeres"'), "schema")
    i.say(f"CREATE SCHEMA {name}", down=(f"DROP SCHEMA {name}",))
    i.make("schema", name)


def insert_rows(i: Inventor) -> None:
    table = i.one("table").name
    i.say(f"INSERT INTO {table} (id) VALUES ({i.random.randint(100, 999)}) ON CONFLICT DO NOTHING")


def update_rows(i: Inventor) -> None:
    column = i.column()
    if column.type not in DEFAULTS:
        raise LookupError(column.type)
    i.say(f"UPDATE {column.table} SET {column.name} = {DEFAULTS[column.type]} "
          f"WHERE {column.name} IS NULL")  # fmt: skip


def conditional(i: Inventor) -> None:
    """What a careful person writes: a table, a column or an index only where it is not there."""
    name = i.free(TABLES, "table")
    if "." in name:
        raise LookupError(name)
    i.say(
        f"DO $$ BEGIN IF to_regclass('public.{name}') IS NULL THEN "
        f"CREATE TABLE {name} (id serial PRIMARY KEY, note text); END IF; END $$",
        down=(f"DROP TABLE {name}",),
    )
    i.make("table", name)
    i.make("column", "note", table=name, type_="text")


WORDS: Words = (
    (create_table, 7), (create_partitioned, 0.5), (create_inherited, 0.5), (drop_table, 1.2),
    (rename_table, 1), (add_column, 6), (add_generated, 0.5), (drop_column, 1.5),
    (rename_column, 1.2), (alter_type, 2), (alter_null, 1.5), (alter_default, 2),
    (create_index, 4), (drop_index, 0.8), (rename_index, 0.8), (add_constraint, 2.5),
    (drop_constraint, 0.8), (rename_constraint, 0.8), (validate, 0.4), (create_enum, 1.2),
    (add_value, 1), (rename_value, 0.5), (drop_type, 0.5), (create_domain, 0.5),
    (create_sequence, 0.6), (alter_sequence, 0.5), (drop_sequence, 0.3), (create_view, 1.2),
    (replace_view, 0.6), (drop_view, 0.5), (create_function, 0.6), (replace_function, 0.4),
    (drop_function, 0.3), (create_trigger, 0.6), (switch_trigger, 0.3), (drop_trigger, 0.2),
    (row_security, 0.6), (create_policy, 0.5), (drop_policy, 0.2), (comment, 1), (grant, 0.6),
    (create_schema, 0.4), (insert_rows, 1), (update_rows, 1), (conditional, 1),
)  # fmt: skip
