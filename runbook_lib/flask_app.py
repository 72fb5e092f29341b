"""Flask's application, where ``env.py`` is Flask-Migrate's: told without importing it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

FOUND_BY_FLASK = ("wsgi.py", "app.py")
MODULES = ("__init__.py", "app.py", "wsgi.py", "main.py", "web.py", "factory.py", "application.py")
SETTINGS = (".flaskenv", ".env", ".env.example", ".env.sample", "example.env")
MAKES = re.compile(r"^(?:def (?:create|make)_app\(|app\w* *(?::.*)?= *(?:\w+\.)?Flask\()", re.M)
NAMED = re.compile(r"^\s*(?:export\s+)?FLASK_APP\s*=\s*[\"']?([\w.:/()]+)[\"']?\s*$", re.M)


def is_wanted(env_py: Path | None) -> bool:
    """True when ``env.py`` takes Flask's application context for granted."""
    return env_py is not None and "current_app" in _text(env_py)


def find(root: Path) -> tuple[str, Path | None]:
    """Return FLASK_APP, "" where flask finds the application by itself, and its file if known.

    As the project's own settings name it; else what flask looks for; else a module or a package
    that makes an application.
    """
    texts = [_text(root / name) for name in SETTINGS]
    named = next((found[1] for text in texts if (found := NAMED.search(text))), "")
    if named:
        return named, _file_of(root, named)
    plain = next((root / name for name in FOUND_BY_FLASK if (root / name).is_file()), None)
    if plain:
        return "", plain
    for path in _modules(root):
        if MAKES.search(_text(path)):
            inner = path.relative_to(root).with_suffix("")
            return ".".join(part for part in inner.parts if part != "__init__"), path
    return "", None


def _modules(root: Path) -> Iterator[Path]:
    yield from sorted(root.glob("*.py"))
    for name in MODULES:
        yield from sorted(root.glob(f"*/{name}"))


def _file_of(root: Path, named: str) -> Path | None:
    module = named.partition(":")[0].removesuffix(".py").replace(".", "/")
    places = (root / f"{module}.py", root / module / "__init__.py")
    return next((path for path in places if path.is_file()), None)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
