"""A wait that depends on the wait before it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy, PolicyError, Running
from synapse.policies.fields import Count, Seconds


class Decorrelated(Policy, frozen=True, tag="decorrelated"):
    """Wait from `base` to three times the last wait.

    Spreads about as well as `FullJitter`, never comes back at once, and finishes a little sooner for some more calls.
    It hurts that an unlucky first wait makes all that follow long. Cost: O(1), a number a query.
    Source: Brooker, Exponential backoff and jitter (2015).

    Parameters
    ----------
    base
        The shortest wait, in s.
    cap
        The longest wait, in s.
    tries
        Tries in all, the first one included.
    """

    base: Annotated[Seconds, Meta(description="The shortest wait.")] = 0.1
    cap: Annotated[Seconds, Meta(description="The longest wait.")] = 10.0
    tries: Annotated[Count, Meta(description="Tries in all, the first one included.")] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base > self.cap:
            raise PolicyError("base", f"must be at most `cap`, {self.cap:g} s; not {self.base:g}")

    def start(self, now: float, before: object = None) -> DecorrelatedState:  # noqa: ARG002
        """A state for one query."""
        return DecorrelatedState(self)


class DecorrelatedState(Running):
    """The last wait."""

    __slots__ = ("_last", "policy")

    def __init__(self, policy: Decorrelated) -> None:
        self.policy = policy
        self._last = policy.base

    def next_delay(self, attempt: int, now: float, u: float) -> float | None:  # noqa: ARG002
        policy = self.policy
        if attempt >= policy.tries:
            return None
        if attempt <= 1:
            self._last = policy.base
        self._last = min(policy.cap, policy.base + u * (3.0 * self._last - policy.base))
        return self._last
