"""What waits, what every admission queue can be asked, and the lines: from the front, from the back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

AtBound: TypeAlias = Literal["refuse-newcomer", "evict-oldest"]


class Waiting(Protocol):
    """What queues look at in an item. Each looks only at what it needs, which must not change while it waits."""

    @property
    def priority(self) -> int:
        """0 is served first, 9 last."""

    @property
    def deadline(self) -> float | None:
        """By when it must have ended, s on the clock of `now`. None if it can wait for ever."""

    @property
    def agent(self) -> Hashable:
        """Who asks."""

    @property
    def key(self) -> Hashable:
        """With which API key."""


T = TypeVar("T", bound=Waiting)


class Queue(Protocol[T]):
    """The running state of an admission queue. Iterating it gives who waits, in order of arrival."""

    def offer(self, item: T, now: float) -> Sequence[T]:
        """Let an item wait. Returns the evicted; that is `item` itself when it was turned away."""

    def take(self, now: float) -> tuple[T | None, Sequence[T]]:
        """The next item to serve (None when empty) and the items evicted on the way to it."""

    def remove(self, item: T) -> bool:
        """Take one waiting item out. False if it does not wait here."""

    def observe(self, service: float) -> None:
        """Be told how long a served item took, in s."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[T]: ...


class Line:
    """Who waits, in order of arrival, with the time of it. Each ask costs O(1), at either end and in the middle."""

    __slots__ = ("_line", "policy")

    learns = False  # it need not be told how queries end

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self._line: OrderedDict[int, tuple[Any, float]] = OrderedDict()  # id(item) -> item, since when

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[Any]:
        return (item for item, _ in self._line.values())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)}/{self.policy.bound} waiting>"

    def offer(self, item: Any, now: float) -> Sequence[Any]:
        line, policy = self._line, self.policy
        evicted: Sequence[Any] = ()
        if len(line) >= policy.bound:
            if policy.at_bound == "refuse-newcomer" or not line:
                return (item,)
            evicted = (self._pop(last=False)[0],)
        line[id(item)] = (item, now)
        return evicted

    def remove(self, item: Any) -> bool:
        return self._line.pop(id(item), None) is not None

    def observe(self, service: float) -> None:
        """It does not matter here."""

    def _pop(self, last: bool) -> tuple[Any, float]:
        """The youngest or the oldest, and since when it has waited."""
        return self._line.popitem(last)[1]


class FifoQueue(Line):
    """Served from the front."""

    __slots__ = ()

    def take(self, now: float) -> tuple[Any, Sequence[Any]]:  # noqa: ARG002
        return (self._line.popitem(False)[1][0] if self._line else None), ()


class LifoQueue(Line):
    """Served from the back."""

    __slots__ = ()

    def take(self, now: float) -> tuple[Any, Sequence[Any]]:  # noqa: ARG002
        return (self._line.popitem()[1][0] if self._line else None), ()


def move(old: Queue[T], new: Queue[T], now: float) -> list[T]:
    """Let all who wait in `old` wait in `new`, in order of arrival. Returns the evicted, oldest first."""
    evicted: list[T] = []
    for item in list(old):
        old.remove(item)
        evicted += new.offer(item, now)
    return evicted
