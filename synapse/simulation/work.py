"""How much work queries are: what an agent's n-th query needs of a node, whatever node that is."""

from __future__ import annotations

from collections.abc import Callable

from synapse.simulation.chance import Chance
from synapse.simulation.distributions import Law
from synapse.simulation.node import Try


class Work:
    """Demands of one kind's queries, in s of a slot.

    A later try of a query is new work, drawn from a stream of its own: so an agent's first tries draw the same numbers
    under any retry policy.

    Parameters
    ----------
    chance
        The streams.
    service
        The law of demands; with `gap`, of the times to the first thought.
    thoughts, gap
        Thoughts of an answer, and the law of the times between them. None: they are spread evenly over the service.
    in_sequence
        Whether first tries come in an order that no policy changes: then one stream does for all agents.
    """

    def __init__(
        self, chance: Chance, service: Law, thoughts: int = 0, gap: Law | None = None, in_sequence: bool = False
    ) -> None:
        self._thoughts, self._gap = thoughts, gap
        self._in_sequence = chance.stream("service", service) if in_sequence else None
        self._first: Callable[[int], float] | None = None if in_sequence else chance.rows("service", service).draw
        self._again: Callable[[int], float] = lambda row: chance.draw("service again", row, service)
        self._gaps = None if gap is None or thoughts < 2 else chance.bundles("gap", thoughts - 1, gap)

    def give(self, job: Try) -> None:
        """Say how much work a try is; and, if its answer is streamed, when its thoughts come."""
        if job.attempt > 1:
            job.demand = self._again(job.row)
        elif self._in_sequence is not None:
            job.demand = next(self._in_sequence)
        else:
            assert self._first is not None
            job.demand = self._first(job.row)
        if self._thoughts:
            self._divide(job)

    def _divide(self, job: Try) -> None:
        if self._gap is None:
            job.first = job.demand / self._thoughts
            job.gaps = [job.first] * (self._thoughts - 1)
            return
        job.first = job.demand
        job.gaps = [] if self._gaps is None else self._gaps.draw(job.row).tolist()
        job.demand += sum(job.gaps)
