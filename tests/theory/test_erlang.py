"""Erlang-B and Erlang-C."""

from __future__ import annotations

import math

import pytest
from hypothesis import strategies as st

from synapse.theory import TheoryError, erlang_b, erlang_b_load, erlang_c
from tests.theory.few import given
from tests.theory.printed import printed, rows

TRAFFIC_TABLE = """
1   .01 .0101 .0101
5   .01 1.361 1.3608
10  .01 4.461 4.4612
10  .02 5.084 5.0840
20  .01 12.03 12.0306
50  .01 37.90 37.9014
100 .01 84.06 84.0642
"""


class TestErlangB:
    @pytest.mark.parametrize(("c", "p_block", "published", "digits"), rows(TRAFFIC_TABLE))
    def test_its_loads_are_those_of_the_traffic_tables(self, c: str, p_block: str, published: str, digits: str) -> None:
        load = erlang_b_load(int(c), float(p_block))
        assert load == printed(published)
        assert load == printed(digits)

    def test_it_is_the_exact_value_beside_which_deterministic_service_was_simulated(self) -> None:
        assert erlang_b(8, 8 * 0.9) == pytest.approx(
            (7.2**8 / math.factorial(8)) / sum(7.2**k / math.factorial(k) for k in range(9)), rel=1e-14
        )

    def test_without_servers_all_are_turned_away(self) -> None:
        assert erlang_b(0, 3.0) == 1.0

    def test_without_load_no_one_is(self) -> None:
        assert erlang_b(3, 0.0) == 0.0

    @pytest.mark.parametrize("c", [10_000, 100_000])
    def test_with_very_many_servers_it_follows_the_square_root_law(self, c: int) -> None:
        """At a = c, B√c tends to √(2/π) (Jagerman 1974), with a first correction of order 1/√c."""
        assert erlang_b(c, c) * math.sqrt(c) == pytest.approx(math.sqrt(2 / math.pi), rel=1 / math.sqrt(c))

    def test_with_very_many_idle_servers_it_is_zero_and_no_error(self) -> None:
        assert erlang_b(10_000, 10.0) == 0.0

    def test_far_above_capacity_the_servers_carry_what_they_can(self) -> None:
        assert erlang_b(10_000, 1e9) == pytest.approx(1 - 10_000 / 1e9, rel=1e-8)

    @given(c=st.integers(1, 300), p=st.floats(1e-6, 0.99))
    def test_the_load_for_a_blocking_is_its_inverse(self, c: int, p: float) -> None:
        assert erlang_b(c, erlang_b_load(c, p)) == pytest.approx(p, rel=1e-9)

    @pytest.mark.parametrize(("c", "a", "argument"), [(-1, 1, "c"), (1.5, 1, "c"), (1, -1, "a"), (1, math.inf, "a")])
    def test_it_refuses_what_is_no_load_or_no_number_of_servers(self, c: float, a: float, argument: str) -> None:
        with pytest.raises(TheoryError) as refused:
            erlang_b(c, a)
        assert refused.value.argument == argument

    @pytest.mark.parametrize("p_block", [0.0, 1.0])
    def test_no_load_blocks_never_or_always(self, p_block: float) -> None:
        with pytest.raises(TheoryError, match="p_block = .: must be above 0 and below 1"):
            erlang_b_load(1, p_block)


class TestErlangC:
    @given(c=st.integers(1, 500), rho=st.floats(0.01, 0.999))
    def test_whoever_may_wait_finds_busy_servers_more_often_than_whoever_may_not(self, c: int, rho: float) -> None:
        assert erlang_b(c, c * rho) <= erlang_c(c, c * rho) <= 1

    def test_with_one_server_it_is_the_utilisation(self) -> None:
        assert erlang_c(1, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75])

    def test_with_very_many_servers_it_follows_halfin_and_whitt(self) -> None:
        """At a = c − β√c, C tends to 1/(1 + βΦ(β)/φ(β)); β = 1."""
        density, below = math.exp(-0.5) / math.sqrt(2 * math.pi), 0.5 * (1 + math.erf(1 / math.sqrt(2)))
        assert erlang_c(1_000_000, 999_000) == pytest.approx(1 / (1 + below / density), abs=1e-3)

    def test_it_names_the_load_that_never_settles(self) -> None:
        with pytest.raises(TheoryError, match=r"a = 8 erlang: must be 0 or more and below c = 8, or the queue grows"):
            erlang_c(8, 8)
