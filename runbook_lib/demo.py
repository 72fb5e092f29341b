"""The demonstration: a broken staging and a broken production database, repaired for real.

Everything that it makes lies in ``.demo/``: a copy of ``examples/wallet``, a PostgreSQL cluster
of its own with the two databases, and the files with their addresses.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg2.extensions import encrypt_password

from runbook_lib.config import FILE_NAME, load_environment
from runbook_lib.dsn import Dsn, redact
from runbook_lib.errors import ConfigurationError, ProjectError, SafetyError
from runbook_lib.postgres import (
    Cluster,
    Connection,
    EmbeddedServer,
    client_program,
    connect,
    fetch,
    version_rows,
)
from runbook_lib.programs import EMBEDDED_BIN

Echo = Callable[[str], object]

CHECKOUT = Path(__file__).resolve().parent.parent
ROLE = "tondeka"
DATABASES = {"staging": "wallet_staging", "production": "tondeka"}
BUILD_SECONDS = 300
PROMISED = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute
               WHERE attrelid = pg_catalog.to_regclass('transactions')
                 AND attname = 'trade_id' AND NOT attisdropped),
       pg_catalog.to_regclass('trades') IS NOT NULL,
       pg_catalog.to_regclass('vouchers') IS NOT NULL,
       (SELECT pg_catalog.count(*) FROM transactions)
"""
PROMISED_NAMES = ("transactions.trade_id", "trades", "vouchers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What was made. ``transactions`` are the numbers of rows per environment, still broken."""

    root: Path
    server: EmbeddedServer
    addresses: dict[str, Dsn]
    transactions: dict[str, int]

    @property
    def config(self) -> Path:
        return self.root / FILE_NAME

    @property
    def project(self) -> Path:
        return self.root / ".demo" / "wallet"


def make_demo(root: Path, *, scale: Sequence[str] = (), echo: Echo = print) -> Demo:
    """Make the demonstration afresh below ``root``: project, databases, addresses.

    ``scale`` goes to the builder (``--users N --transactions N``). The first call builds the
    broken databases, later ones copy them. Raises ConfigurationError outside of a checkout.
    """
    source = CHECKOUT / "examples" / "wallet"
    if not (source / "alembic.ini").is_file():
        raise ConfigurationError(
            "The demonstration needs examples/wallet, which only a checkout has.",
            "Clone the repository and run: make demo",
        )
    folder = root / ".demo"
    folder.mkdir(exist_ok=True)
    _copy_project(source, folder / "wallet")
    server = EmbeddedServer.start(folder / "pg", durable=True)
    addresses = _make_databases(server, source, scale, echo)
    for name, address in addresses.items():
        _write_secret(folder / f"{name}.url", address.text)
    counts = {name: _promised(address)[1] for name, address in addresses.items()}
    return Demo(root=root, server=server, addresses=addresses, transactions=counts)


def run(
    echo: Echo = print,
    *,
    root: Path = CHECKOUT,
    scale: Sequence[str] = (),
    broken: bool = False,
) -> int:
    """Make the demonstration, go through it as a person would, and prove how it ended.

    With ``broken`` it is only made, for a person to go through. Returns the exit code: 0, or that
    of the run which stopped it. Raises SafetyError while another demonstration is at work here.
    """
    with _alone(root):
        echo("The wallet: its databases and its Alembic history have come apart.")
        demo = make_demo(root, scale=scale, echo=echo)
        for name, address in demo.addresses.items():
            echo(f"  {name}: database {address.database}, {demo.transactions[name]:,} transactions")
        if broken:
            echo("Both are broken. Begin with: runbook doctor -e staging")
            return 0
        code = _tour(demo, echo)
        proven = code == 0 and _prove(demo, echo)
        _farewell(demo, echo)
        return code or (0 if proven else 1)


def stop(echo: Echo = print, *, root: Path = CHECKOUT) -> int:
    """Stop the servers that the demonstration started. Returns the exit code, always 0.

    Raises SafetyError while a demonstration is at work here.
    """
    state = load_environment("staging", str(root / FILE_NAME)).state_folder
    with _alone(root):
        for folder in (root / ".demo" / "pg", *state.glob("scratch-*")):
            if (folder / "postmaster.pid").exists():
                Cluster(folder=folder.resolve(), binaries=EMBEDDED_BIN).stop()
                echo(f"Stopped the server in {folder.parent.name}/{folder.name}.")
    echo("The demonstration's servers are down. Its files are in .demo; deleting them is safe.")
    return 0


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the demonstration's lock: a second one would take the databases from under the first."""
    folder = root / ".demo"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SafetyError(
                "Another demonstration is at work in this checkout.", "Wait until it has ended."
            ) from None
        yield


def _tour(demo: Demo, echo: Echo) -> int:
    """Staging, production up to its approval, the approval, production, staging once more."""
    echo("\nStaging first: unprotected, its plan is approved by declaration.")
    code, _ = _run(demo, "staging", echo)
    if code:
        return code
    echo("\nProduction next: protected, so it stops for a person's approval.")
    code, digest = _run(demo, "production", echo)
    if code == 3:
        echo(f"\nProduction stopped with exit code 3. Its plan was rehearsed: {digest}")
        echo("The demonstration approves it, on the record, as: the demo")
        code, _ = _run(demo, "production", echo, approve=digest, by="the demo")
    if code:
        return code
    if _rows(demo, "staging") != _rows(demo, "production"):
        echo("\nProduction's repair added a revision: staging gets it too.")
        code, _ = _run(demo, "staging", echo)
    return code


def _run(demo: Demo, name: str, echo: Echo, *, approve: str = "", by: str = "") -> tuple[int, str]:
    """Run every phase for one environment; return the exit code and the plan's digest."""
    from runbook_lib import runner  # papermill takes a second to import; making a demo needs none

    outcome = runner.run(name, config=str(demo.config), approve=approve, by=by, echo=echo)
    if outcome.exit_code not in (0, 3):
        echo(f"\nThe run for {name} ended with exit code {outcome.exit_code}. {outcome.sentence}")
    return outcome.exit_code, outcome.digest


def _prove(demo: Demo, echo: Echo) -> bool:
    """Look at both databases from outside of the runbook; say what is there."""
    echo("\nThe proof, from outside of the runbook:")
    asked = [(name, "current") for name in demo.addresses] + [("staging", "heads")]
    with ThreadPoolExecutor() as pool:
        *said, heads = pool.map(lambda item: _alembic(demo, *item), asked)
    proven = [
        _proven(demo, name, current, heads, echo)  # each says its part
        for name, current in zip(demo.addresses, said, strict=True)
    ]
    return all(proven)


def _proven(demo: Demo, name: str, current: list[str], heads: list[str], echo: Echo) -> bool:
    found, rows = _promised(demo.addresses[name])
    same = len(current) == 1 and len(heads) == 1 and current[0].split()[0] == heads[0].split()[0]
    before = demo.transactions[name]
    there = " · ".join(
        f"{item} {'there' if is_there else 'MISSING'}"
        for item, is_there in zip(PROMISED_NAMES, found, strict=True)
    )
    echo(f"  {name}: {there} · {rows:,} of {before:,} transactions")
    echo(f"    alembic current: {', '.join(current) or 'nothing'}")
    return all(found) and rows == before and same


def _promised(address: Dsn) -> tuple[tuple[bool, ...], int]:
    """Return whether each of PROMISED_NAMES is there, and the number of transactions."""
    connection = connect(address)
    try:
        ((*found, rows),) = fetch(connection, PROMISED)
    finally:
        connection.close()
    return tuple(found), rows


def _rows(demo: Demo, name: str) -> tuple[str | None, ...] | None:
    connection = connect(demo.addresses[name])
    try:
        return version_rows(connection, "public", "alembic_version")
    finally:
        connection.close()


def _alembic(demo: Demo, name: str, command: str) -> list[str]:
    """Return what the project's own Alembic prints. Raises ProjectError when it fails."""
    address = demo.addresses[name]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "alembic", command],
        cwd=demo.project,
        env=_variables(address),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise ProjectError(
            f"alembic {command} fails for {name}: {_last_line(done.stderr, address)}",
            "See the run's archive in outputs.",
        )
    return [line for line in done.stdout.splitlines() if line.strip()]


