"""Timeouts that differ by class or are learnt, and hedges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import (
    AdaptiveTimeout,
    FixedHedge,
    FixedTimeout,
    NoHedge,
    NoTimeout,
    PerPriority,
    PolicyError,
    QuantileHedge,
)
from synapse.policies.timeout import RecentQuantile

TIMEOUTS: list[Any] = [FixedTimeout(3), PerPriority((1, 2, 3)), AdaptiveTimeout(least=1, most=9)]


@pytest.mark.parametrize("policy", TIMEOUTS)
@given(now=st.floats(-1e6, 1e6), asked=st.none() | st.floats(0.001, 1e6), latencies=st.lists(st.floats(0, 1e6)))
def test_a_deadline_lies_ahead_and_what_a_query_asks_for_it_gets(
    policy: Any, now: float, asked: float | None, latencies: list[float]
) -> None:
    state = policy.start(now)
    for latency in latencies:
        state.observe(latency)
    if asked is None:
        assert state.deadline(now, None) - now + 1e-9 >= 1
        assert state.deadline(now, None) - now <= 9 + 1e-9
    else:
        assert state.deadline(now, asked) == now + asked


def test_without_a_timeout_only_what_a_query_asks_for_counts() -> None:
    state = NoTimeout().start(0.0)
    assert state.deadline(5.0, None) == math.inf
    assert state.deadline(5.0, 2.0) == 7.0


class TestPerPriority:
    def test_each_priority_has_its_own_and_the_last_is_for_all_that_follow(self) -> None:
        state = PerPriority((1, 5, 30)).start(0.0)
        assert [state.deadline(100, None, priority) for priority in (0, 1, 2, 3, 9)] == [101, 105, 130, 130, 130]

    def test_a_list_will_do(self) -> None:
        assert PerPriority([1, 5]) == PerPriority((1, 5))  # type: ignore[arg-type]

    @pytest.mark.parametrize("seconds", [(), (1,) * 11, (1, 0), 3])
    def test_what_is_no_list_of_times_is_refused(self, seconds: Any) -> None:
        with pytest.raises(PolicyError, match="seconds.*must be a (list of at least 1|number > 0 .*in s)"):
            PerPriority(seconds)


class TestAdaptiveTimeout:
    def test_it_is_the_longest_until_it_has_seen_enough(self) -> None:
        state = AdaptiveTimeout(most=30, warm_up=10).start(0.0)
        for _ in range(9):
            state.observe(2.0)
        assert state.deadline(0.0, None) == 30
        state.observe(2.0)
        assert state.deadline(0.0, None) == 4

    def test_it_is_a_quantile_times_a_factor(self) -> None:
        state = AdaptiveTimeout(quantile=0.9, factor=3, least=0.1, most=1e6, warm_up=1).start(0.0)
        for latency in range(1, 101):
            state.observe(float(latency))
        assert state.seconds == 270

    def test_it_stays_in_its_range(self) -> None:
        state = AdaptiveTimeout(least=1, most=5, warm_up=1).start(0.0)
        state.observe(0.001)
        assert state.seconds == 1
        for _ in range(1000):
            state.observe(1000.0)
        assert state.seconds == 5

    def test_it_looks_back_so_far_and_no_further(self) -> None:
        state = AdaptiveTimeout(factor=1, least=0.1, samples=10, warm_up=1).start(0.0)
        for latency in [20.0] * 10 + [1.0] * 10:
            state.observe(latency)
        assert state.seconds == 1

    def test_another_goes_on_from_what_was_seen(self) -> None:
        state = AdaptiveTimeout(warm_up=1).start(0.0)
        state.observe(2.0)
        assert AdaptiveTimeout(warm_up=1, factor=3).start(0.0, state).seconds == 6

    def test_of_exponential_latencies_it_finds_the_quantile(self) -> None:
        state = AdaptiveTimeout(quantile=0.95, factor=1, least=0.01, samples=20_000).start(0.0)
        for latency in np.random.default_rng(1).exponential(1, 20_000).tolist():
            state.observe(latency)
        assert state.seconds == pytest.approx(-math.log(0.05), rel=0.04)

    @pytest.mark.parametrize(
        ("fields", "path"),
        [
            ({"least": 31}, "least"),
            ({"samples": 10}, "warm_up"),
            ({"quantile": 1.0}, "quantile"),
            ({"most": 0}, "most"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, fields: dict[str, Any], path: str) -> None:
        with pytest.raises(PolicyError) as caught:
            AdaptiveTimeout(**fields)
        assert caught.value.path == path


class TestRecentQuantile:
    @given(samples=st.lists(st.floats(-1e9, 1e9), max_size=60), q=st.floats(0.01, 0.99))
    def test_it_is_the_nearest_rank_of_the_last_ones(self, samples: list[float], q: float) -> None:
        recent = RecentQuantile(20)
        for sample in samples:
            recent.add(sample)
        last = sorted(samples[-20:])
        assert len(recent) == len(last)
        assert recent.quantile(q) == (last[math.ceil(q * len(last)) - 1] if last else None)

    def test_what_is_no_number_is_not_seen(self) -> None:
        recent = RecentQuantile(2)
        for sample in (1.0, math.nan, 2.0, math.nan, 3.0):
            recent.add(sample)
        assert (len(recent), recent.quantile(0.5), recent.quantile(0.99)) == (2, 2.0, 3.0)


class TestHedges:
    def test_no_hedge_asks_once(self) -> None:
        state = NoHedge().start(0.0)
        state.observe(1.0)
        assert state.delay(0.0) is None

    def test_a_fixed_one_asks_again_after_a_while(self) -> None:
        state = FixedHedge(0.01).start(0.0)
        state.observe(1.0)
        assert state.delay(0.0) == 0.01

    def test_a_quantile_is_how_long_most_take(self) -> None:
        state = QuantileHedge(quantile=0.95, warm_up=100).start(0.0)
        for latency in range(99):
            state.observe(float(latency))
        assert state.delay(0.0) is None
        state.observe(99.0)
        assert state.delay(0.0) == 94.0
        assert QuantileHedge(quantile=0.5).start(0.0, state).delay(0.0) == 49.0

    def test_one_that_would_never_hedge_is_refused(self) -> None:
        with pytest.raises(PolicyError, match="warm_up: must be at most `samples`, 10"):
            QuantileHedge(samples=10, warm_up=11)

    def test_about_as_many_are_asked_twice_as_are_above_the_quantile(self) -> None:
        state, twice = QuantileHedge(quantile=0.9).start(0.0), 0
        latencies = np.random.default_rng(2).exponential(1, 20_000).tolist()
        for latency in latencies:
            delay = state.delay(0.0)
            twice += delay is not None and latency > delay
            state.observe(latency)
        assert twice / len(latencies) == pytest.approx(0.1, abs=0.01)
