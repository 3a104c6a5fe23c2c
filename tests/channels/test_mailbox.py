"""The way out: what waits for the transport, one write a turn, and the end of a reader that is too slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.channels import Message, Socket
from synapse.policies import Disconnect
from synapse.protocol import Encoded
from tests.channels.rooms import Building
from tests.support.peer import Peer
from tests.support.transport import MemoryTransport

LOBBY = "room:lobby"
HEARTBEAT = b'[null,"1","phoenix","heartbeat",{}]'


def member(hall: Building, vsn: str = "2.0.0") -> Peer:
    peer = hall.peer(vsn)
    peer.join(LOBBY)
    peer.take()
    peer.transport.writes.clear()
    return peer


def shout(hall: Building, number: int = 0) -> None:
    hall.pubsub.publish(Message(LOBBY, "shout", {"n": number}, broadcast=True))


def numbers(peer: Peer) -> list[int]:
    return [frame.payload["n"] for frame in peer.take()]


class Telling(Socket):
    """Notes what it is told of losses: messages, and bytes."""

    told: list[tuple[int, int]]

    def dropped(self, messages: int, size: int) -> None:
        self.told.append((messages, size))


def telling(mailbox: Disconnect) -> tuple[Telling, MemoryTransport]:
    hall = Building()
    serializer = hall.peer().serializer
    transport = MemoryTransport(serializer)
    socket = Telling(hall.endpoint, serializer, transport, mailbox)
    socket.told = []
    return socket, transport


class TestTurns:
    def test_the_answers_to_one_read_are_one_write(self, hall: Building) -> None:
        peer = member(hall)
        for _ in range(3):
            peer.socket.receive(HEARTBEAT)
        assert peer.transport.writes == []
        peer.socket.flush()
        assert [len(write) for write in peer.transport.writes] == [3]
        assert hall.clock.pending == 0

    def test_an_answer_that_expects_more_shares_its_write_with_that(self, hall: Building) -> None:
        peer = member(hall)
        peer.socket.receive(HEARTBEAT)
        peer.socket.expect_more()
        hall.clock.call_later(0, lambda: shout(hall))
        peer.socket.received_all()
        assert peer.transport.writes == []
        hall.clock.advance()
        assert [len(write) for write in peer.transport.writes] == [2]
        peer.socket.receive(HEARTBEAT)
        peer.socket.received_all()
        assert [len(write) for write in peer.transport.writes] == [2, 1], "the next one expects nothing"

    def test_what_is_sent_out_of_turn_is_one_write_at_the_end_of_the_turn(self, hall: Building) -> None:
        peer = member(hall)
        for number in range(3):
            shout(hall, number)
        assert peer.transport.writes == []
        hall.clock.advance()
        assert [len(write) for write in peer.transport.writes] == [3]

    def test_each_turn_is_flushed_again(self, hall: Building) -> None:
        peer = member(hall)
        for number in range(3):
            shout(hall, number)
            hall.clock.advance()
        assert [len(write) for write in peer.transport.writes] == [1, 1, 1]

    def test_a_broadcast_is_one_object_for_all_members_of_a_serializer(self, hall: Building) -> None:
        members = [member(hall), member(hall), member(hall, "1.0.0"), member(hall, "1.0.0")]
        shout(hall)
        hall.clock.advance()
        a, b, c, d = (peer.transport.sent[-1] for peer in members)
        assert a is b
        assert c is d
        assert a is not c


class TestALaggingReader:
    def test_what_it_misses_waits_for_it_in_order(self, hall: Building) -> None:
        peer = member(hall)
        peer.transport.writable = False
        for number in range(3):
            shout(hall, number)
            hall.settle()
        assert peer.take() == []
        peer.transport.writable = True
        peer.socket.flush()
        assert numbers(peer) == [0, 1, 2]

    def test_it_holds_up_no_one_else(self, hall: Building) -> None:
        lagging, other = member(hall), member(hall)
        lagging.transport.writable = False
        shout(hall, 1)
        assert (numbers(other), lagging.take()) == ([1], [])

    def test_a_transport_that_fills_up_in_the_middle_is_given_no_more(self, hall: Building) -> None:
        peer = member(hall)
        peer.transport.room = 300_000
        for number in range(3):
            hall.pubsub.publish(Message(LOBBY, "shout", {"n": number, "pad": "x" * 200_000}, broadcast=True))
        hall.settle()
        assert (numbers(peer), peer.transport.writable) == ([0, 1], False)
        peer.transport.writable, peer.transport.room = True, None
        peer.socket.flush()
        assert numbers(peer) == [2]

    def test_it_is_cut_off_at_the_bound_with_1008(self) -> None:
        hall = Building(Disconnect(messages=3))
        slow, other = member(hall), member(hall)
        slow.transport.writable = False
        for number in range(3):
            shout(hall, number)
            hall.settle()
        assert not slow.gone
        shout(hall, 3)
        hall.settle()
        assert (slow.closed, slow.transport.close_reason) == (1008, "slow reader")
        assert numbers(other) == [0, 1, 2, 3]

    def test_its_channels_end_with_it(self) -> None:
        hall = Building(Disconnect(messages=1))
        slow = member(hall)
        slow.transport.writable = False
        shout(hall)
        shout(hall)
        hall.settle()
        assert hall.ends == [(LOBBY, "1", "closed")]
        assert len(hall.pubsub) == 0

    def test_it_is_cut_off_at_the_bound_of_bytes_too(self) -> None:
        hall = Building(Disconnect(size=100))
        slow = member(hall)
        slow.transport.writable = False
        hall.pubsub.publish(Message(LOBBY, "shout", "x" * 60, broadcast=True))
        assert slow.closed is None
        hall.pubsub.publish(Message(LOBBY, "shout", "x" * 60, broadcast=True))
        assert slow.closed == 1008

    def test_what_was_lost_is_told_before(self) -> None:
        """With the one that was too many; what is said to a reader that has been cut off is no loss of its own."""
        socket, transport = telling(Disconnect(messages=2))
        transport.writable = False
        for _ in range(5):
            socket.send(Encoded(b"12345"))
        assert socket.told == [(3, 15)]
        assert transport.close_code == 1008

    def test_what_was_lost_of_a_turn_in_which_it_began_to_lag_is_told_too(self) -> None:
        socket, transport = telling(Disconnect(messages=2))
        for _ in range(5):
            socket.send(Encoded(b"12345"))
        transport.writable = False
        socket.flush()
        assert (socket.told, transport.sent) == ([(5, 25)], [])
        assert transport.close_code == 1008

    def test_a_turn_that_its_mailbox_holds_is_not_lost(self) -> None:
        socket, transport = telling(Disconnect(messages=5))
        for _ in range(5):
            socket.send(Encoded(b"12345"))
        transport.writable = False
        socket.flush()
        transport.writable = True
        socket.flush()
        assert (socket.told, len(transport.sent)) == ([], 5)

    def test_what_waits_is_its_last_words_when_the_server_closes(self) -> None:
        hall = Building(Disconnect(messages=3))
        peer = member(hall)
        peer.transport.writable = False
        shout(hall, 7)
        peer.socket.close(1012, "service restart")
        assert (numbers(peer), peer.closed) == ([7], 1012)


class TestABurst:
    """More than the mailbox holds, in one turn, to a reader that is not slow: no mailbox is needed."""

    def test_it_is_written_in_one_piece_at_the_end_of_the_turn(self) -> None:
        hall = Building(Disconnect(messages=3))
        peer = member(hall)
        for number in range(10):
            shout(hall, number)
        hall.clock.advance()
        assert [len(write) for write in peer.transport.writes] == [10]
        assert (numbers(peer), peer.closed) == ([*range(10)], None)

    def test_within_a_read_the_driver_flushes_it(self) -> None:
        hall = Building(Disconnect(messages=3))
        peer = hall.peer()
        for _ in range(4):
            peer.socket.receive(HEARTBEAT)
        peer.socket.flush()
        assert [len(write) for write in peer.transport.writes] == [4]
        assert hall.clock.pending == 0

    def test_a_very_large_one_is_written_as_it_grows(self) -> None:
        hall = Building(Disconnect(messages=3))
        peer = member(hall)
        for number in range(5):
            hall.pubsub.publish(Message(LOBBY, "shout", {"n": number, "pad": "x" * 200_000}, broadcast=True))
        assert [len(write) for write in peer.transport.writes] == [2, 2]
        hall.clock.advance()
        assert numbers(peer) == [*range(5)]

    def test_a_transport_found_writable_before_the_driver_said_so_gets_the_rest_too(self) -> None:
        hall = Building(Disconnect(messages=1))
        peer = member(hall)
        peer.transport.writable = False
        shout(hall, 0)
        hall.clock.advance()
        peer.transport.writable = True
        shout(hall, 1)
        shout(hall, 2)
        hall.clock.advance()
        assert numbers(peer) == [0, 1, 2]

    def test_one_that_fills_the_transport_and_the_mailbox_is_too_much(self) -> None:
        hall = Building(Disconnect(messages=3))
        peer = member(hall)
        peer.transport.room = 1
        for number in range(7):
            hall.pubsub.publish(Message(LOBBY, "shout", {"n": number, "pad": "x" * 200_000}, broadcast=True))
        assert peer.closed == 1008


class Abrupt(MemoryTransport):
    """Says in the same breath that it is closed."""

    socket: Socket

    def close(self, code: int, reason: str = "", last: Sequence[Encoded] = ()) -> None:
        super().close(code, reason, last)
        self.socket.closed()


class TestATransportThatClosesAtOnce:
    """`Socket.closed` may be called from within `Transport.close`."""

    @pytest.fixture
    def hall(self) -> Building:
        return Building(Disconnect(messages=1))

    def connect(self, hall: Building) -> Socket:
        peer = hall.peer()
        transport = Abrupt(peer.serializer)
        transport.socket = Socket(hall.endpoint, peer.serializer, transport, hall.mailbox)
        return transport.socket

    def test_a_join_whose_reply_was_one_too_many_joins_nothing(self, hall: Building) -> None:
        socket = self.connect(hall)
        socket.transport.writable = False  # type: ignore[misc]
        socket.receive(HEARTBEAT)
        socket.receive(b'["1","1","room:lobby","phx_join",{}]')
        assert (socket.channels, len(hall.pubsub)) == ({}, 0)

    def test_a_broadcast_that_ends_a_member_reaches_the_others(self, hall: Building) -> None:
        socket, other = self.connect(hall), member(hall)
        socket.receive(b'["1","1","room:lobby","phx_join",{}]')
        socket.flush()
        socket.transport.writable = False  # type: ignore[misc]
        shout(hall, 0)
        shout(hall, 1)
        assert numbers(other) == [0, 1]
        assert hall.ends == [(LOBBY, "1", "closed")]


@given(st.lists(st.sampled_from(["say", "say", "turn", "block", "unblock"]), max_size=60))
def test_a_reader_gets_everything_in_order_or_is_cut_off(script: list[str]) -> None:
    """Whenever the transport is writable and the turn is over, nothing waits."""
    hall = Building(Disconnect(messages=5))
    peer = member(hall)
    said = 0
    got: list[Any] = []
    for step in script:
        match step:
            case "say" if peer.closed is None:
                shout(hall, said)
                said += 1
            case "turn":
                hall.settle()
            case "block":
                peer.transport.writable = False
            case "unblock" if peer.closed is None:
                peer.transport.writable = True
                peer.socket.flush()
        got += [frame.payload["n"] for frame in peer.transport.frames(len(got) + 1)]
        assert got == [*range(len(got))]
    if peer.closed is None:
        peer.transport.writable = True
        peer.socket.flush()
        assert got + numbers(peer)[len(got) :] == [*range(said)]
