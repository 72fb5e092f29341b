"""The revision graph: parsed as Alembic reads it, and total over every kind of broken tree."""

from __future__ import annotations

from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import alembic, graph, put, revision, tree

from runbook_lib.artifacts import from_json, to_json
from runbook_lib.findings import Finding
from runbook_lib.revisions import (
    Revision,
    RevisionGraph,
    SourceTree,
    ancestors,
    bases,
    branch_points,
    cycle_edges,
    cycles,
    dangling,
    descendants,
    duplicates,
    effective_heads,
    heads,
    merge_points,
    parse_tree,
    recorded,
    summarise,
    topological,
    tree_findings,
)


def _codes(found: tuple[Finding, ...]) -> list[str]:
    return [item.code for item in found]


def _shape(value: RevisionGraph) -> tuple[tuple[str, ...], ...]:
    return heads(value), bases(value), branch_points(value), merge_points(value)


class TestLinear:
    graph = graph(("a", None), ("b", "a"), ("c", "b"))

    def test_shape(self) -> None:
        assert _shape(self.graph) == (("c",), ("a",), (), ())
        assert topological(self.graph) == ("a", "b", "c")
        assert tree_findings(self.graph) == ()

    def test_reach(self) -> None:
        assert ancestors(self.graph, ["b"]) == {"a", "b"}
        assert descendants(self.graph, ["b"]) == {"b", "c"}
        assert recorded(self.graph, ["b", "unknown", None]) == {"a", "b"}


class TestDiamond:
    graph = graph(("a", None), ("b", "a"), ("c", "a"), ("m", ("b", "c")))

    def test_shape(self) -> None:
        assert _shape(self.graph) == (("m",), ("a",), ("a",), ("m",))
        assert _codes(tree_findings(self.graph)) == ["branch-point"]


class TestThreeWayBranch:
    graph = graph(("a", None), ("b", "a"), ("c", "a"), ("d", "a"))

    def test_findings_name_the_heads(self) -> None:
        found = tree_findings(self.graph)
        assert [(item.code, item.severity) for item in found] == [
            ("multiple-heads", "error"),
            ("branch-point", "info"),
        ]
        assert "3 heads: b, c, d" in found[0].message


class TestMultipleBases:
    graph = graph(("a", None), ("b", "a"), ("x", None), ("y", "x"))

    def test_shape(self) -> None:
        assert _shape(self.graph) == (("b", "y"), ("a", "x"), (), ())


class TestDeclaredBranches:
    def test_labels_make_several_heads_an_intention(self) -> None:
        source = tree(
            revision("a", labels="main"), revision("b", "a"), revision("x", labels="plugin")
        )
        assert [item.severity for item in tree_findings(parse_tree(source))] == ["info"]

    def test_a_label_that_both_heads_inherit_declares_nothing(self) -> None:
        source = tree(revision("a", labels="main"), revision("b", "a"), revision("c", "a"))
        assert tree_findings(parse_tree(source))[0].severity == "error"


class TestCrissCrossMerges:
    graph = graph(
        ("a", None), ("b", "a"), ("c", "a"), ("m", ("b", "c")), ("n", ("b", "c")), ("z", ("m", "n"))
    )

    def test_shape(self) -> None:
        assert _shape(self.graph) == (("z",), ("a",), ("a", "b", "c"), ("m", "n", "z"))
        assert topological(self.graph) == ("a", "b", "c", "m", "n", "z")


class TestDependsOn:
    graph = graph(("a", None), ("x", None), ("b", "a", "x"))

    def test_the_implied_head_needs_no_row(self) -> None:
        assert heads(self.graph) == ("x", "b")
        assert effective_heads(self.graph) == ("b",)
        assert recorded(self.graph, ["b"]) == {"a", "b", "x"}
        assert tree_findings(self.graph)[0].severity == "info"

    def test_a_label_stands_for_its_revision(self) -> None:
        source = tree(revision("x", labels="plugin"), revision("a", depends="plugin"))
        assert parse_tree(source).revisions[1].depends_on == ("x",)


