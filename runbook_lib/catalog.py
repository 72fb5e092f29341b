"""Catalog: the schema of one database as one immutable value, and the difference of two.

A catalog maps an object's key to its aspects. The key is ``kind:name`` with the name always
qualified by its schema, for example ``table:public.users``, ``column:public.users.email``,
``constraint:public.users.users_pkey``, ``index:public.ix_users_email``, ``label:public.mood.happy``
(one value of an enum). Aspects are short texts by name, such as ``{"type": "character
varying(50)", "nullable": "no"}``; an aspect that does not apply is left out. That a key is there
means that the object exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from runbook_lib.artifacts import Artifact

Aspects = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog(Artifact):
    """``objects``: aspects by object key. Two catalogs are equal when their objects are."""

    objects: Mapping[str, Aspects]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange:
    """One object that differs: ``before`` is None when it was added, ``after`` when removed."""

    object: str
    before: Aspects | None
    after: Aspects | None

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"
