"""One replication of a scenario: builds the agents and the cluster, lets time pass, and looks at its clock."""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from numbers import Integral
from typing import Any

from synapse.policies import FixedTimeout, PolicyError
from synapse.simulation import sources
from synapse.simulation.agents import Closed, Open, Outlets
from synapse.simulation.chance import Chance
from synapse.simulation.cluster import Cluster
from synapse.simulation.connections import Connections
from synapse.simulation.distributions import Empirical, Law, read_column
from synapse.simulation.env import Environment
from synapse.simulation.herd import AcceptQueue
from synapse.simulation.links import Links
from synapse.simulation.mailboxes import Mailroom, StreamingNode
from synapse.simulation.node import Node, sort_for
from synapse.simulation.observer import Observer
from synapse.simulation.population import Manner, Population
from synapse.simulation.presence import Roster
from synapse.simulation.progress import Progress, telling
from synapse.simulation.run import Run
from synapse.simulation.scenario import Scenario
from synapse.simulation.spec import Connection, Kind
from synapse.simulation.spec import arrivals as processes
from synapse.simulation.timetable import expand, fault_streams, schedule
from synapse.simulation.variates import Variates
from synapse.simulation.work import Work
from synapse.telemetry import events
from synapse.telemetry.schema import Row, row

YOUNG = 50_000  # new objects before the collector looks at them
MOST_QUERIES = 100_000  # expected queries up to which a table of them is kept unless it is said otherwise


class World:
    """All that there is in one replication.

    Parameters
    ----------
    scenario
        What to simulate.
    seed, replication
        The chance.
    queries
        Whether to keep a table of all tries. None: if not too many are expected.
    """

    def __init__(self, scenario: Scenario, seed: int = 1, replication: int = 0, queries: bool | None = None) -> None:
        chance: dict[str, Any] = {"seed": seed, "replication": replication}
        for name, value in chance.items():
            if not isinstance(value, Integral) or value < 0:
                raise ValueError(f"{name}: must be a whole number >= 0, not {value!r}")
        _check_files(scenario)
        self.scenario = scenario
        self.env = Environment()
        self.variates = Variates(seed, replication)
        keeps = expected(scenario) <= MOST_QUERIES if queries is None else queries
        self.rows: list[Row] | None = [] if keeps else None
        self._bus = None if self.rows is None else events.Bus()
        if self._bus is not None:
            self._bus.listen(self._keep)
        self.cluster = self._cluster()
        self.sources: list[sources.Source] = []
        self.populations: list[Population] = []
        for kind, agents in scenario.agents.each_kind():
            self._populate(kind, agents)
        self._outlet: Any = self.populations[0] if len(self.populations) == 1 else Outlets()
        self.gone: list[Node] = []
        self.cluster.nodes.extend(self._node(place) for place in range(scenario.cluster.nodes))
        self.cluster.look()
        self.doors: list[AcceptQueue] = []
        self.connections: list[Connections] = []
        self.links: Links | None = None
        self.roster: Roster | None = None
        self._connect()
        self._announce()
        faults = expand(scenario.faults, scenario.duration, fault_streams(self.variates), scenario.cluster.nodes)
        schedule(self.env, self, faults)

    def __repr__(self) -> str:
        return f"<World at {self.env.time():g} s, {self.cluster!r}, {len(self.populations)} kinds of agents>"

    def run(self, progress: bool | Progress = False) -> Run:
        """Let the scenario's time pass.

        Parameters
        ----------
        progress
            Whether to show a bar, or what to call each second with the time reached, s.
        """
        began = time.perf_counter()
        with telling(progress, self.scenario.duration) as tell, rarely_collecting():
            observer = Observer(self, tell)
            self.env.run(until=self.scenario.duration)
        return observer.result(time.perf_counter() - began)

    # building

    def _cluster(self) -> Cluster:
        spec = self.scenario.cluster
        latency = None
        if spec.latency.mean:
            latency = self.variates.stream("cluster/latency", spec.latency).__next__
        return Cluster(
            self.env, spec.balancing.start(0.0), lambda job: job.population.lot(job.row), spec.stale, latency,
            by_connection=spec.per == "connection",
        )  # fmt: skip

    def _populate(self, kind: Kind, size: int) -> None:
        if not size:
            return
        agents, spec = self.scenario.agents, self.scenario.node
        chance = Chance(self.variates, kind.name, size)
        is_open = not isinstance(agents.arrivals, processes.Closed)
        service: Law = spec.service if kind.service is None else kind.service
        work = Work(chance, service, spec.thoughts, spec.gap, in_sequence=is_open and not _connects(self.scenario))
        names = [f"{kind.name}-{number}" for number in range(size)]
        first = sum(len(population.names) for population in self.populations)
        refs = None if self.rows is None else map(str, count(1))
        mailroom = None if agents.reading is None else Mailroom(self.env, spec.mailbox, agents.reading)
        common = (
            self.env, self.cluster, manner(self.scenario, kind), names, work, chance, self.scenario.warmup, refs,
            mailroom, array("q", range(first, first + size)),
        )  # fmt: skip
        if is_open:
            population: Population = Open(*common)
            times = sources.times(agents.arrivals, self.variates, size / agents.count, kind.name)
            self.sources.append(sources.Source(self.env, times, population.arrive))  # type: ignore[attr-defined]
        else:
            assert kind.think is not None  # `each_kind` fills it in
            population = Closed(kind.think, *common)
        self.populations.append(population)

    def _node(self, place: int) -> Node:
        spec = self.scenario.node
        policies = spec.policies()
        is_read = self.scenario.agents.reading is not None
        sort = StreamingNode if is_read else sort_for(policies, spec.slots, spec.stops)
        return sort(self.env, f"node-{place}", policies, spec.slots, self._outlet, spec.stops, spec.thoughts, self._bus)

    def _connect(self) -> None:
        scenario = self.scenario
        if not _connects(scenario):
            return
        spec = scenario.agents.connection or Connection()
        self.doors = [AcceptQueue(self.env, spec.accepts, spec.backlog) for _ in range(scenario.cluster.nodes)]
        for population in self.populations:
            chance = Chance(self.variates, f"{population.name}/connection", len(population.names))
            self.connections.append(
                Connections(self.env, self.cluster, population, spec, self.doors, chance, scenario.agents.count)
            )

    def _announce(self) -> None:
        """Let nodes tell each other who is connected; then connect all."""
        spec = self.scenario.presence
        if spec is not None:
            streams = self.variates
            self.links = Links(
                self.env, streams.stream("links/latency", spec.latency).__next__,
                streams.stream("links/loss").__next__, spec.loss,
            )  # fmt: skip
            uniforms = streams.stream("presence").__next__
            self.roster = Roster(self.env, self.links, len(self.cluster.nodes), uniforms, spec.replication)
            for connections in self.connections:
                tags: dict[int, Any] = {}
                connections.on_connected = _join(self.roster, tags)
                connections.on_dropped = _leave(self.roster, tags)
        for connections in self.connections:
            connections.open_all()

    def _keep(self, event: Any) -> None:
        if isinstance(event, (events.Finished, events.Rejected)):
            assert self.rows is not None
            self.rows.append(row(event))

    # what faults do: the protocol `Faulty`

    def crash(self, node: int) -> None:
        """A node is gone, with its work and its connections."""
        self.cluster.nodes[node].crash()
        self.cluster.look()
        if self.roster is not None:
            self.roster.crash(node)
        for connections in self.connections:
            connections.node_is_gone(node)

    def restart(self, node: int) -> None:
        """It is there again, and empty."""
        self.gone.append(self.cluster.nodes[node])
        fresh = self._node(node)
        fresh.factor = self.cluster.nodes[node].factor
        self.cluster.nodes[node] = fresh
        self.cluster.look()
        if self.roster is not None:
            self.roster.restart(node)

    def slow(self, node: int, factor: float) -> None:
        """Service that begins at a node takes so many times as long."""
        self.cluster.nodes[node].factor = factor

    def split(self, groups: Sequence[Sequence[int]]) -> None:
        """Nodes reach only those of their own group."""
        if self.links is not None:
            self.links.split(groups)

    def heal(self) -> None:
        """All nodes reach each other."""
        if self.links is not None:
            self.links.heal()

    def pulse(self, factor: float) -> None:
        """Queries arrive so many times as often."""
        for source in self.sources:
            source.pulse(factor)
        for population in self.populations:
            if isinstance(population, Closed):
                population.pulse(factor)

    def drop(self, share: float) -> None:
        """Break this part of all connections."""
        for connections in self.connections:
            connections.drop_share(share)


