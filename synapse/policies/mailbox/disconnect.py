"""Keep everything, or cut the reader off."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Annotated, Generic

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.fields import Bytes, Count, Seconds
from synapse.policies.mailbox.box import M, Overflow


class Disconnect(Policy, frozen=True, tag="disconnect"):
    """Keep everything up to the bound, then cut the reader off: it may reconnect and start clean.

    For agents, who must not miss an ending without knowing it. It hurts readers that are only briefly slow, and
    when they all reconnect at once. Cost: O(1).
    Source: Redis' client-output-buffer-limit, which has the bounds and the time.

    Parameters
    ----------
    messages, size
        The bounds: messages, and bytes.
    after
        Also cut off a reader whose oldest message has waited for longer than this, in s. None for never.
    """

    messages: Annotated[Count, Meta(description="How many messages may wait.")] = 10_000
    size: Annotated[Bytes, Meta(description="How many bytes may wait.")] = 4 * 2**20
    after: Annotated[Seconds, Meta(description="How long the oldest message may wait.")] | None = None

    def start(self, now: float) -> DisconnectMailbox[M]:  # noqa: ARG002
        """The empty mailbox."""
        return DisconnectMailbox(self)


class DisconnectMailbox(Generic[M]):
    """First in, first out, up to the bounds."""

    __slots__ = ("_since", "_waiting", "bytes", "policy")

    waits = False

    def __init__(self, policy: Disconnect) -> None:
        self.policy = policy
        self.bytes = 0
        self._waiting: deque[M] = deque()
        self._since: deque[float] = deque()  # when each came, if that matters

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)} messages, {self.bytes} bytes waiting>"

    def put(self, message: M, now: float, ref: Hashable = None, keep: bool = False) -> Sequence[M]:  # noqa: ARG002
        policy = self.policy
        size = self.bytes + len(message)
        # A single message larger than the bound still passes an empty mailbox: it can be written at once.
        if self._waiting and (len(self._waiting) >= policy.messages or size > policy.size):
            raise Overflow(f"{len(self._waiting)} messages, {self.bytes} bytes wait")
        if policy.after is not None:
            if self._since and now - self._since[0] > policy.after:
                raise Overflow(f"the oldest of {len(self._waiting)} messages waits for {now - self._since[0]:.3g} s")
            self._since.append(now)
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
        if self._since:
            for _ in taken:
                self._since.popleft()
        return taken
