"""M/G/1: the formula of Pollaczek and Khinchine."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from synapse.theory import TheoryError, mdc, mg1, mmc
from tests.theory.few import given
from tests.theory.printed import printed, rows

# scv, then Wq at ρ = .5, .8, .9, .95 (μ = 1)
WAITS = """
0    .5   2   4.5   9.5
.25  .625 2.5 5.625 11.875
1    1    4   9     19
4    2.5  10  22.5  47.5
.8   .9   3.6 8.1   17.1
"""
ENTRIES = [
    (float(scv), rho, cell)
    for scv, *cells in rows(WAITS)
    for rho, cell in zip([0.5, 0.8, 0.9, 0.95], cells, strict=True)
]


class TestPollaczekKhinchine:
    @pytest.mark.parametrize(("scv", "rho", "wait"), ENTRIES)
    def test_table(self, scv: float, rho: float, wait: str) -> None:
        """Deterministic, Erlang-4, exponential, cv² = 4, and Pareto(2.5), whose cv² is 1/(2.5·0.5) = 0.8."""
        assert mg1(rho, 1, scv).Wq == printed(wait)
        assert mg1(rho, 1, scv).Wq == pytest.approx(float(wait), rel=1e-12)

    @given(rho=st.floats(0.01, 0.99), mu=st.floats(0.01, 100))
    def test_exponential_service_makes_it_mm1_and_deterministic_md1(self, rho: float, mu: float) -> None:
        assert mg1(rho * mu, mu, 1).Wq == pytest.approx(mmc(rho * mu, mu, 1).Wq)
        assert mg1(rho * mu, mu, 0).Wq == pytest.approx(mdc(rho * mu, mu, 1).Wq, rel=1e-6)

    @given(rho=st.floats(0.01, 0.99), mu=st.floats(0.01, 100), scv=st.floats(0, 50))
    def test_littles_law_holds(self, rho: float, mu: float, scv: float) -> None:
        queue = mg1(rho * mu, mu, scv)
        assert queue.lam * queue.W == pytest.approx(queue.L)
        assert queue.lam * queue.Wq == pytest.approx(queue.Lq)
        assert queue.L - queue.Lq == pytest.approx(queue.utilisation)

    def test_it_has_no_steady_state_at_capacity(self) -> None:
        with pytest.raises(TheoryError, match="lam = 2 /s: must be below mu = 2 /s"):
            mg1(2, 2, 1)

    def test_a_variation_is_not_negative(self) -> None:
        with pytest.raises(TheoryError, match="scv = -1: must be 0 or more"):
            mg1(1, 2, -1)
