"""Replay with effects, and its cache: what did not change is not run again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from runbook_lib.answers import Run
from runbook_lib.catalog import apply_changes
from runbook_lib.config import ProjectSettings
from runbook_lib.edits import FileEdit
from runbook_lib.effects import Replay
from runbook_lib.errors import ConfigurationError, ProjectError
from runbook_lib.postgres import EmbeddedServer, Scratch
from runbook_lib.project import Project
from runbook_lib.replay import make_job, replay

PROJECTS = Path(__file__).parent / "projects"
VERSION_TABLE = "public.alembic_version"
PARTS = {
    "DB_USER": "{user}",
    "DB_HOST": "{host}",
    "DB_PORT": "{port}",
    "DB_NAME": "{database}",
}


class Desk:
    """A copy of one project with its cache; ``run`` replays it and notes which revisions ran."""

    def __init__(
        self, folder: Path, scratch: Scratch, name: str, settings: ProjectSettings
    ) -> None:
        shutil.copytree(PROJECTS / name, folder / "app")
        self.folder, self.scratch = folder, scratch
        self.settings = replace(settings, root="app")
        self.ran: list[str] = []

    def run(self, *edits: FileEdit, exclude: tuple[str, ...] = (VERSION_TABLE,)) -> Replay:
        project = Project(self.settings, self.folder)
        self.ran = []
        return replay(
            make_job(
                project,
                project.collect(),
                self.scratch,
                edits=edits,
                cache_folder=self.folder / "cache",
                exclude=exclude,
                progress=lambda event: (
                    self.ran.append(event["revision"]) if event["event"] == "started" else None
                ),
            )
        )

    def write(self, name: str, body: str, down: str = "eee5") -> Path:
        path = self.folder / f"app/migrations/versions/{name}.py"
        lines = [f"    op.execute({body!r})"]
        if body in IN_A_BLOCK:
            lines = ["    with op.get_context().autocommit_block():", f"    {lines[0]}"]
        path.write_text(
            f'from alembic import op\n\nrevision = "{name}"\ndown_revision = "{down}"\n\n\n'
            + "\n".join(["def upgrade():", *lines])
            + "\n\n\ndef downgrade():\n    pass\n"
        )
        return path


@pytest.fixture
def scratch(server: EmbeddedServer) -> Scratch:
    return Scratch(server.dsn("postgres"))


@pytest.fixture
def desk(tmp_path: Path, scratch: Scratch) -> Callable[..., Desk]:
    def make(name: str = "plain", **settings: object) -> Desk:
        return Desk(tmp_path, scratch, name, ProjectSettings(**settings))  # type: ignore[arg-type]

    return make


def databases(scratch: Scratch) -> set[str]:
    connection = psycopg2.connect(**scratch.admin.libpq())
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname ~ '^runbook_(kept|shadow)_'")
        found = {name for (name,) in cursor.fetchall()}
    connection.close()
    return found


def test_an_unchanged_tree_replays_nothing(desk: Callable[..., Desk]) -> None:
    plain = desk()
    first = plain.run()
    assert sorted(plain.ran) == ["aaa1", "bbb2", "ccc3", "ddd4", "eee5"]
    second = plain.run()
    assert plain.ran == []
    assert second == replace(first, cached=True)
    assert first.baseline_origin == "empty"
    assert set(first.baseline.objects) == {"extension:plpgsql", "schema:public"}


def test_the_final_catalog_is_the_sum_of_the_effects(desk: Callable[..., Desk]) -> None:
    done = desk("failing").run()
    catalog = done.baseline
    for item in done.revisions:
        catalog = apply_changes(catalog, item.changes)
    assert done.final == catalog
    assert "index:public.ix_users" in done.final.objects
    assert "table:public.alembic_version" not in done.final.objects


def test_a_new_revision_replays_only_itself(desk: Callable[..., Desk], scratch: Scratch) -> None:
    plain = desk()
    plain.run()
    plain.write("fff6", "CREATE TABLE fresh (id integer)")
    added = plain.run()
    assert plain.ran == ["fff6"]
    plain.write("ggg7", "ALTER TABLE fresh ADD COLUMN more integer", down="fff6")
    added = plain.run()
    assert plain.ran == ["ggg7"]
    assert [item.revision_id for item in added.revisions][-2:] == ["fff6", "ggg7"]
    shutil.rmtree(plain.folder / "cache")
    fresh = plain.run()
    assert len(plain.ran) == 7
    assert fresh.final == added.final
    assert {item.revision_id: item.changes for item in fresh.revisions} == {
        item.revision_id: item.changes for item in added.revisions
    }


def changed_revision(desk: Desk) -> None:
    path = desk.folder / "app/migrations/versions/0005_longer_name.py"
    path.write_text(path.read_text().replace("80", "90"))


def changed_env(desk: Desk) -> None:
    path = desk.folder / "app/migrations/env.py"
    path.write_text(path.read_text() + "\n# changed\n")


def changed_ini(desk: Desk) -> None:
    path = desk.folder / "app/alembic.ini"
    path.write_text(path.read_text() + "\n[other]\n")


def spliced_in(desk: Desk) -> None:
    desk.write("mid", "CREATE TABLE mid ()", down="ccc3")
    path = desk.folder / "app/migrations/versions/0005_longer_name.py"
    path.write_text(path.read_text().replace('"ddd4"', '("ddd4", "mid")'))


def removed(desk: Desk) -> None:
    (desk.folder / "app/migrations/versions/0005_longer_name.py").unlink()


def damaged_cache(desk: Desk) -> None:
    for path in (desk.folder / "cache").glob("*.json"):
        path.write_text(path.read_text().replace("users", "losers"))


def shadow_gone(desk: Desk) -> None:
    desk.write("fff6", "CREATE TABLE fresh ()")
    for name in databases(desk.scratch):
        desk.scratch.drop(desk.scratch.dsn(name))


def shadow_touched(desk: Desk) -> None:
    desk.write("fff6", "CREATE TABLE fresh ()")
    for name in databases(desk.scratch):
        connection = psycopg2.connect(**desk.scratch.dsn(name).libpq())
        with connection, connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS orders")
        connection.close()


CHANGES = (
    changed_revision,
    changed_env,
    changed_ini,
    spliced_in,
    removed,
    damaged_cache,
    shadow_gone,
    shadow_touched,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_could_change_a_result_replays_it_all(
    desk: Callable[..., Desk], change: Callable[[Desk], None]
) -> None:
    plain = desk()
    plain.run()
    change(plain)
    done = plain.run()
    assert not done.cached
    assert "aaa1" in plain.ran
    assert "table:public.users" in done.final.objects
    assert "table:public.orders" in done.final.objects


def test_the_applications_modules_count(desk: Callable[..., Desk]) -> None:
    """A naming convention in the application's settings changes what a revision creates."""
    settings = desk("settings", env=PARTS)
    settings.run()
    assert settings.run().cached
    path = settings.folder / "app/app/settings.py"
    path.write_text(path.read_text() + "\n# changed\n")
    assert not settings.run().cached


