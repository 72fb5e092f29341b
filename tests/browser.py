"""A real Chromium for the tests with the marker ``browser``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

needs_chromium = pytest.mark.skipif(
    not CHROMIUM,
    reason="there is no Chromium here: apt-get install chromium, or set CHROMIUM to its path",
)


@contextmanager
def chromium(profile: Path, **options: Any) -> Iterator[Any]:
    """Yield a browser context of the system's Chromium with a fresh profile; nothing is shared."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=CHROMIUM, args=[*FLAGS], **options
        )
        try:
            yield context
        finally:
            context.close()
