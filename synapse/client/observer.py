"""Watches a cortex from a program: joins ``cortex:monitor`` and the roster, and hands on what they say as it came.

An observer is no agent: it asks nothing and appears nowhere. The socket below reconnects by itself.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec

from synapse.client import events as news
from synapse.client.channel import Channel
from synapse.client.discovery import Target
from synapse.client.errors import ConnectError, JoinError
from synapse.client.io import IOThread
from synapse.client.link import Link
from synapse.client.presence import Presence
from synapse.client.settings import Settings
from synapse.client.socket import Socket
from synapse.protocol import MONITOR, ROSTER, Error, encode_json

Hear = Callable[[bytes], object]
Tell = Callable[[str, str], object]
JOINS: dict[str, dict[str, Any]] = {MONITOR: {"interval_ms": 33}, ROSTER: {}}


class Observer:
    """One connection that watches. Make and use it in the IO thread.

    Parameters
    ----------
    io
        The IO thread.
    target
        The cortex.
    hear
        Called with every message of the two topics but the replies: the bytes of a V2 frame.
    tell
        Called with how the connection is (``"live"``, ``"reconnecting"``, ``"refused"``), and why.
    """

    def __init__(self, io: IOThread, target: Target, hear: Hear, tell: Tell) -> None:
        self._io = io
        self._target = target
        self._hear = hear
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._news: list[news.Event] = []
        self._socket = Socket(Settings(), random.random, self._news.append)
        self._channels = {topic: Channel(self._socket, topic, self) for topic in JOINS}
        self._socket.channels.update(self._channels)
        self._presence = Presence()
        self._link: Link | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._joined: asyncio.Future[None] = self._loop.create_future()
        self._to_hand_on = False

    async def open(self, timeout: float) -> None:
        """Connect and join.

        Raises
        ------
        ConnectError, JoinError
            If there is no server, or it does not want us; everything is closed again then.
        """
        self._io.at_exit(self.close)
        self._socket.open(self._loop.time())
        self._flush()
        try:
            async with asyncio.timeout(timeout):
                await self._joined
        except TimeoutError:
            await self.close()
            raise ConnectError(self._target.url, f"no answer within {timeout:g} s") from None
        except BaseException:
            await self.close()
            raise

    async def ask(self, event: str, payload: Any) -> news.Reply:
        """Send a message to the monitor; how it was answered."""
        answered: asyncio.Future[news.Reply] = self._loop.create_future()

        def done(reply: news.Reply, _now: float) -> None:
            if not answered.done():
                answered.set_result(reply)

        self._channels[MONITOR].push(event, payload, done, self._loop.time())
        self._flush()
        return await answered

    @property
    def roster(self) -> bytes:
        """The roster as it is now: the bytes of a ``presence_state``."""
        present = {agent: {"metas": metas} for agent, metas in self._presence.present.items()}
        return encode_json((None, None, ROSTER, "presence_state", present))

    async def close(self) -> None:
        """Leave, and wait until the socket is gone. May be called again."""
        link = self._link
        self._socket.close(self._loop.time())
        self._flush()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._io.forget(self.close)
        if link is not None:
            await link.closed()

    # What the link tells

    def link_open(self) -> None:
        self._socket.connected(self._loop.time())
        self._flush()

    def link_received(self, data: bytes, binary: bool) -> None:
        self._to_hand_on = False
        self._socket.received(data, binary, self._loop.time())
        self._flush()
        if self._to_hand_on:
            self._hear(data)

    def link_lost(self, code: int, reason: str, status: int | None, retry_after: float | None) -> None:
        self._link = None
        problem = reason or f"closed with code {code}"
        if not self._joined.done():
            self._joined.set_exception(ConnectError(self._target.url, problem, status, retry_after))
        self._tell("reconnecting", problem)
        self._socket.disconnected(self._loop.time(), code, reason, retry_after or 0.0)
        self._flush()

    # What the channels tell

    def join_payload(self, channel: Channel) -> dict[str, Any]:
        if channel.topic == ROSTER:
            self._presence.joining()
        key = self._target.api_key
        return JOINS[channel.topic] | ({} if key is None else {"api_key": key})

    def joined(self, channel: Channel, response: Any, now: float) -> None:  # noqa: ARG002
        if channel.topic == MONITOR:
            self._socket.works(now)
            self._tell("live", "")
            if not self._joined.done():
                self._joined.set_result(None)

    def refused(self, channel: Channel, error: Error, now: float) -> None:  # noqa: ARG002
        self._tell("refused", error.reason)
        if not self._joined.done():
            retry_after = None if error.retry_after_ms is None else error.retry_after_ms / 1e3
            self._joined.set_exception(JoinError(channel.topic, error.reason, error.policy, retry_after))

    def dropped(self, channel: Channel, now: float) -> None:
        """The socket joins again by itself."""

    def closed(self, channel: Channel, now: float) -> None:
        """The server has closed a topic: it has nothing more to say there."""

    def message(self, channel: Channel, event: str, payload: Any, now: float) -> None:  # noqa: ARG002
        self._to_hand_on = True
        if event == "presence_state":
            self._presence.state(channel.join_ref, payload)
        elif event == "presence_diff":
            self._presence.diff(channel.join_ref, payload)

    # Inside

    def _flush(self) -> None:
        events, self._news[:] = self._news[:], []
        for event in events:
            if isinstance(event, news.OpenSocket):
                self._link = Link(self._target, self)
            elif isinstance(event, news.CloseSocket) and self._link is not None:
                link, self._link = self._link, None
                link.send(self._take_outbox())
                link.close(event.code, event.reason)
        if self._link is not None:
            self._link.send(self._take_outbox())
        due = self._socket.timers.next
        if self._alarm is not None:
            self._alarm.cancel()
        closed = self._socket.state == "closed" or due is None
        self._alarm = None if closed or due is None else self._loop.call_at(due, self._ring)

    def _take_outbox(self) -> list[Any]:
        outbox, self._socket.outbox = self._socket.outbox, []
        return outbox

    def _ring(self) -> None:
        self._alarm = None
        self._socket.timers.run(self._loop.time())
        self._flush()


async def look(observe: Callable[[Hear, Tell], Any]) -> dict[str, Any]:
    """One snapshot of a node, by an observer that is opened for it (`observe`) and closed again."""
    found: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def hear(data: bytes) -> None:
        frame = msgspec.json.decode(data)
        if frame[3] == "snapshot" and not found.done():
            found.set_result(frame[4])

    observer = await observe(hear, lambda *_: None)
    try:
        return await found
    finally:
        await observer.close()
