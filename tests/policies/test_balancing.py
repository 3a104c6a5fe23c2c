"""Balancers: how they spread, and how little moves when a node comes or goes."""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import ConsistentHash, LeastLoaded, PowerOfTwo, Random, RoundRobin

KINDS: list[Any] = [Random(), RoundRobin(), LeastLoaded(), PowerOfTwo(), PowerOfTwo(5), ConsistentHash(3)]


class Node:
    """A node that knows its load."""

    def __init__(self, name: str, load: float = 0) -> None:
        self.name = name
        self.load = load

    def __repr__(self) -> str:
        return f"{self.name}:{self.load}"


def nodes_of(*loads: float) -> list[Node]:
    return [Node(f"node-{number}", load) for number, load in enumerate(loads)]


def lots(count: int) -> list[float]:
    """Evenly spread, each place of a cell hit once."""
    return [(number + 0.5) / count for number in range(count)]


@given(policy=st.sampled_from(KINDS), loads=st.lists(st.integers(0, 3), min_size=1, max_size=20), data=st.data())
def test_one_of_the_nodes_is_chosen_whatever_the_lot(policy: Any, loads: list[float], data: st.DataObject) -> None:
    nodes, state = nodes_of(*loads), policy.start(0.0)
    for _ in range(5):
        u = data.draw(st.floats(0, 1, exclude_max=True) | st.just(1 - 2**-53))
        assert state.choose(nodes, "agent", u) in nodes


def test_at_random_each_is_as_likely() -> None:
    nodes, state = nodes_of(9, 0, 5), Random().start(0.0)
    assert set(Counter(state.choose(nodes, "a", u).name for u in lots(300)).values()) == {100}


def test_in_turn_each_has_its_turn_even_if_one_leaves() -> None:
    nodes, state = nodes_of(0, 0, 0), RoundRobin().start(0.0)
    assert [state.choose(nodes, "a", 0.0).name[-1] for _ in range(7)] == list("0120120")
    assert [state.choose(nodes[:2], "a", 0.0).name[-1] for _ in range(3)] == list("101")


def test_the_least_loaded_is_chosen_and_equals_by_lot() -> None:
    nodes, state = nodes_of(2, 1, 3, 1), LeastLoaded().start(0.0)
    assert Counter(state.choose(nodes, "a", u).name for u in lots(100)) == {"node-1": 50, "node-3": 50}


@pytest.mark.parametrize("choices", [1, 2, 3, 5])
def test_of_those_looked_at_the_less_loaded_is_chosen_and_each_set_is_as_likely(choices: int) -> None:
    loads = [3, 1, 4, 0, 2]
    nodes, state = nodes_of(*loads), PowerOfTwo(choices).start(0.0)
    sets = list(combinations(range(5), choices))
    expected = Counter(f"node-{min(places, key=loads.__getitem__)}" for places in sets)
    found = Counter(state.choose(nodes, "a", u).name for u in lots(12_000))
    for name in expected | found:
        assert found[name] / 12_000 == pytest.approx(expected[name] / len(sets), abs=1e-3)


def test_of_fewer_nodes_than_choices_all_are_looked_at() -> None:
    nodes, state = nodes_of(2, 1), PowerOfTwo(5).start(0.0)
    assert {state.choose(nodes, "a", u).name for u in lots(100)} == {"node-1"}


@pytest.mark.parametrize(
    ("policy", "sojourn"),
    [(PowerOfTwo(1), 10.0), (PowerOfTwo(2), 2.6141), (PowerOfTwo(3), 2.0279), (PowerOfTwo(5), 1.6329)],
)
def test_the_power_of_choices_is_what_mitzenmacher_says(policy: Any, sojourn: float) -> None:
    """M/M/1 nodes at 0.9, mean-field values; a hundred nodes are nearly as good as infinitely many."""
    assert station(policy, nodes=100, load=0.9, count=150_000) == pytest.approx(
        sojourn, rel=0.12 if sojourn > 5 else 0.05
    )


class TestConsistentHash:
    def test_a_key_has_its_node_whatever_the_lot_and_the_order(self) -> None:
        nodes = nodes_of(*range(10))
        one, other = ConsistentHash().start(0.0), ConsistentHash().start(0.0)
        for key in range(100):
            chosen = one.choose(nodes, key, 0.1)
            assert other.choose(nodes[::-1], key, 0.9) is chosen

    def test_where_a_key_goes_is_the_same_in_each_process(self) -> None:
        nodes, state = nodes_of(*range(10)), ConsistentHash().start(0.0)
        assert [state.choose(nodes, f"agent-{n}", 0.0).name[-1] for n in range(8)] == list("10333956")

    @pytest.mark.parametrize("count", [2, 10, 30])
    def test_when_a_node_comes_only_its_share_of_keys_moves_and_all_of_them_to_it(self, count: int) -> None:
        before, after = nodes_of(*range(count)), nodes_of(*range(count + 1))
        state, keys = ConsistentHash(replicas=200).start(0.0), range(5000)
        old = [state.choose(before, key, 0.0).name for key in keys]
        new = [state.choose(after, key, 0.0).name for key in keys]
        moved = [name for name, was in zip(new, old, strict=True) if name != was]
        assert set(moved) == {f"node-{count}"}
        assert len(moved) / 5000 == pytest.approx(1 / (count + 1), rel=0.35)

    def test_when_a_node_goes_only_its_keys_move(self) -> None:
        nodes, state = nodes_of(*range(10)), ConsistentHash().start(0.0)
        old = [state.choose(nodes, key, 0.0).name for key in range(2000)]
        new = [state.choose(nodes[:-1], key, 0.0).name for key in range(2000)]
        assert {was for name, was in zip(new, old, strict=True) if name != was} == {"node-9"}

    def test_with_many_points_the_shares_are_nearly_even(self) -> None:
        nodes, state = nodes_of(*range(10)), ConsistentHash(replicas=1000).start(0.0)
        counts = Counter(state.choose(nodes, key, 0.0).name for key in range(20_000))
        assert max(counts.values()) < 1.3 * min(counts.values())


def station(policy: Any, nodes: int, load: float, count: int) -> float:
    """The mean sojourn of exponential services of mean 1, first come first served at each node."""
    random = np.random.default_rng(9)
    all_nodes, state = nodes_of(*[0] * nodes), policy.start(0.0)
    times = np.cumsum(random.exponential(1 / (load * nodes), count)).tolist()
    draws = zip(times, random.exponential(1, count).tolist(), random.random(count).tolist(), strict=True)
    free_at = dict.fromkeys((node.name for node in all_nodes), 0.0)
    ends: list[tuple[float, int, Node]] = []
    sojourns = []
    for number, (now, service, u) in enumerate(draws):
        while ends and ends[0][0] <= now:
            heapq.heappop(ends)[2].load -= 1
        node = state.choose(all_nodes, number, u)
        node.load += 1
        free_at[node.name] = max(now, free_at[node.name]) + service
        heapq.heappush(ends, (free_at[node.name], number, node))
        sojourns.append(free_at[node.name] - now)
    return float(np.mean(sojourns[count // 4 :]))
