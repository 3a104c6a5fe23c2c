"""Admission queues: who waits for a free slot, in which order, and who is turned away at the bound.

A queue is asked with `offer(item, now)` and `take(now)`. Both return what they evicted: nothing that was
offered disappears silently. An item may be removed while it waits (an interrupt, a timeout).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import count
from typing import Annotated, Generic, Protocol, TypeVar

import msgspec
from msgspec import Meta


class Waiting(Protocol):
    """What a queue needs to know of an item."""

    @property
    def priority(self) -> int:
        """0 is served first, 9 last."""


T = TypeVar("T", bound=Waiting)


class Queue(Protocol[T]):
    """The running state of an admission queue."""

    def offer(self, item: T, now: float) -> Sequence[T]:
        """Let an item wait. Returns the evicted; that is `item` itself when it was turned away."""

    def take(self, now: float) -> tuple[T | None, Sequence[T]]:
        """The next item to serve (None when empty) and the items evicted on the way to it."""

    def remove(self, item: T) -> bool:
        """Take one waiting item out. False if it does not wait here."""

    def __len__(self) -> int: ...


class Priority(msgspec.Struct, frozen=True, tag="priority", tag_field="kind"):
    """Serve the lowest priority number first, first come first served within one number.

    At the bound a newcomer takes the place of the youngest item of the worst class, if that class is
    worse than its own; else the newcomer is turned away. It hurts when high classes alone fill the
    slots: the low ones then wait until their timeout. Cost: O(log n) an ask.

    Parameters
    ----------
    bound
        How many items may wait, at least 0.
    """

    bound: Annotated[int, Meta(ge=0)] = 1000

    def start(self, now: float) -> PriorityQueue[T]:  # noqa: ARG002
        """The empty queue."""
        return PriorityQueue(self)


class PriorityQueue(Generic[T]):
    """Two heaps over one table of who waits: best first to serve, worst first to evict."""

    __slots__ = ("_best", "_entries", "_numbers", "_worst", "policy")

    def __init__(self, policy: Priority) -> None:
        self.policy = policy
        self._numbers = count()
        self._entries: dict[int, tuple[int, T]] = {}  # id(item) -> (number, item)
        self._best: list[tuple[int, int, T]] = []
        self._worst: list[tuple[int, int, T]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def offer(self, item: T, now: float) -> Sequence[T]:  # noqa: ARG002
        evicted: Sequence[T] = ()
        if len(self._entries) >= self.policy.bound:
            worst = self._peek_worst()
            if worst is None or worst.priority <= item.priority:
                return (item,)
            self.remove(worst)
            evicted = (worst,)
        number = next(self._numbers)
        self._entries[id(item)] = (number, item)
        heapq.heappush(self._best, (item.priority, number, item))
        heapq.heappush(self._worst, (-item.priority, -number, item))
        return evicted

    def take(self, now: float) -> tuple[T | None, Sequence[T]]:  # noqa: ARG002
        while self._best:
            _, number, item = heapq.heappop(self._best)
            if self._waits(number, item):
                self.remove(item)
                return item, ()
        return None, ()

    def remove(self, item: T) -> bool:
        if self._entries.pop(id(item), None) is None:
            return False
        self._compact()
        return True

    def _waits(self, number: int, item: T) -> bool:
        entry = self._entries.get(id(item))
        return entry is not None and entry[0] == number

    def _peek_worst(self) -> T | None:
        while self._worst:
            _, number, item = self._worst[0]
            if self._waits(-number, item):
                return item
            heapq.heappop(self._worst)
        return None

    def _compact(self) -> None:
        """Drop removed items from the heaps once they outnumber the waiting ones."""
        most = 2 * len(self._entries) + 16
        if len(self._best) > most:
            self._best = [entry for entry in self._best if self._waits(entry[1], entry[2])]
            heapq.heapify(self._best)
        if len(self._worst) > most:
            self._worst = [entry for entry in self._worst if self._waits(-entry[1], entry[2])]
            heapq.heapify(self._worst)
