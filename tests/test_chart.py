"""Charts say in words what they show, and are the same bytes each time."""

from __future__ import annotations

from xml.etree import ElementTree

from runbook_lib import chart
from runbook_lib.evidence import PhaseResult
from runbook_lib.seal import RunRecord, Verdict


def ended(verdict: Verdict, errors: int | None) -> RunRecord:
    return RunRecord(
        environment="staging",
        run="r",
        verdict=verdict,
        started="2026-01-01T00:00:00Z",
        ended="2026-01-01T00:01:00Z",
        errors=errors,
    )


def picture(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def test_a_trend_tells_every_run_in_words_and_counts_equal_ones() -> None:
    runs = [ended("failed", 5), ended("repaired", 5), *[ended("healthy", 0)] * 3]
    figure = picture(chart.trend(runs))
    assert figure[0].attrib["aria-label"] == (
        "Trend, the oldest run first: 1 run failed with 5 errors found; 1 run repaired with 5 "
        "errors found; 3 runs healthy with 0 errors found."
    )
    heights = [float(item[1].attrib["height"]) for item in figure[0]]
    assert heights == [34, 34, 0, 0, 0]
    assert [item[3].text for item in figure[0]] == ["✗", "●", "✓", "✓", "✓"]
    assert chart.trend(runs) == chart.trend(list(runs))


def test_a_long_trend_shows_the_last_runs_and_a_run_without_audit_no_number() -> None:
    figure = picture(chart.trend([*[ended("healthy", 1)] * 1000, ended("interrupted", None)]))
    columns = list(figure[0])
    assert len(columns) == chart.LAST
    assert columns[-1][2].text is None
    assert columns[-1][3].text == "‖"
    assert "1 run interrupted without an audit" in figure[0].attrib["aria-label"]


def test_bars_follow_one_another_and_stay_within() -> None:
    drawn = [picture(item)[1].attrib for item in chart.bars([(1, "passed"), (3, "failed")])]
    assert [(item["x"], item["width"]) for item in drawn] == [("0.0", "250.0"), ("250.0", "750.0")]
    for item in chart.bars([(10, "passed"), (0, "passed")]):
        rect = picture(item)[1].attrib
        assert float(rect["x"]) + float(rect["width"]) <= 1000
        assert float(rect["width"]) > 0, "also the shortest can be seen"


def test_a_strip_names_its_seconds() -> None:
    phases = [
        PhaseResult(phase="01_backup", status="passed", sentence="", seconds=3.14),
        PhaseResult(phase="02_audit", status="failed", sentence="", seconds=1.0),
    ]
    svg = picture(chart.strip(phases))
    assert svg[0].text == "Seconds: 01 3.1 s, 02 1.0 s"
    assert [item.attrib["class"] for item in svg[1:]] == ["passed", "failed"]
