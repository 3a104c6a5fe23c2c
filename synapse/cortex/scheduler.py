"""The scheduler runs a query's life: admission queue, concurrency slot, runner, timeout, one ending.

It knows no socket, channel or handler, so a simulated node runs the very same class. It conserves
queries: submitted = rejected + waiting + running + ended, at every moment. Whatever it is told, it looks at the
clock at most once for it: so what it decides follows from what it is told and when, and can be played again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from synapse.cortex.clock import Clock
from synapse.cortex.deadlines import Deadlines
from synapse.cortex.job import Job, State
from synapse.policies import Concurrency, FixedTimeout, Gate, NoTimeout, Policies, Queue, Timeout, kind_of, move
from synapse.telemetry import events

log = logging.getLogger(__name__)

WAITING, RUNNING, ENDED = State.WAITING, State.RUNNING, State.ENDED  # here, as each look at an enum costs

FOREVER = math.inf
RECENT = 20  # runs over which the mean goes back
SOONEST_RETRY = 0.1  # s; before any run was measured, or with very short ones, a hint of 0 would invite a hot loop


class Runner(Protocol):
    """Does the work of queries. It reports by `think` and `finish` of the job's own `scheduler`."""

    def start(self, job: Job) -> None:
        """Begin to work on a job. Must return before it reports anything."""

    def cancel(self, job: Job) -> None:
        """Stop working on a job: it has ended (`job.status`, `job.reason`) and no one listens any more."""


class Outlet(Protocol):
    """Where a query's thoughts and its ending go."""

    def thought(self, job: Job, thought: Any) -> None:
        """Deliver a thought. Raises TypeError if it has no wire form."""

    def ended(self, job: Job, data: Any) -> None:
        """Deliver the ending that `job.status` names. Called once an accepted job; must not raise."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a query was not accepted. `retry_after` is in s, None when asking again is of no use."""

    reason: str
    policy: str
    retry_after: float | None = None


