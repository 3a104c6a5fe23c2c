"""Admission: how many connections there are, and of whom; and what the rules say to one more.

A connection counts from its handshake on. The key by which it joins and the agents that it joins as count from
those joins on, until they end by whatever way.
"""

from __future__ import annotations

import msgspec

from synapse.cortex.clock import Clock
from synapse.cortex.scheduler import Refusal
from synapse.cortex.socket import CortexSocket
from synapse.policies import Connections, Rejected, Verdict

TOO_MANY = "too_many_connections"
COME_BACK = 5.0  # s; no one knows when a place will be free, but who asks again at once only adds to the crowd


class Seat(msgspec.Struct, frozen=True):
    """A join that counts: the connection, what opened the door to it, and the agent, None for an onlooker."""

    socket: CortexSocket
    key: str
    agent: str | None


class Admission:
    """Applies the rules on connections, which may be replaced while some are open.

    Parameters
    ----------
    clock
        Time, handed in.
    policy
        The rules.
    """

    def __init__(self, clock: Clock, policy: Connections) -> None:
        self._clock = clock
        self._state = policy.start(clock.time())

    def __repr__(self) -> str:
        return repr(self._state)

    @property
    def held(self) -> int:
        """How many connections, keys and agents are counted: 0 when all have gone."""
        return self._state.held

    def replace(self, policy: Connections) -> None:
        """Go on under other rules. They cut no one off."""
        self._state = policy.start(self._clock.time(), self._state)

    # Connections

    def admit(self) -> Refusal | None:
        """Keep a place for a connection whose handshake begins. None: it is kept, until `release`."""
        return _refusal(self._state.admit(self._clock.time()))

    def enter(self) -> None:
        """A connection is open."""
        self._state.enter()

    def release(self) -> None:
        """A connection, or a place that was kept for one, is no more."""
        self._state.release()

    # Joins

    def may_join(self, seat: Seat) -> Refusal | None:
        """Whether a join is within the rules. None means yes; it counts from `join` on."""
        verdict: Verdict | None = None
        if seat.key not in seat.socket.keys:
            verdict = self._state.ask_key(seat.key)
        if seat.agent is not None and (verdict is None or verdict):
            verdict = self._state.ask_agent(seat.agent)
        return None if verdict is None else _refusal(verdict)

    def join(self, seat: Seat) -> None:
        """A connection has joined."""
        if not seat.socket.keys[seat.key]:
            self._state.enter_key(seat.key)
        seat.socket.keys[seat.key] += 1
        if seat.agent is not None:
            self._state.enter_agent(seat.agent)

    def leave(self, seat: Seat) -> None:
        """What it had joined has ended."""
        keys = seat.socket.keys
        keys[seat.key] -= 1
        if not keys[seat.key]:
            del keys[seat.key]
            self._state.release_key(seat.key)
        if seat.agent is not None:
            self._state.release_agent(seat.agent)


def _refusal(verdict: Verdict) -> Refusal | None:
    if not isinstance(verdict, Rejected):
        return None
    return Refusal(TOO_MANY, verdict.policy, COME_BACK if verdict.retry_after is None else verdict.retry_after)
