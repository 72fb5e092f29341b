"""Unread: where an id may be that no revision has, in files that are not read. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

ADVICE = (
    "If they belong to the history, set recursive_version_locations = true, or name their folders "
    "in version_locations, in the ini file."
)


def told(revision_id: str, unread: Mapping[str, str], nameless: Collection[str] = ()) -> str:
    """Say which file has the id, with a blank before it, or ""; ``unread`` are ids by file.

    ``nameless`` are files in the version locations of which not even the id can be read.
    """
    files = [file for file, name in unread.items() if name == revision_id]
    if files:
        return f" {files[0]} has it, but Alembic does not read that file."
    return f" It may be in {', '.join(sorted(nameless))}, which cannot be read." if nameless else ""


def advice(revision_id: str, unread: Mapping[str, str]) -> str:
    """Return what to do about a file that has the id, or ""."""
    return ADVICE if revision_id in unread.values() else ""
