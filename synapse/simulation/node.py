"""A simulated node: the cortex's own scheduler, and a runner that takes its time.

The scheduler is the live server's class with the live server's policies. The runner has slots, in each of which a query
is served for as long as its demand says. Queries that the scheduler lets run beyond the slots wait inside the node,
as they would for the cores of a machine.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from synapse.cortex import Outlet, State
from synapse.cortex.job import Job
from synapse.cortex.scheduler import Scheduler
from synapse.policies import Fixed, Policies, Retry
from synapse.simulation.env import Schedule
from synapse.telemetry.events import Bus

if TYPE_CHECKING:
    from synapse.simulation.population import Population

NEW, RUNNING = State.NEW, State.RUNNING


class Try(Job):
    """One try of a query: what a node knows of it, and what its agent does.

    Parameters
    ----------
    population, row
        Whose it is: a kind of agents, and which of them.
    agent, priority, key, attempt
        As in `Job`.
    asked
        When the query was first tried, s.

    Attributes
    ----------
    until : float
        When the agent's patience with the query ends, s.
    backoff : Retry or None
        The running state of the retry policy for the query.
    wanted : bool
        Whether the agent waits for it.
    demand, first : float
        How long it has to be served, and how long of that until its first thought, s.
    gaps : list of float
        How long it takes from thought to thought, s.
    node : Node or None
        Where it is.
    sent : float
        When the agent sent it, s, if its timeout learns from that.
    began : float
        When its service began, s.
    served : float
        How long it has held a slot, s, once that has ended.
    """

    __slots__ = ("asked", "backoff", "began", "demand", "first", "gaps", "node", "population", "row", "sent",
                 "served", "until", "wanted")  # fmt: skip

    def __init__(
        self, population: Population, row: int, agent: str, priority: int, key: str, attempt: int, asked: float
    ) -> None:
        self.population = population
        self.row = row
        self.agent = agent
        self.ref = ""
        self.priority = priority
        self.key = key
        self.attempt = attempt
        self.asked = asked
        self.handler, self.body, self.connection, self.cost, self.limit = "", None, 0, 1, None
        self.state = NEW
        self.started: float | None = None
        self.first_thought: float | None = None
        self.status: str | None = None
        self.thoughts = 0
        self.work: float | None = None  # when its service will have ended, s
        self.wanted = True
        self.backoff: Retry | None = None
        self.node: Node | None = None
        self.until = self.sent = self.demand = self.first = self.began = self.served = 0.0
        self.gaps: list[float] | None = None


class Node:
    """One node, from one start to its crash. It is the runner of its scheduler.

    Parameters
    ----------
    env
        The clock.
    name
        In tables.
    policies
        Its rules.
    slots
        Queries that it can work on at once.
    outlet
        Who hears of thoughts and endings.
    stops
        Whether work stops when its query has ended.
    thoughts
        How many an answer has.
    bus
        Where its scheduler announces what happens.

    Attributes
    ----------
    up : bool
        Whether it is there.
    factor : float
        How many times as long service takes that begins now.
    served, in_vain : float
        Slot-time used, s: all of it, and what was used for queries that had ended.
    """

    __slots__ = ("_done_call", "_env", "_stops", "_thoughts", "factor", "in_vain", "name", "scheduler", "served",
                 "slots", "up")  # fmt: skip

    def __init__(
        self,
        env: Schedule,
        name: str,
        policies: Policies,
        slots: int,
        outlet: Outlet,
        stops: bool = True,
        thoughts: int = 0,
        bus: Bus | None = None,
    ) -> None:
        self._env = env
        self._stops = stops
        self.name = name
        self.slots = slots
        self._thoughts = thoughts
        self._done_call: Callable[[Try], None] = self._done
        env.lapses(self._done_call, _is_over)
        self.factor = 1.0
        self.up = True
        self.served = self.in_vain = 0.0
        self.scheduler = Scheduler(env, self, outlet, policies, bus, name)  # type: ignore[arg-type] # its jobs are tries

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self.busy}/{self.slots} slots, {self.scheduler!r}>"

    @property
    def load(self) -> int:
        """Queries that it has accepted and not ended."""
        scheduler = self.scheduler
        return scheduler.submitted - scheduler.rejected - scheduler.ended

    @property
    def busy(self) -> int:
        """How many slots are in use."""
        return len(list(self.serving()))

    def serving(self) -> Iterable[Try]:
        """Who holds a slot."""
        scheduler = self.scheduler
        return islice(scheduler.unfinished(), scheduler.running)  # type: ignore[arg-type]

    def served_so_far(self, now: float) -> float:
        """Slot-time used, s, with what is being used."""
        return self.served + sum(now - job.began for job in self.serving())

    def crash(self) -> None:
        """Go, with all that waits or runs here. The scheduler tells each its ending."""
        self.up = False
        self.scheduler.drain()
        self.scheduler.interrupt_all("crash")

    def start(self, job: Try) -> None:
        """Serve a try from now on."""
        env = self._env
        job.began = now = env._now
        job.work = due = now + job.demand * self.factor
        env.call_at(due, self._done_call, job)

    def cancel(self, job: Try) -> None:
        """Its query has ended: stop."""
        if job.work is not None:
            self._env.forget_one()
            job.work = None
        self._account_for(job, self._env._now - job.began)

    def _done(self, job: Try) -> None:
        now = self._env._now
        if job.work != now:
            self._env.lapse()
            return
        job.work = None
        job.served = now - job.began
        self.served += job.served
        if self._thoughts:
            self._tell_thoughts(job, now)
        self.scheduler.finish(job, "success")

    def _tell_thoughts(self, job: Try, now: float) -> None:
        """The thoughts that came on the way. No one has looked at each of them, so they are told together."""
        if job.state is RUNNING:
            job.thoughts = self._thoughts
            job.first_thought = now if not job.demand else now - job.served * (1.0 - job.first / job.demand)

    def _account_for(self, job: Try, served: float) -> None:
        """Slot-time was used in vain."""
        self.served += served
        self.in_vain += served
        job.population.wasted += served


class CrowdedNode(Node):
    """A node that may have more to do at once than it has slots: its scheduler lets more run, or work never stops."""

    __slots__ = ("_backlog", "_serving")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._serving: dict[Try, None] = {}  # in the order of their beginnings, so that nothing hangs on addresses
        self._backlog: OrderedDict[Try, None] = OrderedDict()

    def serving(self) -> Iterable[Try]:
        return self._serving

    def crash(self) -> None:
        super().crash()
        for job in list(self._serving):
            del self._serving[job]
            super().cancel(job)

    def start(self, job: Try) -> None:
        """Serve a try, as soon as a slot is free."""
        if len(self._serving) < self.slots:
            self._serving[job] = None
            self.serve(job)
        else:
            self._backlog[job] = None

    def serve(self, job: Try) -> None:
        """Serve a try from now on, in a slot of its own."""
        super().start(job)

    def cancel(self, job: Try) -> None:
        if job in self._backlog:
            del self._backlog[job]
        elif self._stops and job in self._serving:
            del self._serving[job]
            super().cancel(job)
            self._next()

    def _done(self, job: Try) -> None:
        if job.work != self._env._now:
            self._env.lapse()
            return
        del self._serving[job]
        self._next()
        if job.state is RUNNING:
            Node._done(self, job)  # Cython knows no super() here
        else:
            job.work = None
            self._account_for(job, self._env._now - job.began)

    def _next(self) -> None:
        if self._backlog and len(self._serving) < self.slots and self.up:
            job, _ = self._backlog.popitem(last=False)
            self.start(job)


def sort_for(policies: Policies, slots: int, stops: bool) -> type[Node]:
    """The simplest sort of node that will do."""
    concurrency = policies.concurrency
    is_simple = stops and isinstance(concurrency, Fixed) and concurrency.limit <= slots
    return Node if is_simple else CrowdedNode


def _is_over(at: float, job: Try) -> bool:
    due: float | None = job.work
    return due != at
