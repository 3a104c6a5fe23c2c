"""The pure session: frames in, frames and events out, on a clock that the test moves."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.client import events as ev
from synapse.client.errors import AgentClosed, BufferFull
from synapse.client.presence import Presence
from synapse.client.session import Session
from synapse.client.settings import Backoff, Settings
from synapse.client.timers import Timers
from synapse.client.values import Result
from synapse.protocol import ROSTER
from synapse.protocol import messages as wire

TOPIC = "cortex:ada"
SETTINGS = Settings(
    reconnect=Backoff(base=1.0, cap=8.0, steady_after=60.0), rejoin=Backoff(base=2.0, cap=8.0, steady_after=60.0)
)


class Bench:
    """A session on a bench: what it sends and says, and a clock."""

    def __init__(self, settings: Settings = SETTINGS, random: float = 0.5, api_key: str | None = "k") -> None:
        self.now = 100.0
        self.session = Session("ada", random=lambda: random, api_key=api_key, settings=settings)
        self.session.open(self.now)

    def said(self, kind: type[Any] | None = None) -> list[Any]:
        """The events since the last look, of one kind or all."""
        return [event for event in self.session.events() if kind is None or isinstance(event, kind)]

    def sent(self) -> list[Any]:
        """The frames since the last look."""
        return [json.loads(message.data) for message in self.session.data_to_send()]

    def receive(self, *frame: Any) -> None:
        self.session.received(json.dumps(frame).encode(), binary=False, now=self.now)

    def reply(self, request: Any, response: Any = None, status: str = "ok") -> None:
        self.receive(request[0], request[1], request[2], "phx_reply", {"status": status, "response": response or {}})

    def after(self, seconds: float) -> None:
        """Let time pass, ticking at every deadline as a driver does."""
        end = self.now + seconds
        while (due := self.session.next_deadline) is not None and due <= end:
            self.now = max(self.now, due)
            self.session.tick(self.now)
        self.now = end

    def connect(self) -> Any:
        """A connection opens; returns the join frame of the agent's topic."""
        self.session.connected(self.now)
        return next(frame for frame in self.sent() if frame[2:4] == [TOPIC, "phx_join"])

    def join(self) -> str:
        """Connect and join; returns the join_ref."""
        join = self.connect()
        self.reply(join, {"agent_id": "ada"})
        return str(join[0])

    def ask(self, ref: str, **more: Any) -> Any:
        """Ask; returns the query frame."""
        self.session.query(wire.Query(q="why?", ref=ref, **more), self.now)
        return self.sent()[-1]

    def accept(self, ref: str, **more: Any) -> None:
        self.reply(self.ask(ref, **more), {"ref": ref, "status": "processing"})

    def push(self, join_ref: str | None, event: str, payload: Any, topic: str = TOPIC) -> None:
        self.receive(join_ref, None, topic, event, payload)

    def drop(self) -> None:
        self.session.disconnected(self.now, 1006, "gone")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def joined() -> Bench:
    """A bench whose session has joined (as join_ref "1") and whose outputs were read."""
    bench = Bench()
    assert bench.join() == "1"
    bench.said()
    return bench


class TestJoin:
    def test_asks_for_a_socket_first(self, bench: Bench) -> None:
        assert bench.said() == [ev.OpenSocket()]
        assert bench.sent() == []
        assert bench.session.status == "connecting"

    def test_joins_its_topic_once_connected(self, bench: Bench) -> None:
        bench.session.connected(bench.now)
        assert bench.sent() == [["1", "1", TOPIC, "phx_join", {"api_key": "k", "resume": {}}]]
        assert bench.session.status == "joining"

    def test_joins_with_an_empty_payload_when_there_is_no_key(self) -> None:
        assert Bench(api_key=None).connect()[4] == {"resume": {}}

    def test_says_that_it_joined(self, bench: Bench) -> None:
        bench.join()
        assert bench.said(ev.Joined) == [ev.Joined(TOPIC, {"agent_id": "ada"})]
        assert bench.session.status == "joined"

    def test_a_refused_first_join_is_final(self, bench: Bench) -> None:
        bench.reply(bench.connect(), {"reason": "unauthorized"}, "error")
        assert bench.said()[1:] == [
            ev.JoinRefused(TOPIC, "unauthorized", final=True),
            ev.CloseSocket(1000, ""),
            ev.Closed("join refused: unauthorized"),
        ]
        assert bench.session.next_deadline is None

    def test_a_rule_that_refuses_is_named_with_its_word_of_when(self, bench: Bench) -> None:
        refusal = {"reason": "too_many_connections", "policy": "connections.per_agent", "retry_after_ms": 5000}
        bench.reply(bench.connect(), refusal, "error")
        assert bench.said(ev.JoinRefused) == [
            ev.JoinRefused(TOPIC, "too_many_connections", True, "connections.per_agent", 5000)
        ]

    def test_a_refusal_without_join_ref_counts(self, bench: Bench) -> None:
        """Phoenix answers "unmatched topic" with a null join_ref."""
        bench.connect()
        bench.receive(None, "1", TOPIC, "phx_reply", {"status": "error", "response": {"reason": "unmatched topic"}})
        assert bench.said(ev.JoinRefused) == [ev.JoinRefused(TOPIC, "unmatched topic", final=True)]

    def test_a_join_without_an_answer_is_left_again(self, bench: Bench) -> None:
        bench.connect()
        bench.after(SETTINGS.join)
        assert bench.sent() == [["1", "2", TOPIC, "phx_leave", {}]]
        assert bench.said(ev.JoinRefused) == [ev.JoinRefused(TOPIC, "no reply", final=True)]

    def test_frames_of_an_older_join_are_history(self, joined: Bench) -> None:
        joined.accept("q1")
        joined.drop()
        joined.after(0.5)
        join_ref = joined.join()
        joined.said()
        joined.push("1", "result", {"ref": "q1", "status": "success", "data": 1, "latency_ms": 1})
        joined.receive("1", "1", TOPIC, "phx_close", {})
        assert joined.said() == []
        joined.push(join_ref, "result", {"ref": "q1", "status": "success", "data": 2, "latency_ms": 1})
        assert joined.said() == [ev.Ended(Result("q1", "success", 2, 0.001))]


