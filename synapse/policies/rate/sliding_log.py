"""So many in any window, by remembering each."""

from __future__ import annotations

import math
from collections import deque
from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy, Running
from synapse.policies.fields import Per, Seconds
from synapse.policies.rate.limit import rejected, settled
from synapse.policies.verdict import ADMITTED, Verdict


class SlidingLog(Policy, frozen=True, tag="sliding-log"):
    """Admit while fewer than `limit` were admitted in the last `window` seconds.

    The strictest promise: never more than `limit` in any window, wherever it begins. Under Poisson arrivals an
    M/D/limit/limit loss system (Erlang B). It hurts in memory, and it admits less than a token bucket of the same
    rate. Cost: O(1) amortised, `limit` numbers a key.
    Source: its definition; for the loss, Erlang (1917).

    Parameters
    ----------
    limit
        Admissions in any window, at most 100,000 (each is remembered). An ask that costs more is never admitted.
    window
        The window's length, in s.
    per
        Whom it limits: each connection, agent or API key by itself, or all together.
    """

    limit: Annotated[int, Meta(ge=1, le=100_000, description="Admissions in any window.")]
    window: Annotated[Seconds, Meta(description="The window's length.")]
    per: Per = "agent"

    def start(self, now: float, before: object = None) -> SlidingLogState:  # noqa: ARG002
        """An empty log, or the one `before`."""
        state = SlidingLogState(self)
        if isinstance(before, SlidingLogState):
            state.log = before.log
        return state


class SlidingLogState(Running):
    """The times of the admissions, oldest first. Comparing two readings of the clock needs no slack."""

    __slots__ = ("_limit", "_window", "log", "policy")

    kind = "sliding-log"

    def __init__(self, policy: SlidingLog) -> None:
        self.policy = policy
        self._limit = policy.limit
        self._window = policy.window
        self.log: deque[float] = deque()

    def admit(self, now: float, cost: int = 1) -> Verdict:
        log = self.log
        while log and now >= log[0] + self._window:
            log.popleft()
        too_many = len(log) + cost - self._limit
        if too_many > 0:
            return rejected(self._until(now, too_many) if cost <= self._limit else math.inf, self.kind)
        if log and log[-1] > now:
            now = log[-1]
        if cost == 1:
            log.append(now)
        else:
            log.extend([now] * cost)
        return ADMITTED

    def wait(self, now: float, cost: int = 1) -> float:
        if cost > self._limit:
            return math.inf
        too_many = len(self.log) + cost - self._limit
        return self._until(now, too_many) if too_many > 0 else 0.0

    def spend(self, now: float, cost: int = 1) -> None:
        while self.log and now >= self.log[0] + self._window:
            self.log.popleft()
        self.log.extend([max(now, self.log[-1]) if self.log else now] * cost)

    def _until(self, now: float, too_many: int) -> float:
        """How long until so many have left the window."""
        leaves = self.log[too_many - 1] + self._window
        if now >= leaves:
            return 0.0
        wait = leaves - now
        return wait if now + wait >= leaves else settled(now, wait, lambda at: at >= leaves)

    def idle(self, now: float) -> bool:
        return not self.log or now >= self.log[-1] + self._window
