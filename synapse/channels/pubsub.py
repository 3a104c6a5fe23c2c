"""PubSub: whoever subscribed to a topic gets what is published there.

The local implementation serves one node. The interface is small, so that a broker between nodes can stand
behind it without a change to anything above.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from synapse.protocol import Encoded, Serializer, raw

log = logging.getLogger(__name__)


class Message:
    """Something published to a topic, encoded at most once per serializer and join_ref.

    Parameters
    ----------
    topic, event, payload
        As they go on the wire. The payload is encoded here and now.
    broadcast
        A broadcast goes out with both refs null, straight to the sockets; any other message is pushed by
        each member's channel, under that channel's join_ref.
    keep
        Whether a slow reader's mailbox must not drop it: an ending, a change of presence.
    stream
        Which stream it is the latest of, for mailboxes that keep only that.

    Raises
    ------
    TypeError
        If the payload has no JSON form.
    """

    __slots__ = ("_encoded", "_raw", "broadcast", "event", "keep", "payload", "stream", "topic")

    def __init__(
        self,
        topic: str,
        event: str,
        payload: Any,
        *,
        broadcast: bool = False,
        keep: bool = False,
        stream: str | None = None,
    ) -> None:
        self.topic = topic
        self.event = event
        self.payload = payload
        self.broadcast = broadcast
        self.keep = keep
        self.stream = stream
        self._raw = raw(payload)
        self._encoded: dict[tuple[str, str | None], Encoded] = {}

    @property
    def data(self) -> bytes:
        """The payload's bytes: its JSON, or the payload itself if it is binary."""
        return bytes(self._raw)

    def encoded(self, serializer: Serializer, join_ref: Any) -> Encoded:
        """The message for a socket; `join_ref` is that of the member's channel, ignored for a broadcast."""
        if self.broadcast:
            key: tuple[str, str | None] = (serializer.vsn, None)
        elif type(join_ref) is str:
            key = (serializer.vsn, join_ref)
        else:  # an odd join_ref (1, 1.0 and true are equal in Python, and not on the wire): no cache
            return serializer.encode_push(join_ref, self.topic, self.event, self._raw)
        encoded = self._encoded.get(key)
        if encoded is None:
            if self.broadcast:
                encoded = serializer.encode_broadcast(self.topic, self.event, self._raw)
            else:
                encoded = serializer.encode_push(join_ref, self.topic, self.event, self._raw)
            self._encoded[key] = encoded
        return encoded

    def __repr__(self) -> str:
        return f"<Message {self.topic} {self.event}>"


class Subscriber(Protocol):
    """Who can subscribe. Compared by identity."""

    def deliver(self, message: Message) -> None:
        """Take a message."""


class PubSub(Protocol):
    """The interface of every PubSub."""

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Deliver what is published to `topic` from now on. Subscribing twice changes nothing."""

    def unsubscribe(self, topic: str, subscriber: Subscriber) -> None:
        """End a subscription; nothing happens if there is none."""

    def publish(self, message: Message, exclude: Subscriber | None = None) -> None:
        """Deliver to all of the message's topic but `exclude`.."""


class LocalPubSub:
    """PubSub within one node: a table of topics."""

    def __init__(self) -> None:
        self._topics: dict[str, dict[Subscriber, None]] = {}

    def __len__(self) -> int:
        return len(self._topics)

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        self._topics.setdefault(topic, {})[subscriber] = None

    def unsubscribe(self, topic: str, subscriber: Subscriber) -> None:
        members = self._topics.get(topic)
        if members is not None:
            members.pop(subscriber, None)
            if not members:
                del self._topics[topic]

    def publish(self, message: Message, exclude: Subscriber | None = None) -> None:
        members = self._topics.get(message.topic)
        if not members:
            return
        for member in tuple(members):  # a copy: a delivery may end a subscription, which is then over
            if member in members and member is not exclude:
                try:
                    member.deliver(message)
                except Exception:
                    log.exception("%r failed on %r", member, message)
