"""The demonstration project: broken in exactly the ways of the case, and sound once repaired."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from runbook_lib.dsn import Dsn
from runbook_lib.postgres import EmbeddedServer
from tests.conftest import execute

WALLET = Path(__file__).parent.parent / "examples" / "wallet"
LONG_IDS = ("add_unique_constraint_transactions", "add_reference_id_unique_constraint")
WRONG_EDGES = 'depends_on = ("add_trading_models", "c8d25c64b432")'
SMALL = ("--users", "60", "--transactions", "1200")
MISSING_COLUMN = "column transactions.trade_id does not exist"
TABLES = (
    *("users", "accounts", "currencies", "custodial_wallets", "swaps"),
    *("transactions", "ledger_entries", "portfolios"),
)


def variables(dsn: Dsn) -> dict[str, str]:
    given = {
        "DB_HOST": dsn.host,
        "DB_PORT": str(dsn.port),
        "DB_USER": dsn.user,
        "DB_PASSWORD": dsn.password,
        "DB_NAME": dsn.database,
    }
    return {**os.environ, **given}


def python(dsn: Dsn, *args: str, folder: Path = WALLET) -> tuple[int, str]:
    """Run the project's Python; return the exit code and everything that it printed."""
    done = subprocess.run(
        [sys.executable, "-B", *args],
        cwd=folder,
        env=variables(dsn),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def alembic(dsn: Dsn, *args: str, folder: Path = WALLET) -> str:
    code, output = python(dsn, "-m", "alembic", *args, folder=folder)
    assert code == 0, output
    return output


def query(dsn: Dsn, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(**dsn.libpq())
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def build(server: EmbeddedServer, name: str, suffix: str = "") -> Dsn:
    dsn = server.dsn(f"wallet_{name}{suffix}")
    execute(server.dsn("postgres"), f'CREATE DATABASE "{dsn.database}"')
    code, output = python(dsn, str(WALLET / "builder"), name, *SMALL)
    assert code == 0, output
    return dsn


@pytest.fixture(scope="module")
def broken(server: EmbeddedServer) -> Iterator[dict[str, Dsn]]:
    """Staging and production, small."""
    made = {name: build(server, name) for name in ("staging", "production")}
    yield made
    for dsn in made.values():
        execute(server.dsn("postgres"), f'DROP DATABASE "{dsn.database}" WITH (FORCE)')


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, repaired by hand: edges cut, ids shortened, heads merged."""
    copy = tmp_path_factory.mktemp("mended") / "wallet"
    shutil.copytree(WALLET, copy, ignore=shutil.ignore_patterns("__pycache__"))
    versions = copy / "migrations" / "versions"
    for file in versions.glob("*.py"):
        text = file.read_text().replace(WRONG_EDGES, "depends_on = None")
        for long in LONG_IDS:
            text = text.replace(long, long[:32])
        file.write_text(text)
    (versions / "merged.py").write_text(
        '"""Merge."""\n\nrevision = "merged"\n'
        f'down_revision = ("c8d25c64b432", "{LONG_IDS[1][:32]}")\n'
        "branch_labels = None\ndepends_on = None\n\n\n"
        "def upgrade() -> None:\n    pass\n\n\ndef downgrade() -> None:\n    pass\n"
    )
    return copy


@pytest.fixture(scope="module")
def healthy(server: EmbeddedServer, mended: Path) -> Iterator[Dsn]:
    """A database upgraded from empty to the mended tree's head."""
    dsn = server.dsn("wallet_healthy")
    execute(server.dsn("postgres"), f'CREATE DATABASE "{dsn.database}"')
    alembic(dsn, "upgrade", "heads", folder=mended)
    yield dsn
    execute(server.dsn("postgres"), f'DROP DATABASE "{dsn.database}" WITH (FORCE)')


def test_the_tree_has_the_revisions_of_the_case() -> None:
    found = {}
    for file in (WALLET / "migrations" / "versions").glob("*.py"):
        text = file.read_text()
        revision, parents = (
            re.findall(r'"([^"]+)"', re.search(rf"^{key} = (.*)$", text, re.M)[1])  # type: ignore[index]
            for key in ("revision", "down_revision")
        )
        found[revision[0]] = set(parents)
    assert found == {
        "1d661194d41e": set(),
        "23e791c49f3a": {"1d661194d41e"},
        "add_unique_constraint_transactions": {"23e791c49f3a"},
        "add_reference_id_unique_constraint": {"23e791c49f3a"},
        "add_ledger_portfolio_models": {"23e791c49f3a"},
        "3d91640ec9e0": {"add_unique_constraint_transactions", "add_ledger_portfolio_models"},
        "add_trading_models": {"3d91640ec9e0"},
        "c8d25c64b432": {"add_trading_models"},
    }
    assert sorted(item for item in found if len(item) > 32) == sorted(LONG_IDS)
    assert {len(item) for item in LONG_IDS} == {34}


def test_alembic_cannot_load_the_tree(database: Dsn) -> None:
    for command in (["heads"], ["history"], ["upgrade", "heads"], ["current"]):
        code, output = python(database, "-m", "alembic", *command)
        assert code != 0
        assert "Dependency cycle is detected" in output


def test_without_the_cycle_two_heads_are_left(database: Dsn, mended: Path, tmp_path: Path) -> None:
    copy = tmp_path / "wallet"
    shutil.copytree(mended, copy)
    (copy / "migrations" / "versions" / "merged.py").unlink()
    heads = alembic(database, "heads", folder=copy).split("\n")
    assert sorted(line.split()[0] for line in heads if line) == [LONG_IDS[1][:32], "c8d25c64b432"]


def test_a_long_id_cannot_be_recorded(database: Dsn, tmp_path: Path) -> None:
    copy = tmp_path / "wallet"
    shutil.copytree(WALLET, copy)
    file = copy / "migrations" / "versions" / "add_ledger_portfolio_models.py"
    file.write_text(file.read_text().replace(WRONG_EDGES, "depends_on = None"))
    code, output = python(database, "-m", "alembic", "upgrade", LONG_IDS[0], folder=copy)
    assert code != 0
    assert "value too long for type character varying(32)" in output


def test_mended_it_equals_the_models(healthy: Dsn, mended: Path) -> None:
    assert "No new upgrade operations detected" in alembic(healthy, "check", folder=mended)
    assert "merged (head) (mergepoint)" in alembic(healthy, "current", folder=mended)


def test_mended_it_goes_down_to_nothing_and_up_again(database: Dsn, mended: Path) -> None:
    left_over = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relname NOT LIKE 'alembic%' UNION ALL"
        " SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'"
        " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    alembic(database, "upgrade", "heads", folder=mended)
    assert len(query(database, left_over)) > 40
    alembic(database, "downgrade", "base", folder=mended)
    assert query(database, left_over) == []
    alembic(database, "upgrade", "heads", folder=mended)


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_record_is_false(broken: dict[str, Dsn], name: str) -> None:
    dsn = broken[name]
    assert query(dsn, "SELECT version_num FROM alembic_version") == [("add_trading_models",)]
    ((width,),) = query(
        dsn,
        "SELECT character_maximum_length FROM information_schema.columns"
        " WHERE table_name = 'alembic_version'",
    )
    assert width == 32
    missing = "SELECT to_regclass('vouchers'), (SELECT count(*) FROM pg_attribute WHERE"
    missing += " attrelid = 'transactions'::regclass AND attname = 'trade_id')"
    assert query(dsn, missing) == [(None, 0)]


def test_staging_and_production_are_broken_differently(broken: dict[str, Dsn]) -> None:
    made = (
        "SELECT to_regclass('trades') IS NOT NULL, (SELECT count(*) FROM pg_constraint"
        " WHERE conname = 'uq_transactions_reference_id')"
    )
    assert query(broken["staging"], made) == [(False, 0)]
    assert query(broken["production"], made) == [(True, 1)]
    assert query(broken["production"], "SELECT count(*) FROM trades") == [(3,)]


def test_the_rows_allow_every_missing_object(broken: dict[str, Dsn]) -> None:
    staging = broken["staging"]
    repeated = "SELECT reference_id FROM transactions GROUP BY 1 HAVING count(reference_id) > 1"
    assert query(staging, repeated) == []
    orphans = "SELECT reference FROM trades LEFT JOIN users ON users.id = user_id"
    orphans += " WHERE users.id IS NULL OR quantity <= 0"
    assert query(broken["production"], orphans) == []


def test_the_stub_can_be_completed(broken: dict[str, Dsn], healthy: Dsn) -> None:
    columns = (
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull, attidentity, atthasdef"
        " FROM pg_attribute WHERE attrelid = 'trades'::regclass AND attnum > 0 ORDER BY attnum"
    )
    stub, whole = query(broken["production"], columns), query(healthy, columns)
    assert stub == whole[: len(stub)]
    missing = whole[len(stub) :]
    assert len(missing) > len(stub)
    assert all(has_default or not not_null for _, _, not_null, _, has_default in missing)


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_checks_crash_on_the_broken_database(broken: dict[str, Dsn], name: str) -> None:
    code, line = python(broken[name], "-m", "wallet.checks", "finality")
    assert (code, line) == (1, f"SOL finality checker: CRASHED: {MISSING_COLUMN}\n")
    assert python(broken[name], "-m", "wallet.checks", "trading")[0] == 1
    assert python(broken[name], "-m", "wallet.checks", "database")[0] == 0


@pytest.mark.parametrize("check", ["database", "finality", "trading"])
def test_the_checks_pass_on_a_healthy_database_and_leave_nothing(healthy: Dsn, check: str) -> None:
    code, output = python(healthy, "-m", "wallet.checks", check)
    assert code == 0, output
    assert ": ok: " in output
    assert output.count("\n") == 1
    for table in (*TABLES, "trades", "vouchers"):
        assert query(healthy, f"SELECT count(*) FROM {table}") == [(0,)]


def test_the_finality_check_does_not_write(server: EmbeddedServer, mended: Path) -> None:
    """On rows: a mended staging database has pending SOL transactions, before and after."""
    dsn = build(server, "staging", "_mended")
    execute(dsn, "UPDATE alembic_version SET version_num = '3d91640ec9e0'")
    alembic(dsn, "upgrade", "heads", folder=mended)
    before = query(dsn, "SELECT status, count(*), max(updated_at) FROM transactions GROUP BY 1")
    code, output = python(dsn, "-m", "wallet.checks", "finality")
    assert code == 0, output
    assert int(re.search(r"ok: (\d+) pending", output)[1]) > 0  # type: ignore[index]
    assert before == query(
        dsn, "SELECT status, count(*), max(updated_at) FROM transactions GROUP BY 1"
    )
    execute(server.dsn("postgres"), f'DROP DATABASE "{dsn.database}" WITH (FORCE)')


def test_an_unreachable_database_is_one_line(server: EmbeddedServer) -> None:
    code, output = python(server.dsn("no_such"), "-m", "wallet.checks", "database")
    assert code == 1
    assert output.count("\n") == 1
    assert "CRASHED" in output


def test_two_builds_are_equal(server: EmbeddedServer, broken: dict[str, Dsn]) -> None:
    again = build(server, "production", "_again")
    for table in (*TABLES, "trades"):
        digest = f"SELECT count(*), md5(string_agg(t::text, ';' ORDER BY id)) FROM {table} AS t"
        first = query(broken["production"], digest)
        assert first == query(again, digest), table
        assert first[0][0]
    execute(server.dsn("postgres"), f'DROP DATABASE "{again.database}" WITH (FORCE)')


def test_the_full_size_is_as_promised(server: EmbeddedServer) -> None:
    dsn = server.dsn("wallet_full")
    execute(server.dsn("postgres"), f'CREATE DATABASE "{dsn.database}"')
    code, output = python(dsn, str(WALLET / "builder"), "production")
    assert code == 0, output
    ((users, transactions, vouchers, trades),) = query(
        dsn,
        "SELECT (SELECT count(*) FROM users), count(*),"
        " count(*) FILTER (WHERE reference_id LIKE 'VCH-%'),"
        " count(*) FILTER (WHERE reference_id LIKE 'TRD-%') FROM transactions",
    )
    execute(server.dsn("postgres"), f'DROP DATABASE "{dsn.database}" WITH (FORCE)')
    assert users >= 2000  # type: ignore[operator]
    assert transactions >= 200_000  # type: ignore[operator]
    assert vouchers == trades == 33_000
