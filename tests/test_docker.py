"""The project in a real container: ``docker exec`` against a daemon of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbook_lib import postgres
from runbook_lib.config import ProjectSettings
from runbook_lib.dsn import Dsn
from runbook_lib.errors import UnreachableError
from runbook_lib.project import Project

pytestmark = pytest.mark.docker

PROJECTS = Path(__file__).parent / "projects"
CONTAINER = "wallet"


def docker(*args: str, **keywords: object) -> str:
    done = subprocess.run(["docker", *args], capture_output=True, check=True, **keywords)  # type: ignore[call-overload]
    return str(done.stdout.decode()).strip()


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds()


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    """Start a daemon that needs neither a network nor a file system of its own."""
    if not shutil.which("dockerd") or not shutil.which("docker") or os.geteuid() != 0:
        pytest.skip("needs dockerd, docker and root")
    folder = Path(tempfile.mkdtemp(prefix="runbook-docker-"))
    address = f"unix://{folder}/docker.sock"
    options = ["--storage-driver=vfs", "--iptables=false", "--bridge=none", "-H", address]
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["dockerd", *options, *places], stdout=log, stderr=log)
    try:
        ready = ["docker", "-H", address, "version"]
        if not wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0):
            pytest.skip("dockerd does not start here: " + (folder / "log").read_text()[-300:])
        yield address
    finally:
        process.terminate()
        process.wait()
        for place in folder.glob("exec/netns/*"):  # dockerd leaves them mounted
            subprocess.run(["umount", str(place)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def container(daemon: str, repository_root: Path) -> Iterator[str]:
    """A container with this machine's programs, and the project copied into its /srv/app."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as empty:
        patch.setenv("DOCKER_HOST", daemon)
        for name in ("etc", "srv", "tmp", "proc"):
            (Path(empty) / name).mkdir()
        shutil.copy("/etc/passwd", f"{empty}/etc/passwd")
        archive = subprocess.run(["tar", "-C", empty, "-c", "."], capture_output=True, check=True)
        docker("import", "-", "base", input=archive.stdout)
        shared = {"/usr", "/bin", "/lib", "/lib64", sys.base_prefix, sys.prefix}
        mounts = [f"-v={path}:{path}:ro" for path in sorted(shared) if Path(path).exists()]
        temporary = f"-v={tempfile.gettempdir()}:{tempfile.gettempdir()}"  # the server's socket
        options = ["--name", CONTAINER, "--network=host", *mounts, temporary]
        docker("run", "-d", *options, "base", "sleep", "600")
        docker("cp", str(PROJECTS / "plain"), f"{CONTAINER}:/srv/app")
        yield CONTAINER
        docker("rm", "-f", CONTAINER)


@pytest.fixture(scope="module")
def repository_root() -> Path:
    return Path(__file__).parent.parent


@pytest.fixture
def contained(container: str, tmp_path: Path) -> Project:
    settings = ProjectSettings(
        root="/srv/app", exec=("docker", "exec", "-i", container), python=sys.executable
    )
    return Project(settings, tmp_path)


def test_the_whole_way_through_docker_exec(contained: Project, database: Dsn) -> None:
    tree = contained.collect()
    assert len(tree.files) == 5
    run = contained.run_replay(database)
    assert run.rows == ("eee5",)
    assert [item.status for item in run.revisions] == ["replayed"] * 5
    assert contained.state(database)["current"] == "eee5 (head)"
    assert [item.revision_id for item in contained.downgrade(database, "ddd4")] == ["eee5"]
    code, output = contained.run(["sh", "-c", "pwd; ls"], database)
    assert (code, output.split()) == (0, ["/srv/app", "alembic.ini", "migrations"])


def test_the_project_in_the_container_is_not_touched(contained: Project, database: Dsn) -> None:
    listing = ("exec", CONTAINER, "find", "/srv/app", "-type", "f", "-printf", "%p %s %T@\n")
    before = docker(*listing)
    contained.run_replay(database)
    assert docker(*listing) == before


def agents() -> str:
    """Return the command lines in the container that are the agent's (and not this question's)."""
    return docker(
        "exec", CONTAINER, "sh", "-c", "grep -al '[r]unbook-agent' /proc/[0-9]*/cmdline||:"
    )


def test_killing_the_client_ends_the_agent_in_the_container(
    contained: Project, database: Dsn
) -> None:
    argv = [*contained._argv()]
    contained.upgrade(database)
    holder = postgres.connect(database, read_only=False, autocommit=False)
    holder.cursor().execute("LOCK TABLE users")
    script = (
        "import sys; from pathlib import Path; from runbook_lib.project import Project\n"
        "from runbook_lib.config import ProjectSettings; from runbook_lib.dsn import Dsn\n"
        "s = ProjectSettings(root='/srv/app', exec=tuple(sys.argv[2:6]), python=sys.argv[6])\n"
        "Project(s, Path('.')).downgrade(Dsn.parse(sys.argv[1]), 'aaa1')\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", script, database.text, *argv[:5]])
    try:
        assert wait_until(lambda: agents() != "")
    finally:
        caller.kill()
        caller.wait()
    assert wait_until(lambda: agents() == "")
    holder.close()


def test_a_container_that_is_not_there_is_unreachable(container: str, tmp_path: Path) -> None:
    settings = ProjectSettings(exec=("docker", "exec", "-i", "no-such-container"))
    with pytest.raises(UnreachableError, match="no-such-container"):
        Project(settings, tmp_path).collect()
