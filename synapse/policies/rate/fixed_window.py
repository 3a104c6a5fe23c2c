"""So many in each window of the clock."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy, Running
from synapse.policies.fields import Count, Per, Seconds
from synapse.policies.rate.limit import rejected, settled
from synapse.policies.verdict import ADMITTED, Verdict


class FixedWindow(Policy, frozen=True, tag="fixed-window"):
    """Admit `limit` in each window; windows are aligned to the clock's zero.

    For quotas that people reckon with ("1,000 an hour"). It never admits more than `limit` in an aligned window, and
    it hurts at the edges: twice the `limit` passes in a moment around one, and all who were refused come back at
    once with the next. Cost: O(1), two numbers a key.
    Source: Redis' documentation of INCR, pattern of a rate limiter.

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

    def start(self, now: float, before: object = None) -> FixedWindowState:
        """An unused window; used as far as the one `before`, if that was of the same length."""
        state = FixedWindowState(self, now)
        if isinstance(before, FixedWindowState) and before.policy.window == self.window:
            state.carry_on(before)
        return state


class FixedWindowState(Running):
    """Which window it is, and how much of it is used."""

    __slots__ = ("_limit", "_next", "_window", "policy", "used")

    kind = "fixed-window"

    def __init__(self, policy: FixedWindow, now: float) -> None:
        self.policy = policy
        self._limit = policy.limit
        self._window = policy.window
        self._next = math.floor(now / policy.window) + 1  # the number of the next window
        self.used = 0

    def carry_on(self, before: FixedWindowState) -> None:
        """Take over what was used."""
        self._next, self.used = before._next, before.used

    def admit(self, now: float, cost: int = 1) -> Verdict:
        place = now / self._window
        if place >= self._next:
            self._next, self.used = math.floor(place) + 1, 0
        used = self.used + cost
        if used <= self._limit:
            self.used = used
            return ADMITTED
        return rejected(self._until_next(now) if cost <= self._limit else math.inf, self.kind)

    def wait(self, now: float, cost: int = 1) -> float:
        if cost > self._limit:
            return math.inf
        if self.used + cost <= self._limit or self.idle(now):
            return 0.0
        return self._until_next(now)

    def spend(self, now: float, cost: int = 1) -> None:
        if self.idle(now):
            self._next, self.used = math.floor(now / self._window) + 1, 0
        self.used += cost

    def idle(self, now: float) -> bool:
        return now / self._window >= self._next

    def _until_next(self, now: float) -> float:
        wait = max(0.0, self._next * self._window - now)
        return wait if (now + wait) / self._window >= self._next else settled(now, wait, self.idle)