class TestCycle:
    graph = graph(("a", None), ("b", ("a", "d")), ("c", "b"), ("d", "c"), ("e", "d"))

    def test_cycle(self) -> None:
        assert cycles(self.graph) == (("b", "d", "c"),)
        assert set(cycle_edges(self.graph)) == {("b", "d"), ("d", "c"), ("c", "b")}
        assert topological(self.graph)[0] == "a"
        assert topological(self.graph)[-1] == "e"
        assert set(topological(self.graph)) == set("abcde")

    def test_the_finding_names_members_and_the_wrong_edge(self) -> None:
        (found,) = (item for item in tree_findings(self.graph) if item.code == "cycle")
        assert "b → d → c → b" in found.message
        assert "b names d" in found.message
        assert ancestors(self.graph, ["b"]) == set("abcd")

    def test_nothing_but_a_cycle(self) -> None:
        ring = graph(("a", "c"), ("b", "a"), ("c", "b"))
        assert (heads(ring), bases(ring), effective_heads(ring)) == ((), (), ())


class TestCycleThroughDependsOn:
    graph = graph(("a", None), ("b", "a", "c"), ("c", "b"))

    def test_cycle(self) -> None:
        assert cycles(self.graph) == (("b", "c"),)
        assert heads(self.graph) == ("c",)
        assert effective_heads(self.graph) == ("c",)
        (found,) = (item for item in tree_findings(self.graph) if item.code == "cycle")
        assert "b names c in its depends_on" in found.message


class TestSelfReference:
    graph = graph(("a", None), ("b", "a"), ("c", "c"))

    def test_cycle(self) -> None:
        assert cycles(self.graph) == (("c",),)
        assert cycle_edges(self.graph) == (("c", "c"),)
        assert _codes(tree_findings(self.graph)) == ["self-reference", "multiple-heads"]


class TestDangling:
    graph = graph(("a", None), ("c", "b", "x"))

    def test_dangling(self) -> None:
        assert dangling(self.graph) == (("c", "b"), ("c", "x"))
        assert bases(self.graph) == ("a",)
        found = [item for item in tree_findings(self.graph) if item.code == "dangling-parent"]
        assert "'b'" in found[0].message
        assert "versions/001.py" in found[0].message

    def test_a_file_that_is_not_read_and_has_the_id_is_named(self) -> None:
        found = tree_findings(self.graph, elsewhere={"versions/old/b.py": "b"})
        told = {item.message: item for item in found if item.code == "dangling-parent"}
        (named,) = (item for text, item in told.items() if "versions/old/b.py has it" in text)
        assert "recursive_version_locations" in named.suggestion

    def test_an_abbreviation_is_recognised(self) -> None:
        found = tree_findings(graph(("abcdef01", None), ("b", "abcd")))
        assert "abcdef01" in found[0].suggestion


class TestDuplicates:
    graph = graph(("a", None), ("b", "a"), ("b", "a"))

    def test_duplicates(self) -> None:
        assert duplicates(self.graph) == (("b", ("versions/001.py", "versions/002.py")),)
        assert heads(self.graph) == ("b",)
        assert _codes(tree_findings(self.graph)) == ["duplicate-revision"]

    def test_a_label_that_is_taken(self, tmp_path: Path) -> None:
        source = tree(revision("a", labels="main"), revision("b", "a", labels="main"))
        assert _codes(tree_findings(parse_tree(source))) == ["duplicate-revision"]
        with pytest.raises(Exception, match="already used"):
            alembic(source, tmp_path)


class TestIds:
    def test_long_and_awkward_ids(self, tmp_path: Path) -> None:
        value = graph(("x" * 33, None), ("B c", "x" * 33), ("d-e", "B c"))
        found = tree_findings(value)
        assert [(item.code, item.severity) for item in found] == [
            ("long-revision-id", "error"),
            ("case-or-space-in-id", "warning"),
            ("case-or-space-in-id", "error"),
        ]
        assert "33 characters; the version column holds 32" in found[0].message
        assert "long-revision-id" not in _codes(tree_findings(value, 64))
        assert "long-revision-id" not in _codes(tree_findings(value, None))
        with pytest.raises(Exception, match="not allowed"):
            alembic(tree(revision("d-e")), tmp_path)


# --- reading files ------------------------------------------------------------------------

