"""What is drawn: structure, not bytes. Hostile names, long histories, terminals, determinism."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import random
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import audit, comparison, revision, wallet

from runbook_lib import render
from runbook_lib.backup import Backup, BackupFile
from runbook_lib.catalog import ObjectChange
from runbook_lib.edits import FileEdit
from runbook_lib.findings import finding
from runbook_lib.fingerprints import TableFingerprint
from runbook_lib.forensics import Audit, Drift, Strategy, Verdict
from runbook_lib.plan import Attempt, Plan, Rehearsal, Step, StepResult
from runbook_lib.promotion import Approval, ChecklistItem, Deployment
from runbook_lib.render.condense import _merge, between, condense
from runbook_lib.render.display import cells_of
from runbook_lib.render.drawing import INK, NIGHT, PAPER, RED
from runbook_lib.render.marks import LOOKS
from runbook_lib.render.picture import Picture, draw_up
from runbook_lib.survival import TableProof
from runbook_lib.validation import CheckResult, WayBack

LINK = r'href="#([^"]*)"[^>]*left:([\d.]+)%;top:([\d.]+)%;width:([\d.]+)%;height:([\d.]+)%'
HOSTILE = '<script>alert("x")</script>\'"&\\N\\l{}|<b>\x1b[31mred\x1b[0m\x07‮gnp.exe\x00$\\alpha$'
VERBATIM = {"patch", "plan", "schedule"}  # to be copied, so their lines are not broken
VOID = {"br", "img", "col", "hr", "wbr"}


class Checker(HTMLParser):
    """Collects what the HTML holds, and fails on elements that are not closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[str] = []
        self.headers: list[str | None] = []
        self.images: list[dict[str, str | None]] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.seen.append(tag)
        self.attributes |= values.keys()
        if tag == "th":
            self.headers.append(values.get("scope"))
        if tag == "img":
            self.images.append(values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def check(display: render.Display) -> Checker:
    """Hold a display to what every display promises, and return what its HTML holds."""
    page, text = display._repr_html_(), repr(display)
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert {"script", "style", "link", "iframe", "object"}.isdisjoint(checker.seen)
    assert not [name for name in checker.attributes if name.startswith("on")]
    assert set(checker.headers) <= {"row", "col"}
    assert checker.seen.count("table") == checker.seen.count("caption")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page + text)
    assert "http://" not in page
    assert "https://" not in page
    assert "<th" not in text
    return checker


def widest(display: render.Display) -> int:
    return max(map(cells_of, repr(display).splitlines()))


def svg_of(display: render.Display) -> str:
    (image,) = check(display).images
    head, data = str(image["src"]).split(",", 1)
    assert head == "data:image/svg+xml;base64"
    return base64.b64decode(data).decode()


def verdicts() -> Audit:
    """One revision of every verdict, one of them not in any file, one edge in a cycle."""
    names = get_args(Verdict)
    made = [revision(name, "gone", verdict=name, depends_on=("applied",)) for name in names]
    return audit(tuple(made), current=("ghost",), cycle_edges=(("phantom", "applied"),))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours by WCAG: 1 is none, 21 is black on white."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    dark, bright = sorted((light(one), light(other)))
    return bright / dark


def svg_texts(svg: str) -> str:
    name = "{http://www.w3.org/2000/svg}text"
    return "\n".join(item.text or "" for item in ElementTree.fromstring(svg).iter(name))


def step(title: str = "Run add_trading_models", **changes: object) -> Step:
    values: dict[str, object] = {
        "kind": "run-revisions",
        "title": title,
        "sql": ("CREATE TABLE trades (id integer)",),
        "reverse": ("DROP TABLE trades",),
        "lock": "ACCESS EXCLUSIVE on public.transactions",
        "answers": ("phantom",),
    }
    return Step(**{**values, **changes})  # type: ignore[arg-type]


def plan(*steps: Step, edits: tuple[FileEdit, ...] = ()) -> Plan:
    return Plan(
        environment="staging",
        target=wallet().target,
        strategy="stamp-back-and-upgrade",
        steps=steps,
        edits=edits,
        tree_before="a",
        tree_after="b",
        catalog_before="c",
        rows_before=("add_trading_models",),
        heads_after=("c8d25c64b432",),
        answers=("phantom",),
    )


def backup(**changes: object) -> Backup:
    values: dict[str, object] = {
        "taken_at": "2026-01-02T03:04:05Z",
        "files": (
            BackupFile(
                kind="full", path="backup/full.dump", size=1536, sha256="ab" * 32, seconds=0.5
            ),
        ),
        "fingerprints": (
            TableFingerprint(table="public.users", columns=("id",), rows=3, digest="d"),
        ),
        "catalog_digest": "c",
        "clone": "runbook_clone",
        "differences": (),
        "unequal_tables": (),
        "restore_seconds": 75.2,
    }
    return Backup(**{**values, **changes})  # type: ignore[arg-type]


