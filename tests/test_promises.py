"""What the runbook promises, tried on the wallet's two broken databases through its own phases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib import catalog, closing, demo, phases
from runbook_lib.config import load_environment
from runbook_lib.dsn import Dsn, secret_forms
from runbook_lib.errors import ApprovalNeeded, GateError, SafetyError
from runbook_lib.evidence import PhaseResult, RunFolder
from runbook_lib.fingerprints import fingerprints
from runbook_lib.plan import Plan
from runbook_lib.postgres import connect
from runbook_lib.scrub import scrub_for
from tests.conftest import execute
from tests.journey import Journey

SMALL = ("--users", "60", "--transactions", "1200")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("promises")
    shutil.copy(demo.CHECKOUT / "runbook.toml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_STATE", str(folder / ".runbook"))
        yield folder
        demo.stop(lambda _: None, root=folder)


@pytest.fixture
def wallet(root: Path) -> demo.Demo:
    """Both databases and the project, broken afresh; no archive yet."""
    shutil.rmtree(root / "outputs", ignore_errors=True)
    return demo.make_demo(root, scale=SMALL, echo=lambda _: None)


def fingerprint(dsn: Dsn) -> tuple[object, ...]:
    """Everything that there is: schema, rows of every table, version rows.

    Sequences are left out: the trading check takes numbers from them, also when it rolls back.
    """
    connection = connect(dsn)
    try:
        tables = [t for t in fingerprints(connection) if not t.table.startswith("sequence")]
        return catalog.snapshot(connection), tables
    finally:
        connection.close()


def records(folder: Path) -> dict[str, bytes]:
    """Every file of a run but its log."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def sealed_staging(wallet: demo.Demo) -> None:
    journey = Journey(config=wallet.config, environment="staging")
    journey.rehearse()
    journey.deploy()
    environment = load_environment("staging", str(wallet.config))
    closing.seal_run(journey.folder, "repaired", scrub_for(environment))


def test_nothing_but_deployment_writes_to_the_target(wallet: demo.Demo) -> None:
    """The server's own log, in which every statement on the target stands."""
    target = wallet.addresses["staging"]
    admin = wallet.server.dsn("postgres")
    execute(admin, f"ALTER DATABASE {target.database} SET log_statement = 'mod'")
    before = fingerprint(target)
    start = len(wallet.server.log.read_text(errors="replace"))
    journey = Journey(config=wallet.config, environment="staging")
    journey.rehearse()
    prevention = journey.phase("06_prevention")
    phases.prevent(prevention)
    said = wallet.server.log.read_text(errors="replace")[start:]
    assert "statement:" not in said
    assert fingerprint(target) == before
    journey.deploy()
    assert "statement:" in wallet.server.log.read_text(errors="replace")[start:]


@pytest.mark.parametrize("way", ["downgrade", "restore"])
def test_the_way_back_brings_production_exactly_back(wallet: demo.Demo, way: str) -> None:
    sealed_staging(wallet)
    target = wallet.addresses["production"]
    before = fingerprint(target)
    journey = Journey(config=wallet.config, environment="production")
    digest = journey.rehearse()
    with pytest.raises(ApprovalNeeded, match=digest):
        journey.deploy()
    done = journey.deploy(approve=digest, by="a tester")
    assert done.passed
    assert done.differences == 0
    assert fingerprint(target) != before
    journey.go_back(way)
    assert fingerprint(target) == before
    told = journey.phase("90_rollback").read("90_rollback.result", PhaseResult).sentence
    assert told.startswith(f"Went back by {way}: schema and version rows are as they were")
    assert told.endswith("It lost nothing.")
    journey.go_back(way)  # the cells once more
    assert fingerprint(target) == before
    assert [event["event"] for event in journey.folder.events()].count("rolling back") == 1


@pytest.fixture(scope="class")
def broken_again(root: Path) -> demo.Demo:
    shutil.rmtree(root / "outputs", ignore_errors=True)
    return demo.make_demo(root, scale=SMALL, echo=lambda _: None)


@pytest.fixture(scope="class")
def deployed(broken_again: demo.Demo) -> Journey:
    journey = Journey(config=broken_again.config, environment="staging")
    journey.rehearse()
    journey.deploy()
    return journey


