"""The rate limiters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from synapse.theory import TheoryError, erlang_b, fixed_window, gcra, sliding_log, tick_bucket, token_bucket
from tests.theory.few import given
from tests.theory.printed import printed, rows

# load, token bucket b = 1, 2, 5, 10, 20, 50, fixed window L = 5, 10, 50, sliding log L = 5, 10, 50
ADMITTED = """
.5  .666667 .903726 .997824 .999996 1.000000 1.000000 .975220 .995562 1.000000 .930269 .981615 .999996
.8  .555556 .800430 .964710 .996361 .999952 1.000000 .897424 .946767 .995450 .800933 .878339 .981309
.9  .526316 .765363 .935638 .983368 .998147 .999996 .862181 .914088 .979553 .756979 .832037 .945896
1.0 .500000 .731059 .896551 .949153 .974790 .989967 .824533 .874890 .943675 .715132 .785418 .895213
1.2 .454545 .666136 .800853 .829089 .833237 .833333 .746990 .786368 .828008 .639600 .698075 .783881
1.5 .400000 .580339 .661551 .666603 .666667 .666667 .637771 .657544 .666635 .546984 .589659 .644421
2.0 .333333 .468311 .499747 .500000 .500000 .500000 .495710 .499590 .500000 .436048 .462037 .490695
"""
BUCKETS, LIMITS = (1, 2, 5, 10, 20, 50), (5, 10, 50)
TABLE = [(float(load), cells) for load, *cells in rows(ADMITTED)]


def finite_queue(load: float, burst: int) -> float:
    """1/(π₀ + ρ) of M/D/1/b, from the chain of its departures, by linear algebra."""
    new = [math.exp(-load) * load**k / math.factorial(k) for k in range(burst)]
    chain = np.zeros((burst, burst))
    for left in range(burst):
        stays = max(left - 1, 0)
        chain[left, stays : burst - 1] = new[: burst - 1 - stays]
        chain[left, burst - 1] = 1 - chain[left].sum()
    system = (np.eye(burst) - chain).T
    system[0] = 1
    return float(1 / (np.linalg.solve(system, np.eye(burst)[0])[0] + load))


class TestTable:
    @pytest.mark.parametrize(("load", "cells"), TABLE)
    def test_token_bucket(self, load: float, cells: list[str]) -> None:
        assert list(token_bucket(load, 1, BUCKETS).admitted) == [printed(cell) for cell in cells[:6]]

    @pytest.mark.parametrize(("load", "cells"), TABLE)
    def test_fixed_window(self, load: float, cells: list[str]) -> None:
        admitted = [fixed_window(load * limit, limit, 1).admitted for limit in LIMITS]
        assert admitted == [printed(cell) for cell in cells[6:9]]

    @pytest.mark.parametrize(("load", "cells"), TABLE)
    def test_sliding_log(self, load: float, cells: list[str]) -> None:
        admitted = [sliding_log(load * limit, limit, 1).admitted for limit in LIMITS]
        assert admitted == [printed(cell) for cell in cells[9:]]

    @pytest.mark.parametrize("load", [0.5, 0.9, 1.2, 2.0])
    def test_at_equal_rate_the_bucket_is_the_most_lenient_and_the_log_the_strictest(self, load: float) -> None:
        bucket, window, log = (
            token_bucket(load, 1, 10),
            fixed_window(load, 10, 10),
            sliding_log(load, 10, 10),
        )
        assert bucket.admitted > window.admitted > log.admitted


class TestTokenBucket:
    @given(load=st.floats(0.05, 5), burst=st.integers(1, 60))
    def test_it_is_the_loss_of_a_finite_queue(self, load: float, burst: int) -> None:
        assert token_bucket(3 * load, 3, burst).admitted == pytest.approx(finite_queue(load, burst), rel=1e-9)

    @given(load=st.floats(0.05, 3), burst=st.floats(1, 8))
    def test_its_burst_need_not_be_whole(self, load: float, burst: float) -> None:
        """F/(1 + ρF) with the alternating sum of Erlang 1909, which is good for small bursts."""
        x = burst - 1
        F = sum((-load * (x - k)) ** k / math.factorial(k) * math.exp(load * (x - k)) for k in range(int(x) + 1))  # noqa: N806
        assert token_bucket(load, 1, burst).admitted == pytest.approx(F / (1 + load * F), rel=1e-6)

    @given(load=st.floats(0.05, 5), burst=st.floats(1, 60))
    def test_it_is_gcra(self, load: float, burst: float) -> None:
        same = gcra(load * 7, interval=1 / 7, tolerance=(burst - 1) / 7)
        assert same.admitted == pytest.approx(token_bucket(load * 7, 7, burst).admitted, rel=1e-9)

    def test_a_bucket_of_one_is_a_dead_time(self) -> None:
        assert token_bucket([0.5, 1.0, 1e6], 1, 1).admitted == pytest.approx([1 / 1.5, 1 / 2, 1 / (1 + 1e6)])

    @pytest.mark.parametrize("load", [1.5, 100, 699, 701, 1e5])
    def test_it_never_grants_more_than_its_rate(self, load: float) -> None:
        granted = token_bucket(load, 1, [1.5, 2, 3, 100, 20_000]).goodput
        assert (granted <= 1 + 1e-12).all()
        assert granted[-1] == pytest.approx(1)

    def test_at_its_rate_a_large_bucket_refuses_one_in_twice_its_size(self) -> None:
        """Brownian motion between two walls: the loss at ρ = 1 tends to Var/(2b), and the variance is 1."""
        assert token_bucket(1, 1, 10_000).refused == pytest.approx(1 / 20_000, rel=1e-3)

    def test_a_bucket_below_one_token_admits_no_one(self) -> None:
        with pytest.raises(TheoryError, match=r"burst = 0.5 tokens: must be 1 or more"):
            token_bucket(1, 1, 0.5)


class TestTickBucket:
    @given(load=st.floats(0.05, 5), limit=st.integers(1, 60))
    def test_filled_at_once_it_is_a_fixed_window(self, load: float, limit: int) -> None:
        whole = tick_bucket(load * limit, limit, limit, refill=limit)
        assert whole.admitted == pytest.approx(fixed_window(load * limit, limit, 1).admitted)

    @given(load=st.floats(0.05, 5), burst=st.integers(1, 60))
    def test_a_tick_gives_a_token_back_sooner_than_a_steady_flow(self, load: float, burst: int) -> None:
        assert tick_bucket(load, 1, burst).admitted >= token_bucket(load, 1, burst).admitted - 1e-9

    @given(load=st.floats(0.05, 5), burst=st.integers(2, 30), refill=st.integers(1, 2))
    def test_it_never_grants_more_than_its_rate(self, load: float, burst: int, refill: int) -> None:
        granted = tick_bucket(load * 4, 4, burst, refill)
        assert granted.load == pytest.approx(load)
        assert granted.goodput <= min(4, 4 * load) * (1 + 1e-9)

    @pytest.mark.parametrize(("load", "burst", "refill"), [(0.9, 5, 1), (1.2, 10, 3), (0.7, 4, 4)])
    def test_it_agrees_with_a_simulated_bucket(self, load: float, burst: int, refill: int) -> None:
        ticks = 200_000
        asked = np.random.default_rng(1).poisson(load * refill, ticks)
        tokens, granted = burst, np.zeros(ticks)
        for tick, requests in enumerate(asked.tolist()):
            granted[tick] = min(tokens, requests)
            tokens = min(burst, tokens - min(tokens, requests) + refill)
        exact = tick_bucket(load, 1, burst, refill).goodput * refill
        batches = granted.reshape(50, -1).mean(axis=1)
        assert abs(batches.mean() - exact) < 4 * batches.std(ddof=1) / math.sqrt(50)

    @pytest.mark.parametrize(("burst", "refill"), [(5, 6), (10_000, 1)])
    def test_its_refill_fits_the_bucket(self, burst: int, refill: int) -> None:
        with pytest.raises(TheoryError, match=f"refill = {refill} tokens: must be at most burst = {burst}"):
            tick_bucket(1, 1, burst, refill)


class TestWindows:
    def test_a_window_admits_the_first_few(self) -> None:
        """L = 1: one of each window that has any."""
        assert fixed_window(0.5, 1, 3).goodput == pytest.approx((1 - math.exp(-1.5)) / 3)

    @given(load=st.floats(0.05, 5), limit=st.integers(1, 2000))
    def test_the_log_is_erlang_b(self, load: float, limit: int) -> None:
        log = sliding_log(load * limit / 60, limit, 60)
        assert log.refused == pytest.approx(erlang_b(limit, load * limit), abs=1e-12)
        assert log.admitted + log.refused == pytest.approx(1)
        assert log.load == pytest.approx(load)

    @pytest.mark.parametrize("limiter", [fixed_window, sliding_log])
    def test_a_limit_is_a_whole_number(self, limiter: type) -> None:
        with pytest.raises(TheoryError, match=r"limit = 1.5 requests: must be a whole number, 1 or more"):
            limiter(1, 1.5, 1)
