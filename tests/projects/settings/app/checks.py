"""Functions that serve as application checks."""

import os
import sys
from typing import Never

import psycopg2
from sqlalchemy import create_engine, text


def database(url: str) -> bool:
    with create_engine(url.replace("postgresql://", "postgresql+psycopg2://")).connect() as c:
        return c.execute(text("SELECT current_database()")).scalar() == os.environ["DB_NAME"]


def nothing() -> None:
    return None


def broken() -> Never:
    raise ValueError("the finality checker is broken")


def elsewhere() -> object:
    return psycopg2.connect(os.environ["ELSEWHERE"])


if __name__ == "__main__":
    print("database", os.environ["DB_NAME"], "password", os.environ["DB_PASSWORD"])
    sys.exit(int(sys.argv[1]))
