"""Repairs: the smallest edits after which Alembic can load and run a tree.

The stages run in order on a draft. Where a stage could do one thing or another it asks the
draft to choose, so that the other choices can be had as alternatives.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from runbook_lib import cuts, source, surgery
from runbook_lib import graph as graphs
from runbook_lib.graph import Edge, Revision, RevisionGraph, SourceTree, reachable
from runbook_lib.patches import SET_ASIDE, FileEdit, TreeRepair
from runbook_lib.revisions import (
    REFUSED,
    SOURCELESS,
    UnloadableFile,
    bases,
    dangling,
    duplicates,
    parse_tree,
    self_references,
)

T = TypeVar("T")
OPTIONS = 6


@dataclass(slots=True, kw_only=True)
class Draft:
    """The tree while it is being repaired. ``decisions`` are indexes of the options to take."""

    tree: SourceTree
    decisions: Sequence[int] = ()
    options: list[int] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    answers: dict[str, None] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    stands_in: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.files = dict(self.tree.files)

    def graph(self) -> RevisionGraph:
        return parse_tree(replace(self.tree, files=self.files))

    def choose(self, options: Sequence[T]) -> T:
        number = len(self.options)
        self.options.append(min(len(options), OPTIONS))
        return options[self.decisions[number] if number < len(self.decisions) else 0]

    def put(self, path: str, text: str | None, reason: str) -> None:
        if text is None:
            del self.files[path]
        else:
            self.files[path] = text
        self.reasons.setdefault(path, []).append(reason)

    def bind(self, path: str, name: str, value: Sequence[str], reason: str) -> None:
        self.put(path, surgery.rebind(self.files[path], name, value), reason)

    def facts(self, path: str) -> source.Facts:
        return source.read(graphs.file_name(path), self.files[path])

    def created(self) -> dict[str, str]:
        """Return the Create Dates by id, where the docstrings have them."""
        facts = (self.facts(item.file) for item in self.graph().revisions)
        return {fact.revision_id: fact.created for fact in facts if fact.created}

    def repair(self) -> TreeRepair:
        return TreeRepair(
            edits=tuple(self._edit(path) for path in self.reasons if self._changed(path)),
            renamed=dict(self.renamed),
            answers=tuple(self.answers),
            open=tuple(self.open),
            stands_in=tuple(self.stands_in),
        )

    def _changed(self, path: str) -> bool:
        return self.files.get(path) != self.tree.files.get(path)

    def _edit(self, path: str) -> FileEdit:
        return FileEdit(
            path=path,
            before=self.tree.files.get(path),
            after=self.files.get(path),
            reason="; ".join(dict.fromkeys(self.reasons[path])),
        )


# --- files that cannot be loaded ----------------------------------------------------------


def set_aside(draft: Draft, failing: Mapping[str, str]) -> None:
    """Take unloadable files out and give their children their parents: for the replay only.

    ``failing`` are files that parse but cannot be imported, with the interpreter's error.
    """
    graph = draft.graph()
    broken = {item.file: item for item in graph.unloadable if item.error != SOURCELESS}
    for file, error in failing.items():
        if file in draft.files:
            broken.setdefault(file, UnloadableFile(file=file, line=0, error=error))
    loadable = [item for item in graph.revisions if item.file not in broken]
    good = {item.revision_id for item in loadable}
    gone = {
        item.revision_id: item.down_revisions
        for item in graph.revisions
        if item.file in broken and item.revision_id not in good
    }
    for item in loadable:
        _bypass(draft, item, gone)
    for file, why in broken.items():
        draft.put(file, None, f"{SET_ASIDE}: {why.error}")
        line = f"line {why.line}: " if why.line else ""
        draft.open.append(
            f"{file} cannot be loaded ({line}{why.error}) and is left out of the "
            "replay; mend the file, it must stay in the project."
        )


def _bypass(draft: Draft, item: Revision, gone: Mapping[str, tuple[str, ...]]) -> None:
    fact = draft.facts(item.file)
    for name, old in (("down_revision", fact.down_revisions), ("depends_on", fact.depends_on)):
        new = _around(old, gone)
        if new != old:
            draft.bind(item.file, name, new, f"{SET_ASIDE}: a parent cannot be loaded")


def _around(ids: Iterable[str], gone: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Replace ids that are gone by their parents, again and again; cycles end where they close."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = list(ids)
    while waiting:
        item = waiting.pop(0)
        if item not in gone:
            found[item] = None
        elif item not in seen:
            seen.add(item)
            waiting[:0] = gone[item]
    return tuple(found)


# --- two files with one id ----------------------------------------------------------------


def part_duplicates(draft: Draft, keep: Mapping[str, str]) -> None:
    """Leave each id to one file; an exact copy goes, any other file gets an id of its own."""
    for revision_id, files in duplicates(draft.graph()):
        left = _without_copies(draft, files, keep.get(revision_id, ""))
        kept = keep.get(revision_id, "")
        if kept not in left:
            kept = draft.choose(_by_sense(draft.graph(), revision_id, left))
        for file in left:
            if file != kept:
                _part(draft, revision_id, file, kept)
        draft.answers["duplicate-revision"] = None
    _part_labels(draft)


def _without_copies(draft: Draft, files: Sequence[str], kept: str) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for file in sorted(files, key=lambda file: file != kept):
        original = first.setdefault(draft.files[file], file)
        if original != file:
            draft.put(file, None, f"an exact copy of {original}")
    return tuple(file for file in files if file in draft.files)


def _by_sense(graph: RevisionGraph, revision_id: str, files: Sequence[str]) -> tuple[str, ...]:
    """Put files first whose parents do not descend from the id through the other files."""
    own = {item.file: item for item in graph.revisions if item.revision_id == revision_id}
    rest = tuple(item for item in graph.revisions if item.revision_id != revision_id)
    below = _descendants(rest, revision_id)
    return tuple(sorted(files, key=lambda file: bool(below & {*own[file].down_revisions})))


def _descendants(revisions: Iterable[Revision], revision_id: str) -> frozenset[str]:
    children: dict[str, list[str]] = {}
    for item in revisions:
        for parent in item.down_revisions:
            children.setdefault(parent, []).append(item.revision_id)
    edges = {item: tuple(children.get(item, ())) for item in _every(children)}
    return reachable(edges, (revision_id,))


def _every(children: Mapping[str, Sequence[str]]) -> Iterable[str]:
    return dict.fromkeys((*children, *(one for below in children.values() for one in below)))


def _part(draft: Draft, revision_id: str, file: str, kept: str) -> None:
    text = draft.files[file]
    new = f"{revision_id[:24]}_{hashlib.sha1(text.encode(errors='replace')).hexdigest()[:7]}"
    draft.bind(file, "revision", (new,), f"{revision_id} belongs to {kept}")
    draft.open.append(
        f"{file} and {kept} both declared {revision_id}; {kept} keeps it and {file} becomes {new}."
    )


def _part_labels(draft: Draft) -> None:
    graph = draft.graph()
    owner = {item.revision_id: item.file for item in graph.revisions}
    for item in graph.revisions:
        own = [one for one in item.branch_labels if owner.setdefault(one, item.file) == item.file]
        if len(own) < len(item.branch_labels):
            draft.bind(item.file, "branch_labels", own, "its branch label is taken")
            draft.answers["duplicate-revision"] = None


# --- edges that lead back -----------------------------------------------------------------


def end_self_references(draft: Draft) -> None:
    """Remove a revision's reference to itself; without another parent it gets a likely one."""
    for revision_id in self_references(draft.graph()):
        _cut(draft, (revision_id, revision_id))
        draft.answers["self-reference"] = None


