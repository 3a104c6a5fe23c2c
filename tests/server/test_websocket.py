"""A connection's frames: made once for all who get the same, and written in one piece."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import State
from websockets.server import ServerProtocol

from synapse.protocol import Encoded
from synapse.server.websocket import WebSocket
from tests.support.clock import VirtualClock


class Carrier:
    """Keeps what is written."""

    writable = True

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def write_eof(self) -> None:
        """Not needed here."""

    def abort(self) -> None:
        """Not needed here."""


def connection(window: int = 0) -> tuple[WebSocket, Carrier]:
    """One that compresses with a window of so many bits, or not."""
    protocol = ServerProtocol(state=State.OPEN)
    if window:
        protocol.extensions = [PerMessageDeflate(True, True, 15, window)]
    websocket = WebSocket(protocol, cast("asyncio.AbstractEventLoop", VirtualClock()), 45.0, lambda _: None)
    carrier = websocket.carrier = Carrier()
    return websocket, carrier


def test_a_broadcast_is_framed_once_for_each_way_to_compress(monkeypatch: pytest.MonkeyPatch) -> None:
    framings = 0
    frame = WebSocket._frame

    def counted(self: WebSocket, message: Encoded) -> bytes:
        nonlocal framings
        framings += 1
        return frame(self, message)

    monkeypatch.setattr(WebSocket, "_frame", counted)
    members = [connection(window) for window in (0, 0, 0, 12, 12, 15)]
    message = Encoded(b'[null,null,"topic","event",{}]')
    for websocket, _ in members:
        websocket.send([message])
    sent = [carrier.written[0] for _, carrier in members]
    assert framings == 3
    assert sent[0] is sent[1] is sent[2]
    assert sent[3] is sent[4]


def test_what_is_sent_together_is_one_write_of_a_frame_for_each_message() -> None:
    websocket, carrier = connection()
    websocket.send([Encoded(b"[1]"), Encoded(b"\xff", binary=True), Encoded(b"[2]")])
    assert carrier.written == [b"\x81\x03[1]" + b"\x82\x01\xff" + b"\x81\x03[2]"]
