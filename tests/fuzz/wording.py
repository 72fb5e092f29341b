"""Wording: more of what revisions say: what people write by hand, and conditionally.

A Python condition over the schema (``if "x" not in inspector.get_table_names()``) is said as a DO
block here, which decides the same by the same catalog.
"""

from __future__ import annotations

from fuzz.inventing import TABLES, Inventor, Thing, Words


def _if(condition: str, then: str, otherwise: str = "") -> str:
    other = f" ELSE {otherwise};" if otherwise else ""
    return f"DO $$ BEGIN IF {condition} THEN {then};{other} END IF; END $$"


def _has(column: Thing) -> str:
    table, name = column.table.split(".")[-1], column.name
    return (
        "EXISTS (SELECT FROM information_schema.columns WHERE "
        f"table_name = '{_bare(table)}' AND column_name = '{_bare(name)}')"
    )


def _bare(name: str) -> str:
    return name.strip('"')


def _plain(i: Inventor, kind: str) -> Thing:
    found = i.one(kind)
    if "." in found.name:
        raise LookupError(found.name)
    return found


def add_column_if(i: Inventor) -> None:
    """Add a column unless it is there, by asking; change it instead where it is."""
    column = Thing(kind="column", name=i.fresh("extra"), by="", table=i.one("table").name)
    there = f"ALTER TABLE {column.table} ALTER {column.name} SET DEFAULT 'x'"
    add = f"ALTER TABLE {column.table} ADD {column.name} text"
    i.say(_if(f"NOT {_has(column)}", add, i.random.choice(("", there))),
          down=(f"ALTER TABLE {column.table} DROP {column.name}",))  # fmt: skip
    i.make("column", column.name, table=column.table, type_="text")


def add_again_if(i: Inventor) -> None:
    """A later revision makes sure of an earlier one's column."""
    column = i.column()
    add = f"ALTER TABLE {column.table} ADD {column.name} {column.type}"
    i.say(_if(f"NOT {_has(column)}", add))


def drop_column_if(i: Inventor) -> None:
    column = i.column()
    i.say(i.random.choice((
        f"ALTER TABLE {column.table} DROP COLUMN IF EXISTS {column.name}",
        _if(_has(column), f"ALTER TABLE {column.table} DROP {column.name}"),
    )))  # fmt: skip
    i.forget(column)


def rename_column_if(i: Inventor) -> None:
    column, name = i.column(), i.fresh("named")
    i.say(_if(_has(column), f"ALTER TABLE {column.table} RENAME {column.name} TO {name}"))
    column.name = name


def rename_table_if(i: Inventor) -> None:
    table, name = _plain(i, "table"), i.free(TABLES, "table")
    old = table.name
    i.say(_if(f"to_regclass('public.{old}') IS NOT NULL", f"ALTER TABLE {old} RENAME TO {name}"))
    _follow(i, table, name)


def _follow(i: Inventor, table: Thing, name: str) -> None:
    old, table.name = table.name, name
    for thing in i.things:
        if thing.table == old:
            thing.table = name


def index_if(i: Inventor) -> None:
    column, name = i.column(), i.fresh("ix")
    if "." in column.table:
        raise LookupError(column.table)
    i.say(f"CREATE INDEX IF NOT EXISTS {name} ON {column.table} ({column.name})",
          down=(f"DROP INDEX {name}",))  # fmt: skip
    i.make("index", name, table=column.table)


def index_again(i: Inventor) -> None:
    """Two revisions make the same index: the second finds it there."""
    index = i.one("index")
    column = i.column(index.table)
    i.say(f"CREATE INDEX IF NOT EXISTS {index.name} ON {column.table} ({column.name})")


def drop_index_if(i: Inventor) -> None:
    index = i.one("index")
    i.say(f"DROP INDEX IF EXISTS {index.name}")
    i.forget(index)


