"""A fuse: when too much fails, nothing is sent for a while."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from synapse.policies.base import Policy, Running
from synapse.policies.fields import Count, Seconds
from synapse.policies.rate.limit import settled
from synapse.policies.retry.window import Window
from synapse.policies.verdict import ADMITTED, Rejected, Verdict


class CircuitBreaker(Policy, frozen=True, tag="circuit-breaker"):
    """Closed while it goes well; open, and refusing all, when too much fails; then half open, for a probe.

    It spares both sides hopeless work and gives the other one time. It hurts when failures are partial (one node of
    ten, one agent of many): then it takes the whole away for the part. Cost: O(1).
    Source: Nygard, Release it! (2007); the defaults are Hystrix's.

    Parameters
    ----------
    threshold
        The share of failures that opens it.
    least
        Outcomes in the window before it may open.
    window
        How far back outcomes count, in s. It slides in twelfths.
    cooldown
        How long it stays open, in s; a probe that is not heard of for as long is given up.
    probes
        Tries let through at a time when half open; as many must succeed in a row to close it.
    """

    threshold: Annotated[float, Meta(gt=0, le=1, description="The share of failures that opens it.")] = 0.5
    least: Annotated[Count, Meta(description="Outcomes before it may open.")] = 20
    window: Annotated[Seconds, Meta(description="How far back outcomes count.")] = 10.0
    cooldown: Annotated[Seconds, Meta(description="How long it stays open.")] = 5.0
    probes: Annotated[Count, Meta(description="Tries at a time when half open.")] = 1

    def start(self, now: float, before: object = None) -> CircuitBreakerState:  # noqa: ARG002
        """Closed; open as long as the one `before` is."""
        state = CircuitBreakerState(self)
        if isinstance(before, CircuitBreakerState) and before.open_until is not None:
            state.open_until = before.open_until
        return state


class CircuitBreakerState(Running):
    """Open until when (None: closed), and how the probes do.

    An outcome is not told apart by its try: one of a try made before it opened counts as a probe's if it arrives
    when half open, and as none while open.
    """

    __slots__ = ("_latest", "_outcomes", "_probing", "_succeeded", "open_until", "policy")

    def __init__(self, policy: CircuitBreaker) -> None:
        self.policy = policy
        self.open_until: float | None = None
        self._outcomes = Window(policy.window)
        self._probing = 0
        self._succeeded = 0
        self._latest = 0.0  # when the latest probe was let through, s

    def __repr__(self) -> str:
        failed = self._outcomes.total - self._outcomes.good
        return f"<CircuitBreakerState, {failed} of {self._outcomes.total} failed, open until {self.open_until}>"

    def state(self, now: float) -> Literal["closed", "open", "half-open"]:
        """What it is."""
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half-open"

    def admit(self, now: float, u: float = 0.0, attempt: int = 1) -> Verdict:  # noqa: ARG002
        if self.open_until is None:
            return ADMITTED
        if now < self.open_until:
            opens = self.open_until
            return Rejected(settled(now, opens - now, lambda at: at >= opens), "circuit-breaker")
        if self._probing and now - self._latest >= self.policy.cooldown:
            self._probing = 0  # they are lost
        if self._probing + self._succeeded < self.policy.probes:
            self._probing += 1
            self._latest = now
            return ADMITTED
        return Rejected(None, "circuit-breaker")

    def on_success(self, now: float) -> None:
        if self.open_until is None:
            self._outcomes.add(now, 1, 1)
        elif now >= self.open_until:
            self._probing = max(0, self._probing - 1)
            self._succeeded += 1
            if self._succeeded >= self.policy.probes:
                self.open_until = None
                self._outcomes.clear()

    def on_failure(self, now: float) -> None:
        if self.open_until is None:
            outcomes = self._outcomes
            outcomes.add(now, 1, 0)
            failed = outcomes.total - outcomes.good
            if outcomes.total >= self.policy.least and failed >= self.policy.threshold * outcomes.total:
                self._open(now)
        elif now >= self.open_until:
            self._open(now)

    def _open(self, now: float) -> None:
        self.open_until = now + self.policy.cooldown
        self._probing = self._succeeded = 0
