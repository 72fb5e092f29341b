"""Restoring a dump: into an empty database, or over a database's whole content, all or nothing.

The dump is turned into SQL by pg_restore and carried out by psql in one transaction. pg_restore
writes its COMMIT only at the end of a sound archive, and psql stops at the first error: whatever
breaks on the way, the database stays as it was.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from runbook_lib.connection import Connection, connect, fetch
from runbook_lib.dsn import Dsn
from runbook_lib.exclusion import SHARE
from runbook_lib.programs import client_environment, client_program, require_success, run_client

# An extension's comment may be set by its owner only, and says nothing.
_NEVER = r"COMMENT - EXTENSION "
# What only a superuser may set.
_NOT_OWN = r"DEFAULT ACL "
# Session settings by the major version that brought them.
_NEWER_SETTINGS = {17: b"SET transaction_timeout "}


def restore(dump: Path, dsn: Dsn, *, server_version_num: int) -> None:
    """Restore a dump into an EMPTY database.

    Owners are kept where the user is a superuser there; else everything belongs to the user.
    Raises GateError when the dump is damaged or a statement fails; nothing is changed then.
    """
    connection = connect(dsn)
    try:
        ((superuser,),) = fetch(
            connection,
            "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user",
        )
    finally:
        connection.close()
    flags = ["--no-tablespaces", "--no-security-labels", "--no-subscriptions"]
    flags += [] if superuser else ["--no-owner"]
    skip = [_NEVER] if superuser else [_NEVER, _NOT_OWN]
    _carry_out(dump, dsn, server_version_num, flags, skip, "BEGIN READ WRITE;\n")


def restore_over(
    dump: Path, dsn: Dsn, *, server_version_num: int = 0, lock_timeout: str = "10s"
) -> None:
    """Replace the whole content of a database by the dump's, in ONE transaction.

    Owners and privileges come back as they were. Extensions that the dump has too stay in place,
    since few users may create them; others go. Raises GateError when anything fails, a lock that
    is not given within ``lock_timeout`` included: the database is as it was then.
    """
    connection = connect(dsn)
    try:
        server_version_num = server_version_num or connection.server_version
        contents = _contents(dump, dsn, server_version_num)
        kept = _hosts(connection)
    finally:
        connection.close()
    extensions = re.findall(r" EXTENSION - (\S+) ", contents)
    present = [re.escape(name) for name in kept]
    skip = [_NEVER, *(rf"SCHEMA - {name} " for name in present if name != "public")]
    preamble = _CLEAR.replace("{extensions}", ", ".join(_literal(e) for e in (*extensions, "")))
    preamble = f"{SHARE};\n" + preamble.replace("{lock_timeout}", _literal(lock_timeout))
    _carry_out(dump, dsn, server_version_num, ["--no-subscriptions"], skip, preamble)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _hosts(connection: Connection) -> list[str]:
    """Return the schemas that stay because an extension lives in them."""
    rows = fetch(
        connection,
        "SELECT DISTINCT nspname FROM pg_catalog.pg_extension"
        " JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace WHERE n.oid >= 16384",
    )
    return [name for (name,) in rows]


def _contents(dump: Path, dsn: Dsn, server_version_num: int) -> str:
    """Return the dump's table of contents, one line an entry."""
    program = client_program("pg_restore", server_version_num)
    return run_client(program, ["--list", str(dump)], dsn).stdout


def _carry_out(
    dump: Path,
    dsn: Dsn,
    server_version_num: int,
    flags: Sequence[str],
    skip: Sequence[str],
    preamble: str,
) -> None:
    """Write the dump as SQL and feed it to psql, ``preamble`` first, all in one transaction."""
    program = client_program("pg_restore", server_version_num)
    entries = _contents(dump, dsn, server_version_num).splitlines(keepends=True)
    pattern = re.compile(rf"^\d+; \d+ \d+ ({'|'.join(skip)})")
    with tempfile.NamedTemporaryFile("w", suffix=".list") as chosen:
        chosen.writelines(line for line in entries if not pattern.match(line))
        chosen.flush()
        args = ["--single-transaction", "--file=-", f"--use-list={chosen.name}", *flags, str(dump)]
        _pipe(program, args, dsn, server_version_num, preamble)


def _pipe(
    program: Path, args: Sequence[str], dsn: Dsn, server_version_num: int, preamble: str
) -> None:
    psql = client_program("psql", server_version_num)
    environment = client_environment(dsn)
    with tempfile.TemporaryFile("w+") as dump_errors, tempfile.TemporaryFile("w+") as errors:
        reader = subprocess.Popen(
            [str(program), *args], stdout=subprocess.PIPE, stderr=dump_errors, env=environment
        )
        writer = subprocess.Popen(
            [str(psql), "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
        )
        assert reader.stdout is not None
        assert writer.stdin is not None
        stopped = False
        try:
            _feed(reader.stdout, writer.stdin, server_version_num // 10000, preamble)
        except BrokenPipeError:  # psql has stopped: its own words say why
            stopped = True
        finally:
            reader.stdout.close()
            with suppress(BrokenPipeError):
                writer.stdin.close()
            codes = writer.wait(), reader.wait()
        for stream in (errors, dump_errors):
            stream.seek(0)
        if not stopped:  # what ends too early is not psql's fault
            require_success(program, codes[1], dump_errors.read(), dsn)
        require_success(psql, codes[0], _without_notices(errors.read()), dsn)


def _feed(source: IO[bytes], sink: IO[bytes], major: int, preamble: str) -> None:
    """Copy the script, less the settings at its head that the server does not know yet."""
    unknown = tuple(text for since, text in _NEWER_SETTINGS.items() if since > major)
    sink.write(preamble.encode())
    for line in source:
        if not (unknown and line.startswith(unknown)):
            sink.write(line)
        if line.startswith(b"SET row_security"):
            break
    shutil.copyfileobj(source, sink, 1 << 20)
    sink.flush()


def _without_notices(errors: str) -> str:
    lines = errors.splitlines()
    return "\n".join(line for line in lines if not re.search(r"\b(NOTICE|WARNING|INFO):", line))


# Everything of the user's goes, object by object where a schema has to stay: the schema public
# (who may use the database may not own it), and schemas that an extension lives in.
_CLEAR = (Path(__file__).parent / "sql" / "clear.sql").read_text()
