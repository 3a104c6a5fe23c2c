"""Thoughts on their way to agents who read at a speed of their own, through the mailboxes of the live server.

Only here is each thought an event of its own: a mailbox looks at each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from synapse.policies import MailboxPolicy
from synapse.simulation.env import Environment
from synapse.simulation.node import CrowdedNode, Try
from synapse.simulation.readers import Reader, Reading, per_message
from synapse.simulation.spec import Readers

RETURN = 1.0  # s after which a reader that was cut off is back, where connections are not simulated


class Mailroom:
    """The readers of one population, each made when it is first written to.

    Parameters
    ----------
    env
        The clock.
    policy
        Their mailboxes'.
    spec
        How they read.

    Attributes
    ----------
    on_cut : callable
        Called with the row of an agent who is cut off.
    """

    def __init__(self, env: Environment, policy: MailboxPolicy, spec: Readers) -> None:
        self._env = env
        self._policy = policy
        self._size = spec.size
        self._speed = per_message(spec.rate)
        self._readers: dict[int, Reader] = {}
        self.on_cut: Callable[[int], object] = lambda row: env.call(RETURN, self.connect, row)

    def __repr__(self) -> str:
        return f"<Mailroom of {len(self._readers)} readers>"

    def reader(self, row: int) -> Reader:
        """An agent's."""
        reader = self._readers.get(row)
        if reader is None:
            reader = self._readers[row] = Reader(self._env, self._policy, self._speed, lambda: self.on_cut(row))
        return reader

    def connect(self, row: int) -> None:
        """An agent is back."""
        if row in self._readers:
            self._readers[row].connect()

    def cut(self, row: int) -> None:
        """An agent has lost its connection."""
        if row in self._readers:
            self._readers[row].cut()

    def thought(self, job: Try) -> None:
        """Write a thought."""
        self.reader(job.row).put(self._size, stream=job)

    def result(self, job: Try) -> None:
        """Write an ending, which no mailbox may drop."""
        self.reader(job.row).put(self._size, keep=True)

    @property
    def reading(self) -> Reading:
        """What has become of all messages."""
        total = Reading()
        for reader in self._readers.values():
            for name in total.__struct_fields__:
                one, other = getattr(total, name), getattr(reader.reading, name)
                setattr(total, name, max(one, other) if name in ("oldest", "most", "most_bytes") else one + other)
        return total


class StreamingNode(CrowdedNode):
    """A node whose every thought is an event; a writer whose reader has no credit left waits, and holds its slot."""

    __slots__ = ("_next_call",)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._next_call = self._thinks
        self._env.lapses(self._next_call, lambda at, job: job.work != at)

    def serve(self, job: Try) -> None:
        if not self._thoughts:
            super().serve(job)
            return
        job.began = self._env._now
        self._wait_for_thought(job, job.first)

    def _wait_for_thought(self, job: Try, delay: float) -> None:
        delay *= self.factor
        job.work = self._env._now + delay
        self._env.call(delay, self._next_call, job)

    def _thinks(self, job: Try) -> None:
        if job.work != self._env._now:
            self._env.lapse()
            return
        self.scheduler.think(job, None)
        if not job.gaps:
            self._done(job)
            return
        job.work = None
        job.population.mailroom.reader(job.row).when_ready(lambda: self._goes_on(job))  # type: ignore[union-attr]

    def _goes_on(self, job: Try) -> None:
        """Its reader has room for the next thought."""
        if job in self._serving and job.gaps:
            self._wait_for_thought(job, job.gaps.pop())

    def _tell_thoughts(self, job: Try, now: float) -> None:
        """They were told one by one."""
