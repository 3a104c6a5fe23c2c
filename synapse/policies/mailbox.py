"""Mailboxes: what waits for a reader that is slower than what is written to it.

One stands between the core and each transport. It is bounded in messages and in bytes; the policy says
what a reader loses at the bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Sized
from typing import Annotated, Generic, Protocol, TypeVar

import msgspec
from msgspec import Meta

M = TypeVar("M", bound=Sized)


class Overflow(Exception):
    """The mailbox is full and its policy is to give the reader up."""


class Mailbox(Protocol[M]):
    """The running state of a mailbox."""

    def put(self, message: M, now: float) -> Sequence[M]:
        """Leave a message. Returns the dropped ones. Raises `Overflow` if the reader is to be cut off."""

    def drain(self, most_bytes: int) -> list[M]:
        """Take the oldest messages, up to `most_bytes` (at least one, if there is one)."""

    @property
    def bytes(self) -> int:
        """How many bytes wait."""

    def __len__(self) -> int: ...


class Disconnect(msgspec.Struct, frozen=True, tag="disconnect", tag_field="kind"):
    """Keep everything up to the bound, then cut the reader off: it may reconnect and start clean.

    For agents, who must not miss an ending without knowing it. It hurts readers that are only briefly slow.
    Cost: O(1).

    Parameters
    ----------
    messages, size
        The bounds: messages, and bytes.
    """

    messages: Annotated[int, Meta(ge=1)] = 10_000
    size: Annotated[int, Meta(ge=1)] = 4 * 2**20

    def start(self, now: float) -> DisconnectMailbox[M]:  # noqa: ARG002
        """The empty mailbox."""
        return DisconnectMailbox(self)


class DisconnectMailbox(Generic[M]):
    """First in, first out, up to the bounds."""

    __slots__ = ("_waiting", "bytes", "policy")

    def __init__(self, policy: Disconnect) -> None:
        self.policy = policy
        self.bytes = 0
        self._waiting: deque[M] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: M, now: float) -> Sequence[M]:  # noqa: ARG002
        size = self.bytes + len(message)
        # A single message larger than the bound still passes an empty mailbox: it can be written at once.
        if self._waiting and (len(self._waiting) >= self.policy.messages or size > self.policy.size):
            raise Overflow(f"{len(self._waiting)} messages, {self.bytes} bytes wait")
        self._waiting.append(message)
        self.bytes = size
        return ()

    def drain(self, most_bytes: int) -> list[M]:
        taken: list[M] = []
        room = most_bytes
        while self._waiting and (not taken or len(self._waiting[0]) <= room):
            message = self._waiting.popleft()
            taken.append(message)
            room -= len(message)
            self.bytes -= len(message)
        return taken
