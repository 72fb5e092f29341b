"""Reach: how much of the catalog is read after a revision, told from its statements."""

from __future__ import annotations

import pytest

from runbook_lib.agent.known import Known
from runbook_lib.agent.reach import Reach, reach_of
from runbook_lib.agent.recording import Record

TABLES = {
    "table:public.a": {},
    "table:public.b": {},
    "table:public.user": {},
    "table:public.twice": {},
    "table:s.twice": {},
    "index:public.ix_b": {"table": "public.b"},
    "constraint:public.b.fk": {"definition": "FOREIGN KEY (a) REFERENCES public.a(id)"},
    "constraint:public.a.fk": {"definition": 'FOREIGN KEY (u) REFERENCES public."user"(id)'},
}
PARTS = {
    "CREATE TABLE c (id int)": (["c"], []),
    "ALTER TABLE a ADD COLUMN x int": (["a"], []),
    "DROP INDEX ix_b": (["public.b"], []),
    "ALTER INDEX ix_b RENAME TO iy_b": (["public.b"], []),
    "ALTER TABLE a RENAME x TO y": (["a", "public.b"], []),
    'ALTER TABLE "user" RENAME COLUMN "x y" TO z': (['"user"', "public.a"], []),
    "ALTER TABLE b RENAME TO c": (["public.b", "public.c"], ["public.b"]),
    "ALTER TABLE B RENAME TO c; ALTER TABLE b ADD x int": (["public.b", "public.c"], ["public.b"]),
    "DROP TABLE IF EXISTS public.b": (["public.b"], ["public.b"]),
    "DO $$ BEGIN IF 1 = 1 THEN ALTER TABLE a ADD x int; END IF; END $$": (["a"], []),
}
BESIDE = {
    "CREATE OR REPLACE VIEW v (a) AS SELECT 1": Reach(["v"], frozenset(), False, frozenset({"v"})),
    "DROP VIEW IF EXISTS old": Reach(
        ["old", "s.old"], frozenset(), False, frozenset({"old", "s.old"})
    ),
    "CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;"
    ' CREATE TRIGGER t AFTER UPDATE OF x ON a FOR EACH ROW EXECUTE FUNCTION s."F"()': Reach(
        ["a"], frozenset(), False, frozenset({"a"}), frozenset({"f"})
    ),
    'DROP FUNCTION "F"(int)': Reach([], frozenset(), False, functions=frozenset({"F"})),
    "DROP FUNCTION f(numeric(5, 2)), g()": Reach(
        [], frozenset(), False, kinds=frozenset({"functions"})
    ),
    "CREATE POLICY p ON a": Reach([], frozenset(), False, kinds=frozenset({"policies"})),
    "ALTER TYPE mood ADD VALUE 'sad'": Reach([], frozenset(), False, kinds=frozenset({"types"})),
}
WHOLE = (
    "DROP VIEW v CASCADE",
    "CREATE TEMP VIEW v AS SELECT 1",
    "DROP TABLE a CASCADE",
    "DROP TABLE a, b",
    "DROP TABLE twice",
    "ALTER TABLE twice RENAME TO thrice",
    "DROP TABLE IF EXISTS nowhere",
    "ALTER TABLE a SET SCHEMA s",
    "DO $$ BEGIN EXECUTE 'DROP TABLE a'; END $$",
    "DO $$ BEGIN IF makes() THEN ALTER TABLE a ADD x int; END IF; END $$",
    "DO $$ BEGIN ALTER TABLE a ALTER b SET DEFAULT CASE WHEN 1 = 1 THEN 1 ELSE 2 END; END $$",
    "SELECT makes()",
)


def reach(statement: str, known: dict[str, dict[str, str]]) -> Reach | None:
    record = Record("r1")
    record.statements.append(statement)
    return reach_of(record, Known(dict(known)))


@pytest.mark.parametrize("statement", PARTS)
def test_what_names_its_tables_is_read_in_part(statement: str) -> None:
    tables, gone = PARTS[statement]
    assert reach(statement, TABLES) == Reach(tables, frozenset(gone), False)


@pytest.mark.parametrize("statement", BESIDE)
def test_what_stands_beside_tables_is_read_by_its_name_or_kind(statement: str) -> None:
    known = {**TABLES, "view:s.old": {"definition": "SELECT 1"}}
    assert reach(statement, known) == BESIDE[statement]


@pytest.mark.parametrize("statement", WHOLE)
def test_whatever_could_reach_further_is_not(statement: str) -> None:
    assert reach(statement, TABLES) is None


def test_a_new_name_is_looked_for_in_views_where_there_are_any() -> None:
    known = {**TABLES, "view:public.v": {"definition": "SELECT a.x FROM public.a"}}
    for statement in ("ALTER TABLE a RENAME x TO y", "ALTER TABLE a RENAME TO c"):
        found = reach(statement, known)
        assert found is not None
        assert found.beside