def end_cycles(draft: Draft) -> None:
    """Cut cycles, one edge at a time, the likeliest wrong one first."""
    while groups := cuts.knots(draft.graph()):
        edges = cuts.candidates(draft.graph(), groups[0], draft.created())
        _cut(draft, draft.choose(edges))
        draft.answers["cycle"] = None


def _cut(draft: Draft, edge: Edge) -> None:
    child, parent = edge
    graph = draft.graph()
    labels = {label: item.revision_id for item in graph.revisions for label in item.branch_labels}
    for item in graph.revisions:
        if item.revision_id == child:
            fact = draft.facts(item.file)
            reason = f"{child} cannot follow {parent}, which follows it"
            if parent in fact.down_revisions:
                left = tuple(one for one in fact.down_revisions if one != parent)
                draft.bind(item.file, "down_revision", left, reason)
                _adopt(draft, item.file, left)
            depends = tuple(one for one in fact.depends_on if labels.get(one, one) != parent)
            if depends != fact.depends_on:
                draft.bind(item.file, "depends_on", depends, reason)


def _adopt(draft: Draft, file: str, left: Sequence[str]) -> None:
    """Give a revision that lost its last parent another, when the tree begins elsewhere."""
    graph, fact = draft.graph(), draft.facts(file)
    own = fact.revision_id
    if left or not set(bases(graph)) - {own}:
        return
    options = cuts.likeliest(cuts.free_heads(graph, (own,)), fact.created, draft.created())
    if options:
        parent = draft.choose((*options[: OPTIONS - 1], None))
        if parent is not None:
            draft.bind(file, "down_revision", (parent,), f"{own} follows {parent}")
            draft.open.append(f"The parent of {own} is taken to be {parent}: please confirm.")


# --- parents that are missing -------------------------------------------------------------


def complete_references(draft: Draft) -> None:
    """Write out parents that are abbreviated, a branch label, or differ by case and blanks."""
    graph = draft.graph()
    known = {item.revision_id: item.revision_id for item in graph.revisions}
    labels = {label: item.revision_id for item in graph.revisions for label in item.branch_labels}
    for child, parent in dangling(graph):
        meant = labels.get(parent) or _meant(parent, known)
        if meant and meant != child:
            _rewrite(draft, child, {parent: (meant,)}, f"{parent!r} means {meant}")
            draft.answers["dangling-parent"] = None
        elif not parent.strip():
            _rewrite(draft, child, {parent: ()}, "an empty text is not a parent")
            draft.answers["dangling-parent"] = None


