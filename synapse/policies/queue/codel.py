"""Controlled delay: drop from the front, ever more often, while the shortest wait is too long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.fields import Bound, Seconds
from synapse.policies.queue.line import AtBound, Line


class CoDel(Policy, frozen=True, tag="codel"):
    """Serve who came first, and keep the standing wait at `target`.

    A queue that absorbs a burst is good; one that never empties only delays. When everyone has waited longer than
    `target` for a whole `interval`, it evicts the one at the front, and then again after ``interval / sqrt(n)``, until
    the wait is short. Meant for askers who slow down when refused: those who retry at once make it evict for ever.
    It hurts when `target` is below what normal service makes people wait: set it to a tenth of the interval, and the
    interval to a usual answer's time. The last one waiting is never evicted. Cost: O(1) amortised.
    Source: RFC 8289 (its 5 ms and 100 ms are for packets); Nichols and Jacobson (2012).

    Parameters
    ----------
    bound
        How many may wait, at least 0.
    target
        The standing wait that is acceptable, in s.
    interval
        How long a wait must have been too long, in s.
    at_bound
        Who goes when one more comes: the newcomer, or who has waited longest.
    """

    bound: Annotated[Bound, Meta(description="How many may wait.")] = 1000
    target: Annotated[Seconds, Meta(description="The standing wait that is acceptable.")] = 0.005
    interval: Annotated[Seconds, Meta(description="How long a wait must have been too long.")] = 0.1
    at_bound: AtBound = "refuse-newcomer"

    def start(self, now: float) -> CoDelQueue:  # noqa: ARG002
        """The empty queue."""
        return CoDelQueue(self)


class CoDelQueue(Line):
    """The pseudo-code of RFC 8289, section 5, with items for packets. The names are its names."""

    __slots__ = ("count", "drop_next", "dropping", "first_above_time", "lastcount")

    policy: CoDel

    def __init__(self, policy: CoDel) -> None:
        super().__init__(policy)
        self.dropping = False
        self.first_above_time: float | None = None
        self.drop_next = 0.0
        self.count = 0
        self.lastcount = 0

    def take(self, now: float) -> tuple[Any, Sequence[Any]]:
        evicted: list[Any] = []
        item, ok_to_drop = self._dodequeue(now)
        if self.dropping:
            if not ok_to_drop:
                self.dropping = False
            while self.dropping and now >= self.drop_next and item is not None:
                evicted.append(item)
                self.count += 1
                item, ok_to_drop = self._dodequeue(now)
                if ok_to_drop:
                    self.drop_next = self._control_law(self.drop_next)
                else:
                    self.dropping = False
        elif ok_to_drop and item is not None:
            evicted.append(item)
            item, _ = self._dodequeue(now)
            self._start_dropping(now)
        return item, evicted

    def _dodequeue(self, now: float) -> tuple[Any, bool]:
        if not self._line:
            self.first_above_time = None
            return None, False
        item, since = self._pop(last=False)
        if now - since < self.policy.target or not self._line:
            self.first_above_time = None
        elif self.first_above_time is None:
            self.first_above_time = now + self.policy.interval
        else:
            return item, now >= self.first_above_time
        return item, False

    def _start_dropping(self, now: float) -> None:
        """If the last spell of dropping was not long ago, begin about where it left off."""
        self.dropping = True
        delta = self.count - self.lastcount
        recently = now - self.drop_next < 16 * self.policy.interval
        self.count = delta if delta > 1 and recently else 1
        self.drop_next = self._control_law(now)
        self.lastcount = self.count

    def _control_law(self, at: float) -> float:
        return at + self.policy.interval / math.sqrt(self.count)
