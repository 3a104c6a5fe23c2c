"""One WebSocket: carries messages both ways until it closes. It knows bytes, not frames."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta
from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from synapse.client.discovery import Target
from synapse.protocol import V2_SERIALIZER, Encoded

log = logging.getLogger(__name__)

LARGEST = 64 * 2**20  # bytes of one message from the server: room for a result with a table in it
CLOSING = 1.0  # seconds to wait for the server's close frame
ABNORMAL = 1006
LONGEST_WAIT = 3600.0  # s; no server tells a client to stay away for good


class Owner(Protocol):
    """Who hears of a link. After `Link.close` nothing more is told."""

    def link_open(self) -> None:
        """The WebSocket is open."""

    def link_received(self, data: bytes, binary: bool) -> None:
        """A message came."""

    def link_lost(self, code: int, reason: str, status: int | None, retry_after: float | None) -> None:
        """It closed, or could not be opened.

        `status` is the HTTP status of a refused handshake; `retry_after` after how many s to try again, if it said so.
        """


class Link:
    """One WebSocket of a connection, from handshake to close. Make it in a running loop."""

    def __init__(self, target: Target, owner: Owner) -> None:
        self._target = target
        self._owner: Owner | None = owner
        self._waiting: list[Encoded] = []
        self._wake = asyncio.Event()
        self._goodbye: tuple[int, str] | None = None
        self._opened = False
        self._loop = asyncio.get_running_loop()
        self.task = self._loop.create_task(self._run(), name="synapse link")

    def send(self, messages: list[Encoded]) -> None:
        """Write messages, in order."""
        if messages:
            self._waiting += messages
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Write what waits, then close. The owner hears nothing more."""
        self._owner = None
        if not self._opened:
            self.task.cancel()
            return
        self._goodbye = (code, reason[:100])  # a close frame holds 123 bytes
        self._wake.set()
        # A server that reads nothing would keep us writing for ever.
        self._loop.call_later(2 * CLOSING, self.task.cancel)

    async def closed(self) -> None:
        """Wait until it is gone; `close` sees to it that this is soon."""
        await asyncio.wait({self.task})

    async def _run(self) -> None:
        code, reason, status, retry_after = ABNORMAL, "", None, None
        try:
            code, reason = await self._talk()
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            retry_after = _retry_after(refusal.response.headers)
            reason = f"HTTP status {status}{_why(refusal.response.body)}"
        except (OSError, WebSocketException) as failure:
            reason = str(failure) or type(failure).__name__
        except Exception as bug:
            log.exception("a link failed")
            reason = f"internal error: {bug!r}"
        if self._owner is not None:
            self._owner.link_lost(code, reason, status, retry_after)

    async def _talk(self) -> tuple[int, str]:
        socket = await _connect(self._target)
        self._opened = True
        writer = self._loop.create_task(self._write(socket), name="synapse link writer")
        try:
            return await self._read(socket)
        finally:
            writer.cancel()
            await asyncio.wait({writer})
            socket.transport.abort()  # closed already, unless this was cancelled

    async def _read(self, socket: ClientConnection) -> tuple[int, str]:
        try:
            if self._owner is not None:
                self._owner.link_open()
            while True:
                message = await socket.recv()
                if self._owner is not None:
                    binary = isinstance(message, bytes)
                    self._owner.link_received(message if isinstance(message, bytes) else message.encode(), binary)
        except ConnectionClosed as closed:
            frame = closed.rcvd or closed.sent
            return (frame.code, frame.reason) if frame else (ABNORMAL, "no close frame")

    async def _write(self, socket: ClientConnection) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                batch, self._waiting = self._waiting, []
                for message in batch:
                    await socket.send(message.data, text=not message.binary)
                if self._goodbye is not None and not self._waiting:
                    await socket.close(*self._goodbye)
                    return
        except ConnectionClosed:
            return  # the reader knows more about it


class _Refusal(msgspec.Struct):
    reason: Annotated[str, Meta(max_length=64)]
    policy: Annotated[str, Meta(max_length=64)]


def _why(body: bytes | bytearray | None) -> str:
    """What a cortex says of its refusal; a proxy or another server says something else."""
    try:
        refusal = msgspec.json.decode(body or b"", type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return f", {refusal.reason} by {refusal.policy}"


def _retry_after(headers: Headers) -> float | None:
    """In s, if a server that is full or asked too often says when to come again (RFC 9110, section 10.2.3)."""
    value = headers.get("Retry-After", "")
    return min(float(value), LONGEST_WAIT) if value.isdecimal() else None  # it may also be a date; not ours


class _NoRedirects(connect):
    """Stays where it was sent: the api_key follows in the first message, and is for that server only."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def _connect(target: Target) -> _NoRedirects:
    url = target.url
    trust: dict[str, Any] = {"ssl": target.trust} if target.is_secure and target.trust is not None else {}
    return _NoRedirects(
        f"{url}{'&' if '?' in url else '?'}vsn={V2_SERIALIZER.vsn}",
        additional_headers={"Authorization": f"token {target.token}"} if target.token else None,
        compression=None,
        ping_interval=None,  # Phoenix's own heartbeat does that
        open_timeout=None,  # the owner's patience decides
        close_timeout=CLOSING,
        max_size=LARGEST,
        proxy=None if target.is_loopback else True,
        **trust,
    )
