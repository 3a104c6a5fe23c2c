"""What the scheduler itself costs a query, in us of CPU: no handler, no socket, a clock that is told the time.

From `submit` to the ending, with its timer, its slot and its books. Target: 10 us.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from synapse.cortex import Job, Scheduler
from synapse.policies import Fifo, Fixed, Policies, TokenBucket
from synapse.telemetry import Bus, Event

TARGET_US = 10.0
BACKLOG = 50  # queries that wait, where some do

Case = tuple[str, Callable[[int], float]]
"""Name, and what measures so many queries and returns the us each."""


class _Timer:
    def cancel(self) -> None:
        """Nothing would have happened."""


class _Clock:
    """Stands where it is put, and forgets what it is asked to call."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timer = _Timer()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> _Timer:
        return self._timer


class _Runner:
    """Keeps what has started, in order; the benchmark says when it ends."""

    def __init__(self) -> None:
        self.started: list[Job] = []
        self.start = self.started.append

    def cancel(self, job: Job) -> None:
        """Nothing is at work."""


class _Outlet:
    def thought(self, job: Job, thought: Any) -> None:
        """Nobody listens."""

    def ended(self, job: Job, data: Any) -> None:
        """Nobody waits."""


def cases() -> Iterator[Case]:
    """All of them."""
    limit = TokenBucket(rate=1e9, burst=1000)
    yield "a slot is free", lambda count: per_query(count, Policies())
    yield "a slot is free, rate limit", lambda count: per_query(count, Policies(rate_limit=limit))
    yield f"{BACKLOG} wait, by priority", lambda count: per_query(count, Policies(concurrency=Fixed(1)), BACKLOG)
    yield f"{BACKLOG} wait, fifo", lambda count: per_query(count, Policies(Fifo(), Fixed(1)), BACKLOG)
    yield "a slot is free, one listener", lambda count: per_query(count, Policies(), listener=_ignore)


def per_query(
    count: int, policies: Policies, backlog: int = 0, listener: Callable[[Event], None] | None = None
) -> float:
    """Run so many queries through a scheduler that has `backlog` of them waiting all the time. Returns us each."""
    clock, runner, bus = _Clock(), _Runner(), Bus()
    scheduler = Scheduler(clock, runner, _Outlet(), policies, bus)
    if listener is not None:
        bus.listen(listener)
    jobs = [
        Job(f"agent-{number % 100}", str(number), priority=number % 10, timeout=30.0)
        for number in range(count + backlog + 1)
    ]
    for job in jobs[: backlog + 1 if backlog else 0]:
        scheduler.submit(job)
    fresh = jobs[backlog + 1 if backlog else 1 :]
    started = iter(runner.started)
    began = time.process_time_ns()
    for job in fresh:
        clock.now += 1e-3
        scheduler.submit(job)
        scheduler.finish(next(started), "success")
    took = time.process_time_ns() - began
    assert (scheduler.ended, scheduler.waiting) == (count, backlog)
    return took / count / 1e3


def measure(count: int = 20_000, repeat: int = 7) -> Iterator[tuple[str, float]]:
    """Each case's name and the best of so many runs, in us: what disturbs only ever adds."""
    for name, case in cases():
        best = math.inf
        for _ in range(repeat):
            best = min(best, case(count))
        yield name, best


def _ignore(event: Event) -> None:
    """Hear, and do nothing."""
