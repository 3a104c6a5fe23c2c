"""The nodes together, behind a balancer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from synapse.cortex import Refusal
from synapse.policies import Balancer
from synapse.simulation.env import Environment
from synapse.simulation.node import Node, Try

UNREACHABLE = Refusal("unreachable", "cluster")


class View:
    """A node as the balancer last saw it."""

    __slots__ = ("load", "name", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.name = node.name
        self.load = node.load


class Cluster:
    """Takes each try to a node.

    Parameters
    ----------
    env
        The clock.
    balancer
        Which node a query goes to.
    lot
        Gives a random number from [0, 1) for a try, for the balancer.
    stale
        How old loads become before the balancer sees new ones, s.
    latency
        Gives how long a query or an answer is under way, s. None: no time.
    by_connection
        Whether a query goes to the node of its agent's connection.

    Attributes
    ----------
    nodes : list of Node
        All nodes, in order.
    submit : callable
        Takes a try to a node, and returns the refusal; None if it was accepted, or is under way.
    """

    def __init__(
        self,
        env: Environment,
        balancer: Balancer,
        lot: Callable[[Try], float],
        stale: float = 0.0,
        latency: Callable[[], float] | None = None,
        by_connection: bool = False,
    ) -> None:
        self._env = env
        self.nodes: list[Node] = []
        self._balancer = balancer
        self._lot = lot
        self._stale = stale
        self._by_connection = by_connection
        self.is_near = latency is None
        self.latency: Callable[[], float] = latency or (lambda: 0.0)
        self._choices: Sequence[Any] = ()
        self.submit: Callable[[Try], Refusal | None] = self._submit if self.is_near else self._send
        if stale:
            env.call(stale, self._look_again, None)

    def __repr__(self) -> str:
        return f"<Cluster of {len(self.nodes)} nodes, {sum(node.up for node in self.nodes)} up>"

    def look(self) -> None:
        """See which nodes are there; and how loaded they are, if that is not seen at any moment."""
        up = [node for node in self.nodes if node.up]
        self._choices = [View(node) for node in up] if self._stale else up
        if self.is_near:
            there_is_no_choice = len(self.nodes) == len(up) == 1
            self.submit = up[0].scheduler.submit if there_is_no_choice else self._submit

    def interrupt(self, job: Try) -> None:
        """Tell the node that no one waits for a try any more."""
        if self.is_near:
            self._interrupt(job)
        else:
            self._env.call(self.latency(), self._interrupt, job)

    def choose(self, key: str, lot: Callable[[], float]) -> int:
        """The balancer's choice among the nodes that are there; -1 if none is."""
        if not self._choices:
            return -1
        choice = self._balancer.choose(self._choices, key, lot() if len(self._choices) > 1 else 0.0)
        return self.nodes.index(choice.node if self._stale else choice)

    def _submit(self, job: Try) -> Refusal | None:
        choices = self._choices
        if self._by_connection:
            homes = job.population.homes
            node = self.nodes[0 if homes is None else homes[job.row]]
        elif not choices:
            return UNREACHABLE
        else:
            choice = self._balancer.choose(choices, job.agent, self._lot(job) if len(choices) > 1 else 0.0)
            node = choice.node if self._stale else choice
        if not node.up:
            return UNREACHABLE
        job.node = node
        return node.scheduler.submit(job)

    def _send(self, job: Try) -> None:
        job.population.takes_off(job)
        self._env.call(self.latency(), self._arrive, job)

    def _arrive(self, job: Try) -> None:
        refusal = self._submit(job)
        if refusal is None:
            job.population.has_landed(job)
        else:
            job.population.turned_away(job, refusal)

    def _interrupt(self, job: Try) -> None:
        node = self.nodes[0] if len(self.nodes) == 1 else job.node
        if node is not None:
            node.scheduler.interrupt(job, "user requested")

    def _look_again(self, _: None) -> None:
        self.look()
        self._env.call(self._stale, self._look_again, None)