def test_edits_are_replayed_and_not_kept_as_the_tree(desk: Callable[..., Desk]) -> None:
    plain = desk()
    plain.run()
    edit = FileEdit(
        path="migrations/versions/zzz.py",
        before=None,
        after='revision = "zzz"\ndown_revision = "eee5"\n\ndef upgrade():\n    pass\n',
        reason="test",
    )
    assert plain.run(edit).revisions[-1].revision_id == "zzz"
    assert plain.run(edit).cached
    assert plain.run().revisions[-1].revision_id == "eee5"


def test_nothing_is_left_but_the_kept_shadow(desk: Callable[..., Desk], scratch: Scratch) -> None:
    before = databases(scratch)
    desk("failing").run()
    assert databases(scratch) == before


def test_failures_are_cached_with_their_errors(desk: Callable[..., Desk]) -> None:
    failing = desk("failing")
    first = failing.run()
    again = failing.run()
    assert again.cached
    errors = {item.revision_id: item.error for item in again.revisions if item.error}
    assert set(errors) == {"f2", "f7", "f9"}
    assert errors == {item.revision_id: item.error for item in first.revisions if item.error}


def test_excluded_tables_count_for_nothing(desk: Callable[..., Desk]) -> None:
    done = desk().run(exclude=(VERSION_TABLE, "public.orders"))
    assert not [key for key in done.final.objects if "orders" in key]
    assert not [c for item in done.revisions for c in item.changes if "orders" in c.object]


def test_a_baseline_is_loaded_first(desk: Callable[..., Desk]) -> None:
    based = desk(baseline="past.sql")
    (based.folder / "past.sql").write_text(
        "CREATE TABLE old (id integer PRIMARY KEY);\n"
        "CREATE TABLE other (id integer);\nCOPY other FROM stdin;\n1\n\\.\n"
        "ALTER TABLE old OWNER TO runbook_test_owner;\n"
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);\n"
    )
    based.write("a_revision_id_that_is_longer_than_the_column", "ALTER TABLE old ADD x integer")
    done = based.run()
    assert done.baseline_origin == "given"
    assert "table:public.old" in done.baseline.objects
    assert done.revisions[-1].changes[0].object == "column:public.old.x"
    (based.folder / "past.sql").write_text("CREATE TABLE old (id bigint);")
    assert not based.run().cached


