"""One WebSocket connection: frames to messages for the core, messages from the core to frames.

All of RFC 6455 is the `websockets` library's sans-I/O protocol. A carrier moves the bytes (`carriers.py`).
Answers to all frames of one chunk leave in one write, and a broadcast is framed once for all sockets that
share its compression mode.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from struct import pack
from typing import TYPE_CHECKING, Protocol, cast

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from synapse.protocol import is_utf8

if TYPE_CHECKING:
    from synapse.channels import Socket
    from synapse.protocol import Encoded

log = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0  # s a peer has to finish the closing handshake
IDLE_CLOSE_CODE = 1002  # what Phoenix on Bandit closes an idle connection with
INVALID_DATA, INTERNAL_ERROR = 1007, 1011


class Carrier(Protocol):
    """Moves a connection's bytes."""

    @property
    def writable(self) -> bool:
        """False while the peer lags; the carrier calls `WebSocket.flush` when that is over."""

    def write(self, data: bytes) -> None:
        """Send bytes, in order."""

    def write_eof(self) -> None:
        """Send no more; what was written still goes out."""

    def abort(self) -> None:
        """Drop the connection, and what was not sent yet."""

    def fileno(self) -> int | None:
        """The number of the TCP connection's descriptor, None if it is closed."""


class Uncarried:
    """The carrier between the handshake and the moment there is one: it takes nothing."""

    writable = False

    def write(self, data: bytes) -> None:
        """No one reads yet."""

    def write_eof(self) -> None:
        """Nothing was begun."""

    def abort(self) -> None:
        """The coming carrier sees that the connection is closing."""

    def fileno(self) -> int | None:
        """None yet."""
        return None