class TestGoingBack:
    """One deployed run; every test disturbs one thing, sees the way back refused, and mends it."""

    def test_cells_run_again_show_the_record_and_do_nothing(self, deployed: Journey) -> None:
        """Also where the database went on meanwhile, or the kernel died before the read-back."""
        folder, dsn = deployed.folder.path, deployed.phase("05_deployment").dsn
        execute(dsn, "CREATE TABLE meanwhile (id int)")
        held, before = records(folder), fingerprint(dsn)
        deployed.rehearse()
        assert deployed.deploy(by="somebody else").passed
        assert (records(folder), fingerprint(dsn)) == (held, before)
        execute(dsn, "DROP TABLE meanwhile")
        for name in ("05_deployment.json", "05_deployment.result.json"):
            (folder / name).unlink()
        assert deployed.deploy().differences == 0, "it is read back after all"
        told = [event["event"] for event in deployed.folder.events()]
        assert (told.count("applying"), told.count("approved")) == (1, 1)
        with pytest.raises(SafetyError, match="is approved, but the plan's is"):
            deployed.deploy(approve="0123456789abcdef")

    def test_another_database_is_refused(self, broken_again: demo.Demo, deployed: Journey) -> None:
        """The environment's address leads elsewhere meanwhile, to a database just like it."""
        address = broken_again.root / ".demo" / "staging.url"
        text = address.read_text()
        dsn, admin = Dsn.parse(text), broken_again.server.dsn("postgres")
        execute(admin, f'CREATE DATABASE elsewhere TEMPLATE "{dsn.database}"')
        address.write_text(dsn.with_database("elsewhere").text)
        try:
            for way in ("restore", "downgrade"):
                with pytest.raises(SafetyError, match=r"another database .* elsewhere \(system"):
                    deployed.go_back(way)
        finally:
            address.write_text(text)
            execute(admin, "DROP DATABASE elsewhere WITH (FORCE)")

    def test_evidence_that_was_changed_is_refused(self, deployed: Journey) -> None:
        environment = load_environment("staging", str(deployed.config))
        closing.seal_run(deployed.folder, "repaired", scrub_for(environment))
        patch = deployed.folder.path / "repair.patch"
        text = patch.read_text()
        patch.write_text(f"{text}\n")
        deployed.run = "new"
        deployed.__post_init__()
        try:
            with pytest.raises(SafetyError, match=r"repair\.patch was changed after the seal"):
                deployed.go_back("restore")
        finally:
            patch.write_text(text)

    def test_what_changed_since_it_was_proposed_is_not_lost(self, deployed: Journey) -> None:
        phase = deployed.phase("90_rollback")
        proposed = phases.propose_rollback(phase, way="restore")
        approval = phases.require_rollback_approval(
            phase, proposed, approve=proposed.digest, by="a tester"
        )
        execute(phase.dsn, "CREATE TABLE meanwhile (id int)")
        try:
            with pytest.raises(SafetyError, match="changed since this way back was proposed"):
                phases.roll_back(phase, proposed, approval)
        finally:
            execute(phase.dsn, "DROP TABLE meanwhile")

    def test_what_only_younger_tables_and_columns_hold_is_named_as_lost(
        self, deployed: Journey
    ) -> None:
        phase = deployed.phase("90_rollback")
        assert phases.propose_rollback(phase, way="restore").loses == ()
        (own,) = phases.propose_rollback(phase, way="downgrade").loses
        assert "whatever the downgrade of 3d91640ec9e0, " in own
        write = (
            "INSERT INTO vouchers (code, amount, currency_id, expires_at) VALUES ('', 1, 1, now())",
            "INSERT INTO trades (user_id, quantity, reference) SELECT min(id), 1, 'x' FROM users",
            "UPDATE transactions SET trade_id = (SELECT max(id) FROM trades) WHERE id = 1",
            'CREATE TABLE "50%" ("a%" int DEFAULT 1); INSERT INTO "50%" VALUES (1), (2)',
            "ALTER TABLE users ADD given text DEFAULT 'x', ADD held text",
            "UPDATE users SET held = 'y' WHERE id IN (SELECT id FROM users LIMIT 2)",
        )
        undo = (
            "UPDATE transactions SET trade_id = NULL WHERE id = 1",
            "DELETE FROM vouchers",
            "DELETE FROM trades",
            'DROP TABLE "50%"',
            "ALTER TABLE users DROP given, DROP held",
        )
        execute(phase.dsn, *write)
        try:
            for way in ("restore", "downgrade"):
                lost = phases.propose_rollback(phase, way=way).loses
                for told in (
                    "public.vouchers: all of it, 1 row, made since",
                    'public."50%": all of it, 2 rows, made since',
                    "public.transactions.trade_id: its values in 1 row, made since",
                    "public.users.held: its values in 2 rows, made since",
                ):
                    assert told in lost
                assert "given" not in str(lost), "a value that nobody wrote"
                schema = "the schema: what was changed in it since the deployment"
                assert (schema in lost) is (way == "restore")
        finally:
            execute(phase.dsn, *undo)

    def test_a_deployment_that_was_cut_off_is_taken_back_by_its_own_backup(
        self, deployed: Journey
    ) -> None:
        """It left no artifact of its own: its log says that it had begun."""
        cut = Journey(config=deployed.config, environment="staging")
        source = next(f for f in RunFolder.all(cut.folder.path.parent) if f.sealed)
        for file in ("03_cleanup", "01_backup", "04_validation"):
            cut.folder.write(file, source.read(file, dict))
        cut.folder.append_event("applying", "05_deployment")
        phase = Journey(config=deployed.config, environment="staging").phase("90_rollback")
        assert phases.propose_rollback(phase, way="restore").run == cut.folder.name
        with pytest.raises(GateError, match=r"not all there .*--way restore"):
            phases.propose_rollback(phase, way="downgrade")


