"""All the rules of a node in one value: what is configured, shown over REST and replaced while it runs."""

from __future__ import annotations

from typing import Any

import msgspec

from synapse.policies.concurrency import ConcurrencyPolicy, Fixed
from synapse.policies.connections import Connections
from synapse.policies.decode import decode_parts, encode
from synapse.policies.mailbox import Disconnect, MailboxPolicy
from synapse.policies.queue import Priority, QueuePolicy
from synapse.policies.rate import RateLimitPolicy, Unlimited
from synapse.policies.timeout import FixedTimeout, TimeoutPolicy

PARTS = {
    "queue": "queue",
    "concurrency": "concurrency",
    "timeout": "timeout",
    "rate_limit": "rate-limit",
    "mailbox": "mailbox",
    "connections": "connections",
}
"""The family of each part."""


class Policies(msgspec.Struct, frozen=True):
    """The rules of one node.

    Parameters
    ----------
    queue
        Who waits for a slot, in which order, and who is turned away.
    concurrency
        How many queries run at once.
    timeout
        By when a query must have ended.
    rate_limit
        How often one may ask.
    mailbox
        What a reader loses that is slower than what is sent to it.
    connections
        How many connections there may be, and of whom.
    """

    queue: QueuePolicy = Priority()
    concurrency: ConcurrencyPolicy = Fixed()
    timeout: TimeoutPolicy = FixedTimeout()
    rate_limit: RateLimitPolicy = Unlimited()
    mailbox: MailboxPolicy = Disconnect()
    connections: Connections = Connections()

    @classmethod
    def decode(cls, value: Any) -> Policies:
        """Read a table of parts, each optional.

        Raises
        ------
        PolicyError
            Which part and field is wrong, what is allowed, in which unit.
        """
        return value if isinstance(value, cls) else cls(**decode_parts(PARTS, value))

    def encode(self) -> dict[str, Any]:
        """The table that `decode` reads back."""
        return {name: encode(getattr(self, name)) for name in PARTS}
