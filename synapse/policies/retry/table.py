"""Waits that are read from a table, as Phoenix's clients read theirs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from synapse.policies.base import Policy
from synapse.policies.fields import Count, Delay

PHOENIX = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0)  # s


class Table(Policy, frozen=True, tag="table"):
    """Wait what the table says, the last entry from then on; by `jitter`, up to as much more or less.

    The default is what phoenix.js reconnects by. It hurts as all without jitter do: those who lost the same node come
    back together, again and again. With 10,000 clients and 1,000 accepts/s that is about 300,000 tries and 5 minutes;
    with ``jitter=1`` a quarter of the tries and 15 s; with the first wait spread over the 10 s that it takes at least,
    ``Table((5,), jitter=1)``, a try each and those 10 s. Cost: O(1). Source: phoenix.js 1.8, ``reconnectAfterMs``.

    Parameters
    ----------
    delays
        The wait after each failed try, in s.
    jitter
        How far a wait is spread about its entry, as a share of it: with 1 it is uniform on 0 to twice the entry.
    tries
        Tries in all, the first one included. None: it never gives up, as one who reconnects should.
    """

    delays: Annotated[
        tuple[Delay, ...], Meta(min_length=1, max_length=1000, description="The wait after each failed try.")
    ] = PHOENIX
    jitter: Annotated[float, Meta(ge=0, le=1, description="How far a wait is spread, as a share of it.")] = 0.0
    tries: Annotated[Count, Meta(description="Tries in all, the first one included.")] | None = None

    def start(self, now: float, before: object = None) -> Table:  # noqa: ARG002
        """It is its own state."""
        return self

    def next_delay(self, attempt: int, now: float, u: float) -> float | None:  # noqa: ARG002
        """The entry, spread."""
        if self.tries is not None and attempt >= self.tries:
            return None
        delay = self.delays[min(max(attempt, 1), len(self.delays)) - 1]
        return delay * (1.0 + self.jitter * (2.0 * u - 1.0))
