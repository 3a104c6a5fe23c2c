"""What carries messages: late, lost or cut off, but never out of order, and always accounted for."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.simulation.env import Environment
from synapse.simulation.links import Links


class Net:
    """Links between nodes that note what they get, and when."""

    def __init__(self, nodes: int = 4, seed: int = 1, latency: Any = lambda: 0.001, loss: float = 0.0) -> None:
        self.env = Environment()
        self.links = Links(self.env, latency, Random(seed).random, loss)
        self.got: dict[int, list[tuple[float, Any]]] = {}
        for node in range(nodes):
            self.attach(node)

    def attach(self, node: int) -> None:
        got = self.got[node] = []
        self.links.attach(node, lambda message: got.append((self.env.time(), message)))

    def messages(self, node: int) -> list[Any]:
        return [message for _, message in self.got[node]]


def test_a_message_arrives_after_its_latency() -> None:
    net = Net(latency=lambda: 0.25)
    net.links.send(0, 1, "a")
    net.env.run(None)
    assert net.got == {0: [], 1: [(0.25, "a")], 2: [], 3: []}


def test_a_broadcast_reaches_all_others() -> None:
    net = Net()
    net.links.broadcast(2, "a")
    assert net.links.flying == 3
    net.env.run(None)
    assert [net.messages(node) for node in range(4)] == [["a"], ["a"], [], ["a"]]
    assert (net.links.sent, net.links.delivered, net.links.flying) == (3, 3, 0)


@given(seed=st.integers(0, 999), gaps=st.lists(st.floats(0, 2), max_size=30))
def test_messages_of_one_node_to_another_never_overtake(seed: int, gaps: list[float]) -> None:
    uniform = Random(seed).random
    net = Net(latency=lambda: 5 * uniform())
    for number, gap in enumerate(gaps):
        net.env.run(net.env.time() + gap + 0.001)
        net.links.send(0, 1, number)
    net.env.run(None)
    assert net.messages(1) == list(range(len(gaps)))


def test_as_many_are_lost_as_was_said_and_the_same_ones_every_time() -> None:
    one, other = Net(seed=7, loss=0.2), Net(seed=7, loss=0.2)
    for number in range(10_000):
        one.links.send(0, 1, number)
        other.links.send(0, 1, number)
    one.env.run(None)
    other.env.run(None)
    assert one.links.lost == pytest.approx(2000, abs=3 * (10_000 * 0.2 * 0.8) ** 0.5)
    assert one.links.sent == one.links.delivered + one.links.lost
    assert one.messages(1) == other.messages(1)


class TestSplit:
    def test_messages_pass_within_groups_and_those_of_no_group_are_one_more(self) -> None:
        net = Net(6)
        net.links.split([(0, 1), (2, 3)])
        for node in range(6):
            net.links.broadcast(node, node)
        net.env.run(None)
        assert [net.messages(node) for node in range(6)] == [[1], [0], [3], [2], [5], [4]]
        assert net.links.cut == 6 * 4
        assert net.links.connected(0, 1)
        assert not net.links.connected(0, 5)

    def test_what_is_under_way_is_cut_off(self) -> None:
        net = Net(latency=lambda: 1.0)
        net.links.send(0, 1, "a")
        net.env.run(0.5)
        net.links.split([(0,)])
        net.env.run(None)
        assert net.messages(1) == []
        assert net.links.cut == 1

    def test_another_split_replaces_it_and_healed_all_reach_all(self) -> None:
        net = Net()
        net.links.split([(0, 1)])
        net.links.split([(0, 2)])
        assert (net.links.connected(0, 2), net.links.connected(0, 1)) == (True, False)
        net.links.heal()
        net.links.broadcast(0, "a")
        net.env.run(None)
        assert [net.messages(node) for node in range(4)] == [[], ["a"], ["a"], ["a"]]


class TestAbsent:
    def test_a_node_that_is_not_there_gets_nothing(self) -> None:
        net = Net()
        net.links.detach(1)
        net.links.detach(1)
        net.links.send(0, 1, "a")
        net.links.broadcast(0, "b")
        net.env.run(None)
        assert net.messages(1) == []
        assert (net.links.absent, net.links.delivered) == (1, 2)

    def test_what_was_under_way_to_it_is_not_for_the_one_that_comes_after_it(self) -> None:
        net = Net(latency=lambda: 1.0)
        net.links.send(0, 1, "a")
        net.env.run(0.5)
        net.links.detach(1)
        net.attach(1)
        net.links.send(0, 1, "b")
        net.env.run(None)
        assert net.messages(1) == ["b"]
        assert net.links.absent == 1

    def test_what_it_has_sent_still_arrives(self) -> None:
        net = Net()
        net.links.send(0, 1, "a")
        net.links.detach(0)
        net.env.run(None)
        assert net.messages(1) == ["a"]


@pytest.mark.parametrize("loss", [-0.1, 1.1, float("nan")])
def test_a_loss_that_is_no_probability_is_refused(loss: float) -> None:
    with pytest.raises(ValueError, match="loss must be a probability, from 0 to 1"):
        Net(loss=loss)
