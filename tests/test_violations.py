"""Rows that stand in the way of what is missing."""

from __future__ import annotations

import psycopg2
import pytest
from conftest import execute

from runbook_lib.agent.wire import explain
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


def test_a_repeated_key_is_shown_once_and_one_that_is_a_secret_not_at_all(database: Dsn) -> None:
    execute(
        database,
        "CREATE TABLE t (mail text, api_token text)",
        "INSERT INTO t SELECT 'ada@example.org', 'tok-4711' FROM generate_series(1, 3)",
    )
    unique = {
        f"constraint:public.t.{name}": {"type": "unique", "definition": f"UNIQUE ({columns})"}
        for name, columns in (("a", "mail"), ("b", "mail, api_token"))
    }
    told, silent = find(database, Catalog(objects=unique), VERSION)
    assert "for example where mail is ada@example.org." in told
    assert "3 rows violate" in silent
    assert "for example where ctid is (0,1), (0,2), (0,3)." in silent
    assert "tok-4711" not in silent


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES (NULL, 'tok-4711', 'x')",
        "INSERT INTO t VALUES (-1, E'tok-4711\nHINT: ).', 'x')",
        "INSERT INTO t VALUES (2, 'tok-4711', 'x'), (3, 'tok-4711', 'x')",
    ],
)
def test_what_an_error_says_holds_no_row_and_no_secret_key(database: Dsn, statement: str) -> None:
    create = "CREATE TABLE t (a int NOT NULL CHECK (a > 0), api_token text UNIQUE, c text)"
    execute(database, create)
    with pytest.raises(psycopg2.IntegrityError, match="tok-4711") as caught:
        execute(database, statement)
    said = explain(caught.value)
    assert "violates" in said
    assert "tok-4711" not in said
