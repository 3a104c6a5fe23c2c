"""Looks at a world each second of its time, and says in the end what it has seen. It changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synapse.simulation.histogram import Histogram
from synapse.simulation.progress import Progress
from synapse.simulation.run import SERIES, Run
from synapse.simulation.tally import OUTCOMES, Counts

if TYPE_CHECKING:
    from synapse.simulation.world import World

COUNTED = ("sent", *OUTCOMES, "tries")
STEP = 1.0  # s between two looks
ENOUGH = 5000  # durations that are worth counting


class Observer:
    """What is noted of one replication.

    Parameters
    ----------
    world
        What it looks at.
    tell
        Is told the time at each look.
    """

    def __init__(self, world: World, tell: Progress) -> None:
        self._world = world
        self._tell = tell
        self._latencies = {population.name: Histogram() for population in world.populations}
        self._first_thoughts = {population.name: Histogram() for population in world.populations}
        self._waits = Histogram()
        self._looks: list[tuple[float, ...]] = [self._state()]
        self._begin: tuple[float, Counts, float, float, float] | None = None
        self._number = 0
        world.env.call(STEP, self._look, None)
        world.env.call(world.scenario.warmup, self._begin_to_measure, None)

    def result(self, wall: float) -> Run:
        """All that was seen.

        Raises
        ------
        AssertionError
            If a query was lost, or counted twice.
        """
        world = self._world
        now = world.scenario.duration
        self._empty_lists()
        if self._looks[-1][0] < now:
            self._looks.append(self._state())
        kinds = self._settle()
        assert self._begin is not None  # the warm-up is shorter than the run
        began, counts, served, useful, wasted = self._begin
        measured = now - began
        slots = sum(node.slots for node in world.cluster.nodes)
        columns = np.array(self._looks).T
        refusals: dict[tuple[str, str], int] = {}
        for population in world.populations:
            for what, times in population.refusals.items():
                refusals[what] = refusals.get(what, 0) + times
        mailrooms = [population.mailroom for population in world.populations if population.mailroom is not None]
        return Run(
            scenario=world.scenario,
            seed=world.variates.seed,
            replication=world.variates.replication,
            kinds=kinds,
            measured=self._counts() - counts,
            seconds=measured,
            refusals=dict(sorted(refusals.items())),
            latencies=self._latencies,
            first_thoughts=self._first_thoughts,
            wait=self._waits,
            utilisation=(self._served() - served) / (slots * measured),
            useful=self._useful() - useful,
            wasted=self._wasted() - wasted,
            looks=dict(zip(SERIES, columns, strict=True)),
            rows=world.rows,
            reading=[mailroom.reading for mailroom in mailrooms],
            connections=[(each.drops, each.tries, each.made, each.open) for each in world.connections],
            presence=None if world.roster is None else world.roster.convergence,
            events=world.env.called,
            wall=wall,
        )

    def _look(self, _: None) -> None:
        if max(len(population.waits) for population in self._world.populations) > ENOUGH:
            self._empty_lists()
        self._looks.append(self._state())
        self._tell(self._world.env.time())
        self._number += 1
        self._world.env.call((self._number + 1) * STEP - self._world.env.time(), self._look, None)

    def _begin_to_measure(self, _: None) -> None:
        for population in self._world.populations:
            population.waits.clear()
            population.latencies.clear()
            population.first_thoughts.clear()
        now = self._world.env.time()
        self._begin = (now, self._counts(), self._served(), self._useful(), self._wasted())

    def _empty_lists(self) -> None:
        for population in self._world.populations:
            if self._begin is not None:  # before that, they are not measured
                self._waits.add(population.waits)
                self._latencies[population.name].add(population.latencies)
                self._first_thoughts[population.name].add(population.first_thoughts)
            population.waits.clear()
            population.latencies.clear()
            population.first_thoughts.clear()

    def _settle(self) -> dict[str, Counts]:
        """The final counts of each kind; nothing was lost."""
        world = self._world
        for node in (*world.cluster.nodes, *world.gone):
            scheduler = node.scheduler
            assert scheduler.submitted == scheduler.rejected + scheduler.waiting + scheduler.running + scheduler.ended
        accepted = [job for node in world.cluster.nodes for job in node.scheduler.unfinished()]
        kinds = {population.name: population.settle(accepted) for population in world.populations}
        for name, counts in kinds.items():
            assert counts.conserved, f"queries of {name!r} were lost or counted twice: {counts}"
        return kinds

    def _state(self) -> tuple[float, ...]:
        nodes = self._world.cluster.nodes
        each = [population.counts for population in self._world.populations]
        return (
            self._world.env.time(), *(sum(getattr(counts, name) for counts in each) for name in COUNTED),
            self._served(), self._wasted(),
            sum(node.scheduler.waiting for node in nodes), sum(node.scheduler.running for node in nodes),
        )  # fmt: skip

    def _counts(self) -> Counts:
        return sum((population.counts for population in self._world.populations), Counts())

    def _served(self) -> float:
        now = self._world.env.time()
        up = sum(node.served_so_far(now) for node in self._world.cluster.nodes)
        return up + sum(node.served for node in self._world.gone)

    def _useful(self) -> float:
        return sum(population.useful for population in self._world.populations)

    def _wasted(self) -> float:
        return sum(population.wasted for population in self._world.populations)