FORMS = {
    "annotated": ("revision: str = 'r'\ndown_revision: str | None = 'p'\n", ("p",)),
    "tuple": ("revision = 'r'\ndown_revision = ('p', 'q')\n", ("p", "q")),
    "list": ("revision = 'r'\ndown_revision = ['p', 'q']\n", ("p", "q")),
    "set": ("revision = 'r'\ndown_revision = {'p'}\n", ("p",)),
    "name": ("P = 'p'\nrevision = 'r'\ndown_revision = P\n", ("p",)),
    "implicit": ("revision = 'r'\ndown_revision = ('p'\n  'q')\n", ("pq",)),
    "f-string": ("P = 'p'\nrevision = 'r'\ndown_revision = f'{P}_1'\n", ("p_1",)),
    "sum": ("P = 'p'\nrevision = 'r'\ndown_revision = P + '_1'\n", ("p_1",)),
    "unpacked": ("revision, down_revision = 'r', 'p'\n", ("p",)),
    "conditional": ("revision = 'r'\nif True:\n    down_revision = 'p'\n", ("p",)),
    "chained": ("revision = 'r'\ndown_revision = depends_on = None\n", ()),
    "empty tuple": ("revision = 'r'\ndown_revision = ()\n", ()),
    "bound twice": ("revision = 'x'\nrevision = 'r'\ndown_revision = 'p'\n", ("p",)),
    "byte order mark": ("\ufeffrevision = 'r'\ndown_revision = 'p'\n", ("p",)),
}


@pytest.mark.parametrize("name", FORMS)
def test_identifiers_are_read_as_alembic_reads_them(name: str, tmp_path: Path) -> None:
    text, parents = FORMS[name]
    others = [revision(one) for one in parents]
    source = tree(("r.py", text), *others)
    value = {item.revision_id: item for item in parse_tree(source).revisions}
    assert value["r"].down_revisions == parents
    script = alembic(source, tmp_path).get_revision("r")
    assert script._versioned_down_revisions == parents


def test_computed_labels_and_dependencies_do_not_hide_a_revision() -> None:
    text = "revision, down_revision = 'r', None\nbranch_labels = ('one', module.TWO)\n"
    (found,) = parse_tree(tree(f"{text}depends_on = module.THREE\n")).revisions
    assert found.branch_labels == ("one", "module.TWO")
    assert found.depends_on == ()
    unknown = parse_tree(tree("P = make()\nrevision, down_revision = 'r', P\n"))
    assert unknown.unloadable[0].error == "an identifier is computed, not a constant"


class TestUnloadable:
    def test_a_broken_file_keeps_its_place(self) -> None:
        source = tree(
            revision("a"),
            ("b.py", revision("b", ("a", "z"), "x") + "\ndef broken(:\n"),
            revision("c", "b"),
        )
        value = parse_tree(source)
        assert [item.file for item in value.unloadable] == ["versions/b.py"]
        assert value.unloadable[0].line == 23
        assert value.unloadable[0].revision_id == "b"
        assert dangling(value) == (("b", "z"), ("b", "x"))
        assert heads(value) == ("c",)
        assert "versions/b.py, line 23" in tree_findings(value)[0].message

    @pytest.mark.parametrize(
        "text",
        [
            "X = 1\n",
            "revision = make()\ndown_revision = None\n",
            "revision = 'r'\n",
            "revision = 'r'\ndown_revision = 3\n",
            "revision = 'r\n",
            "revision = 'r'\0",
            "(" * 5000,
        ],
    )
    def test_what_cannot_be_read_is_listed(self, text: str) -> None:
        value = parse_tree(tree(("odd.py", text), revision("a")))
        assert [item.file for item in value.unloadable] == ["versions/odd.py"]
        assert "a" in heads(value)

    def test_alembic_refuses_a_module_without_a_revision(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="Could not determine revision id"):
            alembic(tree(("tools.py", "X = 1\n")), tmp_path)

    def test_files_that_alembic_passes_over(self, tmp_path: Path) -> None:
        source = tree(("__init__.py", "x ="), (".#lock.py", "x ="), ("a.txt", "x"), revision("a"))
        assert alembic(source, tmp_path).get_heads() == ["a"]
        value = parse_tree(source)
        assert (heads(value), value.unloadable) == (("a",), ())

    def test_the_file_name_of_the_oldest_alembic_is_an_id(self, tmp_path: Path) -> None:
        source = tree(("1ab2.py", "down_revision = None\n"))
        assert heads(parse_tree(source)) == tuple(alembic(source, tmp_path).get_heads())

    def test_compiled_files_without_source(self) -> None:
        value = parse_tree(replace(tree(revision("a")), sourceless=("versions/b.pyc",)))
        assert value.unloadable[0].error == "compiled file without its source"


def test_files_go_by_location_then_by_name() -> None:
    files = {"b/1.py": revision("b1"), "a/2.py": revision("a2"), "a/1.py": revision("a1")}
    value = parse_tree(SourceTree(files=files, locations=("b", "a")))
    assert [item.revision_id for item in value.revisions] == ["b1", "a1", "a2"]


