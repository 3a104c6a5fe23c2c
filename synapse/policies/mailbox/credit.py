"""Let the writer wait for the reader."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy, PolicyError
from synapse.policies.fields import Bytes, Count
from synapse.policies.mailbox.box import M
from synapse.policies.mailbox.disconnect import Disconnect, DisconnectMailbox


class Credit(Policy, frozen=True, tag="credit"):
    """Nothing is lost: from `credit` waiting messages on, `waits` asks writers to hold until half of them are read.

    Backpressure from end to end: a handler's thought waits until the slow reader has read. It hurts what should not
    wait: the slowest reader of an agent's stream sets its pace, and a slot is held meanwhile. Writers that cannot
    wait (or do not) still put in, up to the bounds; there the reader is cut off, as with `Disconnect`. Cost: O(1).
    Source: HTTP/2 flow control, RFC 9113, section 5.2.

    Parameters
    ----------
    credit
        Messages after which writers wait.
    messages, size
        The bounds: messages, and bytes. Writers also wait once half of `size` waits.
    """

    credit: Annotated[Count, Meta(description="Messages after which writers wait.")] = 64
    messages: Annotated[Count, Meta(description="How many messages may wait.")] = 10_000
    size: Annotated[Bytes, Meta(description="How many bytes may wait.")] = 4 * 2**20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.credit > self.messages:
            raise PolicyError("credit", f"must be at most `messages`, {self.messages}; not {self.credit}")

    def start(self, now: float) -> CreditMailbox[M]:  # noqa: ARG002
        """The empty mailbox."""
        return CreditMailbox(self)


class CreditMailbox(DisconnectMailbox[M]):
    """A mailbox that says when to wait. It says so until half is read, so that writers do not wake for each message."""

    __slots__ = ("_credit", "_half_size", "waits")

    def __init__(self, policy: Credit) -> None:
        super().__init__(Disconnect(policy.messages, policy.size))
        self._credit = policy.credit
        self._half_size = policy.size / 2
        self.waits = False

    def put(self, message: M, now: float, ref: Hashable = None, keep: bool = False) -> Sequence[M]:
        super().put(message, now, ref, keep)
        if len(self._waiting) >= self._credit or self.bytes >= self._half_size:
            self.waits = True
        return ()

    def drain(self, most_bytes: int) -> list[M]:
        taken = super().drain(most_bytes)
        if len(self._waiting) <= self._credit // 2 and self.bytes <= self._half_size / 2:
            self.waits = False
        return taken