class TestQuery:
    def test_is_sent_with_the_join_ref_and_only_the_fields_it_has(self, joined: Bench) -> None:
        frame = joined.ask("q1", priority=2)
        assert frame == ["1", "2", TOPIC, "query", {"q": "why?", "ref": "q1", "priority": 2, "attempt": 1}]

    def test_is_accepted_thinks_and_ends(self, joined: Bench) -> None:
        joined.accept("q1")
        joined.push("1", "thought", {"thought": {"type": "reasoning", "content": "a"}, "ref": "q1", "timestamp": 1500})
        joined.push("1", "result", {"ref": "q1", "status": "success", "data": {"x": 1}, "latency_ms": 12})
        accepted, thinking, ended = joined.said()
        assert accepted == ev.Accepted("q1")
        assert (thinking.thought.content, thinking.thought.type, thinking.thought.timestamp) == ("a", "reasoning", 1.5)
        assert ended == ev.Ended(Result("q1", "success", {"x": 1}, 0.012))
        assert joined.session.live == 0

    def test_refusal_carries_the_servers_words(self, joined: Bench) -> None:
        refusal = {"reason": "overloaded", "retry_after_ms": 250, "policy": "Admission"}
        joined.reply(joined.ask("q1"), refusal, "error")
        assert joined.said() == [
            ev.Refused("q1", wire.Error("overloaded", policy="Admission", retry_after_ms=250)),
        ]
        assert joined.session.live == 0

    def test_refusal_in_a_foreign_shape_is_understood(self, joined: Bench) -> None:
        joined.reply(joined.ask("q1"), {"reason": "no", "field": 7}, "error")
        assert joined.said() == [ev.Refused("q1", wire.Error("no"))]

    def test_streams_of_the_agents_other_connections_are_ignored(self, joined: Bench) -> None:
        joined.push("1", "thought", {"thought": {}, "ref": "theirs", "timestamp": 1})
        joined.push("1", "result", {"ref": "theirs", "status": "success", "data": 1, "latency_ms": 1})
        joined.push("1", "interrupted", {"ref": "theirs", "reason": "x"})
        assert joined.said() == []

    def test_nothing_follows_an_ending(self, joined: Bench) -> None:
        joined.accept("q1")
        for _ in range(2):
            joined.push("1", "result", {"ref": "q1", "status": "timeout", "data": None, "latency_ms": 1})
        joined.push("1", "thought", {"thought": {}, "ref": "q1", "timestamp": 1})
        assert [type(event) for event in joined.said()] == [ev.Accepted, ev.Ended]

    def test_a_ref_in_use_is_an_error(self, joined: Bench) -> None:
        joined.ask("q1")
        with pytest.raises(ValueError, match="'q1' is in use"):
            joined.ask("q1")

    def test_an_unintelligible_message_is_ignored_and_reported(self, joined: Bench) -> None:
        joined.accept("q1")
        joined.said()
        joined.push("1", "thought", {"ref": "q1", "timestamp": "soon", "thought": 1})
        (report,) = joined.said()
        assert report == ev.Misunderstood(TOPIC, "thought", "Expected `int`, got `str` - at `$.timestamp`")
        assert joined.session.live == 1

    def test_an_unintelligible_ending_is_an_ending_all_the_same(self, joined: Bench) -> None:
        joined.accept("q1")
        joined.said()
        joined.push("1", "result", {"ref": "q1", "status": "splendid", "data": 1, "latency_ms": 1})
        report, lost = joined.said()
        assert isinstance(report, ev.Misunderstood)
        assert (lost.ref, lost.cause) == ("q1", "garbled")

    def test_other_pushes_are_handed_on_and_pongs_are_not(self, joined: Bench) -> None:
        joined.push("1", "news", {"n": 1})
        joined.push("1", "pong", {"timestamp": 1})
        assert joined.said() == [ev.Pushed(TOPIC, "news", {"n": 1})]

    def test_without_a_reply_in_time_it_is_lost_and_stopped(self, joined: Bench) -> None:
        joined.ask("q1")
        joined.after(SETTINGS.reply)
        assert joined.said() == [ev.Lost("q1", "no reply", "no reply within 10 s", after=10.0)]
        assert joined.sent()[-1][3:] == ["interrupt", {"ref": "q1", "reason": "client gave up"}]
        assert joined.session.live == 0

    def test_an_accepted_one_waits_as_long_as_the_server_likes(self, joined: Bench) -> None:
        """Without a drop or a timeout of its own the ending is the server's promise."""
        joined.accept("q1")
        joined.said()
        for _ in range(100):
            joined.after(29)
            for frame in joined.sent():
                joined.reply(frame)
        assert joined.said() == []
        assert joined.session.live == 1

    def test_too_many_unfinished_ones_are_refused_here(self) -> None:
        bench = Bench(msgspec.structs.replace(SETTINGS, max_pending=3))
        bench.join()
        for number in range(3):
            bench.accept(f"q{number}")
        with pytest.raises(BufferFull, match="3 messages"):
            bench.ask("q3")


