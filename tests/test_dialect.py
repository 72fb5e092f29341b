"""Spellings that come to the same, as servers from 11 to 18 gave them, and others that do not."""

from __future__ import annotations

import pytest

from runbook_lib.catalog import EMPTY, Catalog, ObjectChange
from runbook_lib.dialect import alike, translated, unified
from runbook_lib.effects import Replay, RevisionReplay
from runbook_lib.inference import object_states

# what an older server spells, what a newer one does
SAME = [
    ("timezone('utc'::text, now())", "(now() AT TIME ZONE 'utc'::text)"),
    (
        "timezone('Europe/Berlin'::text, timezone('utc'::text, people.made))",
        "((people.made AT TIME ZONE 'utc'::text) AT TIME ZONE 'Europe/Berlin'::text)",
    ),
    ("date_part('year'::text, now())", "EXTRACT(year FROM now())"),
    (
        "CHECK ((date_part('year'::text, at) > (2000)::double precision))",
        "CHECK ((EXTRACT(year FROM at) > (2000)::numeric))",
    ),
    ("btrim((name)::text)", "TRIM(BOTH FROM name)"),
    ("btrim((old.total)::text)", "TRIM(BOTH FROM (old.total)::text)"),
    ("ltrim('xx'::text, 'x'::text)", "TRIM(LEADING 'x'::text FROM 'xx'::text)"),
    ("\"substring\"('abc'::text, 1, 2)", "SUBSTRING('abc'::text FROM 1 FOR 2)"),
    ("\"position\"((a)::text, 'b'::text)", "POSITION(('b'::text) IN (a))"),
    (
        "\"overlay\"('ab'::text, 'x'::text, 2, 1)",
        "OVERLAY('ab'::text PLACING 'x'::text FROM 2 FOR 1)",
    ),
    ('CHECK ("overlaps"(a, b, c, d))', "CHECK (((a, b) OVERLAPS (c, d)))"),
    ("(x ~ similar_escape('[0-9]+'::text, NULL::text))", "(x ~ similar_to_escape('[0-9]+'::text))"),
    (
        "CREATE OR REPLACE PROCEDURE app.p(a integer, INOUT b text)\n AS $$ SELECT 1 $$",
        "CREATE OR REPLACE PROCEDURE app.p(IN a integer, INOUT b text)\n AS $$ SELECT 1 $$",
    ),
    (" SELECT people.id\n   FROM public.people", " SELECT id\n   FROM public.people"),
    (
        " SELECT s.id FROM ( SELECT p.id FROM p) s WHERE EXISTS ( SELECT FROM o WHERE o.x = s.id)",
        " SELECT id FROM ( SELECT p.id FROM p) s WHERE EXISTS ( SELECT FROM o WHERE o.x = s.id)",
    ),
    (
        " WITH c AS ( SELECT 1 AS a) SELECT c.a FROM c WHERE c.a IS DISTINCT FROM 2",
        " WITH c AS ( SELECT 1 AS a) SELECT a FROM c WHERE a IS DISTINCT FROM 2",
    ),
    (' SELECT "P"."a.b" FROM x "P"', ' SELECT "a.b" FROM x "P"'),
]
OTHER = [
    ("timezone('utc'::text, now())", "timezone('utc'::text, later())"),
    ("timezone('utc'::text, day)", "(made AT TIME ZONE 'utc'::text)"),
    # whether somebody wrote the cast decides about the meaning, and the call does not tell
    ("timezone('utc'::text, (a)::timestamp with time zone)", "(a AT TIME ZONE 'utc'::text)"),
    ("rtrim(name)", "TRIM(LEADING FROM name)"),
    ("btrim(name)", "btrim((name)::text)"),
    ("public.btrim((name)::text)", "public.btrim(name)"),
    ("(EXTRACT(year FROM at) > (2000)::numeric)", "(EXTRACT(year FROM at) > (2001)::numeric)"),
    ("((a)::numeric > (1)::numeric)", "((a)::numeric > (1)::double precision)"),
    (" SELECT p.id FROM p, o", " SELECT o.id FROM p, o"),
    (" SELECT p.id FROM p JOIN o ON true", " SELECT id FROM p JOIN o ON true"),
    (" SELECT p.id FROM p UNION SELECT p.x FROM p", " SELECT id FROM p UNION SELECT p.x FROM p"),
    (" SELECT id FROM ( SELECT p.id FROM p) s", " SELECT id FROM ( SELECT o.id FROM p) s"),
    (" SELECT 'p.id' FROM p", " SELECT 'id' FROM p"),
    ("$$ a  b $$", "$$ a b $$"),
    ("'a  b'", "'a b'"),
]


@pytest.mark.parametrize(("older", "newer"), SAME)
def test_two_servers_spellings_are_alike(older: str, newer: str) -> None:
    assert alike(older, newer)
    assert alike(newer, older)
    assert alike(newer, newer)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_says_something_else_is_not(one: str, other: str) -> None:
    assert not alike(one, other)
    assert not alike(other, one)


def test_what_the_server_does_not_spell_is_left_alone() -> None:
    wanted = Catalog(objects={"table:public.a": {"comment": "btrim(a)"}})
    live = Catalog(objects={"table:public.a": {"comment": "TRIM(BOTH FROM a)"}})
    assert translated(live, wanted) == live


def test_a_revision_that_only_spells_otherwise_leaves_no_trace() -> None:
    """On an older server nothing would tell whether it ran."""
    key, first, second = "column:public.a.at", *({"default": text} for text in SAME[0])
    runs = tuple(
        RevisionReplay(
            revision_id=name,
            status="replayed",
            changes=(ObjectChange(object=key, before=before, after=after),),
        )
        for name, before, after in (("r1", None, first), ("r2", first, second))
    )
    replay = Replay(
        baseline=EMPTY,
        baseline_origin="empty",
        revisions=runs,
        final=Catalog(objects={key: second}),
        server_version="18",
    )
    told = unified(replay, object_states(replay))
    assert told.final.objects[key] == first
    assert [run.changes[0].after for run in told.revisions] == [first, first]
