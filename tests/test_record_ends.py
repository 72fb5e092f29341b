"""The change record of runs that ended otherwise: refused, cut off, taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_record import APPROVAL as GIVEN
from test_record import AUDIT, DEPLOYMENT, PHASES, PLAN, STEPS, TABLES, VALIDATION, WAY, fill, shown
from test_record import folder as folder

from runbook_lib import deployment, record
from runbook_lib.artifacts import to_json
from runbook_lib.evidence import RunFolder
from runbook_lib.forensics import FAILS
from runbook_lib.going_back import Rollback
from runbook_lib.plan import Rehearsal, StepResult
from runbook_lib.scrub import Scrub

UNTOUCHED = "Nothing was written to the target."
DOWN = replace(
    VALIDATION.ways_back[0], way="downgrade", command="runbook rollback -e production --to down"
)


def test_what_could_not_be_run_is_not_said_to_be_known(folder: RunFolder) -> None:
    folder.write("02_audit", AUDIT)
    page = shown(folder)
    assert "How we know: every revision was really run, one by one, in an empty database" in page
    assert "not as the heads promise " in page
    failed = replace(AUDIT.revisions[0], executed="unknowable", reason=f"{FAILS}: no table t.")
    later = replace(failed, revision_id="later", reason="It could not be replayed, because …")
    known = replace(AUDIT.revisions[0], revision_id="known")
    folder.write("02_audit", replace(AUDIT, revisions=(known, failed, later)))
    page = shown(folder)
    assert "1 of 3 revisions were really run" in page
    assert "what it promises is not known: add_trading_models, later." in page
    assert "not as the heads promise, as far as that is known" in page


@pytest.mark.parametrize(
    ("origin", "where"),
    [
        ("given", "in a database that held only the given baseline"),
        ("inferred", "in a database that held only a baseline, read off this very database"),
    ],
)
def test_a_baseline_is_no_empty_database(folder: RunFolder, origin: str, where: str) -> None:
    folder.write("02_audit", replace(AUDIT, baseline_origin=origin))
    assert where in shown(folder)
    assert "in an empty database" not in shown(folder)


@pytest.mark.parametrize(
    ("codes", "why"), [(("hole",), "a repair was refused"), ((), "no repair could be proven")]
)
def test_a_refused_run_says_what_it_did_not_touch(
    folder: RunFolder, codes: tuple[str, ...], why: str
) -> None:
    rehearsal = Rehearsal(
        plan_digest="", proven=False, attempts=(), refused=codes, reason="Rows violate it."
    )
    folder.write("02_audit", AUDIT)
    folder.write("03_cleanup", {"rehearsal": to_json(rehearsal)})
    folder.write_text("03_cleanup.html", "tried")
    page = record.write(folder, PHASES, "refused", Scrub()).read_text()
    assert f"None: {why}, as the next section says." in page
    tried = page.split('id="q3"')[1].split("<h2")[0]
    assert 'href="03_cleanup.html"' in tried
    for question in ("q7", "q8"):
        assert UNTOUCHED in page.split(f'id="{question}"')[1].split("<h2")[0]


@pytest.mark.parametrize("last", ["step failed", "applied"])
def test_the_way_down_of_a_run_that_was_cut_off_is_shut(folder: RunFolder, last: str) -> None:
    fill(folder)
    folder.write("04_validation", replace(VALIDATION, ways_back=(DOWN, *VALIDATION.ways_back)))
    failed = StepResult(title="Make the index", seconds=1, error="lock timeout")
    folder.write("05_deployment", replace(DEPLOYMENT, steps=(*STEPS, failed), passed=False))
    for event in ("started", "applying", last):
        folder.append_event(event, "05_deployment")
    page = shown(folder)
    is_open = last == "applied"
    assert (DOWN.command in page) is is_open
    assert ("end, which this run did not reach: it is refused" in page) is not is_open
    assert ("rehearsed on a copy: downgrade, restore" in page) is is_open
    assert VALIDATION.ways_back[0].command in page
    assert UNTOUCHED not in page


@pytest.mark.parametrize("verdict", ["healthy", "failed", "waits"])
def test_a_run_that_wrote_nothing_names_no_command_that_takes_back_another(
    folder: RunFolder, verdict: str
) -> None:
    """\"runbook rollback\" takes back the newest run that deployed, whichever that is."""
    fill(folder)
    (folder.path / "05_deployment.json").unlink()
    if verdict == "healthy":
        for event in ("started", "applying", "applied"):
            folder.append_event(event, "05_deployment")
        folder.write("plan", replace(PLAN, steps=(), strategy="nothing-to-do"))
        folder.write("05_deployment", replace(DEPLOYMENT, steps=()))
    page = record.write(folder, PHASES, verdict, Scrub()).read_text()
    back = page.split('id="q8"')[1].split("<h2")[0]
    assert UNTOUCHED in back
    is_open = verdict == "waits"  # the plan may still be applied
    assert (VALIDATION.ways_back[0].command in back) is is_open
    assert ("there is nothing of it to take back" in back) is not is_open
    assert ("rehearsed on a copy: restore" in page) is is_open
    assert ("Once the plan is applied" in back) is is_open


