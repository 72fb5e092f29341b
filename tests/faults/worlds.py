"""Worlds: one small project with one real database, to be broken and then repaired."""

from __future__ import annotations

import contextlib
import io
import itertools
import shutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from faults import trees
from faults.trees import Topology
from runbook_lib.catalog import Catalog, snapshot
from runbook_lib.config import Environment, load_environment
from runbook_lib.dsn import Dsn
from runbook_lib.postgres import EmbeddedServer

TOML = """\
[project]
root = "project"
python = "PYTHON"
SETTINGS
[environments.test]
url_file = "url"
protected = false
approval = "auto"
write_files = true
watch_seconds = 0
lock_timeout = "1s"
"""
EVERY_TABLE = """
SELECT format('%%I.%%I', table_schema, table_name),
    array_agg(column_name::text ORDER BY ordinal_position)
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
    AND table_name <> 'alembic_version' AND table_name || '.' || column_name <> ALL (%s)
GROUP BY 1
"""
Rows = Mapping[str, tuple[tuple[str, ...], list[str]]]


@dataclass(kw_only=True)
class World:
    """A project in ``folder``/project and its database ``dsn``.

    ``config`` are lines for runbook.toml's environment, ``settings`` for its project.
    """

    topology: Topology
    folder: Path
    dsn: Dsn
    config: str = ""
    python: str = ""
    settings: str = ""

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def file(self, revision_id: str) -> Path:
        return self.project / self.topology.rev(revision_id).file

    def edit(self, revision_id: str, old: str, new: str) -> None:
        """Replace a text in a revision's file; it has to be there."""
        text = self.file(revision_id).read_text()
        assert old in text
        self.file(revision_id).write_text(text.replace(old, new))

    def add(self, rev: trees.Rev) -> None:
        (self.project / rev.file).write_text(rev.text())

    def sql(self, *statements: str) -> None:
        """Run statements, each in its own transaction."""
        with connected(self.dsn) as cursor:
            for statement in statements:
                cursor.execute(statement)

    def undo(self, *revision_ids: str) -> None:
        """Take back what revisions did to the schema; nothing is recorded of it."""
        for revision_id in revision_ids:
            self.sql(*self.topology.rev(revision_id).down)

    def record(self, *rows: str | None) -> None:
        """Make these the only version rows."""
        self.sql("DELETE FROM alembic_version")
        with connected(self.dsn) as cursor:
            for row in rows:
                cursor.execute("INSERT INTO alembic_version VALUES (%s)", (row,))

    def recorded(self) -> tuple[str | None, ...]:
        with connected(self.dsn) as cursor:
            cursor.execute("SELECT version_num FROM alembic_version ORDER BY 1")
            return tuple(row[0] for row in cursor.fetchall())

    def rows(self, without: frozenset[str] = frozenset()) -> Rows:
        """Every table's columns and rows but the version table's, as texts.

        ``without`` names columns, ``table.column``, that are left out.
        """
        with connected(self.dsn) as cursor:
            cursor.execute(EVERY_TABLE, (list(without),))
            return {
                table: (tuple(columns), read(cursor, table, columns))
                for table, columns in cursor.fetchall()
            }

    def same_rows(self, before: Rows) -> list[str]:
        """Name the tables that lack rows, or hold other ones, in the columns of ``before``."""
        with connected(self.dsn) as cursor:
            return [
                table
                for table, (columns, rows) in before.items()
                if read(cursor, table, columns) != rows
            ]

    def catalog(self) -> Catalog:
        connection = psycopg2.connect(**self.dsn.libpq())
        try:
            return snapshot(connection, exclude=("public.alembic_version",))
        finally:
            connection.close()

    def environment(self) -> Environment:
        text = TOML.replace("PYTHON", self.python).replace("SETTINGS", self.settings)
        (self.folder / "runbook.toml").write_text(text + self.config)
        (self.folder / "url").write_text(self.dsn.text)
        return load_environment("test", str(self.folder / "runbook.toml"))


@contextlib.contextmanager
def connected(dsn: Dsn) -> Iterator[Any]:
    connection = psycopg2.connect(**dsn.libpq())
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def read(cursor: Any, table: str, columns: tuple[str, ...]) -> list[str]:
    """Return the rows of a table as sorted texts; a missing column makes them differ."""
    names = ", ".join(f'"{column}"' for column in columns) or "NULL"
    try:
        cursor.execute(f"SELECT ROW({names})::text FROM {table}")
    except psycopg2.Error as error:
        return [str(error)]
    return sorted(row[0] for row in cursor.fetchall())


