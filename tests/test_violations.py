"""Rows that stand in the way of what is missing."""

from __future__ import annotations

from conftest import execute

from runbook_lib.catalog import Catalog
from runbook_lib.dsn import Dsn
from runbook_lib.violations import find

VERSION = ("public", "alembic_version")


def test_what_belongs_to_no_table_has_no_rows_that_violate_it(database: Dsn) -> None:
    missing = {
        "view:public.v": {"definition": " SELECT 1"},
        "schema:extra": {},
        "domain:public.d": {"type": "text", "nullable": "no"},
        "function:public.f()": {"definition": "CREATE FUNCTION"},
    }
    assert find(database, Catalog(objects=missing), VERSION) == ()


def test_rows_without_a_value_are_counted(database: Dsn) -> None:
    execute(database, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1), (NULL), (NULL)")
    wanted = {"column:public.t.a": {"type": "integer", "nullable": "no"}, "table:public.t": {}}
    (sentence,) = find(database, Catalog(objects=wanted), VERSION)
    assert sentence.startswith("2 rows violate NOT NULL of column public.t.a of public.t")


def test_rows_without_a_value_for_a_new_column_cannot_be_mended(database: Dsn) -> None:
    execute(database, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
    wanted = {"column:public.t.b": {"type": "integer", "nullable": "no"}, "table:public.t": {}}
    (sentence,) = find(database, Catalog(objects=wanted), VERSION)
    assert sentence.startswith("1 row would have no value in column public.t.b, which is new and")
    assert "default" in sentence
    assert "Mend" not in sentence
