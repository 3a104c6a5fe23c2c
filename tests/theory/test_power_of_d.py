"""The power of d choices."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from synapse.theory import TheoryError, mmc, power_of_d
from tests.theory.few import given
from tests.theory.printed import printed, rows

# Mitzenmacher's predictions for two choices: λ, published, computed
TWO_CHOICES = """
.5  1.2657 1.2657
.7  1.6145 1.6145
.8  1.9475 1.9474
.9  2.6141 2.6141
.95 3.3830 3.3830
.99 5.4320 5.4320
"""
# λ, then E[T] at d = 1, 2, 3, 5
CHOICES = """
.9  10  2.6141 2.0279 1.6329
.95 20  3.3830 2.5351 1.9888
.99 100 5.4320 3.8578 2.9017
"""


class TestTables:
    @pytest.mark.parametrize(("lam", "published", "computed"), rows(TWO_CHOICES))
    def test_mitzenmachers_predictions(self, lam: str, published: str, computed: str) -> None:
        """At .8 the exact 1.94736 is printed as 1.9475."""
        assert printed(computed) == power_of_d(float(lam), 1, 2).W
        assert printed(published, ulps=1.5) == power_of_d(float(lam), 1, 2).W

    @pytest.mark.parametrize(("lam", "cells"), [(float(lam), cells) for lam, *cells in rows(CHOICES)])
    def test_choices(self, lam: float, cells: list[str]) -> None:
        assert list(power_of_d(lam, 1, [1, 2, 3, 5]).W) == [printed(cell) for cell in cells]


class TestLaws:
    @given(rho=st.floats(0.01, 0.999), mu=st.floats(0.01, 100))
    def test_one_choice_is_mm1(self, rho: float, mu: float) -> None:
        assert power_of_d(rho * mu, mu, 1).Wq == pytest.approx(mmc(rho * mu, mu, 1).Wq)

    @given(rho=st.floats(0.01, 0.999), d=st.integers(1, 50))
    def test_littles_law_and_the_tails_agree(self, rho: float, d: int) -> None:
        cluster = power_of_d(2 * rho, 2, d)
        assert cluster.lam * cluster.W == pytest.approx(cluster.L)
        assert cluster.lam * cluster.Wq == pytest.approx(cluster.Lq)
        assert pytest.approx(cluster.Wq + 0.5) == cluster.W
        assert cluster.queue_tail(0) == 1
        assert cluster.queue_tail(1) == pytest.approx(rho)

    def test_the_tails_add_up_to_the_mean(self) -> None:
        cluster = power_of_d(0.95, 1, 2)
        assert cluster.queue_tail(range(1, 30)).sum() == pytest.approx(cluster.L)

    def test_choosing_among_all_leaves_no_wait(self) -> None:
        assert pytest.approx(1) == power_of_d(0.9, 1, 10_000).W

    def test_it_has_no_steady_state_at_capacity(self) -> None:
        with pytest.raises(TheoryError, match="lam = 1 /s: must be below mu = 1 /s"):
            power_of_d(1, 1, 2)
