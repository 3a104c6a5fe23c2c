"""The better of two."""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable, Sequence
from typing import Annotated

from msgspec import Meta

from synapse.policies.balancing.node import N
from synapse.policies.base import Policy


class PowerOfTwo(Policy, frozen=True, tag="power-of-two"):
    """Look at two nodes by lot, take the one that has less to do.

    Nearly as good as `LeastLoaded` for two looks instead of n, and stale news makes it herd far less. It hurts little:
    queries of one agent land everywhere. Equals: the first looked at. Cost: O(choices).
    Source: Vvedenskaya et al. (1996); Mitzenmacher (2001).

    Parameters
    ----------
    choices
        How many different nodes are looked at. The lots are digits of one random number of 53 bits: they are fair as
        long as ``nodes ** choices`` is well below 2 ** 53 (two of a million, five of a thousand).
    """

    choices: Annotated[int, Meta(ge=1, le=5, description="How many nodes are looked at.")] = 2

    def start(self, now: float, before: object = None) -> PowerOfTwo:  # noqa: ARG002
        """It is its own state."""
        return self

    def choose(self, nodes: Sequence[N], key: Hashable, u: float) -> N:  # noqa: ARG002
        """By load, of those looked at."""
        seen: list[int] = []  # places looked at, in order
        best: N | None = None
        for left in range(len(nodes), max(0, len(nodes) - self.choices), -1):
            u *= left
            place = int(u)  # among those not yet looked at
            u -= place
            for other in seen:
                place += place >= other
            insort(seen, place)
            if best is None or nodes[place].load < best.load:
                best = nodes[place]
        assert best is not None
        return best
