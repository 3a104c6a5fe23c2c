"""Routes from topics to channel classes, and one flush a turn."""

from __future__ import annotations

import logging

import pytest

from synapse.channels import Channel, Endpoint, LocalPresence, LocalPubSub, Routes
from tests.support.clock import VirtualClock


class A(Channel):
    pass


class B(Channel):
    pass


class C(Channel):
    pass


class TestRoutes:
    def test_an_exact_topic_wins_over_a_prefix(self) -> None:
        assert Routes({"room:*": A, "room:lobby": B}).find("room:lobby") is B

    def test_a_longer_prefix_wins_over_a_shorter_one(self) -> None:
        routes = Routes({"room:*": A, "room:lab:*": B, "*": C})
        assert [routes.find(topic) for topic in ("room:lab:1", "room:1", "hall")] == [B, A, C]

    def test_a_prefix_matches_itself(self) -> None:
        assert Routes({"room:*": A}).find("room:") is A

    def test_other_topics_match_nothing(self) -> None:
        routes = Routes({"room:*": A, "hall": B})
        assert [routes.find(topic) for topic in ("roo", "hall:1", "hal", "", "Room:1")] == [None] * 5

    @pytest.mark.parametrize("pattern", ["", "*:room", "ro*m:*", "**"])
    def test_a_star_elsewhere_than_at_the_end_is_refused(self, pattern: str) -> None:
        with pytest.raises(ValueError, match="topic pattern"):
            Routes({pattern: A})


class Flushed:
    """A socket that only counts, or fails."""

    def __init__(self, broken: bool = False) -> None:
        self.flushes = 0
        self.broken = broken

    def flush(self) -> None:
        self.flushes += 1
        if self.broken:
            raise OSError("no such connection")


class TestFlush:
    def test_all_sockets_are_flushed_by_one_call_at_the_end_of_the_turn(self) -> None:
        clock = VirtualClock()
        endpoint = Endpoint(clock, {})
        sockets = [Flushed() for _ in range(3)]
        for socket in sockets:
            endpoint.flush_soon(socket)
        assert (clock.pending, [socket.flushes for socket in sockets]) == (1, [0, 0, 0])
        clock.advance()
        assert (clock.pending, [socket.flushes for socket in sockets]) == (0, [1, 1, 1])

    def test_a_late_flush_comes_after_what_this_turn_has_begun(self) -> None:
        clock = VirtualClock()
        endpoint = Endpoint(clock, {})
        socket, seen = Flushed(), list[int]()
        endpoint.flush_late(socket)
        clock.call_later(0, lambda: seen.append(socket.flushes))  # begun after the first that asked
        clock.advance()
        assert (seen, socket.flushes, clock.pending) == ([0], 1, 0)

    def test_a_socket_that_fails_leaves_the_others_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = VirtualClock()
        endpoint = Endpoint(clock, {})
        broken, sound = Flushed(broken=True), Flushed()
        endpoint.flush_soon(broken)
        endpoint.flush_soon(sound)
        clock.advance()
        assert sound.flushes == 1
        assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_an_empty_pubsub_and_an_empty_presence_are_used_like_full_ones() -> None:
    """Both have a length, so an empty one is falsy: "pubsub or LocalPubSub()" would throw it away."""
    clock = VirtualClock()
    pubsub = LocalPubSub()
    presence = LocalPresence(pubsub, clock.call_later)
    endpoint = Endpoint(clock, {}, pubsub, presence)
    assert endpoint.pubsub is pubsub
    assert endpoint.presence is presence
