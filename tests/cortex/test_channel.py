"""``cortex:<agent>`` and ``cortex:presence``: what an agent may say, and what it hears."""

from __future__ import annotations

from typing import Any

import pytest

from synapse._version import __version__
from synapse.cortex import Grant, HandlerAccess
from synapse.policies import Fixed, FixedTimeout, Policies, Priority
from synapse.protocol import Frame
from tests.support.channels import KeyDoor
from tests.support.node import EPOCH, Node
from tests.support.presence import refs, sync
from tests.support.runner import EchoRunner


class Key:
    """Lets everybody in by a mere key."""

    def authorize(self, agent: str, payload: Any, identity: Any) -> Grant:
        return Grant("a key")


class TestJoin:
    def test_it_is_answered_with_the_agents_name(self) -> None:
        assert Node().peer().join("cortex:a") == {"agent_id": "a"}

    def test_then_comes_the_presence_the_newcomer_included(self) -> None:
        node = Node()
        peer = node.peer()
        peer.send("cortex:a", "phx_join")
        reply, state, diff = peer.take()
        assert (reply.event, state.event, diff.event) == ("phx_reply", "presence_state", "presence_diff")
        assert (state.join_ref, state.ref, diff.join_ref, diff.ref) == ("1", None, None, None)
        [meta] = state.payload["a"]["metas"]
        assert meta == {"online_at": int(EPOCH), "status": "active", "phx_ref": meta["phx_ref"]}
        assert diff.payload == {"joins": state.payload, "leaves": {}}

    @pytest.mark.parametrize("agent", ["", "a\nb", "a\x00", "a" * 256, "\u200b"])
    def test_a_name_that_is_none_is_refused(self, agent: str) -> None:
        reply = Node().peer().ask(f"cortex:{agent}", "phx_join")
        assert reply == ("error", {"reason": "invalid agent_id: 1 to 255 printable characters", "field": "topic"})

    @pytest.mark.parametrize("agent", ["a", "a:b", "a" * 255, "Ågent 7", "*"])
    def test_any_printable_name_will_do(self, agent: str) -> None:
        assert Node().peer().join(f"cortex:{agent}") == {"agent_id": agent}

    @pytest.mark.parametrize("topic", ["cortex:a", "cortex:presence"])
    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            ({}, "api_key required"),
            ([], "api_key required"),
            (b"", "api_key required"),
            ({"api_key": None}, "api_key required"),
            ({"api_key": "wrong"}, "unauthorized"),
            ({"api_key": 7}, "unauthorized"),
        ],
    )
    def test_without_the_key_it_is_refused(self, topic: str, payload: Any, reason: str) -> None:
        peer = Node(authorizer=KeyDoor()).peer()
        assert peer.ask(topic, "phx_join", payload) == ("error", {"reason": reason})
        assert peer.take() == []

    def test_a_denied_join_is_one_line_in_the_audit_log(self, caplog: pytest.LogCaptureFixture) -> None:
        node = Node(authorizer=KeyDoor())
        node.peer(identity="ada").ask("cortex:a\n", "phx_join", {"api_key": "wrong"})
        node.peer(identity="ada").ask("cortex:a", "phx_join", {"api_key": "secret-7"})
        [record] = [record for record in caplog.records if record.name == "synapse.audit"]
        assert record.getMessage() == "join refused: topic='cortex:a' connection=2 identity='ada' reason='unauthorized'"

    def test_the_authorizer_learns_who_is_at_the_other_end(self) -> None:
        asked: list[tuple[str, Any, Any]] = []

        class Door:
            def authorize(self, agent: str, payload: Any, identity: Any) -> Grant:
                asked.append((agent, payload, identity))
                return Grant("ada", trusted=True)

        Node(authorizer=Door()).peer(identity="ada").join("cortex:a", {"x": 1})
        assert asked == [("a", {"x": 1}, "ada")]