DONE = (StepResult(title="stamp", seconds=0.5), StepResult(title="upgrade", seconds=61.0))


def deployment(passed: bool = True) -> Deployment:
    return Deployment(
        plan_digest="d" * 64,
        checklist=(),
        approval=None,
        steps=DONE,
        rows_before=("a",),
        rows_after=("b",),
        catalog_before="c" * 64,
        catalog_after="e" * 64,
        differences=0,
        tables=(),
        checks=(),
        watch=("all quiet",),
        passed=passed,
    )


def every_display(word: str) -> dict[str, render.Display]:
    """Every function of render, drawn with ``word`` wherever a project or a database speaks."""
    found = audit(
        (
            revision(word, doc=word, verdict="partial"),
            revision("child", word, f"gone {word}", depends_on=(word,), verdict="phantom"),
        ),
        current=(f"row {word}",),
        cycle_edges=(("child", word),),
    )
    proof = TableProof(table=word, rows_before=2, rows_after=1, equal=False)
    edit = FileEdit(path=word, before=None, after=word, reason=word)
    failed = StepResult(title=word, seconds=1.0, error=word)
    attempt = Attempt(
        strategy="run-missing-revisions", proven=False, reason=word, steps=(failed,), seconds=1
    )
    way = WayBack(
        way="restore", proven=False, reason=word, seconds=1.0, steps=(failed,), command=word
    )
    changed = ObjectChange(object=word, before={"type": word}, after=None)
    return {
        "binding": render.binding({word: word}),
        "graph": render.graph(found),
        "revisions": render.revisions(found),
        "evidence": render.evidence(found),
        "evidence of one": render.evidence(found, word),
        "evidence of none": render.evidence(found, f"no {word}"),
        "findings": render.findings((finding("phantom", word, word, word),)),
        "strategies": render.strategies(
            (Strategy(conflict=word, codes=(word,), strategy=word, why=word),)
        ),
        "drift": render.drift(
            (Drift(object=word, kind="extra", aspect=word, expected=word, found=word, note=word),)
        ),
        "differences": render.differences((comparison(word, word, word, "missing"),)),
        "comparisons": render.comparisons((comparison("table", word, word, "changed"),), "table"),
        "backup": render.backup(backup(clone=word, differences=(changed,), unequal_tables=(word,))),
        "plan": render.plan(plan(step(word, sql=(word,), reverse=(word,)), edits=(edit,))),
        "candidates": render.candidates((plan(step(word)),)),
        "patch": render.patch(f"--- {word}\n+{word}\n-{word}\n {word}\n"),
        "rehearsal": render.rehearsal(
            Rehearsal(plan_digest="", proven=False, attempts=(attempt,), reason=word)
        ),
        "timeline": render.timeline((failed,)),
        "checks": render.checks((CheckResult(name=word, passed=False, seconds=1.0, output=word),)),
        "rows": render.rows((proof,)),
        "ways back": render.ways_back((way,)),
        "checklist": render.checklist(
            (ChecklistItem(name=word, passed=False, detail=word, todo=word),)
        ),
        "approval": render.approval(
            Approval(environment=word, digest=word, by=word, at=word, how=word)
        ),
        "deployment": render.deployment(deployment()),
        "watch": render.watch((word,)),
        "alerts": render.alerts((word,)),
        "schedule": render.schedule({word: word}),
        "verdict": render.verdict("failed", word),
        "legend": render.legend(),
    }


class TestEveryDisplay:
    @pytest.mark.parametrize(
        "word",
        [HOSTILE, "plain", "行" * 70, "a" * 300, "two words " * 40],
        ids=["hostile", "plain", "wide", "unbroken", "long"],
    )
    def test_is_sound_html_and_fits_a_terminal(self, word: str) -> None:
        for name, display in every_display(word).items():
            check(display)
            assert name in VERBATIM or widest(display) <= 100, name

    def test_shows_hostile_words_and_runs_none_of_them(self) -> None:
        displays = every_display(HOSTILE)
        for name in displays.keys() - {"candidates", "deployment", "legend"}:
            words = "".join(check(displays[name]).words)
            assert "alert" in words, name
            assert "\\u001b" in words, name

    def test_is_drawn_with_the_same_bytes_every_time(self) -> None:
        first, second = every_display("plain"), every_display("plain")
        assert {name: item.html for name, item in first.items()} == {
            name: item.html for name, item in second.items()
        }
        assert list(map(repr, first.values())) == list(map(repr, second.values()))

    def test_mathjax_is_told_to_leave_sql_alone(self) -> None:
        page = render.schedule({"sql": "DO $$ BEGIN END $$"})._repr_html_()
        assert page.startswith('<div class="runbook tex2jax_ignore mathjax_ignore"')

    @given(st.text(max_size=60))
    @settings(max_examples=40, deadline=None)
    def test_holds_for_any_word(self, word: str) -> None:
        found = audit((revision(word, doc=word), revision("x" + word, word, verdict="phantom")))
        for display in (render.revisions(found), render.graph(found), render.binding({word: word})):
            check(display)
            assert widest(display) <= 100

    @given(st.text(max_size=60))
    @settings(max_examples=40, deadline=None)
    def test_any_id_gives_a_picture_that_parses(self, word: str) -> None:
        assert ElementTree.fromstring(svg_of(render.graph(audit((revision(word, doc=word),)))))


