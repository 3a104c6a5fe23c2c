"""The rules of Phoenix 1.8, frame by frame, as one connection sees them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse.protocol import Frame
from tests.channels.rooms import Building
from tests.support.peer import Peer
from tests.support.strategies import json_values

LOBBY = "room:lobby"
UNMATCHED = ("error", {"reason": "unmatched topic"})
CRASH = {"reason": "channel_crash"}
BOTH = pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"], ids=["V1", "V2"])


def joined(hall: Building, topic: str = LOBBY, vsn: str = "2.0.0", **refs: Any) -> Peer:
    peer = hall.peer(vsn)
    peer.join(topic, **refs)
    peer.take()
    return peer


class TestHeartbeat:
    @BOTH
    @pytest.mark.parametrize("payload", [{}, [], None, "anything"])
    def test_it_is_answered_whatever_its_payload(self, hall: Building, vsn: str, payload: Any) -> None:
        assert hall.peer(vsn).ask("phoenix", "heartbeat", payload) == ("ok", {})

    def test_it_echoes_both_refs(self, hall: Building) -> None:
        frame = hall.peer().call("phoenix", "heartbeat", join_ref=7, ref=[1])
        assert (frame.join_ref, frame.ref) == (7, [1])

    def test_a_binary_one_is_answered_in_text(self, hall: Building) -> None:
        peer = hall.peer()
        peer.send("phoenix", "heartbeat", b"", ref="7")
        assert peer.transport.sent[0].data == b'[null,"7","phoenix","phx_reply",{"response":{},"status":"ok"}]'

    @pytest.mark.parametrize("event", ["bogus", "phx_join", "phx_leave", 5, None, []])
    def test_other_events_on_its_topic_are_unmatched(self, hall: Building, event: Any) -> None:
        frame = hall.peer().call("phoenix", event, join_ref="1")
        assert (frame.join_ref, frame.payload["response"]) == (None, {"reason": "unmatched topic"})


class TestJoin:
    @BOTH
    def test_a_join_is_answered_under_its_own_refs(self, hall: Building, vsn: str) -> None:
        peer = hall.peer(vsn)
        frame = peer.call(LOBBY, "phx_join", {}, ref="1")
        assert frame == Frame("1" if vsn == "2.0.0" else None, "1", LOBBY, "phx_reply", _ok({"topic": LOBBY}))

    @pytest.mark.parametrize("topic", ["hall", "", 5, None, ["room:lobby"], {"room": "lobby"}])
    def test_a_topic_no_one_serves_is_unmatched_and_its_join_ref_is_not_echoed(
        self, hall: Building, topic: Any
    ) -> None:
        frame = hall.peer().call(topic, "phx_join", {}, ref="1")
        assert frame == Frame(None, "1", topic, "phx_reply", _error("unmatched topic"))

    def test_a_refused_join_echoes_its_join_ref_and_joins_nothing(self, hall: Building) -> None:
        peer = hall.peer()
        frame = peer.call(LOBBY, "phx_join", {"refuse": "no room"}, ref="1")
        assert frame == Frame("1", "1", LOBBY, "phx_reply", _error("no room"))
        assert peer.ask(LOBBY, "echo") == UNMATCHED

    def test_a_join_that_crashes_is_refused(self, hall: Building) -> None:
        peer = hall.peer()
        assert peer.ask(LOBBY, "phx_join", {"crash": "join"}) == ("error", {"reason": "join crashed"})
        assert peer.ask(LOBBY, "echo") == UNMATCHED

    @pytest.mark.parametrize("payload", [{"refuse": "no room"}, {"crash": "join"}])
    def test_a_join_that_came_to_nothing_leaves_no_subscription(self, hall: Building, payload: Any) -> None:
        hall.peer().ask(LOBBY, "phx_join", payload)
        assert len(hall.pubsub) == 0

    def test_a_crash_after_the_join_ends_the_channel(self, hall: Building) -> None:
        peer = hall.peer()
        assert peer.join(LOBBY, {"crash": "joined"}) == {"topic": LOBBY}
        assert peer.take() == [Frame("1", "1", LOBBY, "phx_error", CRASH)]
        assert hall.ends == [(LOBBY, "1", "crash")]

    def test_refs_are_echoed_with_the_type_they_came_with(self, hall: Building) -> None:
        peer = joined(hall, ref=4, join_ref=3)
        frame = peer.call(LOBBY, "echo", ref=None)
        assert (frame.join_ref, frame.ref) == (3, None)

    def test_a_join_with_a_null_join_ref_pushes_under_its_ref_and_closes_under_null(self, hall: Building) -> None:
        peer = joined(hall, ref="7", join_ref=None)
        peer.send(LOBBY, "push", {"n": 1}, join_ref=None)
        peer.send(LOBBY, "stop", join_ref=None)
        assert [(frame.event, frame.join_ref, frame.ref) for frame in peer.take()] == [
            ("push", "7", None),
            ("phx_close", None, None),
        ]

    def test_one_connection_may_join_many_topics(self, hall: Building) -> None:
        peer = hall.peer()
        for number in range(3):
            peer.join(f"room:{number}")
        peer.send("room:1", "push", {})
        assert [frame.topic for frame in peer.take()] == ["room:1"]

    def test_but_not_more_than_the_limit(self) -> None:
        peer = Building(max_channels=2).peer()
        peer.join("room:1")
        peer.join("room:2")
        frame = peer.call("room:3", "phx_join", {}, ref="9")
        assert frame == Frame(
            "9", "9", "room:3", "phx_reply", _error("too_many_connections", policy="connections.channels")
        )

    def test_what_is_refused_before_a_channel_sees_it_is_told(self) -> None:
        told: list[Any] = []
        peer = Building(max_channels=1, max_message=100).peer()
        peer.socket.refused = lambda *what: told.append(what)  # type: ignore[method-assign]
        peer.join("room:1")
        peer.ask("room:2", "phx_join")
        peer.ask("room:1", "echo", {"x": "y" * 100})
        reasons = [(what, topic, reply.response["reason"]) for what, topic, reply in told]
        assert reasons == [("join", "room:2", "too_many_connections"), ("message", "room:1", "payload_too_large")]

    def test_the_limit_lets_a_joined_topic_be_joined_again(self) -> None:
        peer = Building(max_channels=1).peer()
        peer.join("room:1")
        assert peer.join("room:1") == {"topic": "room:1"}

    def test_a_left_topic_makes_room_for_another(self) -> None:
        peer = Building(max_channels=1).peer()
        peer.join("room:1")
        peer.send("room:1", "phx_leave")
        assert peer.join("room:2") == {"topic": "room:2"}

    def test_phoenix_limit_is_a_hundred(self) -> None:
        assert Building().endpoint.max_channels == 100


class TestLargeMessages:
    @pytest.mark.parametrize("vsn", ["2.0.0", "1.0.0"])
    def test_one_over_the_limit_is_answered_and_goes_no_further(self, vsn: str) -> None:
        building = Building(max_message=200)
        peer = building.peer(vsn)
        peer.join(LOBBY)
        status, refusal = peer.ask(LOBBY, "echo", {"x": "y" * 200})
        assert (status, refusal["reason"], refusal["policy"]) == ("error", "payload_too_large", "max_message_bytes")
        assert (refusal["limit"], refusal["size"] > 200) == (200, True)
        assert peer.ask(LOBBY, "echo", {"x": "y"})[0] == "ok"

    def test_so_is_a_binary_one(self) -> None:
        peer = Building(max_message=200).peer()
        peer.join(LOBBY)
        assert peer.ask(LOBBY, "echo", b"y" * 200)[1]["reason"] == "payload_too_large"

    def test_so_is_a_join(self) -> None:
        peer = Building(max_message=200).peer()
        assert peer.ask(LOBBY, "phx_join", {"x": "y" * 200})[1]["reason"] == "payload_too_large"
        assert peer.ask(LOBBY, "echo") == UNMATCHED

    def test_one_that_is_no_frame_ends_the_connection(self) -> None:
        peer = Building(max_message=200).peer()
        peer.send_raw(b"x" * 201)
        assert peer.closed == 1011


class TestDuplicateJoin:
    def test_the_new_join_is_answered_before_the_old_channel_closes(self, hall: Building) -> None:
        peer = joined(hall)
        peer.send(LOBBY, "phx_join", {}, ref="2")
        assert peer.take() == [
            Frame("2", "2", LOBBY, "phx_reply", _ok({"topic": LOBBY})),
            Frame("1", "1", LOBBY, "phx_close", {}),
        ]

    def test_the_old_channel_is_told_that_it_was_replaced(self, hall: Building) -> None:
        joined(hall).join(LOBBY)
        assert hall.ends == [(LOBBY, "1", "rejoined")]

    def test_the_new_channel_alone_hears_broadcasts(self, hall: Building) -> None:
        peer = joined(hall)
        peer.join(LOBBY)
        peer.take()
        peer.send(LOBBY, "shout", {})
        assert peer.heard() == [("shout", {})]

    @pytest.mark.parametrize(
        ("payload", "reason"), [({"refuse": "no room"}, "no room"), ({"crash": "join"}, "join crashed")]
    )
    def test_a_refused_one_still_ends_the_old_channel(self, hall: Building, payload: Any, reason: str) -> None:
        peer = joined(hall)
        peer.send(LOBBY, "phx_join", payload, ref="2")
        assert peer.take() == [
            Frame("2", "2", LOBBY, "phx_reply", _error(reason)),
            Frame("1", "1", LOBBY, "phx_close", {}),
        ]
        assert peer.ask(LOBBY, "echo") == UNMATCHED


class TestLeave:
    @BOTH
    def test_the_reply_comes_before_the_close(self, hall: Building, vsn: str) -> None:
        peer = joined(hall, vsn=vsn)
        peer.send(LOBBY, "phx_leave", ref="9")
        join_ref = "1" if vsn == "2.0.0" else None
        assert peer.take() == [
            Frame(join_ref, "9", LOBBY, "phx_reply", _ok({})),
            Frame(join_ref, join_ref, LOBBY, "phx_close", {}),
        ]
        assert hall.ends == [(LOBBY, join_ref, "left")]

    @pytest.mark.parametrize("topic", [LOBBY, "hall", 5])
    def test_to_leave_what_was_never_joined_is_fine(self, hall: Building, topic: Any) -> None:
        frame = hall.peer().call(topic, "phx_leave", ref="9", join_ref="8")
        assert frame == Frame("8", "9", topic, "phx_reply", _ok({}))

    def test_a_null_join_ref_leaves_whatever_is_joined(self, hall: Building) -> None:
        peer = joined(hall)
        frame = peer.call(LOBBY, "phx_leave", ref="9", join_ref=None)
        assert (frame.join_ref, [one.event for one in peer.take()]) == ("1", ["phx_close"])

    def test_what_was_left_is_unmatched(self, hall: Building) -> None:
        peer = joined(hall)
        peer.send(LOBBY, "phx_leave")
        peer.take()
        frame = peer.call(LOBBY, "echo")
        assert (frame.join_ref, frame.payload) == (None, _error("unmatched topic"))

    def test_whoever_left_hears_no_more(self, hall: Building) -> None:
        stays, leaves = joined(hall), joined(hall)
        leaves.send(LOBBY, "phx_leave")
        leaves.take()
        stays.send(LOBBY, "shout", {})
        assert (len(stays.take()), leaves.take()) == (1, [])


class TestStaleRefs:
    @pytest.mark.parametrize("event", ["echo", "phx_leave", "bogus"])
    def test_what_comes_under_a_stale_join_ref_is_dropped(self, hall: Building, event: str) -> None:
        peer = joined(hall)
        peer.join(LOBBY)
        peer.take()
        peer.send(LOBBY, event, join_ref="1")
        assert peer.take() == []
        assert peer.ask(LOBBY, "echo", {"still": "here"}) == ("ok", {"still": "here"})

    def test_what_comes_under_a_join_ref_on_a_channel_joined_without_one_is_dropped(self, hall: Building) -> None:
        peer = joined(hall, ref="7", join_ref=None)
        peer.send(LOBBY, "phx_leave", join_ref="7")
        assert peer.take() == []

    def test_what_comes_without_a_join_ref_is_served_under_the_current_one(self, hall: Building) -> None:
        assert joined(hall).call(LOBBY, "echo", join_ref=None).join_ref == "1"


class TestEvents:
    @pytest.mark.parametrize(
        "event",
        ["bogus", "phx_reply", "phx_close", "phx_error", "presence_diff", "presence_state", "", 5, None, [], {}],
    )
    def test_an_event_no_one_handles_is_named_and_the_channel_lives_on(self, hall: Building, event: Any) -> None:
        """Our one deliberate difference: Phoenix would end the channel."""
        peer = joined(hall)
        frame = peer.call(LOBBY, event)
        assert (frame.join_ref, frame.payload) == ("1", _error(f"unmatched event: {event}"))
        assert peer.ask(LOBBY, "echo", {"still": "here"}) == ("ok", {"still": "here"})

    def test_a_crash_ends_its_channel_and_no_other(self, hall: Building) -> None:
        peer = joined(hall)
        peer.join("room:other")
        peer.send(LOBBY, "crash")
        assert peer.take() == [Frame("1", "1", LOBBY, "phx_error", CRASH)]
        assert peer.ask(LOBBY, "echo") == UNMATCHED
        assert peer.ask("room:other", "echo", {"still": "here"}) == ("ok", {"still": "here"})

    def test_a_crashed_channel_may_be_joined_again(self, hall: Building) -> None:
        peer = joined(hall)
        peer.send(LOBBY, "crash")
        assert peer.join(LOBBY) == {"topic": LOBBY}

    def test_a_reply_without_a_json_form_is_a_crash(self, hall: Building) -> None:
        peer = joined(hall)
        peer.send(LOBBY, "unspeakable")
        assert [frame.event for frame in peer.take()] == ["phx_error"]

    def test_bytes_are_answered_in_bytes(self, hall: Building) -> None:
        assert joined(hall).ask(LOBBY, "echo", b"\xff") == ("ok", b"\xff")

    def test_bytes_broadcast_pass_a_v1_peer_by(self, hall: Building) -> None:
        """V1 has no form for them, and no one may crash another's channel. The V2 peers hear them."""
        v1, v2 = joined(hall, vsn="1.0.0"), joined(hall)
        v2.send(LOBBY, "shout", b"\xff")
        assert (v1.heard(), v2.heard()) == ([], [("shout", b"\xff")])
        assert v1.ask(LOBBY, "echo", {"n": 1}) == ("ok", {"n": 1})