@pytest.fixture(scope="class")
def made(root: Path) -> demo.Demo:
    shutil.rmtree(root / "outputs", ignore_errors=True)
    return demo.make_demo(root, scale=SMALL, echo=lambda _: None)


@pytest.fixture(scope="class")
def journey(made: demo.Demo) -> Journey:
    """Rehearsed although somebody granted a privilege: no revision grants, so none is promised."""
    execute(
        made.server.dsn(made.addresses["staging"].database),
        "DROP ROLE IF EXISTS wallet_reader",
        "CREATE ROLE wallet_reader",
        "GRANT SELECT ON users TO wallet_reader",
    )
    journey = Journey(config=made.config, environment="staging")
    journey.rehearse()
    return journey


class TestGates:
    """One rehearsed run; every test disturbs one thing, sees the gate refuse, and mends it."""

    @pytest.fixture(autouse=True)
    def untouched(self, made: demo.Demo) -> Iterator[None]:
        before = fingerprint(made.addresses["staging"])
        yield
        assert fingerprint(made.addresses["staging"]) == before

    def test_another_digest_is_refused(self, journey: Journey) -> None:
        plan = journey.folder.read("plan", Plan)
        for wrong in ("0" * 64, plan.digest[:11], plan.digest[::-1]):
            with pytest.raises(SafetyError, match="Nothing was done"):
                journey.deploy(approve=wrong, by="a tester")

    def test_a_gate_that_was_passed_over_is_refused(self, journey: Journey) -> None:
        with pytest.raises(ApprovalNeeded, match=r"which has \d steps?, no approval was given"):
            phases.deploy(journey.phase("05_deployment"), None)

    @pytest.mark.parametrize(
        ("disturb", "mend", "reason"),
        [
            (
                "CREATE TABLE meanwhile (id int)",
                "DROP TABLE meanwhile",
                "the schema is not the one that was audited",
            ),
            (
                "UPDATE alembic_version SET version_num = 'x'",
                "UPDATE alembic_version SET version_num = 'add_trading_models'",
                "the version rows are x now",
            ),
        ],
    )
    def test_a_stale_plan_is_refused(
        self, made: demo.Demo, journey: Journey, disturb: str, mend: str, reason: str
    ) -> None:
        execute(made.addresses["staging"], disturb)
        try:
            with pytest.raises(GateError, match=reason):
                journey.deploy()
        finally:
            execute(made.addresses["staging"], mend)

    def test_edited_revision_files_are_refused(self, made: demo.Demo, journey: Journey) -> None:
        file = next((made.project / "migrations" / "versions").glob("c8d25c64b432*"))
        text = file.read_text()
        file.write_text(text + "\n# meanwhile\n")
        try:
            with pytest.raises(GateError, match="the revision files are not those"):
                journey.deploy()
        finally:
            file.write_text(text)

    def test_a_changed_backup_is_refused(self, journey: Journey) -> None:
        dump = next((journey.folder.path / "backup").glob("*.dump"))
        data = dump.read_bytes()
        dump.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        try:
            with pytest.raises(GateError, match="its files are gone, or were changed since"):
                journey.deploy()
        finally:
            dump.write_bytes(data)

    def test_files_are_not_written_without_leave(self, made: demo.Demo, journey: Journey) -> None:
        """write_files = false: the patch is for a person to apply; until then nothing is done."""
        text = made.config.read_text()
        made.config.write_text(text.replace("write_files = true", "write_files = false"))
        try:
            with pytest.raises(GateError, match=r"Apply repair\.patch"):
                journey.deploy()
        finally:
            made.config.write_text(text)
        assert "applying" not in journey.folder.happened, "nothing was begun on the target"

    def test_a_phase_says_what_has_to_run_first(self, made: demo.Demo) -> None:
        fresh = Journey(config=made.config, environment="production")
        with pytest.raises(GateError, match="needs the result of 03_cleanup"):
            fresh.phase("04_validation").require()


def test_staging_first_then_nothing_left_to_do_and_no_secret_anywhere(wallet: demo.Demo) -> None:
    production = Journey(config=wallet.config, environment="production")
    digest = production.rehearse()
    with pytest.raises(GateError, match="staging has no sealed run"):
        production.deploy(approve=digest, by="a tester")
    sealed_staging(wallet)
    again = Journey(config=wallet.config, environment="staging")
    again.rehearse()
    assert again.deploy().steps == ()
    audit = phases.audit(again.phase("02_audit"))
    assert not [item for item in audit.findings if item.severity == "error"]
    require_no_secret(wallet)


def require_no_secret(wallet: demo.Demo) -> None:
    passwords = [address.password for address in wallet.addresses.values()]
    forms = [form for word in passwords for form in secret_forms(word) if len(form) > 5]
    assert len(forms) > 4
    for path in (wallet.root / "outputs").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [form for form in forms if form.encode() in data], path.name