def outside(i: Inventor) -> None:
    """A column or a value of an enum, committed at once."""
    if i.of("enum") and i.random.random() < 0.5:
        name = i.one("enum").name
        i.say(f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS 'o{i.random.randint(1, 3)}'",
              outside=True)  # fmt: skip
        return
    table, name = i.one("table").name, i.fresh("loose")
    i.say(f"ALTER TABLE {table} ADD {name} integer",
          down=(f"ALTER TABLE {table} DROP {name}",), outside=True)  # fmt: skip
    i.make("column", name, table=table, type_="integer")


def move_schema(i: Inventor) -> None:
    table, schema = _plain(i, "table"), i.one("schema").name
    i.say(f"ALTER TABLE {table.name} SET SCHEMA {schema}",
          down=(f"ALTER TABLE {schema}.{table.name} SET SCHEMA public",))  # fmt: skip
    i.things = [t for t in i.things if t.table != table.name or t.kind == "column"]
    _follow(i, table, f"{schema}.{table.name}")


def rename_schema(i: Inventor) -> None:
    schema, name = i.one("schema"), i.fresh("space")
    old = schema.name
    i.say(f"ALTER SCHEMA {old} RENAME TO {name}", down=(f"ALTER SCHEMA {name} RENAME TO {old}",))
    schema.name = name
    for thing in i.things:
        thing.name = thing.name.replace(f"{old}.", f"{name}.")
        thing.table = thing.table.replace(f"{old}.", f"{name}.")


def rename_type(i: Inventor) -> None:
    found, name = i.one("enum", "domain"), i.fresh("typ")
    word = "TYPE" if found.kind == "enum" else "DOMAIN"
    i.say(f"ALTER {word} {found.name} RENAME TO {name}",
          down=(f"ALTER {word} {name} RENAME TO {found.name}",))  # fmt: skip
    for thing in i.things:
        if thing.type == found.name:
            thing.type = name
    found.name = name


def replace_enum(i: Inventor) -> None:
    """The usual way to take a value away: a new type under the old name."""
    found = i.one("enum")
    users = [t for t in i.of("column") if t.type == found.name]
    uses = [
        f"ALTER TABLE {t.table} ALTER {t.name} TYPE {found.name} USING "
        f"{t.name}::text::{found.name}" for t in users
    ]  # fmt: skip
    i.say(f"ALTER TYPE {found.name} RENAME TO former",
          f"CREATE TYPE {found.name} AS ENUM ('low', 'HIGH', 'ö', 'new')", *uses,
          "DROP TYPE former")  # fmt: skip


def rename_other(i: Inventor) -> None:
    found = i.one("view", "sequence")
    name = i.fresh("other")
    word = found.type if found.kind == "view" else "SEQUENCE"
    i.say(f"ALTER {word} {found.name} RENAME TO {name}",
          down=(f"ALTER {word} {name} RENAME TO {found.name}",))  # fmt: skip
    found.name = name


def make_anew(i: Inventor) -> None:
    """Overwrite an earlier revision's table by one of the same name."""
    table = i.one("table")
    i.say(f"DROP TABLE {table.name} CASCADE",
          f"CREATE TABLE {table.name} (id bigint PRIMARY KEY, note varchar(40))",
          down=(f"DROP TABLE {table.name}",))  # fmt: skip
    name = table.name
    i.forget(table)
    i.make("table", name)
    i.make("column", "note", table=name, type_="varchar(40)")


def swap(i: Inventor) -> None:
    """Put a new table in an old one's place, and keep the old one beside it."""
    table, aside = _plain(i, "table"), i.fresh("old")
    name = table.name
    i.say(f"ALTER TABLE {name} RENAME TO {aside}",
          f"CREATE TABLE {name} (id bigint PRIMARY KEY, note text, since date)",
          down=(f"DROP TABLE {name}", f"ALTER TABLE {aside} RENAME TO {name}"))  # fmt: skip
    _follow(i, table, aside)
    i.make("table", name)
    i.make("column", "note", table=name, type_="text")


def column_anew(i: Inventor) -> None:
    """Drop a column and add one of the same name: another type, without a cast."""
    column = i.column()
    i.say(f"ALTER TABLE {column.table} DROP {column.name}",
          f"ALTER TABLE {column.table} ADD {column.name} text")  # fmt: skip
    column.type = "text"


