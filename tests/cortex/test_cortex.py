"""One node as a whole: who comes, who goes, and what is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from synapse.channels import Channel, LocalPresence, LocalPubSub, Reply, ok
from synapse.cortex import Job
from synapse.policies import Fixed, Policies
from synapse.telemetry import events
from tests.support.clock import VirtualClock
from tests.support.node import EPOCH, Node
from tests.support.runner import EchoRunner


class Greeting(Channel):
    def join(self, payload: Any) -> Reply:
        return ok("hello")


class TestComposition:
    def test_all_parts_share_one_pubsub_and_one_presence(self) -> None:
        """A stream that is published where no one listens would be lost in silence."""
        node = Node()
        agent = node.agent("a")
        agent.query("q1")
        node.runner.think("q1", "hm")
        assert agent.heard() == [("thought", {"thought": "hm", "ref": "q1"})]
        assert len(node.announced(events.PresenceChanged)) == 2

    def test_a_pubsub_and_a_presence_may_be_handed_in(self) -> None:
        pubsub = LocalPubSub()
        presence = LocalPresence(pubsub, VirtualClock().call_later)
        cortex = Node(pubsub=pubsub, presence=presence).cortex
        assert cortex.endpoint.pubsub is pubsub
        assert cortex.endpoint.presence is presence

    def test_more_channels_may_be_mounted_beside_the_cortexs_own(self) -> None:
        node = Node(channels={"room:*": Greeting})
        assert node.peer().join("room:lobby") == "hello"
        assert node.peer().join("cortex:a") == {"agent_id": "a"}

    def test_a_longer_pattern_takes_some_agents_from_the_cortexs_own_channel(self) -> None:
        node = Node(channels={"cortex:greeting-*": Greeting})
        assert node.peer().join("cortex:greeting-1") == "hello"
        assert node.peer().join("cortex:other") == {"agent_id": "other"}

    def test_connections_are_numbered(self) -> None:
        node = Node()
        assert [node.peer().socket.id for _ in range(3)] == [1, 2, 3]  # type: ignore[attr-defined]

    def test_the_wire_speaks_unix_time(self) -> None:
        node = Node()
        node.clock.advance(1.5)
        assert node.cortex.unix_time() == EPOCH + 1.5
        assert node.cortex.unix_ms() == int(EPOCH * 1000) + 1500

    def test_it_shows_where_it_stands(self) -> None:
        node = Node()
        node.agent("a").query("q1")
        assert repr(node.cortex) == (
            "<Cortex local: 1 agents, 1 connections, <Scheduler 1/100 running, 0 waiting, 0 ended, 0 rejected>>"
        )
        assert repr(node.peers[0].socket) == "<CortexSocket 1, 1 channels>"

    def test_a_ref_in_use_is_refused_to_other_drivers_too(self) -> None:
        node = Node()
        node.agent("a").query("q1")
        with pytest.raises(ValueError, match="ref already in use"):
            node.cortex.submit(Job("a", "q1"))
        assert node.scheduler.submitted == 1


class TestAnAgentThatHasGone:
    def test_its_queries_go_on_for_a_while(self) -> None:
        node = Node(linger=5)
        agent = node.agent("a")
        agent.query("q1", timeout=60_000)
        agent.disconnect()
        node.settle(4.9)
        assert node.scheduler.running == 1

    def test_then_they_are_interrupted(self) -> None:
        node = Node(linger=5, policies=Policies(concurrency=Fixed(1)))
        agent = node.agent("a")
        agent.query("q1")
        agent.query("q2")
        agent.disconnect()
        node.settle(5)
        assert [(event.ref, event.status, event.reason) for event in node.announced(events.Finished)] == [
            ("q2", "interrupted", "agent_gone"),
            ("q1", "interrupted", "agent_gone"),
        ]
        assert [job.ref for job in node.runner.started] == ["q1"], "a query was started only to be stopped"
        assert node.leftovers() == {}

    def test_they_are_not_if_it_comes_back_in_time(self) -> None:
        node = Node(linger=5)
        agent = node.agent("a")
        agent.query("q1", timeout=60_000)
        agent.disconnect()
        node.settle(4.9)
        back = node.agent("a")
        node.settle(10)
        node.runner.finish("q1", "42")
        assert back.heard() == [("result", {"ref": "q1", "status": "success", "data": "42"})]

    def test_its_next_absence_counts_from_its_own_beginning(self) -> None:
        node = Node(linger=5)
        agent = node.agent("a")
        agent.query("q1", timeout=60_000)
        agent.disconnect()
        node.settle(4)
        node.agent("a").disconnect()
        node.settle(4)
        assert node.scheduler.running == 1
        node.settle(1)
        assert node.scheduler.running == 0

    def test_one_connection_of_several_is_enough_to_be_here(self) -> None:
        node = Node(linger=5)
        first, _second = node.agent("a"), node.agent("a")
        first.query("q1", timeout=60_000)
        first.disconnect()
        node.settle(20)
        assert node.scheduler.running == 1

    @pytest.mark.parametrize("ending", ["phx_leave", "phx_join"])
    def test_to_leave_is_to_go_and_to_rejoin_is_not(self, ending: str) -> None:
        node = Node(linger=5)
        agent = node.agent("a")
        agent.query("q1", timeout=60_000)
        agent.send(ending)
        node.settle(5)
        assert node.scheduler.running == (0 if ending == "phx_leave" else 1)

    def test_nothing_is_kept_of_one_without_queries(self) -> None:
        node = Node()
        node.agent("a").disconnect()
        assert node.leftovers() == {}

    def test_nothing_is_kept_once_its_last_query_has_ended(self) -> None:
        node = Node(linger=5)
        agent = node.agent("a")
        agent.query("q1")
        agent.query("q2")
        agent.disconnect()
        node.runner.finish("q1")
        assert node.timers == 2  # the timeout of q2, and its agent's absence
        node.runner.finish("q2")
        assert node.leftovers() == {}


class TestSlowReaders:
    def test_one_is_cut_off_at_the_mailbox_bound_and_its_agents_other_connection_lives_on(self) -> None:
        node = Node()
        slow, sound = node.agent("a"), node.agent("a")
        slow.query("q1")
        sound.heard()
        slow.peer.transport.writable = False
        megabyte = "x" * 2**20
        for _ in range(5):
            node.runner.think("q1", megabyte)
            node.settle()
        assert (slow.peer.closed, sound.peer.closed) == (1008, None)
        assert [event for event, _ in sound.heard()] == ["thought"] * 5
        [dropped] = node.announced(events.Dropped)
        assert (dropped.connection, dropped.messages, dropped.policy) == (1, 4, "disconnect")
        assert dropped.bytes > 4 * 2**20
        assert len(node.cortex.connections.get("a")) == 1

    def test_a_resuming_join_whose_reply_was_one_too_many_keeps_no_stream(self) -> None:
        node = Node()
        peer = node.peer()
        peer.transport.writable = False
        for _ in range(10_000):
            peer.socket.receive(b'[null,"1","phoenix","heartbeat",{}]')
        peer.socket.receive(b'["1","1","cortex:a","phx_join",{"resume":{}}]')
        node.settle()
        assert (peer.closed, node.leftovers()) == (1008, {})


class TestShutDown:
    def test_queries_end_agents_are_told_and_connections_close(self) -> None:
        node = Node(policies=Policies(concurrency=Fixed(1)))
        agent, other = node.agent("a"), node.agent("b", vsn="1.0.0")
        agent.query("q1")
        agent.query("q2")
        node.cortex.shut_down(1012, "restart")
        node.settle()
        assert sorted(payload["ref"] for event, payload in agent.heard() if event == "interrupted") == ["q1", "q2"]
        assert [one.peer.closed for one in (agent, other)] == [1012, 1012]
        assert agent.peer.transport.close_reason == "restart"
        assert node.leftovers() == {}

    def test_no_channel_is_closed_one_by_one(self) -> None:
        node = Node()
        agent = node.agent("a")
        node.cortex.shut_down(1012)
        assert agent.heard() == []

    def test_queries_of_agents_that_have_gone_end_too(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q1")
        agent.disconnect()
        node.cortex.shut_down(1012)
        assert [event.reason for event in node.announced(events.Finished)] == ["shutting_down"]
        assert node.leftovers() == {}

    def test_it_may_be_told_twice(self) -> None:
        node = Node()
        node.agent("a")
        node.cortex.shut_down(1012)
        node.cortex.shut_down(1001)
        node.settle()
        assert node.peers[0].closed == 1012


class TestTelemetry:
    @pytest.mark.parametrize(
        ("ending", "reason"), [("phx_leave", "left"), ("phx_join", "rejoined"), ("gone", "closed")]
    )
    def test_an_agents_coming_and_going_is_announced(self, ending: str, reason: str) -> None:
        node = Node()
        agent = node.agent("a")
        if ending == "gone":
            agent.disconnect()
        else:
            agent.send(ending)
        [joined, *_], [left] = node.announced(events.Joined), node.announced(events.Left)
        assert (joined.agent, joined.connection) == ("a", 1)
        assert (left.agent, left.connection, left.reason) == ("a", 1, reason)

    def test_a_listener_that_fails_hurts_no_one(self) -> None:
        node = Node(EchoRunner)
        node.cortex.bus.listen(lambda event: next(iter(())))
        agent = node.agent("a")
        agent.query("q1", q="thoughts=1")
        assert [event for event, _ in agent.heard()] == ["thought", "result"]

    def test_it_runs_without_listeners(self) -> None:
        node = Node(EchoRunner)
        node.cortex.bus.listeners.clear()
        agent = node.agent("a")
        agent.query("q1", q="thoughts=1")
        agent.disconnect()
        node.clock.run_until_idle()
        assert (node.events, node.leftovers()) == ([], {})
