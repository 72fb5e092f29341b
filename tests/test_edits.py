"""Repairs of broken trees: Alembic itself loads the result, and every other byte is kept."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from trees import alembic, put, revision, tree

from runbook_lib.dsn import Dsn
from runbook_lib.edits import (
    FileEdit,
    add_revision,
    alternatives,
    apply_edits,
    combine,
    merge_heads,
    patch,
    repair_tree,
    replay_only,
    reverse,
    write,
)
from runbook_lib.errors import SafetyError
from runbook_lib.postgres import connect
from runbook_lib.revisions import SourceTree, heads, parse_tree, topological
from runbook_lib.surgery import rebind, rename

LONG = "add_unique_constraint_transactions"
LONGER = "add_reference_id_unique_constraint"

WALLET = tree(
    revision("1d661194d41e", created="2024-01-01"),
    revision("23e791c49f3a", "1d661194d41e", created="2024-01-02"),
    revision(LONG, "23e791c49f3a", created="2024-01-03"),
    revision(LONGER, "23e791c49f3a", created="2024-01-04"),
    revision("add_ledger_portfolio_models", "23e791c49f3a", created="2024-01-05"),
    revision("3d91640ec9e0", (LONG, LONGER), "add_trading_models", created="2024-01-06"),
    revision("add_trading_models", "3d91640ec9e0", created="2024-01-07"),
    revision("c8d25c64b432", "add_trading_models", created="2024-01-08"),
)

FAULTS = {
    "two heads": tree(revision("a"), revision("b", "a"), revision("c", "a")),
    "dangling": tree(revision("a"), revision("b", "a"), revision("d", "x"), revision("e", "d")),
    "dangling merge": tree(revision("a"), revision("b", "a"), revision("m", ("b", "x"))),
    "dangling twice": tree(revision("a"), revision("c", "x"), revision("e", "y")),
    "dangling depends_on": tree(revision("a"), revision("b", "a", "x")),
    "abbreviated parent": tree(revision("abcdef12"), revision("b", "abcd")),
    "parent in other case": tree(revision("abcdef12"), revision("b", "ABCDEF12 ")),
    "label as parent": tree(revision("a", labels="main"), revision("b", "main")),
    "empty parent": tree(revision("a", ""), revision("b", "a")),
    "duplicate": tree(revision("a"), revision("b", "a"), revision("b", "a", body="\nupgrade = 1")),
    "duplicate further up": tree(
        revision("a"), ("x.py", revision("b", "c")), ("y.py", revision("b", "a")),
        revision("c", "b"),
    ),
    "exact copy": tree(revision("a"), revision("b", "a"), revision("b", "a")),
    "duplicate label": tree(revision("a", labels="main"), revision("b", "a", labels="main")),
    "cycle": tree(revision("a"), revision("b", "d"), revision("c", "b"), revision("d", "c")),
    "cycle of all": tree(revision("a", "c"), revision("b", "a"), revision("c", "b")),
    "cycle with a way in": tree(revision("a"), revision("b", ("a", "c")), revision("c", "b")),
    "cycle through depends_on": tree(
        revision("a"), revision("b", "a", "c"), revision("c", "b"), revision("d", "c")
    ),
    "two cycles": tree(
        revision("a"), revision("b", "a", "c"), revision("c", "b", "d"), revision("d", "c", "b")
    ),
    "self-reference": tree(revision("a"), revision("b", "a"), revision("c", "c"),
                           revision("d", "c")),
    "self-reference of a base": tree(revision("a", "a"), revision("b", "a")),
    "self-reference in depends_on": tree(revision("a"), revision("b", "a", "b")),
    "syntax error": tree(
        revision("a"), revision("b", "a") + "def broken(:\n", revision("c", "b")
    ),
    "helper module": tree(revision("a"), ("tools.py", "X = 1\n"), revision("b", "a")),
    "long ids": tree(revision("a"), revision(LONG, "a"), revision("b", [LONG])),
    "operators in an id": tree(revision("a"), revision("b-1", "a"), revision("c", "b-1")),
    "wallet": WALLET,
}  # fmt: skip


def _repaired(source: SourceTree, **keywords: object) -> SourceTree:
    return apply_edits(source, repair_tree(source, **keywords).edits)  # type: ignore[arg-type]


@pytest.mark.parametrize("history", ["merge", "linear"])
@pytest.mark.parametrize("name", FAULTS)
def test_alembic_loads_the_repaired_tree_with_one_head(
    name: str, history: str, tmp_path: Path
) -> None:
    repaired = _repaired(FAULTS[name])
    merged = apply_edits(repaired, merge_heads(repaired, history).edits)  # type: ignore[arg-type]
    script = alembic(merged, tmp_path)
    assert len(script.get_heads(consider_depends_on=True)) == 1
    assert len(script.get_bases()) == 1
    assert len(list(script.walk_revisions())) == len(parse_tree(merged).revisions)


@pytest.mark.parametrize("name", FAULTS)
def test_a_repaired_tree_needs_no_repair(name: str) -> None:
    repaired = _repaired(FAULTS[name])
    assert repair_tree(repaired).edits == ()
    merged = apply_edits(repaired, merge_heads(repaired).edits)
    assert merge_heads(merged).edits == ()
    linear = apply_edits(repaired, merge_heads(repaired, "linear").edits)
    assert merge_heads(linear, "linear").edits == ()
    assert repair_tree(linear).edits == ()


_ID = st.sampled_from(["a", "b", "c", "dddddd1", "d-e", "F" * 33, "gone", "dddd", ""])
_SPECS = st.lists(
    st.tuples(
        _ID.filter(bool),
        st.lists(_ID, max_size=2),
        st.lists(_ID, max_size=1),
        st.sampled_from(["", "2024-01-01", "2024-02-01"]),
        st.sampled_from(["", "\ndef broken(:\n"]) | st.just(""),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=150, deadline=None)
@given(spec=_SPECS)
def test_alembic_loads_any_tree_once_it_is_repaired(
    spec: list[tuple[str, list[str], list[str], str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    source = tree(
        *(revision(a, b or None, c or None, created=d) + tail for a, b, c, d, tail in spec)
    )
    for repair in (repair_tree(source), *alternatives(source)[:2]):
        repaired = apply_edits(source, repair.edits)
        assert repair_tree(repaired).edits == ()
        for history in ("merge", "linear"):
            edits = merge_heads(repaired, history, declared=True).edits  # type: ignore[arg-type]
            merged = apply_edits(repaired, edits)
            script = alembic(merged, tmp_path_factory.mktemp("tree"))
            found = len(parse_tree(merged).revisions)
            assert len(script.get_heads(consider_depends_on=True)) == min(found, 1)
            assert len(list(script.walk_revisions())) == found
            assert apply_edits(merged, reverse(combine(repair.edits, edits))) == source


def _parents(source: SourceTree) -> dict[str, tuple[str, ...]]:
    return {item.revision_id: item.down_revisions for item in parse_tree(source).revisions}


class TestCycle:
    def test_the_depends_on_is_cut_and_no_down_revision(self) -> None:
        repaired = _repaired(FAULTS["cycle through depends_on"])
        assert _parents(repaired) == {"a": (), "b": ("a",), "c": ("b",), "d": ("c",)}
        assert all(not item.depends_on for item in parse_tree(repaired).revisions)

    def test_the_edge_to_an_older_child_is_cut(self) -> None:
        source = tree(
            revision("c", "b", created="2024-03-01"),
            revision("a", "c", created="2024-01-01"),
            revision("b", "a", created="2024-02-01"),
        )
        assert _parents(_repaired(source)) == {"c": ("b",), "a": (), "b": ("a",)}

    def test_a_chain_that_begins_elsewhere_is_joined_again(self) -> None:
        source = tree(revision("a"), revision("b", "c"), revision("c", "b"), revision("d", "c"))
        assert _parents(_repaired(source)) == {"a": (), "b": ("a",), "c": ("b",), "d": ("c",)}

    def test_alternatives_cut_elsewhere(self, tmp_path: Path) -> None:
        source = FAULTS["cycle of all"]
        found = {tuple(sorted(_parents(apply_edits(source, one.edits)).items()))
                 for one in (repair_tree(source), *alternatives(source))}  # fmt: skip
        assert len(found) == 3
        for number, one in enumerate(alternatives(source)):
            alembic(apply_edits(source, one.edits), tmp_path / str(number))


class TestDanglingParent:
    def test_the_tombstone_stands_between_the_two_chains(self) -> None:
        source = FAULTS["dangling"]
        repair = repair_tree(source)
        expected = {"a": (), "b": ("a",), "x": ("b",), "d": ("x",), "e": ("d",)}
        assert _parents(apply_edits(source, repair.edits)) == expected
        assert [edit.path for edit in repair.edits] == ["versions/x_tombstone.py"]
        assert "restore it from version control" in repair.open[0]

    def test_a_recorded_dependency_gets_a_tombstone(self) -> None:
        repaired = _repaired(FAULTS["dangling depends_on"], rows=["x"])
        assert "x" in _parents(repaired)


class TestDuplicate:
    def test_the_caller_decides_which_file_keeps_the_id(self) -> None:
        source = FAULTS["duplicate"]
        kept = {"b": "versions/002.py"}
        repaired = _repaired(source, keep=kept)
        ids = {item.file: item.revision_id for item in parse_tree(repaired).revisions}
        assert ids["versions/002.py"] == "b"
        assert ids["versions/001.py"].startswith("b_")

    def test_the_file_that_would_follow_itself_gives_way(self) -> None:
        repaired = _repaired(FAULTS["duplicate further up"])
        ids = {item.file: item.revision_id for item in parse_tree(repaired).revisions}
        assert ids["versions/y.py"] == "b"

    def test_a_copy_is_removed(self) -> None:
        assert len(_repaired(FAULTS["exact copy"]).files) == 2


class TestUnloadable:
    def test_the_edits_are_for_the_replay_only(self) -> None:
        repair = repair_tree(FAULTS["syntax error"])
        assert {edit.path for edit in replay_only(repair.edits)} == {
            "versions/001.py",
            "versions/002.py",
        }
        assert "unloadable-file" not in repair.answers
        assert "versions/001.py" in repair.open[0]

    def test_a_file_that_cannot_be_imported_is_set_aside_too(self) -> None:
        source = tree(revision("a"), revision("b", "a"), revision("c", "b"))
        repair = repair_tree(source, failing={"versions/001.py": "No module named 'app'"})
        assert _parents(apply_edits(source, repair.edits)) == {"a": (), "c": ("a",)}
        assert "No module named 'app'" in repair.open[0]


class TestLongIds:
    def test_children_follow_and_the_rest_is_kept(self) -> None:
        source = tree(revision("a"), revision(LONG, "a"), revision("b", LONG, LONG))
        repair = repair_tree(source)
        new = repair.renamed[LONG]
        assert len(new) <= 32
        expected = {path: text.replace(f"'{LONG}'", f"'{new}'") for path, text in
                    source.files.items()}  # fmt: skip
        expected = {path: text.replace(f"ID: {LONG}", f"ID: {new}").replace(
                    f"Revises: {LONG}", f"Revises: {new}")
                    for path, text in expected.items()}  # fmt: skip
        assert apply_edits(source, repair.edits).files == expected

    def test_a_recorded_id_is_kept(self) -> None:
        source = tree(revision("a"), revision(LONG, "a"))
        assert repair_tree(source, rows=[LONG]).edits == ()


class TestSurgery:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("down_revision = 'a'  # why\nx = 1\n", "down_revision = 'z'  # why\nx = 1\n"),
            ('down_revision: str | None = "a"', 'down_revision: str | None = "z"'),
            ("down_revision = ('a', 'b')\r\n", "down_revision = 'z'\r\n"),
            ("é = 'ü'; down_revision = 'ä'", "é = 'ü'; down_revision = 'z'"),
            ("\ufeffdown_revision = 'a'\n", "\ufeffdown_revision = 'z'\n"),
            ("P = 'a'\ndown_revision = P\n", "P = 'a'\ndown_revision = \"z\"\n"),
            (
                "down_revision = depends_on = None\n",
                'down_revision = depends_on = None\ndown_revision = "z"\n',
            ),
            (
                "revision = 'r'; down_revision = (\n  'a'  # one\n)\n",
                "revision = 'r'; down_revision = (\n  'z'  # one\n)\n",
            ),
            (
                '"""Do.\n\nRevises: a\n"""\ndown_revision = "a"\n',
                '"""Do.\n\nRevises: z\n"""\ndown_revision = "z"\n',
            ),
        ],
    )
    def test_rebind_keeps_the_rest(self, before: str, after: str) -> None:
        assert rebind(before, "down_revision", ("z",)) == after

    def test_a_name_is_added_behind_a_condition(self) -> None:
        before = "revision = 'r'\nif True:\n    down_revision = 'a'\nx = 1\n"
        after = f'{before[:-6]}depends_on = "z"\nx = 1\n'
        assert rebind(before, "depends_on", ("z",)) == after

    def test_rename_keeps_the_comments_in_a_tuple(self) -> None:
        before = "down_revision = (\n    \"a\",  # first\n    'b',  # second\n)\n"
        after = "down_revision = (\n    \"long\",  # first\n    'c',  # second\n)\n"
        assert rename(before, "down_revision", {"a": "long", "b": "c"}) == after

    def test_a_missing_name_is_added_behind_the_identifiers(self) -> None:
        before = "revision = 'r'\ndown_revision = None  # base\n\ndef upgrade(): pass\n"
        after = (
            'revision = \'r\'\ndown_revision = None  # base\ndepends_on = ("a", "b")\n'
            "\ndef upgrade(): pass\n"
        )
        assert rebind(before, "depends_on", ("a", "b")) == after


class TestMergeHeads:
    def test_declared_branches_are_left_alone(self) -> None:
        source = tree(revision("a", labels="main"), revision("b", labels="plugin", depends="a"))
        other = tree(revision("a", labels="main"), revision("b", labels="plugin"))
        assert merge_heads(source).edits == merge_heads(other).edits == ()
        assert merge_heads(other, declared=True).answers == ("multiple-heads",)

    def test_linear_is_one_line_with_the_same_ids(self, tmp_path: Path) -> None:
        source = tree(
            revision("a"), revision("b", "a"), revision("c", "a"), revision("m", ("b", "c")),
            revision("d", "a", "m"),
        )  # fmt: skip
        linear = apply_edits(source, merge_heads(source, "linear", declared=True).edits)
        assert topological(parse_tree(linear)) == ("a", "b", "c", "m", "d")
        script = alembic(linear, tmp_path)
        assert script.get_current_head() == "d"
        assert all(not script.get_revision(one).is_merge_point for one in "abcmd")

    def test_linear_names_who_is_not_at_the_head(self) -> None:
        source = tree(revision("a"), revision("b", "a"), revision("c", "a"))
        assert "stands at b" in merge_heads(source, "linear", ["b"]).open[0]
        assert merge_heads(source, "linear", ["b", "c"]).open == ()


# --- patch and write ----------------------------------------------------------------------

EDITS = (
    FileEdit(path="v/new file.py", before=None, after="a = 1\n", reason="add"),
    FileEdit(path="v/empty.py", before=None, after="", reason="add an empty file"),
    FileEdit(path="v/ünï.py", before="a\nb\nc\n", after="a\nB\nc", reason="change"),
    FileEdit(path="v/crlf.py", before="a\r\nb\r\n", after="a\r\nB\r\n", reason="change"),
    FileEdit(path="v/old.py", before="x\ny", after=None, reason="remove"),
    FileEdit(path="v/page.py", before="x\x0cy\n", after="x\x0cz\n", reason="form feed"),
)


def _disk(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().decode()
        for path in folder.rglob("*.py")
    }


def _start(folder: Path) -> SourceTree:
    files = {edit.path: edit.before for edit in EDITS if edit.before is not None}
    start = SourceTree(files=files, locations=("v",))
    put(start, folder)
    return start


def _git_apply(folder: Path, text: str) -> None:
    for flags in (["--check"], []):
        subprocess.run(["git", "apply", *flags, "-"], cwd=folder, input=text.encode(), check=True)


def test_git_applies_the_patch(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    start = _start(tmp_path)
    _git_apply(tmp_path, patch(EDITS))
    assert _disk(tmp_path) == apply_edits(start, EDITS).files
    _git_apply(tmp_path, patch(reverse(EDITS)))
    assert _disk(tmp_path) == start.files


_texts = st.text(alphabet="ab\n\r \x0c\u2028", max_size=12)


@settings(max_examples=15, deadline=None)
@given(pairs=st.lists(st.tuples(st.none() | _texts, st.none() | _texts), min_size=1, max_size=5))
def test_git_applies_any_patch(
    pairs: list[tuple[str | None, str | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("git")
    edits = combine(
        [FileEdit(path=f"v/{n}.py", before=a, after=b, reason="") for n, (a, b) in enumerate(pairs)]
    )
    files = {edit.path: edit.before for edit in edits if edit.before is not None}
    start = SourceTree(files=files, locations=("v",))
    put(start, folder)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    if edits:
        _git_apply(folder, patch(edits))
    assert _disk(folder) == apply_edits(start, edits).files


def test_write_and_write_back(tmp_path: Path) -> None:
    start = _start(tmp_path)
    (tmp_path / "v/crlf.py").chmod(0o755)
    write(tmp_path, EDITS)
    assert _disk(tmp_path) == apply_edits(start, EDITS).files
    assert (tmp_path / "v/crlf.py").stat().st_mode & 0o777 == 0o755
    write(tmp_path, reverse(EDITS))
    assert _disk(tmp_path) == start.files


@pytest.mark.parametrize(
    "edit",
    [
        FileEdit(path="v/old.py", before="other", after=None, reason=""),
        FileEdit(path="v/old.py", before=None, after="new", reason=""),
        FileEdit(path="v/gone.py", before="x", after="y", reason=""),
        FileEdit(path="../outside.py", before=None, after="y", reason=""),
        FileEdit(path="/tmp/outside_of_it.py", before=None, after="y", reason=""),
    ],
)
def test_write_refuses_what_it_was_not_made_for(edit: FileEdit, tmp_path: Path) -> None:
    start = _start(tmp_path)
    with pytest.raises(SafetyError):
        write(tmp_path, [EDITS[0], edit])
    assert _disk(tmp_path) == start.files


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_write_keeps_the_encoding(encoding: str, tmp_path: Path) -> None:
    before = "# -*- coding: latin-1 -*-\n# ü\r\n" if encoding == "latin-1" else "# ü\r\n"
    (tmp_path / "a.py").write_bytes(before.encode(encoding))
    edit = FileEdit(path="a.py", before=before, after=f"{before}# ä\n", reason="")
    write(tmp_path, [edit])
    assert (tmp_path / "a.py").read_bytes() == f"{before}# ä\n".encode(encoding)
    write(tmp_path, reverse([edit]))
    assert (tmp_path / "a.py").read_bytes() == before.encode(encoding)


def test_edits_for_the_replay_are_never_written(tmp_path: Path) -> None:
    source = FAULTS["syntax error"]
    put(source, tmp_path)
    repair = repair_tree(source)
    assert patch(repair.edits) == ""
    with pytest.raises(SafetyError, match="set aside"):
        write(tmp_path, repair.edits)
    assert _disk(tmp_path) == source.files


def test_new_files_stand_beside_files_outside_the_project() -> None:
    files = {
        "0:a.py": revision("a"),
        "0:sub/b.py": revision("b", "a"),
        "0:c.py": revision("c", "a"),
    }
    source = SourceTree(files=files, locations=("0:",))
    (edit,) = merge_heads(source).edits
    assert edit.path.startswith("0:")
    assert "/" not in edit.path.removeprefix("0:b/")
    new = add_revision(
        SourceTree(files={}, locations=("0:", "v")),
        revision_id="x",
        down_revisions=(),
        doc="Do",
        upgrade_sql=(),
    )
    assert new.path == "0:x_do.py"
    with pytest.raises(SafetyError, match="outside"):
        write(Path(), [new])


def test_write_takes_back_what_it_wrote_when_one_fails(tmp_path: Path) -> None:
    start = _start(tmp_path)
    blocked = FileEdit(path="v/old.py/inner.py", before=None, after="x", reason="")
    with pytest.raises(Exception, match=r"nothing was changed"):
        write(tmp_path, [*EDITS[:3], blocked])
    assert _disk(tmp_path) == start.files


def test_apply_edits_refuses_another_tree() -> None:
    with pytest.raises(SafetyError, match=r"v/old\.py"):
        apply_edits(SourceTree(files={}, locations=("v",)), [EDITS[4]])


# --- a corrective revision ----------------------------------------------------------------

SQL = (
    "CREATE TABLE IF NOT EXISTS odd (a text DEFAULT '10% :name \\:x ::int', b text)",
    "DO $$\nBEGIN\n  IF 1::int = 1 THEN\n    INSERT INTO odd (b)\n"
    "      VALUES ('%s %(x)s %% \"\"\" \\ :y::text ' || to_char(now(), 'HH24:MI'));\n"
    "  END IF;\nEND $$",
    "CREATE FUNCTION odd_sum(a int) RETURNS int LANGUAGE plpgsql AS "
    "'DECLARE x int := a; BEGIN RETURN x % 7; END'",
)


@pytest.fixture
def odd(database: Dsn) -> Dsn:
    return database


def test_the_corrective_revision_runs_its_sql_unchanged(odd: Dsn, tmp_path: Path) -> None:
    source = tree(revision("a"))
    edit = add_revision(
        source,
        revision_id="fix_odd",
        down_revisions=("a",),
        doc='Bring back the "odd" table',
        upgrade_sql=SQL,
        downgrade_sql=("DROP FUNCTION odd_sum", "DROP TABLE odd"),
    )
    script = alembic(apply_edits(source, [edit]), tmp_path)
    module = script.get_revision("fix_odd").module
    assert parse_tree(apply_edits(source, [edit])).revisions[1].doc == "Bring back the 'odd' table"
    assert edit.path == "versions/fix_odd_bring_back_the_odd_table.py"
    assert module.UPGRADE == SQL
    engine = create_engine("postgresql+psycopg2://", creator=lambda: connect(odd, read_only=False))
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        module.upgrade()
        rows = connection.exec_driver_sql("SELECT a, b, odd_sum(8) FROM odd").all()
        module.downgrade()
    engine.dispose()
    assert rows[0][0] == "10% :name \\:x ::int"
    assert rows[0][1].startswith('%s %(x)s %% """ \\ :y::text ')
    assert rows[0][2] == 1


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sql=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=3))
def test_any_sql_survives_in_the_file(sql: list[str]) -> None:
    edit = add_revision(
        tree(revision("a")), revision_id="b", down_revisions=["a"], doc="Do", upgrade_sql=sql
    )
    names: dict[str, object] = {}
    exec(compile(edit.after or "", "b.py", "exec"), names)
    assert names.get("UPGRADE", ()) == tuple(sql)


def test_heads_of_the_wallet() -> None:
    repaired = _repaired(WALLET)
    assert set(heads(parse_tree(repaired))) == {"c8d25c64b432", "add_ledger_portfolio_models"}
    assert set(repair_tree(WALLET).renamed) == {LONG, LONGER}
    assert set(repair_tree(WALLET).answers) == {"cycle", "long-revision-id"}
