"""The schedulers of a node: one for all handlers, and one each for those that have rules of their own.

The node's rate limit counts the queries of all handlers; a handler's own comes on top of it. Slots and queues are
not shared: a handler with rules of its own has its own, so that slow queries of one kind do not hold up the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from synapse.cortex.clock import Clock
from synapse.cortex.job import Job
from synapse.cortex.scheduler import Outlet, Refusal, Runner, Scheduler
from synapse.policies import Policies
from synapse.telemetry.events import Bus

ALL_OTHERS = "*"
"""The name of the scheduler of all handlers that have no rules of their own."""


class Schedulers:
    """All schedulers of a node, as if they were one.

    What was accepted stays where it is: when a handler loses its own rules, its scheduler accepts no more, and is
    given up once its queries have ended.

    Parameters
    ----------
    clock, runner, outlet, policies, bus, node
        As of a `Scheduler`.
    """

    def __init__(
        self, clock: Clock, runner: Runner, outlet: Outlet, policies: Policies, bus: Bus, node: str = "local"
    ) -> None:
        self.policies = policies
        self.common = Scheduler(clock, runner, outlet, policies, bus, node)
        self._new: Callable[[Policies], Scheduler] = lambda rules: Scheduler(
            clock, runner, outlet, rules, bus, node, self.common.gate
        )
        self._own = {name: self._new(policies.of_handler(name)) for name in policies.handlers}
        self._retired: dict[str, Scheduler] = {}
        self._past = [0, 0, 0]  # submitted, rejected and ended by schedulers that have been given up

    def __repr__(self) -> str:
        own = "".join(f", {name}: {one!r}" for name, one in self._own.items())
        return f"{self.common!r}{own}"

    def of(self, handler: str) -> Scheduler:
        """The scheduler of a handler's queries."""
        return self._own.get(handler, self.common)

    def name_of(self, handler: str) -> str:
        """What `by_name` calls it."""
        return handler if handler in self._own else ALL_OTHERS

    def by_name(self) -> Mapping[str, Scheduler]:
        """Those that accept queries: by handler, and ``*`` for all other handlers."""
        return {ALL_OTHERS: self.common, **self._own}

    def submit(self, job: Job) -> Refusal | None:
        """Ask for a job to be run, see `Scheduler.submit`."""
        own = self._own
        return (own.get(job.handler, self.common) if own else self.common).submit(job)

    def interrupt(self, job: Job, reason: str) -> bool:
        """End an accepted job from outside. False if it has ended before."""
        return job.scheduler.interrupt(job, reason)

    def replace(self, policies: Policies) -> None:
        """Go on under other rules; nothing in flight is lost, see `Scheduler.replace`."""
        self.policies = policies
        self.common.replace(policies)
        for name in [name for name in self._own if name not in policies.handlers]:
            self._retired[name] = self._own.pop(name)
        for name in policies.handlers:
            rules = policies.of_handler(name)
            own = self._own.get(name) or self._retired.pop(name, None)
            if own is None:
                own = self._new(rules)
                if self.draining:
                    own.drain()
            else:
                own.replace(rules, self.common.gate)
            self._own[name] = own
        self._give_up_idle()

    def drain(self) -> None:
        """Accept nothing more; what was accepted goes on."""
        for one in self._all():
            one.drain()

    def interrupt_all(self, reason: str) -> None:
        """End all that waits and runs."""
        for one in self._all():
            one.interrupt_all(reason)

    @property
    def draining(self) -> bool:
        """Whether nothing more is accepted."""
        return self.common.draining

    @property
    def waiting(self) -> int:
        """How many accepted queries wait for a slot."""
        return sum(one.waiting for one in self._all())

    @property
    def running(self) -> int:
        """How many queries hold a slot."""
        return sum(one.running for one in self._all())

    @property
    def limit(self) -> int:
        """How many may run at once, now, of all handlers together."""
        return sum(one.limit for one in (self.common, *self._own.values()))

    @property
    def submitted(self) -> int:
        """How many queries there were."""
        return self._past[0] + sum(one.submitted for one in self._all())

    @property
    def rejected(self) -> int:
        """How many of them were not accepted."""
        return self._past[1] + sum(one.rejected for one in self._all())

    @property
    def ended(self) -> int:
        """How many accepted queries have ended."""
        return self._past[2] + sum(one.ended for one in self._all())

    def _all(self) -> list[Scheduler]:
        return [self.common, *self._own.values(), *self._retired.values()]

    def _give_up_idle(self) -> None:
        for name in [name for name, one in self._retired.items() if not one.running and not one.waiting]:
            one = self._retired.pop(name)
            for place, count in enumerate((one.submitted, one.rejected, one.ended)):
                self._past[place] += count
