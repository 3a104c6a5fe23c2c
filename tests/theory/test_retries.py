"""Retries: the limit, the three regions, and amplification."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from synapse.theory import TheoryError, amplification, fan_out, retry_fixed_point, retry_limit
from tests.theory.few import given
from tests.theory.printed import printed, rows

# T, then λ* at R = 1, 2, 3, ∞ (μ = 1)
LIMITS = """
2  .5000 .3799 .3486 .3304
5  .5853 .5507 .5452 .5438
10 .7047 .6947 .6937 .6936
20 .8107 .8081 .8080 .8080
50 .9038 .9034 .9034 .9034
"""
ENTRIES = [
    (float(timeout), retries, cell)
    for timeout, *cells in rows(LIMITS)
    for retries, cell in zip([1, 2, 3, math.inf], cells, strict=True)
]
some = st.tuples(st.floats(0.1, 100), st.integers(0, 20) | st.just(math.inf))


class TestLimit:
    @pytest.mark.parametrize(("timeout", "retries", "limit"), ENTRIES)
    def test_table(self, timeout: float, retries: float, limit: str) -> None:
        assert retry_limit(1, timeout, retries) == printed(limit)

    @given(some)
    def test_it_is_the_greatest_rate_that_any_rate_of_attempts_serves(self, given_: tuple[float, float]) -> None:
        timeout, retries = given_
        x = np.linspace(0.001, 0.999, 500)
        served = x / amplification(np.exp(-(1 - x) * timeout), retries)
        limit = retry_limit(1, timeout, retries)
        assert served.max() <= limit * (1 + 1e-9)
        assert served.max() >= min(limit, 1) * 0.98

    @given(timeout=st.floats(0.1, 100), mu=st.floats(0.1, 50))
    def test_without_retries_it_is_the_capacity(self, timeout: float, mu: float) -> None:
        assert retry_limit(mu, timeout, 0) == mu

    @given(some, st.floats(0.1, 50))
    def test_only_the_timeout_in_service_times_matters(self, given_: tuple[float, float], mu: float) -> None:
        timeout, retries = given_
        assert retry_limit(mu, timeout / mu, retries) == pytest.approx(mu * retry_limit(1, timeout, retries))


class TestRegions:
    def test_the_fixed_points_beside_which_the_healthy_branch_was_simulated(self) -> None:
        healthy = retry_fixed_point([0.2, 0.4, 0.5], 1, timeout=10, retries=3).healthy
        assert list(healthy) == [printed(".2001"), printed(".4010"), printed(".5035")]

    def test_three_retries_are_vulnerable_from_a_quarter_of_the_capacity(self) -> None:
        point = retry_fixed_point([0.20, 0.24, 0.26, 0.40, 0.60, 0.70], 1, timeout=10, retries=3)
        assert point.region.tolist() == ["stable"] * 2 + ["vulnerable"] * 3 + ["doomed"]
        assert point.lam_stable == pytest.approx(0.25)
        assert point.lam_star == pytest.approx(0.6937, abs=5e-5)

    @given(lam=st.floats(0.01, 1.5), given_=some)
    def test_every_state_reproduces_itself(self, lam: float, given_: tuple[float, float]) -> None:
        timeout, retries = given_
        point = retry_fixed_point(lam, 1, timeout, retries)
        for rate in (point.healthy, point.unstable):
            if not math.isnan(rate):
                p = math.exp(-(1 - rate) * timeout)
                assert lam * amplification(p, retries) == pytest.approx(rate, rel=1e-6)
        if not math.isnan(point.collapsed):
            assert point.collapsed == lam * (retries + 1) >= 1

    @given(lam=st.floats(0.01, 1.5), given_=some)
    def test_a_region_says_which_states_there_are(self, lam: float, given_: tuple[float, float]) -> None:
        point = retry_fixed_point(lam, 1, *given_)
        there = tuple(not math.isnan(rate) for rate in (point.healthy, point.unstable, point.collapsed))
        states = {"stable": (True, False, False), "doomed": (False, False, True)}
        if point.region == "vulnerable":
            assert there in {(True, True, True), (True, False, True)}  # the tipping point is not on its very border
        else:
            assert there == states[point.region]
        if there == (True, True, True):
            assert point.healthy <= point.unstable <= 1 <= point.collapsed

    def test_endless_retries_are_never_stable(self) -> None:
        point = retry_fixed_point(0.001, 1, 10, math.inf)
        assert (point.region, point.lam_stable, point.collapsed) == ("vulnerable", 0, math.inf)

    def test_the_healthy_state_tells_its_timeouts_and_attempts(self) -> None:
        point = retry_fixed_point(0.5, 1, 10, 3)
        assert point.p_timeout == pytest.approx(math.exp(-(1 - point.healthy) * 10))
        assert point.amplification == pytest.approx(amplification(point.p_timeout, 3))

    @pytest.mark.parametrize("retries", [-1, 1.5, math.nan])
    def test_retries_are_counted(self, retries: float) -> None:
        with pytest.raises(TheoryError, match="retries"):
            retry_limit(1, 1, retries)


class TestAmplification:
    @pytest.mark.parametrize(("p", "exact"), [(0.1, "1.111"), (0.2, "1.248"), (0.5, "1.875")])
    def test_three_retries(self, p: float, exact: str) -> None:
        assert amplification(p, 3) == printed(exact)

    @given(p=st.floats(0, 1), retries=st.integers(0, 50))
    def test_it_is_the_sum_of_the_powers(self, p: float, retries: int) -> None:
        assert amplification(p, retries) == pytest.approx(sum(p**k for k in range(retries + 1)))

    def test_retries_at_several_layers_multiply_where_all_fails(self) -> None:
        assert amplification(1.0, 3, layers=3) == 64

    @given(p=st.floats(0, 1), retries=st.integers(0, 5), layers=st.integers(1, 4))
    def test_layers_retry_as_one_that_makes_all_their_attempts(self, p: float, retries: int, layers: int) -> None:
        together = (retries + 1) ** layers - 1
        assert amplification(p, retries, layers) == pytest.approx(amplification(p, together))

    def test_endless_retries_amplify_by_the_odds(self) -> None:
        assert amplification([0.0, 0.5, 0.9, 1.0], math.inf) == pytest.approx([1, 2, 10, math.inf])


class TestFanOut:
    def test_one_in_a_hundred_is_most_of_a_hundred(self) -> None:
        """Dean and Barroso 2013: 63 % of the queries that ask 100 servers see one that is slow 1 % of the time."""
        assert fan_out(0.01, 100) == printed(".634")

    def test_it_is_precise_where_it_is_small(self) -> None:
        assert fan_out(1e-18, 10) == pytest.approx(1e-17)

    def test_what_is_always_slow_is_slow_if_asked(self) -> None:
        assert fan_out(1.0, [0, 1, 2]).tolist() == [0, 1, 1]
