"""Ordinary: passwords that are words of the runbook's own texts or of the project's revisions.

Such a word, a table's name for instance, stands in any report, and to find it there says nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path

from runbook_lib.evidence import PHASES
from runbook_lib.handler import notebook_path

LONGEST = 15  # letters; no table is likely to have a longer password's name
_WORDS = re.compile(r"[A-Za-z]+(?:[._-][A-Za-z]+)*")
_PASSED = ("node_modules", "site-packages", "__pycache__", "venv", "env")


def ordinary(secrets: Collection[str], folder: Path) -> tuple[str, ...]:
    """Return those of ``secrets`` that stand as a word in a text; ``folder`` is the project's."""
    words = {s for s in secrets if len(s) <= LONGEST and _WORDS.fullmatch(s)}
    return _found(frozenset(words), folder) if words else ()


@lru_cache(maxsize=16)
def _found(words: frozenset[str], folder: Path) -> tuple[str, ...]:
    left = set(words)
    for text in _texts(folder):
        low = text.casefold()
        left -= {word for word in left if _stands_in(word.casefold(), low)}
        if not left:
            break
    return tuple(sorted(words - left))


def _stands_in(word: str, text: str) -> bool:
    """Say whether each part of a word is in a text: a schema may stand apart from its table."""
    return all(part in text for part in re.split(r"[._-]", word))


def _texts(folder: Path) -> Iterator[str]:
    for file in resources.files("runbook_lib").iterdir():
        if file.name.endswith(".py"):
            yield file.read_text("utf-8")
    yield from (notebook_path(phase).read_text("utf-8") for phase in PHASES)
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _PASSED and name[0] != "."]
        for path in (Path(place, name) for name in names if name.endswith(".py")):
            try:
                text = path.read_text("utf-8", errors="replace")
            except OSError:
                continue
            if "down_revision" in text:
                yield text