class TestInterrupt:
    def test_is_sent_and_ends_with_the_servers_word(self, joined: Bench) -> None:
        joined.accept("q1")
        joined.said()
        joined.now += 2
        assert joined.session.interrupt("q1", "enough", joined.now)
        (frame,) = joined.sent()
        assert frame[3:] == ["interrupt", {"ref": "q1", "reason": "enough"}]
        joined.reply(frame)
        assert joined.said() == []
        joined.push("1", "interrupted", {"ref": "q1", "reason": "enough"})
        assert joined.said() == [ev.Ended(Result("q1", "interrupted", None, 2.0, "enough"))]

    def test_is_sent_once_while_unanswered(self, joined: Bench) -> None:
        joined.accept("q1")
        joined.session.interrupt("q1", "a", joined.now)
        joined.session.interrupt("q1", "b", joined.now)
        assert len(joined.sent()) == 1

    def test_of_a_query_that_ended_does_nothing(self, joined: Bench) -> None:
        assert not joined.session.interrupt("q1", "a", joined.now)
        assert joined.sent() == []

    def test_of_a_query_that_has_not_left_ends_it_here(self, bench: Bench) -> None:
        bench.session.query(wire.Query("why?", "q1"), bench.now)
        bench.said()
        bench.session.interrupt("q1", "enough", bench.now)
        assert bench.said() == [ev.Ended(Result("q1", "interrupted", None, 0.0, "enough"))]
        bench.join()
        assert bench.sent() == []

    def test_is_repeated_after_a_drop(self, joined: Bench) -> None:
        joined.accept("q1")
        joined.session.interrupt("q1", "enough", joined.now)
        joined.drop()
        joined.after(0.5)
        joined.sent()
        joined.join()
        assert [frame[3] for frame in joined.sent()] == ["interrupt"]


