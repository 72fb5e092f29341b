"""Patches: edits of the tree as before/after texts, as a unified diff, and written to disk."""

from __future__ import annotations

import difflib
import io
import os
import re
import tempfile
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from runbook_lib.artifacts import Artifact
from runbook_lib.errors import RunbookError, SafetyError
from runbook_lib.graph import SourceTree

SET_ASIDE = "set aside for the replay"
NO_NEWLINE = "\\ No newline at end of file\n"
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEdit:
    """One file, relative to the project's root: ``before`` None adds it, ``after`` None removes."""

    path: str
    before: str | None
    after: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRepair(Artifact):
    """Edits that make a tree loadable (or clean), with the ids that they renamed (old to new).

    ``answers`` are the finding codes that the edits resolve; ``open`` are sentences on what no
    edit can resolve without a person; ``stands_in`` are missing ids that got a tombstone;
    ``mended`` are revisions that fail as their files are, with the error.
    """

    edits: tuple[FileEdit, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    stands_in: tuple[str, ...] = ()
    mended: Mapping[str, str] = field(default_factory=dict)


def apply_edits(tree: SourceTree, edits: Sequence[FileEdit]) -> SourceTree:
    """Return the tree with the edits made. Raises SafetyError when a ``before`` does not fit."""
    files = dict(tree.files)
    for edit in edits:
        if files.get(edit.path) != edit.before:
            raise SafetyError(
                f"{edit.path} is not what the edit expects ({edit.reason}).",
                "The tree has changed since the plan was made; run the audit again.",
            )
        if edit.after is None:
            del files[edit.path]
        else:
            files[edit.path] = edit.after
    return replace(tree, files=files)


def reverse(edits: Sequence[FileEdit]) -> tuple[FileEdit, ...]:
    """Return the edits that undo ``edits``."""
    return tuple(
        FileEdit(
            path=edit.path, before=edit.after, after=edit.before, reason=f"undo: {edit.reason}"
        )
        for edit in reversed(edits)
    )


def combine(*groups: Sequence[FileEdit]) -> tuple[FileEdit, ...]:
    """Return one edit a file for groups of edits that follow one another; no-ops fall away."""
    found: dict[str, FileEdit] = {}
    for edit in (edit for group in groups for edit in group):
        first = found.get(edit.path)
        if first is None:
            found[edit.path] = edit
        else:
            reason = "; ".join(dict.fromkeys((first.reason, edit.reason)))
            found[edit.path] = replace(first, after=edit.after, reason=reason)
    return tuple(edit for edit in found.values() if edit.before != edit.after)


def replay_only(edits: Iterable[FileEdit]) -> tuple[FileEdit, ...]:
    """Return the edits that only let the replay pass by an unloadable file."""
    return tuple(edit for edit in edits if SET_ASIDE in edit.reason)


# --- unified diff -------------------------------------------------------------------------


def patch(edits: Sequence[FileEdit]) -> str:
    """Return the edits as one patch for ``git apply``; "" when there are none.

    Edits that only serve the replay are left out.
    """
    single = combine(edits)
    kept = [edit for edit in single if edit not in replay_only(single)]
    return "".join(line for edit in kept for line in _file_patch(edit))


def _file_patch(edit: FileEdit) -> Iterator[str]:
    old, new = _quote(f"a/{edit.path}"), _quote(f"b/{edit.path}")
    yield f"diff --git {old} {new}\n"
    if edit.before is None:
        yield "new file mode 100644\n"
    if edit.after is None:
        yield "deleted file mode 100644\n"
    before, after = edit.before or "", edit.after or ""
    if not before and not after:
        yield "index 0000000..e69de29\n" if edit.before is None else "index e69de29..0000000\n"
        return
    # Names with a blank end in a tab, or git takes the blank for the name's end.
    yield f"--- {'/dev/null' if edit.before is None else _tabbed(old)}\n"
    yield f"+++ {'/dev/null' if edit.after is None else _tabbed(new)}\n"
    hunks = difflib.unified_diff(_lines(before), _lines(after), n=3)
    for line in list(hunks)[2:]:
        yield line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}"


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _tabbed(name: str) -> str:
    return f"{name}\t" if " " in name and not name.startswith('"') else name


def _quote(name: str) -> str:
    if name.isascii() and name.isprintable() and not set(name) & {'"', "\\"}:
        return name
    return f'"{"".join(_escape(sign) for sign in name)}"'


def _escape(sign: str) -> str:
    if sign in _ESCAPES:
        return _ESCAPES[sign]
    if sign.isascii() and sign.isprintable():
        return sign
    return "".join(f"\\{byte:03o}" for byte in sign.encode())


# --- on disk ------------------------------------------------------------------------------


def write(root: Path, edits: Sequence[FileEdit]) -> None:
    """Write the edits below ``root``: each file atomically, and all of them or none.

    A changed file keeps its encoding, byte order mark and mode. Raises SafetyError when a path
    leaves the root, a file is not what ``before`` says, or an edit only serves the replay; and
    RunbookError when the disk refuses: what was written before that is taken back.
    """
    single = combine(edits)
    _require_lasting(single)
    found = {edit.path: _require_unchanged(root, edit) for edit in single}
    contents = {edit.path: _encoded(edit, found[edit.path]) for edit in single}
    done: list[str] = []
    try:
        for path, content in contents.items():
            _put(root / path, content)
            done.append(path)
    except OSError as error:
        for path in reversed(done):
            _put(root / path, found[path])
        raise RunbookError(
            f"A file could not be written: {error.strerror}; nothing was changed.",
            "Check the permissions and the free space of the version locations.",
        ) from error


def _require_lasting(edits: Sequence[FileEdit]) -> None:
    for edit in replay_only(edits):
        raise SafetyError(
            f"{edit.path} was only {SET_ASIDE}.", "Mend the file that cannot be loaded instead."
        )


def _require_unchanged(root: Path, edit: FileEdit) -> bytes | None:
    """Return the file's bytes, None where there is none."""
    path, base = root / edit.path, root.resolve()
    inside = path.parent.resolve().is_relative_to(base)
    if not inside or PurePosixPath(edit.path).is_absolute() or re.match(r"\d+:", edit.path):
        raise SafetyError(
            f"{edit.path} lies outside the project.", "Apply the patch there by hand."
        )
    found = path.read_bytes() if path.is_file() else None
    if path.is_symlink() or (None if found is None else _decoded(found)) != edit.before:
        raise SafetyError(
            f"{edit.path} is not what the plan was made for.",
            "The file has changed since the audit; run the audit again. Nothing was written.",
        )
    return found


def _encoding(data: bytes) -> str:
    try:
        return tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    except SyntaxError:
        return "utf-8"


def _decoded(data: bytes) -> str | None:
    """Return a file's text as Python would read it, its newlines kept; None when it cannot."""
    try:
        return data.decode(_encoding(data))
    except (UnicodeDecodeError, LookupError):
        return None


def _encoded(edit: FileEdit, found: bytes | None) -> bytes | None:
    if edit.after is None:
        return None
    try:
        return edit.after.encode(_encoding(found or edit.after.encode()))
    except (UnicodeEncodeError, LookupError) as error:
        raise SafetyError(
            f"{edit.path} cannot hold the new text in its encoding.", "Convert it to UTF-8."
        ) from error


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
