"""So many in a window, estimated from two counts."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy, Running
from synapse.policies.fields import Count, Per, Seconds
from synapse.policies.rate.limit import SLACK, rejected, settled
from synapse.policies.verdict import ADMITTED, Verdict


class SlidingCounter(Policy, frozen=True, tag="sliding-counter"):
    """Admit while the estimate of the last `window` seconds stays within `limit`.

    The estimate takes this window's count and the part of the last one's that a sliding window still covers, as if
    its admissions had been spread evenly. Nearly the decisions of `SlidingLog` in the memory of `FixedWindow`. It hurts
    where exactness matters: never more than `limit` in an aligned window, but more may pass in one that slides (all
    at the end of one window, then as much as the fading estimate lets in: below twice the limit). Cost: O(1), three
    numbers a key. Source: Cloudflare, How we built rate limiting capable of scaling to millions of domains (2017).

    Parameters
    ----------
    limit
        Admissions a window. An ask that costs more is never admitted.
    window
        The window's length, in s.
    per
        Whom it limits: each connection, agent or API key by itself, or all together.
    """

    limit: Annotated[Count, Meta(description="Admissions a window.")]
    window: Annotated[Seconds, Meta(description="The window's length.")]
    per: Per = "agent"

    def start(self, now: float, before: object = None) -> SlidingCounterState:
        """Two empty counts; those of the one `before`, if that was of the same length."""
        state = SlidingCounterState(self, now)
        if isinstance(before, SlidingCounterState) and before.policy.window == self.window:
            state.index, state.used, state.used_before = before.index, before.used, before.used_before
        return state


class SlidingCounterState(Running):
    """Which window it is, how much of it is used, and how much was of the one before."""

    __slots__ = ("_limit", "_most", "_window", "index", "policy", "used", "used_before")

    kind = "sliding-counter"

    def __init__(self, policy: SlidingCounter, now: float) -> None:
        self.policy = policy
        self._limit = policy.limit
        self._most = policy.limit + SLACK
        self._window = policy.window
        self.index = math.floor(now / policy.window)
        self.used = 0
        self.used_before = 0

    def estimate(self, now: float) -> float:
        """How many were admitted in the last window, about."""
        place = now / self._window
        index = self.index
        if place < index + 1:
            return self.used_before * (1.0 - max(0.0, place - index)) + self.used
        return self.used * (2.0 - (place - index)) if place < index + 2 else 0.0

    def admit(self, now: float, cost: int = 1) -> Verdict:
        place = now / self._window
        if place >= self.index + 1:
            self._turn(place)
        faded = place - self.index
        if faded < 0.0:
            faded = 0.0
        if self.used_before * (1.0 - faded) + self.used + cost <= self._most:
            self.used += cost
            return ADMITTED
        return rejected(self._until(now, cost), self.kind)

    def wait(self, now: float, cost: int = 1) -> float:
        return 0.0 if self.estimate(now) + cost <= self._most else self._until(now, cost)

    def _until(self, now: float, cost: int) -> float:
        """How long until the estimate has faded far enough."""
        if cost > self._limit:
            return math.inf
        room = self._limit - cost
        place = 2.0 - room / self.used if self.used else 0.0  # when this window has faded enough, in the next one
        if self.used <= room:  # it is the last one that must fade
            place = 1.0 - (room - self.used) / self.used_before
        wait = max(0.0, (self.index + place) * self._window - now)
        if self.estimate(now + wait) + cost <= self._most:
            return wait
        return settled(now, wait, lambda at: self.estimate(at) + cost <= self._most)

    def spend(self, now: float, cost: int = 1) -> None:
        place = now / self._window
        if place >= self.index + 1:
            self._turn(place)
        self.used += cost

    def idle(self, now: float) -> bool:
        return self.estimate(now) <= 0.0

    def _turn(self, place: float) -> None:
        index = math.floor(place)
        self.used_before = self.used if index == self.index + 1 else 0
        self.used = 0
        self.index = index
