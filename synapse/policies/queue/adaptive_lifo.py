"""First in, first out while it goes well; last in, first out while it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.fields import Bound, Seconds
from synapse.policies.queue.line import AtBound, Line


class AdaptiveLifo(Policy, frozen=True, tag="adaptive-lifo"):
    """Serve who came first; but once the queue has not been empty for `interval`, who came last.

    Fair in normal times, and in overload it answers those who still wait for an answer. With a `target` it also
    evicts, while overloaded, whoever has waited longer than that when his turn comes (Facebook's controlled delay:
    ``interval = 0.1, target = 0.005`` there, for calls of a few milliseconds). It hurts the unlucky: those who waited
    when the overload began are served last. Cost: O(1), amortised where it evicts.
    Source: Maurer, Fail at scale, ACM Queue 13(8), 2015.

    Parameters
    ----------
    bound
        How many may wait, at least 0.
    interval
        How long without an empty moment is overload, in s.
    target
        The longest wait in overload, in s. None to let all wait.
    at_bound
        Who goes when one more comes: the newcomer, or who has waited longest.
    """

    bound: Annotated[Bound, Meta(description="How many may wait.")] = 1000
    interval: Annotated[Seconds, Meta(description="How long without an empty moment is overload.")] = 0.1
    target: Annotated[Seconds, Meta(description="The longest wait in overload.")] | None = None
    at_bound: AtBound = "evict-oldest"

    def start(self, now: float) -> AdaptiveLifoQueue:
        """The empty queue."""
        return AdaptiveLifoQueue(self, now)


class AdaptiveLifoQueue(Line):
    """Served from the front or the back, as `overloaded` says."""

    __slots__ = ("_busy_since",)

    policy: AdaptiveLifo

    def __init__(self, policy: AdaptiveLifo, now: float) -> None:
        super().__init__(policy)
        self._busy_since = now

    def overloaded(self, now: float) -> bool:
        """Whether it has not been empty for longer than the interval."""
        return bool(self._line) and now - self._busy_since > self.policy.interval

    def offer(self, item: Any, now: float) -> Sequence[Any]:
        if not self._line:
            self._busy_since = now
        return super().offer(item, now)

    def take(self, now: float) -> tuple[Any, Sequence[Any]]:
        overloaded, target = self.overloaded(now), self.policy.target
        evicted: list[Any] = []
        while self._line:
            item, since = self._pop(last=overloaded)
            if not overloaded or target is None or now - since <= target:
                return item, evicted
            evicted.append(item)
        return None, evicted
