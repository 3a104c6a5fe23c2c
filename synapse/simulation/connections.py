"""Agents' connections: they break, and are made again as fast as agents try and nodes accept."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from synapse.policies import Retry
from synapse.simulation.chance import Chance
from synapse.simulation.cluster import Cluster
from synapse.simulation.env import Environment
from synapse.simulation.herd import AcceptQueue
from synapse.simulation.population import Population
from synapse.simulation.spec import Connection

NONE = -1  # no node


class Connections:
    """Who is connected with which node, of one population.

    Parameters
    ----------
    env, cluster
        Time, and the nodes.
    population
        Whose connections.
    spec
        What they are like. None: they never break, but by the end of their node.
    doors
        Where each node accepts connections.
    chance
        The population's streams.
    everybody
        How many agents there are in all, so that a new connection's number is nobody else's.

    Attributes
    ----------
    drops, tries, made : int
        Connections that broke; tries to make one again; and those that succeeded.
    on_connected, on_dropped : callable
        Called with an agent's row and its node.
    """

    def __init__(
        self,
        env: Environment,
        cluster: Cluster,
        population: Population,
        spec: Connection,
        doors: list[AcceptQueue],
        chance: Chance,
        everybody: int,
    ) -> None:
        self._env = env
        self._cluster = cluster
        self._population = population
        self._spec = spec
        self._doors = doors
        self._chance = chance
        self._everybody = everybody
        self._lives = array("q", bytes(8 * len(population.names)))  # counts each agent's connections
        self._backoffs: dict[int, tuple[Retry, int]] = {}  # by row: the policy's state, and failed tries
        self.drops = self.tries = self.made = 0
        self.on_connected: Callable[[int, int], object] = _nothing
        self.on_dropped: Callable[[int, int], object] = _nothing
        if population.mailroom is not None:
            population.mailroom.on_cut = self.drop
        self._homes = population.homes = array("i", [NONE]) * len(population.names)
        self._break_call = self._break
        env.lapses(self._break_call, lambda _, life: self._lives[life[0]] != life[1])

    def __repr__(self) -> str:
        return f"<Connections of {self._population.name!r}, {self.open} open, {self.drops} dropped, {self.tries} tries>"

    @property
    def open(self) -> int:
        """How many there are."""
        return sum(home >= 0 for home in self._homes)

    def open_all(self) -> None:
        """Connect all agents, at the beginning, without a door to wait at."""
        for row in range(len(self._homes)):
            home = self._choose(row)
            if home >= 0:
                self._has_connected(row, home)

    def drop(self, row: int) -> None:
        """Break an agent's connection before its time. Of no effect if it has none."""
        home = self._homes[row]
        if home < 0:
            return
        if self._spec.lifetime is not None:
            self._env.forget_one()
        self._lose(row, home)

    def _lose(self, row: int, home: int) -> None:
        self._homes[row] = NONE
        self._lives[row] += 1
        self.drops += 1
        self.on_dropped(row, home)
        if self._population.mailroom is not None:
            self._population.mailroom.cut(row)
        self._backoffs[row] = (self._spec.reconnect.start(self._env.time()), 0)
        self._wait(row)

    def drop_share(self, share: float) -> None:
        """Break a part of all connections, by lot."""
        for row in range(len(self._homes)):
            if self._chance.draw("herd", row) < share:
                self.drop(row)

    def node_is_gone(self, node: int) -> None:
        """Break all connections with a node."""
        for row, home in enumerate(self._homes):
            if home == node:
                self.drop(row)

    def _choose(self, row: int) -> int:
        return self._cluster.choose(self._population.names[row], lambda: self._chance.draw("home", row))

    def _wait(self, row: int) -> None:
        """A connection broke, or could not be made."""
        backoff, failed = self._backoffs[row]
        failed += 1
        self._backoffs[row] = (backoff, failed)
        delay = backoff.next_delay(failed, self._env.time(), self._chance.draw("reconnect", row))
        if delay is not None:
            self._env.call(delay, self._try, row)

    def _try(self, row: int) -> None:
        self.tries += 1
        node = self._choose(row)
        if node < 0 or not self._doors[node].connect(lambda: self._accepted(row, node)):
            self._wait(row)

    def _accepted(self, row: int, node: int) -> None:
        if not self._cluster.nodes[node].up:
            self._wait(row)
            return
        self.made += 1
        self._population.connections[row] += self._everybody
        del self._backoffs[row]
        self._has_connected(row, node)

    def _has_connected(self, row: int, node: int) -> None:
        if self._spec.lifetime is not None:
            life = self._chance.draw("lifetime", row, self._spec.lifetime)
            self._env.call(life, self._break_call, (row, self._lives[row]))
        self.on_connected(row, node)
        if self._population.mailroom is not None:
            self._population.mailroom.connect(row)
        self._population.connected(row, node)

    def _break(self, life: tuple[int, int]) -> None:
        row, number = life
        if self._lives[row] != number:
            self._env.lapse()
            return
        self._lose(row, self._homes[row])


def _nothing(row: int, node: int) -> None:
    """No one listens."""
