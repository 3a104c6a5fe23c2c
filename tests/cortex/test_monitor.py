"""``cortex:monitor``: what observers see, what they may ask, and what they cost those whom they watch."""

from __future__ import annotations

from typing import Any

import pytest

from synapse.cortex import CortexSocket, Grant
from synapse.cortex import watching as watching_room
from synapse.policies import Fixed, Policies, Priority
from synapse.telemetry import events
from tests.support.node import EPOCH, Node
from tests.support.peer import Peer

TOPIC = "cortex:monitor"


class Key:
    """Lets everybody in by a mere key."""

    def authorize(self, agent: str, payload: Any, identity: Any) -> Grant:
        return Grant("a key")


def watch(node: Node, **payload: Any) -> Peer:
    """A new observer; its snapshot is left for it to take."""
    observer = node.peer()
    observer.join(TOPIC, payload)
    return observer


def watching(node: Node, **payload: Any) -> Peer:
    """An observer that has taken its snapshot."""
    observer = watch(node, **payload)
    observer.take()
    return observer


def kinds(observer: Peer) -> list[list[str]]:
    """The kinds of events that came, batch by batch."""
    return [
        [event["event"] for event in frame.payload["events"]] for frame in observer.take() if frame.event == "events"
    ]


def pushed(observer: Peer, event: str) -> list[Any]:
    """The payloads of one event."""
    return [frame.payload for frame in observer.take() if frame.event == event]


class TestWhoMayWatch:
    def test_one_whom_the_host_knows(self) -> None:
        assert watch(Node()).take()[0].event == "snapshot"

    def test_a_mere_key_does_not_open_it(self) -> None:
        node = Node(authorizer=Key())
        reply = node.peer().ask(TOPIC, "phx_join")
        assert reply == ("error", {"reason": "unauthorized: the monitor is for Jupyter's users"})
        assert node.cortex.monitor.observers == 0

    def test_unless_the_cortex_was_told_so(self) -> None:
        assert watch(Node(authorizer=Key(), watch_with_keys=True)).take()[0].event == "snapshot"

    def test_one_who_watches_by_a_key_counts_and_goes_with_it(self) -> None:
        node = Node(authorizer=Key(), watch_with_keys=True)
        observer = watching(node)
        assert node.cortex.admission.held == 2, "a connection and its key"
        assert node.cortex.revoke("a key") == 1
        node.settle()
        assert observer.closed == 1008

    def test_a_refusal_is_one_line_in_the_audit_log(self, caplog: pytest.LogCaptureFixture) -> None:
        Node(authorizer=Key()).peer().ask(TOPIC, "phx_join", {"api_key": "secret-7"})
        [record] = [record for record in caplog.records if record.name == "synapse.audit"]
        assert "cortex:monitor" in record.getMessage()
        assert "secret-7" not in record.getMessage()


class TestJoin:
    def test_an_observer_chooses_the_time_between_two_batches(self) -> None:
        assert Node().peer().join(TOPIC, {"interval_ms": 16}) == {"interval_ms": 16}
        assert Node().peer().join(TOPIC) == {"interval_ms": 33}

    @pytest.mark.parametrize("interval", [15, 51, "fast", 20.5])
    def test_an_interval_that_makes_no_sense_is_refused_by_name(self, interval: Any) -> None:
        status, response = Node().peer().ask(TOPIC, "phx_join", {"interval_ms": interval})
        assert (status, response["field"]) == ("error", "interval_ms")

    @pytest.mark.parametrize("event", ["query", "interrupt", "status", "ping"])
    def test_it_is_read_only(self, event: str) -> None:
        reply = watching(Node()).ask(TOPIC, event, {"q": "x", "ref": "q1"})
        assert reply == ("error", {"reason": f"unmatched event: {event}"})

    def test_an_observer_is_no_agent(self) -> None:
        node = Node()
        watching(node)
        assert node.cortex.connections.count() == 0
        assert node.cortex.presence.list() == {}


