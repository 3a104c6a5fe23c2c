"""All the rules of a node in one value: what is configured, shown over REST and replaced while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from synapse.policies.base import PolicyError
from synapse.policies.concurrency import ConcurrencyPolicy, Fixed
from synapse.policies.connections import Connections
from synapse.policies.decode import decode_parts, encode
from synapse.policies.mailbox import Disconnect, MailboxPolicy
from synapse.policies.queue import Priority, QueuePolicy
from synapse.policies.rate import RateLimitPolicy, Unlimited
from synapse.policies.timeout import FixedTimeout, TimeoutPolicy

OF_QUERIES = {"queue": "queue", "concurrency": "concurrency", "timeout": "timeout", "rate_limit": "rate-limit"}
"""The family of each part that a handler may have of its own."""

PARTS = {**OF_QUERIES, "mailbox": "mailbox", "connections": "connections"}
"""The family of each part."""

HANDLERS = "handlers"


class HandlerPolicies(msgspec.Struct, frozen=True):
    """The rules of one handler's queries; what is None is as the node's.

    A handler that has any has its own slots and its own queue. Its `rate_limit` comes on top of the node's, which
    counts the queries of all handlers.
    """

    queue: QueuePolicy | None = None
    concurrency: ConcurrencyPolicy | None = None
    timeout: TimeoutPolicy | None = None
    rate_limit: RateLimitPolicy | None = None

    def encode(self) -> dict[str, Any]:
        """The table of the parts that are there."""
        return {name: encode(part) for name in OF_QUERIES if (part := getattr(self, name)) is not None}


class Policies(msgspec.Struct, frozen=True):
    """The rules of one node.

    Parameters
    ----------
    queue
        Who waits for a slot, in which order, and who is turned away.
    concurrency
        How many queries run at once.
    timeout
        By when a query must have ended, if at all.
    rate_limit
        How often one may ask.
    mailbox
        What a reader loses that is slower than what is sent to it.
    connections
        How many connections there may be, and of whom.
    handlers
        By handler, the rules that are its own.
    """

    queue: QueuePolicy = Priority()
    concurrency: ConcurrencyPolicy = Fixed()
    timeout: TimeoutPolicy = FixedTimeout()
    rate_limit: RateLimitPolicy = Unlimited()
    mailbox: MailboxPolicy = Disconnect()
    connections: Connections = Connections()
    handlers: Mapping[str, HandlerPolicies] = {}

    @classmethod
    def decode(cls, value: Any) -> Policies:
        """Read a table of parts, each optional.

        Raises
        ------
        PolicyError
            Which part and field is wrong, what is allowed, in which unit.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping) or HANDLERS not in value:
            return cls(**decode_parts(PARTS, value))
        parts = {name: part for name, part in value.items() if name != HANDLERS}
        return cls(**decode_parts(PARTS, parts), handlers=_decode_handlers(value[HANDLERS]))

    def encode(self) -> dict[str, Any]:
        """The table that `decode` reads back."""
        handlers = {name: rules.encode() for name, rules in self.handlers.items()}
        return {**{name: encode(getattr(self, name)) for name in PARTS}, HANDLERS: handlers}

    def of_handler(self, name: str) -> Policies:
        """The rules that a handler's own scheduler runs by. Its rate limit is what comes on top of the node's."""
        own = self.handlers[name]
        return msgspec.structs.replace(
            self,
            queue=own.queue or self.queue,
            concurrency=own.concurrency or self.concurrency,
            timeout=own.timeout or self.timeout,
            rate_limit=own.rate_limit or Unlimited(),
            handlers={},
        )


def _decode_handlers(value: Any) -> dict[str, HandlerPolicies]:
    if not isinstance(value, Mapping):
        raise PolicyError(HANDLERS, f"must be a table of handlers' names; not {value!r}")
    handlers = {}
    for name, rules in value.items():
        path = f"{HANDLERS}.{name}"
        if not isinstance(name, str) or not name:
            raise PolicyError(path, "must be the name of a handler")
        if isinstance(rules, Mapping):
            for part in rules:
                if part in PARTS and part not in OF_QUERIES:
                    raise PolicyError(
                        f"{path}.{part}", "is of connections, not of queries: it stands beside `handlers`"
                    )
        handlers[name] = rules if isinstance(rules, HandlerPolicies) else _decode_handler(rules, path)
    return handlers


def _decode_handler(rules: Any, path: str) -> HandlerPolicies:
    parts = decode_parts(OF_QUERIES, rules, path)
    if not parts:
        raise PolicyError(path, f"must have at least one of {', '.join(OF_QUERIES)}")
    return HandlerPolicies(**parts)
