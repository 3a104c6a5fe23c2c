"""First in, first out; and last in, first out."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.fields import Bound
from synapse.policies.queue.line import AtBound, FifoQueue, LifoQueue


class Fifo(Policy, frozen=True, tag="fifo"):
    """Serve who came first.

    Fair, and the least variance of waits. It hurts past saturation: all wait as long as the queue is deep, and when
    that is longer than their patience, all work is wasted work. Cost: O(1).
    Source: Kingman, The effect of queue discipline on waiting time variance (1962).

    Parameters
    ----------
    bound
        How many may wait, at least 0.
    at_bound
        Who goes when one more comes: the newcomer, or who has waited longest.
    """

    bound: Annotated[Bound, Meta(description="How many may wait.")] = 1000
    at_bound: AtBound = "refuse-newcomer"

    def start(self, now: float) -> FifoQueue:  # noqa: ARG002
        """The empty queue."""
        return FifoQueue(self)


class Lifo(Policy, frozen=True, tag="lifo"):
    """Serve who came last.

    Past saturation it still answers some in time (the youngest, whose askers still wait) where a `Fifo` answers none.
    It hurts below saturation: the same mean wait with a far longer tail, and the oldest may starve. Cost: O(1).
    Source: Tambouratzis, On a property of the variance of the waiting time of a queue (1968).

    Parameters
    ----------
    bound
        How many may wait, at least 0.
    at_bound
        Who goes when one more comes: the newcomer, or who has waited longest.
    """

    bound: Annotated[Bound, Meta(description="How many may wait.")] = 1000
    at_bound: AtBound = "evict-oldest"

    def start(self, now: float) -> LifoQueue:  # noqa: ARG002
        """The empty queue."""
        return LifoQueue(self)
