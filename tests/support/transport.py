"""A connection whose other end is a list."""

from __future__ import annotations

from collections.abc import Sequence

from synapse.protocol import Encoded, Frame, Serializer


class MemoryTransport:
    """A `Transport` that keeps what is written to it.

    It never calls back by itself: what a driver does after `close` is up to the test (see `Node.settle`).

    Attributes
    ----------
    writable : bool
        Set it to False and the peer lags.
    room : int or None
        After so many more bytes the transport becomes unwritable by itself.
    sent : list of Encoded
        All messages, in order.
    writes : list of list of Encoded
        The same, write by write.
    close_code, close_reason
        What it was closed with, None while it is open.
    """

    def __init__(self, serializer: Serializer) -> None:
        self.serializer = serializer
        self.writable = True
        self.room: int | None = None
        self.sent: list[Encoded] = []
        self.writes: list[list[Encoded]] = []
        self.close_code: int | None = None
        self.close_reason: str | None = None

    def send(self, messages: list[Encoded]) -> None:
        assert self.close_code is None, "written to after its close"
        assert self.writable, "written to while unwritable"
        assert messages, "a write of nothing"
        self.sent += messages
        self.writes.append(messages)
        if self.room is not None:
            self.room -= sum(map(len, messages))
            self.writable = self.room > 0

    def close(self, code: int, reason: str = "", last: Sequence[Encoded] = ()) -> None:
        assert self.close_code is None, "closed twice"
        if last:
            self.sent += last
            self.writes.append([*last])
        self.close_code, self.close_reason = code, reason

    def frames(self, start: int = 0) -> list[Frame]:
        """The messages from number `start` on, decoded as a client would."""
        return [self.serializer.decode_from_server(message.data, message.binary) for message in self.sent[start:]]
