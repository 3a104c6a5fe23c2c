"""M/D/c."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import integrate

from synapse.theory import TheoryError, mdc, mg1, mmc
from tests.theory.few import given
from tests.theory.printed import printed, rows

# c, then Wq at ρ = .5, .8, .9, .95 (μ = 1)
WAITS = """
2  .176741 .903284 2.146923 4.643948
4  .049652 .386095 .999966 2.244684
8  .009321 .151954 .449973 1.067929
16 .000810 .052548 .192467 .496693
"""
ENTRIES = [
    (int(c), rho, cell) for c, *cells in rows(WAITS) for rho, cell in zip([0.5, 0.8, 0.9, 0.95], cells, strict=True)
]


def crommelin(a: float, c: int, size: int = 400) -> np.ndarray:
    """P(N = n), by turning N(t + D) = (N(t) − c)⁺ + Poisson(a) until it stands still."""
    arrivals = np.array([math.exp(k * math.log(a) - a - math.lgamma(k + 1)) for k in range(size)])
    states = np.eye(size)[0]
    for _ in range(3000):
        queue = np.concatenate(([states[: c + 1].sum()], states[c + 1 :]))
        states = np.convolve(queue, arrivals)[:size]
    return states


class TestTable:
    @pytest.mark.parametrize(("c", "rho", "wait"), ENTRIES)
    def test_waits(self, c: int, rho: float, wait: str) -> None:
        assert mdc(c * rho, 1, c).Wq == printed(wait)


class TestWait:
    @pytest.mark.parametrize(("a", "c"), [(0.8, 1), (1.6, 2), (3.6, 4), (7.2, 8)])
    def test_it_agrees_with_crommelins_chain(self, a: float, c: int) -> None:
        states, queue = crommelin(a, c), mdc(a, 1, c)
        assert queue.wait_tail(0) == pytest.approx(states[c:].sum(), rel=1e-9)
        assert queue.Lq == pytest.approx(states @ np.maximum(np.arange(400) - c, 0), rel=1e-9)

    @pytest.mark.parametrize(("lam", "c"), [(0.8, 1), (1.6, 2), (7.6, 8), (90, 100)])
    def test_its_tail_adds_up_to_its_mean(self, lam: float, c: int) -> None:
        queue = mdc(lam, 1, c)
        end = math.ceil(queue.wait_quantile(1 - 1e-12)) + 1
        points = np.linspace(0, end, 100 * end + 1)
        assert integrate.simpson(queue.wait_tail(points), points) == pytest.approx(queue.Wq, rel=1e-4)

    def test_with_one_server_it_is_erlangs_formula_of_1909(self) -> None:
        """P(wait ≤ t) = (1 − ρ)·Σ_k exp(−λ(kD − t))·(λ(kD − t))^k/k! over kD ≤ t."""
        for t in (0.0, 0.5, 1.0, 2.3, 4.9):
            below = sum(math.exp(0.7 * (t - k)) * (-0.7 * (t - k)) ** k / math.factorial(k) for k in range(int(t) + 1))
            assert mdc(0.7, 1, 1).wait_tail(t) == pytest.approx(1 - 0.3 * below)

    @pytest.mark.parametrize("p", [0.5, 0.9, 0.99, 0.9999])
    def test_quantiles_invert_tails(self, p: float) -> None:
        queue = mdc(7.6, 2, 4)
        assert queue.wait_tail(queue.wait_quantile(p)) == pytest.approx(1 - p)


class TestMean:
    @pytest.mark.parametrize("c", [1, 2, 8, 100])
    def test_sum_and_roots_meet(self, c: int) -> None:
        """The two forms hand over where the sum becomes long; the mean shows no seam there."""
        gap = math.sqrt(2 * 45 / 5000 / c)  # c(ρ − 1 − ln ρ) ≈ c(1 − ρ)²/2
        rhos = 1 - gap * np.linspace(0.9, 1.1, 9)
        scaled = mdc(c * rhos, 1, c).Lq * (1 - rhos)
        assert np.diff(scaled, 3) == pytest.approx(0, abs=1e-7)

    def test_near_saturation_it_is_half_the_wait_of_mmc(self) -> None:
        lam = 8 * (1 - 1e-7)
        assert mdc(lam, 1, 8).Wq / mmc(lam, 1, 8).Wq == pytest.approx(0.5, rel=1e-5)

    @given(c=st.integers(1, 100), rho=st.floats(0.01, 0.999))
    def test_it_is_never_more_than_mmc(self, c: int, rho: float) -> None:
        assert 0 <= mdc(c * rho, 1, c).Wq <= mmc(c * rho, 1, c).Wq * (1 + 1e-9)

    @given(rho=st.floats(0.01, 0.9999))
    def test_with_one_server_it_is_md1(self, rho: float) -> None:
        assert mdc(rho, 1, 1).Wq == pytest.approx(mg1(rho, 1, 0).Wq, rel=1e-9)

    def test_ten_thousand_servers_are_no_trouble(self) -> None:
        queue = mdc(9_990, 1, 10_000)
        assert queue.Lq == pytest.approx(443.884083, rel=1e-8)
        assert queue.wait_tail(0) == pytest.approx(0.866959, abs=1e-6)


class TestDomain:
    def test_it_has_no_steady_state_at_capacity(self) -> None:
        with pytest.raises(TheoryError, match="lam = 4 /s: must be below c·mu = 4 /s"):
            mdc(4, 1, 4)

    def test_at_the_edge_of_saturation_only_the_mean_is_known(self) -> None:
        queue = mdc(1 - 1e-9, 1, 1)
        assert queue.Wq == pytest.approx(5e8, rel=1e-6)
        with pytest.raises(TheoryError, match="further from saturation"):
            queue.wait_tail(1.0)