def test_a_function_can_make_the_baseline(desk: Callable[..., Desk]) -> None:
    based = desk("settings", env=PARTS, baseline="callable:app.past:create")
    past = based.folder / "app/app/past.py"
    past.write_text(
        "from sqlalchemy import create_engine, text\n\n\ndef create(url):\n"
        "    url = url.replace('postgresql:', 'postgresql+psycopg2:')\n"
        "    with create_engine(url).begin() as connection:\n"
        "        connection.execute(text('CREATE TABLE old (id integer)'))\n"
    )
    assert "table:public.old" in based.run().baseline.objects
    past.write_text("def create():\n    raise ValueError('no past')\n")
    based.settings = replace(based.settings, x=("again",))
    with pytest.raises(ProjectError, match="no past"):
        based.run()


def test_a_missing_baseline_is_said(desk: Callable[..., Desk]) -> None:
    with pytest.raises(ConfigurationError, match=r"baseline = 'past.sql' is no .sql file"):
        desk(baseline="past.sql").run()


def test_two_at_once_do_not_disturb_each_other(desk: Callable[..., Desk]) -> None:
    """The kept shadow is one process's at a time; the other one starts from the beginning."""
    plain = desk()
    plain.run()
    plain.write("fff6", "CREATE TABLE fresh (id integer)")
    locks = list((plain.folder / "cache").glob("*.lock"))
    assert len(locks) == 1
    with locks[0].open("w") as stream:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX)
        plain.run()
    assert len(plain.ran) == 6