class TestPush:
    def test_reply_tells_what_came_back_and_how_long_it_took(self, joined: Bench) -> None:
        number = joined.session.push("ping", {}, joined.now)
        joined.now += 0.25
        joined.reply(joined.sent()[0], {"pong": 7})
        assert joined.said() == [ev.Replied(number, ev.Reply("ok", {"pong": 7}, 0.25))]

    def test_an_error_reply_is_an_outcome_too(self, joined: Bench) -> None:
        number = joined.session.push("bogus", {}, joined.now)
        joined.reply(joined.sent()[0], {"reason": "unmatched event: bogus"}, "error")
        assert joined.said() == [ev.Replied(number, ev.Reply("error", {"reason": "unmatched event: bogus"}, 0.0))]

    def test_times_out_and_then_a_late_reply_is_ignored(self, joined: Bench) -> None:
        number = joined.session.push("ping", {}, joined.now, timeout=3)
        joined.after(2.9)
        assert joined.said() == []
        joined.after(0.2)
        assert joined.said() == [ev.Replied(number, ev.Reply("timeout", None, 3.0))]
        joined.reply(joined.sent()[0])
        assert joined.said() == []

    def test_waits_for_the_join_and_keeps_its_order(self, bench: Bench) -> None:
        for event in ("one", "two"):
            bench.session.push(event, {}, bench.now)
        join = bench.connect()
        bench.session.push("three", {}, bench.now)
        assert bench.sent() == []
        bench.reply(join)
        assert [frame[3] for frame in bench.sent()] == ["one", "two", "three"]

    def test_that_timed_out_while_waiting_is_never_sent(self, bench: Bench) -> None:
        bench.session.push("ping", {}, bench.now, timeout=1)
        bench.after(1)
        bench.join()
        assert bench.sent() == []

    def test_sent_before_a_drop_fails_at_once_and_is_not_sent_again(self, joined: Bench) -> None:
        number = joined.session.push("ping", {}, joined.now)
        joined.drop()
        assert joined.said(ev.Replied) == [ev.Replied(number, ev.Reply("disconnected", None, 0.0))]
        joined.after(0.5)
        joined.join()
        assert joined.sent() == []

    def test_made_while_disconnected_is_sent_after_the_rejoin(self, joined: Bench) -> None:
        joined.drop()
        joined.session.push("ping", {}, joined.now)
        joined.after(0.5)
        join_ref = joined.join()
        assert [frame[:1] + frame[3:4] for frame in joined.sent()] == [[join_ref, "ping"]]

    def test_without_a_json_form_fails_in_the_callers_hands(self, bench: Bench) -> None:
        with pytest.raises(TypeError, match="object has no JSON form"):
            bench.session.push("x", {"y": object()}, bench.now)

    def test_bytes_go_and_come_in_binary_frames(self, joined: Bench) -> None:
        joined.session.push("x", b"\x01", joined.now)
        (message,) = joined.session.data_to_send()
        assert message.binary
        reply = b"\x01\x01\x01\x0a\x02" + b"1" + b"2" + TOPIC.encode() + b"ok" + b"\x02"
        joined.session.received(reply, binary=True, now=joined.now)
        assert joined.said() == [ev.Replied(1, ev.Reply("ok", b"\x02", 0.0))]

    def test_beyond_the_bound_are_refused_but_interrupts_still_go(self) -> None:
        bench = Bench(msgspec.structs.replace(SETTINGS, max_pending=2))
        bench.join()
        bench.accept("q1")
        for _ in range(2):
            bench.session.push("ping", {}, bench.now)
        with pytest.raises(BufferFull):
            bench.session.push("ping", {}, bench.now)
        bench.sent()
        bench.session.interrupt("q1", "enough", bench.now)
        assert [frame[3] for frame in bench.sent()] == ["interrupt"]


class TestHeartbeat:
    def test_beats_every_interval_on_the_phoenix_topic(self, joined: Bench) -> None:
        joined.after(30)
        (beat,) = joined.sent()
        assert beat[0] is None
        assert beat[2:] == ["phoenix", "heartbeat", {}]
        joined.reply(beat)
        joined.after(30)
        assert len(joined.sent()) == 1

    def test_without_an_answer_the_connection_is_dead(self, joined: Bench) -> None:
        joined.after(60)
        assert joined.said()[:2] == [
            ev.CloseSocket(1000, "heartbeat timeout"),
            ev.Dropped(1006, "heartbeat timeout", 0.5),
        ]
        assert joined.session.status == "disconnected"

    def test_a_new_connection_starts_afresh(self, joined: Bench) -> None:
        joined.after(30)
        joined.drop()
        joined.after(0.5)
        joined.sent()
        joined.join()
        joined.after(30)
        assert [frame[3] for frame in joined.sent()] == ["heartbeat"]
        assert joined.said(ev.CloseSocket) == []


