"""Channels without a cortex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synapse.channels import Channel, Endpoint, LocalPresence, LocalPubSub, Socket, Transport
from synapse.policies import Disconnect
from synapse.protocol import Serializer
from tests.support.peer import Host


class Hall(Host):
    """An `Endpoint` on a virtual clock.

    Parameters
    ----------
    channels
        Topic patterns and channel classes.
    mailbox
        The policy of every socket.
    options
        The endpoint's own.
    """

    def __init__(
        self, channels: Mapping[str, type[Channel]], mailbox: Disconnect | None = None, **options: Any
    ) -> None:
        super().__init__()
        self.pubsub = LocalPubSub()
        self.presence = LocalPresence(self.pubsub, self.clock.call_later)
        self.endpoint = Endpoint(self.clock, channels, self.pubsub, self.presence, **options)
        self.mailbox = mailbox

    def connect(self, serializer: Serializer, transport: Transport, identity: Any) -> Socket:
        return Socket(self.endpoint, serializer, transport, self.mailbox)