class TestSnapshot:
    def test_it_shows_who_is_here_and_what_is_unfinished(self) -> None:
        node = Node(policies=Policies(concurrency=Fixed(1)))
        ada, _ = node.agent("ada"), node.agent("ada")
        node.settle(2)
        ada.query("q1", priority=2)
        ada.query("q2")
        node.settle(1)
        node.runner.think("q1")
        [snapshot] = [frame.payload for frame in watch(node).take() if frame.event == "snapshot"]
        assert (snapshot["at"], snapshot["epoch"], snapshot["node"]) == (3.0, EPOCH, "local")
        [agent] = snapshot["agents"]
        assert (agent["agent"], agent["connections"], agent["online_at"]) == ("ada", 2, EPOCH)
        assert [meta["status"] for meta in agent["metas"]] == ["active", "active"]
        running, waiting = snapshot["queries"]
        assert running == {
            "agent": "ada",
            "ref": "q1",
            "handler": "echo",
            "priority": 2,
            "attempt": 1,
            "submitted": 2.0,
            "started": 2.0,
            "first_thought": 3.0,
            "thoughts": 1,
        }
        assert (waiting["ref"], waiting["started"], waiting["thoughts"]) == ("q2", None, 0)

    def test_it_has_the_rules_and_the_gauges(self) -> None:
        node = Node(policies=Policies(concurrency=Fixed(7)))
        [snapshot] = [frame.payload for frame in watch(node).take() if frame.event == "snapshot"]
        assert snapshot["policies"] == node.cortex.policies.encode()
        assert (snapshot["gauges"]["limit"], snapshot["gauges"]["observers"]) == (7, 1)

    def test_what_it_shows_does_not_come_again_as_news(self) -> None:
        """Also when somebody else watches already and has a batch that is not full yet."""
        node = Node()
        agent = node.agent("a")
        first = watching(node)
        agent.send("query", {"q": "", "ref": "q1"})
        second = watch(node)
        node.settle(1)
        assert kinds(second) == []
        assert ["Submitted", "Admitted", "Started"] in [batch[:3] for batch in kinds(first)]

    def test_it_may_be_asked_for_again(self) -> None:
        observer = watching(Node())
        assert observer.ask(TOPIC, "snapshot") == ("ok", {})
        assert [frame.event for frame in observer.take()] == ["snapshot"]