IN_A_BLOCK = (
    "CREATE INDEX CONCURRENTLY ix_h ON made (h)",
    "ALTER TYPE humour ADD VALUE 'wry'",
    "COMMENT ON TYPE humour IS 'of a person'; ALTER TABLE made ADD COLUMN in_block int",
    "UPDATE made SET lasting = 3",
    "DROP INDEX CONCURRENTLY ix_h",
    "DO $$ BEGIN CREATE VIEW from_block AS SELECT 1 AS one; END $$",
)
STATEMENTS = (
    "CREATE TABLE a (id serial PRIMARY KEY, name text UNIQUE, note text)",
    "CREATE TABLE b (id int GENERATED ALWAYS AS IDENTITY, a_id int REFERENCES a ON DELETE CASCADE)",
    'CREATE TABLE "Odd name" (id bigserial, "a;b" text DEFAULT \'x;y\')',
    "CREATE SCHEMA s",
    "CREATE TABLE s.a (id int); CREATE INDEX ON s.a (id); -- the same name in another schema",
    "CREATE INDEX ix_name ON a (name); CREATE UNIQUE INDEX ON b (a_id) WHERE a_id > 1",
    "ALTER TABLE a ADD COLUMN c numeric(5, 2) DEFAULT 0, ADD CONSTRAINT ck CHECK (c > 0)",
    "ALTER TABLE ONLY a ALTER COLUMN name TYPE varchar(9)",
    "ALTER TABLE a ALTER COLUMN c SET NOT NULL, DROP COLUMN note",
    "ALTER TABLE a DROP CONSTRAINT a_pkey CASCADE",
    "ALTER TABLE a ADD PRIMARY KEY (id)",
    "ALTER TABLE b ADD CONSTRAINT fk FOREIGN KEY (a_id) REFERENCES a (id) NOT VALID",
    "ALTER TABLE b VALIDATE CONSTRAINT fk",
    'ALTER TABLE "Odd name" ADD COLUMN "More; of it" text',
    "DROP INDEX ix_name",
    "CREATE VIEW v AS SELECT id, name FROM a",
    "ALTER TABLE a RENAME TO z",
    "ALTER TABLE z RENAME COLUMN name TO title",
    "CREATE TABLE parent (id int, kind int) PARTITION BY LIST (kind)",
    "CREATE TABLE child PARTITION OF parent FOR VALUES IN (1)",
    "ALTER TABLE parent ADD COLUMN extra int; CREATE INDEX ON parent (extra)",
    "CREATE TABLE heir (own int) INHERITS (z)",
    "ALTER TABLE z ADD COLUMN handed_down int",
    "CREATE TYPE mood AS ENUM ('glad'); ALTER TABLE b ADD COLUMN mood mood",
    "ALTER TYPE mood RENAME TO humour",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "CREATE TRIGGER t BEFORE UPDATE ON b FOR EACH ROW EXECUTE FUNCTION f()",
    "ALTER TABLE b DISABLE TRIGGER t",
    "COMMENT ON COLUMN b.mood IS 'how; it is'",
    "GRANT SELECT ON b TO PUBLIC",
    "SELECT set_config('search_path', 's, public', true); ALTER TABLE a ADD COLUMN found int",
    "DO $$ BEGIN EXECUTE 'ALTER TABLE b ADD COLUMN hidden int'; END $$",
    "DROP TABLE s.a",
    "DROP TABLE b",
    "CREATE TABLE gone (id int); DROP TABLE gone",
    "CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a + 1) STORED)",
    "CREATE TABLE plain (a int DEFAULT 1)",
    "SELECT 1; CREATE TABLE last AS SELECT 1 AS one",
    # What could hide a statement, or mislead about its table; some of it is undone again.
    "INSERT INTO plain VALUES (1); SELECT E'it\\'s'; DROP TABLE made; SELECT ';'",
    "CREATE TABLE gone2 (id int); CREATE TABLE made (id int, code text)",
    "INSERT INTO made (code) VALUES ('a--b'); DROP TABLE gone2; SELECT '/*'",
    "CREATE TABLE s.hidden (id int); SELECT '*/'",
    "SET LOCAL search_path TO s; CREATE TABLE there (id int); SET LOCAL search_path TO public",
    "SET LOCAL search_path TO s; DROP TABLE there; RESET search_path",
    "DROP TABLE IF EXISTS hidden; ALTER TABLE made ADD COLUMN more int",
    "DROP TABLE made; CREATE TABLE made (id int)",
    "ALTER TABLE made ADD COLUMN own serial; CREATE STATISTICS st ON id, own FROM made",
    "ALTER TABLE made DROP COLUMN own",
    "COMMENT ON TABLE made IS 'a; b'; COMMENT ON COLUMN made.id IS 'c'",
    "COMMENT ON COLUMN v.id IS 'd'",
    "COMMENT ON COLUMN made.id IS NULL",
    "CREATE FUNCTION makes() RETURNS void LANGUAGE sql AS 'CREATE TABLE by_function (id int)'",
    "SELECT makes() FROM pg_catalog.pg_class LIMIT 1",
    "SAVEPOINT one; CREATE TABLE never (id int); ROLLBACK TO SAVEPOINT one",
    "DROP FUNCTION makes()",
    "CREATE TEMP TABLE made (other int); ALTER TABLE made ADD COLUMN temporary int",
    "ALTER TABLE public.made ADD COLUMN lasting int; DROP TABLE pg_temp.made",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "CREATE TABLE granted (id serial)",
    "DROP TABLE granted; ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC",
    "CREATE DOMAIN d AS int; ALTER TABLE made ADD COLUMN of_d d; ALTER DOMAIN d RENAME TO e",
    "ALTER TYPE humour ADD VALUE 'sad'; ALTER TABLE made ADD COLUMN h humour",
    "ALTER TABLE made ADD UNIQUE (id); ALTER TABLE made ADD CONSTRAINT self FOREIGN KEY (lasting)"
    " REFERENCES made (id); ALTER TABLE made RENAME COLUMN id TO key",
    "SELECT 1; UPDATE made SET lasting = 2",
    *IN_A_BLOCK,
    # What stands beside the tables, alone and together with one.
    "CREATE TYPE s.size AS ENUM ('s', 'm'); CREATE TABLE shirt (id serial, size s.size)",
    "ALTER TYPE s.size ADD VALUE 'l' BEFORE 's'; COMMENT ON TYPE s.size IS 'of a shirt'",
    "CREATE VIEW shirts AS SELECT id, size FROM shirt; COMMENT ON VIEW shirts IS 'all; of them'",
    "CREATE OR REPLACE VIEW shirts AS SELECT id, size, 1 AS one FROM shirt",
    "COMMENT ON COLUMN shirts.id IS 'seen'; ALTER TABLE shirt ADD COLUMN tone text",
    "CREATE POLICY mine ON shirt USING (true); ALTER TABLE shirt ENABLE ROW LEVEL SECURITY",
    "ALTER POLICY mine ON shirt USING (id > 1)",
    "CREATE FUNCTION s.g(a int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT a; -- DROP TABLE x'",
    "CREATE OR REPLACE FUNCTION s.g(a int DEFAULT 2) RETURNS int LANGUAGE sql AS 'SELECT a'",
    "ALTER TABLE shirt ADD COLUMN n int DEFAULT s.g(); CREATE INDEX ix_n ON shirt (n)",
    "CREATE TRIGGER tg BEFORE UPDATE ON shirt FOR EACH ROW EXECUTE FUNCTION f()",
    "GRANT SELECT (id) ON shirts TO PUBLIC",
    "CREATE TRIGGER tv INSTEAD OF UPDATE ON shirts FOR EACH ROW EXECUTE FUNCTION f()",
    "DROP TRIGGER tg ON shirt; DROP TRIGGER tv ON shirts; DROP POLICY mine ON shirt",
    "CREATE TEMP VIEW brief AS SELECT 1; CREATE VIEW lasting AS SELECT 1 AS one",
    "DROP VIEW shirts; CREATE VIEW shirts AS SELECT id FROM shirt",
    "GRANT SELECT (id) ON shirts TO PUBLIC",
    "DROP VIEW shirts; DROP VIEW lasting",
    "ALTER TABLE shirt DROP COLUMN size; DROP TYPE s.size",
    "ALTER TABLE shirt ALTER COLUMN n DROP DEFAULT; DROP FUNCTION s.g(int); DROP INDEX ix_n",
    "DROP FUNCTION f() CASCADE",
    # Names that change, and tables that go.
    'CREATE TABLE "user" (id serial PRIMARY KEY, "Größe" int, UNIQUE ("Größe"));'
    ' CREATE TABLE "Näher" (id int REFERENCES "user", g int REFERENCES "user" ("Größe"))',
    'ALTER TABLE "user" RENAME COLUMN "Größe" TO "order"',
    'ALTER TABLE "user" RENAME id TO "Id"; ALTER INDEX "user_Größe_key" RENAME TO by_order',
    'ALTER TABLE "user" RENAME TO "Leute"',
    'ALTER TABLE "Leute" RENAME TO people; ALTER TABLE people ADD COLUMN more int',
    'ALTER TABLE "Näher" RENAME CONSTRAINT "Näher_g_fkey" TO shorter',
    "CREATE VIEW of_people AS SELECT * FROM people",
    'ALTER TABLE people RENAME "Id" TO number',
    "ALTER TABLE PEOPLE RENAME TO folk",
    "CREATE STATISTICS of_folk ON more, number FROM folk; CREATE SCHEMA t",
    "ALTER TABLE folk RENAME COLUMN more TO less",
    "CREATE TABLE t.folk (id serial, FOREIGN KEY (id) REFERENCES folk (number))",
    "ALTER TABLE t.folk RENAME TO others; ALTER TABLE t.others RENAME TO folk",
    "CREATE POLICY ours ON t.folk; CREATE INDEX ix_folk ON t.folk (id)",
    "DROP INDEX t.ix_folk; DROP TABLE t.folk",
    'DROP TABLE IF EXISTS t.folk; DROP TABLE "Näher"',
    "DROP VIEW of_people; ALTER TABLE folk ADD COLUMN late int; DROP TABLE folk",
    "CREATE TABLE folk (id int); ALTER TABLE folk RENAME TO fewer; CREATE TABLE folk (id text)",
    "ALTER TABLE fewer RENAME TO swap; ALTER TABLE folk RENAME TO fewer;"
    " ALTER TABLE swap RENAME TO folk",
    "CREATE TEMP TABLE fewer (id int); ALTER TABLE fewer RENAME id TO short",
    "DROP TABLE fewer",
    "ALTER TABLE fewer RENAME COLUMN id TO short; DROP TABLE folk, fewer",
    # Views, functions and triggers by their names.
    "CREATE TABLE va (id int, name text); CREATE TABLE s.va (id int);"
    ' CREATE TABLE odd (id int, "ON " int)',
    "CREATE VIEW w AS SELECT id FROM va; CREATE VIEW s.w AS SELECT id FROM s.va",
    "CREATE OR REPLACE VIEW w AS SELECT id, name FROM va; COMMENT ON VIEW s.w IS 'of s'",
    "CREATE VIEW over_w AS SELECT name FROM w; DROP VIEW over_w; DROP VIEW s.w",
    "CREATE VIEW s.w AS SELECT id FROM s.va; DROP VIEW w; DROP VIEW IF EXISTS w",
    "CREATE VIEW w AS SELECT name FROM va",
    "CREATE FUNCTION h(int) RETURNS int LANGUAGE sql AS 'SELECT 1';"
    " CREATE FUNCTION h(text DEFAULT 'a;b') RETURNS int LANGUAGE sql AS 'SELECT 2'",
    "CREATE OR REPLACE FUNCTION h(int) RETURNS int LANGUAGE sql AS 'SELECT 3';"
    " DROP FUNCTION h(text)",
    "CREATE FUNCTION s.h(a numeric(5, 2)) RETURNS int LANGUAGE sql AS 'SELECT 4'",
    "COMMENT ON FUNCTION s.h(numeric(5, 2)) IS 'in s'; DROP FUNCTION h",
    'CREATE FUNCTION "H h"() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$',
    'CREATE TRIGGER "on" BEFORE INSERT OR UPDATE OF name ON va FOR EACH ROW'
    ' EXECUTE FUNCTION "H h"(); ALTER TABLE va ADD COLUMN t1 int',
    'CREATE TRIGGER tw INSTEAD OF INSERT ON w FOR EACH ROW EXECUTE FUNCTION "H h"()',
    'CREATE TRIGGER tb BEFORE UPDATE OF "ON " ON odd FOR EACH ROW EXECUTE FUNCTION "H h"()',
    "COMMENT ON TRIGGER tw ON w IS 'of w'; DROP TRIGGER \"on\" ON va;"
    " DROP TRIGGER IF EXISTS no ON va",
    "CREATE OR REPLACE VIEW w AS SELECT name, id FROM va",
    'DROP VIEW w; CREATE VIEW w AS SELECT 1 AS one; CREATE VIEW "W" AS SELECT 2 AS two',
    "ALTER TABLE va RENAME TO vb; CREATE VIEW va AS SELECT id FROM vb",
    'DROP VIEW va, w; DROP FUNCTION s.h(numeric(5, 2)), "H h"() CASCADE',
    "CREATE PROCEDURE pr(a int) LANGUAGE sql AS 'SELECT 1'; DROP PROCEDURE pr(a int)",
    "CREATE TEMP VIEW vb AS SELECT 1 AS one; CREATE VIEW vc AS SELECT id FROM public.vb",
    "DROP VIEW pg_temp.vb; DROP TABLE vb CASCADE",
    # What a block may do.
    "DO $$ BEGIN IF to_regclass('blocks') IS NULL THEN CREATE TABLE blocks (id int);"
    " END IF; END $$",
    "DO $$ BEGIN IF to_regclass('blocks') IS NULL THEN CREATE TABLE blocks (id text);"
    " ELSE ALTER TABLE blocks ADD COLUMN more int; END IF; END $$",
    "DO $$ BEGIN CREATE TYPE hue AS ENUM ('red');"
    " EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    "DO $x$ BEGIN CREATE TYPE hue AS ENUM ('red'); EXCEPTION WHEN duplicate_object THEN"
    " ALTER TABLE blocks ADD COLUMN hue hue; END $x$ LANGUAGE plpgsql;",
    "DO $$ BEGIN ALTER TABLE blocks ADD COLUMN u int DEFAULT CASE WHEN true THEN 1 ELSE 2 END;"
    " COMMENT ON TABLE blocks IS 'of u'; END $$",
    "DO $$ BEGIN ALTER TABLE shirt ADD COLUMN w int; IF 1 / 0 = 1 THEN NULL; END IF;"
    " EXCEPTION WHEN division_by_zero THEN COMMENT ON TABLE blocks IS 'undone'; END $$",
    "DO $$ BEGIN IF EXISTS (SELECT 1) THEN DROP TABLE blocks; END IF; END $$",
    "DO $$ BEGIN RAISE NOTICE 'nothing'; CREATE TABLE another (id int); EXECUTE 'DROP TABLE shirt';"
    " END $$",
)


