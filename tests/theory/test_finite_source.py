"""The finite source."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from scipy import integrate

from synapse.theory import TheoryError, finite_source, mmc
from tests.theory.few import given
from tests.theory.printed import printed, rows

# N, c, Z → throughput, response time (service .05 s)
AGENTS = """
2000 12 10 198.80158 .06028
2000 11 10 198.43747 .07874
200  8  4  49.38231  .05003
"""


class TestTable:
    @pytest.mark.parametrize(("n", "c", "think", "throughput", "response"), rows(AGENTS))
    def test_agents(self, n: str, c: str, think: str, throughput: str, response: str) -> None:
        agents = finite_source(int(n), int(c), float(think), 0.05)
        assert agents.throughput == printed(throughput)
        assert printed(response) == agents.W


agents = st.tuples(st.integers(1, 300), st.integers(1, 40), st.floats(0.01, 50), st.floats(0.01, 5))


class TestLaws:
    @given(agents)
    def test_an_agent_goes_round_in_think_and_response_time(self, given_: tuple[int, int, float, float]) -> None:
        n, c, think, service = given_
        cluster = finite_source(n, c, think, service)
        assert cluster.throughput * (think + cluster.W) == pytest.approx(n)
        assert cluster.throughput * cluster.W == pytest.approx(cluster.L)
        assert cluster.throughput * service == pytest.approx(c * cluster.utilisation)
        assert pytest.approx(cluster.Wq + service) == cluster.W
        assert cluster.throughput <= min(n / (think + service), c / service) * (1 + 1e-9)

    @given(agents)
    def test_who_waits_is_who_finds_the_servers_busy(self, given_: tuple[int, int, float, float]) -> None:
        cluster = finite_source(*given_)
        assert cluster.wait_tail(0) == pytest.approx(cluster.p_wait)
        assert 0 <= cluster.p_wait <= 1

    def test_the_arrival_theorem_gives_the_mean_wait(self) -> None:
        cluster = finite_source(60, 4, 1.0, 0.1)
        assert integrate.quad(cluster.wait_tail, 0, 10)[0] == pytest.approx(cluster.Wq)
        assert cluster.wait_tail(cluster.wait_quantile(0.9)) == pytest.approx(0.1)

    def test_no_one_waits_where_all_have_a_server(self) -> None:
        alone = finite_source(5, 8, 1.0, 0.1)
        assert (alone.p_wait, alone.Wq, alone.wait_tail(0), alone.wait_quantile(0.99)) == (0, 0, 0, 0)
        assert pytest.approx(0.1) == alone.W

    def test_very_many_agents_who_seldom_ask_are_poisson(self) -> None:
        many, poisson = finite_source(100_000, 8, 100_000 / 7.2, 1.0), mmc(7.2, 1, 8)
        assert many.Wq == pytest.approx(poisson.Wq, rel=1e-2)

    def test_too_many_agents_saturate_the_servers(self) -> None:
        crowd = finite_source(10_000, 100, 1.0, 0.1)
        assert crowd.throughput == pytest.approx(1000)
        assert pytest.approx(10 - 1) == crowd.W


class TestDomain:
    @pytest.mark.parametrize(
        ("arguments", "argument"),
        [((0, 1, 1, 1), "n"), ((1, 0, 1, 1), "c"), ((1, 1, 0, 1), "think"), ((1, 1, 1, -1), "service")],
    )
    def test_it_names_what_is_wrong(self, arguments: tuple[float, float, float, float], argument: str) -> None:
        with pytest.raises(TheoryError) as refused:
            finite_source(*arguments)
        assert refused.value.argument == argument