OPERATIONS = '''"""

Revision ID: r

Add the trades
"""
from alembic import op
import sqlalchemy as sa
revision, down_revision = "r", None

def upgrade():
    op.create_table("trades", sa.Column("id", sa.Integer()))
    op.add_column("transactions", sa.Column("trade_id", sa.Integer()))
    with op.batch_alter_table("users") as batch:
        batch.drop_column("name")
        batch.create_index("ix_users", ["id"])
    op.create_index(op.f("ix_trades"), "trades", ["id"])
    _more()

def _more():
    op.execute("UPDATE users\\n  SET a = 1")

def downgrade():
    """Not yet."""
    raise NotImplementedError
'''


def test_what_a_file_says_of_itself() -> None:
    (found,) = parse_tree(tree(("r.py", OPERATIONS))).revisions
    assert found == Revision(
        revision_id="r",
        file="versions/r.py",
        doc="Add the trades",
        source_digest=found.source_digest,
        operations=(
            "create_table trades",
            "add_column transactions.trade_id",
            "drop_column users.name",
            "create_index ix_users",
            "create_index ix_trades",
            "execute UPDATE users SET a = 1",
        ),
        has_downgrade=False,
    )


# --- properties ---------------------------------------------------------------------------

Spec = list[tuple[str, tuple[str, ...], tuple[str, ...]]]


@st.composite
def _dags(draw: st.DrawFn, size: int = 9) -> Spec:
    names = [f"r{number}" for number in range(draw(st.integers(1, size)))]
    spec: Spec = []
    for place, name in enumerate(names):
        above = st.lists(st.sampled_from(names[:place] or [""]), unique=True, max_size=2)
        parents = tuple(one for one in draw(above) if one)
        depends = tuple(one for one in draw(above) if one and one not in parents)
        spec.append((name, parents, depends))
    return draw(st.permutations(spec))


_ANY_ID = st.sampled_from([f"r{number}" for number in range(6)])
_ANYTHING = st.lists(
    st.tuples(
        _ANY_ID, st.lists(_ANY_ID, max_size=2).map(tuple), st.lists(_ANY_ID, max_size=2).map(tuple)
    ),
    max_size=8,
)


def _graph(spec: Spec) -> RevisionGraph:
    return RevisionGraph(
        revisions=tuple(
            Revision(revision_id=name, file=f"{n}.py", down_revisions=down, depends_on=depends)
            for n, (name, down, depends) in enumerate(spec)
        )
    )


def _is_parents_first(value: RevisionGraph, order: tuple[str, ...]) -> bool:
    place = {item: number for number, item in enumerate(order)}
    return all(
        place[parent] < place[item.revision_id]
        for item in value.revisions
        for parent in item.down_revisions + item.depends_on
    )


@given(spec=_dags())
def test_order_and_reach_of_any_dag(spec: Spec) -> None:
    value = _graph(spec)
    order = topological(value)
    assert sorted(order) == sorted(name for name, _, _ in spec)
    assert _is_parents_first(value, order)
    assert cycles(value) == cycle_edges(value) == ()
    for one in order:
        assert all(one in ancestors(value, [below]) for below in descendants(value, [one]))
        assert all(one in descendants(value, [above]) for above in ancestors(value, [one]))


@given(spec=_ANYTHING)
def test_any_graph_is_total_and_a_dag_without_its_cycle_edges(spec: Spec) -> None:
    value = _graph(spec)
    cut = set(cycle_edges(value))
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, down, depends in spec:
        sorter.add(name, *(one for one in down + depends if (name, one) not in cut))
    sorter.prepare()  # raises on a cycle
    summarise(value, "")
    tree_findings(value)
    effective_heads(value)
    assert set(topological(value)) == {name for name, _, _ in spec}
    assert bool(cut) == bool(cycles(value))


@settings(max_examples=25, deadline=None)
@given(spec=_dags(size=7))
def test_alembic_agrees(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = tree(*(revision(name, down or None, depends or None) for name, down, depends in spec))
    value = parse_tree(source)
    assert [(r.revision_id, r.down_revisions, r.depends_on) for r in value.revisions] == spec
    folder = put(source, tmp_path_factory.mktemp("tree"))
    script = ScriptDirectory(str(folder))
    assert set(heads(value)) == set(script.get_heads())
    assert set(bases(value)) == set(script.get_bases())
    assert set(effective_heads(value)) == set(script.get_heads(consider_depends_on=True))


@given(spec=_ANYTHING)
def test_the_graph_survives_json(spec: Spec) -> None:
    value = _graph(spec)
    assert from_json(RevisionGraph, to_json(value)) == value
