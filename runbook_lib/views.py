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
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TAG = re.compile(r"<[^>]{0,400}>")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ENTITY = re.compile(r"&(?:#|\w{2,6};)")
_ESCAPE = re.compile(
    r"\\+(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|[ux]\{([0-9a-fA-F]{1,6})\})"
)
_OCTAL = re.compile(r"\\+([0-3][0-7]{2})")
_UNICODE = re.compile(r"\\(?:\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4}))")  # within U&'…' of SQL
_CHR = re.compile(r"(?:\b[cC][hH][rR]\(\s*(\d{1,7})\s*\)\s*(?:\|\||[+,.])?\s*)")
_MAIL = re.compile(r"=(?:([0-9A-F]{2})|\r?\n)")  # quoted-printable
_INLINE = re.compile(r";base64,([A-Za-z0-9+/=_-]{16,})")
_PACKED = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/]{20,}={0,2}(?![A-Za-z0-9+/_-])")
_LINES = re.compile(r"(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]{60,76}\r?\n)+[A-Za-z0-9+/]*={0,2}")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:\\?x)?((?:[0-9a-fA-F]{2}){16,})(?![0-9A-Za-z])")
_PLAIN = re.compile(rb"[\t\n\r\x20-\x7e]+")
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"%PDF")
_MOST = 1 << 20  # what a compressed text within a text may become
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
_SEAMS = b" \t\r\n\"'`,+\\|>#-."  # between the parts of a text in pieces
_DEPTH = 3

_OPENERS: Mapping[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def decoded(text: str, depth: int = _DEPTH) -> Iterator[str]:
    """Yield the text, and what it reads as without colours, markup and escapes.

    Layer by layer: what is an escape within a secret must not be undone with what is around it.
    What is packed in the text, as base64 or hexadecimal digits, is looked into likewise.
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
    yield from _otherwise(seen)
    if depth:
        for inner in _packed(text if seen == text else f"{text}\n{seen}"):
            yield from decoded(inner, depth - 1)


def _otherwise(text: str) -> Iterator[str]:
    """What a text reads as in notations whose marks may also stand there by chance."""
    for mark, pattern, base in _NOTATIONS:
        if mark in text or mark.lower() in text:
            plain = pattern.sub(lambda found, base=base: _letter(found, base), text)  # type: ignore[misc]
            if plain != text:
                yield plain


_NOTATIONS = (
    ("\\", _OCTAL, 8),
    ("U&", _UNICODE, 16),
    ("=", _MAIL, 16),
    ("CHR(", _CHR, 10),
)


def _letter(found: re.Match[str], base: int) -> str:
    number = int(next(filter(None, found.groups()), "") or "0", base)
    return chr(number) if 0 < number < 0x110000 else ""


def _packed(text: str) -> Iterator[str]:
    """Yield every text that is packed in another: whole words of base64 or hexadecimal digits."""
    lines = [re.sub(r"\s", "", found) for found in _LINES.findall(text)]
    for found in {*_INLINE.findall(text), *_PACKED.findall(text), *lines}:
        yield from _unpacked(found)
    for found in {*_HEX.findall(text)}:
        yield from _readable(bytes.fromhex(found))


def _readable(data: bytes) -> Iterator[str]:
    """Yield the data where it is text, or a text that was compressed."""
    if data[:2] == b"\x1f\x8b" or data[:1] == b"\x78":
        with contextlib.suppress(zlib.error):
            data = zlib.decompressobj(47).decompress(data, _MOST)
    if _PLAIN.fullmatch(data) or b"<svg" in data:
        yield data.decode(errors="replace")
    elif data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[1:2] == b"\0":
        yield data.replace(b"\0", b"").decode(errors="replace")
    elif data.startswith(_PICTURES):
        yield from _beside_the_picture(data)


def _beside_the_picture(data: bytes) -> Iterator[str]:
    """Yield what stands in a picture's file beside its points: comments, tags, tools' notes."""
    if not data.startswith(b"\x89PNG"):
        yield data.replace(b"\0", b"").decode("latin-1")
        return
    place = 8
    while kind := data[place + 4 : place + 8]:
        size = int.from_bytes(data[place : place + 4])
        body = data[place + 8 : place + 8 + size]
        place += size + 12
        if kind in (b"tEXt", b"iTXt", b"zTXt", b"eXIf"):
            yield body.replace(b"\0", b"").decode("latin-1")
            with contextlib.suppress(zlib.error):
                packed = body.partition(b"\0")[2]
                start = packed.find(b"\x78")
                yield zlib.decompressobj().decompress(packed[start:], _MOST).decode("latin-1")


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
    plain = _ESCAPE.sub(lambda found: _letter(found, 16), text)
    return plain.replace("\0", "")


_LAYERS = (
    _without_colours,
    _without_tags,
    _without_entities,
    _without_percents,
    _without_escapes,
)


def _unpacked(encoded: str) -> Iterator[str]:
    with contextlib.suppress(binascii.Error):
        padded = encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4)
        yield from _readable(base64.b64decode(padded, altchars=None, validate=True))


def joined(text: str) -> str:
    """Return the text with its lines joined and without backslashes and invisible characters."""
    whole = "".join(map(str.strip, text.split("\n"))).replace("\\", "")
    if not whole.isascii():
        for letter in _INVISIBLE:  # far faster than translate()
            whole = whole.replace(letter, "")
    return whole


def unbroken(text: str) -> str:
    """Return the text as it is put together from items of a list or adjacent string literals."""
    raw = text.encode(errors="surrogatepass").translate(None, _SEAMS)  # far faster than of a text
    return raw.decode(errors="surrogatepass")


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