def test_reading_a_part_of_the_catalog_gives_the_same_effects(
    desk: Callable[..., Desk], scratch: Scratch
) -> None:
    """Only the tables that simple statements name are read again: nothing may be missed."""
    plain = desk()
    down = "eee5"
    for number, statement in enumerate(STATEMENTS):
        plain.write(f"w{number:02}", statement, down=down)
        down = f"w{number:02}"
    runs = []
    for partial in (True, False):
        shadow = scratch.create("shadow")
        project = Project(plain.settings, plain.folder)
        runs.append(project.run_replay(shadow, partial=partial))
        scratch.drop(shadow)
    some, whole = runs
    assert [item.error for item in whole.revisions if item.error] == []
    assert {item.revision_id: item.changes for item in some.revisions} == {
        item.revision_id: item.changes for item in whole.revisions
    }
    assert not some.again


def test_a_revision_that_takes_the_agents_functions_away_is_replayed_in_full(
    desk: Callable[..., Desk], scratch: Scratch
) -> None:
    """What the replay reads with lies in the session, where a revision can throw it out."""
    plain = desk()
    plain.write("fff6", "DISCARD TEMP")
    plain.write("ggg7", "CREATE TABLE later (id integer)", down="fff6")
    shadow = scratch.create("shadow")
    project = Project(plain.settings, plain.folder)
    assert project.run_replay(shadow, partial=True).again == "whole"
    scratch.drop(shadow)
    done = plain.run()
    assert [item.status for item in done.revisions] == ["replayed"] * len(done.revisions)
    assert "table:public.later" in {change.object for change in done.revisions[-1].changes}


