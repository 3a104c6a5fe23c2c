"""Always the same number at once."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.fields import Count


class Fixed(Policy, frozen=True, tag="fixed"):
    """Always the same limit: a semaphore.

    For work whose best concurrency is known, as a pool of kernels. It hurts when the right number changes with the
    load behind it. Without a queue in front an M/G/limit/limit loss system (Erlang B). Cost: O(1).
    Source: Dijkstra, Cooperating sequential processes (1965); for the loss, Erlang (1917).

    Parameters
    ----------
    limit
        Queries at once, at least 1.
    """

    limit: Annotated[Count, Meta(description="Queries at once.")] = 100

    learns = False  # it need not be told how queries end

    def start(self, now: float, before: object = None, running: int = 0) -> Fixed:  # noqa: ARG002
        """A fixed limit is its own state."""
        return self

    def on_start(self, now: float) -> None:
        """Nothing to learn."""

    def on_finish(self, now: float, rtt: float, dropped: bool) -> None:
        """Nothing to learn."""

    def on_ignore(self, now: float) -> None:
        """Nothing to learn."""
