"""A small cluster whose presence can be broken."""

from __future__ import annotations

from random import Random

from synapse.simulation.env import Environment
from synapse.simulation.links import Links
from synapse.simulation.presence import Replication, Roster, Status, Tag

LATENCY = 0.005  # s, at most


class Cluster:
    """Five nodes, four present at each; given 40 s to get to know each other.

    Parameters
    ----------
    busy
        Whether some come and go at each node twice a period, so that each heartbeat has news.
    """

    def __init__(
        self, seed: int = 1, nodes: int = 5, present: int = 4, busy: bool = False, loss: float = 0.0,
        policy: Replication | None = None, settle: float = 40.0,
    ) -> None:  # fmt: skip
        self.env = Environment()
        uniform = Random(f"{seed} links").random
        self.links = Links(self.env, lambda: LATENCY * uniform(), Random(f"{seed} loss").random, loss)
        self.roster = Roster(self.env, self.links, nodes, Random(f"{seed} roster").random, policy)
        self.convergence = self.roster.convergence
        self.nodes = range(nodes)
        self.tags = [self.roster.join(node) for node in self.nodes for _ in range(present)]
        if busy:
            for node in self.nodes:
                self._come_and_go(node)
        if settle:
            # At an even chance between any two signs of life, so that the time since the last one is any.
            self.env.run(settle + 16.5 * Random(f"{seed} settle").random())

    @property
    def now(self) -> float:
        return self.env.time()

    def wait(self, seconds: float) -> None:
        self.env.run(self.now + seconds)

    def shown(self, observer: int, subject: int) -> set[Tag]:
        return {tag for tag in self.roster.online(observer) if tag[0][0] == subject}

    def seen(self, status: Status, since: float, of: int | None = None) -> list[float]:
        """How long after `since` nodes came to take another for something, s."""
        return [
            time - since
            for time, _, ref, what in self.convergence.seen
            if what is status and time >= since and of in (None, ref[0])
        ]

    def _come_and_go(self, node: int) -> None:
        if self.roster.running(node):
            tag = self.roster.join(node)
            self.env.call_later(0.5, lambda: self.roster.leave(tag))
        self.env.call_later(0.7, lambda: self._come_and_go(node))