class TestReconnection:
    def test_waits_double_up_to_the_cap_times_a_random_number(self) -> None:
        bench = Bench(random=0.25)
        waits = []
        for _ in range(6):
            bench.session.disconnected(bench.now, 1006, "refused")
            (dropped,) = bench.said(ev.Dropped)
            waits.append(dropped.retry_in)
            bench.after(dropped.retry_in)
            assert bench.said() == [ev.OpenSocket()]
        assert waits == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]

    def test_a_join_that_did_not_last_does_not_reset_the_wait(self) -> None:
        """Otherwise a server that accepts and crashes is asked in a tight loop."""
        bench = Bench()
        for expected in (0.5, 1.0, 2.0):
            bench.join()
            bench.drop()
            assert bench.said(ev.Dropped)[0].retry_in == expected
            bench.after(expected)

    def test_a_join_that_lasted_resets_it(self, joined: Bench) -> None:
        joined.drop()
        joined.after(0.5)
        joined.join()
        joined.now += 60
        joined.said()
        joined.drop()
        assert joined.said(ev.Dropped)[0].retry_in == 0.5

    def test_a_query_that_was_too_big_for_the_server_is_refused_and_not_sent_again(self, joined: Bench) -> None:
        """Else it would end each new connection as it ended the last."""
        joined.ask("small")
        joined.session.query(wire.Query(q="x" * 1000, ref="big"), joined.now)
        joined.sent()
        joined.said()
        joined.session.disconnected(joined.now, 1009, "message too big")
        (refused,) = joined.said(ev.Refused)
        assert (refused.ref, refused.error.reason, refused.error.field) == ("big", "payload_too_large", "q")
        joined.after(0.5)
        assert joined.connect()[4]["resume"] == {"small": 0}

    def test_a_server_that_is_full_is_not_asked_again_sooner_than_it_says(self, joined: Bench) -> None:
        joined.session.disconnected(joined.now, 1006, "HTTP status 503", 5.0)
        assert joined.said(ev.Dropped)[0].retry_in == 5.0 + 0.5, "with the usual jitter, or all would come at once"
        joined.after(5.4)
        assert joined.said(ev.OpenSocket) == []
        joined.after(0.1)
        assert joined.said(ev.OpenSocket) == [ev.OpenSocket()]

    def test_nor_is_a_join_that_it_refused_for_now(self, joined: Bench) -> None:
        joined.drop()
        joined.after(0.5)
        refusal = {"reason": "too_many_connections", "policy": "connections.per_agent", "retry_after_ms": 5000}
        joined.reply(joined.connect(), refusal, "error")
        assert [event.final for event in joined.said(ev.JoinRefused)] == [False]
        joined.after(5.9)
        assert joined.sent() == []
        joined.after(0.1)
        assert [frame[3] for frame in joined.sent()] == ["phx_join"]

    def test_rejoins_with_a_new_join_ref(self, joined: Bench) -> None:
        joined.drop()
        joined.after(0.5)
        assert joined.connect() == ["2", "2", TOPIC, "phx_join", {"api_key": "k", "resume": {}}]

    def test_an_accepted_query_goes_on_after_the_rejoin(self, joined: Bench) -> None:
        joined.accept("q1")
        joined.drop()
        joined.after(0.5)
        join_ref = joined.join()
        joined.said()
        joined.push(join_ref, "thought", {"thought": {"content": "x"}, "ref": "q1", "timestamp": 1})
        joined.push(join_ref, "result", {"ref": "q1", "status": "success", "data": 1, "latency_ms": 1})
        assert [type(event) for event in joined.said()] == [ev.Thinking, ev.Ended]

    @pytest.mark.parametrize(("timeout", "patience"), [(None, 40.0), (5000, 7.0)])
    def test_an_ending_that_was_missed_is_given_up_after_the_querys_timeout(
        self, joined: Bench, timeout: int | None, patience: float
    ) -> None:
        joined.accept("q1", timeout=timeout)
        joined.drop()
        joined.after(0.5)
        joined.join()
        joined.said()
        for frame_time in (patience - 0.6, 0.2):
            assert joined.said(ev.Lost) == []
            joined.after(frame_time)
        (lost,) = joined.said(ev.Lost)
        assert (lost.ref, lost.cause) == ("q1", "dropped")

    def test_without_a_timeout_of_its_own_it_is_waited_for_as_long_as_the_connection_lives(self, joined: Bench) -> None:
        """The server's rule may be longer than usual, or none: it owes the ending. A drop bounds the wait."""
        joined.accept("q1")
        for _ in range(100):  # heartbeats
            joined.after(30)
            (beat,) = joined.sent()
            joined.reply(beat)
        assert joined.said(ev.Lost) == []
        joined.drop()
        joined.after(SETTINGS.patience + SETTINGS.grace + 0.1)
        assert [lost.ref for lost in joined.said(ev.Lost)] == ["q1"]

    @pytest.mark.parametrize("asked", ["before", "after"])
    def test_a_timeout_bounds_the_wait_for_a_server_that_has_gone(self, joined: Bench, asked: str) -> None:
        """Whether the query had been accepted or could not even be sent."""
        if asked == "before":
            joined.accept("q1", timeout=3000)
        joined.drop()
        if asked == "after":
            joined.session.query(wire.Query(q="why?", ref="q1", timeout=3000), joined.now)
        joined.after(2.9)
        assert joined.said(ev.Lost) == []
        joined.after(0.2)
        (lost,) = joined.said(ev.Lost)
        assert lost.cause == ("dropped" if asked == "before" else "no reply")
        assert lost.why.endswith("within its timeout of 3 s")
        assert joined.session.live == 0
        assert len(joined.session._socket.timers) <= 1  # the next try of a connection

    def test_a_server_that_is_there_may_have_its_word_a_little_later(self, joined: Bench) -> None:
        joined.accept("q1", timeout=3000)
        joined.accept("q2", timeout=3000)
        joined.after(3 + SETTINGS.late - 0.1)
        joined.push("1", "result", {"ref": "q1", "status": "timeout", "data": None, "latency_ms": 3000})
        joined.said()
        joined.after(0.2)
        assert [(lost.ref, lost.cause) for lost in joined.said(ev.Lost)] == [("q2", "dropped")]

    def test_a_drop_after_the_timeout_ends_the_wait_at_once(self, joined: Bench) -> None:
        joined.accept("q1", timeout=3000)
        joined.after(3.1)
        assert joined.said(ev.Lost) == []
        joined.drop()
        assert [lost.ref for lost in joined.said(ev.Lost)] == ["q1"]

    def test_a_timeout_that_ended_a_query_leaves_nothing_behind(self, joined: Bench) -> None:
        joined.accept("q1", timeout=3000)
        before = len(joined.session._socket.timers)
        joined.push("1", "result", {"ref": "q1", "status": "success", "data": 1, "latency_ms": 1})
        assert len(joined.session._socket.timers) == before - 1

    def test_a_query_that_was_sent_but_not_answered_may_still_turn_out_accepted(self, joined: Bench) -> None:
        joined.ask("q1")
        joined.drop()
        joined.after(0.5)
        join_ref = joined.join()
        joined.said()
        joined.push(join_ref, "thought", {"thought": {}, "ref": "q1", "timestamp": 1})
        assert [type(event) for event in joined.said()] == [ev.Accepted, ev.Thinking]

    def test_a_malformed_frame_closes_and_reconnects(self, joined: Bench) -> None:
        joined.session.received(b"{nope", binary=False, now=joined.now)
        close, dropped = joined.said()
        assert close.code == 1002
        assert "malformed frame" in dropped.reason
        joined.after(0.5)
        assert joined.said() == [ev.OpenSocket()]

    def test_a_hopeless_refusal_after_a_drop_closes_the_session(self, joined: Bench) -> None:
        """A restarted server may know another key; asking for ever cannot help."""
        joined.drop()
        joined.after(0.5)
        joined.reply(joined.connect(), {"reason": "unauthorized"}, "error")
        assert joined.said(ev.Closed) == [ev.Closed("join refused: unauthorized")]

    def test_any_other_refusal_after_a_drop_is_tried_again(self, joined: Bench) -> None:
        joined.drop()
        joined.after(0.5)
        joined.reply(joined.connect(), {"reason": "busy"}, "error")
        assert joined.said(ev.JoinRefused) == [ev.JoinRefused(TOPIC, "busy", final=False)]
        joined.after(1.0)
        assert [frame[3] for frame in joined.sent()] == ["phx_join"]


