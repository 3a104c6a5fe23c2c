"""What every concurrency limit can be asked, and what the adaptive ones share."""

from __future__ import annotations

import math
from typing import Annotated, Any, Protocol, TypeAlias

from msgspec import Meta

from synapse.policies.base import PolicyError, Running
from synapse.policies.fields import Delay

ENOUGH = 10  # endings that a step is taken from, at least

Period: TypeAlias = Annotated[Delay, Meta(description="How far apart steps are at least; 0 for one at each ending.")]


class Concurrency(Protocol):
    """The running state of a concurrency limit."""

    @property
    def limit(self) -> int:
        """How many may run now."""

    def on_start(self, now: float) -> None:
        """Note that one started."""

    def on_finish(self, now: float, rtt: float, dropped: bool) -> None:
        """Note that one ended after `rtt` seconds of running, `dropped` if by its timeout."""

    def on_ignore(self, now: float) -> None:
        """Note that one ended in a way that says nothing of the load: an interrupt, a bad request."""


class Adaptive(Running):
    """A limit that is learnt from endings: from each, or from what they were like on average over a `period`.

    A limit acts only when those it lets in have ended, a round trip later. A rule that takes a step at each ending
    takes as many steps as there are in flight before it sees what the first one did, and swings. So a period lasts
    at least two round trips, and ten endings (Netflix's WindowedLimit, without its upper bound of 1 s).
    """

    __slots__ = ("_count", "_dropped", "_due", "_most", "_shortest", "_total", "estimate", "inflight", "policy")

    def __init__(self, policy: Any, estimate: float, inflight: int) -> None:
        self.policy = policy
        self.estimate = float(estimate)
        self.inflight = inflight
        self._due = -math.inf  # s
        # what the endings of this period were like
        self._count = 0
        self._total = 0.0
        self._shortest = math.inf
        self._most = 0
        self._dropped = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.inflight}/{self.limit} in flight>"

    @property
    def limit(self) -> int:
        return int(self.estimate)

    def on_start(self, now: float) -> None:  # noqa: ARG002
        self.inflight += 1

    def on_finish(self, now: float, rtt: float, dropped: bool) -> None:
        if rtt > 0.0:
            if self.policy.period:
                self._collect(now, rtt, dropped)
            else:
                self.learn(rtt, self.inflight, dropped)
        self.on_ignore(now)

    def on_ignore(self, now: float) -> None:  # noqa: ARG002
        if self.inflight:
            self.inflight -= 1

    def learn(self, rtt: float, inflight: int, dropped: bool) -> None:
        """Take one step. `inflight` counts the ending one."""
        raise NotImplementedError

    def _collect(self, now: float, rtt: float, dropped: bool) -> None:
        self._count += 1
        self._total += rtt
        self._shortest = min(self._shortest, rtt)
        self._most = max(self._most, self.inflight)
        self._dropped = self._dropped or dropped
        if now >= self._due and self._count >= ENOUGH:
            self._due = now + max(self.policy.period, 2.0 * self._shortest)
            self.learn(self._total / self._count, self._most, self._dropped)
            self._count, self._total, self._shortest, self._most, self._dropped = 0, 0.0, math.inf, 0, False


def check_range(initial: int, least: int, most: int) -> None:
    """See that the limits are in order.

    Raises
    ------
    PolicyError
        If they are not.
    """
    if not least <= most:
        raise PolicyError("least", f"must be at most `most`, {most}; not {least}")
    if not least <= initial <= most:
        raise PolicyError("initial", f"must be from `least` to `most`, {least} to {most}; not {initial}")


def carried(before: object, kind: type[Adaptive], initial: float, least: float, most: float) -> float:
    """The estimate to go on from: that of a state of the same kind, brought into the new range."""
    return min(most, max(least, before.estimate)) if isinstance(before, kind) else initial
