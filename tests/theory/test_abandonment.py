"""Erlang-A, deadlines and general patience."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import integrate, stats

from synapse.theory import (
    Deterministic,
    Exponential,
    Impatient,
    TheoryError,
    erlang_a,
    erlang_b,
    erlang_c,
    mmc,
    mmcd,
    mmcg,
)
from tests.theory.few import given
from tests.theory.printed import printed, rows

# λ, c, θ → P(wait), P(abandon), Wq, utilisation (μ = 1)
ERLANG_A = """
7.2 8   .5 .488969 .079132 .158264 .828781
8   8   .5 .623531 .116014 .232029 .883986
9.6 8   .5 .833441 .203990 .407980 .955212
9.6 8   1  .741572 .224577 .224577 .930508
9.6 8   2  .645144 .246185 .123092 .904579
16  8   .5 .999390 .500061 1.000121 .999879
102 100 1  .591719 .049918 .049918 .969084
102 100 .1 .872236 .029093 .290928 .990325
102 100 10 .302914 .071358 .007136 .947215
120 100 .5 .996634 .166791 .333581 .999851
"""
# λ, c, D → P(wait), P(abandon), Wq
DEADLINE = """
7.2 8 .5 .482523 .081531 .134348
8   8 .5 .606427 .121285 .181928
9.6 8 .5 .796618 .212242 .271489
9.6 8 1  .920574 .184465 .646720
9.6 8 2  .985224 .169978 1.530205
16  8 1  .999860 .500014 .937547
.9  1 1  .625583 .304908 .462574
.9  1 5  .803424 .107306 2.132403
1.2 1 5  .931373 .223855 3.178072
"""
NUMBERS = ("utilisation", "p_wait", "p_abandon", "throughput", "L", "Lq", "W", "Wq", "Wq_served")


def same(one: Impatient, other: Impatient, rel: float = 1e-9) -> bool:
    return all(getattr(one, name) == pytest.approx(getattr(other, name), rel=rel, abs=1e-12) for name in NUMBERS)


class TestTables:
    @pytest.mark.parametrize(("lam", "c", "theta", "p_wait", "p_abandon", "wait", "busy"), rows(ERLANG_A))
    def test_erlang_a(self, lam: str, c: str, theta: str, p_wait: str, p_abandon: str, wait: str, busy: str) -> None:
        queue = erlang_a(float(lam), 1, int(c), float(theta))
        assert queue.p_wait == printed(p_wait)
        assert queue.p_abandon == printed(p_abandon)
        assert queue.Wq == printed(wait)
        assert queue.utilisation == printed(busy)

    @pytest.mark.parametrize(("lam", "c", "deadline", "p_wait", "p_abandon", "wait"), rows(DEADLINE))
    def test_deadlines(self, lam: str, c: str, deadline: str, p_wait: str, p_abandon: str, wait: str) -> None:
        queue = mmcd(float(lam), 1, int(c), float(deadline))
        assert queue.p_wait == printed(p_wait)
        assert queue.p_abandon == printed(p_abandon)
        assert queue.Wq == printed(wait)


class TestGarnettMandelbaumReiman:
    """50 agents, 48 calls/min, 1 min of service, 2 min of patience; their table in seconds."""

    def test_without_abandonment(self) -> None:
        queue = mmc(48, 1, 50)
        assert 60 * queue.Wq == printed("20.83")
        assert 60 * queue.Wq == printed("20.8")
        assert 60 * queue.wait_quantile(0.9) == printed("58.14")
        assert 60 * queue.wait_quantile(0.9) == printed("58.1")
        assert queue.Lq == printed("16.67")
        assert queue.utilisation == 0.96

    def test_with_abandonment(self) -> None:
        queue = erlang_a(48, 1, 50, 1 / 2)
        assert 100 * queue.p_abandon == printed("3.091")
        assert 100 * queue.p_abandon == printed("3.1")
        assert 60 * queue.Wq == printed("3.709")
        assert 60 * queue.Wq == printed("3.7")
        assert queue.Lq == printed("2.97")
        assert 100 * queue.utilisation == printed("93.03")

    def test_its_ninth_decile_is_the_one_simulated_and_a_digit_from_the_published(self) -> None:
        """Published 12.5 s, simulated 12.44 ± .08 s, exactly 12.445 s."""
        decile = 60 * erlang_a(48, 1, 50, 1 / 2).wait_quantile(0.9)
        assert decile == printed("12.445")
        assert decile == printed("12.5", ulps=1)

    def test_waiting_customers_thinned_by_the_share_that_abandons(self) -> None:
        queue = mmc(48 * (1 - erlang_a(48, 1, 50, 1 / 2).p_abandon), 1, 50)
        assert 60 * queue.Wq == printed("8.83")
        assert 60 * queue.Wq == printed("8.8")
        assert 60 * queue.wait_quantile(0.9) == printed("28.2")
        assert 60 * queue.wait_quantile(0.9) == printed("28.15", ulps=1)
        assert queue.Lq == printed("6.85")
        assert 100 * queue.utilisation == printed("93")


impatient = st.tuples(st.floats(0.1, 3), st.integers(1, 200), st.floats(0.02, 20))


class TestErlangA:
    @given(impatient)
    def test_what_flows_in_flows_out(self, load: tuple[float, int, float]) -> None:
        rho, c, theta = load
        queue = erlang_a(rho * c, 1, c, theta)
        assert queue.throughput == pytest.approx(c * queue.utilisation)
        assert queue.throughput + theta * queue.Lq == pytest.approx(queue.lam)
        assert queue.lam * queue.W == pytest.approx(queue.L)
        assert queue.L - queue.Lq == pytest.approx(c * queue.utilisation)

    @given(impatient)
    def test_birth_and_death_agree_with_the_integrals(self, load: tuple[float, int, float]) -> None:
        rho, c, theta = load
        exact, integral = erlang_a(rho * c, 1, c, theta), mmcg(rho * c, 1, c, Exponential(theta))
        assert same(exact, integral)
        assert integral.wait_tail(0.0) == pytest.approx(exact.p_wait)

    @pytest.mark.parametrize(("lam", "c"), [(0.5, 1), (7.2, 8), (95, 100), (9_900, 10_000)])
    def test_endless_patience_is_erlang_c(self, lam: float, c: int) -> None:
        patient, free = erlang_a(lam, 1, c, 1e-9), mmc(lam, 1, c)
        assert patient.p_wait == pytest.approx(erlang_c(c, lam), rel=1e-5)
        assert patient.Wq == pytest.approx(free.Wq, rel=1e-5)
        assert patient.Wq_served == pytest.approx(free.Wq, rel=1e-5)
        assert patient.wait_tail(free.Wq) == pytest.approx(free.wait_tail(free.Wq), rel=1e-5)
        assert patient.p_abandon < 1e-7

    @pytest.mark.parametrize(("lam", "c"), [(0.5, 1), (7.2, 8), (16, 8), (12_000, 10_000)])
    def test_no_patience_is_erlang_b(self, lam: float, c: int) -> None:
        hurried = erlang_a(lam, 1, c, 1e12)
        assert hurried.p_abandon == pytest.approx(erlang_b(c, lam))
        assert hurried.p_wait == pytest.approx(erlang_b(c, lam))
        assert hurried.Lq == pytest.approx(0, abs=1e-8)

    def test_patience_of_a_service_time_makes_the_number_in_system_poisson(self) -> None:
        assert pytest.approx([3, 8, 20]) == erlang_a([3.0, 8.0, 20.0], 1, 8, 1).L

    def test_far_above_capacity_it_is_a_fluid(self) -> None:
        queue = erlang_a(200, 1, 100, 0.001)
        assert queue.p_abandon == pytest.approx(0.5)
        assert queue.Lq == pytest.approx(100 / 0.001)

    def test_its_tail_adds_up_to_its_mean(self) -> None:
        queue = erlang_a(9.6, 1, 8, 0.5)
        assert integrate.quad(queue.wait_tail, 0, 30)[0] == pytest.approx(queue.Wq)

    def test_it_says_when_the_queue_is_too_long_to_count(self) -> None:
        with pytest.raises(TheoryError, match="theta"):
            erlang_a(200, 1, 100, 1e-9)


class TestDeadline:
    @pytest.mark.parametrize(
        ("lam", "c", "deadline"),
        [(0.9, 1, 5), (1, 1, 5), (1 - 1e-9, 1, 5), (1.2, 1, 2000), (16, 8, 1), (50, 100, 0.1), (10_200, 10_000, 0.1)],
    )
    def test_its_closed_form_agrees_with_the_integrals(self, lam: float, c: int, deadline: float) -> None:
        assert same(mmcd(lam, 1, c, deadline), mmcg(lam, 1, c, Deterministic(deadline)))

    @given(rho=st.floats(0.1, 3), c=st.integers(1, 200), deadline=st.floats(1e-3, 10) | st.just(0.0))
    def test_no_one_waits_longer_than_the_deadline(self, rho: float, c: int, deadline: float) -> None:
        queue = mmcd(rho * c, 1, c, deadline)
        assert queue.Wq <= deadline * queue.p_wait * (1 + 1e-12)
        assert queue.p_abandon >= 1 - 1 / rho - 1e-12
        # the mean wait is that of those who are served, and the deadline of those who leave
        served = queue.Wq_served * (1 - queue.p_abandon)
        assert queue.Wq == pytest.approx(served + deadline * queue.p_abandon, abs=1e-12)

    @given(rho=st.floats(0.1, 3), c=st.integers(1, 200), deadline=st.floats(1e-3, 10))
    def test_the_servers_are_busy_with_those_who_stay(self, rho: float, c: int, deadline: float) -> None:
        """Flow: the busy servers seen from the states, truncated Poisson below c, are those seen from the arrivals."""
        queue = mmcd(rho * c, 1, c, deadline)
        some_free = rho * c * (1 - erlang_b(c - 1, rho * c))
        assert (1 - queue.p_wait) * some_free + c * queue.p_wait == pytest.approx(c * queue.utilisation)

    def test_no_patience_at_all_is_erlang_b(self) -> None:
        assert mmcd([5, 8, 16], 1, 8, 0).p_abandon == pytest.approx(erlang_b(8, [5.0, 8.0, 16.0]))

    def test_endless_patience_is_erlang_c(self) -> None:
        assert mmcd(7.2, 1, 8, 1000).Wq == pytest.approx(mmc(7.2, 1, 8).Wq)

    def test_many_idle_servers_never_keep_anyone_waiting(self) -> None:
        queue = mmcd(10, 1, 10_000, 1)
        assert (queue.p_wait, queue.p_abandon, queue.Wq) == (0, 0, 0)
        assert queue.wait_quantile(0.99) == 0

    def test_no_one_waits_beyond_the_deadline(self) -> None:
        queue = mmcd(16, 1, 8, 1)
        assert queue.wait_tail([0.5, 0.999, 1.0, 2.0]) == pytest.approx([1, 0.90, 0, 0], abs=0.4)
        assert queue.wait_tail(0.999999) > queue.p_abandon
        assert queue.wait_tail(1.0) == 0
        assert queue.wait_quantile(0.9) == pytest.approx(1)

    def test_its_tail_adds_up_to_its_mean(self) -> None:
        queue = mmcd(9.6, 1, 8, 0.5)
        assert integrate.quad(queue.wait_tail, 0, 0.5)[0] == pytest.approx(queue.Wq)


class TestAnyPatience:
    @pytest.mark.parametrize("lam", [5.0, 8.0, 12.0])
    def test_it_takes_the_laws_of_scipy(self, lam: float) -> None:
        assert same(mmcg(lam, 1, 8, stats.expon(scale=2)), erlang_a(lam, 1, 8, 0.5))

    @pytest.mark.parametrize("lam", [5.0, 8.0, 12.0])
    def test_it_is_the_integral_of_baccelli_and_hebuterne(self, lam: float) -> None:
        """Uniform patience on (0, 2): H(x) = x − x²/4 up to 2, and 1 beyond."""

        def phi(x: float) -> float:
            return lam * (x - x * x / 4 if x < 2 else 1) - 8 * x

        J = integrate.quad(lambda x: math.exp(phi(x)), 0, 2)[0] + math.exp(phi(2)) / 8  # noqa: N806
        empty = sum(lam**k / math.factorial(k) for k in range(8)) / (lam**7 / math.factorial(7))
        queue = mmcg(lam, 1, 8, stats.uniform(0, 2))
        assert queue.p_wait == pytest.approx(lam * J / (empty + lam * J))
        assert queue.p_abandon == pytest.approx((1 + (lam - 8) * J) / (empty + lam * J))

    def test_it_agrees_with_a_simulated_queue(self) -> None:
        """Lognormal patience, one server: Wq and P(abandon) of 200,000 customers within 4 σ of batch means."""
        law, lam, size = stats.lognorm(s=1.0, scale=1.0), 1.2, 200_000
        dice = np.random.default_rng(5)
        gaps, services = dice.exponential(1 / lam, size), dice.exponential(1, size)
        patience = law.rvs(size, random_state=dice)
        work, left, waits = 0.0, np.zeros(size), np.zeros(size)
        for i, (gap, service, most) in enumerate(zip(gaps.tolist(), services.tolist(), patience.tolist(), strict=True)):
            work = max(work - gap, 0.0)
            left[i], waits[i] = work > most, min(work, most)
            work += 0.0 if work > most else service
        queue = mmcg(lam, 1, 1, law)
        for sample, exact in ((left, queue.p_abandon), (waits, queue.Wq)):
            batches = sample.reshape(50, -1).mean(axis=1)
            assert abs(batches.mean() - exact) < 4 * batches.std(ddof=1) / math.sqrt(50)

    def test_some_may_be_endlessly_patient_if_the_servers_keep_up_with_them(self) -> None:
        class Half(Exponential):
            """Half of the customers never leave."""

            __slots__ = ()

            def sf(self, x: Any, /) -> Any:
                return 0.5 + 0.5 * super().sf(x)

            def cdf(self, x: Any, /) -> Any:
                return 0.5 * super().cdf(x)

        assert mmcg(12, 1, 8, Half(1.0)).utilisation < 1
        with pytest.raises(TheoryError, match="patience"):
            mmcg(17, 1, 8, Half(1.0))

    def test_a_heavy_tail_of_patience_is_no_trouble(self) -> None:
        queue = mmcg(120, 1, 100, stats.lomax(0.8))
        assert queue.p_abandon == pytest.approx(1 / 6, abs=2e-3)
        assert queue.throughput == pytest.approx(100 * queue.utilisation)

    def test_it_asks_for_a_law_and_not_a_number(self) -> None:
        with pytest.raises(TheoryError, match=r"patience = 2: must be a law with sf, cdf and support"):
            mmcg(1, 1, 1, 2)  # type: ignore[arg-type]
