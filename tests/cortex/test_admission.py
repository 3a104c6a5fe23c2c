"""Bounds on connections, on a whole node: who is refused, and that every place is given back."""

from __future__ import annotations

from typing import Any

import pytest

from synapse.cortex import Grant, Refusal
from synapse.cortex.admission import COME_BACK
from synapse.policies import Connections, Policies
from synapse.telemetry import Refused
from tests.support.node import Node


class ByName:
    """Lets everybody in by the key that the join names."""

    def authorize(self, agent: str, payload: Any, identity: Any) -> Grant:
        return Grant(payload["api_key"])


def node(**limits: Any) -> Node:
    return Node(policies=Policies(connections=Connections(**limits)), authorizer=ByName())


def join(peer: Any, agent: str, key: str = "k") -> Any:
    """Join as an agent, or as an onlooker for ``presence``. Returns the policy that refused, None for a welcome."""
    status, response = peer.ask(f"cortex:{agent}", "phx_join", {"api_key": key})
    if status == "ok":
        return None
    assert response["reason"] == "too_many_connections"
    assert response["retry_after_ms"] == COME_BACK * 1000
    return response["policy"]


class TestAgents:
    def test_an_agent_may_have_so_many_connections(self) -> None:
        one = node(per_agent=2)
        assert [join(one.peer(), "a") for _ in range(3)] == [None, None, "connections.per_agent"]
        assert join(one.peer(), "b") is None

    def test_to_join_again_takes_no_second_place(self) -> None:
        one = node(per_agent=1)
        peer = one.peer()
        assert [join(peer, "a") for _ in range(3)] == [None, None, None]

    def test_a_refused_join_leaves_the_connection_and_what_it_has_joined(self) -> None:
        one = node(per_agent=1)
        first, second = one.peer(), one.peer()
        join(first, "a")
        join(second, "b")
        assert join(second, "a") == "connections.per_agent"
        assert second.ask("cortex:b", "ping")[0] == "ok"


class TestKeys:
    def test_a_key_may_open_so_many_connections(self) -> None:
        one = node(per_key=2)
        assert [join(one.peer(), f"a{n}") for n in range(3)] == [None, None, "connections.per_key"]
        assert join(one.peer(), "a9", "other") is None

    def test_the_joins_of_one_connection_count_once(self) -> None:
        one = node(per_key=1)
        peer = one.peer()
        assert [join(peer, f"a{n}") for n in range(5)] == [None] * 5
        for number in range(4):
            peer.send(f"cortex:a{number}", "phx_leave")
        assert join(one.peer(), "b") == "connections.per_key", "one of its joins is left"
        peer.send("cortex:a4", "phx_leave")
        assert join(one.peer(), "b") is None

    def test_onlookers_count_too(self) -> None:
        one = node(per_key=1, per_agent=1)
        assert join(one.peer(), "presence") is None
        assert join(one.peer(), "presence") == "connections.per_key"
        assert join(one.peer(), "presence", "other") is None, "the roster is no agent"


class TestChannels:
    def test_a_connection_may_join_so_many(self) -> None:
        one = node(channels=2)
        peer = one.peer()
        assert [join(peer, f"a{n}") for n in range(2)] == [None, None]
        refusal = peer.ask("cortex:a2", "phx_join", {"api_key": "k"})
        assert refusal == ("error", {"reason": "too_many_connections", "policy": "connections.channels"})


class TestPlaces:
    @pytest.mark.parametrize("way", ["leave", "disconnect", "crash", "kick", "shut down"])
    def test_every_way_out_gives_them_back(self, way: str) -> None:
        one = node(per_agent=1, per_key=1, total=1)
        assert one.cortex.admission.admit() is None
        one.cortex.admission.release()
        peer = one.peer()
        assert join(peer, "a") is None
        assert one.cortex.admission.admit() == Refusal("too_many_connections", "connections.total", COME_BACK)
        match way:
            case "leave":
                peer.send("cortex:a", "phx_leave")
                peer.disconnect()
            case "disconnect":
                peer.disconnect()
            case "crash":
                peer.socket.stop_channel(peer.socket.channels["cortex:a"], "crash")
                assert join(peer, "a") is None
                peer.disconnect()
            case "kick":
                assert one.cortex.connections.disconnect("a") == 1
            case "shut down":
                one.cortex.shut_down(1012)
        one.settle()
        for each in one.peers:
            each.socket.closed()
            each.socket.closed()  # a driver may say so twice
        assert repr(one.cortex.admission) == "<ConnectionsState 0/1 open, 0 agents>"
        assert one.cortex.admission.admit() is None

    def test_a_join_that_came_to_nothing_has_taken_none(self) -> None:
        one = node(per_agent=1)
        status, _ = one.peer().ask("cortex:a", "phx_join", {"api_key": "k", "resume": 7})
        assert status == "error"
        assert join(one.peer(), "a") is None

    def test_a_join_that_crashed_gives_its_own_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        one = node(per_agent=1)
        peer = one.peer()
        with monkeypatch.context() as broken:
            broken.setattr(one.cortex.presence, "track", lambda *_: 1 / 0)
            peer.ask("cortex:a", "phx_join", {"api_key": "k"})
        assert peer.socket.channels == {}
        assert join(peer, "a") is None

    def test_a_tighter_bound_cuts_no_one_off_and_lets_no_one_in(self) -> None:
        one = node()
        peers = [one.peer() for _ in range(3)]
        assert [join(peer, "a") for peer in peers] == [None] * 3
        one.cortex.replace(Policies(connections=Connections(per_agent=2, channels=1)))
        assert all(peer.ask("cortex:a", "ping")[0] == "ok" for peer in peers)
        late = one.peer()
        assert join(late, "a") == "connections.per_agent"
        peers[0].disconnect()
        assert join(late, "a") == "connections.per_agent"
        peers[1].disconnect()
        assert join(late, "a") is None
        assert late.ask("cortex:b", "phx_join", {"api_key": "k"})[1]["policy"] == "connections.channels"


class TestHandshakes:
    def test_they_may_come_so_fast_and_are_told_when_to_come_again(self) -> None:
        one = node(accept_rate=10, accept_burst=2)
        answers = [one.cortex.admission.admit() for _ in range(3)]
        assert answers == [None, None, Refusal("too_many_connections", "connections.accept_rate", 0.1)]
        one.clock.advance(0.1)
        assert one.cortex.admission.admit() is None

    def test_a_place_is_kept_while_they_last(self) -> None:
        one = node(total=1)
        assert one.cortex.admission.admit() is None
        assert one.cortex.admission.admit() is not None
        one.cortex.admission.release()
        assert one.cortex.admission.admit() is None


class TestTelemetry:
    def test_a_refusal_is_announced_and_is_a_line_in_the_audit_log(self, caplog: pytest.LogCaptureFixture) -> None:
        one = node(per_agent=1)
        join(one.peer(), "a")
        join(one.peer(), "a")
        [refused] = one.announced(Refused)
        assert (refused.what, refused.topic, refused.reason) == ("join", "cortex:a", "too_many_connections")
        assert (refused.policy, refused.retry_after) == ("connections.per_agent", COME_BACK)
        [record] = [record for record in caplog.records if record.name == "synapse.audit"]
        assert record.getMessage().endswith("reason='too_many_connections' policy='connections.per_agent'")

    def test_a_message_that_was_too_large_is_announced(self) -> None:
        one = Node(max_message=1000)
        one.agent("a").refused("q", q="x" * 1000)
        [refused] = one.announced(Refused)
        assert (refused.what, refused.topic, refused.policy) == ("message", "cortex:a", "max_message_bytes")
