"""A socket: one connection, many channels. One path in for a message, one path out.

In: the driver calls `receive` with each WebSocket message and `received_all` when it has handed over what it
has read. Out: what `send` is given in one turn goes to the transport in one write. While the reader lags,
messages wait in a mailbox, whose policy says what is lost when it is full.

Which heads a frame carries follows Phoenix 1.8, rule by rule.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from synapse.channels.channel import Channel, MessageRef, Reply, Stop, error, ok, unmatched_event
from synapse.channels.endpoint import Endpoint
from synapse.policies import Disconnect, Mailbox, MailboxPolicy, Overflow
from synapse.protocol import Encoded, Frame, MalformedFrame, Serializer

log = logging.getLogger(__name__)

RESERVED = frozenset(
    {"phx_join", "phx_leave", "phx_reply", "phx_close", "phx_error", "presence_state", "presence_diff"}
)
OK = ok()
UNMATCHED_TOPIC = error("unmatched topic")
FLUSH_BYTES = 256 * 1024

GOING_AWAY, POLICY_VIOLATION, INTERNAL_ERROR = 1001, 1008, 1011  # close codes, RFC 6455 section 7.4.1


class Transport(Protocol):
    """Moves bytes. The driver's."""

    @property
    def writable(self) -> bool:
        """Whether `send` may be called: False from when the peer lags until the driver calls `Socket.flush`."""

    def send(self, messages: list[Encoded]) -> None:
        """Write messages, each a WebSocket message of its own, in one write."""

    def close(self, code: int, reason: str = "", last: Sequence[Encoded] = ()) -> None:
        """Close the connection with a code, after these last words. The driver will call `Socket.closed`."""


