"""The project elsewhere, as its how-tos say: over a real ssh, and behind a prefix as kubectl's."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_docker import wait_until

from runbook_lib import postgres
from runbook_lib.cli import main
from runbook_lib.config import ProjectSettings
from runbook_lib.dsn import Dsn
from runbook_lib.project import Project
from tests.conftest import execute
from tests.journey import Journey

PLAIN = Path(__file__).parent / "projects" / "plain"
TOML = """\
[project]
exec = {prefix}
python = {python}
root = {root}

[environments.staging]
url_env = "STAGING_DATABASE_URL"
protected = false
approval = "auto"
scratch = "target"
watch_seconds = 0
"""
# What kubectl exec does, for a pod whose file system has /srv/app: nothing of this machine's
# environment gets in, and standard input only with -i.
KUBECTL = """\
#!/bin/sh
[ "$1 $2 $3 $4 $5 $6" = "exec -i -n wallet deploy/wallet --" ] || exit 64
shift 6
export PROJECT="{project}"
exec unshare -m sh -c 'mount -t tmpfs pod /srv && mkdir /srv/app &&
  mount --bind "$PROJECT" /srv/app && cd / && exec env -i PATH=/usr/bin:/bin "$@"' sh "$@"
"""
PREFIX = ["kubectl", "exec", "-i", "-n", "wallet", "deploy/wallet", "--"]


def configure(folder: Path, prefix: list[str], python: str, root: str, database: Dsn) -> Path:
    """Write a runbook.toml beside nothing of the project; lose a revision in the database."""
    execute(database, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    texts = {"prefix": prefix, "python": python, "root": root}
    path = folder / "runbook.toml"
    path.write_text(TOML.format(**{name: json.dumps(text) for name, text in texts.items()}))
    return path


def go_through(config: Path, database: Dsn) -> None:
    """Doctor, audit and a whole run by the command line's functions; five revisions were to run."""
    asked = CliRunner().invoke(main, ["--config", str(config), "doctor", "-e", "staging"])
    assert asked.exit_code == 0, asked.output
    journey = Journey(config=config, environment="staging")
    assert journey.rehearse()
    assert journey.deploy().passed
    again = CliRunner().invoke(main, ["--config", str(config), "audit", "-e", "staging", "--json"])
    verdicts = {item["verdict"] for item in json.loads(again.output)["revisions"]}
    assert (again.exit_code, verdicts) == (0, {"applied", "unknowable"})


def test_a_prefix_as_kubectls(
    tmp_path: Path, database: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = ["unshare", "-m", "mount", "-t", "tmpfs", "pod", "/srv"]
    if not shutil.which("unshare") or subprocess.run(allowed, capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    shutil.copytree(PLAIN, tmp_path / "image")
    (tmp_path / "bin").mkdir()
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.write_text(KUBECTL.format(project=tmp_path / "image"))
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{kubectl.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("STAGING_DATABASE_URL", database.text)
    assert not Path("/srv/app").exists()  # it is the pod's alone
    go_through(configure(tmp_path, PREFIX, sys.executable, "/srv/app", database), database)


def test_a_prefix_that_keeps_standard_input_away_says_so(
    tmp_path: Path, database: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = ["sh", "-c", 'exec "$@" </dev/null', "kubectl exec"]
    monkeypatch.setenv("STAGING_DATABASE_URL", database.text)
    config = configure(tmp_path, prefix, sys.executable, str(PLAIN), database)
    asked = CliRunner().invoke(main, ["--config", str(config), "audit", "-e", "staging"])
    assert asked.exit_code == 4
    assert "standard input" in asked.output
    assert "-i" in asked.output
    assert "Traceback" not in asked.output


@pytest.fixture
def host(tmp_path: Path) -> Iterator[list[str]]:
    """A real sshd on a port of loopback, with keys of its own; give the words that reach it."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not sshd or not shutil.which("ssh"):
        pytest.skip("needs openssh's server and client")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # its service would make it
    for name in ("host", "mine"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(command, check=True)
    shutil.copy(tmp_path / "mine.pub", tmp_path / "authorized")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": tmp_path / "host", "UsePAM": "no",
        "AuthorizedKeysFile": tmp_path / "authorized", "PidFile": "none", "StrictModes": "no",
        "PasswordAuthentication": "no", "PermitRootLogin": "yes",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", "/dev/null", *words], stderr=log)
    known = ["-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-o", "StrictHostKeyChecking=no"]
    key = ["-i", str(tmp_path / "mine"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
    reach = ["ssh", "-F", "none", *known, *key, "-p", str(port), f"{getpass.getuser()}@127.0.0.1"]
    try:
        answers = [*reach, "true"]
        assert wait_until(
            lambda: subprocess.run(answers, capture_output=True).returncode == 0, 15
        ), (tmp_path / "log").read_text()
        yield reach
    finally:
        server.terminate()
        server.wait()


@pytest.mark.ssh
def test_over_a_real_ssh(
    host: list[str], tmp_path: Path, database: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remote shell takes the words apart again: a folder's name with blanks has to survive."""
    away = tmp_path / "the wallet's server"
    shutil.copytree(PLAIN, away / "app")
    (away / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (away / "python").chmod(0o755)
    monkeypatch.setenv("STAGING_DATABASE_URL", database.text)
    config = configure(tmp_path, host, str(away / "python"), str(away / "app"), database)
    go_through(config, database)


@pytest.mark.ssh
def test_a_key_that_is_not_welcome_is_said(
    host: list[str], tmp_path: Path, database: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "authorized").write_text("")
    monkeypatch.setenv("STAGING_DATABASE_URL", database.text)
    config = configure(tmp_path, host, sys.executable, str(PLAIN), database)
    asked = CliRunner().invoke(main, ["--config", str(config), "doctor", "-e", "staging"])
    assert asked.exit_code == 4
    assert "Permission denied (publickey" in asked.output
    assert "Traceback" not in asked.output


@pytest.mark.ssh
def test_killing_the_caller_ends_the_agent_over_there(
    host: list[str], tmp_path: Path, database: Dsn
) -> None:
    """Its standard input closes, and it is not left to run on unseen."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho $$ > {tmp_path}/pid\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    settings = ProjectSettings(root=str(PLAIN), exec=tuple(host), python=str(python))
    Project(settings, tmp_path).upgrade(database)
    (tmp_path / "pid").unlink()
    holder = postgres.connect(database, read_only=False, autocommit=False)
    holder.cursor().execute("LOCK TABLE users")
    script = (
        "import sys; from pathlib import Path; from runbook_lib.project import Project\n"
        "from runbook_lib.config import ProjectSettings; from runbook_lib.dsn import Dsn\n"
        "url, root, python, *words = sys.argv[1:]\n"
        "s = ProjectSettings(root=root, exec=tuple(words), python=python)\n"
        "Project(s, Path('.')).downgrade(Dsn.parse(url), 'aaa1')\n"
    )
    words = [database.text, str(PLAIN), str(python), *host]
    caller = subprocess.Popen([sys.executable, "-c", script, *words])
    try:
        assert wait_until(lambda: (tmp_path / "pid").exists() and waits_for_lock(database))
    finally:
        caller.kill()
        caller.wait()
    agent = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not Path(f"/proc/{agent}").exists())
    holder.close()


def waits_for_lock(database: Dsn) -> bool:
    asked = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
    connection = postgres.connect(database)
    try:
        return bool(postgres.fetch(connection, asked)[0][0])
    finally:
        connection.close()