class TestCrashAndClose:
    def test_a_crashed_channel_is_joined_again_after_a_wait(self, joined: Bench) -> None:
        joined.receive("1", "1", TOPIC, "phx_error", {"reason": "channel_crash"})
        assert joined.session.status == "joining"
        joined.after(0.9)
        assert joined.sent() == []
        joined.after(0.2)
        assert joined.sent() == [["2", "2", TOPIC, "phx_join", {"api_key": "k", "resume": {}}]]

    def test_a_crash_keeps_the_socket(self, joined: Bench) -> None:
        joined.receive("1", "1", TOPIC, "phx_error", {})
        assert joined.said() == []

    def test_a_channel_closed_by_the_server_ends_the_session(self, joined: Bench) -> None:
        joined.accept("q1")
        joined.said()
        joined.receive("1", "1", TOPIC, "phx_close", {})
        why = "the server closed the agent's channel"
        assert joined.said() == [ev.CloseSocket(1000, ""), ev.Lost("q1", "closed", why), ev.Closed(why)]

    def test_leaving_says_so_and_closes(self, joined: Bench) -> None:
        joined.session.leave(joined.now)
        assert joined.sent() == [["1", "2", TOPIC, "phx_leave", {}]]
        assert joined.said() == [ev.CloseSocket(1000, ""), ev.Closed("left")]
        assert joined.session.status == "closed"

    def test_leaving_twice_is_leaving_once(self, joined: Bench) -> None:
        joined.session.leave(joined.now)
        joined.said()
        joined.session.leave(joined.now)
        assert joined.said() == []

    def test_leaving_loses_what_is_unfinished(self, joined: Bench) -> None:
        joined.accept("accepted")
        joined.ask("unanswered")
        number = joined.session.push("ping", {}, joined.now)
        joined.said()
        joined.session.leave(joined.now)
        assert {event.ref for event in joined.said(ev.Lost)} == {"accepted", "unanswered"}
        joined.session.leave(joined.now)
        assert number == 1
        assert joined.session.live == 0

    def test_nothing_can_be_asked_afterwards(self, joined: Bench) -> None:
        joined.session.leave(joined.now)
        with pytest.raises(AgentClosed, match="left"):
            joined.ask("q1")

    def test_nothing_is_heard_afterwards(self, joined: Bench) -> None:
        joined.session.leave(joined.now)
        joined.said()
        joined.push("1", "news", {})
        joined.drop()
        joined.after(1000)
        assert joined.said() == []

    def test_many_finished_queries_leave_nothing_behind(self, joined: Bench) -> None:
        for number in range(1000):
            joined.accept(f"q{number}")
            joined.push("1", "result", {"ref": f"q{number}", "status": "success", "data": 1, "latency_ms": 1})
        timers = joined.session._socket.timers
        assert joined.session.live == 0
        assert len(timers) == 1  # the heartbeat
        assert len(timers._heap) < 200  # cancelled reply deadlines do not pile up
        assert joined.session._channel.pending == 0


