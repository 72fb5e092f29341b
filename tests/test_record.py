"""The change record: every answer that an auditor looks for is on the run's one page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib import record
from runbook_lib.artifacts import to_json
from runbook_lib.backup import Backup, BackupFile
from runbook_lib.catalog import ObjectChange
from runbook_lib.closing import seal_run
from runbook_lib.evidence import PhaseResult, RunFolder
from runbook_lib.findings import finding
from runbook_lib.forensics import Audit, Comparison, Evidence, RevisionVerdict, Target
from runbook_lib.going_back import Rollback, RollbackPlan
from runbook_lib.plan import Attempt, Plan, Rehearsal, Step, StepResult
from runbook_lib.promotion import Approval, Deployment
from runbook_lib.revisions import Tree
from runbook_lib.scrub import Scrub
from runbook_lib.survival import TableProof
from runbook_lib.validation import CheckResult, Validation, WayBack
from runbook_lib.verification import fault_of

TARGET = Target(
    database="tondeka",
    server_version="18.1",
    system_identifier="7437",
    version_table="public.alembic_version",
)
STEPS = (StepResult(title="Run the missing revisions", seconds=0.41),)
TABLES = (
    TableProof(table="public.transactions", rows_before=51234, rows_after=51234, equal=True),
    TableProof(table="public.users", rows_before=12, rows_after=11, equal=False),
)
PLAN = Plan(
    environment="production",
    target=TARGET,
    strategy="run-missing-revisions",
    steps=(
        Step(
            kind="run-revisions",
            title="Run the missing revisions",
            sql=("CREATE TABLE trades (id integer)",),
            reverse=("DROP TABLE trades",),
            lock="ACCESS EXCLUSIVE on public.transactions",
        ),
    ),
    edits=(),
    tree_before="t1",
    tree_after="t2",
    catalog_before="c" * 64,
    rows_before=("add_trading_models",),
    heads_after=("c8d25c64b432",),
    answers=("phantom",),
)
AUDIT = Audit(
    environment="production",
    target=TARGET,
    tree=Tree(
        digest="t1",
        heads=("c8d25c64b432",),
        bases=("1d661194d41e",),
        branch_points=(),
        merge_points=(),
        cycle_edges=(),
        dangling_edges=(),
    ),
    current_heads=("add_trading_models",),
    revisions=(
        RevisionVerdict(
            revision_id="add_trading_models",
            down_revisions=("3d91640ec9e0",),
            depends_on=(),
            file="versions/add_trading_models.py",
            doc="trading models",
            recorded=True,
            executed="no",
            verdict="phantom",
            reason="recorded, but none of its 2 objects is there",
            evidence=(
                Evidence(
                    kind="table",
                    object="table:public.trades",
                    aspect="",
                    expected="table <trades>",
                    found="absent",
                    speaks="against",
                ),
            ),
            effects=(),
            touches_rows=False,
            seconds=0.1,
        ),
    ),
    drift=(),
    findings=(finding("phantom", "add_trading_models", "Recorded, never executed."),),
    comparisons=(
        Comparison(
            kind="table",
            table="public.trades",
            name="public.trades",
            expected="table",
            found="",
            status="missing",
            revision_id="add_trading_models",
        ),
    ),
    strategies=(),
    baseline_origin="empty",
    catalog_digest="c" * 64,
)
BACKUP = Backup(
    taken_at="2026-11-23T01:00:00Z",
    files=(BackupFile(kind="full", path="backup/full.dump", size=1, sha256="0", seconds=1.0),),
    fingerprints=(),
    catalog_digest="c" * 64,
    clone="runbook_clone_1",
    differences=(),
    unequal_tables=(),
    restore_seconds=2.5,
)
REHEARSAL = Rehearsal(
    plan_digest=PLAN.digest,
    proven=True,
    attempts=(
        Attempt(
            strategy="correct-version-rows",
            proven=False,
            reason="two tables are missing",
            steps=(),
            seconds=0.1,
        ),
        Attempt(
            strategy="run-missing-revisions",
            proven=True,
            reason="the clone equals the replay",
            steps=STEPS,
            seconds=1.2,
        ),
    ),
)
VALIDATION = Validation(
    plan_digest=PLAN.digest,
    comparisons=AUDIT.comparisons,
    checks=(CheckResult(name="SOL finality", passed=True, seconds=0.2, output=""),),
    tables=TABLES,
    ways_back=(
        WayBack(
            way="restore",
            proven=True,
            reason="the copy equals the backup",
            seconds=3.3,
            steps=(),
            command="runbook rollback -e production --to backup",
        ),
    ),
    passed=True,
)
APPROVAL = Approval(
    environment="production",
    digest=PLAN.digest,
    by="Ada Lovelace",
    at="2026-11-23T01:05:00Z",
    how="given with the digest",
)
DEPLOYMENT = Deployment(
    plan_digest=PLAN.digest,
    checklist=(),
    approval=APPROVAL,
    steps=STEPS,
    rows_before=("add_trading_models",),
    rows_after=("c8d25c64b432",),
    catalog_before="c" * 64,
    catalog_after="d" * 64,
    differences=0,
    tables=TABLES,
    checks=(),
    watch=(),
    passed=True,
)
WAY = RollbackPlan(
    environment="production",
    way="restore",
    run="20261123T000000Z-abcdef",
    plan_digest=PLAN.digest,
    backup_sha256="b" * 64,
    steps=("Check the SHA-256",),
    loses=("public.vouchers: all of it, 1 row, made since",),
    rehearsed="proven on a copy",
    catalog_now="c" * 64,
    rows_now=("c8d25c64b432",),
)
PHASES = (PhaseResult(phase="02_audit", status="passed", sentence="1 phantom", seconds=1.0),)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    path = tmp_path / "production" / "20261123T010000Z-abcdef"
    path.mkdir(parents=True)
    return RunFolder(path)


def fill(folder: RunFolder) -> None:
    folder.write("01_backup", BACKUP)
    folder.write("02_audit", AUDIT)
    folder.write("plan", PLAN)
    folder.write("03_cleanup", {"digest": PLAN.digest, "rehearsal": to_json(REHEARSAL)})
    folder.write("04_validation", VALIDATION)
    folder.write("approval", APPROVAL)
    folder.write("05_deployment", DEPLOYMENT)


def shown(folder: RunFolder) -> str:
    page = record.write(folder, PHASES, "repaired", Scrub()).read_text()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_the_questions_are_answered_in_order(folder: RunFolder) -> None:
    fill(folder)
    page = shown(folder)
    answers = (
        "What was wrong",
        "phantom error Recorded, never executed.",
        "table:public.trades: expected table &lt;trades&gt;; found absent",
        "What was planned",
        PLAN.digest,
        "CREATE TABLE trades (id integer)",
        "What did the rehearsal show",
        "two tables are missing",
        "SOL finality passed",
        "Who approved it",
        "Ada Lovelace , at 2026-11-23 01:05:00 UTC",
        "What was done",
        "How was it before",
        "add_trading_models c8d25c64b432",
        "Was every row kept",
        "1 of 2 tables are as they were (51,246 rows before, 51,245 after).",
        "failed differs",
        "51,234",
        "How to go back",
        "runbook rollback -e production --to backup",
        "restored in 2.5 s",
        "Where is the proof",
        "1 phantom",
    )
    position = 0
    for answer in answers:
        found = page.find(answer.replace(" , at", ", at"), position)
        assert found >= 0, answer
        position = found


def test_what_a_run_did_not_reach_is_said(folder: RunFolder) -> None:
    page = shown(folder)
    for sentence in (
        "The run ended before the audit.",
        "The run ended before a plan was made.",
        "Nobody: nothing was approved",
        "Nothing was changed on the target.",
        "No backup was taken.",
    ):
        assert sentence in page


def test_a_backup_that_is_not_verified_is_said(folder: RunFolder) -> None:
    change = ObjectChange(object="table:public.users", before=None, after={})
    folder.write("01_backup", to_json(BACKUP) | {"differences": [to_json(change)]})
    assert "does NOT equal" in shown(folder)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (("applying",), "The target was being written to: some steps may be in force."),
        (("applying", "applied"), "Every step is in force on the target, and was not read back."),
        (("rolling back",), "The target was being taken back: that may be done or not."),
    ],
)
def test_what_a_write_that_was_cut_off_may_have_left_is_said(
    folder: RunFolder, events: tuple[str, ...], told: str
) -> None:
    for event in events:
        folder.append_event(event)
    page = shown(folder)
    assert page.count(told) == 2, "in the summary, and where it is asked what was done"
    assert "Nothing was changed on the target." not in page
    assert "by hand, and left behind before it was closed" in page


def test_a_way_back_that_was_taken_is_told(folder: RunFolder) -> None:
    way = WAY
    folder.write("90_rollback", Rollback(plan=way, approval=None, steps=()))
    dry = shown(folder)
    for told in (
        "Nothing was changed on the target.",
        "Going back would lose",
        "Nobody: nothing was",
    ):
        assert told in dry
    assert f"--way restore --approve {way.digest} --by NAME" in dry
    for event in ("started", "rolling back", "rolled back"):
        folder.append_event(event)
    given = replace(APPROVAL, digest=way.digest)
    gone = Rollback(
        plan=way,
        approval=given,
        steps=STEPS,
        tables=TABLES,
        rows_after=("add_trading_models",),
        differences=0,
    )
    folder.write("90_rollback", gone)
    page = shown(folder)
    for told in (
        "The target was taken back by restore: it is back where it was.",
        "Deployment that of run 20261123T000000Z-abcdef",
        "Taken back by restore, from",
        "Lost public.vouchers: all of it, 1 row, made since",
        "Check the SHA-256",
        "The way back by restore: proven on a copy",
        f"the digest {way.digest} , which is the way back's",
        "Version rows c8d25c64b432 add_trading_models",
        "as before the deployment",
        "After going back, against the backup: 1 of 2 tables",
    ):
        assert told in page, told
    for told in ("Nothing was", "Nobody", "No plan", "No table"):
        assert told not in page


@pytest.mark.parametrize("wrong", ["90_approval", "90_rollback", "event"])
def test_a_way_back_that_nobody_approved_is_a_contradiction(folder: RunFolder, wrong: str) -> None:
    way = replace(WAY, run="another") if wrong == "90_rollback" else WAY
    other = "0" * 64
    given = replace(APPROVAL, digest=other if wrong == "90_approval" else WAY.digest)
    folder.append_event("approved", digest=other if wrong == "event" else WAY.digest)
    folder.append_event("rolling back")
    folder.write("90_approval", given)
    folder.write("90_rollback", Rollback(plan=way, approval=given, steps=STEPS))
    sealed = seal_run(folder, "rolled-back", Scrub())
    assert sealed.record.approval == given
    assert fault_of(folder) == "what was approved is another way back than the one that was gone"


def test_why_a_run_ended_as_it_did_is_in_the_summary(folder: RunFolder) -> None:
    refused = PhaseResult(phase="03_cleanup", status="refused", sentence="3 rows violate it.")
    page = record.write(folder, (*PHASES, refused), "refused", Scrub()).read_text()
    assert "Because</span></td>" in page.split("<nav")[1]
    assert "03_cleanup: 3 rows violate it." in page.split("<nav")[1]
    assert "Because</span></td>" not in record.write(folder, PHASES, "failed", Scrub()).read_text()


def test_the_steps_of_a_deployment_that_was_not_read_back_are_shown(folder: RunFolder) -> None:
    for event in ("started", "applying", "step failed"):
        folder.append_event(event)
    cut = StepResult(title="Make the index", seconds=2.5, error="No space left on device")
    folder.write("05_applied", replace(DEPLOYMENT, steps=(*STEPS, cut), passed=False))
    page = shown(folder)
    assert "A step failed on the target; what came of it was not read back." in page
    assert "Make the index failed No space left on device" in page
    assert "an end that was not recorded" not in page


def test_a_run_with_nothing_to_do_claims_no_write_and_no_approval(folder: RunFolder) -> None:
    given = replace(APPROVAL, by="nobody")
    folder.write("plan", replace(PLAN, steps=(), strategy="nothing-to-do"))
    folder.write("approval", given)
    folder.write("05_deployment", replace(DEPLOYMENT, steps=(), approval=given))
    page = shown(folder)
    assert "Written nothing; 0 objects differ" in page
    assert "Approved by nobody" not in page