def _meant(parent: str, known: Collection[str]) -> str:
    exact = [item for item in known if item.strip().lower() == parent.strip().lower()]
    # Alembic's command line takes abbreviations of four characters and more; its files do not.
    begun = [item for item in known if len(parent) > 3 and item.startswith(parent)]
    found = exact or begun
    return found[0] if len(found) == 1 else ""


def _rewrite(draft: Draft, child: str, new: Mapping[str, tuple[str, ...]], reason: str) -> None:
    for item in draft.graph().revisions:
        if item.revision_id != child:
            continue
        fact = draft.facts(item.file)
        for name, old in (("down_revision", fact.down_revisions), ("depends_on", fact.depends_on)):
            changed = tuple(dict.fromkeys(one for key in old for one in new.get(key, (key,))))
            if changed != old:
                draft.bind(item.file, name, changed, reason)


def stand_in(draft: Draft, rows: Collection[str]) -> None:
    """Put a tombstone where a parent is missing; a missing depends_on alone is dropped."""
    edges = dangling(draft.graph())
    down = {
        (item.revision_id, one) for item in draft.graph().revisions for one in item.down_revisions
    }
    for missing in dict.fromkeys(parent for _, parent in edges):
        children = [child for child, parent in edges if parent == missing]
        draft.answers["dangling-parent"] = None
        if missing in rows or any((child, missing) in down for child in children):
            _bury(draft, missing, children)
        else:
            for child in children:
                _rewrite(draft, child, {missing: ()}, f"{missing}, which it depends on, is missing")
            draft.open.append(
                f"{missing}, which {', '.join(children)} depended on, is missing from the tree: "
                "restore its file, or accept that the dependency is dropped."
            )


def _bury(draft: Draft, missing: str, children: Sequence[str]) -> None:
    graph = draft.graph()
    options = cuts.likeliest(
        cuts.free_heads(graph, children), _born(draft, children), draft.created()
    )
    beside = () if options else cuts.sibling_parents(graph, children)
    parent = draft.choose((*options[: OPTIONS - 2], *beside[:1], None))
    first = next(item for item in graph.revisions if item.revision_id in children)
    path = graphs.beside(first.file, f"{slug(missing)}_tombstone.py")
    text = surgery.revision_text(
        revision_id=missing,
        down_revisions=() if parent is None else (parent,),
        doc=f"Stand in for the revision {missing}, whose file is missing from the tree",
    )
    draft.put(path, text, f"{missing} is missing; {', '.join(children)} names it")
    draft.stands_in.append(missing)
    draft.open.append(
        f"The file of {missing} is missing: restore it from version control, or confirm the "
        f"tombstone. Its parent is taken to be {parent or 'none (a base)'}."
    )


def _born(draft: Draft, children: Sequence[str]) -> str:
    dates = draft.created()
    return min((dates[child] for child in children if child in dates), default="")


def slug(text: str) -> str:
    """Return ``text`` with nothing in it that a file name or Alembic's file rule would mind."""
    return re.sub(r"\W+", "_", text).strip("_").lower()[:60] or "revision"


# --- ids that cannot be recorded ----------------------------------------------------------


def shorten_ids(draft: Draft, rows: Collection[str], width: int) -> None:
    """Give ids that the version column or Alembic refuses a shorter or plainer one."""
    ids = [item.revision_id for item in draft.graph().revisions]
    long = {item for item in ids if len(item) > width and item not in rows}
    refused = {item for item in ids if set(item) & set(REFUSED)}
    renamed = {item: short_id(item, width) for item in ids if item in long | refused}
    if not renamed:
        return
    for item in draft.graph().revisions:
        _rename(draft, item, renamed)
    draft.renamed.update(renamed)
    draft.answers.update(dict.fromkeys(["long-revision-id"] if long else []))
    draft.answers.update(dict.fromkeys(["case-or-space-in-id"] if refused else []))


def short_id(revision_id: str, width: int = 32) -> str:
    """Return a readable id of at most ``width`` characters, always the same for the same id."""
    readable = re.sub(r"\W+", "_", revision_id)[: max(width - 7, 0)].rstrip("_")
    return f"{readable}_{hashlib.sha256(revision_id.encode()).hexdigest()[:6]}"[-width:]


def _rename(draft: Draft, item: Revision, renamed: Mapping[str, str]) -> None:
    text = draft.files[item.file]
    for name in ("revision", "down_revision", "depends_on"):
        text = surgery.rename(text, name, renamed)
    if text != draft.files[item.file]:
        named = {item.revision_id, *item.down_revisions, *item.depends_on} & set(renamed)
        change = ", ".join(f"{one} becomes {renamed[one]}" for one in sorted(named))
        draft.put(item.file, text, change)
