"""What every rate limit can be asked, and how it keeps its word in floating point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from synapse.policies.verdict import Rejected, Verdict

SLACK = 1e-9
"""A billionth of a token. Sums of times carry rounding errors of about 1e-16 a step: whoever is exactly on time must
not be refused for one. It is a constant of the contract, not an error that grows."""


class RateLimit(Protocol):
    """The running state of a rate limit, for one key.

    Time that goes back counts as standing still: nothing is admitted that would not be at the latest time seen.
    """

    @property
    def kind(self) -> str:
        """The kind of its policy."""

    def admit(self, now: float, cost: int = 1) -> Verdict:
        """Ask for `cost` at once, and take it if it is to be had."""

    def wait(self, now: float, cost: int = 1) -> float:
        """How long until `admit` would say yes, in s: 0 for now, infinity for never. Takes nothing."""

    def spend(self, now: float, cost: int = 1) -> None:
        """Take `cost`, after `wait` has said 0."""

    def idle(self, now: float) -> bool:
        """Whether it may be forgotten: a fresh one would answer the same."""


def rejected(wait: float, kind: str) -> Rejected:
    """The refusal that `wait` stands for."""
    return Rejected(None if wait == math.inf else wait, kind)


def settled(now: float, wait: float, ready: Callable[[float], bool]) -> float:
    """A wait after which it is really so: rounded up to where `now + wait` is not too early.

    Without it a rounding error could send who obeys `retry_after` away again. Seldom needed: look first.
    """
    step = math.ulp(abs(now) + wait)
    while not ready(now + wait):
        wait += step
        step *= 2
    return wait
