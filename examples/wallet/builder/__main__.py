"""Make the wallet's staging or production database, broken as in the case.

``python examples/wallet/builder staging|production [--users N] [--transactions N]`` works on the
empty database that DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME name.

Alembic cannot load the broken tree. So the revisions' own code runs from a temporary copy of the
tree in which the wrong edges (``depends_on``) are cut; the version table is wide while it runs,
for the long ids. At the end the record is falsified, as it was found.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

BUILDER = Path(__file__).resolve().parent
PROJECT = BUILDER.parent
RECORDED = "add_trading_models"
WRONG_EDGES = 'depends_on = ("add_trading_models", "c8d25c64b432")'


@dataclass(frozen=True)
class Scale:
    """Numbers of rows."""

    users: int
    transactions: int


SCALES = {
    "staging": Scale(users=300, transactions=20_000),
    "production": Scale(users=2_400, transactions=220_000),
}


def loadable_copy(folder: Path) -> Path:
    """Copy the project with the wrong edges cut; everything else stays as it is."""
    copy = folder / "wallet"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("__pycache__", "builder"))
    file = copy / "migrations" / "versions" / "add_ledger_portfolio_models.py"
    text = file.read_text(encoding="utf-8")
    if WRONG_EDGES not in text:
        raise SystemExit(f"{file.name} no longer holds: {WRONG_EDGES}")
    file.write_text(text.replace(WRONG_EDGES, "depends_on = None"), encoding="utf-8")
    return copy


def build(name: str, scale: Scale) -> None:
    """Make the database ``name`` ("staging" or "production") in the empty database of DB_*."""
    with tempfile.TemporaryDirectory() as folder:
        copy = loadable_copy(Path(folder))
        sys.path.insert(0, str(copy))
        sys.dont_write_bytecode = True
        _build(name, scale, copy)


def _build(name: str, scale: Scale, copy: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from wallet.database import database_url

    config = Config(copy / "alembic.ini")
    engine = create_engine(database_url())
    rows = {"users": scale.users, "transactions": scale.transactions}

    def execute(sql: str, **parameters: int) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            connection.exec_driver_sql("SET LOCAL timezone = 'UTC'")
            connection.exec_driver_sql(sql, parameters or None)

    execute(
        "CREATE TABLE alembic_version (version_num VARCHAR(255) NOT NULL,"
        " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    command.upgrade(config, "23e791c49f3a")
    execute((BUILDER / "seed.sql").read_text(encoding="utf-8"), **rows)
    command.upgrade(config, "3d91640ec9e0")
    execute((BUILDER / "ledger.sql").read_text(encoding="utf-8"), transactions=scale.transactions)
    if name == "production":
        execute((BUILDER / "production_by_hand.sql").read_text(encoding="utf-8"))
    execute(
        "DELETE FROM alembic_version;"
        f" INSERT INTO alembic_version VALUES ('{RECORDED}');"
        " ALTER TABLE alembic_version ALTER version_num TYPE VARCHAR(32)"
    )
    execute("ANALYZE")
    engine.dispose()


def main() -> None:
    """Read the arguments and build."""
    parser = argparse.ArgumentParser(description="Make a broken wallet database.")
    parser.add_argument("name", choices=sorted(SCALES))
    parser.add_argument("--users", type=int, help="number of users, 50 or more")
    parser.add_argument("--transactions", type=int, help="number of transactions, 400 or more")
    given = parser.parse_args()
    if not os.environ.get("DB_NAME"):
        parser.error("set DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME")
    scale = SCALES[given.name]
    scale = Scale(given.users or scale.users, given.transactions or scale.transactions)
    if scale.users < 50 or scale.transactions < 400:
        parser.error("at least 50 users and 400 transactions")
    build(given.name, scale)


if __name__ == "__main__":
    main()