class TestStop:
    def test_a_normal_end_is_a_close(self, hall: Building) -> None:
        peer = joined(hall)
        peer.send(LOBBY, "stop")
        assert peer.take() == [Frame("1", "1", LOBBY, "phx_close", {})]
        assert hall.ends == [(LOBBY, "1", "normal")]

    def test_its_reply_comes_first(self, hall: Building) -> None:
        peer = joined(hall)
        peer.send(LOBBY, "stop", {"reply": True})
        assert peer.heard() == [("phx_reply", _ok("bye")), ("phx_close", {})]

    def test_any_other_reason_is_a_crash(self, hall: Building) -> None:
        peer = joined(hall)
        peer.send(LOBBY, "stop", {"reason": "bored", "reply": True})
        assert peer.heard() == [("phx_reply", _ok("bye")), ("phx_error", CRASH)]
        assert hall.ends == [(LOBBY, "1", "bored")]

    def test_the_server_may_stop_a_channel_out_of_turn(self, hall: Building) -> None:
        peer = joined(hall)
        channel = peer.socket.channels[LOBBY]
        channel.stop()
        channel.stop()
        assert peer.take() == [Frame("1", "1", LOBBY, "phx_close", {})]
        assert hall.ends == [(LOBBY, "1", "normal")]


class TestTheEndOfTheConnection:
    def test_all_channels_end_without_a_word(self, hall: Building) -> None:
        peer = joined(hall)
        peer.join("room:other")
        peer.take()
        peer.disconnect()
        assert peer.transport.frames()[2:] == []
        assert hall.ends == [(LOBBY, "1", "closed"), ("room:other", "2", "closed")]
        assert len(hall.pubsub) == 0

    def test_a_channel_that_fails_at_its_end_leaves_the_others_theirs(self, hall: Building) -> None:
        peer = joined(hall, "stubborn:1")
        peer.join(LOBBY)
        peer.disconnect()
        assert hall.ends == [(LOBBY, "2", "closed")]
        assert len(hall.pubsub) == 0

    def test_nothing_is_read_or_written_after_it(self, hall: Building) -> None:
        peer = joined(hall)
        peer.disconnect()
        peer.send(LOBBY, "echo")
        peer.send("phoenix", "heartbeat")
        assert peer.take() == []

    def test_it_may_be_told_twice(self, hall: Building) -> None:
        peer = joined(hall)
        peer.socket.closed()
        peer.socket.closed()
        assert hall.ends == [(LOBBY, "1", "closed")]

    @pytest.mark.parametrize("data", [b"{nope", b"", b"[]", b"{}", b'[null,"1","phoenix","heartbeat"]'])
    def test_a_malformed_message_closes_it_with_1011(self, hall: Building, data: bytes) -> None:
        peer = joined(hall)
        peer.send_raw(data)
        hall.settle()
        assert peer.closed == 1011
        assert hall.ends == [(LOBBY, "1", "closed")]

    def test_text_that_is_no_utf8_closes_it_with_1007(self, hall: Building) -> None:
        peer = hall.peer()
        peer.send_raw(b'[null,"\xff","phoenix","heartbeat",{}]')
        assert peer.closed == 1007

    def test_what_was_answered_before_still_arrives(self, hall: Building) -> None:
        peer = hall.peer()
        peer.socket.receive(b'[null,"1","phoenix","heartbeat",{}]')
        peer.socket.receive(b"{nope")
        peer.socket.receive(b'[null,"2","phoenix","heartbeat",{}]')
        assert [frame.ref for frame in peer.transport.frames()] == ["1"]

    def test_a_ref_too_deep_to_be_echoed_is_as_good_as_malformed(self, hall: Building) -> None:
        """Near the recursion limit, what can be decoded may not be encodable a few calls deeper."""
        codes = set()
        for depth in range(900, 1010):
            peer = hall.peer()
            ref = b"[" * depth + b"]" * depth
            for topic, event in (
                (b"phoenix", b"heartbeat"),
                (b"x", b"y"),
                (b"x", b"phx_leave"),
                (b"room:1", b"phx_join"),
            ):
                peer.send_raw(b'[null,%s,"%s","%s",{}]' % (ref, topic, event))
            codes.add(peer.closed)
        assert codes == {None, 1011}

    def test_the_server_may_close_it_and_then_says_1001(self, hall: Building) -> None:
        peer = joined(hall)
        peer.socket.close()
        hall.settle()
        assert peer.closed == 1001
        assert hall.ends == [(LOBBY, "1", "closed")]

    def test_last_words_are_written_before_the_close(self, hall: Building) -> None:
        peer = joined(hall)
        peer.socket.channels[LOBBY].push("goodbye", {})
        peer.socket.close()
        assert peer.transport.frames()[-1].event == "goodbye"


