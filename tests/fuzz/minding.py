"""Minding: revisions that mind what they find, in every way that people have to say so.

By IF EXISTS, by an exception that they forgive, by a function or a loop of their own, in Python.
"""

from __future__ import annotations

from faults.trees import Spelling

from fuzz.inventing import COLUMNS, TABLES, TYPES, Inventor, Words

SQLALCHEMY = {"varchar(20)": "sa.String(20)", "varchar(40)": "sa.String(40)", "text": "sa.Text()",
              "integer": "sa.Integer()", "bigint": "sa.BigInteger()", "boolean": "sa.Boolean()",
              "date": "sa.Date()"}  # fmt: skip
HELPER = """\
CREATE OR REPLACE FUNCTION {name}(t text, c text, k text) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  IF to_regclass(t) IS NOT NULL AND NOT EXISTS (SELECT FROM pg_attribute
      WHERE attrelid = to_regclass(t) AND attname = c) THEN
    EXECUTE format('ALTER TABLE %s ADD COLUMN %I %s', t, c, k);
  END IF;
END $f$"""
EVERY = """\
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
  LOOP EXECUTE format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS {name} {type}', t); END LOOP;
END $$"""


def _plain(name: str) -> str:
    """Return the name that is said in Python, of what needs no schema."""
    if "." in name:
        raise LookupError(name)
    return name.strip('"')


# --- IF [NOT] EXISTS ---------------------------------------------------------------------------


def add_if_table(i: Inventor) -> None:
    table = i.one("table").name
    name, type_ = i.free(COLUMNS, "column", table), i.random.choice(TYPES)
    guard = i.random.choice(("", "IF NOT EXISTS "))
    i.say(f"ALTER TABLE IF EXISTS {table} ADD COLUMN {guard}{name} {type_}",
          down=(f"ALTER TABLE {table} DROP {name}",))  # fmt: skip
    i.make("column", name, table=table, type_=type_)


def alter_if_table(i: Inventor) -> None:
    column = i.column()
    what = i.random.choice(("SET NOT NULL", "DROP NOT NULL", "DROP DEFAULT", "TYPE text"))
    i.say(f"ALTER TABLE IF EXISTS {column.table} ALTER {column.name} {what}")
    if what == "TYPE text":
        column.type = "text"


def drop_if_both(i: Inventor) -> None:
    column = i.column()
    i.say(f"ALTER TABLE IF EXISTS {column.table} DROP COLUMN IF EXISTS {column.name}")
    i.forget(column)


def rename_if_table(i: Inventor) -> None:
    table, name = i.one("table"), i.free(TABLES, "table")
    old = table.name
    _plain(old)
    i.say(f"ALTER TABLE IF EXISTS {old} RENAME TO {name}",
          down=(f"ALTER TABLE {name} RENAME TO {old}",))  # fmt: skip
    table.name = name
    for thing in i.things:
        if thing.table == old:
            thing.table = name


def rename_column_if_table(i: Inventor) -> None:
    column = i.column()
    name = i.free(COLUMNS, "column", column.table)
    text = f"ALTER TABLE IF EXISTS {column.table} RENAME COLUMN"
    i.say(f"{text} {column.name} TO {name}", down=(f"{text} {name} TO {column.name}",))
    column.name = name


def rename_index_if(i: Inventor) -> None:
    index, name = i.one("index"), i.fresh("ix")
    _plain(index.name)
    i.say(f"ALTER INDEX IF EXISTS {index.name} RENAME TO {name}")
    index.name = name


def table_again(i: Inventor) -> None:
    """Make a table unless it is there, and it is: with other columns, and perhaps an index."""
    table, name, type_ = i.one("table").name, i.random.choice(COLUMNS), i.random.choice(TYPES)
    made = f"CREATE TABLE IF NOT EXISTS {table} (id bigint PRIMARY KEY, {name} {type_})"
    if i.random.random() < 0.5 and i.of("column", table=table):
        known, index = i.column(table).name, i.fresh("ix")
        i.say(made, f"CREATE INDEX IF NOT EXISTS {index} ON {table} ({known})")
        return
    i.say(made)


def constraint_anew(i: Inventor) -> None:
    found, column = i.one("constraint"), i.column()
    if found.table != column.table:
        raise LookupError(found.table)
    what = i.random.choice((f"UNIQUE (id, {column.name})", f"CHECK ({column.name} IS NOT NULL)"))
    i.say(f"ALTER TABLE {found.table} DROP CONSTRAINT IF EXISTS {found.name}",
          f"ALTER TABLE {found.table} ADD CONSTRAINT {found.name} {what}")  # fmt: skip
    found.type = what


