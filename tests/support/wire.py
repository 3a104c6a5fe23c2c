"""A WebSocket client that does what a test says and no more, on a blocking socket.

The `websockets` library's sans-I/O protocol reads what comes; what goes out is the test's own bytes, made by
`frame` where they are to be a frame, well-formed or not.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import struct
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from select import select
from typing import Any, NamedTuple
from urllib.parse import urlencode

from websockets.client import ClientProtocol
from websockets.extensions import ClientExtensionFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

TIMEOUT = 10.0  # s; for what must come
NO_CLOSE_FRAME = 1006
CONT, TEXT, BINARY = Opcode.CONT, Opcode.TEXT, Opcode.BINARY
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG
V2 = {"vsn": "2.0.0"}

_MASK = 0x80


class Message(NamedTuple):
    """What came in a data frame."""

    data: bytes
    binary: bool


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """The bytes of a frame from a client, legal or not. `rsv` has the three reserved bits, 4 is RSV1."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    size = len(payload)
    mask_bit = _MASK if masked else 0
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 2**16:
        head += struct.pack("!BH", mask_bit | 126, size)
    else:
        head += struct.pack("!BQ", mask_bit | 127, size)
    if not masked:
        return head + payload
    key = secrets.token_bytes(4)
    repeated = int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return head + key + (int.from_bytes(payload, "big") ^ repeated).to_bytes(size, "big")


def text(value: Any) -> bytes:
    """The bytes of a text frame with JSON in it."""
    return frame(TEXT, json.dumps(value).encode())


def closing(code: int, reason: bytes = b"") -> bytes:
    """The bytes of a close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


class Wire:
    """One connection, from its handshake on.

    Parameters
    ----------
    url
        The WebSocket's, without a query.
    query
        Its query parameters.
    early
        Bytes that go out in one piece with the handshake.
    offer
        Extensions to ask for.
    tls
        For ``wss``.
    narrow
        Whether the systems between buffer as little as can be: what is not read soon waits in the server.

    Attributes
    ----------
    response : Response
        The server's answer to the handshake.
    """

    def __init__(
        self,
        url: str,
        query: Mapping[str, str] = V2,
        *,
        early: bytes = b"",
        offer: list[ClientExtensionFactory] | None = None,
        tls: ssl.SSLContext | None = None,
        narrow: bool = False,
    ) -> None:
        uri = parse_uri(f"{url}?{urlencode(query)}")
        self.sock = socket.socket()
        self.sock.settimeout(TIMEOUT)
        if narrow:  # before the connection is made: loopback's large segments let the system buffer megabytes
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        try:
            self.sock.connect((uri.host, uri.port))
        except OSError:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=uri.host)
        self.protocol = ClientProtocol(uri, extensions=offer, max_size=None)
        self.protocol.send_request(self.protocol.connect())
        self._events: deque[Any] = deque()
        self._refs = count(1)
        self._ended = False
        self.raw(b"".join(self.protocol.data_to_send()) + early)
        self.response: Response = self._next()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    @property
    def status(self) -> int:
        """The HTTP status of the handshake."""
        return self.response.status_code

    # Out

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def send(self, value: Any) -> None:
        """Send JSON in a text frame."""
        self.raw(text(value))

    def message(self, data: bytes, binary: bool) -> None:
        """Send a message."""
        self.raw(frame(BINARY if binary else TEXT, data))

    def close(self, code: int = 1000) -> int:
        """Close properly. Returns the code with which the server answers."""
        self.raw(closing(code))
        answer = self.closed()
        self.sock.close()
        return answer

    def reset(self) -> None:
        """Reset the connection, as a killed process does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # In

    def frame(self) -> Frame | None:
        """The next frame of any kind; None when the connection has ended."""
        return self._next()  # type: ignore[no-any-return]

    def receive(self) -> Message | None:
        """The next message; None when the connection has ended."""
        while (received := self.frame()) is not None:
            if received.opcode in (TEXT, BINARY):
                return Message(bytes(received.data), received.opcode is BINARY)
        return None

    def read(self) -> Any:
        """The next message's JSON."""
        message = self.receive()
        assert message is not None, f"the connection has ended with {self.protocol.close_rcvd}"
        return json.loads(message.data)

    def until(self, event: str) -> Any:
        """The payload of the next frame of an event."""
        while (received := self.read())[3] != event:
            pass
        return received[4]

    def closed(self) -> int:
        """Read until the connection has ended. Returns the close code, 1006 if there was no close frame."""
        while self.frame() is not None:
            pass
        return NO_CLOSE_FRAME if self.protocol.close_rcvd is None else self.protocol.close_rcvd.code

    def over(self, patience: float) -> bool:
        """Drop what comes until nothing has come for so many seconds. Whether the connection has ended."""
        while not self._ended and select([self.sock], [], [], patience)[0]:
            self._read()
        self._events.clear()
        return self._ended

    # Phoenix

    def ask(self, topic: str, event: str, payload: Any = None) -> Any:
        """Send a V2 frame and read until its reply. Returns the reply's payload."""
        ref = f"ask-{next(self._refs)}"
        self.send([None, ref, topic, event, {} if payload is None else payload])
        while (received := self.read())[1] != ref:
            pass
        return received[4]

    def join(self, agent: str, key: str = "test-key") -> None:
        """Join as an agent."""
        assert self.ask(f"cortex:{agent}", "phx_join", {"api_key": key})["response"] == {"agent_id": agent}

    def alive(self) -> bool:
        """Whether a heartbeat is answered. What came before the answer is dropped."""
        return bool(self.ask("phoenix", "heartbeat")["status"] == "ok")

    # Inner workings

    def _next(self) -> Any:
        while not self._events and not self._ended:
            self._read()
        return self._events.popleft() if self._events else None

    def _read(self) -> None:
        try:
            data = self.sock.recv(2**16)
        except ConnectionError:
            data = b""
        if data:
            self.protocol.receive_data(data)
        else:
            self._ended = True
            self.protocol.receive_eof()
        self._events.extend(self.protocol.events_received())
        answers = b"".join(self.protocol.data_to_send())
        if answers and not self._ended:
            with suppress(ConnectionError):  # the server did not wait for it
                self.sock.sendall(answers)
