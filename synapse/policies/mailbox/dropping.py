"""Keep the newest, or the oldest, or the latest of each stream."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Annotated, Generic

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.fields import Bytes, Count
from synapse.policies.mailbox.box import M, Overflow


class DropOldest(Policy, frozen=True, tag="drop-oldest"):
    """At the bound, drop the message that has waited longest.

    For views of the present: what a slow reader gets is as fresh as it can be. It hurts who needs each message, and
    streams have holes. Under Poisson messages and exponential reading the loss is that of M/M/1/K.
    Cost: O(1) amortised.
    Source: "drop front on full", RFC 7567, section 2.

    Parameters
    ----------
    messages, size
        The bounds: messages, and bytes. One message larger than `size` passes alone.
    """

    messages: Annotated[Count, Meta(description="How many messages may wait.")] = 1000
    size: Annotated[Bytes, Meta(description="How many bytes may wait.")] = 4 * 2**20

    def start(self, now: float) -> DropOldestMailbox[M]:  # noqa: ARG002
        """The empty mailbox."""
        return DropOldestMailbox(self)


class DropNewest(Policy, frozen=True, tag="drop-newest"):
    """At the bound, drop the message that comes.

    What a slow reader gets has no holes up to where it breaks off. It hurts by staleness: all that it reads has
    waited for as long as the mailbox is deep. The same loss as `DropOldest`. Cost: O(1) amortised.
    Source: "tail drop", RFC 7567, section 2.

    Parameters
    ----------
    messages, size
        The bounds: messages, and bytes. One message larger than `size` passes alone.
    """

    messages: Annotated[Count, Meta(description="How many messages may wait.")] = 1000
    size: Annotated[Bytes, Meta(description="How many bytes may wait.")] = 4 * 2**20

    def start(self, now: float) -> DropNewestMailbox[M]:  # noqa: ARG002
        """The empty mailbox."""
        return DropNewestMailbox(self)


class Coalesce(Policy, frozen=True, tag="coalesce"):
    """Keep one message of each stream: a newer one takes the place of the one that waits.

    For progress and states, where the latest says it all: a reader is never further behind than one message a
    stream. It hurts streams whose messages add up, as tokens do. At the bound the oldest goes. Cost: O(1) amortised.
    Source: ReactiveX' onBackpressureLatest, for each stream by itself.

    Parameters
    ----------
    messages, size
        The bounds: messages, and bytes. One message larger than `size` passes alone.
    """

    messages: Annotated[Count, Meta(description="How many messages may wait.")] = 1000
    size: Annotated[Bytes, Meta(description="How many bytes may wait.")] = 4 * 2**20

    def start(self, now: float) -> CoalesceMailbox[M]:  # noqa: ARG002
        """The empty mailbox."""
        return CoalesceMailbox(self)


class DroppingMailbox(Generic[M]):
    """All that waits, in order, and beside it the numbers of those that may be dropped."""

    __slots__ = ("_droppable", "_number", "_waiting", "bytes", "policy")

    waits = False

    def __init__(self, policy: DropOldest | DropNewest | Coalesce) -> None:
        self.policy = policy
        self.bytes = 0
        self._number = 0
        self._waiting: OrderedDict[int, M] = OrderedDict()
        self._droppable: OrderedDict[int, Hashable] = OrderedDict()  # number -> its stream

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)} messages, {self.bytes} bytes waiting>"

    def drain(self, most_bytes: int) -> list[M]:
        taken: list[M] = []
        waiting, room = self._waiting, most_bytes
        while waiting:
            number = next(iter(waiting))
            if taken and len(waiting[number]) > room:
                break
            taken.append(self._pop(number))
            room -= len(taken[-1])
        return taken

    def _full(self, size: int) -> bool:
        """Whether a message of `size` bytes is one too many. Any passes an empty mailbox."""
        policy, waiting = self.policy, self._waiting
        return bool(waiting) and (len(waiting) >= policy.messages or self.bytes + size > policy.size)

    def _make_room(self, size: int, youngest_first: bool = False) -> list[M] | None:
        """Drop what it takes to let `size` bytes in. None, and nothing dropped, if that cannot be done."""
        policy, messages, total = self.policy, len(self._waiting), self.bytes
        numbers = []
        for number in reversed(self._droppable) if youngest_first else self._droppable:
            if messages < policy.messages and total + size <= policy.size:
                break
            numbers.append(number)
            messages, total = messages - 1, total - len(self._waiting[number])
        if messages and (messages >= policy.messages or total + size > policy.size):
            return None
        return [self._pop(number) for number in numbers]

    def _refused(self, message: M, keep: bool) -> Sequence[M]:
        """There is no room for a message, whatever is dropped."""
        if keep:
            raise Overflow(f"{len(self._waiting)} messages, {self.bytes} bytes wait, and must not be dropped")
        return (message,)

    def _append(self, message: M, ref: Hashable, keep: bool) -> int:
        self._number += 1
        self._waiting[self._number] = message
        if not keep:
            self._droppable[self._number] = ref
        self.bytes += len(message)
        return self._number

    def _pop(self, number: int) -> M:
        message = self._waiting.pop(number)
        self._droppable.pop(number, None)
        self.bytes -= len(message)
        return message


class DropOldestMailbox(DroppingMailbox[M]):
    """Room is made at the front."""

    __slots__ = ()

    def put(self, message: M, now: float, ref: Hashable = None, keep: bool = False) -> Sequence[M]:  # noqa: ARG002
        dropped = self._make_room(len(message)) if self._full(len(message)) else []
        if dropped is None:
            return self._refused(message, keep)
        self._append(message, ref, keep)
        return dropped


class DropNewestMailbox(DroppingMailbox[M]):
    """Room is made at the back, and only for a message that must be kept."""

    __slots__ = ()

    def put(self, message: M, now: float, ref: Hashable = None, keep: bool = False) -> Sequence[M]:  # noqa: ARG002
        dropped: list[M] | None = []
        if self._full(len(message)):
            dropped = self._make_room(len(message), youngest_first=True) if keep else None
        if dropped is None:
            return self._refused(message, keep)
        self._append(message, ref, keep)
        return dropped


class CoalesceMailbox(DropOldestMailbox[M]):
    """A newer message stands where the older one of its stream stood, or at the end if it has grown too large."""

    __slots__ = ("_latest",)

    def __init__(self, policy: Coalesce) -> None:
        super().__init__(policy)
        self._latest: dict[Hashable, int] = {}  # stream -> number of its message

    def put(self, message: M, now: float, ref: Hashable = None, keep: bool = False) -> Sequence[M]:
        if ref is None or keep:
            return super().put(message, now, None, keep)
        place = self._latest.get(ref)
        if place is None:
            return super().put(message, now, ref)
        old = self._waiting[place]
        size = self.bytes + len(message) - len(old)
        if size <= self.policy.size or len(self._waiting) == 1:
            self._waiting[place] = message
            self.bytes = size
            return (old,)
        self._pop(place)
        return (old, *super().put(message, now, ref))

    def _append(self, message: M, ref: Hashable, keep: bool) -> int:
        number = super()._append(message, ref, keep)
        if ref is not None:
            self._latest[ref] = number
        return number

    def _pop(self, number: int) -> M:
        ref = self._droppable.get(number)
        if ref is not None:
            del self._latest[ref]
        return super()._pop(number)