def trigger_anew(i: Inventor) -> None:
    found, function = i.one("trigger"), i.one("function").name
    when = i.random.choice(("BEFORE INSERT", "AFTER UPDATE", "BEFORE UPDATE OR DELETE"))
    i.say(f"DROP TRIGGER IF EXISTS {found.name} ON {found.table}",
          f"CREATE TRIGGER {found.name} {when} ON {found.table} FOR EACH ROW "
          f"EXECUTE FUNCTION {function}()")  # fmt: skip


def view_anew(i: Inventor) -> None:
    found, column = i.one("view"), i.column()
    i.say(f"DROP {found.type} IF EXISTS {found.name}",
          f"CREATE {found.type} {found.name} AS SELECT {column.name}, id FROM {column.table}",
          down=(f"DROP {found.type} {found.name}",))  # fmt: skip


def extension(i: Inventor) -> None:
    """What it brings is used at once: a type, an index, a default."""
    name, use = i.random.choice((
        ("citext", "ADD {} citext"), ("hstore", "ADD {} hstore"), ("ltree", "ADD {} ltree"),
        ("vector", "ADD {} vector(3)"), ("pg_trgm", ""),
    ))  # fmt: skip
    table, column = i.one("table").name, i.fresh("ext")
    used = [f"ALTER TABLE {table} {use.format(column)}"] if use else []
    i.say(f"CREATE EXTENSION IF NOT EXISTS {name}", *used)
    if used:
        i.make("column", column, table=table, type_=name)


# --- exceptions, functions, loops --------------------------------------------------------------


def _forgiving(statement: str, error: str) -> str:
    return f"DO $$ BEGIN {statement}; EXCEPTION WHEN {error} THEN NULL; END $$"


def type_forgiving(i: Inventor) -> None:
    found = i.of("enum")
    name = i.random.choice(found).name if found and i.random.random() < 0.4 else ""
    new = name or i.free(("mood", '"Kind"', "level"), "enum")
    i.say(_forgiving(f"CREATE TYPE {new} AS ENUM ('low', 'HIGH')", "duplicate_object"))
    if not name:
        i.make("enum", new)


def column_forgiving(i: Inventor) -> None:
    table, type_ = i.one("table").name, i.random.choice(TYPES)
    known = [t.name for t in i.of("column", table=table)]
    again = known and i.random.random() < 0.4
    name = i.random.choice(known) if again else i.free(COLUMNS, "column", table)
    error = i.random.choice(("duplicate_column", "duplicate_column OR undefined_table"))
    i.say(_forgiving(f"ALTER TABLE {table} ADD {name} {type_}", error))
    if not again:
        i.make("column", name, table=table, type_=type_)


def constraint_forgiving(i: Inventor) -> None:
    column, name = i.column(), i.fresh("con")
    what = f"CHECK ({column.name} IS NOT NULL OR id > 1)"
    i.say(_forgiving(f"ALTER TABLE {column.table} ADD CONSTRAINT {name} {what}",
                     "duplicate_object OR undefined_column"))  # fmt: skip
    i.make("constraint", name, table=column.table, type_=what)


def drop_forgiving(i: Inventor) -> None:
    column = i.column()
    i.say(_forgiving(f"ALTER TABLE {column.table} DROP {column.name}", "OTHERS"))
    i.forget(column)


def helper(i: Inventor) -> None:
    name = i.free(("add_once", '"Ensure"'), "helper")
    i.say(HELPER.format(name=name), down=(f"DROP FUNCTION {name}(text, text, text)",))
    i.make("helper", name)


def call_helper(i: Inventor) -> None:
    """Call a function that looks whether the column is there; perhaps make the function first."""
    own = i.random.random() < 0.4 or not i.of("helper")
    name = "pg_temp.add_now" if own else i.one("helper").name
    table, type_ = i.one("table").name, i.random.choice(TYPES)
    known = [t.name.strip('"') for t in i.of("column", table=table)]
    again = known and i.random.random() < 0.4
    column = i.random.choice(known) if again else i.fresh("called").strip('"')
    call = f"SELECT {name}('{table}', '{column}', '{type_}')"
    i.say(*([HELPER.format(name=name)] if own else []), call)
    if not again:
        i.make("column", f'"{column}"', table=table, type_=type_)


def every_table(i: Inventor) -> None:
    """A column for every table that there is."""
    name, type_ = i.fresh("everywhere").lower(), i.random.choice(("text", "timestamptz"))
    i.say(EVERY.format(name=name, type=type_))


# --- said in Python ----------------------------------------------------------------------------