def identity(i: Inventor) -> None:
    table = i.one("table").name
    i.say(i.random.choice((
        f"ALTER TABLE {table} ALTER id ADD GENERATED BY DEFAULT AS IDENTITY",
        f"ALTER TABLE {table} ALTER id SET GENERATED ALWAYS",
        f"ALTER TABLE {table} ALTER id DROP IDENTITY IF EXISTS",
    )))  # fmt: skip


def deferrable(i: Inventor) -> None:
    column, name = i.column(), i.fresh("con")
    what = i.random.choice((
        f"FOREIGN KEY ({column.name}) REFERENCES {i.one('table').name} (id) "
        "DEFERRABLE INITIALLY DEFERRED", f"UNIQUE ({column.name}) DEFERRABLE",
    ))  # fmt: skip
    i.say(f"ALTER TABLE {column.table} ADD CONSTRAINT {name} {what}",
          down=(f"ALTER TABLE {column.table} DROP CONSTRAINT {name}",))  # fmt: skip
    i.make("constraint", name, table=column.table, type_=what)


def alter_deferrable(i: Inventor) -> None:
    found = i.one("constraint")
    word = i.random.choice(("DEFERRABLE", "NOT DEFERRABLE"))
    i.say(f"ALTER TABLE {found.table} ALTER CONSTRAINT {found.name} {word}")


def comment_more(i: Inventor) -> None:
    found = i.one("view", "sequence", "index", "schema", "enum")
    words = {"enum": "TYPE", "view": found.type}
    text = i.random.choice(("'x'", "NULL", "'ö'"))
    i.say(f"COMMENT ON {words.get(found.kind, found.kind.upper())} {found.name} IS {text}")


def fill_default(i: Inventor) -> None:
    """Add a column, fill it, and only then demand it: what careful people write."""
    table, name = i.one("table").name, i.fresh("must")
    i.say(f"ALTER TABLE {table} ADD {name} integer",
          f"UPDATE {table} SET {name} = 1 WHERE {name} IS NULL",
          f"ALTER TABLE {table} ALTER {name} SET NOT NULL",
          down=(f"ALTER TABLE {table} DROP {name}",))  # fmt: skip
    i.make("column", name, table=table, type_="integer")


def own_sequence(i: Inventor) -> None:
    column, sequence = i.column(), i.one("sequence")
    i.say(f"ALTER SEQUENCE {sequence.name} OWNED BY {column.table}.{column.name}")


def next_number(i: Inventor) -> None:
    column, sequence = i.column(), i.one("sequence")
    i.say(f"ALTER TABLE {column.table} ALTER {column.name} "
          f"SET DEFAULT nextval('{sequence.name}')")  # fmt: skip


def schema_if(i: Inventor) -> None:
    i.say("CREATE SCHEMA IF NOT EXISTS extra")
    if not i.of("schema"):
        i.make("schema", "extra")


def statistics(i: Inventor) -> None:
    column, name = i.column(), i.fresh("stat")
    i.say(f"CREATE STATISTICS {name} ON id, {column.name} FROM {column.table}",
          down=(f"DROP STATISTICS {name}",))  # fmt: skip


MORE: Words = (
    (add_column_if, 2), (add_again_if, 1.5), (drop_column_if, 1), (rename_column_if, 1),
    (rename_table_if, 1), (index_if, 1.5), (index_again, 0.8), (drop_index_if, 0.6), (outside, 1.2),
    (move_schema, 0.7), (rename_schema, 0.4), (rename_type, 0.7), (replace_enum, 1),
    (rename_other, 0.6), (make_anew, 1), (swap, 0.7), (column_anew, 1), (identity, 1),
    (deferrable, 0.8), (alter_deferrable, 0.4), (comment_more, 0.6), (fill_default, 1),
    (own_sequence, 0.4), (next_number, 0.4), (schema_if, 0.5), (statistics, 0.3),
)  # fmt: skip
