"""The demonstration's making: afresh each time, built once, its secrets guarded."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib import demo
from runbook_lib.config import load_environments
from runbook_lib.dsn import Dsn
from runbook_lib.errors import ConfigurationError, SafetyError
from runbook_lib.postgres import connect, fetch

SMALL = ("--users", "60", "--transactions", "1200")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    shutil.copy(demo.CHECKOUT / "runbook.toml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_STATE", str(folder / ".runbook"))
        yield folder
        demo.stop(lambda _: None, root=folder)


@pytest.fixture(scope="module")
def made(root: Path) -> demo.Demo:
    return demo.make_demo(root, scale=SMALL, echo=lambda _: None)


def test_its_configuration_is_valid_and_reaches_both_databases(made: demo.Demo) -> None:
    environments = load_environments(made.config)
    assert list(environments) == ["staging", "production"]
    for name, environment in environments.items():
        assert environment.dsn() == made.addresses[name]
        assert [check.name for check in environment.checks] == [
            "database connection",
            "SOL finality checker",
            "trading",
        ]
    assert environments["production"].protected
    assert environments["production"].after == "staging"


def test_the_databases_belong_to_a_role_that_is_no_superuser(made: demo.Demo) -> None:
    for name, address in made.addresses.items():
        connection = connect(address)
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        assert fetch(connection, owners) == [("tondeka",)]
        assert fetch(connection, "SELECT current_setting('is_superuser')") == [("off",)]
        assert fetch(connection, "SELECT current_database()") == [(demo.DATABASES[name],)]
        assert fetch(connection, "SELECT version_num FROM alembic_version") == [
            ("add_trading_models",)
        ]
        connection.close()


def test_a_second_making_builds_nothing_and_is_afresh(made: demo.Demo, root: Path) -> None:
    file = made.project / "migrations" / "versions" / "left_over.py"
    file.write_text("")
    connection = connect(made.addresses["production"], read_only=False)
    fetch(connection, "DELETE FROM trades RETURNING id")
    connection.close()
    before = made.addresses["staging"].password
    said: list[str] = []
    again = demo.make_demo(root, scale=SMALL, echo=said.append)
    assert said == []  # nothing was built: the databases are copies of their templates
    assert not file.exists()
    assert again.addresses["staging"].password not in ("", before)
    connection = connect(again.addresses["production"])
    assert fetch(connection, "SELECT count(*) FROM trades") == [(3,)]
    connection.close()


def test_the_addresses_are_for_their_owner_alone(made: demo.Demo, root: Path) -> None:
    for name in made.addresses:
        file = root / ".demo" / f"{name}.url"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        password = Dsn.parse(file.read_text()).password
        assert len(password) >= 20
        files = (path for path in (root / ".demo" / "wallet").rglob("*") if path.is_file())
        assert not any(password.encode() in path.read_bytes() for path in files)
    shown = repr(made)
    assert all(address.password not in shown for address in made.addresses.values())


def test_the_checkout_stays_clean(made: demo.Demo) -> None:
    assert not (made.project / "builder").exists()
    assert made.project.is_relative_to(made.root)


def test_stop_can_be_said_twice_and_a_making_starts_again(root: Path, made: demo.Demo) -> None:
    said: list[str] = []
    assert demo.stop(said.append, root=root) == 0
    assert any("Stopped" in line for line in said)
    assert demo.stop(lambda _: None, root=root) == 0
    assert demo.make_demo(root, scale=SMALL, echo=lambda _: None).transactions == {
        "staging": 1200,
        "production": 1200,
    }


def test_a_second_demonstration_is_refused_while_one_is_at_work(
    root: Path, made: demo.Demo
) -> None:
    with demo._alone(root), pytest.raises(SafetyError, match="at work"):
        demo.run(lambda _: None, root=root, scale=SMALL)


def test_without_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "CHECKOUT", tmp_path)
    with pytest.raises(ConfigurationError, match="checkout"):
        demo.make_demo(tmp_path)


def test_it_can_be_left_broken_for_a_person_to_go_through(root: Path, made: demo.Demo) -> None:
    said: list[str] = []
    assert demo.run(said.append, root=root, scale=SMALL, broken=True) == 0
    assert said[-1].endswith("runbook doctor -e staging")
    assert not (root / "outputs").exists()
    for address in made.addresses.values():
        assert demo._promised(address)[0][0] is False


@pytest.mark.timeout(900)
def test_the_tour_ends_proven(root: Path) -> None:
    """The whole demonstration, as `runbook demo` goes through it, on small databases."""
    said: list[str] = []
    code = demo.run(said.append, root=root, scale=SMALL)
    text = "\n".join(said)
    assert code == 0, text
    assert "stopped with exit code 3" in text
    for name in demo.DATABASES:
        (proof,) = (line for line in said if line.startswith(f"  {name}: transactions.trade_id"))
        assert proof.count(" there") == 3
        assert "1,200 of 1,200 transactions" in proof
    assert text.count("alembic current: ") == 2
    assert text.count("(head)") == 2
    for name, environment in load_environments(root / "runbook.toml").items():
        done = subprocess.run(
            [sys.executable, "-B", "-m", "alembic", "check"],
            cwd=root / ".demo" / "wallet",
            env=demo._variables(environment.dsn()),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "No new upgrade operations detected" in done.stdout, (name, done.stdout)
    secret = Dsn.parse((root / ".demo" / "production.url").read_text()).password
    files = [path for path in (root / "outputs").rglob("*") if path.is_file()]
    assert files
    assert not any(secret.encode() in path.read_bytes() for path in files)
