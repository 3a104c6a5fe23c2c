"""No timeout; the same patience for all, or for all of a class."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.fields import Seconds
from synapse.policies.timeout.limit import USUAL


class NoTimeout(Policy, frozen=True, tag="none"):
    """No timeout, unless a query names one of its own.

    For work that takes as long as it takes, and for the queues of textbooks, whose customers wait for ever. It hurts
    when something hangs: nothing but an interrupt ends it, and it keeps its slot. Cost: none.
    Source: gRPC, whose calls have no deadline unless one is set.
    """

    learns = False  # it need not be told how queries end

    def start(self, now: float, before: object = None) -> NoTimeout:  # noqa: ARG002
        """It is its own state."""
        return self

    def deadline(self, now: float, asked: float | None, priority: int = USUAL) -> float:  # noqa: ARG002
        """When a query submitted `now` must have ended; `asked` is its own timeout in s, if it named one."""
        return math.inf if asked is None else now + asked

    def observe(self, latency: float) -> None:
        """Nothing to learn."""


class FixedTimeout(Policy, frozen=True, tag="fixed"):
    """The same patience for every query that names none of its own.

    For answers that all take about as long. It hurts when it is shorter than these: then all work is wasted work.
    Cost: O(1).
    Source: the deadlines of gRPC: one for all of a call, with its waiting.

    Parameters
    ----------
    seconds
        From submission to the latest ending, in s.
    """

    seconds: Annotated[Seconds, Meta(description="From submission to the latest ending.")] = 30.0

    learns = False  # it need not be told how queries end

    def start(self, now: float, before: object = None) -> FixedTimeout:  # noqa: ARG002
        """A fixed timeout is its own state."""
        return self

    def deadline(self, now: float, asked: float | None, priority: int = USUAL) -> float:  # noqa: ARG002
        """When a query submitted `now` must have ended; `asked` is its own timeout in s, if it named one."""
        return now + (self.seconds if asked is None else asked)

    def observe(self, latency: float) -> None:
        """Nothing to learn."""


class PerPriority(Policy, frozen=True, tag="per-priority"):
    """A patience for each priority, for queries that name none of their own.

    For urgent classes that are worthless late, beside batches that may take their time. It hurts as any timeout
    does that is shorter than the answers. Cost: O(1).
    Source: our own; a deadline of gRPC for each class.

    Parameters
    ----------
    seconds
        From submission to the latest ending, in s: the first for priority 0, and so on; the last one is for all
        that follow.
    """

    seconds: Annotated[
        tuple[Seconds, ...],
        Meta(min_length=1, max_length=10, description="From submission to the latest ending, by priority."),
    ]

    learns = False  # it need not be told how queries end

    def start(self, now: float, before: object = None) -> PerPriority:  # noqa: ARG002
        """It is its own state."""
        return self

    def deadline(self, now: float, asked: float | None, priority: int = USUAL) -> float:
        """When a query submitted `now` must have ended; `asked` is its own timeout in s, if it named one."""
        if asked is not None:
            return now + asked
        return now + self.seconds[min(max(priority, 0), len(self.seconds) - 1)]

    def observe(self, latency: float) -> None:
        """Nothing to learn."""