def test_effects_beyond_the_named_tables_are_found_out(desk: Callable[..., Desk]) -> None:
    """An event trigger of the project's own changes more than the statement says."""
    plain = desk()
    plain.write(
        "fff6",
        "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " CREATE TABLE IF NOT EXISTS audit (id int); END $$;"
        " CREATE EVENT TRIGGER e ON ddl_command_end WHEN TAG IN ('ALTER TABLE')"
        " EXECUTE FUNCTION f()",
    )
    plain.write("ggg7", "ALTER TABLE users ADD COLUMN x integer", down="fff6")
    done = plain.run()
    assert "table:public.audit" in {change.object for change in done.revisions[-1].changes}
    assert done.final.objects.keys() >= {"table:public.audit", "column:public.users.x"}


NUMBERS = "INSERT INTO public.numbers SELECT txid_current()"
APART = {
    "a setting of the transaction's": ("SET /* just */ LOCAL statement_timeout TO 0",),
    "a value of an enum": (
        "CREATE TYPE kind AS ENUM ('a'); CREATE TABLE things (kind kind)",
        "DO $$ BEGIN EXECUTE 'ALTER TYPE kind ADD ' || 'VALUE ' || quote_literal('b'); END $$",
    ),
}


def replayed(
    plain: Desk, scratch: Scratch, statements: Sequence[str], *, together: bool = True
) -> tuple[Run, set[int]]:
    """Replay the statements; return the run, and the transactions that they ran in."""
    down = "eee5"
    for number, statement in enumerate(("CREATE TABLE numbers (id bigint)", *statements)):
        plain.write(f"w{number:02}", statement, down=down)
        down = f"w{number:02}"
    shadow = scratch.create("shadow")
    try:
        run = Project(plain.settings, plain.folder).run_replay(
            shadow, partial=True, together=together
        )
        connection = psycopg2.connect(**shadow.libpq())
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM public.numbers")
            found = {number for (number,) in cursor.fetchall()}
        connection.close()
        return run, found
    finally:
        scratch.drop(shadow)


