"""A limit that holds a small queue, as TCP Vegas does."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.concurrency.limit import Adaptive, Period, carried, check_range
from synapse.policies.fields import Count

GOLDEN = (math.sqrt(5) - 1) / 2


class Vegas(Policy, frozen=True, tag="vegas"):
    """Grow while the queue behind is short, shrink when it is long; the queue is told from the times.

    With the shortest time seen as the time without load, ``limit * (1 - shortest / rtt)`` of the running ones wait
    somewhere behind. That number is held between 3 and 6 times log10 of the limit; a timeout counts as too long.
    For work of even length. It hurts where lengths differ by nature: a short query makes all others look queued. The
    shortest time is measured anew each 15 to 30 steps times the limit, which under load takes a queue for normal.
    Cost: O(1). Source: Netflix concurrency-limits, VegasLimit; Brakmo and Peterson (1995).

    Parameters
    ----------
    initial, most
        Queries at once: at the start, and at most. The least is 1.
    period
        How far apart steps are at least, in s; 0 for a step at each ending.
    smoothing
        How much of a new estimate is taken at once.
    probe
        After how many steps, times the limit, the shortest time is measured anew. It is spread over half to all of
        that by a fixed sequence: the same run gives the same limits.
    """

    initial: Annotated[Count, Meta(description="Queries at once, at the start.")] = 20
    most: Annotated[Count, Meta(description="The highest limit.")] = 1000
    period: Period = 1.0
    smoothing: Annotated[float, Meta(gt=0, le=1, description="How much of a new estimate is taken at once.")] = 1.0
    probe: Annotated[Count, Meta(description="Steps, times the limit, between probes.")] = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.initial, 1, self.most)

    def start(self, now: float, before: object = None, running: int = 0) -> VegasState:  # noqa: ARG002
        """The initial limit, or what the state `before` has learnt; `running` are running already."""
        state = VegasState(self, carried(before, VegasState, self.initial, 1, self.most), running)
        if isinstance(before, VegasState):
            state.shortest = before.shortest
        return state


class VegasState(Adaptive):
    """The limit and the time without load."""

    __slots__ = ("_probes", "_steps", "shortest")

    policy: Vegas

    def __init__(self, policy: Vegas, estimate: float, inflight: int) -> None:
        super().__init__(policy, estimate, inflight)
        self.shortest = math.inf
        self._steps = 0
        self._probes = 1

    def learn(self, rtt: float, inflight: int, dropped: bool) -> None:
        self._steps += 1
        spread = 0.5 + 0.5 * (self._probes * GOLDEN % 1.0)
        if self._steps >= spread * self.policy.probe * self.estimate:
            self._steps = 0
            self._probes += 1
            self.shortest = rtt
        elif rtt < self.shortest:
            self.shortest = rtt
        else:
            self._move(rtt, inflight, dropped)

    def _move(self, rtt: float, inflight: int, dropped: bool) -> None:
        limit = self.estimate
        step = max(1, int(math.log10(limit)))
        queued = math.ceil(limit * (1.0 - self.shortest / rtt))
        if dropped:
            aim = limit - step
        elif inflight * 2 < limit:
            return  # it is not the limit that keeps the number down
        elif queued <= step:
            aim = limit + 6 * step
        elif queued < 3 * step:
            aim = limit + step
        elif queued > 6 * step:
            aim = limit - step
        else:
            return
        aim = max(1.0, min(float(self.policy.most), aim))
        self.estimate = (1.0 - self.policy.smoothing) * limit + self.policy.smoothing * aim
