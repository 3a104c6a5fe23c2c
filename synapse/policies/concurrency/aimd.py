"""Additive increase, multiplicative decrease."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.concurrency.limit import Adaptive, Period, carried, check_range
from synapse.policies.fields import Count, Seconds


class AIMD(Policy, frozen=True, tag="aimd"):
    """One more while all goes well, a tenth less at each loss: TCP's rule.

    A loss is a query that timed out, or ran for longer than `timeout`. For work whose only sign of overload is
    that it fails. It hurts that it must cause losses to find its limit, again and again (a sawtooth). It grows only
    while at least half the limit is in use. Cost: O(1).
    Source: Netflix concurrency-limits, AIMDLimit; Chiu and Jain (1989).

    Parameters
    ----------
    initial, least, most
        Queries at once: at the start, and the range.
    backoff
        What a loss leaves of the limit.
    timeout
        A run longer than this counts as a loss, in s.
    period
        How far apart steps are at least, in s; 0 for a step at each ending.
    """

    initial: Annotated[Count, Meta(description="Queries at once, at the start.")] = 20
    least: Annotated[Count, Meta(description="The lowest limit.")] = 20
    most: Annotated[Count, Meta(description="The highest limit.")] = 200
    backoff: Annotated[float, Meta(ge=0.5, lt=1, description="What a loss leaves of the limit.")] = 0.9
    timeout: Annotated[Seconds, Meta(description="A run longer than this is a loss.")] = 5.0
    period: Period = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.initial, self.least, self.most)

    def start(self, now: float, before: object = None, running: int = 0) -> AIMDState:  # noqa: ARG002
        """The initial limit, or that of the state `before`; `running` are running already."""
        return AIMDState(self, carried(before, AIMDState, self.initial, self.least, self.most), running)


class AIMDState(Adaptive):
    """The limit is a whole number."""

    __slots__ = ()

    policy: AIMD

    def learn(self, rtt: float, inflight: int, dropped: bool) -> None:
        policy, limit = self.policy, self.limit
        if dropped or rtt > policy.timeout:
            limit = int(limit * policy.backoff)
        elif inflight * 2 >= limit:
            limit += 1
        self.estimate = float(min(policy.most, max(policy.least, limit)))
