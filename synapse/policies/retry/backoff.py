"""How long a client waits before it tries again, when it is the attempt alone that decides."""

from __future__ import annotations

import math
from typing import Annotated, Protocol

from msgspec import Meta

from synapse.policies.base import Policy, PolicyError
from synapse.policies.fields import Count, Seconds


class Retry(Protocol):
    """The running state of a retry policy, for one query."""

    def next_delay(self, attempt: int, now: float, u: float) -> float | None:
        """How long to wait before the next try, in s. None: give up.

        Parameters
        ----------
        attempt
            Which try has just failed, from 1.
        now
            When, in s.
        u
            A random number from [0, 1), drawn by the caller.
        """


class NoRetry(Policy, frozen=True, tag="none"):
    """Try once.

    The only policy that never adds load, for queries that must not run twice. It hurts when failures are brief and
    rare. Cost: none. Source: none; it is what the others are compared with.
    """

    def start(self, now: float, before: object = None) -> NoRetry:  # noqa: ARG002
        """It is its own state."""
        return self

    def next_delay(self, attempt: int, now: float, u: float) -> float | None:  # noqa: ARG002
        """Give up."""
        return None


class Backoff(Policy, frozen=True):
    """What the backoffs share: a ceiling that grows with each try."""

    base: Annotated[Seconds, Meta(description="The first ceiling of the wait.")] = 0.1
    factor: Annotated[float, Meta(ge=1, le=100, description="How many times higher each next ceiling is.")] = 2.0
    cap: Annotated[Seconds, Meta(description="The highest ceiling.")] = 10.0
    tries: Annotated[Count, Meta(description="Tries in all, the first one included.")] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base > self.cap:
            raise PolicyError("base", f"must be at most `cap`, {self.cap:g} s; not {self.base:g}")

    def start(self, now: float, before: object = None) -> Retry:  # noqa: ARG002
        """It is its own state."""
        return self

    def next_delay(self, attempt: int, now: float, u: float) -> float | None:
        """See `Retry`."""
        raise NotImplementedError

    def ceiling(self, attempt: int) -> float:
        """The longest wait after a failed try, in s: ``min(cap, base * factor ** (attempt - 1))``."""
        steps = max(0, attempt - 1)
        if steps * math.log(self.factor) >= math.log(self.cap / self.base):  # before it overflows
            return self.cap
        return min(self.cap, self.base * self.factor**steps)


class Exponential(Backoff, frozen=True, tag="exponential"):
    """Wait the ceiling: base, twice that, four times that.

    Without jitter, for tests and comparisons. It hurts as all without jitter do: those who failed together come
    back together. Cost: O(1). Source: Brooker, Exponential backoff and jitter (2015).

    Parameters
    ----------
    base
        The first ceiling, in s.
    factor
        How many times higher each next one is.
    cap
        The highest ceiling, in s.
    tries
        Tries in all, the first one included.
    """

    def next_delay(self, attempt: int, now: float, u: float) -> float | None:  # noqa: ARG002
        """The ceiling."""
        return None if attempt >= self.tries else self.ceiling(attempt)


class EqualJitter(Backoff, frozen=True, tag="equal-jitter"):
    """Wait half the ceiling and up to half as much again.

    Never comes back at once, and spreads half as well as `FullJitter`. It hurts those who could have been answered
    sooner. Cost: O(1). Source: Brooker, Exponential backoff and jitter (2015).

    Parameters
    ----------
    base
        The first ceiling, in s.
    factor
        How many times higher each next one is.
    cap
        The highest ceiling, in s.
    tries
        Tries in all, the first one included.
    """

    def next_delay(self, attempt: int, now: float, u: float) -> float | None:  # noqa: ARG002
        """From half the ceiling to the ceiling."""
        return None if attempt >= self.tries else self.ceiling(attempt) * (0.5 + 0.5 * u)


class FullJitter(Backoff, frozen=True, tag="full-jitter"):
    """Wait anything up to the ceiling: the one to reach for.

    The fewest calls of all for the same work: under half of `Exponential`'s with 100 clients. It hurts that some come
    back almost at once. Cost: O(1). Source: Brooker, Exponential backoff and jitter (2015).

    Parameters
    ----------
    base
        The first ceiling, in s.
    factor
        How many times higher each next one is.
    cap
        The highest ceiling, in s.
    tries
        Tries in all, the first one included.
    """

    def next_delay(self, attempt: int, now: float, u: float) -> float | None:  # noqa: ARG002
        """From 0 to the ceiling."""
        return None if attempt >= self.tries else self.ceiling(attempt) * u
