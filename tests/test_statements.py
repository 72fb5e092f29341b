"""What a statement does, told from its text: a function of somebody's may do anything."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event

from runbook_lib.agent.statements import (
    asks_catalog,
    is_reflection,
    may_change_schema,
    touches_rows,
)
from runbook_lib.dsn import Dsn
from tests.conftest import execute

QUESTIONS = (
    "SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relkind = ANY (ARRAY['r'])",
    "SELECT pg_catalog.format_type(atttypid, atttypmod), count(*)"
    " FROM pg_catalog.pg_attribute WHERE attname IN ('fill()') AND EXISTS (SELECT 1) GROUP BY 1",
    'SELECT CAST(1 AS varchar(20)), coalesce(max("oid"), 0) FROM pg_catalog.pg_type',
)
CALLS = (
    "SELECT fill()",
    "SELECT fill() FROM pg_catalog.pg_class LIMIT 1",
    "SELECT oid, app . fill ( oid ) FROM pg_catalog.pg_class",
    'SELECT "Fill"() FROM pg_catalog.pg_class',
    "SELECT 1 FROM pg_catalog.pg_class WHERE my_pg_fill(oid)",
    "WITH done AS (SELECT fill()) SELECT * FROM done, pg_catalog.pg_class",
    "CALL fill(1)",
    "DO $$ BEGIN PERFORM app.fill(1); END $$",
)


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_question_to_the_catalog_is_harmless(text: str) -> None:
    assert is_reflection(text)
    assert not may_change_schema(text)
    assert not touches_rows(text)


@pytest.mark.parametrize("text", CALLS)
def test_somebodys_function_may_do_anything(text: str) -> None:
    assert not is_reflection(text)
    assert may_change_schema(text)
    assert touches_rows(text)
    assert asks_catalog(text)


@pytest.mark.parametrize("text", ["SELECT count(*) FROM people", "INSERT INTO a SELECT now()"])
def test_a_question_about_rows_is_none_about_the_schema(text: str) -> None:
    assert not asks_catalog(text)


def test_a_question_with_something_behind_it_is_none() -> None:
    assert not is_reflection("SELECT 1 FROM pg_catalog.pg_class; DELETE FROM people")


def test_no_question_of_sqlalchemys_own_is_taken_for_more(database: Dsn) -> None:
    execute(
        database,
        "CREATE TYPE mood AS ENUM ('ok')",
        "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)",
        "CREATE TABLE a (id serial PRIMARY KEY, m mood, n positive CHECK (n < 9), u text UNIQUE)",
        "CREATE TABLE b (id integer GENERATED ALWAYS AS IDENTITY, a_id integer REFERENCES a)",
        "CREATE INDEX i ON a (lower(u)) WHERE n > 1",
        "CREATE VIEW v AS SELECT u FROM a",
    )
    engine = sqlalchemy.create_engine(database.with_driver("psycopg2"))
    asked: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        asked.append(statement)

    with engine.connect() as connection:
        look = sqlalchemy.inspect(connection)
        look.get_enums()  # type: ignore[attr-defined]
        look.get_domains()  # type: ignore[attr-defined]
        look.get_schema_names()
        look.get_view_definition("v")
        sqlalchemy.MetaData().reflect(connection)
    questions = [text for text in asked if "pg_catalog.pg_" in text]
    assert len(questions) > 8
    assert [text for text in questions if not is_reflection(text)] == []