def alembic(project: Path, dsn: Dsn, name: str, *arguments: str) -> str:
    """Run one command of Alembic's own, here; return what it printed."""
    config = Config(str(project / "alembic.ini"), stdout=io.StringIO())
    config.set_main_option("script_location", str(project / "migrations"))
    config.set_main_option("sqlalchemy.url", dsn.with_driver("psycopg2").replace("%", "%%"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(command, name)(config, *arguments)
    return str(config.stdout.getvalue())


def load(project: Path) -> ScriptDirectory:
    """Load a tree with Alembic itself; a warning is an error."""
    config = Config(str(project / "alembic.ini"))
    config.set_main_option("script_location", str(project / "migrations"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        script = ScriptDirectory.from_config(config)
        script.get_heads()
    return script


class Workshop:
    """Makes worlds: a template database per topology and place, a copy of it per test."""

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self._templates: dict[str, str] = {}
        self._numbers = itertools.count()

    def world(self, topology: Topology, at: tuple[str, ...] = ("heads",)) -> World:
        """Return a healthy world that stands at ``at``, with rows."""
        template = self._template(topology, at)
        name = f"world_{next(self._numbers)}"
        self._admin(f"CREATE DATABASE {name} TEMPLATE {template}")
        folder = self.folder / name
        trees.write(topology, folder / "project")
        return World(topology=topology, folder=folder, dsn=self.server.dsn(name))

    @contextlib.contextmanager
    def empty(self) -> Iterator[Dsn]:
        """Give an empty database for the time of a block."""
        name = f"empty_{next(self._numbers)}"
        self._admin(f"CREATE DATABASE {name}")
        try:
            yield self.server.dsn(name)
        finally:
            self._admin(f"DROP DATABASE {name} WITH (FORCE)")

    def fresh(self, project: Path) -> Catalog:
        """Return what the heads of a project make from empty, by Alembic alone."""
        with self.empty() as dsn:
            alembic(project, dsn, "upgrade", "heads")
            connection = psycopg2.connect(**dsn.libpq())
            try:
                return snapshot(connection, exclude=("public.alembic_version",))
            finally:
                connection.close()

    def heads(self, project: Path) -> tuple[str, ...]:
        """The version rows that Alembic itself leaves after an upgrade from empty."""
        with self.empty() as dsn:
            alembic(project, dsn, "upgrade", "heads")
            with connected(dsn) as cursor:
                cursor.execute("SELECT version_num FROM alembic_version ORDER BY 1")
                return tuple(row[0] for row in cursor.fetchall())

    @contextlib.contextmanager
    def copied(self, world: World) -> Iterator[World]:
        """Give a copy of a world, project and database, for the time of a block."""
        name = f"copy_{next(self._numbers)}"
        self._admin(f"CREATE DATABASE {name} TEMPLATE {world.dsn.database}")
        folder = self.folder / name
        shutil.copytree(world.folder, folder)
        copy = World(topology=world.topology, folder=folder, dsn=self.server.dsn(name))
        try:
            yield copy
        finally:
            self.drop(copy)

    def drop(self, world: World) -> None:
        self._admin(f"DROP DATABASE {world.dsn.database} WITH (FORCE)")
        shutil.rmtree(world.folder)

    def _template(self, topology: Topology, at: tuple[str, ...]) -> str:
        key = repr((topology, at))
        if key not in self._templates:
            name = f"template_{next(self._numbers)}"
            self._admin(f"CREATE DATABASE {name}")
            folder = trees.write(topology, self.folder / name)
            for place in at:
                alembic(folder, self.server.dsn(name), "upgrade", place)
            fill(self.server.dsn(name), topology)
            self._templates[key] = name
        return self._templates[key]

    def _admin(self, statement: str) -> None:
        with connected(self.server.dsn("postgres")) as cursor:
            cursor.execute(statement)


def fill(dsn: Dsn, topology: Topology) -> None:
    with connected(dsn) as cursor:
        for table, statement in topology.rows:
            cursor.execute("SELECT to_regclass(%s)", (table,))
            if cursor.fetchone()[0]:
                cursor.execute(statement)
