"""Thoughts and endings on their way to agents who read at a speed of their own, through the live server's mailboxes.

Only here is each thought an event of its own: a mailbox looks at each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from synapse.policies import MailboxPolicy
from synapse.simulation.env import Environment
from synapse.simulation.node import CrowdedNode, Try
from synapse.simulation.readers import Reader, Reading, per_message
from synapse.simulation.spec import Readers

RETURN = 1.0  # s after which a reader that was cut off is back, where connections are not simulated
GRACE = 30.0  # s for which an ending is kept for who has no connection: the live server's default


class Mailroom:
    """The readers of one population, each made when it is first written to, or cut off.

    An agent hears an ending, or a refusal, when its reader has read it. In the live server both go through the
    socket's mailbox, which must keep them; so here. A refusal is read in the time of any other message. That none could
    be reached no node has written: it is heard at once. That a try was accepted is not written.

    What a cut takes the live server's `ReplayBuffer` sends again when the agent is back. So each ending that was lost,
    or missed meanwhile, is written again, once the one before has been read: the live server writes all in one turn,
    past the mailbox. If it is older than `GRACE` by then, what is read in its place is an error, as for a live client
    whose query the server does not know any more. Simpler than there: a refusal is written again, too (a live client
    would ask again), lost thoughts are not, there is no bound but the grace, and a node that crashes forgets nothing.
    What the agent does not wait for any more is not written again.

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
        self._unread: dict[int, dict[Try, Callable[[Try], object]]] = {}  # by row: what to do when it is read
        self._lost: dict[int, deque[Try]] = {}  # by row: what is to be written again, after the one that was
        self._first_read: dict[Try, float] = {}  # when the first thought was read, of tries whose ending was not, s
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
        """An agent is back: what it has not read is written again. Of no effect if it was not cut off."""
        reader = self._readers.get(row)
        if reader is not None and not reader.connected:
            reader.connect()
            lost = self._lost[row] = deque(self._unread.get(row, ()))
            for job in lost:
                assert job.finished is not None  # an ending was written
                if self._env.time() - job.finished >= GRACE:
                    job.status = "error"
            self._write_again(row)

    def cut(self, row: int) -> None:
        """An agent has lost its connection."""
        self.reader(row).cut()

    def thought(self, job: Try) -> None:
        """Write a thought."""
        note = partial(self._has_read_thought, job)
        self.reader(job.row).put(self._size, stream=job, on_read=note)

    def ending(self, job: Try, hear: Callable[[Try], object]) -> None:
        """Write an ending or a refusal, which no mailbox may drop.

        Once it is read, `hear` is called with the try; and the try's first thought is then the first that was read.
        If none was, it is the ending, which says what they did: or else those who lose most would not count.
        """
        self._unread.setdefault(job.row, {})[job] = hear
        self.reader(job.row).put(self._size, keep=True, on_read=partial(self._has_read, job))

    def _has_read_thought(self, job: Try) -> None:
        self._first_read.setdefault(job, self._env.time())

    def _has_read(self, job: Try) -> None:
        hear = self._unread[job.row].pop(job)
        first_read = self._first_read.pop(job, self._env.time())
        if job.first_thought is not None:
            job.first_thought = first_read
        hear(job)

    def _write_again(self, row: int) -> None:
        """Write the next of the lost endings that someone waits for."""
        lost = self._lost[row]
        while lost:
            job = lost.popleft()
            if job.wanted:
                self.reader(row).put(self._size, keep=True, on_read=partial(self._has_read_again, job))
                return
            self._has_read(job)

    def _has_read_again(self, job: Try) -> None:
        self._write_again(job.row)
        self._has_read(job)

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