class TestGraph:
    def test_the_wallet_shows_verdicts_roles_and_where_the_database_says_it_is(self) -> None:
        words = svg_texts(svg_of(render.graph(wallet())))
        assert "✗ add_trading_models" in words
        assert "○ c8d25c64b432" in words
        assert "applied · base · branch point" in words
        assert "unknowable · merge point" in words
        assert words.count("database says here") == 1
        assert words.count("long id, 34 characters") == 2

    def test_a_current_head_has_a_double_border(self) -> None:
        with_head = svg_of(render.graph(audit((revision("a"),), current=("a",))))
        without = svg_of(render.graph(audit((revision("a"),))))
        assert with_head.count("<polygon") == without.count("<polygon") + 1

    def test_a_long_id_is_wrapped_and_nothing_of_it_is_lost(self) -> None:
        name = "add_" + "very_long_name_" * 8 + "z" * 70
        words = svg_texts(svg_of(render.graph(audit((revision(name),)))))
        assert name in words.replace("\n", "")
        assert max(map(len, words.splitlines())) <= 40

    def test_a_cycle_is_red_bold_and_labelled(self) -> None:
        edges = (("a", "b"), ("b", "a"))
        found = audit((revision("a", "b"), revision("b", "a")), cycle_edges=edges)
        svg = svg_of(render.graph(found))
        assert svg_texts(svg).count("cycle") == 2
        assert svg.count('stroke="#c00000" stroke-width="2.6"') >= 2
        assert "a (" in repr(render.graph(found))
        assert "(cycle)" in repr(render.graph(found))

    def test_dangling_unlocated_and_duplicate_revisions_all_show(self) -> None:
        found = audit(
            (
                revision("a", "gone"),
                revision("dup", "a", file="versions/one.py"),
                revision("dup", "a", file="versions/two.py"),
            ),
            current=("ghost",),
        )
        svg = svg_of(render.graph(found))
        words = svg_texts(svg)
        assert "dangling: no file has it" in words
        assert "unlocated: no file has it" in words
        assert "versions/one.py" in words
        assert "versions/two.py" in words
        assert "stroke-dasharray" in svg

    def test_depends_on_is_dashed_and_labelled(self) -> None:
        svg = svg_of(render.graph(audit((revision("a"), revision("b", depends_on=("a",))))))
        assert "depends_on" in svg_texts(svg)
        assert "stroke-dasharray" in svg

    def test_the_svg_has_no_comment_path_or_reference(self) -> None:
        svg = svg_of(render.graph(wallet()))
        assert "<!--" not in svg
        assert "href" not in svg
        assert str(Path.cwd()) not in svg
        assert re.findall(r'"(https?://[^"]*)"', svg) == ["http://www.w3.org/2000/svg"]

    def test_every_colour_is_read_by_day_and_by_night(self) -> None:
        """Of what Graphviz drew, each colour has one for the night, and each verdict stands out."""
        svg = svg_of(render.graph(verdicts()))
        style = str(re.search("<style>(.*?)</style>", svg, re.DOTALL))
        used = set(re.findall('(?:fill|stroke)="(#[0-9a-f]{6})"', svg.split("</style>")[1]))
        assert used <= NIGHT.keys()
        assert style.count("prefers-color-scheme:dark") == 1
        for shown in ({colour: colour for colour in NIGHT}, NIGHT):
            assert contrast(shown[RED], shown[PAPER]) > 4.5
            for look in LOOKS.values():
                assert contrast(shown[INK], shown[look.fill]) > 7, look
                assert contrast(shown[look.line], shown[look.fill]) > 3, look
                assert contrast(shown[look.line], shown[PAPER]) > 3, look

    def test_the_alternative_text_says_what_the_picture_shows(self) -> None:
        (image,) = check(render.graph(wallet())).images
        alternative = str(image["alt"])
        assert "8 revisions" in alternative
        assert "✗ 1 phantom" in alternative
        assert "the database says: add_trading_models" in alternative

    @pytest.mark.parametrize("size", [12, 120, 1200])
    def test_every_node_leads_to_its_row(self, size: int) -> None:
        found = bush(size, 3)
        drawn = render.graph(found, linked=True).html
        places = re.findall(LINK, drawn)
        nodes = [node for node in condense(draw_up(found)).nodes if node.verdict]
        assert len(places) == len(nodes)
        rows = render.revisions(found).html
        for place, *_ in places:
            assert rows.count(f'id="{place}"') == 1
        boxes = [tuple(map(float, box)) for _, *box in places]
        for number, (x, y, wide, high) in enumerate(boxes):
            assert min(x, y) >= 0
            assert max(x + wide, y + high) <= 100
            for u, v, w, h in boxes[:number]:
                assert x >= u + w or u >= x + wide or y >= v + h or v >= y + high, "none overlaps"

    def test_links_survive_any_id_and_files_that_share_one(self) -> None:
        found = audit(
            (
                revision(HOSTILE),
                revision("dup", HOSTILE, file="versions/one.py"),
                revision("dup", HOSTILE, file="versions/two.py"),
            )
        )
        drawn = check(render.graph(found, linked=True))
        rows = render.revisions(found).html
        places = re.findall(LINK, render.graph(found, linked=True).html)
        assert [rows.count(f'id="{place}"') for place, *_ in places] == [1, 1, 1]
        assert len({place for place, *_ in places}) == 2
        assert drawn.seen.count("a") == 3

    def test_without_the_table_there_is_no_link(self) -> None:
        assert "href" not in render.graph(wallet()).html

    def test_an_empty_tree_is_drawn_too(self) -> None:
        assert "none" in repr(render.graph(audit(())))
        check(render.graph(audit(())))

    def test_as_text_parents_stand_before_children(self) -> None:
        text = repr(render.graph(wallet()))
        lines = [line for line in text.splitlines() if " (" in line]
        at = {
            item.revision_id: next(n for n, line in enumerate(lines) if item.revision_id in line)
            for item in wallet().revisions
        }
        for item in wallet().revisions:
            assert all(at[parent] < at[item.revision_id] for parent in item.down_revisions)
        assert "<== database says here" in text


