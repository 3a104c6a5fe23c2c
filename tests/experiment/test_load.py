"""Load: the offered work as a share of what can be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse.experiment import StudyError
from synapse.experiment.load import at_load
from synapse.simulation import Scenario

NODE = {"slots": 4, "service": {"kind": "exponential", "mean": 0.1}}


def test_an_open_process_gets_the_rate_that_makes_the_load() -> None:
    scenario = Scenario(agents={"arrivals": {"kind": "poisson", "rate": 1}}, node=NODE, cluster={"nodes": 2})
    assert at_load(scenario, 0.5).agents.arrivals.rate == pytest.approx(0.5 * 8 / 0.1)  # type: ignore[union-attr]


def test_bursts_keep_their_shape() -> None:
    arrivals = {"kind": "mmpp", "rates": [1, 3], "stays": [1, 1]}
    made = at_load(Scenario(agents={"arrivals": arrivals}, node=NODE), 0.5).agents.arrivals
    assert made.rates == pytest.approx((10, 30))  # type: ignore[union-attr]


def test_closed_agents_are_as_many_as_would_make_it() -> None:
    scenario = Scenario(agents={"think": {"kind": "exponential", "mean": 9.9}}, node=NODE)
    assert at_load(scenario, 0.75).agents.count == 0.75 * 4 * 10 / 0.1


def test_kinds_weigh_by_their_numbers() -> None:
    kinds = [{"name": "quick", "share": 3}, {"name": "slow", "service": {"kind": "deterministic", "value": 0.5}}]
    agents = {"arrivals": {"kind": "poisson", "rate": 1}, "kinds": kinds, "count": 100}
    made = at_load(Scenario(agents=agents, node=NODE), 1.0)
    assert made.agents.arrivals.rate == pytest.approx(4 / 0.2)  # type: ignore[union-attr]


def test_recorded_arrivals_have_their_own_rate(tmp_path: Path) -> None:
    (tmp_path / "times.txt").write_text("1\n2\n")
    scenario = Scenario(agents={"arrivals": {"kind": "trace", "file": str(tmp_path / "times.txt")}})
    with pytest.raises(StudyError, match="load: cannot be set for recorded arrivals"):
        at_load(scenario, 0.5)
