"""Sobol' indices: of a function whose indices are known, and of a scenario."""

from __future__ import annotations

import math

import pytest

from synapse.experiment import Study, StudyError
from synapse.experiment.sensitivity import indices
from synapse.simulation import Scenario
from tests.support.inline import Inline

BASE = Scenario(duration=6, warmup=1, agents={"count": 20, "arrivals": {"kind": "poisson", "rate": 50}})


def ishigami(x: float, y: float, z: float) -> float:
    return math.sin(x) + 7 * math.sin(y) ** 2 + 0.1 * z**4 * math.sin(x)


def test_they_are_those_of_ishigami_and_homma() -> None:
    ends = (-math.pi, math.pi)
    frame = indices(
        lambda places: [ishigami(**place) for place in places], dict.fromkeys("xyz", ends), points=1024, seed=1
    ).set_index("axis")
    assert frame["first"].to_dict() == pytest.approx({"x": 0.3139, "y": 0.4424, "z": 0.0}, abs=0.03)
    assert frame["total"].to_dict() == pytest.approx({"x": 0.5576, "y": 0.4424, "z": 0.2437}, abs=0.04)
    assert (frame["first_low"] <= frame["first"]).all()
    assert (frame["total"] <= frame["total_high"]).all()


def test_latency_hangs_on_the_service_and_not_on_what_no_one_feels() -> None:
    study = Study(BASE, reps=1)
    ranges = {"node.service.mean": (0.01, 0.05), "node.timeout.seconds": (50.0, 60.0)}
    frame = study.sensitivity(ranges, "latency", 16, Inline(), progress=False).set_index("axis")
    assert frame.loc["node.service.mean", "total"] > 0.5
    again = study.sensitivity(ranges, "latency", 16, Inline(), progress=False).set_index("axis")
    assert frame.equals(again)
    assert frame.loc["node.timeout.seconds", "total"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ({"points": 6}, "points: must be a power of two"),
        ({"ranges": {"load": (0.9, 0.5)}}, "load: must be"),
        ({"ranges": {}}, "ranges: must name"),
        ({"metric": "p98"}, "metric: 'p98' is none"),
        ({"ranges": {"node.timeout.seconds": (50.0, 60.0)}}, "metric: is the same at all points"),
    ],
)
def test_what_is_wrong_is_named(named: dict[str, object], problem: str) -> None:
    usual = {"ranges": {"load": (0.1, 0.5)}, "points": 2}
    with pytest.raises(StudyError, match=problem):
        Study(BASE, reps=1).sensitivity(executor=Inline(), progress=False, **{**usual, **named})  # type: ignore[arg-type]


def test_a_study_with_axes_has_no_one_base() -> None:
    with pytest.raises(StudyError, match="ranges: need a study of one point"):
        Study(BASE, reps=1, slots=[1, 2]).sensitivity({"load": (0.1, 0.5)}, executor=Inline())
