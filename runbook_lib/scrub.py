"""Scrub: keep secrets and this machine's absolute paths out of what is archived."""

from __future__ import annotations

import contextlib
import functools
import html
import json
import lzma
import os
import pwd
import re
import sys
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from runbook_lib import passfile, views
from runbook_lib.config import Environment, load_environment
from runbook_lib.dsn import (
    Dsn,
    folded_forms,
    halves,
    is_weak,
    mask,
    mask_parts,
    secret_forms,
    solid_forms,
)
from runbook_lib.errors import ConfigurationError, RunbookError
from runbook_lib.ordinary import ordinary

# From the beginning of a word only: within a picture's base64 every place would be tried else.
_CELL_FILE = re.compile(r"(?<![\w/.<>+-])[\w/.<>+-]*/ipykernel_\d+/\d+\.py")
_HOME = re.compile(r"(?<![\w.\-])/(?:home|Users)/(?!<)[\w.\-]+")
_SECRET_NAME = re.compile(r"PASSW|SECRET|TOKEN|API_?KEY|CREDENTIAL", re.IGNORECASE)
_MARKUP = frozenset(("text/html", "text/markdown", "image/svg+xml"))
_CHUNK = 1 << 20
_UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """What has to be masked: ``forms`` of secrets, and ``places`` as (path, placeholder) pairs.

    Both are in the order in which they are tried, the longest first. ``solid`` are those forms
    that no ordinary text has, so that they are looked for across broken lines too, and ``pieces``
    those that are long enough to be put together from items and adjacent strings; ``folded`` are
    the secrets that are looked for in capital and small letters alike; ``halves`` are parts of long
    secrets; ``weak`` says that there is a secret which is looked for only where it is shown as one.
    """

    forms: tuple[str, ...] = field(default=(), repr=False)
    solid: tuple[str, ...] = field(default=(), repr=False)
    pieces: tuple[str, ...] = field(default=(), repr=False)
    folded: tuple[str, ...] = field(default=(), repr=False)
    halves: tuple[str, ...] = field(default=(), repr=False)
    weak: bool = False
    places: tuple[tuple[str, str], ...] = ()

    def clean(self, text: str, *, markup: bool = False) -> str:
        """Return ``text`` with secrets masked and paths replaced by placeholders.

        In ``markup`` the placeholders are escaped: ``<project>`` would be taken for a tag. The
        same text comes by at every save of a notebook, so the answers are remembered.
        """
        return _clean(self, text, markup)

    def _clean(self, text: str, markup: bool) -> str:
        if "\x1b" in text and self.leaks(text):
            text = views.ANSI.sub("", text)
        names = dict(self.places)

        def placeholder(found: re.Match[str]) -> str:
            name = names.get(found[0], "<cell>")
            return html.escape(name) if markup else name

        text = _CELL_FILE.sub(placeholder, self._masked(text))
        if any(path in text for path, _ in self.places):
            text = _path_pattern(self.places).sub(placeholder, text)
        return _HOME.sub(html.escape("<home>") if markup else "<home>", text)

    def _masked(self, text: str) -> str:
        text = mask(text, self.forms)
        return mask_parts(text, self.halves) if any(part in text for part in self.halves) else text

    def clean_data(self, value: Any, *, markup: bool = False) -> Any:
        """Return nested mappings and sequences of JSON data with every text cleaned."""
        if isinstance(value, str):
            return self.clean(value, markup=markup)
        if isinstance(value, dict):
            cleaned = {
                key: self.clean_data(item, markup=markup or key in _MARKUP)
                for key, item in value.items()
            }
            return type(value)(cleaned)
        if isinstance(value, (list, tuple)):
            return [self.clean_data(item, markup=markup) for item in value]
        return value

    def leaks(self, text: str) -> bool:
        """Say whether a form of a secret is in ``text``, also behind colours and markup."""
        if not self.forms:
            return False
        for view in views.decoded(text):
            if any(form in view for form in (*self.forms, *self.halves)):
                return True
            low = view.casefold() if self.folded else ""
            if any(form in low for form in self.folded):
                return True
            whole = views.joined(view) if self.solid else ""
            if any(form in whole for form in self.solid):
                return True
            whole = views.unbroken(whole) if self.pieces else ""
            if any(form in whole for form in self.pieces):
                return True
        return False

    def paths(self, text: str) -> tuple[str, ...]:
        """Return the placeholders of the machine's paths that are in ``text``, sorted."""
        if not self.places:
            return ()
        names = dict(self.places)
        return tuple(sorted({names[found] for found in _path_pattern(self.places).findall(text)}))


