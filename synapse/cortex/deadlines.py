"""Deadlines of many jobs by one timer.

A timer for each job costs as much as the rest of its scheduling, and nearly all of them are cancelled. Here a job only
stands in line; one timer looks, when the first in line is due, who has not ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import chain
from operator import attrgetter

from synapse.cortex.clock import Clock, Timer
from synapse.cortex.job import Job, State

FEW = 16  # ended jobs that are not worth a sweep
ENDED = State.ENDED


class Deadlines:
    """Who must have ended by when.

    Most jobs come with the same patience, so that they stand in a line in the order of their deadlines; who comes out
    of order goes on a heap. Of two with the same deadline, who is in the line came first. Jobs that have ended leave
    at a sweep: there are never more than twice as many jobs as there were others at the last sweep, and `FEW`.

    Parameters
    ----------
    clock
        For the timer.
    expire
        Called with each job that is due and has not ended, and with the time. It must end it.
    """

    __slots__ = ("_clock", "_due", "_expire", "_heap", "_line", "_number", "_room", "_timer")

    def __init__(self, clock: Clock, expire: Callable[[Job, float], object]) -> None:
        self._clock = clock
        self._expire = expire
        self._line: deque[Job] = deque()
        self._heap: list[tuple[float, int, Job]] = []
        self._number = 0
        self._room = FEW  # jobs that may be here before a sweep
        self._timer: Timer | None = None
        self._due = float("inf")  # s, when the timer is

    def __len__(self) -> int:
        """How many are here, with those that have ended."""
        return len(self._line) + len(self._heap)

    def add(self, job: Job, now: float) -> None:
        """Expire a job at its deadline, if it has not ended by then."""
        deadline, line, heap = job.deadline, self._line, self._heap
        if deadline < line[-1].deadline if line else heap:  # the line begins anew only when no one is before it
            self._number += 1
            heappush(heap, (deadline, self._number, job))
        else:
            line.append(job)
        if len(line) + len(heap) > self._room:
            self._sweep()
        if deadline < self._due:
            self._arm(deadline, now)

    def clear(self) -> None:
        """Forget all: they have ended."""
        self._line.clear()
        self._heap.clear()
        self._room = FEW
        self._due = float("inf")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        """Forget those who have ended, and let the others stand in one line: its end may have gone."""
        jobs = chain(self._line, (job for _, _, job in sorted(self._heap)))
        self._line = deque(sorted((job for job in jobs if job.state is not ENDED), key=attrgetter("deadline")))
        self._heap.clear()
        self._room = 2 * len(self) + FEW

    def _arm(self, due: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.call_later(due - now, self._look)

    def _look(self) -> None:
        self._timer, self._due = None, float("inf")
        now = self._clock.time()
        while (job := self._first()) is not None:
            if job.deadline > now:
                if job.deadline < self._due:  # who was added meanwhile may have armed it
                    self._arm(job.deadline, now)
                return
            self._expire(job, now)

    def _first(self) -> Job | None:
        """Of those that have not ended, who is due first."""
        line, heap = self._line, self._heap
        while line and line[0].state is ENDED:
            line.popleft()
        while heap and heap[0][2].state is ENDED:
            heappop(heap)
        if not line or not heap:
            return line[0] if line else heap[0][2] if heap else None
        return line[0] if line[0].deadline <= heap[0][0] else heap[0][2]
