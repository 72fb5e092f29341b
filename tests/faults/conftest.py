"""One workshop per test worker; its templates serve every case."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.worlds import Workshop
from runbook_lib.postgres import EmbeddedServer


@pytest.fixture(scope="session")
def workshop(server: EmbeddedServer) -> Iterator[Workshop]:
    folder = Path(tempfile.mkdtemp(prefix="runbook-faults-"))
    yield Workshop(server, folder)
    shutil.rmtree(folder)
