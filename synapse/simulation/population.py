"""What agents of a kind have in common: they ask, wait, lose patience, try again, give up.

A `Population` is all of them: their laws, policies and streams of chance, and a row of state for each. Nothing here is
a process: each step is a plain call on the schedule, and what an agent waits for is a `Try`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from synapse.cortex import Refusal
from synapse.cortex.job import Job
from synapse.cortex.scheduler import learns, patience
from synapse.policies import FixedTimeout, Guard, GuardPolicy, NoRetry, RetryPolicy, TimeoutPolicy
from synapse.simulation.chance import Chance
from synapse.simulation.cluster import Cluster
from synapse.simulation.distributions import Law
from synapse.simulation.env import Schedule
from synapse.simulation.lines import Line
from synapse.simulation.mailboxes import Mailroom
from synapse.simulation.node import Try
from synapse.simulation.spec.agents import OnTimeout
from synapse.simulation.tally import Counts
from synapse.simulation.work import Work


class Manner(msgspec.Struct, frozen=True):
    """How agents of a kind behave: what `Agents` and `Kind` say, for one kind.

    Parameters
    ----------
    name
        The kind's.
    priority, key, timeout, on_timeout, patience, give_up_after, retry, retry_on, budget, budget_per
        As in `synapse.simulation.spec.Agents`.
    """

    name: str = "agents"
    priority: int = 5
    key: str = ""
    timeout: TimeoutPolicy = FixedTimeout()
    on_timeout: OnTimeout = "leave"
    patience: Law | None = None
    give_up_after: float | None = None
    retry: RetryPolicy = NoRetry()
    retry_on: frozenset[str] = frozenset(("rejected", "timeout", "error"))
    budget: GuardPolicy | None = None
    budget_per: str = "agent"


class Population:
    """All agents of one kind. What differs between closed and open ones stands in `agents`.

    It is also the outlet of the nodes' schedulers, for its own tries.

    Parameters
    ----------
    env, cluster
        Time, and whom they ask.
    manner
        How they behave.
    names
        What they are called.
    work
        How much their queries are.
    chance
        Their streams.
    measured_from
        Latencies count of queries that were asked from then on, s.
    refs
        Names for tries, if anyone looks at them.
    mailroom
        Where what is sent to them waits until they have read it. None: they read at once.
    connections
        The number of each agent's connection, which no other has; 0, 1, 2 … by default.

    Attributes
    ----------
    counts : Counts
        What has become of queries and tries.
    latencies : list of float
        Of answered queries, from the first try on until the answer is heard, s, since someone took the list.
    first_thoughts : list of float
        Of answered queries whose answers are streamed, from the first try on to the first thought of the answer, s,
        since someone took the list. With a mailroom, to the first that was read; to the answer, if none was.
    waits : list of float
        How long accepted tries have waited for their turn, s, since someone took the list.
    refusals : dict
        How many tries were refused, by reason and policy.
    useful, wasted : float
        Slot-time used for answers that were waited for, and for others, s.
    homes : array of int or None
        The node of each agent's connection, -1 for those that have none. None: there are no connections.
    mailroom : Mailroom or None
        As above.
    connections : array of int
        As above. A new connection has a new number.
    """

    __slots__ = (
        "_again_call",
        "_budget",
        "_chance",
        "_cluster",
        "_env",
        "_flying",
        "_give_up_after",
        "_guard_is_shared",
        "_guards",
        "_hears_at_once",
        "_held",
        "_interrupts",
        "_is_called",
        "_key",
        "_leave_call",
        "_line",
        "_lose_call",
        "_measured_from",
        "_patience",
        "_pausing",
        "_priority",
        "_refs",
        "_retry",
        "_retry_on",
        "_seconds",
        "_tells_deadline",
        "_timeout",
        "_timeout_learns",
        "_varies",
        "_work",
        "connections",
        "counts",
        "first_thoughts",
        "homes",
        "latencies",
        "mailroom",
        "name",
        "names",
        "refusals",
        "useful",
        "waits",
        "wasted",
    )

    def __init__(
        self,
        env: Schedule,
        cluster: Cluster,
        manner: Manner,
        names: Sequence[str],
        work: Work,
        chance: Chance,
        measured_from: float = 0.0,
        refs: Iterator[str] | None = None,
        mailroom: Mailroom | None = None,
        connections: array[int] | None = None,
    ) -> None:
        self.name = manner.name
        self.names = names
        self.counts = Counts()
        self.latencies: list[float] = []
        self.first_thoughts: list[float] = []
        self.waits: list[float] = []
        self.refusals: dict[tuple[str, str], int] = {}
        self.useful = self.wasted = 0.0
        self.homes: array[int] | None = None
        self.mailroom = mailroom
        self.connections = array("q", range(len(names))) if connections is None else connections
        self._env = env
        self._cluster = cluster
        self._chance = chance
        self._work = work
        self._measured_from = measured_from
        self._refs = refs
        self._priority, self._key = manner.priority, manner.key
        self._patience = manner.patience
        self._give_up_after = manner.give_up_after
        self._retry = None if isinstance(manner.retry, NoRetry) else manner.retry
        self._retry_on = manner.retry_on
        self._budget = manner.budget
        self._guards: dict[int, Guard] = {}  # by row; -1 for the one that is shared
        self._guard_is_shared = manner.budget_per == "kind"
        self._pausing: dict[Try, None] = {}  # between two tries
        self._flying: dict[Try, None] = {}  # between agent and node, not read yet, or held back without a connection
        self._held: dict[int, list[Callable[[], object]]] = {}  # by row: what to do when there is a connection again
        self._hears_at_once = cluster.is_near and mailroom is None
        self._again_call = self._again
        self._leave_call = self._leave
        self._set_timeout(manner)

    def _set_timeout(self, manner: Manner) -> None:
        env = self._env
        self._timeout = manner.timeout.start(env.time())
        self._timeout_learns = learns(self._timeout)
        self._interrupts = manner.on_timeout == "interrupt"
        self._tells_deadline = manner.on_timeout == "deadline"
        node_ends_it = self._tells_deadline and self._hears_at_once
        seconds = patience(self._timeout)
        self._varies = self._give_up_after is not None or seconds is None
        self._is_called = self._varies and not node_ends_it  # when its time is up, by a call for each try
        self._lose_call = self._lose_patience_at_last
        env.lapses(self._lose_call, _is_not_wanted)
        self._seconds: float | None = None  # of a timeout that the node sees to
        self._line: Line | None = None  # of a timeout that is always the same
        if seconds is not None and seconds < math.inf and not self._varies:
            if self._tells_deadline:
                self._seconds = seconds
            if not node_ends_it:
                self._line = Line(env, seconds, self._lose_patience, _is_settled)

    def __repr__(self) -> str:
        counts = self.counts
        return f"<{type(self).__name__} {self.name!r} of {len(self.names)}, {counts.sent} sent, {counts.ok} ok>"

    # a query's life

    def ask(self, row: int) -> None:
        """An agent has a query."""
        self.counts.sent += 1
        now = self._env._now
        job = Try(self, row, self.names[row], self._priority, self._key, 1, now)
        self._work.give(job)  # also to who will not get it done: what others draw must not hang on a guard
        if self._give_up_after is not None:
            job.until = now + self._give_up_after
        if self._budget is not None and not self._may_try(job, now):
            job.wanted = False
            self.counts.given_up += 1
            self._end(job)
            return
        self._try(job)

    def _try(self, job: Try) -> None:
        self.counts.tries += 1
        job.connection = self.connections[job.row]
        if self._refs is not None:
            job.ref = next(self._refs)
        job.timeout = self._seconds
        if self._line is not None:
            self._line.add(job)
        elif self._varies:
            self._expect(job)
        refusal = self._cluster.submit(job)
        if refusal is not None:
            self.turned_away(job, refusal)
        elif self._patience is not None:
            self._env.call(self._chance.draw("patience", job.row, self._patience), self._leave_call, job)

    def _expect(self, job: Try) -> None:
        """Wait for an answer as long as patience lasts, where that differs from try to try."""
        job.sent = now = self._env.time()
        until = self._timeout.deadline(now, None, job.priority)
        if self._give_up_after is not None:
            until = min(until, job.until)
        if self._tells_deadline:
            job.timeout = until - now
        if self._is_called:
            self._env.call(until - now, self._lose_call, job)

    def _settle(self, job: Try) -> None:
        """The agent waits no more for a try."""
        job.wanted = False
        if self._is_called:
            self._env.forget_one()
        if self._timeout_learns:
            self._timeout.observe(self._env.time() - job.sent)

    def turned_away(self, job: Try, refusal: Refusal) -> None:
        """A node has refused a try, or there is none."""
        what = (refusal.reason, refusal.policy)
        self.refusals[what] = self.refusals.get(what, 0) + 1
        if self._hears_at_once:
            self._refused(refusal, job)
        elif self.mailroom is None or refusal.reason == "unreachable":
            self._send_back(partial(self._refused, refusal), job)
        else:
            self._flying[job] = None
            self.mailroom.ending(job, partial(self._send_back, partial(self._refused, refusal)))

    def _refused(self, refusal: Refusal, job: Try) -> None:
        """The agent hears that a try was refused."""
        self._flying.pop(job, None)
        if not job.wanted:
            return
        self._settle(job)
        if refusal.reason == "unreachable":
            self.counts.tries_error += 1
            self._fail(job, "error", None)
        else:
            self.counts.tries_rejected += 1
            self._fail(job, "rejected", refusal.retry_after)

    def thought(self, job: Try, thought: Any) -> None:  # noqa: ARG002
        """A thought is on its way."""
        if self.mailroom is not None:
            self.mailroom.thought(job)

    def ended(self, job: Try, data: Any) -> None:  # noqa: ARG002
        """An accepted try has come to its end."""
        turn = job.finished if job.started is None else job.started
        self.waits.append(turn - job.submitted)  # type: ignore[operator]  # it has ended, so one of them is there
        if self.mailroom is not None:
            self._flying[job] = None
            self.mailroom.ending(job, partial(self._send_back, self._hear))
        elif not job.wanted:
            self.wasted += job.served
        elif job.status == "success" and self._hears_at_once and self.homes is None:
            job.wanted = False
            self._succeed(job)
        else:
            self._send_back(self._hear, job)

    def _send_back(self, hear: Callable[[Try], object], job: Try) -> None:
        """A reply or an ending is on its way, to whoever still waits for it when it arrives."""
        if self._cluster.is_near:
            hear(job)
        else:
            self._flying[job] = None
            self._env.call(self._cluster.latency(), hear, job)

    def _hear(self, job: Try) -> None:
        if self.homes is not None and self.homes[job.row] < 0 and job.wanted:
            self._flying[job] = None
            self._held.setdefault(job.row, []).append(partial(self._hear, job))
            return
        self._flying.pop(job, None)
        if not job.wanted:
            self.wasted += job.served
            return
        if job.status == "success":
            job.wanted = False
            self._succeed(job)
            return
        self._settle(job)
        self.wasted += job.served
        if job.status == "timeout":
            self.counts.tries_timeout += 1
            self._fail(job, "timeout", None)
        else:
            self.counts.tries_error += 1
            self._fail(job, "error", None)

    def _succeed(self, job: Try) -> None:
        """The agent has its answer."""
        now = self._env._now
        self.useful += job.served
        self.counts.ok += 1
        if job.asked >= self._measured_from:
            self.latencies.append(now - job.asked)
            if job.first_thought is not None:
                self.first_thoughts.append(job.first_thought - job.asked)
        if self._is_called:
            self._env.forget_one()
        if self._timeout_learns:
            self._timeout.observe(now - job.sent)
        if self._budget is not None:
            self._guard(job.row).on_success(now)
        self._end(job)

    def _leave(self, job: Try) -> None:
        """The agent has waited long enough for its turn, if it has not come."""
        if job.wanted and job.started is None:
            if self._is_called:
                self._env.forget_one()
            self._lose_patience(job, calls_off=True)

    def _lose_patience(self, job: Try, calls_off: bool = False) -> None:
        """The agent has waited long enough for an answer."""
        job.wanted = False
        self._flying.pop(job, None)
        self.counts.tries_timeout += 1
        if self._timeout_learns:
            self._timeout.observe(self._env.time() - job.sent)
        if self._interrupts or calls_off:
            self._cluster.interrupt(job)
        self._fail(job, "timeout", None)

    def _lose_patience_at_last(self, job: Try) -> None:
        if job.wanted:
            self._lose_patience(job)
        else:
            self._env.lapse()

    def _fail(self, job: Try, failure: str, retry_after: float | None) -> None:
        """A try has failed: try again, or leave it at that."""
        now = self._env._now
        if self._budget is not None:
            self._guard(job.row).on_failure(now)
        delay = self._delay(job, now) if self._retry is not None and failure in self._retry_on else None
        if delay is None:
            setattr(self.counts, failure, getattr(self.counts, failure) + 1)
            self._end(job)
            return
        if retry_after is not None and retry_after > delay:
            delay = retry_after
        late = self._give_up_after is not None and now + delay >= job.until
        next_job = Try(self, job.row, job.agent, job.priority, job.key, job.attempt + 1, job.asked)
        next_job.until, next_job.backoff = job.until, job.backoff
        if late or (self._budget is not None and not self._may_try(next_job, now)):
            self.counts.given_up += 1
            self._end(job)
            return
        self._pausing[next_job] = None
        self._env.call(delay, self._again_call, next_job)

    def _delay(self, job: Try, now: float) -> float | None:
        """How long to wait before the next try, s. None: it was the last."""
        assert self._retry is not None
        if job.backoff is None:
            job.backoff = self._retry.start(now)
        return job.backoff.next_delay(job.attempt, now, self._chance.draw("retry", job.row))

    def _again(self, job: Try) -> None:
        if self.homes is not None and self.homes[job.row] < 0:
            self._held.setdefault(job.row, []).append(partial(self._again, job))
            return
        del self._pausing[job]
        if self._give_up_after is not None and self._env._now >= job.until:  # it had no connection for so long
            self.counts.given_up += 1
            self._end(job)
            return
        self._work.give(job)
        self._try(job)

    def _end(self, job: Try) -> None:
        """A query has ended."""
        raise NotImplementedError

    # what keeps tries within bounds

    def lot(self, row: int) -> float:
        """An agent's lot for the balancer."""
        return self._chance.draw("lot", row)

    def _guard(self, row: int) -> Guard:
        place = -1 if self._guard_is_shared else row
        guard = self._guards.get(place)
        if guard is None:
            assert self._budget is not None
            guard = self._guards[place] = self._budget.start(self._env.time())
        return guard

    def _may_try(self, job: Try, now: float) -> bool:
        return bool(self._guard(job.row).admit(now, self._chance.draw("guard", job.row), job.attempt))

    # far away

    def takes_off(self, job: Try) -> None:
        """A try is on its way to a node."""
        self._flying[job] = None

    def has_landed(self, job: Try) -> None:
        """It was accepted there; the agent may have given up on it meanwhile."""
        self._flying.pop(job, None)

    # connections

    def connected(self, row: int, home: int) -> None:
        """An agent has a connection again: what it could not do meanwhile, it does now."""
        assert self.homes is not None
        self.homes[row] = home
        for do in self._held.pop(row, ()):
            do()

    # at the end

    def settle(self, accepted: Iterable[Job]) -> Counts:
        """The counts, with what is in flight: `accepted` are the jobs that have not ended at their nodes."""
        flying = {id(job) for job in self._flying if job.wanted}
        flying |= {id(job) for job in accepted if isinstance(job, Try) and job.population is self and job.wanted}
        counts = self.counts.copy()
        counts.tries_ok = counts.ok
        counts.tries_in_flight = len(flying)
        counts.in_flight = len(flying) + len(self._pausing)
        return counts


def _is_settled(job: Try) -> bool:
    return not job.wanted


def _is_not_wanted(at: float, job: Try) -> bool:  # noqa: ARG001
    return not job.wanted
