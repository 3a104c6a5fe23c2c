"""A client that sends about as much as is taken up."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy, Running
from synapse.policies.fields import Seconds
from synapse.policies.retry.window import Window
from synapse.policies.verdict import ADMITTED, Rejected, Verdict


class AdaptiveThrottle(Policy, frozen=True, tag="adaptive-throttle"):
    """Refuse at home what the other side would refuse: with probability ``(requests - k * accepts) / (requests + 1)``.

    While all is taken up, nothing is refused. When the other side refuses most, it is sent about `k` times what it
    takes up: with 2 one refusal for each accept, with 1.1 one for ten. It hurts those who ask rarely: they have no
    history to tell from; and near 1 it stands in the way of recovery, for windows after the other side is well again
    (`synapse study throttling`). Cost: O(1). Source: Beyer et al., Site reliability engineering (2016), eq. 21-1.

    Parameters
    ----------
    k
        How many times what is taken up is sent.
    window
        How far back requests and accepts count, in s. It slides in twelfths.
    """

    k: Annotated[float, Meta(ge=1, le=1000, description="How many times what is taken up is sent.")] = 2.0
    window: Annotated[Seconds, Meta(description="How far back requests and accepts count.")] = 120.0

    def start(self, now: float, before: object = None) -> AdaptiveThrottleState:  # noqa: ARG002
        """No history, or that of the state `before`, if its window was of the same length."""
        state = AdaptiveThrottleState(self)
        if isinstance(before, AdaptiveThrottleState) and before.policy.window == self.window:
            state.seen = before.seen
        return state


class AdaptiveThrottleState(Running):
    """Requests (those refused at home included) and accepts."""

    __slots__ = ("policy", "seen")

    def __init__(self, policy: AdaptiveThrottle) -> None:
        self.policy = policy
        self.seen = Window(policy.window)

    def refusal(self, now: float) -> float:
        """The probability that a try is refused."""
        seen = self.seen
        seen.at(now)
        return max(0.0, (seen.total - self.policy.k * seen.good) / (seen.total + 1))

    def admit(self, now: float, u: float = 0.0, attempt: int = 1) -> Verdict:  # noqa: ARG002
        refused = u < self.refusal(now)
        self.seen.add(now, 1, 0)
        return Rejected(None, "adaptive-throttle") if refused else ADMITTED

    def on_success(self, now: float) -> None:
        self.seen.add(now, 0, 1)

    def on_failure(self, now: float) -> None:
        """What was not taken up was counted when it was sent."""