def metas(*refs: str) -> dict[str, Any]:
    return {"metas": [{"phx_ref": ref, "status": "active"} for ref in refs]}


class TestPresence:
    def watch(self, bench: Bench) -> str:
        bench.session.watch(ROSTER, bench.now)
        join = bench.sent()[-1]
        assert join[2:] == [ROSTER, "phx_join", {"api_key": "k"}]
        bench.reply(join)
        bench.said()
        return str(join[0])

    def roster(self, bench: Bench) -> dict[str, list[str]] | None:
        roster = bench.session.roster()
        return None if roster is None else {key: [meta["phx_ref"] for meta in some] for key, some in roster.items()}

    def test_is_unknown_until_the_state_has_come(self, joined: Bench) -> None:
        join_ref = self.watch(joined)
        assert self.roster(joined) is None
        joined.push(join_ref, "presence_state", {"ada": metas("1")}, ROSTER)
        assert joined.said() == [ev.PresenceChanged(ROSTER)]
        assert self.roster(joined) == {"ada": ["1"]}

    def test_follows_the_diffs(self, joined: Bench) -> None:
        join_ref = self.watch(joined)
        joined.push(join_ref, "presence_state", {"ada": metas("1"), "bob": metas("2")}, ROSTER)
        joined.push(None, "presence_diff", {"joins": {"ada": metas("3")}, "leaves": {"bob": metas("2")}}, ROSTER)
        assert self.roster(joined) == {"ada": ["1", "3"]}

    def test_an_update_replaces_the_old_meta(self, joined: Bench) -> None:
        join_ref = self.watch(joined)
        joined.push(join_ref, "presence_state", {"ada": metas("1")}, ROSTER)
        joined.push(None, "presence_diff", {"joins": {"ada": metas("2")}, "leaves": {"ada": metas("1")}}, ROSTER)
        assert self.roster(joined) == {"ada": ["2"]}

    def test_diffs_that_overtake_the_state_wait_for_it(self, joined: Bench) -> None:
        join_ref = self.watch(joined)
        joined.push(None, "presence_diff", {"joins": {"bob": metas("2")}, "leaves": {}}, ROSTER)
        assert joined.said() == []
        joined.push(join_ref, "presence_state", {"ada": metas("1")}, ROSTER)
        assert self.roster(joined) == {"ada": ["1"], "bob": ["2"]}

    def test_is_unknown_again_after_a_drop_until_the_new_state(self, joined: Bench) -> None:
        join_ref = self.watch(joined)
        joined.push(join_ref, "presence_state", {"ada": metas("1")}, ROSTER)
        joined.drop()
        joined.after(0.5)
        joined.session.connected(joined.now)
        join = joined.sent()[-1]
        joined.reply(join)
        assert self.roster(joined) is None
        joined.push(join[0], "presence_state", {"bob": metas("4")}, ROSTER)
        assert self.roster(joined) == {"bob": ["4"]}

    def test_watching_twice_joins_once(self, joined: Bench) -> None:
        self.watch(joined)
        joined.session.watch(ROSTER, joined.now)
        assert joined.sent() == []

    def test_unwatching_leaves(self, joined: Bench) -> None:
        join_ref = self.watch(joined)
        joined.session.unwatch(ROSTER, joined.now)
        assert joined.sent() == [[join_ref, "3", ROSTER, "phx_leave", {}]]
        joined.push(None, "presence_diff", {"joins": {"x": metas("9")}, "leaves": {}}, ROSTER)
        assert joined.said() == []
        assert self.roster(joined) is None

    def test_a_refused_roster_does_not_hurt_the_agent(self, joined: Bench) -> None:
        joined.session.watch(ROSTER, joined.now)
        joined.reply(joined.sent()[-1], {"reason": "not for you"}, "error")
        assert joined.said() == [ev.JoinRefused(ROSTER, "not for you", final=True)]
        joined.after(20)
        assert joined.sent() == []
        assert joined.session.status == "joined"

    def test_nonsense_is_reported_and_changes_nothing(self, joined: Bench) -> None:
        join_ref = self.watch(joined)
        joined.push(join_ref, "presence_state", {"ada": metas("1")}, ROSTER)
        joined.said()
        joined.push(None, "presence_diff", {"joins": {"bob": 5}}, ROSTER)
        (report,) = joined.said()
        assert report.problem.startswith("invalid presence: Expected `object`")
        assert self.roster(joined) == {"ada": ["1"]}


