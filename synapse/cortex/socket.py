"""CortexSocket: a connection to the cortex, and who the driver recognised at its other end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from synapse.channels import Reply, Socket, Transport
from synapse.protocol import Serializer

if TYPE_CHECKING:
    from synapse.cortex.cortex import Cortex


class CortexSocket(Socket):
    """One connection.

    Attributes
    ----------
    id : int
        Its number on this node.
    identity
        Whom the driver recognised when the connection was made; None for a stranger, whose joins then
        need a key each.
    """

    def __init__(
        self, cortex: Cortex, number: int, serializer: Serializer, transport: Transport, identity: Any
    ) -> None:
        super().__init__(cortex.endpoint, serializer, transport, cortex.policies.mailbox)
        self.cortex = cortex
        self.id = number
        self.identity = identity
        self.keys: Counter[str] = Counter()  # what opened the door to its channels

    def __repr__(self) -> str:
        return f"<CortexSocket {self.id}, {len(self.channels)} channels>"

    def closed(self, reason: str = "closed") -> None:
        super().closed(reason)
        self.cortex.disconnected(self, reason)

    def fell_behind(self) -> None:
        self.cortex.slow.add(self)

    def caught_up(self) -> None:
        self.cortex.slow.discard(self)
        for channel in self.channels.values():
            self.cortex.resume(channel.topic.partition(":")[2])

    def dropped(self, messages: int, size: int) -> None:
        self.cortex.emit_dropped(self, messages, size)

    def refused(self, what: str, topic: Any, reply: Reply) -> None:
        reason, policy = reply.response["reason"], reply.response["policy"]
        if what == "join":
            self.cortex.refused(topic, self, reason, policy)
        else:
            self.cortex.emit_refused(what, str(topic), reason, policy)
