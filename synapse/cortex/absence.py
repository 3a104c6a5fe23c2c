"""What becomes of an agent's queries and stream while it has no connection.

Its queries go on for a while (`linger`), as it may come back; then they are interrupted with the reason
``agent_gone``. What it misses is kept for a while (`grace`), if it asked for that when it joined.
"""

from __future__ import annotations

from math import inf

from synapse.cortex.clock import Clock, Timer
from synapse.cortex.interrupts import InterruptManager
from synapse.cortex.replay import ReplayBuffer, ReplayRoom
from synapse.cortex.router import topic_of

AGENT_GONE = "agent_gone"


class Absences:
    """Counts down for agents that have gone.

    Parameters
    ----------
    clock
        Time, handed in.
    linger
        Seconds that the queries of an absent agent go on.
    grace
        Seconds that its stream is kept, and each ended query's messages in any case.
    interrupts
        Where its queries are.
    room
        What the streams of all agents may take, in bytes, see `ReplayRoom`.
    """

    def __init__(
        self, clock: Clock, linger: float, grace: float, interrupts: InterruptManager, room: float = inf
    ) -> None:
        self._clock = clock
        self._linger = linger
        self._grace = grace
        self._interrupts = interrupts
        self._giving_up: dict[str, Timer] = {}
        self._forgetting: dict[str, Timer] = {}
        self._purging: dict[str, Timer] = {}
        self.buffers: dict[str, ReplayBuffer] = {}
        self.room = ReplayRoom(room)

    def keep_stream(self, agent: str) -> ReplayBuffer:
        """The agent wants to be able to resume: its stream is kept from now on."""
        buffer = self.buffers.get(agent)
        if buffer is None:
            buffer = self.buffers[agent] = ReplayBuffer(topic_of(agent), self._grace, self.room)
        return buffer

    def returned(self, agent: str) -> None:
        """An agent is here."""
        for timers in (self._giving_up, self._forgetting):
            if timer := timers.pop(agent, None):
                timer.cancel()

    def left(self, agent: str) -> None:
        """Its last connection has gone."""
        if self._interrupts.of_agent(agent):
            self._giving_up[agent] = self._clock.call_later(self._linger, lambda: self._give_up(agent))
        if agent in self.buffers:
            self._forgetting[agent] = self._clock.call_later(self._grace, lambda: self._forget(agent))

    def query_ended(self, agent: str) -> None:
        """One of its queries has ended: there may be nothing left to give up, and soon something to forget."""
        if agent in self.buffers and agent not in self._purging:
            self._purging[agent] = self._clock.call_later(self._grace, lambda: self._purge(agent))
        if agent in self._giving_up and not self._interrupts.of_agent(agent):
            self._giving_up.pop(agent).cancel()

    def close(self) -> None:
        """Stop counting; forget all streams."""
        for timer in (*self._giving_up.values(), *self._forgetting.values(), *self._purging.values()):
            timer.cancel()
        self._purging.clear()
        self._giving_up.clear()
        self._forgetting.clear()
        for buffer in self.buffers.values():
            buffer.forget()
        self.buffers.clear()

    def _give_up(self, agent: str) -> None:
        self._giving_up.pop(agent, None)
        self._interrupts.signal_all(agent, AGENT_GONE)

    def _forget(self, agent: str) -> None:
        self._forgetting.pop(agent, None)
        if (buffer := self.buffers.pop(agent, None)) is not None:
            buffer.forget()
        if timer := self._purging.pop(agent, None):
            timer.cancel()

    def _purge(self, agent: str) -> None:
        """An idle agent's stream takes no memory either."""
        self._purging.pop(agent, None)
        buffer = self.buffers.get(agent)
        if buffer is not None:
            buffer.forget_old(self._clock.time())
            if len(buffer):
                self.query_ended(agent)