class TestQuery:
    def test_it_is_accepted_and_handed_to_the_runner(self) -> None:
        node = Node()
        node.agent("a").query("q1", q="why?", priority=3, timeout=1500, attempt=2)
        job = node.runner.job("q1")
        assert (job.agent, job.ref, job.handler, job.priority, job.timeout, job.attempt) == (
            "a",
            "q1",
            "echo",
            3,
            1.5,
            2,
        )
        assert job.body["q"] == "why?"

    def test_the_reply_and_what_the_handler_says_at_once_are_one_write(self) -> None:
        peer = Node(EchoRunner).peer()
        peer.join("cortex:a")
        peer.take()
        peer.transport.writes.clear()
        peer.send("cortex:a", "query", {"q": "thoughts=0", "ref": "q1"})
        assert [frame.event for frame in peer.take()] == ["phx_reply", "result"]
        assert [len(write) for write in peer.transport.writes] == [2]

    def test_the_reply_comes_before_the_first_thought(self) -> None:
        """Even if the handler thinks in the very next turn, and in one read with the query."""
        node = Node(EchoRunner)
        agent = node.agent("a")
        agent.send("query", {"q": "thoughts=2", "ref": "q1"})
        assert [event for event, _ in agent.heard()] == ["phx_reply", "thought", "thought", "result"]

    def test_thoughts_and_the_result_say_when(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q1")
        node.clock.advance(1.5)
        node.runner.think("q1", {"content": "hm"})
        node.clock.advance(0.25)
        node.runner.finish("q1", {"n": 1})
        thought, result = agent.peer.take()
        assert thought.payload == {"thought": {"content": "hm"}, "ref": "q1", "timestamp": int((EPOCH + 1.5) * 1000)}
        assert result.payload == {"ref": "q1", "status": "success", "data": {"n": 1}, "latency_ms": 1750.0}

    def test_a_failure_is_a_result_too(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q1")
        node.runner.finish("q1", {"reason": "no idea"}, "error")
        assert agent.heard() == [("result", {"ref": "q1", "status": "error", "data": {"reason": "no idea"}})]

    def test_a_timeout_is_a_result_too(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q1", timeout=1500)
        node.settle(1.5)
        assert agent.peer.take()[0].payload == {
            "ref": "q1",
            "status": "timeout",
            "data": {"reason": "timeout"},
            "latency_ms": 1500.0,
        }

    @pytest.mark.parametrize("payload", [{}, {"q": "x"}, {"ref": "q1"}, [], "q", b"q"])
    def test_a_missing_field_is_answered_with_the_required_ones(self, payload: Any) -> None:
        reply = Node().agent("a").ask("query", payload)
        assert reply == ("error", {"reason": "missing required fields: q, ref"})

    def test_an_invalid_field_is_named(self) -> None:
        reply = Node().agent("a").refused("q1", priority=10)
        assert reply == {"reason": "invalid field: priority: Expected `int` <= 9", "field": "priority"}

    def test_a_ref_in_use_is_refused_until_its_query_has_ended(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q1")
        assert agent.refused("q1") == {"reason": "ref already in use: q1", "field": "ref"}
        node.runner.finish("q1")
        agent.query("q1")

    @pytest.mark.parametrize("ending", ["success", "timeout", "interrupted", "overloaded"])
    def test_every_ending_makes_its_ref_free(self, ending: str) -> None:
        node = Node(policies=Policies(Priority(1), Fixed(1)))
        agent = node.agent("a")
        if ending == "overloaded":
            agent.query("runs")
        agent.query("q1", timeout=1000)
        match ending:
            case "success":
                node.runner.finish("q1")
            case "timeout":
                node.settle(1)
            case "interrupted":
                agent.interrupt("q1")
            case "overloaded":
                agent.query("better", priority=0)
        assert node.cortex.interrupts.find("a", "q1") is None

    def test_two_agents_may_use_the_same_ref(self) -> None:
        node = Node()
        a, b = node.agent("a"), node.agent("b")
        a.query("q1")
        b.query("q1")
        node.scheduler.finish(node.runner.job("q1", "b"), "success", "for b")
        assert (a.heard(), b.heard()) == ([], [("result", {"ref": "q1", "status": "success", "data": "for b"})])

    def test_an_overloaded_node_says_who_refused_and_when_to_ask_again(self) -> None:
        node = Node(policies=Policies(queue=Priority(0), concurrency=Fixed(1)))
        agent = node.agent("a")
        agent.query("q1")
        node.clock.advance(2)
        node.runner.finish("q1")
        agent.query("q2")
        assert agent.refused("q3") == {"reason": "overloaded", "policy": "priority", "retry_after_ms": 2000}
        assert node.cortex.interrupts.find("a", "q3") is None

    def test_a_query_that_is_pushed_out_of_the_queue_gets_its_ending(self) -> None:
        node = Node(policies=Policies(queue=Priority(1), concurrency=Fixed(1)))
        a, b = node.agent("a"), node.agent("b")
        a.query("runs")
        a.query("waits", priority=9)
        b.query("better", priority=0)
        data = {"reason": "overloaded", "policy": "priority"}
        assert a.heard() == [("result", {"ref": "waits", "status": "error", "data": data})]
        assert node.cortex.interrupts.find("a", "waits") is None

    def test_a_draining_node_says_so(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q1")
        node.cortex.drain()
        assert agent.refused("q2") == {"reason": "shutting_down", "policy": "drain"}
        node.runner.finish("q1")
        assert [event for event, _ in agent.heard()] == ["result"]

    @pytest.mark.parametrize("data", [object(), {"a": {1, object()}}, "\ud800"])
    def test_a_result_without_a_json_form_is_an_error_and_an_ending(self, data: Any) -> None:
        node = Node(policies=Policies(concurrency=Fixed(1)))
        agent = node.agent("a")
        agent.query("q1")
        agent.query("q2")
        node.runner.finish("q1", data)
        reason = "result has no JSON form"
        assert agent.heard() == [("result", {"ref": "q1", "status": "error", "data": {"reason": reason}})]
        assert [job.ref for job in node.runner.running] == ["q2"]
        assert (node.events[-2].status, node.events[-2].reason) == ("error", reason)

    def test_an_interrupt_whose_reason_has_no_json_form_still_ends_its_query(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q1")
        node.cortex.interrupts.signal("a", "q1", "\ud800")
        assert [event for event, _ in agent.heard()] == ["result"]
        assert len(node.cortex.interrupts) == 0


class TestHandlers:
    ACCESS = HandlerAccess({"*": ["echo", "model", "kernel"], "nobody": ["kernel"]}, trusted_only=["kernel"])

    def test_a_query_may_name_its_handler(self) -> None:
        node = Node(handlers=self.ACCESS)
        agent = node.agent("a")
        agent.query("q1", handler="model")
        agent.query("q2")
        assert [job.handler for job in node.runner.started] == ["model", "echo"]

    def test_one_that_is_not_allowed_is_refused_with_those_that_are(self) -> None:
        reply = Node(handlers=self.ACCESS, authorizer=Key()).agent("a").refused("q1", handler="kernel")
        assert reply == {
            "reason": "handler not available: kernel",
            "field": "handler",
            "handlers": ["echo", "model"],
        }

    def test_an_agent_that_may_use_none_learns_it(self) -> None:
        reply = Node(handlers=self.ACCESS, authorizer=Key()).agent("nobody").refused("q1")
        assert reply == {"reason": "no handler is open to this agent", "field": "handler", "handlers": []}


class TestAbout:
    def test_an_agent_learns_what_it_may_use_and_how_busy_the_node_is(self) -> None:
        node = Node(handlers=TestHandlers.ACCESS)
        agent = node.agent("a")
        agent.query("q1")
        status, about = agent.ask("about")
        policies = about.pop("policies")
        assert status == "ok"
        assert about == {
            "version": __version__,
            "node": "local",
            "agents": 1,
            "queries": 1,
            "handlers": ["echo", "model", "kernel"],
        }
        assert Policies.decode(policies) == node.cortex.policies

    def test_the_rules_are_not_for_those_with_a_mere_key(self) -> None:
        _, about = Node(handlers=TestHandlers.ACCESS, authorizer=Key()).agent("a").ask("about")
        assert "policies" not in about
        assert about["handlers"] == ["echo", "model"]


class TestInterrupt:
    def test_the_reply_comes_before_the_ending(self) -> None:
        node = Node()
        agent = node.agent("a")
        agent.query("q1")
        agent.send("interrupt", {"ref": "q1", "reason": "cancelled"})
        assert agent.heard() == [
            ("phx_reply", {"response": {}, "status": "ok"}),
            ("interrupted", {"ref": "q1", "reason": "cancelled"}),
        ]
        assert node.runner.cancelled == [node.runner.job("q1")]

    def test_a_waiting_query_can_be_interrupted(self) -> None:
        node = Node(policies=Policies(concurrency=Fixed(1)))
        agent = node.agent("a")
        agent.query("q1")
        agent.query("q2")
        agent.interrupt("q2")
        assert agent.heard() == [("interrupted", {"ref": "q2", "reason": "user requested"})]
        assert [job.ref for job in node.runner.started] == ["q1"]

    @pytest.mark.parametrize("ref", ["unknown", "ended", "other"])
    def test_what_is_no_running_query_of_this_agent_is_ok_and_nothing_happens(self, ref: str) -> None:
        node = Node()
        agent, other = node.agent("a"), node.agent("b")
        agent.query("ended")
        node.runner.finish("ended")
        other.query("other")
        agent.heard()
        agent.interrupt(ref)
        assert (agent.heard(), other.heard(), node.runner.cancelled) == ([], [], [])

    def test_an_agent_cannot_interrupt_anothers_query_of_the_same_ref(self) -> None:
        node = Node()
        a, b = node.agent("a"), node.agent("b")
        a.query("q1")
        b.query("q1")
        a.interrupt("q1")
        assert [job.agent for job in node.runner.cancelled] == ["a"]
        assert b.heard() == []

    def test_one_without_a_ref_is_refused_and_the_channel_lives_on(self) -> None:
        agent = Node().agent("a")
        assert agent.ask("interrupt", {}) == ("error", {"reason": "missing required fields: ref"})
        agent.query("q1")

    def test_a_reason_that_is_no_text_is_named(self) -> None:
        status, response = Node().agent("a").ask("interrupt", {"ref": "q1", "reason": 7})
        assert (status, response["field"]) == ("error", "reason")


class TestPing:
    def test_it_is_answered_by_a_push_and_a_reply_with_the_same_time(self) -> None:
        node = Node()
        agent = node.agent("a")
        node.clock.advance(1.25)
        agent.peer.send("cortex:a", "ping", ref="9")
        timestamp = int((EPOCH + 1.25) * 1000)
        reply = {"status": "ok", "response": {"pong": timestamp}}
        assert agent.peer.take() == [
            Frame("1", None, "cortex:a", "pong", {"timestamp": timestamp}),
            Frame("1", "9", "cortex:a", "phx_reply", reply),
        ]

    def test_an_unknown_event_is_named_and_the_channel_lives_on(self) -> None:
        agent = Node().agent("a")
        assert agent.ask("bogus") == ("error", {"reason": "unmatched event: bogus"})
        assert agent.ask("ping")[0] == "ok"


class TestTwoConnectionsOfOneAgent:
    def test_both_hear_the_stream_whoever_asked(self) -> None:
        node = Node()
        asks, listens = node.agent("a"), node.agent("a", vsn="1.0.0")
        asks.query("q1")
        node.runner.think("q1", "hm")
        node.runner.finish("q1", "42")
        stream = [
            ("thought", {"ref": "q1", "thought": "hm"}),
            ("result", {"ref": "q1", "status": "success", "data": "42"}),
        ]
        assert asks.heard() == listens.heard() == stream

    def test_each_hears_it_under_its_own_join_ref(self) -> None:
        node = Node()
        first, second = node.agent("a"), node.peer()
        second.join("cortex:a", ref="77")
        second.take()
        first.heard()
        first.query("q1")
        node.runner.think("q1")
        assert (first.peer.take()[0].join_ref, second.take()[0].join_ref) == ("1", "77")

    def test_a_thought_is_encoded_once_for_those_in_the_same_form(self) -> None:
        node = Node()
        agents = [node.agent("a") for _ in range(3)]
        agents[0].query("q1")
        node.runner.think("q1")
        node.settle()
        assert len({id(agent.peer.transport.sent[-1]) for agent in agents}) == 1

    def test_the_other_may_interrupt(self) -> None:
        node = Node()
        asks, other = node.agent("a"), node.agent("a")
        asks.query("q1")
        other.interrupt("q1", reason="enough")
        assert asks.heard() == other.heard() == [("interrupted", {"ref": "q1", "reason": "enough"})]

    def test_the_query_outlives_the_connection_that_sent_it(self) -> None:
        node = Node()
        asks, other = node.agent("a"), node.agent("a")
        asks.query("q1")
        asks.disconnect()
        node.settle(29)
        node.runner.finish("q1", "42")
        assert other.heard() == [("result", {"ref": "q1", "status": "success", "data": "42"})]

    def test_whoever_joins_late_hears_the_rest(self) -> None:
        node = Node()
        node.agent("a").query("q1")
        node.runner.think("q1")
        late = node.agent("a")
        node.runner.finish("q1", "42")
        assert [event for event, _ in late.heard()] == ["result"]

    def test_presence_has_a_meta_for_each(self) -> None:
        node = Node()
        first = node.peer()
        first.join("cortex:a")
        second = node.peer()
        second.join("cortex:a")
        state = node.cortex.endpoint.presence.list("cortex:a")
        assert [len(entry["metas"]) for entry in state.values()] == [2]
        assert refs(sync({}, first.take())) == refs(sync({}, second.take())) == refs(state)
        second.disconnect()
        assert refs(sync(state, first.take())) == refs(node.cortex.endpoint.presence.list("cortex:a"))


class TestRoster:
    def test_it_shows_all_agents_and_not_its_own_members(self) -> None:
        node = Node()
        for name in ("a", "b", "b"):
            node.agent(name)
        watcher = node.peer()
        assert watcher.join("cortex:presence") == {}
        [state] = watcher.take()
        assert (state.event, {key: len(entry["metas"]) for key, entry in state.payload.items()}) == (
            "presence_state",
            {"a": 1, "b": 2},
        )

    def test_it_tells_who_comes_and_who_goes(self) -> None:
        node = Node()
        watcher = node.peer()
        watcher.join("cortex:presence")
        watcher.take()
        agent = node.peer()
        agent.join("cortex:a")
        [came] = watcher.take()
        agent.disconnect()
        [went] = watcher.take()
        assert [*came.payload["joins"]] == [*went.payload["leaves"]] == ["a"]
        assert came.payload["joins"]["a"]["metas"][0]["status"] == "active"

    @pytest.mark.parametrize("event", ["query", "interrupt", "ping", "shout"])
    def test_it_is_read_only(self, event: str) -> None:
        watcher = Node().peer()
        watcher.join("cortex:presence")
        assert watcher.ask("cortex:presence", event, {"q": "x", "ref": "q1"}) == (
            "error",
            {"reason": f"unmatched event: {event}"},
        )


def test_a_query_gets_its_ending_whatever_the_policies_are() -> None:
    node = Node(policies=Policies(Priority(0), Fixed(1), FixedTimeout(0.001)))
    agent = node.agent("a")
    agent.query("q1")
    node.settle(1)
    assert [event for event, _ in agent.heard()] == ["result"]
