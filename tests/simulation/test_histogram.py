"""The histogram: exact sums, quantiles to half a percent, and two can be added."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.simulation.histogram import GROWTH, SHORTEST, Histogram

durations = st.lists(st.floats(SHORTEST, 1e8), min_size=1, max_size=200)


def histogram(values: list[float]) -> Histogram:
    made = Histogram()
    made.add(values)
    return made


@given(durations, st.floats(0, 1))
def test_a_quantile_is_within_half_a_bin_of_the_true_one(values: list[float], q: float) -> None:
    rank = max(1, math.ceil(q * len(values)))
    assert histogram(values).quantile(q) == pytest.approx(sorted(values)[rank - 1], rel=GROWTH**0.5 - 1 + 1e-6)


@given(durations, durations)
def test_two_together_are_as_one_of_all(some: list[float], others: list[float]) -> None:
    both, whole = histogram(some) + histogram(others), histogram(some + others)
    assert (both.counts == whole.counts).all()
    assert (both.total, both.squares) == pytest.approx((whole.total, whole.squares))
    assert both.longest == whole.longest


@given(durations)
def test_count_mean_and_spread_are_exact(values: list[float]) -> None:
    seen = histogram(values)
    assert seen.count == len(values)
    assert seen.mean == pytest.approx(np.mean(values))
    assert seen.std == pytest.approx(np.std(values), rel=1e-3, abs=1e-6 * max(values))


def test_what_takes_no_time_counts_too() -> None:
    seen = histogram([0.0, 0.0, 1.0])
    assert (seen.count, seen.quantile(0.5), seen.mean) == (3, 0.0, pytest.approx(1 / 3))


def test_without_durations_there_is_nothing_to_tell() -> None:
    empty = histogram([])
    assert (len(empty), math.isnan(empty.mean), math.isnan(empty.quantile(0.5))) == (0, True, True)


def test_a_share_is_from_0_to_1() -> None:
    with pytest.raises(ValueError, match="q must be from 0 to 1; not 99"):
        Histogram().quantile(99)


def test_the_tail_falls_to_nothing() -> None:
    lengths, share = histogram([1.0, 2.0, 2.0, 4.0]).tail()
    assert share.tolist() == [0.75, 0.25, 0.0]
    assert lengths[0] == pytest.approx(1.0, rel=0.01)
