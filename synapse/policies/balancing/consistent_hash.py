"""The same node for the same key, as long as it is there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from hashlib import blake2b
from typing import Annotated

from msgspec import Meta

from synapse.policies.balancing.node import N
from synapse.policies.base import Policy, Running


class ConsistentHash(Policy, frozen=True, tag="consistent-hash"):
    """Each key has its node; when a node comes or goes, only its share of the keys moves.

    For nodes that keep something of an agent: a kernel, a cache. With n nodes about 1/n of the keys move. It hurts
    with one hot key, whose node has it all, and the shares are uneven: by about 1/sqrt(replicas).
    Cost: O(n) to see that the nodes are the same, O(log(n * replicas)) to choose; the ring is built anew when one comes
    or goes.
    Source: Karger et al., Consistent hashing and random trees (1997).

    Parameters
    ----------
    replicas
        Points of each node on the ring.
    """

    replicas: Annotated[int, Meta(ge=1, le=10_000, description="Points of each node on the ring.")] = 100

    def start(self, now: float, before: object = None) -> ConsistentHashState:  # noqa: ARG002
        """An empty ring. Where keys go depends on the nodes' names alone, not on when they came."""
        return ConsistentHashState(self)


class ConsistentHashState(Running):
    """The ring of the nodes last seen."""

    __slots__ = ("_names", "_places", "_points", "policy")

    def __init__(self, policy: ConsistentHash) -> None:
        self.policy = policy
        self._names: list[str] = []
        self._points: list[int] = []
        self._places: list[int] = []  # the node's place, for each point

    def choose(self, nodes: Sequence[N], key: Hashable, u: float) -> N:  # noqa: ARG002
        names = [node.name for node in nodes]
        if names != self._names:
            self._build(names)
        point = bisect_right(self._points, _hash(str(key)))
        return nodes[self._places[point % len(self._points)]]

    def _build(self, names: list[str]) -> None:
        ring = sorted(
            (_hash(f"{name}#{replica}"), name, place)
            for place, name in enumerate(names)
            for replica in range(self.policy.replicas)
        )
        self._names = names
        self._points = [point for point, _, _ in ring]
        self._places = [place for _, _, place in ring]


def _hash(text: str) -> int:
    """A hash that is the same in each process, on each machine."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