class TestBatches:
    def test_what_happens_within_an_interval_is_one_batch_in_order(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node, interval_ms=20)
        agent.query("q1")
        node.runner.think("q1")
        node.runner.finish("q1")
        assert observer.take() == []
        node.settle(0.02)
        assert kinds(observer) == [["Submitted", "Admitted", "Started", "Thought", "Finished"]]

    def test_events_are_telemetrys_own(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        agent.query("q1")
        node.settle(0.05)
        [payload] = pushed(observer, "events")
        heard = node.announced(events.Submitted, events.Admitted)
        assert payload["dropped"] == 0
        assert payload["events"][:2] == [
            {"event": kind, "at": one.at, "node": "local", "agent": "a", "ref": "q1", "priority": 5, **more}
            for one, kind, more in zip(heard, ["Submitted", "Admitted"], [{"handler": "echo"}, {}], strict=True)
        ]

    def test_a_batch_is_encoded_once_for_all_of_the_same_interval(self) -> None:
        node = Node()
        agent = node.agent("a")
        observers = [watching(node, interval_ms=20) for _ in range(3)]
        agent.query("q1")
        node.settle(0.02)
        sent = [observer.transport.sent[-1] for observer in observers]
        assert sent[0] is sent[1] is sent[2]

    def test_each_interval_has_its_own_batches(self) -> None:
        node = Node()
        agent = node.agent("a")
        quick, slow = watching(node, interval_ms=16), watching(node, interval_ms=50)
        node.settle(0.1)
        quick.take()
        agent.query("q1")
        node.settle(0.02)
        assert (len(kinds(quick)), kinds(slow)) == (1, [])
        node.settle(0.04)
        assert (kinds(quick), len(kinds(slow))) == ([], 1)

    def test_nothing_is_sent_while_nothing_happens(self) -> None:
        node = Node()
        observer = watching(node)
        node.settle(0.5)
        assert observer.take() == []

    def test_a_buffer_that_is_full_drops_the_oldest_and_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("synapse.cortex.monitor.BATCH", 4)
        node = Node()
        observer = watching(node)
        for number in range(6):
            node.cortex.bus.emit(events.Disconnected(float(number), "local", number, "closed"))
        node.settle(0.05)
        [payload] = pushed(observer, "events")
        assert [event["connection"] for event in payload["events"]] == [2, 3, 4, 5]
        assert payload["dropped"] == 2

    def test_no_key_of_a_join_is_ever_in_what_observers_see(self) -> None:
        node = Node()
        observer = watching(node)
        peer = node.peer()
        peer.join("cortex:a", {"api_key": "secret-7"})
        peer.ask("cortex:a", "query", {"q": "", "ref": "q1"})
        node.settle(2)
        observer.ask(TOPIC, "snapshot")
        observer.take()
        assert all(b"secret-7" not in message.data for message in observer.transport.sent)


class TestGauges:
    def test_they_come_once_a_second(self) -> None:
        node = Node()
        observer = watching(node)
        node.settle(3.5)
        assert [gauges["at"] for gauges in pushed(observer, "gauges")] == [1.0, 2.0, 3.0]

    def test_they_say_how_much_goes_on(self) -> None:
        node = Node(policies=Policies(concurrency=Fixed(1)))
        agent, observer = node.agent("a"), watching(node)
        agent.query("q1")
        agent.query("q2")
        node.runner.finish("q1")
        node.settle(1)
        [gauges] = pushed(observer, "gauges")
        counts = ("agents", "connections", "observers", "running", "waiting", "limit", "submitted", "rejected", "ended")
        assert [gauges[name] for name in counts] == [1, 2, 1, 1, 0, 1, 2, 0, 1]

    def test_rates_are_since_the_last_time(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        node.settle(1)
        for number in range(4):
            agent.query(f"q{number}")
        node.settle(1)
        first, second = pushed(observer, "gauges")
        assert first["rates"] is None
        assert second["rates"] == {"submitted": 4.0, "rejected": 0.0, "ended": 0.0}

    def test_refusals_are_counted_by_policy(self) -> None:
        node = Node(policies=Policies(queue=Priority(1), concurrency=Fixed(1)))
        agent, observer = node.agent("a"), watching(node)
        for number in range(4):
            agent.ask("query", {"q": "", "ref": f"q{number}"})
        node.settle(1)
        [gauges] = pushed(observer, "gauges")
        assert gauges["refusals"] == {"priority": 2}

    def test_what_waits_for_slow_readers_is_shown(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        agent.query("q1")
        agent.peer.take()
        agent.peer.transport.writable = False
        node.runner.think("q1")
        node.runner.think("q1")
        node.settle(1)
        [gauges] = pushed(observer, "gauges")
        mailboxes = gauges["mailboxes"]
        assert (mailboxes["connections"], mailboxes["messages"], mailboxes["deepest"]) == (1, 2, 2)
        assert mailboxes["bytes"] > 100

    def test_what_only_the_driver_knows_it_is_asked(self) -> None:
        class Driver:
            def lag(self) -> float:
                return 0.25

            def rtt(self, socket: CortexSocket) -> float | None:
                return {1: 0.5, 2: 0.3}.get(socket.id)

        node = Node()
        node.cortex.monitor.probe = Driver()
        node.agent("a"), node.agent("a"), node.agent("b")
        observer = watching(node)
        node.settle(1)
        [gauges] = pushed(observer, "gauges")
        assert (gauges["lag"], gauges["rtt"]) == (0.25, {"a": 0.3})

    def test_round_trips_of_many_agents_are_looked_up_in_turns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Driver:
            def lag(self) -> None:
                return None

            def rtt(self, socket: CortexSocket) -> float:
                return 0.1

        monkeypatch.setattr("synapse.cortex.monitor.RTT_SAMPLE", 2)
        node = Node()
        node.cortex.monitor.probe = Driver()
        for name in "abc":
            node.agent(name)
        observer = watching(node)
        node.settle(3)
        assert [[*gauges["rtt"]] for gauges in pushed(observer, "gauges")] == [["a", "b"], ["c"], ["a", "b"]]


class TestTrace:
    def test_it_is_the_whole_conversation_of_a_query(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        agent.send("query", {"q": "why?", "ref": "q1"})
        node.runner.think("q1", "hm")
        node.settle(1)
        node.runner.finish("q1", {"n": 1})
        status, trace = observer.ask(TOPIC, "trace", {"agent": "a", "ref": "q1"})
        assert (status, trace["agent"], trace["ref"], trace["complete"]) == ("ok", "a", "q1", True)
        told = [(one["direction"], one["event"], one["connection"], one["at"]) for one in trace["messages"]]
        assert told == [
            ("in", "query", 1, 0.0),
            ("out", "phx_reply", 1, 0.0),
            ("out", "thought", None, 0.0),
            ("out", "result", None, 1.0),
        ]
        frames = [one["frame"] for one in trace["messages"]]
        assert frames[0] == ["1", "2", "cortex:a", "query", {"q": "why?", "ref": "q1"}]
        assert frames[1][3:] == ["phx_reply", {"status": "ok", "response": {"ref": "q1", "status": "processing"}}]
        assert frames[3][2:] == [
            "cortex:a", "result", {"ref": "q1", "status": "success", "data": {"n": 1}, "latency_ms": 1000.0},
        ]  # fmt: skip

    def test_sizes_are_those_of_the_frames(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        agent.query("q1")
        node.runner.finish("q1", "x" * 1000)
        _, trace = observer.ask(TOPIC, "trace", {"agent": "a", "ref": "q1"})
        assert trace["messages"][-1]["bytes"] > 1000

    def test_an_interrupt_is_part_of_it(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        agent.query("q1")
        agent.interrupt("q1", reason="enough")
        _, trace = observer.ask(TOPIC, "trace", {"agent": "a", "ref": "q1"})
        assert [one["event"] for one in trace["messages"]] == ["query", "phx_reply", "interrupt", "interrupted"]

    def test_a_query_from_before_anybody_watched_is_not_whole(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q1")
        observer = watching(node)
        node.runner.think("q1", "hm")
        _, trace = observer.ask(TOPIC, "trace", {"agent": "a", "ref": "q1"})
        assert (trace["complete"], [one["event"] for one in trace["messages"]]) == (False, ["thought"])

    def test_other_agents_queries_of_that_ref_are_not_in_it(self) -> None:
        node = Node()
        a, b = node.agent("a"), node.agent("b")
        observer = watching(node)
        a.query("q1", q="of a")
        b.query("q1", q="of b")
        _, trace = observer.ask(TOPIC, "trace", {"agent": "b", "ref": "q1"})
        assert trace["messages"][0]["frame"][4]["q"] == "of b"

    def test_fields_that_are_named_like_secrets_are_blanked(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        agent.query("q1", api_key="secret-7", more=[{"Password": "secret-8"}])
        _, trace = observer.ask(TOPIC, "trace", {"agent": "a", "ref": "q1"})
        payload = trace["messages"][0]["frame"][4]
        assert (payload["api_key"], payload["more"]) == ("(not shown)", [{"Password": "(not shown)"}])

    def test_it_has_to_say_whose(self) -> None:
        status, response = watching(Node()).ask(TOPIC, "trace", {"agent": "a"})
        assert (status, response["reason"]) == ("error", "missing required fields: agent, ref")


class TestSlowObservers:
    def test_one_that_lags_loses_the_oldest_and_is_told_how_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watching_room, "MOST_EVENTS", 6)
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        observer.transport.writable = False
        for number in range(4):
            agent.query(f"q{number}")  # three events each
            node.settle(0.05)
        observer.transport.writable = True
        observer.socket.flush()
        node.settle(0.05)
        frames = observer.take()
        assert [frame.event for frame in frames] == ["dropped", "events", "events", "snapshot"]
        assert frames[0].payload == {"events": 6}
        assert {event["ref"] for frame in frames[1:3] for event in frame.payload["events"]} == {"q2", "q3"}
        assert len(frames[3].payload["queries"]) == 4

    def test_one_that_lags_a_little_loses_nothing(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        observer.transport.writable = False
        agent.query("q1")
        node.settle(0.5)
        observer.transport.writable = True
        node.settle(0.05)
        assert kinds(observer) == [["Submitted", "Admitted", "Started"]]

    def test_the_others_do_not_wait_for_it(self) -> None:
        node = Node()
        agent, slow, quick = node.agent("a"), watching(node), watching(node)
        slow.transport.writable = False
        agent.query("q1")
        node.settle(0.05)
        assert len(kinds(quick)) == 1

    def test_it_is_not_cut_off(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        observer.transport.writable = False
        for number in range(200):
            agent.query(f"q{number}")
            node.settle(0.05)
        assert observer.closed is None
        assert observer.socket.waiting == 0  # what waits, waits in the monitor


class TestCost:
    def test_while_nobody_watches_nothing_listens(self) -> None:
        node = Node()
        listeners = len(node.cortex.bus.listeners)
        observer = watching(node)
        assert len(node.cortex.bus.listeners) == listeners + 1
        assert node.cortex.tape is not None
        observer.disconnect()
        assert len(node.cortex.bus.listeners) == listeners
        assert node.cortex.tape is None

    def test_many_observers_are_one_listener(self) -> None:
        node = Node()
        listeners = len(node.cortex.bus.listeners)
        for _ in range(3):
            watching(node)
        assert len(node.cortex.bus.listeners) == listeners + 1

    def test_nothing_is_left_behind(self) -> None:
        node = Node()
        agent, observer = node.agent("a"), watching(node)
        agent.query("q1")
        node.runner.finish("q1")
        observer.send(TOPIC, "phx_leave")
        agent.disconnect()
        for peer in node.peers:
            peer.disconnect()
        node.settle(2)
        assert node.leftovers() == {}
