"""M/M/c, against the tables of queueing.md §2b and §2c."""

from __future__ import annotations

import math

import pytest
from hypothesis import strategies as st
from scipy import integrate

from synapse.theory import TheoryError, erlang_c, little, mmc
from tests.theory.few import given
from tests.theory.printed import printed, rows

# c, then P(wait), Wq and the p99 wait at ρ = .5, .8, .9, .95 (μ = 1). At c = 4, ρ = .9 the reference prints 10.917,
# which is 10.9165 rounded a second time: in exact arithmetic the wait is 10.91649957….
ERLANG_C = """
1   .5 1.0 7.824           .8 4.0 21.910           .9 9.0 44.998            .95 19 91.078
2   .333333 .333333 3.507  .711111 1.777778 10.661 .852632 4.263158 22.229  .925641 9.256410 45.279
4   .173913 .086957 1.428  .596432 .745541 5.110   .787753 1.969383 10.916  .891419 4.457095 22.451
8   .059044 .014761 .444   .457645 .286028 2.390   .701533 .876916 5.313    .844169 2.110422 11.089
16  .009019 .001127 0      .304884 .095276 1.068   .591343 .369590 2.550    .780192 .975241 5.446
32  .000291 .000018 0      .160623 .025097 .434    .458197 .143186 1.195    .695710 .434819 2.651
64  - - -                  .056056 .004379 .135    .310663 .048541 .537     .588011 .183753 1.273
128 - - -                  .009099 .000355 0       .168879 .013194 .221     .457787 .071529 .597
"""
ENTRIES = [
    (int(c), rho, *cells[3 * i : 3 * i + 3])
    for c, *cells in rows(ERLANG_C)
    for i, rho in enumerate([0.5, 0.8, 0.9, 0.95])
    if cells[3 * i] != "-"
]

# λ, c, t → P(wait > t): as printed, and as computed
HOSPITAL = [(1, 0.5, ".404", ".4044"), (1, 1, ".245", ".2453"), (2, 0.5, ".022", ".0226"), (2, 1, ".003", ".00305")]


class TestTables:
    @pytest.mark.parametrize(("c", "rho", "p_wait", "wait", "p99"), ENTRIES)
    def test_erlang_c(self, c: int, rho: float, p_wait: str, wait: str, p99: str) -> None:
        queue = mmc(c * rho, 1, c)
        assert queue.p_wait == printed(p_wait)
        assert queue.Wq == printed(wait)
        assert queue.wait_quantile(0.99) == printed(p99)

    def test_the_county_hospital_of_hillier_and_lieberman(self) -> None:
        hospital = mmc(2, 3, [1, 2])
        assert hospital.Lq == pytest.approx([4 / 3, 1 / 12])
        assert hospital.Wq == pytest.approx([2 / 3, 1 / 24])

    @pytest.mark.parametrize(("c", "t", "published", "digits"), HOSPITAL)
    def test_the_waits_of_the_county_hospital(self, c: int, t: float, published: str, digits: str) -> None:
        assert mmc(2, 3, c).wait_tail(t) == printed(digits)
        assert mmc(2, 3, c).wait_tail(t) == printed(published, ulps=1)  # .0226 is printed as .022

    def test_bronson_24_6(self) -> None:
        queue = mmc(300, 182.5, 3)
        assert (queue.Lq, queue.L, queue.Wq + 1 / 182.5) == (printed(".3524"), printed("1.9963"), printed(".0066542"))
        assert (queue.Lq, queue.L, queue.W) == (printed(".352"), printed("1.996"), printed(".006654"))

    @pytest.mark.parametrize(
        ("c", "Lq", "p_wait"), [(2, ".1751", ".2451"), (3, ".0222", ".0577"), (4, ".0029", ".0110")]
    )
    def test_the_servers_of_the_cengage_tables(self, c: int, Lq: str, p_wait: str) -> None:  # noqa: N803
        assert mmc(10, 12, c).Lq == printed(Lq)
        assert mmc(10, 12, c).p_wait == printed(p_wait)

    @pytest.mark.parametrize(("c", "Lq", "p_wait"), [(2, ".175", ".245"), (3, ".022", ".058"), (4, ".003", ".011")])
    def test_the_cengage_tables_as_published(self, c: int, Lq: str, p_wait: str) -> None:  # noqa: N803
        assert mmc(10, 12, c).Lq == printed(Lq)
        assert mmc(10, 12, c).p_wait == printed(p_wait)


loads = st.tuples(st.integers(1, 200), st.floats(0.01, 0.99), st.floats(0.01, 100))


class TestLaws:
    @given(loads)
    def test_littles_law_holds_for_system_and_queue(self, load: tuple[int, float, float]) -> None:
        c, rho, mu = load
        queue = mmc(c * mu * rho, mu, c)
        assert little(rate=queue.lam, time=queue.W) == pytest.approx(queue.L)
        assert little(rate=queue.lam, time=queue.Wq) == pytest.approx(queue.Lq)
        assert queue.L - queue.Lq == pytest.approx(c * queue.utilisation)

    @given(loads, st.floats(0.01, 0.999))
    def test_quantiles_invert_tails(self, load: tuple[int, float, float], p: float) -> None:
        c, rho, mu = load
        queue = mmc(c * mu * rho, mu, c)
        assert queue.wait_tail(queue.wait_quantile(p)) == pytest.approx(min(1 - p, queue.p_wait))
        assert queue.sojourn_tail(queue.sojourn_quantile(p)) == pytest.approx(1 - p)

    @pytest.mark.parametrize(("lam", "c"), [(0.5, 1), (1.0, 2), (1.0 - 1e-12, 2), (7.2, 8), (9999, 10_000)])
    def test_tails_add_up_to_means(self, lam: float, c: int) -> None:
        queue = mmc(lam, 1, c)
        assert integrate.quad(queue.wait_tail, 0, math.inf)[0] == pytest.approx(queue.Wq, abs=1e-9)
        assert integrate.quad(queue.sojourn_tail, 0, math.inf)[0] == pytest.approx(queue.W)

    def test_with_one_server_the_sojourn_is_exponential(self) -> None:
        assert mmc(0.8, 1, 1).sojourn_tail(3.0) == pytest.approx(math.exp(-0.2 * 3))

    def test_ten_thousand_servers_are_no_trouble(self) -> None:
        queue = mmc(9_900, 1, 10_000)
        assert queue.p_wait == erlang_c(10_000, 9_900)
        assert 0 < queue.Wq < 0.01


class TestDomain:
    def test_it_has_no_steady_state_at_capacity(self) -> None:
        with pytest.raises(TheoryError, match=r"lam = 8 /s: must be below c·mu = 8 /s, or the queue grows"):
            mmc(8, 1, 8)

    @pytest.mark.parametrize(
        ("arguments", "argument"), [((0, 1, 1), "lam"), ((1, -1, 1), "mu"), ((1, 1, 0), "c"), ((math.nan, 1, 1), "lam")]
    )
    def test_it_names_what_is_wrong(self, arguments: tuple[float, float, float], argument: str) -> None:
        with pytest.raises(TheoryError) as refused:
            mmc(*arguments)
        assert refused.value.argument == argument

    def test_no_quantile_is_certain(self) -> None:
        with pytest.raises(TheoryError, match="p = 1: must be from 0 to below 1"):
            mmc(1, 2, 1).wait_quantile(1)

    def test_time_does_not_run_backwards(self) -> None:
        with pytest.raises(TheoryError, match="t = -1 s: must be 0 or more"):
            mmc(1, 2, 1).wait_tail(-1)