class TestAWatchedTopic:
    """Another topic than the agent's own: a worker's, for example."""

    TOPIC = "worker:spell"

    def watch(self, bench: Bench) -> Any:
        bench.session.watch(self.TOPIC, bench.now, {"concurrency": 2})
        (join,) = bench.sent()
        return join

    def test_is_joined_with_what_is_to_be_said_there(self, joined: Bench) -> None:
        join = self.watch(joined)
        assert join[2:] == [self.TOPIC, "phx_join", {"concurrency": 2, "api_key": "k"}]
        joined.reply(join, {"max_bytes": 5})
        assert joined.said() == [ev.Joined(self.TOPIC, {"max_bytes": 5})]

    def test_is_joined_again_after_a_drop_with_the_same(self, joined: Bench) -> None:
        joined.reply(self.watch(joined))
        joined.drop()
        joined.after(0.5)
        joined.session.connected(joined.now)
        assert joined.sent()[-1][2:] == [self.TOPIC, "phx_join", {"concurrency": 2, "api_key": "k"}]

    def test_that_was_joined_once_is_tried_again_when_a_join_comes_to_nothing(self, joined: Bench) -> None:
        joined.reply(self.watch(joined))
        joined.push(None, "phx_error", {}, self.TOPIC)
        joined.after(1)
        joined.said()
        joined.reply(joined.sent()[-1], {"reason": "not now"}, "error")
        assert joined.said() == [ev.JoinRefused(self.TOPIC, "not now", final=False)]
        joined.after(2)
        assert joined.sent()[-1][2:4] == [self.TOPIC, "phx_join"]

    def test_is_given_up_when_asking_again_is_of_no_use(self, joined: Bench) -> None:
        joined.reply(self.watch(joined))
        joined.push(None, "phx_error", {}, self.TOPIC)
        joined.after(1)
        joined.said()
        joined.reply(joined.sent()[-1], {"reason": "unauthorized"}, "error")
        assert joined.said() == [ev.JoinRefused(self.TOPIC, "unauthorized", final=True)]
        joined.after(20)
        assert joined.sent() == []

    def test_that_the_server_closes_is_over(self, joined: Bench) -> None:
        joined.reply(self.watch(joined))
        joined.said()
        joined.push(None, "phx_close", {}, self.TOPIC)
        assert joined.said() == [ev.TopicClosed(self.TOPIC)]
        joined.after(20)
        assert joined.sent() == []
        assert joined.session.status == "joined"


KEYS = st.sampled_from(["ada", "bob", "cy"])
STEPS = st.lists(st.tuples(KEYS, st.sampled_from(["join", "leave", "update"])), max_size=30)


@given(steps=STEPS, batches=st.lists(st.integers(1, 4), max_size=30), at=st.integers(0, 30), lag=st.integers(0, 3))
def test_state_and_diffs_add_up_to_the_truth(
    steps: list[tuple[str, str]], batches: list[int], at: int, lag: int
) -> None:
    """However diffs are coalesced, and wherever among them the state is taken, the client ends with the server's list.

    `at`: before which diff the server takes the state; `lag`: how many diffs overtake it on the way.
    """
    truth: dict[str, list[str]] = {}
    diffs: list[dict[str, Any]] = []
    snapshots: list[dict[str, Any]] = [{}]
    number = 0
    pending = list(steps)
    for size in [*batches, len(steps) or 1]:
        joins: dict[str, list[str]] = {}
        leaves: dict[str, list[str]] = {}
        for key, action in pending[:size]:
            here = truth.setdefault(key, [])
            if action != "join" and here:
                leaves.setdefault(key, []).append(here.pop(0))
            if action != "leave":
                number += 1
                here.append(str(number))
                joins.setdefault(key, []).append(str(number))
        pending = pending[size:]
        diffs.append(
            {
                "joins": {key: metas(*refs) for key, refs in joins.items()},
                "leaves": {key: metas(*refs) for key, refs in leaves.items()},
            }
        )
        snapshots.append({key: metas(*refs) for key, refs in truth.items() if refs})
    taken = min(at, len(diffs))
    presence = Presence()
    presence.joining()
    for index, diff in enumerate(diffs):
        if index == min(taken + lag, len(diffs)):
            presence.state("1", snapshots[taken])
        # Diffs from before the subscription never arrive; those from its beginning on all do, in order.
        if index >= taken - 1:
            presence.diff("1", diff)
    if not presence.synced("1"):
        presence.state("1", snapshots[taken])
    seen = {key: sorted(meta["phx_ref"] for meta in some) for key, some in presence.present.items()}
    assert seen == {key: sorted(refs) for key, refs in truth.items() if refs}


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans())))
def test_timers_ring_in_order_and_only_if_not_cancelled(entries: list[tuple[float, bool]]) -> None:
    """Whatever is cancelled, `next` is the earliest of the rest and `run` calls each of them once."""
    timers, rung = Timers(), []
    for when, cancelled in entries:
        timer = timers.at(when, lambda _, when=when: rung.append(when))  # type: ignore[misc]
        if cancelled:
            timer.cancel()
            timer.cancel()
    expected = sorted(when for when, cancelled in entries if not cancelled)
    assert len(timers) == len(expected)
    assert timers.next == (expected[0] if expected else None)
    timers.run(50)
    timers.run(100)
    assert rung == expected
    assert len(timers) == 0
