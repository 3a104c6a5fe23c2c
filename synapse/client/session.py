"""One agent's conversation with a cortex: join, ask, hear thoughts and endings, see who is here.

A pure state machine. A driver tells it what happened (`connected`, `received`, `disconnected`, `tick`) and
what the user wants (`query`, `interrupt`, `push`, `watch`, `leave`), each with the time `now` in seconds of
any monotonic clock. After each call the driver takes `data_to_send` and `events`, and sees to it that
`tick` is called at `next_deadline`. It never waits, reads no clock and draws no chance of its own.

It must not know asyncio, threads, URLs or files.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from synapse.client.channel import Channel
from synapse.client.errors import AgentClosed
from synapse.client.events import (
    Closed,
    Event,
    Joined,
    JoinRefused,
    Misunderstood,
    PresenceChanged,
    Pushed,
    Replied,
    TopicClosed,
)
from synapse.client.presence import Presence, Roster
from synapse.client.queries import Queries
from synapse.client.reading import read_resumed
from synapse.client.settings import Settings
from synapse.client.socket import Socket
from synapse.protocol import ROSTER, Encoded, Error, InvalidMessage
from synapse.protocol import messages as wire

TOO_BIG = 1009  # close code, RFC 6455 section 7.4.1
HOPELESS = frozenset(
    {"unauthorized", "api_key required", "token not accepted"}
)  # a retry with the same credentials cannot help


class Session:
    """The state of one agent's connection, whatever carries it.

    Parameters
    ----------
    agent
        The agent's id; its topic is ``cortex:<agent>``.
    random
        A source of uniform numbers in [0, 1), for the jitter of retries.
    api_key
        Sent when joining, if given.
    settings
        Timeouts, retries (of connections, and of queries that were refused for now) and bounds.
    """

    def __init__(
        self,
        agent: str,
        *,
        random: Callable[[], float],
        api_key: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.agent = agent
        self.topic = f"cortex:{agent}"
        self.settings = settings or Settings()
        self._api_key = api_key
        self._events: list[Event] = []
        self._socket = Socket(self.settings, random, self._events.append)
        self._presence: dict[str, Presence] = {}
        self._pushes = count(1)
        self._ever_joined: set[str] = set()
        self._payloads: dict[str, dict[str, Any]] = {}  # of watched topics' joins
        self._closed: str | None = None
        self._channel = self._enter(self.topic)
        self._queries = Queries(self._channel, self.settings, random, self._socket.timers, self._events.append)

    # what comes out

    def data_to_send(self) -> list[Encoded]:
        """Take the messages to send, in order."""
        data, self._socket.outbox = self._socket.outbox, []
        return data

    def events(self) -> list[Event]:
        """Take what happened, in order."""
        # The list stays the same object: the socket appends to it.
        events = self._events[:]
        self._events.clear()
        return events

    @property
    def next_deadline(self) -> float | None:
        """When to call `tick` at the latest; None if nothing is due, ever."""
        return None if self._closed else self._socket.timers.next

    @property
    def status(self) -> str:
        """``"connecting"``, ``"joining"``, ``"joined"``, ``"disconnected"`` or ``"closed"``."""
        if self._closed:
            return "closed"
        if self._socket.state == "waiting":
            return "disconnected"
        if not self._socket.is_open:
            return "connecting"
        return "joined" if self._channel.state == "joined" else "joining"

    @property
    def closed_because(self) -> str | None:
        """Why the session is over; None while it is not."""
        return self._closed

    @property
    def live(self) -> int:
        """Queries without an ending yet."""
        return len(self._queries)

    def roster(self, topic: str = ROSTER) -> Roster | None:
        """Who is in a watched topic; None until its list has arrived (again, after a rejoin)."""
        channel, presence = self._socket.channels.get(topic), self._presence.get(topic)
        if channel is None or presence is None or not presence.synced(channel.join_ref):
            return None
        return Roster(presence.present)

    # what happened

    def open(self, now: float) -> None:
        """Begin: asks the driver for a socket."""
        self._socket.open(now)

    def connected(self, now: float) -> None:
        """A WebSocket is open."""
        self._socket.connected(now)

    def received(self, data: bytes, binary: bool, now: float) -> None:
        """A message came in."""
        self._socket.received(data, binary, now)

    def disconnected(self, now: float, code: int = 1006, reason: str = "", retry_after: float = 0.0) -> None:
        """The WebSocket closed, or could not be opened; the server may have said after how many s to come again."""
        if code == TOO_BIG:
            self._queries.too_big(now)
        self._socket.disconnected(now, code, reason, retry_after)

    def tick(self, now: float) -> None:
        """Time passed."""
        if not self._closed:
            self._socket.timers.run(now)

    # what the user wants

    def query(self, message: wire.Query, now: float) -> None:
        """Ask. Then `Postponed`…, `Accepted` or `Refused`; then `Thinking`…, `Ended`; or `Lost` at any point.

        Raises
        ------
        AgentClosed, BufferFull
            Too late; too much.
        ValueError
            If an unfinished query has this ref.
        """
        self._check_open()
        self._queries.ask(message, now)

    def interrupt(self, ref: str, reason: str, now: float) -> bool:
        """Stop a query; False if it has ended already. One that is not with the server ends here."""
        return self._queries.interrupt(ref, reason, now)

    def push(
        self, event: str, payload: Any, now: float, *, topic: str | None = None, timeout: float | None = None
    ) -> int:
        """Send any message; the outcome comes as `Replied` with the number returned here.

        Raises
        ------
        AgentClosed, BufferFull
            Too late; too much.
        KeyError
            If the topic is not watched.
        TypeError
            If the payload has no JSON form.
        """
        self._check_open()
        number = next(self._pushes)
        channel = self._socket.channels[topic or self.topic]
        channel.push(event, payload, lambda reply, _: self._events.append(Replied(number, reply)), now, timeout=timeout)
        return number

    def watch(self, topic: str, now: float, payload: dict[str, Any] | None = None) -> None:
        """Join one more topic, for its presence and pushes. Nothing happens if that was done already.

        What its joins say, besides who we are, is in `payload`.
        """
        self._check_open()
        if topic not in self._socket.channels:
            self._payloads[topic] = payload or {}
            self._enter(topic).join(now)

    def unwatch(self, topic: str, now: float) -> None:
        """Leave a watched topic."""
        channel = self._socket.channels.get(topic)
        if channel is not None and channel is not self._channel:
            channel.leave(now)
            self._forget_topic(topic)

    def leave(self, now: float, reason: str = "left") -> None:
        """Leave and close; every unfinished query is `Lost`. May be called again."""
        if self._closed:
            return
        self._closed = reason
        self._socket.close(now)
        self._queries.close(reason)
        self._presence.clear()
        self._events.append(Closed(reason))

    # what the channels tell (their Listener)

    def join_payload(self, channel: Channel) -> dict[str, Any]:
        if presence := self._presence.get(channel.topic):
            presence.joining()
        payload = dict(self._payloads.get(channel.topic, {}))
        if self._api_key is not None:
            payload["api_key"] = self._api_key
        if channel is self._channel and self.settings.resume:
            payload["resume"] = self._queries.seen()
        return payload

    def joined(self, channel: Channel, response: Any, now: float) -> None:
        self._ever_joined.add(channel.topic)
        if channel is self._channel:
            self._socket.works(now)
            if (resumed := read_resumed(response)) is not None:
                self._queries.resume(resumed, now)
        self._events.append(Joined(channel.topic, response))

    def refused(self, channel: Channel, error: Error, now: float) -> None:
        final = channel.topic not in self._ever_joined or error.reason in HOPELESS
        self._events.append(JoinRefused(channel.topic, error.reason, final, error.policy, error.retry_after_ms))
        if not final:
            return
        if channel is self._channel:
            self.leave(now, f"join refused: {error.reason}")
        else:
            self.unwatch(channel.topic, now)

    def dropped(self, channel: Channel, now: float) -> None:
        if channel is self._channel:
            self._queries.dropped(now)

    def closed(self, channel: Channel, now: float) -> None:
        if channel is self._channel:
            self.leave(now, "the server closed the agent's channel")
        else:
            self._forget_topic(channel.topic)
            self._events.append(TopicClosed(channel.topic))

    def message(self, channel: Channel, event: str, payload: Any, now: float) -> None:
        try:
            if event == "presence_state":
                self._presence[channel.topic].state(channel.join_ref, payload)
                self._events.append(PresenceChanged(channel.topic))
            elif event == "presence_diff":
                if self._presence[channel.topic].diff(channel.join_ref, payload):
                    self._events.append(PresenceChanged(channel.topic))
            elif channel is not self._channel or not self._queries.message(event, payload, now):
                self._events.append(Pushed(channel.topic, event, payload))
        except InvalidMessage as error:
            self._events.append(Misunderstood(channel.topic, event, error.reason))
            if channel is self._channel:
                self._queries.misunderstood(event, payload, error.reason)

    # inside

    def _forget_topic(self, topic: str) -> None:
        self._presence.pop(topic, None)
        self._payloads.pop(topic, None)
        self._ever_joined.discard(topic)

    def _enter(self, topic: str) -> Channel:
        channel = self._socket.channels[topic] = Channel(self._socket, topic, self)
        self._presence[topic] = Presence()
        return channel

    def _check_open(self) -> None:
        if self._closed:
            raise AgentClosed(self._closed)
