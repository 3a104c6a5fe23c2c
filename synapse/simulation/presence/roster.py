"""A cluster's presence: a tracker on each node, and how right they are."""

from __future__ import annotations

from collections.abc import Callable

from synapse.simulation.env import Environment
from synapse.simulation.links import Links
from synapse.simulation.presence.convergence import Convergence
from synapse.simulation.presence.replica_set import Tag
from synapse.simulation.presence.tracker import Replication, Tracker


class Roster:
    """Who is present in a cluster, as each of its nodes has it.

    The nodes are started at once, but their heartbeats are at unrelated phases, as in a cluster that has run for long.
    Each learns of the others by their first heartbeats; let some 20 s go by before you break anything.

    Parameters
    ----------
    env
        The clock.
    links
        What carries the heartbeats. A netsplit is the links' to make.
    nodes
        How many nodes; their names are 0 to ``nodes - 1``.
    uniforms
        The roster's own stream of random numbers from [0, 1).
    policy
        The periods.

    Attributes
    ----------
    convergence : Convergence
        How right the views are.
    """

    def __init__(
        self,
        env: Environment,
        links: Links,
        nodes: int,
        uniforms: Callable[[], float],
        policy: Replication | None = None,
    ) -> None:
        self._env = env
        self._links = links
        self._uniforms = uniforms
        self._policy = Replication() if policy is None else policy
        self._starts = [0] * nodes
        self._trackers: dict[int, Tracker] = {}
        self.convergence = Convergence(env, nodes)
        for node in range(nodes):
            self._start(node, self._policy.broadcast_period * uniforms())

    def __repr__(self) -> str:
        return f"<Roster of {len(self._trackers)} running nodes, {self.convergence!r}>"

    def running(self, node: int) -> bool:
        """Whether a node is running."""
        return node in self._trackers

    def join(self, node: int) -> Tag:
        """Let one be present at a node.

        Raises
        ------
        KeyError
            If the node is not running.
        """
        tracker = self._trackers[node]
        self.convergence.came((tracker.ref, tracker.set.context[tracker.ref] + 1))
        return tracker.track()

    def leave(self, tag: Tag) -> None:
        """Let one be present no longer. Of no effect if its node has crashed since.

        Raises
        ------
        KeyError
            If it is not present.
        """
        tracker = self._trackers.get(tag[0][0])
        if tracker is not None and tracker.ref == tag[0]:
            tracker.untrack(tag)
            self.convergence.went(tag)

    def online(self, node: int) -> set[Tag]:
        """The presences that a node shows.

        Raises
        ------
        KeyError
            If the node is not running.
        """
        return set(self._trackers[node].set.online())

    def crash(self, node: int) -> None:
        """End a node, and all that is present at it, without a word. Of no effect if it is not running."""
        if node in self._trackers:
            self._trackers.pop(node).crash()
            self.convergence.ended(node)

    def stop(self, node: int) -> None:
        """End a node that takes leave of the others. Of no effect if it is not running."""
        if node in self._trackers:
            self._trackers.pop(node).stop()
            self.convergence.ended(node)

    def restart(self, node: int) -> None:
        """Start a node again. It knows nothing. Of no effect if it is running."""
        if node not in self._trackers:
            self._start(node, 0.0)

    def _start(self, node: int, offset: float) -> None:
        self._starts[node] += 1
        self.convergence.started(node)
        self._trackers[node] = Tracker(
            self._env, self._links, (node, self._starts[node]), self._policy, self._uniforms, self.convergence, offset
        )
