"""Views: a text as it stands, and as it reads behind colours, markup, escapes and broken lines."""

from __future__ import annotations

import base64
import binascii
import bz2
import contextlib
import gzip
import html
import lzma
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TAG = re.compile(r"<[^>]{0,400}>")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ENTITY = re.compile(r"&(?:#|\w{2,6};)")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_INLINE = re.compile(r";base64,([A-Za-z0-9+/=_-]{16,})")
_INVISIBLE = dict.fromkeys((0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))
_SEAMS = dict.fromkeys(map(ord, " \t\r\n\"'`,+\\"))  # between the parts of a text in pieces
_DEPTH = 3

_OPENERS: Mapping[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def decoded(text: str) -> Iterator[str]:
    """Yield the text, and what it reads as without colours, markup and escapes.

    Layer by layer: what is an escape within a secret must not be undone with what is around it.
    """
    yield text
    seen = text
    for _ in range(_DEPTH):
        before = seen
        for layer in _LAYERS:
            plain = layer(seen)
            if plain != seen:
                yield (seen := plain)
        if seen == before:
            break
    for found in _INLINE.findall(text):
        yield from decoded(_unpacked(found))


def _without_colours(text: str) -> str:
    return ANSI.sub("", text) if "\x1b" in text else text


def _without_tags(text: str) -> str:
    return _TAG.sub("", text) if "<" in text else text


def _without_entities(text: str) -> str:
    return html.unescape(text) if "&" in text and _ENTITY.search(text) else text


def _without_percents(text: str) -> str:
    return unquote(text, errors="replace") if "%" in text and _PERCENT.search(text) else text


def _without_escapes(text: str) -> str:
    """UTF-16 leaves a NUL after each letter, which is dropped."""
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
    return plain.replace("\0", "")


_LAYERS = (
    _without_colours,
    _without_tags,
    _without_entities,
    _without_percents,
    _without_escapes,
)


def _unpacked(encoded: str) -> str:
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        return ""
    return data.decode(errors="replace")


def joined(text: str) -> str:
    """Return the text with its lines joined and without backslashes and invisible characters."""
    whole = "".join(map(str.strip, text.split("\n"))).replace("\\", "")
    return whole if whole.isascii() else whole.translate(_INVISIBLE)


def unbroken(text: str) -> str:
    """Return the text as it is put together from items of a list or adjacent string literals."""
    return text.translate(_SEAMS)


def opened(path: Path) -> Iterator[IO[bytes]]:
    """Yield streams of a file's content: a compressed one is read through, a zip's members too.

    A tar holds its members as they are. A member that cannot be read, such as one with a
    password, is passed over.
    """
    with path.open("rb") as stream:
        head = stream.read(6)
    if head.startswith(b"PK"):
        yield from _members(path)
    opener = next((o for magic, o in _OPENERS.items() if head.startswith(magic)), open)
    with opener(path, "rb") as stream:
        yield cast(IO[bytes], stream)


def _members(path: Path) -> Iterator[IO[bytes]]:
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with (
                contextlib.suppress(zipfile.BadZipFile, NotImplementedError, RuntimeError),
                archive.open(member) as stream,
            ):
                yield stream