class WebSocket:
    """The transport of one `channels.Socket`.

    Parameters
    ----------
    protocol
        An open connection's protocol, with the extensions that its handshake agreed on.
    loop
        The event loop.
    idle_timeout
        Seconds without a byte from the client after which it is disconnected.
    on_lost
        Told when the connection is no more.
    """

    __slots__ = (
        "_binary",
        "_closing",
        "_compression",
        "_deadline",
        "_fragments",
        "_heard",
        "_idle",
        "_loop",
        "_on_lost",
        "_protocol",
        "_timeout",
        "carrier",
        "socket",
    )

    carrier: Carrier
    socket: Socket

    def __init__(
        self,
        protocol: ServerProtocol,
        loop: asyncio.AbstractEventLoop,
        idle_timeout: float,
        on_lost: Callable[[WebSocket], None],
    ) -> None:
        self._protocol = protocol
        self.carrier = Uncarried()
        self._loop = loop
        self._compression = _compression(protocol)
        self._timeout = idle_timeout
        self._on_lost = on_lost
        self._fragments = bytearray()
        self._binary = False
        self._closing = False
        self._heard = loop.time()
        self._idle: asyncio.TimerHandle | None = loop.call_later(idle_timeout, self._check_idle)
        self._deadline: asyncio.TimerHandle | None = None

    # What the carrier calls

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer."""
        self._heard = self._loop.time()
        protocol = self._protocol
        protocol.receive_data(data)
        try:
            for frame in cast("list[Frame]", protocol.events_received()):
                opcode = frame.opcode
                if frame.fin and (opcode is Opcode.TEXT or opcode is Opcode.BINARY):
                    self._message(cast("bytes", frame.data), opcode is Opcode.BINARY)
                else:
                    self._other(frame)
        except Exception:
            log.exception("%r failed", self.socket)
            self.close(INTERNAL_ERROR)
        self.socket.received_all()
        if protocol.writes:
            self._write_protocol()

    @property
    def closing(self) -> bool:
        """Whether the end has begun."""
        return self._closing

    def flush(self) -> None:
        """The peer takes bytes again: write what waits for it."""
        self.socket.flush()
        if self._protocol.writes and self.writable:
            self._write_protocol()

    def lost(self, reason: str) -> None:
        """The connection is no more."""
        self._closing = True
        for timer in (self._idle, self._deadline):
            if timer is not None:
                timer.cancel()
        self._idle = self._deadline = None
        self.socket.closed(reason)
        self._on_lost(self)

    # What the core calls: `channels.Transport`

    @property
    def writable(self) -> bool:
        return not self._closing and self.carrier.writable

    def send(self, messages: list[Encoded]) -> None:
        """Write messages, each a frame of its own, in one write."""
        compression = self._compression
        frames = []
        for message in messages:
            framed = message.framed.get(compression)
            if framed is None:
                framed = message.framed[compression] = self._frame(message)
            frames.append(framed)
        self.carrier.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def close(self, code: int, reason: str = "", last: Sequence[Encoded] = ()) -> None:
        """Begin the closing handshake; the connection ends when the peer has answered, or soon."""
        if self._closing:
            return
        if last:
            self.send(list(last))
        self._closing = True
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
        self._write_protocol()
        self._end_soon()

    # Inner workings

    def _frame(self, message: Encoded) -> bytes:
        opcode = Opcode.BINARY if message.binary else Opcode.TEXT
        if self._protocol.extensions:
            return Frame(opcode, message.data).serialize(mask=False, extensions=self._protocol.extensions)
        return _header(opcode, len(message.data)) + message.data

    def _message(self, data: bytes, binary: bool) -> None:
        """Hand on a whole message. Text must be UTF-8, also where no one will look (RFC 6455, 8.1)."""
        if binary or data.isascii() or is_utf8(data):
            self.socket.receive(data, binary)
        else:
            self.socket.close(INVALID_DATA, "text that is not UTF-8")

    def _other(self, frame: Frame) -> None:
        """Take a frame that is no whole message: a fragment, or a control frame the protocol has answered."""
        if frame.opcode is Opcode.CLOSE:
            self.socket.flush()  # what came before it is answered
            self.socket.closed("closed")
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._fragments = bytearray()
                self._binary = frame.opcode is Opcode.BINARY
            self._fragments += frame.data
            if frame.fin:
                data, self._fragments = bytes(self._fragments), bytearray()
                self._message(data, self._binary)

    def _write_protocol(self) -> None:
        """Write what the protocol itself has to say: pongs, close frames, the end."""
        if self._protocol.state is State.OPEN and not self.carrier.writable:
            del self._protocol.writes[:-1]  # pongs: for a peer that lags the latest will do (RFC 6455, 5.5.3)
            return
        for data in self._protocol.data_to_send():
            if data:
                self.carrier.write(data)
            else:
                self._closing = True
                if self._protocol.parser_exc is not None:
                    log.warning("%r: disconnected: %s", self.socket, self._protocol.close_sent)
                self.carrier.write_eof()
                self._end_soon()

    def _end_soon(self) -> None:
        if self._deadline is None:
            self._deadline = self._loop.call_later(CLOSE_TIMEOUT, self._abort)
            # Its channels end now, not when the peer lets go; soon, as one of them may be what is closing it.
            self._loop.call_soon(self.socket.closed, "closed")

    def _abort(self) -> None:
        self.carrier.abort()

    def _check_idle(self) -> None:
        left = self._heard + self._timeout - self._loop.time()
        if left > 0:
            self._idle = self._loop.call_later(left, self._check_idle)
        else:
            self._idle = None
            self.socket.close(IDLE_CLOSE_CODE, "idle")


def _header(opcode: Opcode, length: int) -> bytes:
    """The head of a whole, unmasked message (RFC 6455, 5.2): what `Frame.serialize` makes, in a fifth of its time."""
    if length < 126:
        return bytes((0x80 | opcode, length))
    if length < 65536:
        return pack("!BBH", 0x80 | opcode, 126, length)
    return pack("!BBQ", 0x80 | opcode, 127, length)


def _compression(protocol: ServerProtocol) -> int:
    """What a frame's bytes depend on besides its message: 0 for no compression, else the bits of the window."""
    deflate = (each for each in protocol.extensions if isinstance(each, PerMessageDeflate))
    return next((each.local_max_window_bits for each in deflate), 0)