def line(length: int, **odd: object) -> Audit:
    """A history of one line, with other verdicts at ``odd`` places (by name r0005)."""
    names = [f"r{number:04d}" for number in range(length)]
    return audit(
        [
            revision(name, *names[max(0, n - 1) : n], verdict=odd.get(name, "applied"))  # type: ignore[arg-type]
            for n, name in enumerate(names)
        ],
        current=(names[-1],) if names else (),
    )


def ladder(rungs: int) -> Audit:
    """A history that branches and merges all the way: three revisions a rung."""
    made = [revision("m0000")]
    for n in range(rungs):
        made += [revision(f"{side}{n:04d}", f"m{n:04d}") for side in "ab"]
        made.append(revision(f"m{n + 1:04d}", f"a{n:04d}", f"b{n:04d}"))
    return audit(made, current=(f"m{rungs:04d}",))


def fan(width: int) -> Audit:
    return audit((revision("root"), *(revision(f"h{n:04d}", "root") for n in range(width))))


def shown(picture: Picture) -> set[str]:
    return {node.ids[0] for node in picture.nodes if node.kind == "revision"}


class TestCondensing:
    def test_twelve_revisions_are_all_drawn(self) -> None:
        assert len(draw_up(line(12)).nodes) == len(condense(draw_up(line(12))).nodes) == 12

    @pytest.mark.parametrize("length", [120, 1200])
    def test_a_long_line_keeps_what_matters(self, length: int) -> None:
        picture = condense(draw_up(line(length, r0050="phantom", r0100="partial")))
        assert {"r0000", "r0050", "r0100", f"r{length - 1:04d}"} <= shown(picture)
        assert len(picture.nodes) < 15

    def test_the_condensed_node_says_how_many_it_stands_for(self) -> None:
        display = render.graph(line(39))
        assert "✓ … 37 applied revisions …" in svg_texts(svg_of(display))
        assert "… 37 applied revisions … (r0001 to r0037)" in repr(display)

    @pytest.mark.parametrize("make", [line, ladder, fan])
    def test_a_large_tree_is_small_enough_to_read(self, make: Callable[[int], Audit]) -> None:
        found = make(1200)
        picture = condense(draw_up(found))
        assert len(picture.nodes) <= 80
        check(render.graph(found))
        assert widest(render.graph(found)) <= 100

    def test_pending_revisions_of_an_empty_database_are_condensed_too(self) -> None:
        names = {f"{side}{n:04d}": "pending" for side in "abm" for n in range(100)}
        found = ladder(99)
        found = audit(
            [revision(r.revision_id, *r.down_revisions, verdict="pending") for r in found.revisions]
        )
        assert len(names) > len(condense(draw_up(found)).nodes)
        assert len(condense(draw_up(found)).nodes) <= 10

    @pytest.mark.parametrize("bad", [0, 6, 40])
    def test_1200_revisions_with_many_merges_fit_what_a_person_reads(self, bad: int) -> None:
        found = bush(1200, bad)
        assert len(found.tree.merge_points) > 150
        picture = condense(draw_up(found))
        wrong = {item.revision_id for item in found.revisions if item.verdict == "phantom"}
        assert len(wrong) == bad
        assert {*wrong, *found.current_heads, *found.tree.heads} <= shown(picture)
        assert len(picture.nodes) <= 20 + 3 * bad
        assert sum(len(node.ids) for node in picture.nodes) == 1200

    def test_where_nearly_all_revisions_are_phantoms_they_are_condensed_and_counted(self) -> None:
        made = [
            dataclasses.replace(item, verdict="phantom") if item.verdict == "applied" else item
            for item in bush(1200, 0).revisions
        ]
        words = svg_texts(svg_of(render.graph(audit(made))))
        number = sum(item.verdict == "phantom" for item in made)
        assert number > 800
        (told,) = re.findall(r"✗ … ([\d,]+) phantom revisions and merge points …", words)
        assert int(told.replace(",", "")) > number

    def test_a_stretch_of_several_verdicts_counts_the_rarer_ones(self) -> None:
        found = bush(1200, 0)
        middle = found.revisions[600:640]
        made = [
            dataclasses.replace(item, verdict="pending") if item in middle else item
            for item in found.revisions
        ]
        text = repr(render.graph(audit(made)))
        assert re.search(r"\d applied revisions and 40 pending …", text)

    @pytest.mark.parametrize("seed", range(20))
    def test_what_lies_between_the_seen_makes_no_cycle_either(self, seed: int) -> None:
        whole = draw_up(tangle(seed))
        picture = _merge(whole, between(whole))
        ids = sorted(name for node in picture.nodes for name in node.ids)
        assert ids == sorted(node.ids[0] for node in whole.nodes)
        assert is_acyclic(picture)

    @pytest.mark.parametrize("size", [12, 120, 1200])
    def test_a_picture_is_the_same_bytes_each_time(self, size: int) -> None:
        assert render.graph(bush(size, 3)).html == render.graph(bush(size, 3)).html

    @pytest.mark.parametrize("seed", range(40))
    def test_nothing_is_lost_nothing_wrong_is_hidden_and_no_cycle_is_made(self, seed: int) -> None:
        found = tangle(seed)
        made, half = found.revisions, found.current_heads[0]
        picture = condense(draw_up(found))
        ids = sorted(name for node in picture.nodes for name in node.ids)
        assert ids == sorted(item.revision_id for item in made)
        assert {half, *found.tree.heads, *found.tree.bases} <= shown(picture)
        keys = {node.key for node in picture.nodes}
        assert all({edge.parent, edge.child} <= keys for edge in picture.edges)
        assert is_acyclic(picture)