class Socket:
    """One connection.

    Parameters
    ----------
    endpoint
        What it shares with the others.
    serializer
        Chosen by the upgrade's ``vsn``.
    transport
        Where bytes leave.
    mailbox
        The policy for a reader that is slower than what is sent to it.
    """

    def __init__(
        self, endpoint: Endpoint, serializer: Serializer, transport: Transport, mailbox: MailboxPolicy | None = None
    ) -> None:
        self.endpoint = endpoint
        self.serializer = serializer
        self.transport = transport
        self.channels: dict[str, Channel] = {}
        self.mailbox_policy = Disconnect() if mailbox is None else mailbox
        self._mailbox: Mailbox[Encoded] | None = None  # only while the reader lags
        self._turn: list[Encoded] = []
        self._turn_bytes = 0
        self._flush_due = False
        self._more_to_come = False
        self._open = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.serializer.vsn}, {len(self.channels)} channels>"

    # In

    def receive(self, data: bytes | bytearray | memoryview, binary: bool = False) -> None:
        """Take one WebSocket message. The caller says `received_all` once it has handed over what it has."""
        if not self._open:
            return
        self._flush_due = True  # the caller's promise: sends of this turn need no flush of their own
        try:
            if len(data) > self.endpoint.max_message:
                self._too_large(data, binary)
            else:
                self._dispatch(self.serializer.decode(data, binary))
        except MalformedFrame as problem:
            log.warning("%r: %s", self, problem)
            self.close(problem.close_code)
        except Exception:  # a frame that decodes and cannot be answered: its ref is nested too deep to be echoed
            log.exception("%r could not answer a frame", self)
            self.close(INTERNAL_ERROR)

    def received_all(self) -> None:
        """Write the answers: now, or with what is about to come (see `expect_more`)."""
        if self._more_to_come:
            self._more_to_come = False
            self.endpoint.flush_late(self)
        else:
            self.flush()

    def expect_more(self) -> None:
        """Let the answer to the message at hand share its write with what follows on it at once."""
        self._more_to_come = True

    def closed(self, reason: str = "closed") -> None:
        """The transport's connection has ended: so do all channels, without a word."""
        self._open = False
        for channel in list(self.channels.values()):
            self._end(channel, reason)

    # Out

    def send(self, encoded: Encoded, stream: str | None = None, keep: bool = True) -> None:
        """Leave a message for the client. A mailbox that is full may drop it unless it is to `keep`."""
        if not self._open:
            return
        if self._mailbox is not None and self.transport.writable:
            due = self._flush_due
            self.flush()
            self._flush_due = due
        if self._turn or (self._mailbox is None and self.transport.writable):  # once a turn; its write asks again
            self._turn.append(encoded)
            self._turn_bytes += len(encoded.data)
            if self._turn_bytes > FLUSH_BYTES:
                self._write_turn()
        elif not self._post(encoded, stream, keep):
            return
        if not self._flush_due:
            self._flush_due = True
            self.endpoint.flush_soon(self)

    def flush(self) -> None:
        """Write what waits, as far as the transport takes it."""
        self._flush_due = False
        self._write_turn()
        while self._mailbox is not None and self._open and self.transport.writable:
            self.transport.send(self._mailbox.drain(FLUSH_BYTES))
            if not self._mailbox.waits:
                self.caught_up()
            if not len(self._mailbox):
                self._mailbox = None

    def close(self, code: int = GOING_AWAY, reason: str = "") -> None:
        """Disconnect the client: last words are written, then the close frame."""
        if self._open:
            self.flush()
            self._open = False
            waiting, self._mailbox = self._mailbox, None
            last = [] if waiting is None else waiting.drain(waiting.bytes)
            self.transport.close(code, reason, last)

    @property
    def lagging(self) -> bool:
        """Whether writers should wait for this reader, which only a mailbox of credit asks for."""
        return self._mailbox is not None and self._mailbox.waits

    @property
    def behind(self) -> bool:
        """Whether this reader lags, so that what is sent to it now waits."""
        return self._mailbox is not None or not self.transport.writable

    @property
    def waiting(self) -> int:
        """How many messages wait for this reader."""
        return 0 if self._mailbox is None else len(self._mailbox)

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait for this reader."""
        return 0 if self._mailbox is None else self._mailbox.bytes

    def fell_behind(self) -> None:
        """Told when writers should wait for this reader, perhaps again. For subclasses to announce."""

    def caught_up(self) -> None:
        """Told when writers need not wait, perhaps again. For subclasses to announce."""

    def dropped(self, messages: int, size: int) -> None:
        """Told what a slow reader has lost, and before it is cut off for that. For subclasses to announce."""

    def refused(self, what: str, topic: Any, reply: Reply) -> None:
        """Told of a ``join`` or a ``message`` that no channel got to see. For subclasses to announce."""

    # Channels

    def stop_channel(self, channel: Channel, reason: str = "normal") -> None:
        """End a channel from the server's side: ``phx_close`` if normal, else ``phx_error``."""
        if self.channels.get(channel.topic) is channel:
            if reason == "normal":
                self._end(channel, reason, "phx_close")
            else:
                self._end(channel, reason, "phx_error", {"reason": "channel_crash"})

    def crashed(self, channel: Channel) -> None:
        """Log the exception at hand and end its channel, and no other."""
        log.exception("%r crashed", channel)  # noqa: LOG004  called from except clauses only
        self.stop_channel(channel, "crash")

    def _dispatch(self, frame: Frame) -> None:
        topic, event = frame.topic, frame.event
        if topic == "phoenix":
            if event == "heartbeat":
                self._reply(frame, frame.join_ref, OK)
            else:
                self._reply(frame, None, UNMATCHED_TOPIC)
            return
        channel = self.channels.get(topic) if type(topic) is str else None
        if event == "phx_join":
            self._join(frame, channel)
        elif channel is None:
            if event == "phx_leave":
                self._reply(frame, frame.join_ref, OK)
            else:
                self._reply(frame, None, UNMATCHED_TOPIC)
        elif frame.join_ref is not None and frame.join_ref != channel.declared_join_ref:
            log.debug("%r: dropped %s under the stale join_ref %r", channel, event, frame.join_ref)
        elif event == "phx_leave":
            self._reply(frame, channel.join_ref, OK)
            self._end(channel, "left", "phx_close")
        else:
            self._handle(channel, frame)

    def _too_large(self, data: bytes | bytearray | memoryview, binary: bool) -> None:
        """Say so, without building what is too large."""
        most = self.endpoint.max_message
        reply = error("payload_too_large", policy="max_message_bytes", limit=most, size=len(data))
        self._refuse("message", self.serializer.head(data, binary), reply)

    def _refuse(self, what: str, frame: Frame, reply: Reply) -> None:
        self._reply(frame, frame.join_ref, reply)
        self.refused(what, frame.topic, reply)

    def _join(self, frame: Frame, old: Channel | None) -> None:
        kind = self.endpoint.routes.find(frame.topic) if type(frame.topic) is str else None
        if kind is None:
            self._reply(frame, None, UNMATCHED_TOPIC)
            return
        if old is None and len(self.channels) >= self.endpoint.max_channels:
            self._refuse("join", frame, error("too_many_connections", policy="connections.channels"))
            return
        if old is not None:  # whatever becomes of the new join, the old channel is over
            self._end(old, "rejoined")
        channel = kind(self, frame.topic, frame.join_ref, frame.ref)
        try:
            reply = channel.join(frame.payload)
            self._reply(frame, frame.join_ref, reply)
        except Exception:
            log.exception("%r crashed in join", channel)
            channel.unsubscribe_all()
            reply = error("join crashed")
            self._reply(frame, frame.join_ref, reply)
        if old is not None:
            self._tell_end(old, "phx_close", {})
        if reply.status != "ok" or not self._open:  # refused, or its reply was one too many for a slow reader
            channel.unsubscribe_all()
            return
        self.channels[channel.topic] = channel
        channel.subscribe(channel.topic)
        try:
            channel.joined()
        except Exception:
            self.crashed(channel)

    def _handle(self, channel: Channel, frame: Frame) -> None:
        event = frame.event
        if type(event) is not str or event in RESERVED:
            self._reply(frame, channel.join_ref, unmatched_event(event))
            return
        try:
            answer = channel.handle_in(event, frame.payload, MessageRef(frame.ref))
            reply = answer.reply if isinstance(answer, Stop) else answer
            if reply is not None:
                self._reply(frame, channel.join_ref, reply)
        except Exception:
            self.crashed(channel)
            return
        if isinstance(answer, Stop):
            self.stop_channel(channel, answer.reason)

    def _end(self, channel: Channel, reason: str, event: str | None = None, payload: Any = None) -> None:
        self.channels.pop(channel.topic, None)
        channel.unsubscribe_all()
        if event is not None:
            self._tell_end(channel, event, payload or {})
        try:
            channel.terminate(reason)
        except Exception:
            log.exception("%r crashed in terminate", channel)

    def _tell_end(self, channel: Channel, event: str, payload: Any) -> None:
        self.send(self.serializer.encode_close(channel.declared_join_ref, channel.topic, event, payload))

    def _reply(self, frame: Frame, join_ref: Any, reply: Reply) -> None:
        self.send(self.serializer.encode_reply(join_ref, frame.ref, frame.topic, reply.status, reply.response))

    def _write_turn(self) -> None:
        if self._turn:
            turn, self._turn, self._turn_bytes = self._turn, [], 0
            if self._open and self.transport.writable:
                self.transport.send(turn)
            elif self._open:  # it began to lag in mid-turn
                rest = iter(turn)
                for encoded in rest:
                    self._post(encoded, None, keep=True, later=rest)

    def _post(self, encoded: Encoded, stream: str | None, keep: bool, later: Iterable[Encoded] = ()) -> bool:
        """Leave a message for a reader that lags. False if that was the end of it, and of what was to come `later`."""
        now = self.endpoint.clock.time()
        if self._mailbox is None:
            self._mailbox = self.mailbox_policy.start(now)
        try:
            dropped = self._mailbox.put(encoded, now, stream, keep)
        except Overflow as overflow:
            lost = [encoded, *later]
            self.dropped(len(self._mailbox) + len(lost), self._mailbox.bytes + sum(map(len, lost)))
            log.warning("%r: cut off, %s", self, overflow)
            self._mailbox = None
            self.close(POLICY_VIOLATION, "slow reader")
            return False
        if dropped:
            self.dropped(len(dropped), sum(map(len, dropped)))
        if self._mailbox.waits:
            self.fell_behind()
        return True
