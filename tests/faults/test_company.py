"""Others at work in the same database: locks held, rows changed, privileges withheld."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest

from faults.catalogue import decide
from faults.running import Run, codes_of, verdicts_of
from faults.trees import LINE
from faults.worlds import Workshop, World, connected
from runbook_lib import postgres
from runbook_lib.dsn import Dsn
from runbook_lib.errors import GateError, SafetyError
from runbook_lib.exclusion import advisory_lock


@pytest.fixture
def phantom(workshop: Workshop) -> Iterator[World]:
    world = workshop.world(LINE)
    world.undo(LINE.last)
    yield world
    workshop.drop(world)


def test_role_without_the_privilege_is_told_which_grant(phantom: World) -> None:
    phantom.sql(
        "DROP ROLE IF EXISTS clerk",
        "CREATE ROLE clerk LOGIN",
        "GRANT SELECT ON people TO clerk",
    )
    owner = phantom.dsn
    phantom.dsn = Dsn.parse(owner.text.replace(f"{owner.user}@", "clerk@", 1))
    with pytest.raises(GateError, match="alembic_version") as refused:
        Run(phantom).audit()
    assert "GRANT SELECT" in str(refused.value)
    phantom.dsn = owner
    phantom.sql("DROP OWNED BY clerk", "DROP ROLE clerk")


def test_second_runbook_is_refused_and_told_who_is_at_work(phantom: World) -> None:
    other = postgres.connect(phantom.dsn, read_only=False)
    try:
        with advisory_lock(other, "test"):
            run = Run(phantom)
            run.audit()
            with pytest.raises(SafetyError, match=r"pid|process"):
                run.repair()
    finally:
        other.close()
    assert phantom.recorded() == (LINE.last,)


def test_lock_held_by_another_session_ends_the_step_and_a_rerun_converges(phantom: World) -> None:
    """The step gives up after lock_timeout; what is recorded then is still true."""
    rows = phantom.rows()
    blocker = psycopg2.connect(**phantom.dsn.libpq())
    run = Run(phantom, lambda: blocker.cursor().execute("SELECT * FROM orders"))
    run.audit()
    try:
        end, reason, _, _ = run.repair()
    finally:
        blocker.close()
    assert end.startswith("failed")
    assert "lock timeout" in reason
    again = Run(phantom)
    found = again.audit()
    assert verdicts_of(found)[LINE.last] == "pending"
    assert codes_of(found, "error") == frozenset()
    assert again.repair()[0] == "repaired"
    assert phantom.same_rows(rows) == []
    assert codes_of(Run(phantom).audit(), "error") == frozenset()


def test_upgrade_that_ran_meanwhile_makes_the_plan_stale(phantom: World) -> None:
    run = Run(phantom, lambda: phantom.sql(*LINE.rev(LINE.last).up))
    run.audit()
    with pytest.raises(SafetyError, match="the schema is not the one"):
        run.repair()
    assert Run(phantom).repair_after_audit() == "nothing"


def test_data_that_arrives_meanwhile_stops_a_drop(workshop: Workshop) -> None:
    """What held no data when it was rehearsed holds some now: the step refuses."""
    world = workshop.world(LINE)
    world.sql("CREATE TABLE scrap (id integer)", "ALTER TABLE people ADD phone text")
    decide(world, "table:public.scrap", "column:public.people.phone")
    run = Run(world, lambda: world.sql("UPDATE people SET phone = '1' WHERE name = 'Bo'"))
    run.audit()
    end, reason, _, _ = run.repair()
    assert end.startswith("failed")
    assert "holds data" in reason
    with connected(world.dsn) as cursor:
        cursor.execute("SELECT phone FROM people, (SELECT count(*) FROM scrap) s WHERE id = 2")
        assert cursor.fetchone() == ("1",)
    workshop.drop(world)