@functools.lru_cache(maxsize=4096)
def _clean(scrub: Scrub, text: str, markup: bool) -> str:
    return scrub._clean(text, markup)


@functools.lru_cache(maxsize=32)
def _path_pattern(places: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    """A path at the beginning of a word, or behind a colour: a traceback has ESC[32m/path."""
    paths = "|".join(re.escape(path) for path, _ in places)
    return re.compile(rf"(?:(?<![\w.\-])|(?<=[0-9]m))(?:{paths})(?![\w\-])")


def scrub_for(environment: Environment) -> Scrub:
    """Build the Scrub of one environment; an address that cannot be resolved adds no secret."""
    try:
        dsn: Dsn | None = environment.dsn()
    except ConfigurationError:
        dsn = None
    names = (dsn.user, dsn.database, dsn.host, environment.name) if dsn else (environment.name,)
    own = [*_dsn_secrets(dsn), *_settings_secrets(environment)] if dsn else []
    named = tuple(_named_secrets())
    words = ordinary([*own, *named], environment.project_root)
    places = (
        (environment.project_root, "<project>"),
        (environment.folder, "<project>"),
        (environment.outputs, "<outputs>"),
        (environment.state_folder, "<state>"),
    )
    return _build([*own, *_variable_secrets()], (*names, *words), places, named)


def scrub_for_parameters(parameters: Mapping[str, Any]) -> Scrub:
    """Build a Scrub from a notebook's parameters: of its environment, where it can be read."""
    try:
        name, config = str(parameters.get("environment", "")), str(parameters.get("config", ""))
        return scrub_for(load_environment(name, config))
    except RunbookError:
        places = ((Path.cwd(), "<project>"),)
        return _build(list(_variable_secrets()), (), places, tuple(_named_secrets()))


def _build(
    secrets: Iterable[str],
    names: Iterable[str],
    places: Iterable[tuple[Path, str]],
    named: Iterable[str] = (),
) -> Scrub:
    """``named`` are secrets by their variable's name only: no fragment of those is looked for."""
    known = tuple(names)
    given = _composed(secrets)
    others = {secret for secret in _composed(named) - given if not is_weak(secret, known)}
    forms = {form for secret in given for form in secret_forms(secret, known)}
    forms |= {form for secret in others for form in secret_forms(secret, known, fragments=False)}
    every = given | others
    solid = {views.joined(form) for secret in every for form in solid_forms(secret, known)}
    pieces = {piece for form in solid if len(piece := views.unbroken(form)) >= 10}
    return Scrub(
        folded=tuple(sorted({form for secret in every for form in folded_forms(secret, known)})),
        halves=tuple(sorted({half for secret in every for half in halves(secret, known)})),
        pieces=tuple(sorted(pieces)),
        forms=tuple(sorted(forms, key=lambda form: (-len(form), form))),
        solid=tuple(sorted(solid)),
        weak=any(is_weak(secret, known) for secret in given),
        places=_places((*places, *_machine_places())),
    )


def _composed(secrets: Iterable[str]) -> set[str]:
    """Letters with marks may be one character or two."""
    return {unicodedata.normalize(way, s) for s in secrets if s for way in ("NFC", "NFD")}


def _dsn_secrets(dsn: Dsn | None) -> Iterator[str]:
    if dsn is not None:
        yield dsn.password
        yield from (value for key, value in dsn.options.items() if _SECRET_NAME.search(key))
        yield from passfile.passwords(dsn)


def _settings_secrets(environment: Environment) -> Iterator[str]:
    """Values of ``[project.env]`` that are named as secrets, and the alert's address."""
    for key, value in environment.project.env.items():
        if _SECRET_NAME.search(key) and "{" not in value:
            yield value
    if environment.alerts.webhook_env:
        yield os.environ.get(environment.alerts.webhook_env, "")


def _variable_secrets() -> Iterator[str]:
    """Passwords of every PostgreSQL address among the environment variables, and PGPASSWORD."""
    yield os.environ.get("PGPASSWORD", "")
    for value in os.environ.values():
        if value.startswith(("postgres://", "postgresql://", "postgresql+")):
            try:
                yield Dsn.parse(value).password
            except ConfigurationError:
                continue


def _named_secrets() -> Iterator[str]:
    """Values of variables that are named as secrets, where they are no path, address or switch."""
    for key, value in os.environ.items():
        if _SECRET_NAME.search(key) and "://" not in value and not os.path.exists(value):
            yield value


def _machine_places() -> Iterator[tuple[Path, str]]:
    yield Path(__file__).resolve().parent.parent, "<runbook>"
    yield Path(sys.prefix), "<python>"
    yield Path(sys.base_prefix), "<python>"
    yield Path(sys.executable).parent.parent, "<python>"
    yield Path(tempfile.gettempdir()), "<tmp>"
    yield Path.home(), "<home>"
    with contextlib.suppress(KeyError):
        yield Path(pwd.getpwuid(os.getuid()).pw_dir), "<home>"


def _places(pairs: Iterable[tuple[Path, str]]) -> tuple[tuple[str, str], ...]:
    """Every spelling of each path, the longest first; the first placeholder of a path counts.

    The root folder and system prefixes such as /usr say nothing of the machine and are left.
    """
    found: dict[str, str] = {}
    for path, placeholder in pairs:
        for spelling in (str(path), str(path.resolve())):
            if spelling not in ("/", "/usr", "/usr/local", "."):
                found.setdefault(spelling, placeholder)
                found.setdefault(quote(spelling, safe=""), placeholder)
    return tuple(sorted(found.items(), key=lambda item: (-len(item[0]), item[0])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Where a secret stands: the file, and the index of the notebook's cell (or None)."""

    file: str
    cell: int | None = None

    def __str__(self) -> str:
        return self.file if self.cell is None else f"{self.file}, cell {self.cell}"


def find_leaks(folder: Path, files: Iterable[str], scrub: Scrub) -> tuple[Leak, ...]:
    """Search files (relative to ``folder``) and their names for secrets.

    Compressed files are read through; dumps in custom format hold the data and are left out.
    """
    if not scrub.forms:
        return ()
    return tuple(leak for name in files for leak in _leaks_of(folder / name, name, scrub))


def _leaks_of(path: Path, name: str, scrub: Scrub) -> Iterator[Leak]:
    shown = scrub.clean(name)
    if scrub.leaks(name):
        yield Leak(file=f"the name of {shown if not scrub.leaks(shown) else 'a file'}")
    if _is_dump(path):
        return
    if name.endswith(".ipynb"):
        yield from _notebook_leaks(path, shown, scrub)
    elif any(scrub.leaks(piece) for piece in _pieces(path, 4 * len(scrub.forms[0]) + 400)):
        yield Leak(file=shown)


def _notebook_leaks(path: Path, name: str, scrub: Scrub) -> Iterator[Leak]:
    try:
        notebook = json.loads(path.read_text(errors="replace"))
        cells = notebook.pop("cells", [])
    except (ValueError, AttributeError):
        notebook, cells = path.read_text(errors="replace"), []
    for index, cell in enumerate(cells):
        if any(scrub.leaks(text) for text in _texts(cell)):
            yield Leak(file=name, cell=index)
    if any(scrub.leaks(text) for text in _texts(notebook)):
        yield Leak(file=name)


def find_paths(path: Path, scrub: Scrub) -> tuple[str, ...]:
    """Return the placeholders of the machine's paths that a text file names, sorted."""
    text = path.read_text(errors="replace")
    try:
        texts: Iterable[str] = _texts(json.loads(text))
    except ValueError:
        texts = (text,)
    return tuple(sorted({name for item in texts for name in scrub.paths(item)}))


def _texts(value: Any) -> Iterator[str]:
    """Every text in JSON data; a list of lines also joined, as notebooks split their texts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in value.values() for text in _texts(item))
        yield from (str(key) for key in value)
    elif isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            yield "".join(value)
        else:
            yield from (text for item in value for text in _texts(item))


def _is_dump(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(5) == b"PGDMP"


def _pieces(path: Path, overlap: int) -> Iterator[str]:
    """The file's text in pieces that overlap, so that nothing hides at a border; UTF-16 too."""
    for stream in views.opened(path):
        rest = b""
        while chunk := _read(stream):
            rest = rest[-overlap:] + chunk
            yield rest.decode(errors="replace")
            if b"\0" in rest:
                yield rest.replace(b"\0", b"").decode(errors="replace")


def _read(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(_CHUNK)
    except _UNREADABLE:  # it only looked compressed, or is cut off
        return b""