def test_revisions_share_one_transaction_as_alembic_has_it(
    desk: Callable[..., Desk], scratch: Scratch
) -> None:
    """That is quicker by two round trips a revision, and nothing else tells it from the other."""
    statements = (NUMBERS, "CREATE TYPE kind AS ENUM ('a'); CREATE TABLE t (kind kind)", NUMBERS)
    plain = desk()
    run, transactions = replayed(plain, scratch, statements)
    assert run.again == ""
    assert len(transactions) == 1
    apart, transactions = replayed(plain, scratch, statements, together=False)
    assert len(transactions) == 2
    assert [replace(item, seconds=0.0) for item in run.revisions] == [
        replace(item, seconds=0.0) for item in apart.revisions
    ]


@pytest.mark.parametrize("case", APART)
def test_revisions_are_taken_apart_where_one_transaction_is_not_right(
    desk: Callable[..., Desk], scratch: Scratch, case: str
) -> None:
    run, transactions = replayed(desk(), scratch, (NUMBERS, *APART[case], NUMBERS))
    assert run.again == ""
    assert [item.error for item in run.revisions if item.error] == []
    assert len(transactions) > 1


def test_a_commit_that_fails_is_the_failure_of_its_revision(
    desk: Callable[..., Desk], scratch: Scratch
) -> None:
    run, _ = replayed(
        desk(),
        scratch,
        (
            "CREATE TABLE parent (id int PRIMARY KEY)",
            "CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
            "INSERT INTO child VALUES (1)",
            "CREATE TABLE later (id int)",
        ),
    )
    assert [(item.revision_id, item.status) for item in run.revisions][-2:] == [
        ("w03", "failed"),
        ("w04", "skipped"),
    ]


def test_a_commit_of_its_own_is_no_trait_of_the_revisions_after_it(
    desk: Callable[..., Desk], scratch: Scratch
) -> None:
    plain = desk()
    run, _ = replayed(plain, scratch, ("COMMIT; CREATE TABLE t (id int)", "SELECT 1"))
    assert run.again == "apart"
    done = plain.run()
    assert [item.commits_inside for item in done.revisions][-3:] == [False, True, False]


def test_what_comes_at_the_commit_is_seen(desk: Callable[..., Desk]) -> None:
    """A deferred trigger of the project's own makes a table when everything else is done."""
    plain = desk()
    plain.write(
        "fff6",
        "CREATE TABLE t (id int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " CREATE TABLE late (id int); RETURN NULL; END $$;"
        " CREATE CONSTRAINT TRIGGER c AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION f()",
    )
    plain.write("ggg7", "INSERT INTO t VALUES (1)", down="fff6")
    assert "table:public.late" in plain.run().final.objects


