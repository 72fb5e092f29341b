"""Colours of verdicts: told apart, day and night, also by those who do not see red or green."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from runbook_lib.pages import TEMPLATES

# Machado, Oliveira, Fernandes (2009), severity 1.0; rows make linear red, green and blue.
SEEN = {
    "all": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
}
XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
Triple = tuple[float, float, float]
Matrix = tuple[Triple, Triple, Triple]


def times(matrix: Matrix, colour: Triple) -> Triple:
    a, b, c = (sum(x * y for x, y in zip(row, colour, strict=True)) for row in matrix)
    return a, b, c


def linear(text: str) -> Triple:
    red, green, blue = (int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
    plain = (red, green, blue)
    a, b, c = (((v + 0.055) / 1.055) ** 2.4 if v > 0.04045 else v / 12.92 for v in plain)
    return a, b, c


def lab(colour: Triple) -> Triple:
    whole = (
        max(v, 0.0) / white for v, white in zip(times(XYZ, colour), (0.9505, 1, 1.089), strict=True)
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in whole)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def apart(one: str, other: str, seen: Matrix) -> float:
    """The distance of two colours in CIELAB: 2 is just seen side by side, 12 without a doubt."""
    first, second = (lab(times(seen, linear(item))) for item in (one, other))
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN.keys())
def test_verdicts_are_told_apart_by_everybody(seen: Matrix) -> None:
    css = (TEMPLATES / "page.css").read_text()
    themes = [dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in css.split(":root")]
    themes = [theme for theme in themes if "good" in theme]
    assert len(themes) == 3, "day, night, print"
    for theme in themes:
        for one, other in combinations(("good", "bad", "wait"), 2):
            assert apart(theme[one], theme[other], seen) > 12, (one, other)
