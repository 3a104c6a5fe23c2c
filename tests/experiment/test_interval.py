"""Intervals over replications: Student's for means, Wilson's for probabilities."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from synapse.experiment.interval import of_mean, of_share


def test_the_interval_of_a_mean_is_students() -> None:
    values = [1.0, 2.0, 4.0]
    found = of_mean([*values, math.nan])
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem(values)))
    assert found.n == 3
    assert found.relative == pytest.approx(found.half / (7 / 3))


def test_one_replication_has_a_mean_and_no_interval() -> None:
    found = of_mean([3.0])
    assert found.mean == 3.0
    assert math.isnan(found.low)
    assert math.isnan(of_mean([]).mean)


def test_the_interval_of_a_probability_is_wilsons() -> None:
    z, n, p = stats.norm.ppf(0.975), 30, 0.1
    centre, spread = (
        (p + z**2 / 2 / n) / (1 + z**2 / n),
        z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / 4 / n**2),
    )
    found = of_share(3, 30)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, centre - spread, centre + spread))


def test_what_never_happened_may_still_be_possible() -> None:
    found = of_share(0, 20)
    assert found.low == 0.0
    assert found.high > 0.1
