"""Earliest deadline first, without those who can no longer be answered in time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Annotated, Generic

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.fields import Bound, Delay
from synapse.policies.queue.heap import Entries, Heap
from synapse.policies.queue.line import T

RECENT = 20  # served items over which the mean of service times goes back


class Deadline(Policy, frozen=True, tag="deadline"):
    """Serve who must be answered soonest; evict who cannot be any more, before work is wasted on him.

    An item is hopeless when its deadline comes before `service` from now. In overload this keeps goodput near
    capacity where a `Fifo` lets it fall to nothing. With equal patience it is first come, first served: the exact
    M/M/c with deterministic patience. It hurts who is patient: the impatient overtake him. Items without a deadline
    come last. A newcomer who is hopeless is turned away; at the bound the hopeless go first, else the newcomer.
    Cost: O(log n).
    Source: Liu and Layland (1973); Baccelli and Hebuterne (1981).

    Parameters
    ----------
    bound
        How many may wait, at least 0.
    service
        How long an answer takes, in s. None to learn it: the mean of about the last 20 (0 before the first).
    """

    bound: Annotated[Bound, Meta(description="How many may wait.")] = 1000
    service: Annotated[Delay, Meta(description="How long an answer takes; learnt when null.")] | None = None

    def start(self, now: float) -> DeadlineQueue[T]:  # noqa: ARG002
        """The empty queue."""
        return DeadlineQueue(self)


class DeadlineQueue(Generic[T]):
    """A heap by deadline."""

    __slots__ = ("_by_deadline", "_entries", "_numbers", "_served", "policy", "service")

    def __init__(self, policy: Deadline) -> None:
        self.policy = policy
        self.service = policy.service or 0.0  # s
        self._served = 0
        self._numbers = count()
        self._entries: Entries[T] = {}
        self._by_deadline = Heap(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return (item for _, item in self._entries.values())

    def __repr__(self) -> str:
        return f"<DeadlineQueue {len(self)}/{self.policy.bound} waiting, {self.service:.3g} s of service>"

    def offer(self, item: T, now: float) -> Sequence[T]:
        if self._hopeless(item, now):
            return (item,)
        evicted: list[T] = []
        if len(self) >= self.policy.bound:
            while (first := self._by_deadline.first()) is not None and self._hopeless(first, now):
                self.remove(first)
                evicted.append(first)
            if len(self) >= self.policy.bound:
                return (item,)
        number = next(self._numbers)
        self._entries[id(item)] = (number, item)
        self._by_deadline.push(math.inf if item.deadline is None else item.deadline, number, item)
        return evicted

    def take(self, now: float) -> tuple[T | None, Sequence[T]]:
        evicted: list[T] = []
        while (item := self._by_deadline.first()) is not None:
            self.remove(item)
            if not self._hopeless(item, now):
                break
            evicted.append(item)
        return item, evicted

    def remove(self, item: T) -> bool:
        if self._entries.pop(id(item), None) is None:
            return False
        self._by_deadline.sweep()
        return True

    def observe(self, service: float) -> None:
        if self.policy.service is None:
            self._served = min(self._served + 1, RECENT)
            self.service += (service - self.service) / self._served

    def _hopeless(self, item: T, now: float) -> bool:
        return item.deadline is not None and now + self.service > item.deadline
