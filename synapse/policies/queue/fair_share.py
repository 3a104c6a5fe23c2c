"""Deficit round robin: everyone gets his turn, however much he asks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from operator import attrgetter
from typing import Annotated, Generic, Literal

from msgspec import Meta, field

from synapse.policies.base import Policy
from synapse.policies.fields import Bound
from synapse.policies.queue.line import T

Weight = Annotated[float, Meta(ge=0.1, le=1000)]


class FairShare(Policy, frozen=True, tag="fair-share"):
    """Serve agents (or keys) in turn, each in order of arrival.

    One who asks a hundred times as much waits behind his own queries only; the others' waits hardly change. Each
    gets its max-min fair share of slots, times its weight. At the bound the youngest of the longest line goes: a
    newcomer never displaces one of a shorter line than his own. It hurts who is many: ten agents get ten shares,
    so limit agents a key, or share per key. Cost: O(1) amortised, times 1 / weight where that is below 1.
    Source: Shreedhar and Varghese, Efficient fair queuing using deficit round robin (1996); RFC 8290.

    Parameters
    ----------
    bound
        How many may wait, together; at least 0.
    per
        Whose turn it is: an agent's, or an API key's.
    weights
        Turns a round, by name; 1 for those who are not named. Below 1 is a turn each few rounds.
    """

    bound: Annotated[Bound, Meta(description="How many may wait, together.")] = 1000
    per: Literal["agent", "key"] = "agent"
    weights: Annotated[dict[str, Weight], Meta(description="Turns a round, by name.")] = field(default_factory=dict)

    def start(self, now: float) -> FairShareQueue[T]:  # noqa: ARG002
        """The empty queue."""
        return FairShareQueue(self)


class Flow(Generic[T]):
    """One agent's line, and how many turns it has left this round."""

    __slots__ = ("deficit", "line", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.deficit = weight
        self.line: OrderedDict[int, tuple[int, T]] = OrderedDict()  # id(item) -> number, item


class FairShareQueue(Generic[T]):
    """The lines in the order of their turns, and by length, so that the longest is known."""

    __slots__ = ("_by_length", "_flows", "_key_of", "_longest", "_number", "_size", "policy")

    learns = False  # it need not be told how queries end

    def __init__(self, policy: FairShare) -> None:
        self.policy = policy
        self._key_of = attrgetter(policy.per)
        self._flows: OrderedDict[Hashable, Flow[T]] = OrderedDict()
        self._by_length: list[OrderedDict[Hashable, None]] = [OrderedDict()]  # length -> keys; nobody at 0
        self._longest = 0
        self._size = 0
        self._number = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[T]:
        entries = [entry for flow in self._flows.values() for entry in flow.line.values()]
        return (item for _, item in sorted(entries, key=lambda entry: entry[0]))

    def __repr__(self) -> str:
        return f"<FairShareQueue {len(self)}/{self.policy.bound} waiting in {len(self._flows)} lines>"

    def offer(self, item: T, now: float) -> Sequence[T]:  # noqa: ARG002
        key = self._key_of(item)
        flow = self._flows.get(key)
        evicted: Sequence[T] = ()
        if self._size >= self.policy.bound:
            if (len(flow.line) if flow else 0) >= self._longest:
                return (item,)
            evicted = (self._evict_youngest(next(iter(self._by_length[self._longest]))),)
        if flow is None:
            flow = self._flows[key] = Flow(self.policy.weights.get(str(key), 1.0))
        self._number += 1
        flow.line[id(item)] = (self._number, item)
        self._size += 1
        self._resized(key, len(flow.line) - 1, len(flow.line))
        return evicted

    def take(self, now: float) -> tuple[T | None, Sequence[T]]:  # noqa: ARG002
        while self._flows:
            key = next(iter(self._flows))
            flow = self._flows[key]
            if flow.deficit < 1.0:
                flow.deficit += flow.weight
                self._flows.move_to_end(key)
                continue
            flow.deficit -= 1.0
            _, (_, item) = flow.line.popitem(last=False)
            self._shrunk(key, flow)
            return item, ()
        return None, ()

    def remove(self, item: T) -> bool:
        key = self._key_of(item)
        flow = self._flows.get(key)
        if flow is None or flow.line.pop(id(item), None) is None:
            return False
        self._shrunk(key, flow)
        return True

    def observe(self, service: float) -> None:
        """It does not matter here."""

    def _evict_youngest(self, key: Hashable) -> T:
        flow = self._flows[key]
        _, (_, item) = flow.line.popitem(last=True)
        self._shrunk(key, flow)
        return item

    def _shrunk(self, key: Hashable, flow: Flow[T]) -> None:
        self._size -= 1
        length = len(flow.line)
        if not length:
            del self._flows[key]
        self._resized(key, length + 1, length)

    def _resized(self, key: Hashable, old: int, new: int) -> None:
        by_length = self._by_length
        if old:
            del by_length[old][key]
        if new:
            if new == len(by_length):
                by_length.append(OrderedDict())
            by_length[new][key] = None
        if new > self._longest:
            self._longest = new
        elif old == self._longest and not by_length[old]:
            self._longest = new
            by_length.pop()