def tangle(seed: int) -> Audit:
    """A random history of 25 to 250 revisions with up to two parents each, mostly applied."""
    chance = random.Random(seed)
    made = []
    for n in range(chance.randint(25, 250)):
        back = (
            {chance.randint(1, min(n, 6)) for _ in range(chance.choice((1, 1, 1, 2)))}
            if n
            else set()
        )
        verdict = chance.choice(["applied"] * 9 + ["pending", "phantom", "partial"])
        made.append(revision(f"r{n}", *(f"r{n - k}" for k in sorted(back)), verdict=verdict))
    return audit(made, current=(f"r{len(made) // 2}",))


def bush(size: int, bad: int) -> Audit:
    """A random history of branches and merges all along; ``bad`` of its later half are phantoms."""
    chance = random.Random(size)
    made, tips = [revision("r0")], ["r0"]
    for n in range(1, size):
        join = len(tips) > 1 and (chance.random() < 0.3 or n > size - 40)
        back = f"r{n - chance.randint(1, min(n, 4))}" if chance.random() < 0.25 else ""
        alone = back if back and n < size - 40 else chance.choice(tips)
        parents = chance.sample(tips, 2) if join else [alone]
        tips = [*(tip for tip in tips if tip not in parents), f"r{n}"]
        made.append(revision(f"r{n}", *parents, verdict="unknowable" if join else "applied"))
    late = [n for n in range(size // 2, size - 1) if made[n].verdict == "applied"]
    for n in chance.sample(late, bad):
        made[n] = dataclasses.replace(made[n], verdict="phantom")
    return audit(made, current=(f"r{size - 1}",))


def is_acyclic(picture: Picture) -> bool:
    waiting = {key: set(above) for key, above in picture.parents().items()}
    while ready := {key for key, above in waiting.items() if not above}:
        waiting = {key: above - ready for key, above in waiting.items() if key not in ready}
    return not waiting


class TestTables:
    def test_a_large_tree_keeps_unsound_revisions_in_view_and_folds_the_rest(self) -> None:
        display = render.revisions(line(1200, r0600="phantom"))
        assert "details" in check(display).seen
        assert "r0600" in repr(display)
        assert "and 1,199 revisions that nothing speaks against" in repr(display)
        assert len(repr(display).splitlines()) < 20
        assert "r1199" in display.html

    def test_a_table_gives_its_rows_as_a_data_frame(self) -> None:
        frame = render.revisions(wallet()).frame()  # type: ignore[attr-defined]
        assert len(frame) == 8
        assert list(frame[frame.verdict == "✗ phantom"].revision) == ["add_trading_models"]

    def test_errors_come_first(self) -> None:
        found = (
            finding("branch-point", "a", "several children"),
            finding("missing-purpose", "b", "no docstring"),
            finding("phantom", "c", "not executed"),
        )
        text = repr(render.findings(found))
        assert text.index("✗ error") < text.index("! warning") < text.index("i info")
        assert text.startswith("3 findings: 1 error, 1 warning, 1 for information")

    def test_many_findings_alike_share_a_row(self) -> None:
        few = tuple(finding("unrecorded", f"r{n}", f"r{n} is not recorded.") for n in range(12))
        assert repr(render.findings(few)).count("is not recorded.") == 12
        many = (*few, finding("unrecorded", "r12", "r12 is not recorded."))
        drawn = render.findings((*many, finding("phantom", "c", "not executed")))
        assert repr(drawn).startswith("14 findings: 14 errors")
        assert "13 findings alike. The first: r0 is not recorded." in repr(drawn)
        assert repr(drawn).count("is not recorded.") == 1
        assert "not executed" in repr(drawn)
        assert drawn.html.count("is not recorded.") == 14

    def test_very_many_revisions_that_are_wrong_alike_are_folded(self) -> None:
        wrong = [revision(f"r{n:03}", verdict="unrecorded") for n in range(150)]
        odd = revision("odd", verdict="phantom")
        text = repr(render.revisions(audit((*wrong, odd, revision("good")))))
        assert [name in text for name in ("r005", "r006", "odd", "good")] == [True, False] * 2
        assert "and 145 revisions that are unrecorded too, or that nothing speaks against" in text

    def test_many_effects_are_counted_by_kind(self) -> None:
        many = [f"+ column public.t.c{n}" for n in range(30)] + ["+ table public.t", "- index i"]
        item = dataclasses.replace(revision("a"), effects=tuple(many), touches_rows=True)
        text = repr(render.revisions(audit((item,))))
        assert "effects: +1 table, 30 columns; -1 index; changes rows" in text
        assert "public.t.c7" not in text

    def test_many_effects_are_listed_on_demand_up_to_a_limit(self) -> None:
        many = [f"+ column public.t.c{n}" for n in range(1000)]
        item = dataclasses.replace(revision("a"), effects=tuple(many))
        drawn = render.revisions(audit((item,))).html.replace("<wbr>", "")
        assert "<details><summary>+1,000 columns</summary>+ column public.t.c0<br>" in drawn
        assert "public.t.c199<br>… and 800 more, in the artifact</details>" in drawn

    def test_evidence_without_a_name_is_of_what_record_and_database_disagree_on(self) -> None:
        text = repr(render.evidence(wallet()))
        assert "add_trading_models: ✗ phantom" in text
        assert "column:public.transactions.trade_id" in text
        assert "1d661194d41e" not in text
        assert repr(render.evidence(audit(()))).startswith("✓ Record and database agree")

    def test_evidence_of_an_unknown_revision_is_a_sentence(self) -> None:
        assert repr(render.evidence(wallet(), "nobody")) == "The tree has no revision nobody."

    def test_comparisons_count_what_is_as_promised(self) -> None:
        items = [comparison("column", "public.t", f"public.t.c{n}", "equal") for n in range(42)]
        assert repr(render.comparisons(items, "column")).startswith(
            "✓ 42 of 42 columns are as promised"
        )
        items.append(comparison("column", "public.t", "public.t.z", "missing"))
        items.append(comparison("column", "public.t", "public.t.y", "extra"))
        items.append(comparison("index", "public.t", "public.i", "missing"))
        text = repr(render.comparisons(items, "column"))
        assert text.startswith("✗ 42 of 43 columns are as promised; 1 missing; 1 extra")
        assert "public.i" not in text
        assert text.index("public.t.z") < text.index("public.t.y") < text.index("public.t.c0")

    def test_comparisons_of_a_kind_that_nobody_promises_say_so(self) -> None:
        assert repr(render.comparisons((), "index")) == (
            "The heads promise no indexes, and the database has none."
        )
        other = (comparison("sequence", "", "public.s", "equal"),)
        assert "sequence public.s" in repr(render.comparisons(other, "other"))

    def test_differences_name_the_worst_table_first_and_count_what_a_missing_table_holds(
        self,
    ) -> None:
        items = (
            comparison("column", "public.a", "public.a.x", "extra"),
            comparison("table", "public.trades", "public.trades", "missing", expected="table"),
            comparison("column", "public.trades", "public.trades.id", "missing"),
            comparison("column", "public.trades", "public.trades.at", "missing"),
            comparison("index", "public.trades", "public.ix", "missing"),
            comparison("column", "public.b", "public.b.y", "changed", found="text"),
            comparison("column", "public.b", "public.b.z", "equal"),
        )
        text = repr(render.differences(items))
        assert text.startswith("✗ 6 objects differ: 4 missing, 1 changed, 1 extra")
        assert "with 2 columns" in text
        assert "public.trades.id" not in text
        assert "public.b.z" not in text
        assert text.index("public.trades") < text.index("public.b.y") < text.index("public.a.x")

    def test_no_difference_is_a_sentence(self) -> None:
        text = repr(render.differences((comparison("table", "", "t", "equal"),)))
        assert text == "✓ No difference: the database has what the heads promise."


class TestRepair:
    def test_a_plan_shows_its_digest_steps_sql_reverse_and_lock(self) -> None:
        proposed = plan(step(), step("Stamp", transactional=False, reversible=False, sql=()))
        text = repr(render.plan(proposed))
        assert proposed.digest in text
        assert text.index("1. Run add_trading_models") < text.index("2. Stamp")
        for words in ("CREATE TABLE trades", "DROP TABLE trades", "lock: ACCESS EXCLUSIVE"):
            assert words in text
        assert "! not transactional" in text
        assert "! not reversible" in text

    def test_long_sql_is_cut_and_says_so(self) -> None:
        text = repr(render.plan(plan(step(sql=tuple(f"SELECT {n};" for n in range(500))))))
        assert "440 more lines, all in the artifact" in text
        assert "SELECT 499" not in text

    def test_no_plan_is_said_plainly(self) -> None:
        assert repr(render.plan(None)).startswith("✗ There is no plan")

    def test_a_rehearsal_says_why_cheaper_strategies_failed(self) -> None:
        def attempt(name: str, proven: bool, reason: str) -> Attempt:
            return Attempt(strategy=name, proven=proven, reason=reason, steps=DONE, seconds=2.0)  # type: ignore[arg-type]

        result = Rehearsal(
            plan_digest="d" * 64,
            proven=True,
            attempts=(
                attempt("correct-version-rows", False, "trades is still missing"),
                attempt("stamp-back-and-upgrade", True, "everything holds"),
            ),
        )
        text = repr(render.rehearsal(result))
        assert "✓ Proven on the clone" in text
        assert "trades is still missing" in text
        assert "The steps of stamp-back-and-upgrade" in text
        assert "1 min 01 s" in text

    def test_a_refusal_names_the_codes(self) -> None:
        result = Rehearsal(
            plan_digest="", proven=False, attempts=(), refused=("drift-changed",), reason="Why."
        )
        assert "✗ Not proven. Why. Forbidden by: drift-changed." in repr(render.rehearsal(result))

    def test_a_patch_keeps_every_line(self) -> None:
        text = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-old\n+new\n"
        display = render.patch(text)
        assert repr(display) == text.rstrip("\n")
        assert text.rstrip("\n") in "".join(check(display).words)
        assert repr(render.patch("")) == "No file of the project changes."


class TestProof:
    def test_a_backup_is_verified_or_it_is_not(self) -> None:
        good = repr(render.backup(backup()))
        assert "✓ Verified" in good
        assert "1 min 15 s" in good
        assert "1.5 kB" in good
        assert "ab" * 32 in good
        bad = repr(render.backup(backup(unequal_tables=("public.users",))))
        assert "✗ Not verified" in bad
        assert "public.users" in bad

    def test_rows_have_totals_and_unequal_tables_come_first(self) -> None:
        proofs = (
            TableProof(table="a", rows_before=1000, rows_after=1000, equal=True),
            TableProof(table="b", rows_before=5, rows_after=4, equal=False),
        )
        text = repr(render.rows(proofs))
        assert text.startswith("✗ 1 of 2 tables are as they were (1,005 rows before, 1,004 after)")
        assert text.index("\nb ") < text.index("\na ")
        assert re.search(r"total +1,005 +1,004 +✗ differ", text)

    def test_a_timeline_is_drawn_to_scale(self) -> None:
        results = [StepResult(title=str(took), seconds=took) for took in (1.0, 3.0, 0.0)]
        display = render.timeline(results)
        assert re.findall("[·█]+", repr(display)) == [
            "████" + "·" * 12,
            "····" + "█" * 12,
            "·" * 15 + "█",
        ]
        check(display)
        shares = re.findall(r"margin-left:([\d.]+)%;width:([\d.]+)%", display.html)
        assert shares == [("0.0", "25.0"), ("25.0", "75.0"), ("100.0", "0.0")]

    def test_a_checklist_says_what_to_do_only_where_it_does_not_hold(self) -> None:
        items = (
            ChecklistItem(name="backup verified", passed=True, detail="", todo="run 01_backup"),
            ChecklistItem(name="checks pass", passed=False, detail="", todo="run 04_validation"),
        )
        text = repr(render.checklist(items))
        assert text.startswith("✗ 1 of 2 conditions hold")
        assert "run 04_validation" in text
        assert "run 01_backup" not in text

    def test_no_approval_is_no_approval(self) -> None:
        assert repr(render.approval(None)).startswith("○ Not approved")

    @pytest.mark.parametrize(
        ("passed", "words"), [(True, "✓ Deployed and verified"), (False, "✗ The deployment is not")]
    )
    def test_a_deployment_says_how_it_ended(self, passed: bool, words: str) -> None:
        assert words in repr(render.deployment(deployment(passed)))

    @pytest.mark.parametrize(
        ("status", "mark"), [("passed", "✓"), ("failed", "✗"), ("refused", "✗"), ("waiting", "!")]
    )
    def test_a_verdict_has_a_mark_and_a_word(self, status: str, mark: str) -> None:
        assert repr(render.verdict(status, "So it is.")) == f"{mark} {status.upper()} — So it is."

    def test_nothing_to_show_is_always_a_sentence(self) -> None:
        empty = (
            render.findings(()),
            render.strategies(()),
            render.drift(()),
            render.checks(()),
            render.rows(()),
            render.ways_back(()),
            render.checklist(()),
            render.watch(()),
            render.alerts(()),
            render.schedule({}),
            render.timeline(()),
            render.candidates(()),
            render.binding({}),
        )
        for display in empty:
            assert "table" not in check(display).seen
            assert repr(display).endswith((".", ")."))


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no chromium")
class TestBrowser:
    def test_a_phone_scrolls_no_page_sideways_and_the_picture_shows(self, tmp_path: Path) -> None:
        """Each display in a frame as wide as a phone; the page reports what it measured."""
        displays = {
            **every_display("public.some_table of the tree"),
            "wallet": render.graph(wallet()),
        }
        frames = "".join(
            f'<iframe title="{name}" width="360" height="600" srcdoc="{html.escape(shown)}">'
            "</iframe>"
            for name, shown in ((name, item._repr_html_()) for name, item in displays.items())
        )
        page = tmp_path / "page.html"
        page.write_text(f"<meta charset=utf-8><body>{frames}<script>{MEASURE}</script></body>")
        found = json.loads(measured(page))
        assert set(found) == set(displays)
        for name, (width, pictures) in found.items():
            assert width <= 360, f"{name} is {width} pixels wide"
            assert pictures == (1 if name in ("graph", "wallet") else 0), name


MEASURE = """
onload = () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const inner = frame.contentDocument;
    const drawn = [...inner.images].filter((image) => image.naturalWidth > 0);
    found[frame.title] = [inner.documentElement.scrollWidth, drawn.length];
  }
  document.body.textContent = "FOUND" + JSON.stringify(found) + "END";
};
"""


def measured(page: Path) -> str:
    """Open the page in a real browser and return what its script wrote."""
    argv = ["chromium", "--headless", "--no-sandbox", "--disable-gpu"]
    argv += ["--disable-background-networking", f"--user-data-dir={page.parent / 'profile'}"]
    argv += ["--virtual-time-budget=5000", "--dump-dom", page.as_uri()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return html.unescape(re.findall(r"FOUND(.*?)END", done.stdout, re.DOTALL)[-1])


def test_findings_are_in_the_order_in_which_to_read_them() -> None:
    """Errors first; what never ran before what somebody changed by hand."""
    codes = ("branch-point", "drift-missing", "partial", "redundant-row", "phantom", "cycle")
    found = [finding(code, "x", code) for code in codes]
    order = [row[0].text for row in render.findings(found).table.rows]  # type: ignore[attr-defined]
    right = ["cycle", "redundant-row", "phantom", "partial", "drift-missing", "branch-point"]
    assert order == right
