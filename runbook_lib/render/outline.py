"""Outline: the revision graph as text, parents first, one lane for each open branch."""

from __future__ import annotations

from runbook_lib.render.display import WIDTH, clean, fit
from runbook_lib.render.marks import LOOKS
from runbook_lib.render.picture import Node, Picture, parents_first

MAX_LANES = 16


def outline(picture: Picture) -> str:
    """Return the graph as lines of at most :data:`WIDTH` cells; branches stand indented."""
    parents, kinds = picture.parents(), {(e.parent, e.child): e.kind for e in picture.edges}
    left = {key: len(set(below) - {key}) for key, below in picture.children().items()}
    names = {node.key: _name(node) for node in picture.nodes}
    lanes: list[str] = []
    out: list[str] = []
    before = ""
    for node in parents_first(picture):
        above = list(dict.fromkeys(parents[node.key]))
        for parent in above:
            left[parent] -= parent != node.key
        lane = _take_lane(lanes, above, left)
        origin = (
            ""
            if above == [before] and kinds[(before, node.key)] == "parent"
            else _origin([(names[parent], kinds[(parent, node.key)]) for parent in above])
        )
        lanes[lane] = node.key
        out += _lines(lanes, lane, _mark(node), _text(node) + origin)
        lanes[lane] = node.key if left[node.key] > 0 else ""
        while lanes and not lanes[-1]:
            lanes.pop()
        before = node.key
    return "\n".join(out)


def _take_lane(lanes: list[str], above: list[str], left: dict[str, int]) -> int:
    """Return the lane for a node: of a parent that it closes, else a free one, else a new one."""
    closed = [index for index, key in enumerate(lanes) if key in above and left[key] <= 0]
    for index in closed:
        lanes[index] = ""
    least = max((index for index, key in enumerate(lanes) if key in above), default=-1) + 1
    if closed:
        return closed[0]
    free = (index for index, key in enumerate(lanes) if not key and index >= least)
    lane = next(free, len(lanes))
    if lane == len(lanes):
        lanes.append("")
    return lane


def _lines(lanes: list[str], lane: int, mark: str, text: str) -> list[str]:
    """Return a node's lines; lanes beyond the widest are drawn at the widest."""
    shown = lanes[: MAX_LANES + 1]
    bars = ["│ " if key else "  " for key in shown]
    first, rest = list(bars), list(bars)
    first[min(lane, MAX_LANES)] = f"{mark} "
    lines = fit(text, WIDTH - len("".join(bars)) - 2)
    return [
        "".join(rest if number else first) + ("  " if number else "") + line
        for number, line in enumerate(lines)
    ]


def _mark(node: Node) -> str:
    return LOOKS[node.verdict].mark if node.verdict else "x"


def _name(node: Node) -> str:
    if node.kind == "condensed":
        return f"the stretch to {clean(node.ids[-1])}"
    return clean(node.ids[0])


def _text(node: Node) -> str:
    if node.kind == "condensed":
        first, last = clean(node.ids[0]), clean(node.ids[-1])
        extra = f" {node.purpose}" if node.purpose else ""
        return f"… {len(node.ids):,} {node.verdict} revisions{extra} … ({first} to {last})"
    roles = [node.verdict or f"{node.kind}, no file has it", *map(clean, node.roles)]
    here = "  <== database says here" if node.current else ""
    purpose = f" — {node.purpose[:60]}" if node.purpose else ""
    return f"{_name(node)} ({', '.join(roles)}){here}{purpose}"


def _origin(above: list[tuple[str, str]]) -> str:
    if not above:
        return ""
    words = {"cycle": " (cycle)", "depends": " (depends_on)", "dangling": " (dangling)"}
    return f" ← {', '.join(name + words.get(kind, '') for name, kind in above)}"
