"""Lint: one small tree for each practice, and silence over a good tree."""

from __future__ import annotations

import pytest
from trees import revision, tree

from runbook_lib.forensics import RevisionVerdict
from runbook_lib.lint import lint
from runbook_lib.revisions import SourceTree, parse_tree


def _found(source: SourceTree, **keywords: object) -> list[tuple[str, str, str]]:
    found = lint(parse_tree(source), source, **keywords)  # type: ignore[arg-type]
    return [(item.code, item.severity, item.subject) for item in found]


def _body(upgrade: str, downgrade: str = "op.drop_table('x')") -> str:
    return f"def upgrade():\n    {upgrade}\n\ndef downgrade():\n    {downgrade}\n"


def test_a_good_tree_has_no_findings() -> None:
    merge = _body("pass", "pass")
    branches = (revision("a"), revision("b", "a"), revision("c", "a"))
    assert _found(tree(revision("a"), revision("b", "a"), revision("c", "b", body=merge))) == []
    assert _found(tree(*branches, revision("m", ("b", "c"), body=merge))) == [
        ("branch-point", "info", "a")
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (_body("op.create_table('t')", "pass"), "broken-downgrade"),
        (_body("op.create_table('t')", "raise NotImplementedError"), "broken-downgrade"),
        (_body("op.create_table('t')", '"""Downgrade schema."""'), "broken-downgrade"),
        ("def upgrade():\n    op.create_table('t')\n", "broken-downgrade"),
        (_body("op.get_bind().commit()"), "commits-inside"),
        (_body("op.execute('COMMIT')"), "commits-inside"),
        (_body("op.execute(sa.text('  commit;'))"), "commits-inside"),
        (_body("helper()") + "def helper():\n    op.get_bind().commit()\n", "commits-inside"),
    ],
)
def test_what_a_revision_does(body: str, code: str) -> None:
    assert _found(tree(revision("a", body=body))) == [(code, "warning", "a")]


@pytest.mark.parametrize(
    "body",
    [
        _body("pass", "pass"),
        _body("op.create_table('t')", '"""Nothing: an earlier revision drops it."""'),
        _body("op.execute('COMMENT ON TABLE t IS NULL')"),
        _body("op.execute('ROLLBACK TO SAVEPOINT s')"),
        _body("repo.commit('message')"),
    ],
)
def test_what_is_no_fault(body: str) -> None:
    assert _found(tree(revision("a", body=body))) == []


@pytest.mark.parametrize("doc", ["Make a", "Revision of a", ""])
def test_purpose(doc: str) -> None:
    text = revision("a").replace("Make a", doc)
    assert ("missing-purpose" in [code for code, _, _ in _found(tree(text))]) == (not doc)
    assert _found(tree(revision("a").replace("Make a", "empty message"))) == [
        ("missing-purpose", "warning", "a")
    ]


def test_heads_and_long_ids_are_included() -> None:
    source = tree(revision("a"), revision("b" * 33, "a"), revision("c", "a"))
    assert [code for code, _, _ in _found(source)] == [
        "long-revision-id",
        "multiple-heads",
        "branch-point",
    ]
    assert "long-revision-id" not in [code for code, _, _ in _found(source, width=None)]


def test_three_branches_and_their_merge_are_complex() -> None:
    source = tree(
        revision("a"), revision("b", "a"), revision("c", "a"), revision("d", "a"),
        revision("m", ("b", "c", "d")),
    )  # fmt: skip
    assert _found(source) == [("branch-point", "warning", "a"), ("branch-point", "warning", "m")]


def test_a_table_of_another_branch_wants_a_declared_dependency() -> None:
    uses = _body("op.add_column('t_b', sa.Column('x'))")
    branches = (revision("a"), revision("b", "a"))
    undeclared = tree(*branches, revision("c", "a", body=uses), revision("m", ("b", "c")))
    declared = tree(*branches, revision("c", "a", "b", body=uses), revision("m", ("b", "c")))
    code = ("undeclared-dependency", "warning", "c")
    assert code in _found(undeclared)
    assert code not in _found(declared)


def _verdict(executed: str) -> RevisionVerdict:
    return RevisionVerdict(
        revision_id="a", down_revisions=(), depends_on=(), file="versions/000.py", doc="",
        recorded=False, executed=executed, verdict="pending", reason="", evidence=(),  # type: ignore[arg-type]
        effects=(), touches_rows=False, seconds=0.0,
    )  # fmt: skip


def test_a_file_that_is_no_longer_what_an_archive_holds() -> None:
    source = tree(revision("a"))
    (now,) = parse_tree(source).revisions
    edited = [("edited-after-apply", "warning", "a")]
    assert _found(source, earlier={now.file: now.source_digest}) == []
    assert _found(source, earlier={now.file: "0" * 64}) == edited
    assert _found(source, earlier={now.file: "0" * 64}, verdicts=[_verdict("no")]) == []
    assert _found(source, earlier={now.file: "0" * 64}, verdicts=[_verdict("partly")]) == edited


def test_nothing_is_said_of_a_file_that_cannot_be_read() -> None:
    source = tree(revision("a"), revision("b", "a") + "def broken(:\n")
    assert _found(source) == [("unloadable-file", "error", "versions/001.py")]
