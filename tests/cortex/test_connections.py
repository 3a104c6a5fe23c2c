"""ConnectionManager: which connections each agent has."""

from __future__ import annotations

from tests.support.node import Node


def test_an_agent_may_have_several_connections_and_losing_one_leaves_the_others() -> None:
    node = Node()
    first, second = node.agent("a"), node.agent("a")
    connections = node.cortex.connections
    assert [connection.id for connection in connections.get("a")] == [1, 2]
    first.disconnect()
    assert [connection.id for connection in connections.get("a")] == [2]
    assert connections.list_active() == ["a"]
    second.disconnect()
    assert (connections.get("a"), connections.list_active(), connections.count()) == ([], [], 0)


def test_a_connection_says_whose_it_is_since_when_and_by_which_key() -> None:
    node = Node()
    node.clock.advance(7)
    node.agent("a")
    [connection] = node.cortex.connections.get("a")
    assert (connection.agent, connection.key, connection.online_at) == ("a", "anyone", node.cortex.unix_time())


def test_one_connection_may_be_several_agents() -> None:
    node = Node()
    peer = node.peer()
    peer.join("cortex:a")
    peer.join("cortex:b")
    assert node.cortex.connections.list_active() == ["a", "b"]
    assert node.cortex.connections.get("a")[0].id == node.cortex.connections.get("b")[0].id


def test_it_counts_agents_not_connections() -> None:
    node = Node()
    for name in ("a", "a", "b"):
        node.agent(name)
    assert node.cortex.connections.count() == 2


def test_a_message_to_an_agent_reaches_all_its_connections_and_no_other_agent() -> None:
    node = Node()
    first, second, other = node.agent("a"), node.agent("a", vsn="1.0.0"), node.agent("b")
    assert node.cortex.connections.send_to_agent("a", "news", {"n": 1}) == 2
    assert first.heard() == second.heard() == [("news", {"n": 1})]
    assert other.heard() == []


def test_a_message_to_an_absent_agent_reaches_no_one() -> None:
    assert Node().cortex.connections.send_to_agent("a", "news", {}) == 0


def test_a_message_to_all_reaches_every_connection_of_every_agent() -> None:
    node = Node()
    peers = [node.agent(name) for name in ("a", "a", "b")]
    assert node.cortex.connections.broadcast_all("news", {}) == 3
    assert [peer.heard() for peer in peers] == [[("news", {})]] * 3


def test_an_agent_can_be_disconnected_everywhere() -> None:
    node = Node()
    first, second, other = node.agent("a"), node.agent("a"), node.agent("b")
    assert node.cortex.connections.disconnect("a") == 2
    node.settle()
    assert [agent.peer.closed for agent in (first, second, other)] == [1001, 1001, None]
    assert node.cortex.connections.list_active() == ["b"]
