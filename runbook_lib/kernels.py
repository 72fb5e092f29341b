"""Kernels: start one ahead of its notebook, signal it, and end it with all that it started."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from runbook_lib.errors import ConfigurationError

PREFIX, OWNER, SAID = "runbook-kernel-", "owner", "said"


def signal_kernel(km: Any, number: int) -> None:
    """Signal the kernel and the programs that it started: they share a process group."""
    process = getattr(km.provisioner, "process", None)
    if process is not None and process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(os.getpgid(process.pid), number)


def end_kernel(km: Any) -> None:
    """End a kernel for good, with what it started, and remove its connection file."""
    process = getattr(km.provisioner, "process", None)
    try:
        signal_kernel(km, signal.SIGKILL)
        if process is not None:  # Jupyter's own wait looks every tenth of a second only
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
        with contextlib.suppress(RuntimeError):
            run_sync(km.shutdown_kernel)(now=True)
        run_sync(km.cleanup_resources)()
    finally:
        lock = vars(km).pop("runbook_lock", None)
        if lock is not None:
            os.close(lock)
        if km.transport == "ipc" and Path(km.ip).parent.name.startswith(PREFIX):
            shutil.rmtree(Path(km.ip).parent, ignore_errors=True)


def last_words(km: Any) -> str:
    """Return what a kernel that died wrote past its notebook: Python's fatal error, else a line."""
    try:
        text = (Path(km.ip).parent / SAID).read_bytes()[-65536:].decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("Fatal ")), lines[-1] if lines else "")


def lives(km: Any) -> bool:
    """Say whether a kernel that was started ahead is still there."""
    return bool(run_sync(km.is_alive)())


def sweep_kernels() -> None:
    """Remove the folders of kernels whose starter is dead: nobody holds their lock."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / OWNER).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _own_folder() -> tuple[Path, int]:
    """Make a folder that only this user can enter, and hold its lock for as long as we live."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(folder / f"{OWNER}.new", os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / f"{OWNER}.new").rename(folder / OWNER)
    return folder, lock


def start_kernel(
    kernel_name: str = "python3",
    modules: tuple[str, ...] = (),
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Any:
    """Start a kernel without waiting for it, and let it import ``modules`` meanwhile.

    Returns a kernel manager for ``execute_notebook(km=…)``. The kernel listens on Unix sockets in
    a folder that only this user can enter, and not on the network; what it writes past its notebook
    goes to a file there, and not between the lines of ours.
    """
    folder, lock = _own_folder()
    km = AsyncKernelManager(
        kernel_name=kernel_name,
        transport="ipc",
        ip=str(folder / "k"),
        connection_file=str(folder / "kernel.json"),
    )
    vars(km)["runbook_lock"] = lock  # held until end_kernel, or our death
    code = _IMPORTS.format(modules=modules).strip()
    options: dict[str, Any] = {"cwd": str(cwd)} if cwd else {}
    if env is not None:
        options["env"] = dict(env)
    arguments = [f"--IPKernelApp.exec_lines={code}"] if modules else []
    try:
        with (folder / SAID).open("wb") as said:
            options |= {"stdout": said, "stderr": said}
            run_sync(km.start_kernel)(extra_arguments=arguments, **options)
    except NoSuchKernel as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ConfigurationError(
            f"There is no Jupyter kernel {kernel_name!r}.",
            "Install one with: python -m ipykernel install --sys-prefix",
        ) from error
    return km


_IMPORTS = """
import contextlib as _c, importlib as _i
for _m in {modules!r}:
    with _c.suppress(ImportError):
        _i.import_module(_m)
del _c, _i, _m
"""
