"""The endpoint: what all connections of a node share.

Which channel class serves which topic, PubSub, Presence, the clock, and one flush a turn for all sockets
that have something to say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from synapse.channels.channel import Channel
from synapse.channels.presence import LocalPresence, Presence
from synapse.channels.pubsub import LocalPubSub, PubSub

log = logging.getLogger(__name__)


class Clock(Protocol):
    """Time, handed in; an asyncio loop is one."""

    def time(self) -> float:
        """Now, in s."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> object:
        """Call back after `delay` seconds, not before this turn has ended."""


class Flushable(Protocol):
    """A socket, as far as the endpoint needs it."""

    def flush(self) -> None:
        """Write what waits."""


class Routes:
    """Topic patterns to channel classes.

    A pattern is a topic (``cortex:presence``) or a prefix with a star at its end (``cortex:*``). An exact
    topic wins over a prefix, a longer prefix over a shorter one.

    Raises
    ------
    ValueError
        If a pattern has its star elsewhere.
    """

    def __init__(self, routes: Mapping[str, type[Channel]]) -> None:
        for pattern in routes:
            if not pattern or "*" in pattern[:-1]:
                raise ValueError(f"channels: {pattern!r} is no topic pattern: a star may stand only at its end")
        self._exact = {pattern: kind for pattern, kind in routes.items() if not pattern.endswith("*")}
        prefixes = [(pattern[:-1], kind) for pattern, kind in routes.items() if pattern.endswith("*")]
        self._prefixes = sorted(prefixes, key=lambda prefix: -len(prefix[0]))

    def find(self, topic: str) -> type[Channel] | None:
        """The channel class for a topic, None if no pattern matches."""
        kind = self._exact.get(topic)
        if kind is not None:
            return kind
        return next((kind for prefix, kind in self._prefixes if topic.startswith(prefix)), None)


class Endpoint:
    """Shared by the sockets of a node.

    Parameters
    ----------
    clock
        Time, handed in.
    routes
        Topic patterns to channel classes, see `Routes`.
    pubsub, presence
        Local ones when absent.
    max_channels
        How many channels one connection may join (Phoenix: 100).
    max_message
        The largest message that is read, in bytes. A larger one is answered with an error.
    """

    def __init__(
        self,
        clock: Clock,
        routes: Mapping[str, type[Channel]],
        pubsub: PubSub | None = None,
        presence: Presence | None = None,
        max_channels: int = 100,
        max_message: int = 2**20,
    ) -> None:
        self.clock = clock
        self.routes = Routes(routes)
        # "is None": an empty table is falsy
        self.pubsub: PubSub = LocalPubSub() if pubsub is None else pubsub
        self.presence: Presence = LocalPresence(self.pubsub, clock.call_later) if presence is None else presence
        self.max_channels = max_channels
        self.max_message = max_message
        self._unflushed: list[Flushable] = []
        self._late: list[Flushable] = []

    def flush_soon(self, socket: Flushable) -> None:
        """Flush a socket when this turn has ended."""
        if not self._unflushed:
            self.clock.call_later(0, self._flush)
        self._unflushed.append(socket)

    def flush_late(self, socket: Flushable) -> None:
        """Flush a socket when all that this turn has begun has had a turn of its own."""
        if not self._late:
            self.clock.call_later(0, self._next_turn)
        self._late.append(socket)

    def _next_turn(self) -> None:
        sockets, self._late = self._late, []
        for socket in sockets:
            self.flush_soon(socket)

    def _flush(self) -> None:
        sockets, self._unflushed = self._unflushed, []
        for socket in sockets:
            try:
                socket.flush()
            except Exception:
                log.exception("%r could not be flushed", socket)
