"""Sequential stopping: as many replications as an interval needs, and no more."""

from __future__ import annotations

import math

import pytest

from synapse.experiment import Study, StudyError
from synapse.experiment.design import Point
from synapse.experiment.interval import of_mean
from synapse.experiment.until import LEAST, Until
from synapse.simulation import Scenario
from tests.experiment.test_results import row
from tests.support.inline import Inline

BASE = Scenario(duration=6, warmup=1, agents={"count": 30, "think": {"kind": "exponential", "mean": 1}})
POINT = Point({}, BASE, "k")


def goodputs(*values: float) -> list[dict[str, object]]:
    return [row(rep, goodput=value) for rep, value in enumerate(values)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("relative half-width < 5 %", Until("goodput", 0.05, True)),
        ("relative half-width of p99 < 0.1", Until("latency_p99", 0.1, True)),
        ("half-width of wait <= 1e-3", Until("wait_mean", 0.001, False)),
    ],
)
def test_a_rule_is_read(text: str, rule: Until) -> None:
    assert Until.parse(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p99 < 5",
        "half-width",
        "half-width < 0",
        "half-width < 5 %",
        "relative half-width < -1",
        "relative half-width < 5",
        0.05,
        "half-width < 1e",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(StudyError, match="until: "):
        Until.parse(text)


def test_fewer_than_ten_tell_nothing() -> None:
    assert Until("goodput", 0.5, True).wanted(POINT, goodputs(*[100.0, 100.1] * 4)) == LEAST


def test_an_interval_that_is_narrow_enough_needs_no_more() -> None:
    rows = goodputs(*[100.0, 101.0] * 6)
    assert Until("goodput", of_mean([100.0, 101.0] * 6).relative, True).wanted(POINT, rows) == 12


def test_one_twice_as_wide_needs_four_times_as_many_but_is_looked_at_again_at_twice_as_many() -> None:
    rows = goodputs(*[90.0, 110.0] * 8)
    half = of_mean([90.0, 110.0] * 8).half
    assert Until("goodput", half / 2, False).wanted(POINT, rows) == 32
    assert Until("goodput", half / math.sqrt(1.5), False).wanted(POINT, rows) == 24


def test_more_make_no_mean_where_some_have_collapsed() -> None:
    rows = [row(rep, final=100.0 * (rep % 2), goodput=100.0 * (rep % 2)) for rep in range(LEAST)]
    assert Until("goodput", 0.01, True).wanted(POINT, rows) == LEAST


def test_a_metric_that_is_not_there_needs_no_more() -> None:
    assert Until("goodput", 0.01, True).wanted(POINT, goodputs(*[math.nan] * LEAST)) == LEAST


def test_a_study_stops_when_its_intervals_are_narrow_enough() -> None:
    study = Study(BASE, reps=2, until="relative half-width < 4 %", slots=[1, 8])
    results = study.run(Inline(), progress=False)
    for _, rows in results.frame.groupby("node.slots" if "node.slots" in results.axes else "slots"):
        assert len(rows) >= LEAST
        assert of_mean(rows["goodput"]).relative < 0.04


def test_it_gives_up_at_the_most() -> None:
    frame = Study(BASE, reps=2).run(Inline(), False, until="half-width < 1e-9", most=13).frame
    assert len(frame) == 13
