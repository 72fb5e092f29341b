"""Artifacts: frozen dataclasses with a JSON round trip and a digest over their canonical JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self, TypeVar

import cattrs
from cattrs.preconf.json import make_converter

from runbook_lib.errors import ConfigurationError

T = TypeVar("T")

_converter = make_converter(forbid_extra_keys=False)


def to_json(value: Any) -> Any:
    """Return ``value`` (a dataclass, mapping or sequence) as plain JSON data."""
    return _converter.unstructure(value)


def from_json(cls: type[T], data: Any) -> T:
    """Build a ``cls`` from plain JSON data. Raises ConfigurationError when it does not fit."""
    try:
        return _converter.structure(data, cls)
    except (cattrs.BaseValidationError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"This is not a {cls.__name__}: {error}.",
            "The file was changed or written by another version; run the phase again.",
        ) from error


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of ``value``: sorted keys, no blanks, UTF-8."""
    return json.dumps(
        to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``value``, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Artifact:
    """Mixin for frozen dataclasses that are written to the run's folder."""

    __slots__ = ()

    def to_json(self) -> Any:
        return to_json(self)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        return from_json(cls, data)

    @property
    def digest(self) -> str:
        return digest(self)
