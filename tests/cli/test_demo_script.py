"""The script of the demo: who asks what, and how it must end."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.cli.demo.script import KERNEL, names, script

some_agents = st.integers(1, 60)
some_queries = st.integers(4, 300)


@given(some_agents, some_queries, st.booleans())
def test_it_asks_as_many_queries_as_it_was_told_and_the_kernels(agents: int, queries: int, kernel: bool) -> None:
    handlers = Counter(ask.handler for ask in script(agents, queries, kernel))
    assert handlers[None] == queries
    assert handlers["kernel"] == (len(KERNEL) if kernel else 0)


@given(some_agents, some_queries, st.booleans())
def test_one_query_fails_one_times_out_one_is_interrupted(agents: int, queries: int, kernel: bool) -> None:
    statuses = Counter(ask.status for ask in script(agents, queries, kernel))
    assert statuses == {"success": statuses.total() - 3, "error": 1, "timeout": 1, "interrupted": 1}


@given(some_agents, some_queries)
def test_every_agent_has_its_share(agents: int, queries: int) -> None:
    shares = Counter(ask.agent for ask in script(agents, queries, kernel=False))
    least = queries // agents
    assert {shares[name] for name in names(agents)} <= {least, least + 1}


@given(some_agents)
def test_no_two_agents_share_a_name(agents: int) -> None:
    assert len(set(names(agents))) == agents


def test_the_kernels_code_comes_from_one_agent_in_order() -> None:
    asks = [ask for ask in script(20, 200, kernel=True) if ask.handler == "kernel"]
    assert [ask.q for ask in asks] == [code for _, code, _, _ in KERNEL]
    assert len({ask.agent for ask in asks}) == 1


def test_it_is_the_same_in_every_run() -> None:
    assert script(20, 200, kernel=True) == script(20, 200, kernel=True)


@pytest.mark.parametrize(("agents", "queries"), [(20, 200), (20, 2000), (100, 1000)])
def test_more_queries_for_each_agent_are_shorter_ones(agents: int, queries: int) -> None:
    """So that the demo does not take longer with more of them."""
    work = Counter[str]()
    for ask in script(agents, queries, kernel=False):
        parts = dict(part.split("=") for part in ask.q.split() if "=" in part)
        if ask.status == "success":
            work[ask.agent] += int(parts["thoughts"]) * int(parts["delay_ms"])
    assert max(work.values()) < 7000  # ms