def test_a_write_that_was_not_read_back_leaves_the_rows_open(folder: RunFolder) -> None:
    fill(folder)
    (folder.path / "05_deployment.json").unlink()
    for event in ("started", "applying", "applied"):
        folder.append_event(event, "05_deployment")
    page = record.write(folder, PHASES, "interrupted", Scrub()).read_text()
    rows = page.split('id="q7"')[1].split("<h2")[0]
    assert "On the target no table was compared" in rows
    assert "On the clone" in rows


def test_a_way_back_that_was_refused_is_no_run_without_an_audit(folder: RunFolder) -> None:
    folder.append_event("started", "90_rollback")
    page = shown(folder)
    assert "about going back, and ended before it proposed a way back" in page
    assert "Carried out by runbook rollback" in page
    assert "The run ended before the audit." not in page
    assert "No backup was taken." not in page


def test_a_way_back_tells_what_it_compared_and_leaves(folder: RunFolder) -> None:
    for event in ("started", "rolling back", "rolled back"):
        folder.append_event(event, "90_rollback")
    way = replace(WAY, target=AUDIT.target)
    gone = Rollback(plan=way, approval=GIVEN, steps=STEPS, tables=TABLES, differences=0)
    folder.write("90_rollback", gone)
    page = shown(folder)
    assert "The version table, which" not in page, "it is brought back, too, and compared"
    assert "Revision files that the deployment wrote are not taken back" in page
    assert f"04_validation.html of {WAY.run}" in page
    assert page.index("tondeka , PostgreSQL") < page.index("by Ada Lovelace")


def test_a_dry_run_of_the_way_back_is_told_after_what_it_would_take_back(folder: RunFolder) -> None:
    fill(folder)
    folder.write("90_rollback", Rollback(plan=WAY, approval=None, steps=()))
    page = shown(folder)
    assert page.index(f"digest {PLAN.digest}") < page.index(f"digest {WAY.digest}")
    assert page.index("two tables are missing") < page.index("The way back by restore: proven")


def test_no_check_is_no_passed_check() -> None:
    """The checklist says it too: an auditor would take "0 of 0 passed" for a proof."""
    assert VALIDATION.told == "0 of 1 objects as promised, 1 of 1 application checks passed"
    none = replace(VALIDATION, checks=())
    assert none.told == "0 of 1 objects as promised, no application check is configured"
    done = replace(DEPLOYMENT, steps=(), checks=())
    assert "; no check configured; version rows" in deployment.sentence(done)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_way_back_that_was_cut_off_says_who_approved_it(
    folder: RunFolder, recorded: bool
) -> None:
    given = replace(GIVEN, digest=WAY.digest)
    folder.append_event("started", "90_rollback")
    folder.write("90_approval", given)
    folder.append_event("rolling back", "90_rollback")
    if recorded:
        way = replace(WAY, target=AUDIT.target)
        folder.write("90_applied", Rollback(plan=way, approval=given, steps=STEPS))
        folder.append_event("rolled back", "90_rollback")
    page = record.write(folder, PHASES, "interrupted", Scrub()).read_text()
    approved, done = (page.split(f'id="{q}"')[1].split("<h2")[0] for q in ("q4", "q5"))
    assert "Ada Lovelace" in approved
    assert "Nobody" not in page
    assert "before it proposed" not in page
    assert "it is back where it was" not in page, "nobody looked"
    assert ("taking back the deployment" in page) is recorded
    assert ("Run the missing revisions" in done) is recorded
    assert ("ended before it recorded what it did" in page) is not recorded
    assert ("It was not recorded; the notebook shows it." in page) is not recorded
    assert ("A dry run of runbook rollback says it" in page) is not recorded
