"""A small Phoenix: sockets, channels, PubSub and presence. It knows topics, not queries.

A connection is a `Socket`; it joins topics, each join makes a `Channel`; members of a topic hear what is
published there through `PubSub`, and know of each other through `Presence`. Pure: a driver hands in the
clock and the transports.
"""

from synapse.channels.channel import Channel, MessageRef, Reply, Stop, error, ok
from synapse.channels.endpoint import Clock, Endpoint, Routes
from synapse.channels.presence import LocalPresence, Metas, Presence
from synapse.channels.pubsub import LocalPubSub, Message, PubSub, Subscriber
from synapse.channels.socket import Socket, Transport

__all__ = [
    "Channel",
    "Clock",
    "Endpoint",
    "LocalPresence",
    "LocalPubSub",
    "Message",
    "MessageRef",
    "Metas",
    "Presence",
    "PubSub",
    "Reply",
    "Routes",
    "Socket",
    "Stop",
    "Subscriber",
    "Transport",
    "error",
    "ok",
]
