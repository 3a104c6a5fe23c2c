"""A timeout that follows how long queries take."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy, PolicyError, Running
from synapse.policies.fields import Count, Seconds, Share
from synapse.policies.timeout.limit import USUAL
from synapse.policies.timeout.quantile import RecentQuantile

Factor = Annotated[float, Meta(gt=0, le=1000)]


class AdaptiveTimeout(Policy, frozen=True, tag="adaptive"):
    """A quantile of recent latencies, times a factor, within a range.

    It cuts off the few that hang without anyone having to know how long is long. It hurts under overload, when
    all become slow together: the timeout rises with them, up to `most`, just when patience is dearest; and with a
    `least` that is too low it gives up on honest long answers. Cost: O(1) an ask, under 2 us a latency.
    Source: Dean and Barroso, The tail at scale (2013); quantile by nearest rank.

    Parameters
    ----------
    quantile
        Which latency counts: 0.99 for the one that 99 of 100 do not exceed.
    factor
        How many times that is too long.
    least, most
        The range, in s. It is `most` until `warm_up` latencies were seen.
    samples
        Latencies it looks back on.
    warm_up
        Latencies it must have seen.
    """

    quantile: Annotated[Share, Meta(description="Which latency counts.")] = 0.99
    factor: Annotated[Factor, Meta(description="How many times that is too long.")] = 2.0
    least: Annotated[Seconds, Meta(description="The shortest timeout.")] = 1.0
    most: Annotated[Seconds, Meta(description="The longest timeout.")] = 30.0
    samples: Annotated[int, Meta(ge=1, le=100_000, description="Latencies it looks back on.")] = 1000
    warm_up: Annotated[Count, Meta(description="Latencies it must have seen.")] = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least > self.most:
            raise PolicyError("least", f"must be at most `most`, {self.most:g} s; not {self.least:g}")
        if self.warm_up > self.samples:
            raise PolicyError("warm_up", f"must be at most `samples`, {self.samples}; not {self.warm_up}")

    def start(self, now: float, before: object = None) -> AdaptiveTimeoutState:  # noqa: ARG002
        """Nothing seen yet, or what the state `before` has seen."""
        state = AdaptiveTimeoutState(self)
        if isinstance(before, AdaptiveTimeoutState):
            state.latencies.carry_on(before.latencies)
        return state


class AdaptiveTimeoutState(Running):
    """The recent latencies."""

    __slots__ = ("latencies", "policy")

    def __init__(self, policy: AdaptiveTimeout) -> None:
        self.policy = policy
        self.latencies = RecentQuantile(policy.samples)

    @property
    def seconds(self) -> float:
        """The timeout now, in s."""
        policy = self.policy
        if len(self.latencies) < policy.warm_up:
            return policy.most
        latency = self.latencies.quantile(policy.quantile) or 0.0
        return min(policy.most, max(policy.least, latency * policy.factor))

    def deadline(self, now: float, asked: float | None, priority: int = USUAL) -> float:  # noqa: ARG002
        return now + (self.seconds if asked is None else asked)

    def observe(self, latency: float) -> None:
        self.latencies.add(latency)