class Scheduler:
    """Admits, starts, times out and ends queries.

    Parameters
    ----------
    clock, runner, outlet
        Time, work and delivery, handed in by the driver.
    policies
        The rules.
    bus
        Where events are announced.
    node
        The name of this node in events.
    shared
        A gate whose rate limits count here, too, besides those of the policies.
    """

    def __init__(
        self,
        clock: Clock,
        runner: Runner,
        outlet: Outlet,
        policies: Policies | None = None,
        bus: events.Bus | None = None,
        node: str = "local",
        shared: Gate | None = None,
    ) -> None:
        self._clock = clock
        self._time = clock.time
        self._runner = runner
        self._outlet = outlet
        self._bus = bus or events.Bus()
        self._listeners = self._bus.listeners
        self._node = node
        self.policies = policies or Policies()
        now = clock.time()
        self.gate = Gate(self.policies.rate_limit, now, shared=shared)
        self._queue: Queue[Job] = self.policies.queue.start(now)
        self._concurrency: Concurrency = self.policies.concurrency.start(now)
        self._timeout: Timeout = self.policies.timeout.start(now)
        self.draining = False
        self._look_at_policies()
        self._running: dict[Job, None] = {}  # ordered, so that draining ends the oldest first
        self._deadlines = Deadlines(clock, self._expire)
        self._watch = self._deadlines.add
        self._runs = 0
        self._mean_run = 0.0  # s, an exponentially weighted mean over about the last `RECENT` runs
        self.submitted = self.rejected = self.ended = 0

    def _look_at_policies(self) -> None:
        """See once which of them have nothing to say, so that they need not be asked for each query."""
        self._is_guarded = self.draining or self.gate.limits
        self._patience = patience(self._timeout)
        self._start_is_news = learns(self._concurrency)
        self._run_is_news = learns(self._concurrency) or learns(self._queue)
        self._latency_is_news = learns(self._timeout)
        self._may_wait = True  # False: no one waits, and the queue was told that it is asked in vain

    @property
    def waiting(self) -> int:
        """How many accepted queries wait for a slot."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """How many queries hold a slot."""
        return len(self._running)

    def unfinished(self) -> Iterator[Job]:
        """Accepted jobs that have not ended: those that run, oldest first, then those that wait."""
        yield from self._running
        yield from self._queue

    @property
    def limit(self) -> int:
        """How many may run at once, now."""
        return self._concurrency.limit

    def __repr__(self) -> str:
        return (
            f"<Scheduler {self.running}/{self.limit} running, {self.waiting} waiting, "
            f"{self.ended} ended, {self.rejected} rejected>"
        )

    def submit(self, job: Job) -> Refusal | None:
        """Ask for a job to be run. None means accepted: exactly one ending will follow, never at once."""
        now = self._time()
        job.submitted = now
        job.scheduler = self
        self.submitted += 1
        heard = self._listeners
        if heard:
            self._bus.emit(events.Submitted(now, self._node, job.agent, job.ref, job.priority, job.handler))
        if (self._is_guarded or job.limit is not None) and (refusal := self._turn_away(job, now)) is not None:
            return self._reject(job, now, refusal)
        if self._patience is None:
            job.deadline = self._timeout.deadline(now, job.timeout, job.priority)
        else:
            job.deadline = now + (self._patience if job.timeout is None else job.timeout)
        waits = len(self._running) >= self._concurrency.limit or (self._may_wait and len(self._queue) > 0)
        evicted: Sequence[Job] = ()
        if waits:
            evicted = self._queue.offer(job, now)
            self._may_wait = True
            if evicted and job in evicted:
                return self._reject(job, now, Refusal("overloaded", self._queue_kind, self._expected_wait()))
            job.state = WAITING
        job.admitted = now
        if job.deadline < FOREVER:
            self._watch(job, now)
        if heard:
            self._bus.emit(events.Admitted(now, self._node, job.agent, job.ref, job.priority))
        if not waits:
            self._start(job, now)
        elif evicted:
            self._evict(evicted, now)
        return None

    def think(self, job: Job, thought: Any) -> bool:
        """Deliver a running job's thought. False if it has ended meanwhile: the runner should stop."""
        if job.state is not RUNNING:
            return False
        self._outlet.thought(job, thought)
        job.thoughts += 1
        if job.first_thought is None or self._listeners:
            now = self._time()
            if job.first_thought is None:
                job.first_thought = now
            if self._listeners:
                self._bus.emit(events.Thought(now, self._node, job.agent, job.ref, job.thoughts))
        return True

    def finish(self, job: Job, status: str, data: Any = None, reason: str | None = None) -> bool:
        """Report a running job's own ending. False if it has ended before, by timeout or interrupt."""
        if job.state is not RUNNING:
            return False
        now = self._time()
        self._end(job, now, status, reason, data)
        if self._may_wait:
            self._fill(now)
        return True

    def interrupt(self, job: Job, reason: str) -> bool:
        """End an accepted job from outside. False if it has ended before."""
        return self._stop(job, self._time(), "interrupted", reason)

    def replace(self, policies: Policies, shared: Gate | None = None) -> None:
        """Go on under other rules. What runs, runs on; what waits, waits on as far as the new queue has room.

        Running state carries over where the kind of a policy stays the same. `shared` is as in the constructor.
        """
        now = self._time()
        old, self.policies = self.policies, policies
        self.gate = Gate(policies.rate_limit, now, before=self.gate, shared=shared)
        self._timeout = policies.timeout.start(now, self._timeout)
        if policies.concurrency != old.concurrency:
            self._concurrency = policies.concurrency.start(now, self._concurrency, self.running)
        evicted: list[Job] = []
        if policies.queue != old.queue:
            before, self._queue = self._queue, policies.queue.start(now)
            evicted = move(before, self._queue, now)
        self._look_at_policies()
        self._evict(evicted, now)
        self._fill(now)

    def drain(self) -> None:
        """Accept nothing more; what was accepted goes on. See `interrupt_all`."""
        self.draining = self._is_guarded = True

    def interrupt_all(self, reason: str) -> None:
        """End all that waits and runs."""
        now = self._time()
        while len(self._queue):
            job, evicted = self._queue.take(now)
            for waiting in filter(None, (job, *evicted)):
                self._end(waiting, now, "interrupted", reason, None)
        for running in list(self._running):
            self._stop(running, now, "interrupted", reason)

    def _turn_away(self, job: Job, now: float) -> Refusal | None:
        """Why a job may not come in at all, if it may not."""
        if self.draining:
            return Refusal("shutting_down", "drain")
        verdict = self.gate.admit(now, job, job.cost, job.limit)
        return None if verdict else Refusal("rate_limited", verdict.policy, verdict.retry_after)

    def _start(self, job: Job, now: float) -> None:
        job.state = RUNNING
        job.started = now
        self._running[job] = None
        if self._start_is_news:
            self._concurrency.on_start(now)
        if self._listeners:
            self._bus.emit(events.Started(now, self._node, job.agent, job.ref, now - job.submitted, job.handler))
        try:
            self._runner.start(job)
        except Exception:
            log.exception("%r could not be started", job)
            said = {"reason": "internal error"}
            self._clock.call_later(0, partial(self.finish, job, "error", said, "internal error"))

    def _fill(self, now: float) -> None:
        """Give free slots to those who wait."""
        while len(self._running) < self._concurrency.limit:
            job, evicted = self._queue.take(now)
            if evicted:
                self._evict(evicted, now)
            if job is None:
                self._may_wait = False
                return
            self._start(job, now)

    def _evict(self, jobs: Iterable[Job], now: float) -> None:
        for job in jobs:
            self._end(job, now, "error", "overloaded", {"reason": "overloaded", "policy": self._queue_kind})

    @property
    def _queue_kind(self) -> str:
        return kind_of(type(self.policies.queue))

    def _expire(self, job: Job, now: float) -> None:
        self._stop(job, now, "timeout", "timeout", {"reason": "timeout"})

    def _stop(self, job: Job, now: float, status: str, reason: str, data: Any = None) -> bool:
        if job.state is WAITING:
            self._queue.remove(job)
            self._end(job, now, status, reason, data)
        elif job.state is RUNNING:
            self._end(job, now, status, reason, data)
            try:
                self._runner.cancel(job)
            except Exception:
                log.exception("%r could not be cancelled", job)
            self._fill(now)
        else:
            return False
        return True

    def _end(self, job: Job, now: float, status: str, reason: str | None, data: Any) -> None:
        if job.state is RUNNING:
            del self._running[job]
            rtt = 0.0 if job.started is None else now - job.started
            if self._runs < RECENT:
                self._runs += 1
            self._mean_run += (rtt - self._mean_run) / self._runs
            if self._run_is_news:
                self._tell(now, rtt, status)
        if self._latency_is_news and status != "interrupted":
            self._timeout.observe(now - job.submitted)
        job.state = ENDED
        job.status = status
        job.reason = reason
        job.finished = now
        self.ended += 1
        if self.submitted == self.rejected + self.ended:
            self._deadlines.clear()  # no timer for no one
        self._outlet.ended(job, data)
        if self._listeners:
            self._bus.emit(_finished(job, now, self._node))

    def _tell(self, now: float, rtt: float, status: str) -> None:
        """Tell those policies of a run's end that learn from it. An interrupt says nothing of the load."""
        if status == "interrupted":
            self._concurrency.on_ignore(now)
        else:
            self._concurrency.on_finish(now, rtt, status == "timeout")
            self._queue.observe(rtt)

    def _reject(self, job: Job, now: float, refusal: Refusal) -> Refusal:
        job.state, job.status, job.reason, job.finished = ENDED, "rejected", refusal.reason, now
        self.rejected += 1
        if self._listeners:
            self._bus.emit(
                events.Rejected(
                    now, self._node, job.agent, job.ref, job.priority, job.attempt,
                    refusal.reason, refusal.policy, refusal.retry_after, job.handler,
                )
            )  # fmt: skip
        return refusal

    def _expected_wait(self) -> float:
        """When the queue should have moved on by its length, in s. Little's law on recent runs."""
        expected = self._mean_run * (len(self._queue) + 1) / max(1, self._concurrency.limit)
        return max(expected, SOONEST_RETRY)


def learns(state: object) -> bool:
    """Whether a policy's running state wants to be told what happens. One that does not say so does."""
    return bool(getattr(state, "learns", True))


def patience(timeout: Timeout) -> float | None:
    """How long all may take that name no timeout of their own, s; None if it is not the same for all."""
    if type(timeout) is FixedTimeout:  # not a subclass, which may say otherwise
        return timeout.seconds
    return FOREVER if type(timeout) is NoTimeout else None


def _finished(job: Job, now: float, node: str) -> events.Finished:
    return events.Finished(
        now, node, job.agent, job.ref, job.priority, job.attempt, job.submitted, job.admitted or job.submitted,
        job.started, job.first_thought, job.status or "", job.reason, job.thoughts,
    )  # fmt: skip
