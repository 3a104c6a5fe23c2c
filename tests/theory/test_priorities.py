"""Cobham's priorities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from synapse.theory import TheoryError, cobham, cobham_mg1, mg1, mmc
from tests.theory.few import given

classes = st.lists(st.floats(0.01, 1), min_size=1, max_size=6)


class TestCobham:
    @given(rho=st.floats(0.01, 0.99), c=st.integers(1, 50))
    def test_one_class_is_mmc(self, rho: float, c: int) -> None:
        assert cobham([rho * c], 1, c).Wq[0] == pytest.approx(mmc(rho * c, 1, c).Wq)

    @given(classes, st.floats(0.05, 0.95), st.integers(1, 20))
    def test_what_one_class_gains_the_others_lose(self, shares: list[float], rho: float, c: int) -> None:
        """Kleinrock's conservation law: the order of service leaves the mean wait of all as it was."""
        lams = np.array(shares) / sum(shares) * rho * c
        queue = cobham(lams, 1, c)
        assert queue.Lq.sum() == pytest.approx(mmc(rho * c, 1, c).Lq)
        assert (np.diff(queue.Wq) >= 0).all()

    def test_the_most_urgent_class_of_one_server(self) -> None:
        """W₀/(1 − ρ₁) with W₀ = ρ/μ."""
        assert cobham([0.3, 0.5], 1).Wq == pytest.approx([0.8 / 0.7, 0.8 / 0.7 / 0.2])

    def test_urgent_queries_hardly_notice_an_overload_of_others(self) -> None:
        """Those below never leave the server idle: it takes a vacation of one service, M/M/1 with vacations."""
        queue = cobham([0.5, 3.0], 1)
        assert queue.Wq == pytest.approx([1 / 0.5, math.inf])
        assert queue.L[0] == pytest.approx(0.5 * 3)

    @given(rho=st.floats(1.001, 3))
    def test_the_wait_of_the_urgent_does_not_jump_at_saturation(self, rho: float) -> None:
        before, after = cobham([0.5, 0.5 - 1e-9], 1).Wq[0], cobham([0.5, rho - 0.5], 1).Wq[0]
        assert after == pytest.approx(before, rel=1e-6)

    def test_times_and_numbers_obey_littles_law(self) -> None:
        queue = cobham([1.0, 2.0, 3.0], 1, 8)
        assert queue.lam * queue.W == pytest.approx(queue.L)
        assert queue.W - queue.Wq == pytest.approx([1, 1, 1])
        assert queue.utilisation == pytest.approx([1 / 8, 2 / 8, 3 / 8])


class TestCobhamMG1:
    @given(rho=st.floats(0.01, 0.99), scv=st.floats(0, 10))
    def test_one_class_is_mg1(self, rho: float, scv: float) -> None:
        assert cobham_mg1([rho], 1, scv).Wq[0] == pytest.approx(mg1(rho, 1, scv).Wq)

    @given(classes, st.floats(0.05, 1.5))
    def test_with_one_exponential_law_it_is_cobham(self, shares: list[float], rho: float) -> None:
        lams = np.array(shares) / sum(shares) * rho
        assert cobham_mg1(lams, 1, 1).Wq == pytest.approx(cobham(lams, 1).Wq)

    @given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.1, 10), st.floats(0, 5)), min_size=1, max_size=5))
    def test_the_order_of_the_classes_leaves_the_work_that_waits(
        self, given_: list[tuple[float, float, float]]
    ) -> None:
        shares, mus, scvs = (np.array(column) for column in zip(*given_, strict=True))
        lams = shares / shares.sum() * 0.8 * mus
        forth, back = cobham_mg1(lams, mus, scvs), cobham_mg1(lams[::-1], mus[::-1], scvs[::-1])
        assert forth.utilisation @ forth.Wq == pytest.approx(back.utilisation @ back.Wq)

    def test_an_overloaded_class_is_a_vacation_for_those_above(self) -> None:
        """M/G/1 with vacations: λE[S²]/(2(1 − ρ)) + E[V²]/(2E[V])."""
        queue = cobham_mg1([0.5, 5.0], [1, 0.5], [0, 3])
        assert queue.Wq == pytest.approx([mg1(0.5, 1, 0).Wq + 2 * (1 + 3) / 2, math.inf])

    def test_classes_below_a_saturated_one_never_see_the_server(self) -> None:
        assert cobham_mg1([0.5, 5.0, 1.0], [1, 1, 0.001]).Wq[0] == cobham_mg1([0.5, 5.0], 1).Wq[0]


class TestDomain:
    def test_there_is_a_class(self) -> None:
        with pytest.raises(TheoryError, match="one number for each class"):
            cobham([], 1)

    def test_every_class_arrives(self) -> None:
        with pytest.raises(TheoryError, match=r"lam = 0 /s: must be positive"):
            cobham([1, 0], 3)
