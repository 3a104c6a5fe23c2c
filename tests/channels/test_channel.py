"""What a user's own channel class may do, and what happens to it."""

from __future__ import annotations

import pytest

from synapse.channels import Channel, Message, MessageRef, error, ok
from synapse.protocol import Frame
from tests.channels.rooms import Building, Room
from tests.support.hall import Hall
from tests.support.peer import Peer

CRASH = {"reason": "channel_crash"}


def member(hall: Building, topic: str = "room:lobby", vsn: str = "2.0.0") -> Peer:
    peer = hall.peer(vsn)
    peer.join(topic)
    peer.take()
    return peer


def news(payload: object = "extra!", broadcast: bool = False) -> Message:
    return Message("news", "item", payload, broadcast=broadcast)


class TestReplies:
    def test_ok_without_a_response_is_empty(self) -> None:
        assert (ok().status, ok().response) == ("ok", {})

    @pytest.mark.parametrize("response", [0, "", [], False, {"a": 1}, b""])
    def test_ok_keeps_any_response_it_is_given(self, response: object) -> None:
        assert ok(response).response == response

    def test_an_error_has_a_reason_and_what_else_helps(self) -> None:
        reply = error("overloaded", retry_after_ms=5)
        assert (reply.status, reply.response) == ("error", {"reason": "overloaded", "retry_after_ms": 5})

    def test_an_answer_may_come_later_and_in_another_order(self, hall: Building) -> None:
        peer = member(hall)
        for ref in ("a", "b"):
            peer.send("room:lobby", "later", ref=ref)
        assert peer.take() == []
        channel = peer.socket.channels["room:lobby"]
        assert isinstance(channel, Room)
        for later in reversed(channel.later):
            channel.reply(later, ok(later.ref))
        assert peer.take() == [
            Frame("1", ref, "room:lobby", "phx_reply", {"status": "ok", "response": ref}) for ref in ("b", "a")
        ]

    def test_no_answer_is_an_answer(self, hall: Building) -> None:
        peer = member(hall)
        peer.send("room:lobby", "push", {"n": 1})
        assert peer.take() == [Frame("1", None, "room:lobby", "push", {"n": 1})]


class TestDefaults:
    """A class that overrides nothing."""

    def test_everybody_may_join(self) -> None:
        assert Hall({"*": Channel}).peer().join("anything") == {}

    def test_no_event_is_handled(self) -> None:
        peer = Hall({"*": Channel}).peer()
        peer.join("anything")
        assert peer.ask("anything", "shout") == ("error", {"reason": "unmatched event: shout"})

    def test_it_shows_its_topic(self) -> None:
        peer = Hall({"*": Channel}).peer()
        peer.join("anything")
        assert repr(peer.socket.channels["anything"]) == "<Channel anything of <Socket 2.0.0, 1 channels>>"


class TestBroadcast:
    def test_all_members_hear_it_with_both_refs_null_and_the_sender_too(self, hall: Building) -> None:
        sender, other = member(hall), member(hall)
        sender.send("room:lobby", "shout", {"n": 1})
        frame = Frame(None, None, "room:lobby", "shout", {"n": 1})
        assert (sender.take(), other.take()) == ([frame], [frame])

    def test_broadcast_from_spares_the_sender(self, hall: Building) -> None:
        sender, other = member(hall), member(hall)
        sender.send("room:lobby", "whisper", {"n": 1})
        assert (sender.take(), other.heard()) == ([], [("whisper", {"n": 1})])

    def test_other_topics_do_not_hear_it(self, hall: Building) -> None:
        sender, other = member(hall), member(hall, "room:other")
        sender.send("room:lobby", "shout", {})
        assert other.take() == []

    def test_one_connection_with_two_topics_hears_each_once(self, hall: Building) -> None:
        peer = member(hall)
        peer.join("room:other")
        peer.take()
        peer.send("room:lobby", "shout", {})
        assert peer.heard() == [("shout", {})]

    def test_both_serializers_hear_the_same(self, hall: Building) -> None:
        v1, v2 = member(hall, vsn="1.0.0"), member(hall)
        v2.send("room:lobby", "shout", {"n": 1})
        assert v1.heard() == v2.heard() == [("shout", {"n": 1})]


class TestIntercept:
    def test_an_intercepted_broadcast_is_pushed_as_handle_out_says(self, hall: Building) -> None:
        peer = member(hall, "translator:1")
        peer.send("translator:1", "shout", {"n": 1})
        assert peer.take() == [Frame("1", None, "translator:1", "shout", {"translated": {"n": 1}})]

    def test_it_may_be_swallowed(self, hall: Building) -> None:
        peer = member(hall, "translator:1")
        peer.socket.channels["translator:1"].broadcast("secret", {})
        assert peer.take() == []

    def test_other_broadcasts_pass(self, hall: Building) -> None:
        peer = member(hall, "translator:1")
        peer.socket.channels["translator:1"].broadcast("other", {})
        assert peer.take() == [Frame(None, None, "translator:1", "other", {})]

    def test_a_push_is_not_intercepted(self, hall: Building) -> None:
        peer = member(hall, "translator:1")
        peer.socket.channels["translator:1"].push("secret", {})
        assert peer.heard() == [("secret", {})]

    def test_a_member_that_crashes_on_a_broadcast_crashes_alone(self, hall: Building) -> None:
        """Each member runs its own handle_out; here all fail, and each one's other channels live on."""
        peer = member(hall, "translator:1")
        peer.join("room:lobby")
        peer.take()
        peer.socket.channels["translator:1"].broadcast("poison", {})
        assert peer.take() == [Frame("1", "1", "translator:1", "phx_error", CRASH)]
        assert peer.ask("room:lobby", "echo", {"still": "here"}) == ("ok", {"still": "here"})


class TestSubscribe:
    def test_a_channel_hears_other_topics_under_its_own_join_ref(self, hall: Building) -> None:
        peer = member(hall, "subscriber:1")
        hall.pubsub.publish(news())
        assert peer.take() == [Frame("1", None, "news", "item", "extra!")]

    def test_handle_info_may_make_of_it_what_it_likes(self, hall: Building) -> None:
        peer = member(hall, "listener:1")
        peer.socket.channels["listener:1"].subscribe("news")
        hall.pubsub.publish(news())
        assert peer.take() == [Frame("1", None, "listener:1", "info", {"event": "item", "payload": "extra!"})]

    @pytest.mark.parametrize("ending", ["phx_leave", "crash", "stop"])
    def test_its_subscriptions_end_with_it(self, hall: Building, ending: str) -> None:
        peer = member(hall, "subscriber:1")
        peer.send("subscriber:1", ending)
        peer.take()
        hall.pubsub.publish(news())
        assert peer.take() == []
        assert len(hall.pubsub) == 0


class TestTerminate:
    @pytest.mark.parametrize(
        ("ending", "reason"), [("phx_leave", "left"), ("crash", "crash"), ("stop", "normal"), ("phx_join", "rejoined")]
    )
    def test_it_is_told_once_why(self, hall: Building, ending: str, reason: str) -> None:
        peer = member(hall)
        peer.send("room:lobby", ending)
        assert hall.ends == [("room:lobby", "1", reason)]

    def test_one_that_raises_changes_nothing_for_the_client(self, hall: Building) -> None:
        peer = member(hall, "stubborn:1")
        peer.send("stubborn:1", "phx_leave")
        assert [frame.event for frame in peer.take()] == ["phx_reply", "phx_close"]
        assert peer.join("stubborn:1") == {"topic": "stubborn:1"}


def test_a_message_ref_is_a_value() -> None:
    assert MessageRef("7") == MessageRef("7")
