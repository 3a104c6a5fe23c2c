"""The most urgent class first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Annotated, Generic

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.fields import Bound
from synapse.policies.queue.line import T


class Priority(Policy, frozen=True, tag="priority"):
    """Serve the lowest priority number first, first come first served within one number.

    At the bound a newcomer takes the place of the youngest item of the worst class, if that class is
    worse than its own; else the newcomer is turned away. It hurts when high classes alone fill the
    slots: the low ones then wait until their timeout. Cost: O(classes that wait), of which there are ten.
    Source: Cobham, Priority assignment in waiting line problems (1954).

    Parameters
    ----------
    bound
        How many items may wait, at least 0.
    """

    bound: Annotated[Bound, Meta(description="How many may wait.")] = 1000

    def start(self, now: float) -> PriorityQueue[T]:  # noqa: ARG002
        """The empty queue."""
        return PriorityQueue(self)


class PriorityQueue(Generic[T]):
    """A line for each class that waits."""

    __slots__ = ("_lines", "_number", "_size", "policy")

    learns = False  # it need not be told how queries end

    def __init__(self, policy: Priority) -> None:
        self.policy = policy
        self._lines: dict[int, OrderedDict[int, tuple[int, T]]] = {}  # class -> id(item) -> number, item
        self._number = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[T]:
        entries = [entry for line in self._lines.values() for entry in line.values()]
        return (item for _, item in sorted(entries, key=lambda entry: entry[0]))

    def __repr__(self) -> str:
        return f"<PriorityQueue {len(self)}/{self.policy.bound} waiting>"

    def offer(self, item: T, now: float) -> Sequence[T]:  # noqa: ARG002
        evicted: Sequence[T] = ()
        if self._size >= self.policy.bound:
            worst = max(self._lines, default=item.priority)
            if worst <= item.priority:
                return (item,)
            evicted = (self._pop(worst, last=True),)
        line = self._lines.get(item.priority)
        if line is None:
            line = self._lines[item.priority] = OrderedDict()
        self._number += 1
        line[id(item)] = (self._number, item)
        self._size += 1
        return evicted

    def take(self, now: float) -> tuple[T | None, Sequence[T]]:  # noqa: ARG002
        return (self._pop(min(self._lines), last=False) if self._lines else None), ()

    def remove(self, item: T) -> bool:
        line = self._lines.get(item.priority)
        if line is None or line.pop(id(item), None) is None:
            return False
        self._left(item.priority, line)
        return True

    def observe(self, service: float) -> None:
        """It does not matter here."""

    def _pop(self, priority: int, last: bool) -> T:
        line = self._lines[priority]
        _, (_, item) = line.popitem(last)
        self._left(priority, line)
        return item

    def _left(self, priority: int, line: OrderedDict[int, tuple[int, T]]) -> None:
        self._size -= 1
        if not line:
            del self._lines[priority]
