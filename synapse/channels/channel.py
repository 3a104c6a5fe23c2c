"""A channel: one member's place on a topic, made by a join and ended by a leave, a crash or the connection.

Write your own by subclassing `Channel` and mounting it for a topic pattern::

    class RoomChannel(Channel):
        def join(self, payload):
            return ok({"welcome": self.topic})

        def handle_in(self, event, payload, ref):
            if event == "shout":
                self.broadcast("shout", payload)
                return ok()
            return super().handle_in(event, payload, ref)

Callbacks run to their end before anything else on the node does. One that raises ends its own channel with
``phx_error`` and nothing else; the client may join again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from synapse.channels.pubsub import Message
from synapse.protocol import Encoded

if TYPE_CHECKING:
    from synapse.channels.socket import Socket


log = logging.getLogger(__name__)


class Reply(msgspec.Struct, frozen=True):
    """An answer to one message: ``phx_reply`` with this status and response."""

    status: str
    response: Any


class Stop(msgspec.Struct, frozen=True):
    """The end of a channel, returned by `handle_in`.

    ``Stop()`` ends it normally (``phx_close``); any other reason is a crash (``phx_error``). A reply, if
    any, goes out first.
    """

    reason: str = "normal"
    reply: Reply | None = None


class MessageRef(msgspec.Struct, frozen=True):
    """Which message to answer, for a reply that is sent later by `Channel.reply`."""

    ref: Any


def ok(response: Any = None) -> Reply:
    """A reply of status ``ok``; without a response, ``{}``."""
    return Reply("ok", {} if response is None else response)


def error(reason: str, **more: Any) -> Reply:
    """A reply of status ``error`` with a reason and what else helps."""
    return Reply("error", {"reason": reason, **more})


def unmatched_event(event: object) -> Reply:
    """The answer to an event that no one handles. Phoenix would end the channel; we say what is wrong."""
    return error(f"unmatched event: {event}")


class Channel:
    """One member of a topic. Subclass it, and override what you need.

    Attributes
    ----------
    topic : str
        The topic that was joined.
    socket : Socket
        The connection; `socket.endpoint` has pubsub, presence and clock.
    intercept : frozenset of str
        Broadcast events that go through `handle_out` instead of straight to the socket.
    """

    intercept: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, socket: Socket, topic: str, join_ref: Any, ref: Any) -> None:
        self.socket = socket
        self.topic = topic
        # Phoenix keeps two: what the join said heads phx_close and phx_error and tells stale messages,
        # while pushes and replies fall back to the join's ref when it said null.
        self.declared_join_ref = join_ref
        self.join_ref = ref if join_ref is None else join_ref
        self._topics: set[str] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.topic} of {self.socket!r}>"

    # What a subclass overrides

    def join(self, payload: Any) -> Reply:  # noqa: ARG002
        """Decide on a join: a reply of status ``ok`` lets it in."""
        return ok()

    def joined(self) -> None:
        """Called once the join's reply is on its way: the place for first pushes."""

    def handle_in(self, event: str, payload: Any, ref: MessageRef) -> Reply | Stop | None:  # noqa: ARG002
        """Answer a client's message; None means no reply now (see `reply`)."""
        return unmatched_event(event)

    def handle_out(self, event: str, payload: Any) -> None:
        """Pass on, change or swallow a broadcast named in `intercept`."""
        self.push(event, payload)

    def handle_info(self, message: Message) -> None:
        """Take a message that is no broadcast, published to a topic this channel has subscribed to."""
        socket = self.socket
        socket.send(message.encoded(socket.serializer, self.join_ref), message.stream, message.keep)

    def terminate(self, reason: str) -> None:
        """Called once at the end: ``left``, ``normal``, ``closed``, ``crash`` or the reason of a `Stop`."""

    # What a subclass calls

    def push(self, event: str, payload: Any) -> None:
        """Send to this member alone."""
        self._send(self.socket.serializer.encode_push(self.join_ref, self.topic, event, payload))

    def broadcast(self, event: str, payload: Any) -> None:
        """Send to every member of the topic, this one included."""
        self.socket.endpoint.pubsub.publish(Message(self.topic, event, payload, broadcast=True))

    def broadcast_from(self, event: str, payload: Any) -> None:
        """Send to every other member of the topic."""
        self.socket.endpoint.pubsub.publish(Message(self.topic, event, payload, broadcast=True), exclude=self)

    def reply(self, ref: MessageRef, reply: Reply) -> None:
        """Answer a message after its `handle_in` has returned None."""
        encode = self.socket.serializer.encode_reply
        self._send(encode(self.join_ref, ref.ref, self.topic, reply.status, reply.response))

    def subscribe(self, topic: str) -> None:
        """Receive what is published to another topic as well, until this channel ends."""
        self._topics.add(topic)
        self.socket.endpoint.pubsub.subscribe(topic, self)

    def stop(self, reason: str = "normal") -> None:
        """End this channel from the server's side."""
        self.socket.stop_channel(self, reason)

    # What PubSub and Socket call

    def deliver(self, message: Message) -> None:
        """Take a published message: PubSub's side of a channel."""
        try:
            if not message.broadcast:
                self.handle_info(message)
            elif message.event in self.intercept:
                self.handle_out(message.event, message.payload)
            elif type(message.payload) is bytes and not self.socket.serializer.binary:
                log.warning("%r cannot take the binary broadcast %s: it has connected without vsn=2.0.0", self, message)
            else:
                self.socket.send(message.encoded(self.socket.serializer, None), message.stream, message.keep)
        except Exception:
            self.socket.crashed(self)

    def unsubscribe_all(self) -> None:
        """End all subscriptions: the socket's part of an ending."""
        for topic in self._topics:
            self.socket.endpoint.pubsub.unsubscribe(topic, self)
        self._topics.clear()

    def _send(self, encoded: Encoded) -> None:
        self.socket.send(encoded)