def _farewell(demo: Demo, echo: Echo) -> None:
    production = demo.addresses["production"]
    psql = client_program("psql", 180000)
    echo("\nThe archives: outputs/index.html (verify them with: runbook verify)")
    echo(f"Look around:  {psql} -h {production.host} -U {ROLE} {production.database}")
    echo("Stop:         runbook demo --stop")


def _copy_project(source: Path, folder: Path) -> None:
    """Copy the project afresh: repairs are written there, and the checkout stays clean."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", "builder"))


def _write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, from its first moment on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text + "\n")


def _make_databases(
    server: EmbeddedServer, source: Path, scale: Sequence[str], echo: Echo
) -> dict[str, Dsn]:
    """Make both databases anew, each a copy of its template; return their addresses."""
    password = secrets.token_urlsafe(18)
    mark = _digest(source, scale)
    connection = connect(server.dsn("postgres"), read_only=False)
    try:
        _make_role(connection, password)
        templates = {name: f"wallet_{name}_broken_{mark}" for name in DATABASES}
        _build_templates(connection, server, source, scale, templates, echo)
        for name, database in DATABASES.items():
            _execute(connection, f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            _execute(
                connection,
                f"CREATE DATABASE {database} OWNER {ROLE} TEMPLATE {templates[name]}"
                " STRATEGY FILE_COPY",
            )
    finally:
        connection.close()
    return {name: _owned(server, item, password) for name, item in DATABASES.items()}


def _digest(source: Path, scale: Sequence[str]) -> str:
    """Return 12 digits over everything that the broken databases are made from."""
    total = hashlib.sha256("\0".join(scale).encode())
    for path in sorted(source.rglob("*")):
        if path.suffix in (".py", ".sql", ".ini"):
            total.update(path.relative_to(source).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def _make_role(connection: Connection, password: str) -> None:
    """Make the owner of the databases, no superuser; the server gets only a hash of the password.

    The server trusts its socket, which it alone may reach; the password is there to be guarded.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", (ROLE,))
        if not cursor.rowcount:
            cursor.execute(f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
        hashed = encrypt_password(password, ROLE, connection, "scram-sha-256")
        cursor.execute(f"ALTER ROLE {ROLE} PASSWORD %s", (hashed,))


def _build_templates(
    connection: Connection,
    server: EmbeddedServer,
    source: Path,
    scale: Sequence[str],
    templates: dict[str, str],
    echo: Echo,
) -> None:
    """Build the templates that are not there, side by side; drop those of older builders."""
    there = _databases(connection)
    missing = {name: item for name, item in templates.items() if item not in there}
    if not missing:
        return
    echo("Building the two broken databases, once (some seconds) …")
    for name in there - set(templates.values()):
        _execute(connection, f'DROP DATABASE "{name}" WITH (FORCE)')
    for template in missing.values():
        _execute(connection, f"CREATE DATABASE {template}_unfinished OWNER {ROLE}")
    with ThreadPoolExecutor() as pool:
        made = [
            pool.submit(_build, name, _owned(server, f"{item}_unfinished", ""), source, scale)
            for name, item in missing.items()
        ]
    for future in made:
        future.result()
    for template in missing.values():
        _execute(connection, f"ALTER DATABASE {template}_unfinished RENAME TO {template}")


def _databases(connection: Connection) -> set[str]:
    """Return the names of the templates on the server, finished or not."""
    statement = "SELECT datname FROM pg_catalog.pg_database WHERE datname ~ '^wallet_.*_broken_'"
    return {name for (name,) in fetch(connection, statement)}


def _build(name: str, address: Dsn, source: Path, scale: Sequence[str]) -> None:
    """Run the wallet's builder on an empty database. Raises ProjectError with its last words."""
    done = subprocess.run(
        [sys.executable, "-B", str(source / "builder"), name, *scale],
        env=_variables(address),
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ProjectError(
            f"The builder of the {name} database failed: {_last_line(done.stderr, address)}",
            "Run it alone to see more: python examples/wallet/builder --help",
        )


def _variables(address: Dsn) -> dict[str, str]:
    """Return the environment that the wallet reads its address from."""
    return {
        **os.environ,
        "DB_HOST": address.host,
        "DB_PORT": str(address.port),
        "DB_USER": address.user,
        "DB_PASSWORD": address.password,
        "DB_NAME": address.database,
    }


def _owned(server: EmbeddedServer, database: str, password: str) -> Dsn:
    url = server.dsn(database).url
    return Dsn(url.set(username=ROLE, password=password or None))


def _execute(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _last_line(text: str, address: Dsn) -> str:
    lines = redact(text, (address.password,)).strip().splitlines()
    return lines[-1] if lines else "it said nothing"
