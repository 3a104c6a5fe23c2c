"""Balancers that know nothing, or everything, of the nodes' load."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from synapse.policies.balancing.node import N
from synapse.policies.base import Policy, Running


class Random(Policy, frozen=True, tag="random"):
    """Any node, each as likely.

    Needs no state and no knowledge. It hurts: each node is an M/M/1 of its own, some wait while others idle.
    Cost: O(1).
    Source: Mitzenmacher, The power of two choices (2001), with one choice.
    """

    def start(self, now: float, before: object = None) -> Random:  # noqa: ARG002
        """It is its own state."""
        return self

    def choose(self, nodes: Sequence[N], key: Hashable, u: float) -> N:  # noqa: ARG002
        """By the random number alone."""
        return nodes[int(u * len(nodes))]


class RoundRobin(Policy, frozen=True, tag="round-robin"):
    """One after the other.

    Evens out the numbers, not the work: better than `Random` for queries of even length. It hurts when lengths
    or nodes differ. Cost: O(1).
    Source: Ephremides, Varaiya and Walrand, A simple dynamic routing problem (1980).
    """

    def start(self, now: float, before: object = None) -> RoundRobinState:  # noqa: ARG002
        """The first is the first."""
        return RoundRobinState(self)


class RoundRobinState(Running):
    """Whose turn it is."""

    __slots__ = ("policy", "turn")

    def __init__(self, policy: RoundRobin) -> None:
        self.policy = policy
        self.turn = 0

    def choose(self, nodes: Sequence[N], key: Hashable, u: float) -> N:  # noqa: ARG002
        place = self.turn % len(nodes)
        self.turn = place + 1
        return nodes[place]


class LeastLoaded(Policy, frozen=True, tag="least-loaded"):
    """The node that has least to do; by lot among equals.

    The best there is when loads are known and fresh (join the shortest queue). It hurts when they are not: all who
    ask before the news arrives herd to the same node. Cost: O(n).
    Source: Winston, Optimality of the shortest line discipline (1977).
    """

    def start(self, now: float, before: object = None) -> LeastLoaded:  # noqa: ARG002
        """It is its own state."""
        return self

    def choose(self, nodes: Sequence[N], key: Hashable, u: float) -> N:  # noqa: ARG002
        """By load."""
        least = min(node.load for node in nodes)
        best = [node for node in nodes if node.load == least]
        return best[int(u * len(best))]
