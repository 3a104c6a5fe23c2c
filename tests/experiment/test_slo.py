"""The largest load that still meets an objective."""

from __future__ import annotations

import math

import pytest

from synapse.experiment import Interval, Study, StudyError
from synapse.experiment.slo import Goal, largest
from synapse.simulation import Scenario
from tests.support.inline import Inline


def test_a_goal_is_read_with_its_unit() -> None:
    assert Goal.parse("p99 < 500 ms") == Goal("latency_p99", True, 0.5)
    assert Goal.parse("success >= 99%") == Goal("success", False, 0.99)
    assert Goal.parse("goodput>1e3") == Goal("goodput", False, 1000.0)


@pytest.mark.parametrize("text", ["p99", "p99 = 3", "p99 < fast", "p99 < 1.2.3", "p98 < 1"])
def test_what_is_no_goal_is_refused(text: str) -> None:
    with pytest.raises(StudyError):
        Goal.parse(text)


def test_the_ends_are_where_the_interval_meets_the_bound() -> None:
    found = largest(Goal("latency_p99", True, 10.0), lambda x: Interval(x**2, x**2 - 1, x**2 + 1, 9), 0.0, 5.0, 1e-9)
    assert (found.mean, found.low, found.high) == pytest.approx((math.sqrt(10), 3.0, math.sqrt(11)))
    assert found.n == 9


def test_a_goal_from_below_is_found_as_well() -> None:
    found = largest(Goal("success", False, 0.9), lambda x: Interval(1 - x, 0.9 - x, 1.1 - x, 3), 0.0, 0.15, 1e-9)
    assert found.mean == pytest.approx(0.1)
    assert found.low == pytest.approx(0.0, abs=1e-8)
    assert math.isnan(found.high)


def test_where_nobody_is_answered_it_is_missed() -> None:
    assert Goal("latency_p99", True, 1.0).miss(math.nan) > 0


def test_the_load_of_a_study_is_the_one_that_theory_gives() -> None:
    base = Scenario(
        duration=60, warmup=5, node={"slots": 1, "service": {"kind": "exponential", "mean": 0.05}, "queue": "fifo"},
        agents={"count": 1, "arrivals": {"kind": "poisson", "rate": 1}},
    )  # fmt: skip
    found = Study(base, reps=5).slo("latency < 0.1", between=(0.1, 0.9), tolerance=0.01, executor=Inline()).iloc[0]
    assert found["low"] < 0.5 < found["high"]  # M/M/1: 0.05 / (1 - load) = 0.1
    assert found["low"] < found["load"] < found["high"]


def test_a_value_at_which_some_collapse_is_missed() -> None:
    base = Scenario(
        agents={
            "count": 300,
            "timeout": {"kind": "fixed", "seconds": 1},
            "retry": {"kind": "full-jitter", "base": 0.1, "cap": 10, "tries": 5},
        },
        node={
            "slots": 3,
            "service": {"kind": "lognormal", "mean": 0.05, "cv": 1},
            "queue": {"kind": "fifo", "bound": 240},
        },
        faults=[{"kind": "slow-down", "at": 20, "width": 2.5, "factor": 4}],
    )
    study = Study(base, reps=6)
    found = study.slo("success > 50 %", "agents.count", (150, 360), 4, Inline()).iloc[0]
    assert found["agents.count"] == int(found["agents.count"])
    there = Study(base.replace({"agents.count": int(found["agents.count"])}), reps=6).run(Inline(), progress=False)
    assert not there.regimes["bistable"].any()


@pytest.mark.parametrize(
    ("between", "problem"),
    [((0.8, 0.9), "between: must begin where the goal is met"), ((0.1, 0.2), "between: must end where"),
     ((2, 1), "load: must be")],
)  # fmt: skip
def test_where_there_is_nothing_to_find_it_says_so(between: tuple[float, float], problem: str) -> None:
    base = Scenario(duration=20, warmup=1, node={"slots": 1}, agents={"arrivals": {"kind": "poisson", "rate": 1}})
    with pytest.raises(StudyError, match=problem):
        Study(base, reps=2).slo("latency < 0.1", between=between, executor=Inline())
