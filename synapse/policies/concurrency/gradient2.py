"""A limit that follows how the time now compares with the time of late."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.concurrency.limit import Adaptive, Period, carried, check_range
from synapse.policies.fields import Bound, Count

WARM_UP = 10  # steps whose plain mean begins the long one


class Gradient2(Policy, frozen=True, tag="gradient2"):
    """Shrink as far as queries take longer than they did over the last `window`, and always allow a small queue.

    The new limit is ``limit * clamp(tolerance * long / rtt, 0.5, 1) + queue``, smoothed. It tolerates uneven lengths
    better than `Vegas`, as it compares with a mean and not with the shortest. It hurts under lasting overload: slow
    becomes normal, and the limit rises again. Cost: O(1). Source: Netflix concurrency-limits, Gradient2Limit.

    Parameters
    ----------
    initial, least, most
        Queries at once: at the start, and the range.
    period
        How far apart steps are at least, in s; 0 for a step at each ending.
    queue
        Queries that may wait behind at any time: how fast the limit grows.
    tolerance
        How many times longer than of late is still no sign of load.
    smoothing
        How much of a new estimate is taken at once.
    window
        Steps that the long mean goes back.
    """

    initial: Annotated[Count, Meta(description="Queries at once, at the start.")] = 20
    least: Annotated[Count, Meta(description="The lowest limit.")] = 20
    most: Annotated[Count, Meta(description="The highest limit.")] = 200
    period: Period = 1.0
    queue: Annotated[Bound, Meta(description="Queries that may wait behind.")] = 4
    tolerance: Annotated[float, Meta(ge=1, le=100, description="How many times longer is still no load.")] = 1.5
    smoothing: Annotated[float, Meta(gt=0, le=1, description="How much of a new estimate is taken at once.")] = 0.2
    window: Annotated[Count, Meta(description="Steps that the long mean goes back.")] = 600

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.initial, self.least, self.most)

    def start(self, now: float, before: object = None, running: int = 0) -> Gradient2State:  # noqa: ARG002
        """The initial limit, or what the state `before` has learnt; `running` are running already."""
        limit = carried(before, Gradient2State, self.initial, self.least, self.most)
        state = Gradient2State(self, limit, running)
        if isinstance(before, Gradient2State):
            state.long, state.steps = before.long, before.steps
        return state


class Gradient2State(Adaptive):
    """The limit and the long mean."""

    __slots__ = ("long", "steps")

    policy: Gradient2

    def __init__(self, policy: Gradient2, estimate: float, inflight: int) -> None:
        super().__init__(policy, estimate, inflight)
        self.long = 0.0  # s
        self.steps = 0

    def learn(self, rtt: float, inflight: int, dropped: bool) -> None:  # noqa: ARG002
        policy, limit = self.policy, self.estimate
        self.steps = min(self.steps + 1, WARM_UP + 1)
        weight = 1.0 / self.steps if self.steps <= WARM_UP else 2.0 / (policy.window + 1)
        long = self.long + (rtt - self.long) * weight
        self.long = long * 0.95 if long > 2.0 * rtt else long  # the load has gone: do not wait for the mean
        if inflight * 2 < limit:
            return  # it is not the limit that keeps the number down
        gradient = max(0.5, min(1.0, policy.tolerance * long / rtt))
        aim = (1.0 - policy.smoothing) * limit + policy.smoothing * (limit * gradient + policy.queue)
        self.estimate = max(float(policy.least), min(float(policy.most), aim))
