"""M/M/c/K."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from scipy import integrate

from synapse.theory import TheoryError, erlang_b, mmc, mmck
from tests.theory.few import given
from tests.theory.printed import printed, rows

# ρ, then the blocking probability at K = 1, 2, 5, 10, 20, 50
MM1K = """
.5  .333333 .142857 .015873 .000489 0.000000 0.000000
.8  .444444 .262295 .088819 .023493 .002327 .000003
.9  .473684 .298893 .126023 .050814 .013651 .000518
1   .5      .333333 .166667 .090909 .047619 .019608
1.2 .545455 .395604 .250588 .192586 .170370 .166682
"""
ENTRIES = [
    (float(rho), k, cell) for rho, *cells in rows(MM1K) for k, cell in zip([1, 2, 5, 10, 20, 50], cells, strict=True)
]


class TestTables:
    @pytest.mark.parametrize(("rho", "k", "p_block"), ENTRIES)
    def test_blocking_in_mm1k(self, rho: float, k: int, p_block: str) -> None:
        if p_block == "0.000000":  # "~0"
            assert mmck(rho, 1, 1, k).p_block < 1e-6
        else:
            assert mmck(rho, 1, 1, k).p_block == printed(p_block)

    @pytest.mark.parametrize(("lam", "p_block", "wait"), [(7.2, ".041470", ".28287"), (9.6, ".187507", ".60044")])
    def test_eight_servers_with_eight_places_to_wait(self, lam: float, p_block: str, wait: str) -> None:
        queue = mmck(lam, 1, 8, 16)
        assert (queue.p_block, queue.Wq) == (printed(p_block), printed(wait))


loads = st.tuples(st.floats(0.05, 5), st.integers(1, 60), st.integers(0, 100))


class TestLaws:
    @given(loads)
    def test_what_is_admitted_is_served(self, load: tuple[float, int, int]) -> None:
        rho, c, places = load
        queue = mmck(rho * c, 1, c, c + places)
        assert queue.throughput == pytest.approx(queue.lam * (1 - queue.p_block))
        assert queue.throughput == pytest.approx(c * queue.utilisation)
        assert queue.throughput * queue.W == pytest.approx(queue.L)
        assert pytest.approx(queue.Wq + 1) == queue.W
        assert queue.wait_tail(0.0) == pytest.approx(queue.p_wait)

    @given(rho=st.floats(0.05, 5), c=st.integers(1, 60))
    def test_without_places_to_wait_it_is_erlang_b(self, rho: float, c: int) -> None:
        queue = mmck(rho * c, 1, c, c)
        assert queue.p_block == pytest.approx(erlang_b(c, rho * c))
        assert queue.p_wait == queue.Wq == queue.wait_tail(0) == queue.wait_quantile(0.99) == 0

    def test_with_very_many_places_it_is_mmc(self) -> None:
        bounded, free = mmck(7.2, 1, 8, 1000), mmc(7.2, 1, 8)
        for name in ("p_wait", "L", "Lq", "W", "Wq", "utilisation"):
            assert getattr(bounded, name) == pytest.approx(getattr(free, name))
        assert bounded.wait_tail(2.0) == pytest.approx(free.wait_tail(2.0))
        assert bounded.wait_quantile(0.99) == pytest.approx(free.wait_quantile(0.99))

    def test_its_tail_adds_up_to_its_mean(self) -> None:
        queue = mmck(9.6, 1, 8, 16)
        assert integrate.quad(queue.wait_tail, 0, 20)[0] == pytest.approx(queue.Wq)

    def test_ten_thousand_servers_are_no_trouble(self) -> None:
        queue = mmck(12_000, 1, 10_000, 20_000)
        assert queue.p_block == pytest.approx(1 / 6)
        assert pytest.approx(20_000 - 5) == queue.L  # as far from the wall as M/M/1 at 1/1.2 from the floor

    def test_it_stays_itself_where_almost_no_one_is_admitted(self) -> None:
        queue = mmck(1e12, 1, 1, 5)
        assert queue.throughput == pytest.approx(1)
        assert queue.p_wait == pytest.approx(1)


class TestDomain:
    def test_every_server_has_a_place(self) -> None:
        with pytest.raises(TheoryError, match="k = 7 places: must be a whole number, 8 or more"):
            mmck(1, 1, 8, 7)