def test_what_a_hook_does_is_of_no_later_revision(desk: Callable[..., Desk]) -> None:
    plain = desk()
    env = plain.folder / "app/migrations/env.py"
    text = env.read_text()
    hook = "lambda ctx, **k: ctx.connection.exec_driver_sql('CREATE TABLE IF NOT EXISTS log ()')"
    env.write_text(
        text.replace("connection=connection", f"connection=connection, on_version_apply={hook}")
    )
    assert env.read_text() != text
    plain.write("fff6", "CREATE TABLE t (id int)")
    done = plain.run()
    assert "table:public.log" in done.final.objects
    assert {change.object for change in done.revisions[-1].changes} == {
        "table:public.t",
        "column:public.t.id",
    }


def test_what_was_committed_before_a_failure_is_replayed_anew(
    desk: Callable[..., Desk], scratch: Scratch
) -> None:
    """A block outside of the transaction ran, and what came before it cannot be rolled back."""
    plain = desk()
    run, _ = replayed(
        plain, scratch, ("CREATE TABLE made (lasting int)", IN_A_BLOCK[3], "SELECT 1 / 0")
    )
    assert run.again == "apart"
    done = plain.run()
    assert [item.status for item in done.revisions][-3:] == ["replayed", "replayed", "failed"]
    assert "division by zero" in done.revisions[-1].error


SECOND_ENGINE = """\
    from sqlalchemy import create_engine, text
    found = "nothing"
    try:
        with create_engine("postgresql+psycopg2://").connect() as other:
            other.execute(text("SET lock_timeout TO '1s'"))
            found = other.execute(text("SELECT count(*) FROM made")).scalar()
    except Exception:
        pass
    op.execute(f"CREATE TABLE found_{found} (id int)")
"""
IN_BLOCK = """\
    with op.get_context().autocommit_block():
        op.execute("CREATE TABLE made (id int)")
"""


def write_python(plain: Desk, name: str, body: str, down: str) -> None:
    path = plain.write(name, "SELECT 1", down=down)
    path.write_text(path.read_text().replace("    op.execute('SELECT 1')\n", body))


def test_a_revision_with_a_connection_of_its_own_does_not_wait_for_the_others(
    desk: Callable[..., Desk], scratch: Scratch
) -> None:
    """In one transaction with the one before it, it would wait for its own lock, for ever."""
    plain = desk()
    write_python(plain, "v00", IN_BLOCK, "eee5")
    plain.write("v01", "ALTER TABLE made ADD COLUMN more int", down="v00")
    write_python(plain, "v02", SECOND_ENGINE, "v01")
    done = plain.run()
    assert [item.status for item in done.revisions][-3:] == ["replayed"] * 3
    assert "table:public.found_0" in done.final.objects


PAST_SQLALCHEMY = """\
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute("ALTER TABLE made{number} ADD COLUMN past int")
"""


@pytest.mark.parametrize("kind", ["", " PARTITION BY RANGE (id)"])
def test_what_is_sent_past_sqlalchemy_is_of_its_own_revision(
    desk: Callable[..., Desk], kind: str
) -> None:
    """The server may still look for what the one before did; a partitioned table is read late."""
    plain, down = desk(), "eee5"
    for number in range(8):
        plain.write(f"m{number:02}", f"CREATE TABLE made{number} (id int){kind}", down=down)
        down = f"p{number:02}"
        write_python(plain, down, PAST_SQLALCHEMY.format(number=number), f"m{number:02}")
    done = plain.run()
    changed = {item.revision_id: {change.object for change in item.changes}
               for item in done.revisions}  # fmt: skip
    for number in range(8):
        table = f"public.made{number}"
        assert changed[f"m{number:02}"] == {f"table:{table}", f"column:{table}.id"}
        assert changed[f"p{number:02}"] == {f"column:{table}.past"}


SWALLOWED = """\
    try:
        op.execute("CREATE TABLE late (id int)")
    except BaseException:
        op.execute("CREATE TABLE instead (id int)")
"""


def test_a_beginning_anew_is_not_swallowed(desk: Callable[..., Desk]) -> None:
    """That v01 stands alone is seen when v02 sends its first statement, and minds no error."""
    plain = desk()
    plain.write("v00", "CREATE TYPE mood AS ENUM ('glad')")
    plain.write("v01", "ALTER TYPE mood ADD VALUE 'sad'", down="v00")
    write_python(plain, "v02", SWALLOWED, "v01")
    final = plain.run().final.objects
    assert "table:public.late" in final
    assert "table:public.instead" not in final
