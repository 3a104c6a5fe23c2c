"""Carriers: they move the bytes of a connection between its WebSocket and the network, and know no frame.

Tornado opens the door (HTTP, authentication, the 101); then its socket is handed to an asyncio transport,
which is several times faster than reading through an IOStream. Under TLS the socket cannot be handed over:
there the stream keeps it, read in whole chunks.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

if TYPE_CHECKING:
    from synapse.server.websocket import WebSocket

CHUNK = 64 * 1024
WHOLE_BUFFER = 2**24  # bytes; more than a stream can have read along with a handshake
MUCH = 16 * 1024  # bytes in one piece: some hundred frames


class Vigil:
    """Keeps a loop awake for a moment after it has heard something, as the answer to an answer often comes at once.

    To fall asleep and be woken takes the system longer than a whole heartbeat takes us. It costs that moment's CPU
    time after each message that none follows. (The idea is Linux's ``SO_BUSY_POLL``.)

    Parameters
    ----------
    loop
        The event loop.
    seconds
        The moment; 0 for none.
    """

    __slots__ = ("_awake", "_end", "_loop", "_seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._end = 0.0
        self._awake = False

    def extend(self) -> None:
        """Something was heard."""
        self._end = self._loop.time() + self._seconds
        if not self._awake and self._seconds:
            self._awake = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        if self._loop.time() < self._end:
            self._loop.call_soon(self._look)  # a turn that is due keeps the loop from waiting for its sockets
        else:
            self._awake = False


class AsyncioCarrier(asyncio.Protocol):
    """Bytes by an asyncio transport."""

    __slots__ = ("_first", "_loop", "_paused", "_transport", "_vigil", "_websocket")

    def __init__(self, websocket: WebSocket, first: bytes, loop: asyncio.AbstractEventLoop, vigil: Vigil) -> None:
        self._loop = loop
        self._vigil = vigil
        self._websocket = websocket
        self._first = first
        self._paused = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._websocket.carrier = self
        if self._websocket.closing:  # the server has begun to stop since the handshake
            self._transport.abort()
            return
        first, self._first = self._first, b""
        if first:
            self._websocket.feed(first)

    def data_received(self, data: bytes) -> None:
        self._websocket.feed(data)
        self._vigil.extend()
        if len(data) >= MUCH and not self._transport.is_closing():
            # Who sends more than can be answered in a moment waits until the others have had their turn.
            self._transport.pause_reading()
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        self._websocket.lost("lost" if exc else "closed")

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._websocket.flush()

    @property
    def writable(self) -> bool:
        return not self._paused

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def write_eof(self) -> None:
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def abort(self) -> None:
        self._transport.abort()

    def fileno(self) -> int | None:
        return _open_fileno(self._transport.get_extra_info("socket"))


class StreamCarrier:
    """Bytes by a Tornado stream, for TLS."""

    __slots__ = ("_eof", "_stream", "_websocket")

    def __init__(self, websocket: WebSocket, stream: IOStream) -> None:
        self._websocket = websocket
        self._stream = stream
        self._eof = False
        websocket.carrier = self

    async def run(self, first: bytes) -> None:
        """Feed the WebSocket until the stream ends."""
        reason = "closed"
        try:
            if first:
                self._websocket.feed(first)
            while True:
                self._websocket.feed(await self._stream.read_bytes(CHUNK, partial=True))
                await asyncio.sleep(0)  # a read that is done at once gives no one else a turn
        except StreamClosedError as closed:
            reason = "lost" if closed.real_error else "closed"
        finally:
            self._stream.close()
            self._websocket.lost(reason)

    @property
    def writable(self) -> bool:
        return not self._stream.writing()

    def write(self, data: bytes) -> None:
        if self._stream.closed():
            return
        future = self._stream.write(data)
        if self._stream.writing():
            future.add_done_callback(self._written)

    def _written(self, future: asyncio.Future[None]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._websocket.flush()
            if self._eof:
                self.write_eof()

    def write_eof(self) -> None:
        """Half-close below TLS, which has none that peers agree on.

        A full close would reset the connection under a peer that still sends, and its close frame with it.
        """
        self._eof = True
        if not self._stream.writing() and not self._stream.closed():
            with suppress(OSError):  # the peer has gone
                socket.socket.shutdown(self._stream.socket, socket.SHUT_WR)  # an SSLSocket's own would end TLS

    def abort(self) -> None:
        self._stream.close()

    def fileno(self) -> int | None:
        return _open_fileno(self._stream.socket)


def _open_fileno(sock: socket.socket | None) -> int | None:
    number = -1 if sock is None else sock.fileno()
    return None if number < 0 else number


def buffered(stream: IOStream) -> bytes:
    """What a hasty client has sent behind its handshake and the stream has read already; it may be left reading."""
    read = cast("asyncio.Future[bytes]", stream.read_bytes(WHOLE_BUFFER, partial=True))
    if read.done():
        return read.result()
    read.add_done_callback(_ignore_close)
    return b""


def _ignore_close(read: asyncio.Future[bytes]) -> None:
    """Closing the stream ends its pending read with an error that is no news."""
    if not read.cancelled():
        read.exception()


async def carry(stream: IOStream, websocket: WebSocket, loop: asyncio.AbstractEventLoop, vigil: Vigil) -> None:
    """Carry a connection whose handshake is done. Returns at once, or under TLS when it has ended."""
    if isinstance(stream, SSLIOStream):
        await StreamCarrier(websocket, stream).run(b"")
        return
    try:
        first = buffered(stream)
        handed = stream.socket.dup()
    except (StreamClosedError, OSError):
        stream.close()
        websocket.lost("lost")
        return
    stream.close()
    handed.setblocking(False)
    try:
        await loop.connect_accepted_socket(lambda: AsyncioCarrier(websocket, first, loop, vigil), handed)
    except BaseException:
        handed.close()
        websocket.lost("lost")
        raise