def python_column(i: Inventor) -> None:
    """Add a column unless the inspector finds it: a new one, or one that is there."""
    table = i.one("table").name
    known = [t for t in i.of("column", table=table) if t.type in SQLALCHEMY]
    again = i.random.choice(known) if known and i.random.random() < 0.4 else None
    name = again.name if again else i.free(COLUMNS, "column", table)
    type_ = again.type if again else i.random.choice([*SQLALCHEMY])
    plain, column = _plain(table), name.strip('"')
    add = f"ALTER TABLE {table} ADD COLUMN {name} {type_}"
    i.spell(Spelling(
        sql=f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM information_schema.columns WHERE "
        f"table_schema = 'public' AND table_name = '{plain}' AND column_name = '{column}') "
        f"THEN {add}; END IF; END $$",
        python="found = sa.inspect(op.get_bind()).get_columns"
        f"({plain!r})\nif {column!r} not in [one['name'] for one in found]:\n"
        f"    op.add_column({plain!r}, sa.Column({column!r}, {SQLALCHEMY[type_]}))\n",
        sends=(add,), asks=True,
    ), down=() if again else (f"ALTER TABLE {table} DROP {name}",))  # fmt: skip
    if not again:
        i.make("column", name, table=table, type_=type_)


def python_table(i: Inventor) -> None:
    """Make a table unless the inspector finds one: a new one, or one of other columns."""
    found = i.of("table")
    again = found and i.random.random() < 0.4
    table = i.random.choice(found).name if again else i.free(TABLES, "table")
    plain, column = _plain(table), i.random.choice(COLUMNS)
    make = f"CREATE TABLE {table} (id serial PRIMARY KEY, {column} text)"
    bare = column.strip('"')
    i.spell(Spelling(
        sql=f"DO $$ BEGIN IF to_regclass('public.{table}') IS NULL THEN {make}; END IF; END $$",
        python=f"if not sa.inspect(op.get_bind()).has_table({plain!r}):\n"
        f"    op.create_table({plain!r}, sa.Column('id', sa.Integer(), primary_key=True), "
        f"sa.Column({bare!r}, sa.Text()))\n",
        sends=(make,), asks=True,
    ), down=() if again else (f"DROP TABLE {table}",))  # fmt: skip
    if not again:
        i.make("table", table)
        i.make("column", column, table=table, type_="text")


def python_drop(i: Inventor) -> None:
    """Drop a table if the inspector finds it."""
    table = i.one("table")
    plain, drop = _plain(table.name), f"DROP TABLE {table.name}"
    i.spell(Spelling(
        sql=f"DO $$ BEGIN IF to_regclass('public.{table.name}') IS NOT NULL THEN {drop}; "
        "END IF; END $$",
        python=f"if sa.inspect(op.get_bind()).has_table({plain!r}):\n"
        f"    op.drop_table({plain!r})\n",
        sends=(drop,), asks=True,
    ))  # fmt: skip
    i.forget(table)


def batch(i: Inventor) -> None:
    table = i.one("table").name
    name, type_ = i.free(COLUMNS, "column", table), i.random.choice([*SQLALCHEMY])
    plain, column, index = _plain(table), name.strip('"'), i.fresh("ix").strip('"')
    sends = (f"ALTER TABLE {table} ADD COLUMN {name} {type_}",
             f"ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL",
             f'CREATE INDEX "{index}" ON {table} ({name})')  # fmt: skip
    i.spell(Spelling(
        sql=";\n".join(sends),
        python=f"with op.batch_alter_table({plain!r}) as table:\n"
        f"    table.add_column(sa.Column({column!r}, {SQLALCHEMY[type_]}))\n"
        f"    table.alter_column({column!r}, nullable=False)\n"
        f"    table.create_index({index!r}, [{column!r}])\n",
        sends=sends,
    ), down=(f"ALTER TABLE {table} DROP {name}",))  # fmt: skip
    i.make("column", name, table=table, type_=type_)
    i.make("index", f'"{index}"', table=table)


MIND: Words = (
    (add_if_table, 2), (alter_if_table, 1), (drop_if_both, 1), (rename_if_table, 1),
    (rename_column_if_table, 1), (rename_index_if, 0.7), (table_again, 2), (constraint_anew, 0.8),
    (trigger_anew, 0.6), (view_anew, 0.8), (extension, 0.8), (type_forgiving, 1.5),
    (column_forgiving, 1.5), (constraint_forgiving, 0.8), (drop_forgiving, 0.8), (helper, 1),
    (call_helper, 2), (every_table, 0.8), (python_column, 2), (python_table, 2), (python_drop, 0.7),
    (batch, 1),
)  # fmt: skip
