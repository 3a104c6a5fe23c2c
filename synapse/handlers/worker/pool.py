"""Who works under which name, and who is given which query. A runner, as the core has them: plain and synchronous.

A worker is given as many queries at once as it has said that it takes; the balancer chooses among those that have a
place free. While none has, queries wait here, up to a bound. A worker that goes takes its queries with it: each ends
at once, with an error that says so. It may have run in part, so it is not given to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Protocol

from synapse.cortex import Clock, Job
from synapse.handlers.thinking import PromptReaders, Readers
from synapse.policies import decode
from synapse.policies.balancing import Balancer
from synapse.protocol import WORKER
from synapse.protocol.messages import LONGEST
from synapse.protocol.work import Done, Stop, Work

GONE, NOT_HERE, BUSY = "worker_gone", "no_worker", "overloaded"
"""Reasons of the endings that the pool itself brings about."""


class Line(Protocol):
    """The way to a worker: its channel."""

    def push(self, event: str, payload: Any) -> None:
        """Send it a message."""


class Seat:
    """One worker: a name, a line, and what it works on.

    Parameters
    ----------
    worker
        Under which name it works, without ``worker:``.
    name
        Its own, among all: balancers tell seats apart by it.
    line
        The way to it.
    concurrency
        How many queries it takes at once.

    Attributes
    ----------
    jobs : dict
        By number, what it has not yet said ``done`` of. None for a query that has ended meanwhile: it still takes a
        place, as the worker is still at it.
    """

    __slots__ = ("concurrency", "jobs", "line", "name", "worker")

    def __init__(self, worker: str, name: str, line: Line, concurrency: int) -> None:
        self.worker = worker
        self.name = name
        self.line = line
        self.concurrency = concurrency
        self.jobs: dict[str, Job | None] = {}

    @property
    def load(self) -> float:
        """How much of what it can do it does, from 0 to 1: what balancers look at."""
        return len(self.jobs) / self.concurrency

    @property
    def is_free(self) -> bool:
        """Whether it can take one more."""
        return len(self.jobs) < self.concurrency


class _Crew:
    """All workers of one name, and what waits for them."""

    def __init__(self, balancer: Balancer) -> None:
        self.seats: list[Seat] = []
        self.waiting: dict[Job, None] = {}  # ordered: the longest waiting first
        self.balancer = balancer


class WorkerPool:
    """A `synapse.cortex.scheduler.Runner` whose work is done by workers.

    Parameters
    ----------
    clock
        Time, handed in.
    random
        A source of uniform numbers in [0, 1), for the balancer.
    balancing
        Which of several workers is given a query: a policy of balancing.
    max_waiting
        How many queries may wait for the workers of one name. One more ends as ``overloaded``.

    Raises
    ------
    PolicyError
        If `balancing` is no such policy.
    ValueError
        If `max_waiting` is negative.
    """

    def __init__(
        self,
        clock: Clock,
        random: Callable[[], float],
        *,
        balancing: Mapping[str, Any] | str = "least-loaded",
        max_waiting: int = 100,
    ) -> None:
        if max_waiting < 0:
            raise ValueError(f"max_waiting: must not be negative, not {max_waiting}")
        self._clock = clock
        self._random = random
        self._balancing = decode("balancing", balancing, "balancing")
        self._max_waiting = max_waiting
        self._readers: Readers = PromptReaders()
        self._crews: dict[str, _Crew] = {}
        self._numbers = count(1)

    def __repr__(self) -> str:
        seats = [seat for crew in self._crews.values() for seat in crew.seats]
        return f"<WorkerPool {len(seats)} workers, {sum(len(seat.jobs) for seat in seats)} queries>"

    def bind(self, readers: Readers) -> None:
        """Say whose pace to keep: a second step, as who knows the readers needs its runner first."""
        self._readers = readers

    def workers(self) -> dict[str, list[Seat]]:
        """Who is here, by name, the longest here first."""
        return {name: [*crew.seats] for name, crew in self._crews.items()}

    def waiting(self, name: str) -> int:
        """How many queries wait for the workers of a name."""
        crew = self._crews.get(name)
        return 0 if crew is None else len(crew.waiting)

    # The runner's side

    def start(self, job: Job) -> None:
        """Give a query to a worker, now or when one is free."""
        worker = job.handler.removeprefix(WORKER)
        crew = self._crews.get(worker)
        if crew is None:
            self._fail_soon(job, {"reason": NOT_HERE, "detail": f"no worker {worker!r} is here"})
        elif not crew.waiting and self._give(crew, job):
            return
        elif len(crew.waiting) < self._max_waiting:
            job.work = crew
            crew.waiting[job] = None
        else:
            self._fail_soon(job, {"reason": BUSY, "detail": f"too many queries wait for the workers {worker!r}"})

    def cancel(self, job: Job) -> None:
        """Tell the worker, if it was given to one, that a query has ended."""
        work, job.work = job.work, None
        if isinstance(work, _Crew):
            work.waiting.pop(job, None)
        elif work is not None:
            seat, number = work
            seat.jobs[number] = None
            seat.line.push("stop", Stop(number, job.reason or job.status or "ended"))

    # The workers' side

    def arrived(self, seat: Seat) -> None:
        """A worker is here."""
        crew = self._crews.get(seat.worker)
        if crew is None:
            crew = self._crews[seat.worker] = _Crew(self._balancing.start(self._clock.time()))
        crew.seats.append(seat)
        self._give_waiting(crew)

    def left(self, seat: Seat) -> None:
        """A worker has gone: so have its queries, and those that wait, if it was the last one."""
        crew = self._crews.get(seat.worker)
        if crew is None or seat not in crew.seats:
            return
        crew.seats.remove(seat)
        lost = [job for job in seat.jobs.values() if job is not None]
        seat.jobs.clear()
        stranded: list[Job] = []
        if not crew.seats:
            del self._crews[seat.worker]
            stranded = [*crew.waiting]
        for job in lost:
            job.work = None
            detail = f"the worker {seat.worker!r} went while it worked on this query, which may have run in part"
            self._fail(job, {"reason": GONE, "detail": detail})
        for job in stranded:
            job.work = None
            self._fail(job, {"reason": GONE, "detail": f"the last worker {seat.worker!r} went; nothing has run"})

    def think(self, seat: Seat, number: str, thoughts: list[Any], taken: Callable[[], object]) -> bool:
        """Deliver a worker's thoughts. Calls `taken` when it may send more; False if no one listens any more."""
        job = seat.jobs.get(number)
        if job is None:
            return False
        for thought in thoughts:
            if not job.scheduler.think(job, thought):
                return False
        if self._readers.lagging(job.agent):
            self._readers.hold(job.agent, taken)
        else:
            taken()
        return True

    def done(self, seat: Seat, done: Done) -> bool:
        """End a query as its worker says, unless it has ended before, and free its place. False if it has no such."""
        if done.job not in seat.jobs:
            return False
        job = seat.jobs.pop(done.job)
        self._give_waiting(self._crews[seat.worker])  # before the ending brings more
        if job is not None:
            job.work = None
            job.scheduler.finish(job, done.status, done.data, done.reason)
        return True

    # Inner workings

    def _give(self, crew: _Crew, job: Job) -> bool:
        """Give a query to a worker that has a place free. False if none has."""
        free = [seat for seat in crew.seats if seat.is_free]
        if not free:
            return False
        seat = crew.balancer.choose(free, job.agent, self._random())
        number = str(next(self._numbers))
        seat.jobs[number] = job
        job.work = (seat, number)
        seat.line.push("work", Work(number, job.agent, job.body, self._time_left(job)))
        return True

    def _give_waiting(self, crew: _Crew) -> None:
        while crew.waiting and any(seat.is_free for seat in crew.seats):
            job = next(iter(crew.waiting))
            del crew.waiting[job]
            self._give(crew, job)

    def _time_left(self, job: Job) -> int | None:
        """In ms. None: for longer than a message can say; the server will end it."""
        left = (job.deadline - self._clock.time()) * 1000
        return None if left > LONGEST else max(1, round(left))

    def _fail_soon(self, job: Job, data: dict[str, str]) -> None:
        """Not at once: a runner returns from `start` before it reports."""
        self._clock.call_later(0, lambda: self._fail(job, data))

    def _fail(self, job: Job, data: dict[str, str]) -> None:
        job.scheduler.finish(job, "error", data, data["reason"])
