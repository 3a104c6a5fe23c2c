"""The generic cell rate algorithm: a schedule of when the next one may come."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy, Running
from synapse.policies.fields import Count, Per, Rate
from synapse.policies.rate.limit import SLACK, rejected, settled
from synapse.policies.verdict import ADMITTED, Verdict


class GCRA(Policy, frozen=True, tag="gcra"):
    """Admit who does not run ahead of schedule by more than a burst.

    Each admission books the next `1 / rate` seconds of a schedule; who comes while it is booked further ahead than
    a burst allows, is refused. The same decisions as `TokenBucket`, told as times instead of tokens, and it hurts where
    that hurts. Cost: O(1), two numbers a key.
    Source: ITU-T I.371 (virtual scheduling, with T = 1 / rate and tau = (burst - 1) / rate).

    Parameters
    ----------
    rate
        Admissions in the long run, per s.
    burst
        Admissions at once after a rest. An ask that costs more is never admitted.
    per
        Whom it limits: each connection, agent or API key by itself, or all together.
    """

    rate: Annotated[Rate, Meta(description="Admissions in the long run, per second.")]
    burst: Annotated[Count, Meta(description="Admissions at once after a rest.")]
    per: Per = "agent"

    def start(self, now: float, before: object = None) -> GCRAState:
        """An empty schedule, or the one `before` as far as it is still ahead."""
        state = GCRAState(self, now)
        if isinstance(before, GCRAState):
            state.book(before.ahead(now) * before.policy.rate / self.rate, max(now, before.at))
        return state


class GCRAState(Running):
    """How far the schedule ran ahead at the last admission.

    The theoretical arrival time is `at + ahead`. It is kept as the difference because an absolute time, to which
    an interval is added a million times, drifts by a million roundings of a large number.
    """

    __slots__ = ("_ahead", "_interval", "_most", "_slack", "at", "policy")

    kind = "gcra"

    def __init__(self, policy: GCRA, now: float) -> None:
        self.policy = policy
        self._interval = 1.0 / policy.rate
        self._slack = SLACK * self._interval
        self._most = policy.burst * self._interval
        self._ahead = 0.0
        self.at = now

    def ahead(self, now: float) -> float:
        """How far the schedule is booked, in s from `now`."""
        elapsed = now - self.at
        ahead = self._ahead - elapsed if elapsed > 0.0 else self._ahead
        return max(0.0, ahead)

    def book(self, ahead: float, at: float) -> None:
        """Set how far the schedule is booked, at most a burst."""
        self._ahead, self.at = min(ahead, self._most), at

    def admit(self, now: float, cost: int = 1) -> Verdict:
        ahead = self._ahead
        elapsed = now - self.at
        if elapsed > 0.0:  # as in `ahead` and `spend`, without the calls
            ahead -= elapsed
            if ahead < 0.0:
                ahead = 0.0
        ahead += cost * self._interval
        if ahead <= self._most + self._slack:
            self._ahead = ahead
            if elapsed > 0.0:
                self.at = now
            return ADMITTED
        return rejected(self._until(now, ahead, cost), self.kind)

    def wait(self, now: float, cost: int = 1) -> float:
        ahead = self.ahead(now) + cost * self._interval
        return 0.0 if ahead <= self._most + self._slack else self._until(now, ahead, cost)

    def spend(self, now: float, cost: int = 1) -> None:
        self._ahead = self.ahead(now) + cost * self._interval
        self.at = max(now, self.at)

    def _until(self, now: float, ahead: float, cost: int) -> float:
        """How long until a schedule that would run `ahead` with `cost` runs ahead by no more than a burst."""
        if cost > self.policy.burst:
            return math.inf
        wait = ahead - self._most
        if now < self.at:
            wait += self.at - now
        booked, most = cost * self._interval, self._most + self._slack
        if self.ahead(now + wait) + booked <= most:
            return wait
        return settled(now, wait, lambda at: self.ahead(at) + booked <= most)

    def idle(self, now: float) -> bool:
        return self.ahead(now) <= 0.0
