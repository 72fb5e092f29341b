"""Small trees whose revisions mind what they find, judged right in every state."""

from __future__ import annotations

from dataclasses import replace

import psycopg2
import pytest
from faults.trees import Rev, Spelling, Topology

from fuzz.judging import misjudged_of
from runbook_lib.dsn import Dsn

HELPER = """\
CREATE FUNCTION add_once(t text, c text) RETURNS void LANGUAGE plpgsql AS $f$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(t) AND attname = c) THEN
    EXECUTE format('ALTER TABLE %s ADD %I text', t, c);
  END IF;
END $f$"""
ADD_NAME = """\
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'name') THEN
    ALTER TABLE t ADD name text;
  END IF;
END $$"""
EVERY = """\
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
  LOOP EXECUTE format('ALTER TABLE %s ADD stamp text', t); END LOOP;
END $$"""
IN_PYTHON = Spelling(
    sql="CREATE TABLE IF NOT EXISTS t (id serial PRIMARY KEY, name text)",
    python="if not sa.inspect(op.get_bind()).has_table('t'):\n"
    "    op.execute('CREATE TABLE t (id serial PRIMARY KEY, name text)')\n",
    sends=("CREATE TABLE t (id serial PRIMARY KEY, name text)",),
    asks=True,
)

TREES = {
    # What rows change is tried without the table that they were changed in.
    "rows between a table and its second maker": (
        Rev(id="r0", up=("CREATE TABLE t (id bigserial PRIMARY KEY, state boolean, day date)",)),
        Rev(id="r1", up=("UPDATE t SET state = true WHERE state IS NULL",)),
        Rev(id="r2", up=("CREATE TABLE IF NOT EXISTS t (id serial PRIMARY KEY, day text)",
                         "CREATE POLICY p ON t USING (id > 1)")),
        Rev(id="r3", up=("CREATE TABLE last ()",)),
    ),
    # A call of somebody's function changes nothing here, and would have if another had not run.
    "function that adds a column once": (
        Rev(id="r0", up=("CREATE TABLE t (id int)", HELPER)),
        Rev(id="r1", up=("ALTER TABLE t ADD name text", "ALTER TABLE t ALTER name SET NOT NULL")),
        Rev(id="r2", up=("SELECT add_once('t', 'name')",)),
    ),
    "one that stopped, or one that made its column": (
        Rev(id="r0", up=("CREATE TABLE t (id int, note text)",)),
        Rev(id="r1", up=("ALTER TABLE t RENAME note TO name",), outside=("CREATE TABLE u ()",),
            commits=True),
        Rev(id="r2", up=(ADD_NAME, "CREATE TABLE v ()")),
    ),
    "one that stopped before what it overwrites": (
        Rev(id="r0", up=("CREATE TABLE t (id int)",)),
        Rev(id="r1", up=("ALTER TABLE t ADD CONSTRAINT c CHECK (id > 1)",)),
        Rev(id="r2", up=("ALTER TABLE t ADD name text",), commits=True,
            outside=("ALTER TABLE t DROP CONSTRAINT IF EXISTS c",
                     "ALTER TABLE t ADD CONSTRAINT c CHECK (id > 2)")),
    ),
    "table of two branches, one of them in Python": (
        Rev(id="r0", up=("CREATE TABLE first ()",)),
        Rev(id="r1", up=("CREATE TABLE IF NOT EXISTS t (id serial PRIMARY KEY)",)),
        Rev(id="r2", up=(IN_PYTHON.sql,), spelled=(IN_PYTHON,)),
    ),
    "type whose second maker forgives that it is there": (
        Rev(id="r0", up=("CREATE TABLE t (id int)", "CREATE TABLE first ()")),
        Rev(id="r1", up=("ALTER TABLE t RENAME TO u",)),
        Rev(id="r2", up=("CREATE TYPE mood AS ENUM ('low', 'high', 'none')", "CREATE TABLE v ()")),
        Rev(id="r3", up=("DO $$ BEGIN CREATE TYPE mood AS ENUM ('low', 'high'); "
                         "EXCEPTION WHEN duplicate_object THEN NULL; END $$",
                         "CREATE TABLE IF NOT EXISTS t (name text)")),
    ),
    "index that one is to build anew, and stopped before": (
        Rev(id="r0", up=("CREATE TABLE t (id int)", "CREATE INDEX i ON t (id)")),
        Rev(id="r1", up=("CREATE TABLE first ()",)),
        Rev(id="r2", outside=("DROP INDEX CONCURRENTLY IF EXISTS i",
                              "CREATE INDEX CONCURRENTLY i ON t (id)")),
        Rev(id="r3", up=("CREATE TABLE last ()",)),
    ),
    "index that one builds anew, after another thing": (
        Rev(id="r0", up=("CREATE TABLE t (id int)",)),
        Rev(id="r1", up=("CREATE INDEX i ON t (id)", "CREATE TABLE first ()")),
        Rev(id="r2", up=("CREATE TABLE u ()",), outside=("DROP INDEX CONCURRENTLY IF EXISTS i",
                              "CREATE INDEX CONCURRENTLY i ON t (id)")),
    ),
    "renaming of a table that was not there, with something committed at once": (
        Rev(id="r0", up=("CREATE TYPE mood AS ENUM ('low')",)),
        Rev(id="r1", up=("CREATE TABLE t (id int, note text)",)),
        Rev(id="r2", up=("ALTER TABLE IF EXISTS t RENAME TO u",),
            outside=("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'o1'",)),
    ),
    "column for every table that there is": (
        Rev(id="r0", up=("CREATE TABLE one (id int)", "CREATE TABLE two (id int)")),
        Rev(id="r1", parents=("r0",), up=("DROP TABLE one",)),
        Rev(id="r2", parents=("r0",), up=(EVERY,)),
    ),
    "index that is renamed if it was not dropped": (
        Rev(id="r0", up=("CREATE TABLE t (id int, note text)", "CREATE INDEX i ON t (note)")),
        Rev(id="r1", up=("ALTER TABLE t DROP note",)),
        Rev(id="r2", up=("ALTER TABLE t ALTER id DROP NOT NULL",
                         "ALTER INDEX IF EXISTS i RENAME TO j")),
    ),
    "renamed in one branch, changed in another": (
        Rev(id="r0", up=("CREATE TABLE t (id int, note text)",)),
        Rev(id="r1", parents=("r0",), up=("ALTER TABLE t DROP note", "CREATE TABLE u ()")),
        Rev(id="r2", depends=("r0",), up=("ALTER TABLE t RENAME TO old",
                                          "CREATE TABLE t (id int, note text, day date)")),
    ),
}  # fmt: skip

ABREAST = ("one that stopped, or one that made its column",
           "table of two branches, one of them in Python")  # fmt: skip
"""Trees whose revisions have no parents; all others are one line, where nothing else is said."""


@pytest.mark.parametrize("name", TREES)
def test_every_state_is_judged_right(name: str, database: Dsn) -> None:
    revs = TREES[name]
    if not any((*rev.parents, *rev.depends) for rev in revs) and name not in ABREAST:
        line = zip(revs[1:], revs, strict=False)
        revs = (revs[0], *(replace(rev, parents=(before.id,)) for rev, before in line))
    tree = Topology(name=name, revisions=revs, last="", middle="")
    connection = psycopg2.connect(**database.libpq())
    try:
        wrong = list(misjudged_of(connection, tree, lenient=True))
    finally:
        connection.close()
    assert not wrong, "\n".join(wrong)