@contextmanager
def rarely_collecting() -> Iterator[None]:
    """Look for cycles of garbage less often: a simulation makes millions of small objects, and hardly a cycle."""
    usual = gc.get_threshold()
    gc.set_threshold(max(usual[0], YOUNG), *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def manner(scenario: Scenario, kind: Kind) -> Manner:
    """How agents of a kind behave."""
    agents = scenario.agents
    return Manner(
        name=kind.name,
        priority=5 if kind.priority is None else kind.priority,
        key=kind.key or "",
        timeout=kind.timeout or FixedTimeout(),
        on_timeout=agents.on_timeout,
        patience=agents.patience,
        give_up_after=agents.give_up_after,
        retry=kind.retry or agents.retry,
        retry_on=frozenset(agents.retry_on),
        budget=kind.budget,
        budget_per=agents.budget_per,
    )


def _connects(scenario: Scenario) -> bool:
    """Whether agents have connections, which they may lose."""
    asked = scenario.agents.connection is not None
    return asked or scenario.cluster.per == "connection" or scenario.presence is not None


def expected(scenario: Scenario) -> float:
    """How many queries there will be at most, as far as one can tell."""
    arrivals = scenario.agents.arrivals
    if isinstance(arrivals, processes.Trace):
        return len(read_column(arrivals.file, arrivals.column, "agents.arrivals.file"))
    if isinstance(arrivals, processes.Closed):
        return sum(
            size * scenario.duration / max(kind.think.mean if kind.think else 0.0, 1e-3)
            for kind, size in scenario.agents.each_kind()
        )
    return arrivals.rate * scenario.duration


def _check_files(scenario: Scenario) -> None:
    """See that the files of laws can be read, and say of one that cannot where it is named."""
    laws: dict[str, Any] = {"node.service": scenario.node.service, "node.gap": scenario.node.gap,
                            "agents.think": scenario.agents.think, "agents.patience": scenario.agents.patience,
                            "cluster.latency": scenario.cluster.latency}  # fmt: skip
    for place, kind in enumerate(scenario.agents.kinds):
        laws |= {f"agents.kinds[{place}].{name}": getattr(kind, name) for name in ("service", "think")}
    for path, law in laws.items():
        if isinstance(law, Empirical):
            try:
                law.sorted()
            except PolicyError as error:
                raise error.under(path) from None


def _join(roster: Roster, tags: dict[int, Any]) -> Callable[[int, int], object]:
    def join(row: int, node: int) -> None:
        tags[row] = roster.join(node)

    return join


def _leave(roster: Roster, tags: dict[int, Any]) -> Callable[[int, int], object]:
    def leave(row: int, node: int) -> None:  # noqa: ARG001
        roster.leave(tags.pop(row))

    return leave