topics = st.sampled_from([LOBBY, "room:x", "translator:1", "phoenix", "hall"]) | json_values
events = (
    st.sampled_from(["phx_join", "phx_leave", "heartbeat", "echo", "shout", "crash", "stop", "phx_close"]) | json_values
)


@settings(max_examples=60)
@given(st.lists(st.tuples(json_values, json_values, topics, events, json_values), max_size=12), st.booleans())
def test_no_frame_is_too_odd_to_be_answered(frames: list[tuple[Any, ...]], v2: bool) -> None:
    """Whatever JSON stands in the five places: no exception, no closed connection, and a heartbeat is answered."""
    hall = Building()
    witness, peer = joined(hall), hall.peer("2.0.0" if v2 else "1.0.0")
    for join_ref, ref, topic, event, payload in frames:
        fields = dict(
            zip(("join_ref", "ref", "topic", "event", "payload"), (join_ref, ref, topic, event, payload), strict=True)
        )
        peer.send_raw(json.dumps([*fields.values()] if v2 else fields).encode())
        hall.settle()
    assert peer.closed is None
    assert peer.ask("phoenix", "heartbeat", ref="the last") == ("ok", {})
    assert witness.ask(LOBBY, "echo", {"still": "here"}) == ("ok", {"still": "here"})
    peer.disconnect()
    witness.disconnect()
    assert (len(hall.pubsub), hall.clock.pending) == (0, 0)


def _ok(response: Any) -> dict[str, Any]:
    return {"response": response, "status": "ok"}


def _error(reason: str, **more: Any) -> dict[str, Any]:
    return {"response": {"reason": reason, **more}, "status": "error"}
