"""One agent's conversation with a cortex: join, ask, hear thoughts and endings, see who is here.

A pure state machine. A driver tells it what happened (`connected`, `received`, `disconnected`, `tick`) and
what the user wants (`query`, `interrupt`, `push`, `watch`, `leave`), each with the time `now` in seconds of
any monotonic clock. After each call the driver takes `data_to_send` and `events`, and sees to it that
`tick` is called at `next_deadline`. It never waits, reads no clock and draws no chance of its own.

It must not know asyncio, threads, URLs or files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import msgspec

from synapse.client.channel import Channel, Push
from synapse.client.errors import AgentClosed, BufferFull
from synapse.client.events import (
    Accepted,
    Closed,
    Ended,
    Event,
    Gap,
    Joined,
    JoinRefused,
    Lost,
    Misunderstood,
    Postponed,
    PresenceChanged,
    Pushed,
    Refused,
    Replied,
    Reply,
    Thinking,
    TopicClosed,
)
from synapse.client.presence import Presence, Roster
from synapse.client.reading import Resumed, read, read_error, read_resumed
from synapse.client.retrying import Retries, Tries
from synapse.client.settings import Settings
from synapse.client.socket import Socket
from synapse.client.timers import Timer
from synapse.client.values import Result, Thought
from synapse.protocol import ROSTER, Encoded, Error, InvalidMessage
from synapse.protocol import messages as wire

TOO_BIG = 1009  # close code, RFC 6455 section 7.4.1
HOPELESS = frozenset({"unauthorized", "api_key required"})  # a retry with the same credentials cannot help


class _Query:
    """A query without an ending yet."""

    __slots__ = ("accepted", "asked", "deadline", "message", "patience", "push", "ref", "seen", "stopping", "tries")

    def __init__(self, message: wire.Query, patience: float, asked: float, tries: Tries) -> None:
        self.ref = message.ref
        self.message = message
        self.seen = 0  # the seq of its last thought, where the server numbers them
        self.patience = patience
        self.asked = asked
        self.accepted = False
        self.push: Push | None = None
        self.stopping = False
        self.deadline: Timer | None = None  # only after a drop: until then the server owes us the ending
        self.tries = tries

    @property
    def away(self) -> bool:
        """Whether it is with the server, as far as we know: sent, and not refused."""
        return self.push is None and self.tries.pause is None


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
        self._retries = Retries(self.settings, random)
        self._presence: dict[str, Presence] = {}
        self._queries: dict[str, _Query] = {}
        self._pushes = count(1)
        self._ever_joined: set[str] = set()
        self._payloads: dict[str, dict[str, Any]] = {}  # of watched topics' joins
        self._closed: str | None = None
        self._channel = self._enter(self.topic)

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

    def disconnected(self, now: float, code: int = 1006, reason: str = "") -> None:
        """The WebSocket closed, or could not be opened."""
        if code == TOO_BIG:
            self._too_big(now)
        self._socket.disconnected(now, code, reason)

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
        if message.ref in self._queries:
            raise ValueError(f"ref {message.ref!r} is in use by an unfinished query")
        if len(self._queries) >= self.settings.max_pending:
            raise BufferFull(self.settings.max_pending)
        patience = self.settings.patience if message.timeout is None else message.timeout / 1e3
        if held_back := self._retries.held_back(now):
            self._events.append(Refused(message.ref, held_back, attempts=0))
            return
        query = _Query(message, patience, now, self._retries.start(now + patience, now))
        self._send(query, now, bounded=True)
        self._queries[message.ref] = query

    def interrupt(self, ref: str, reason: str, now: float) -> bool:
        """Stop a query; False if it has ended already. One that is not with the server ends here."""
        query = self._queries.get(ref)
        if query is None:
            return False
        query.tries.wanted = False
        if query.tries.pause is not None or (query.push is not None and query.push.sent is None):
            self._end(Result(ref, "interrupted", None, now - query.asked, reason))
        elif not query.stopping:
            self._stop(query, reason, now)
        return True

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
        for query in list(self._queries.values()):
            self._lose(query, "closed", reason)
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
            payload["resume"] = {query.ref: query.seen for query in self._queries.values() if query.away}
        return payload

    def joined(self, channel: Channel, response: Any, now: float) -> None:
        self._ever_joined.add(channel.topic)
        if channel is self._channel:
            self._socket.works(now)
            if (resumed := read_resumed(response)) is not None:
                self._resume(resumed, now)
        self._events.append(Joined(channel.topic, response))

    def refused(self, channel: Channel, reason: str, now: float) -> None:
        final = channel.topic not in self._ever_joined or reason in HOPELESS
        self._events.append(JoinRefused(channel.topic, reason, final))
        if not final:
            return
        if channel is self._channel:
            self.leave(now, f"join refused: {reason}")
        else:
            self.unwatch(channel.topic, now)

    def dropped(self, channel: Channel, now: float) -> None:
        if channel is not self._channel:
            return
        for query in self._queries.values():
            if query.accepted and query.deadline is None:
                self._expect(query, query.patience + self.settings.grace, now)

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
            elif channel is not self._channel or not self._own_message(event, payload, now):
                self._events.append(Pushed(channel.topic, event, payload))
        except InvalidMessage as error:
            self._events.append(Misunderstood(channel.topic, event, error.reason))
            ref = payload.get("ref") if isinstance(payload, dict) else None
            if event in ("result", "interrupted") and isinstance(ref, str) and ref in self._queries:
                # It has ended, whatever the message meant to say.
                self._lose(self._queries[ref], "garbled", f"its {event} message made no sense: {error.reason}")

    # inside

    def _own_message(self, event: str, payload: Any, now: float) -> bool:
        """Handle the cortex protocol's events.

        A stream reaches every connection of the agent, so refs that are not ours are normal.
        """
        if event == "thought":
            thought = read(wire.Thought, payload)
            query = self._queries.get(thought.ref)
            if query is not None and (thought.seq is None or thought.seq > query.seen):
                query.seen = thought.seq or 0
                self._accept(query, now)
                self._events.append(Thinking(Thought.from_wire(thought)))
        elif event == "result":
            result = read(wire.Result, payload)
            self._end(Result(result.ref, result.status, result.data, result.latency_ms / 1e3))
        elif event == "interrupted":
            stopped = read(wire.Interrupted, payload)
            if query := self._queries.get(stopped.ref):
                self._end(Result(stopped.ref, "interrupted", None, now - query.asked, stopped.reason))
        else:
            return event == "pong"  # a ping's reply says the same
        return True

    def _send(self, query: _Query, now: float, *, bounded: bool = False) -> None:
        fields = msgspec.structs.asdict(query.message)
        payload = {name: value for name, value in fields.items() if value is not None}
        done = partial(self._query_replied, query)
        query.push = self._channel.push("query", payload, done, now, bounded=bounded)

    def _too_big(self, now: float) -> None:
        """The server would not read a message of ours: the largest that it has not answered. Do not send it again."""
        unread = [query for query in self._queries.values() if query.push is not None and query.push.sent is not None]
        if unread:
            query = max(unread, key=lambda query: len(query.message.q))
            self._query_refused(query, wire.Error("payload_too_large", field="q"), now)

    def _resume(self, resumed: Resumed, now: float) -> None:
        """The server goes on with what it knows. What it never received is sent again; the rest is lost.

        Only a server that kept the stream all the while can tell the one from the other: a query that may have
        run is not sent twice.
        """
        for query in [query for query in self._queries.values() if query.away]:
            if query.ref in resumed.unknown:
                if query.accepted or not resumed.kept:
                    self._lose(query, "dropped", "the server no longer knew it when the connection was back")
                else:
                    self._send(query, now)
            else:
                self._accept(query, now)
                if query.ref in resumed.gaps:
                    self._events.append(Gap(query.ref, query.seen, resumed.gaps[query.ref]))
            if query.deadline is not None:  # the server owes the ending again
                query.deadline.cancel()
                query.deadline = None

    def _query_replied(self, query: _Query, reply: Reply, now: float) -> None:
        query.push = None
        if reply.status == "ok":
            self._accept(query, now)
        elif reply.status == "error":
            self._query_refused(query, read_error(reply.response), now)
        elif reply.status == "timeout":
            self._retries.failed(now)
            self._lose(query, "no reply", f"no reply within {self.settings.reply:g} s")
            if reply.elapsed:  # it was sent and may run, unheard
                self._stop(query, "client gave up", now)
        elif reply.status == "disconnected":
            # It may have been accepted just before the drop; then its stream will be heard after the rejoin.
            self._expect(query, query.patience + self.settings.grace, now)
        else:
            self._lose(query, "closed", self._closed or "closed")

    def _query_refused(self, query: _Query, error: Error, now: float) -> None:
        wait = self._retries.wait(query.tries, error, now)
        if wait is None:
            self._refuse(query, error)
        else:
            query.tries.pause = self._socket.timers.at(now + wait, lambda then: self._ask_again(query, error, then))
            self._events.append(Postponed(query.ref, error, query.tries.made + 1, wait))

    def _ask_again(self, query: _Query, error: Error, now: float) -> None:
        message = query.tries.next(query.message, now)
        if message is None:
            self._refuse(query, error)
        else:
            query.message = message
            self._send(query, now)

    def _refuse(self, query: _Query, error: Error) -> None:
        self._forget(query)
        self._events.append(Refused(query.ref, error, query.tries.made))

    def _stop(self, query: _Query, reason: str, now: float) -> None:
        def answered(reply: Reply, at: float) -> None:
            query.stopping = False
            if reply.status == "disconnected" and query.ref in self._queries:
                self._stop(query, reason, at)  # waits for the rejoin; to interrupt twice does no harm

        query.stopping = True
        payload = {"ref": query.ref, "reason": reason}
        self._channel.push("interrupt", payload, answered, now, bounded=False)

    def _accept(self, query: _Query, now: float) -> None:
        query.tries.stop()
        if query.push is not None:
            self._channel.cancel(query.push)
            query.push = None
        if not query.accepted:
            query.accepted = True
            self._retries.succeeded(now)
            self._events.append(Accepted(query.ref))

    def _end(self, result: Result) -> None:
        if query := self._queries.get(result.ref):
            self._forget(query)
            tries = query.tries.made
            self._events.append(Ended(result if tries == 1 else msgspec.structs.replace(result, attempts=tries)))

    def _expect(self, query: _Query, seconds: float, now: float) -> None:
        why = "the connection dropped and the ending did not come after it was back"
        query.deadline = self._socket.timers.at(now + seconds, lambda _: self._lose(query, "dropped", why))

    def _lose(self, query: _Query, cause: Any, why: str) -> None:
        if self._queries.get(query.ref) is query:
            self._forget(query)
            self._events.append(Lost(query.ref, cause, why))

    def _forget(self, query: _Query) -> None:
        del self._queries[query.ref]
        query.tries.stop()
        if query.push is not None:
            self._channel.cancel(query.push)
        if query.deadline is not None:
            query.deadline.cancel()

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
