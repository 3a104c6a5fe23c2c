"""Connections: how many, of whom, and how fast."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, TypeAlias

from msgspec import Meta

from synapse.policies.base import Policy, Running
from synapse.policies.fields import Count, Rate
from synapse.policies.rate.token_bucket import TokenBucket, TokenBucketState
from synapse.policies.verdict import ADMITTED, Rejected, Verdict


class Connections(Policy, frozen=True, tag="connections"):
    """Bounds on connections: in total, per API key, per agent; on channels per socket; and on how fast they come.

    Each connection costs memory, and each new one work, before anyone has asked anything: an accept rate turns a herd
    that reconnects after a crash into a line. It hurts many agents behind one key, and a `per_agent` that is too low
    hurts an agent who reconnects before the server has noticed that it had gone. Cost: O(1); memory for those who are
    connected, which `total` bounds.
    Source: HAProxy's maxconn and rate-limit sessions.

    Parameters
    ----------
    total, per_key, per_agent
        Connections at once.
    channels
        Channels that one socket may join.
    accept_rate, accept_burst
        New connections, per s, and how many at once. None for any number.
    """

    total: Annotated[Count, Meta(description="Connections at once.")] = 10_000
    per_key: Annotated[Count, Meta(description="Connections at once with one API key.")] = 10_000
    per_agent: Annotated[Count, Meta(description="Connections at once of one agent.")] = 100
    channels: Annotated[Count, Meta(description="Channels that one socket may join.")] = 100
    accept_rate: Annotated[Rate, Meta(description="New connections per second.")] | None = None
    accept_burst: Annotated[Count, Meta(description="New connections at once.")] = 100

    def start(self, now: float, before: object = None) -> ConnectionsState:
        """No one is connected; or those of the state `before` are, who are not cut off by a tighter bound."""
        state = ConnectionsState(self, now)
        if isinstance(before, ConnectionsState):
            state.carry_on(before, now)
        return state


ConnectionsPolicy: TypeAlias = Connections


class ConnectionsState(Running):
    """Who is connected. What was admitted must be released, once."""

    __slots__ = ("_accepts", "_agents", "_keys", "open", "policy")

    def __init__(self, policy: Connections, now: float) -> None:
        self.policy = policy
        self.open = 0
        self._keys: dict[Hashable, int] = {}
        self._agents: dict[Hashable, int] = {}
        rate = policy.accept_rate
        self._accepts = None if rate is None else TokenBucket(rate, policy.accept_burst, "global").start(now)

    def __repr__(self) -> str:
        return f"<ConnectionsState {self.open}/{self.policy.total} open, {len(self._agents)} agents>"

    @property
    def held(self) -> int:
        """How many sockets, keys and agents are counted: 0 when all have gone."""
        return self.open + len(self._keys) + len(self._agents)

    def carry_on(self, before: ConnectionsState, now: float) -> None:
        """Take over who is connected."""
        self.open, self._keys, self._agents = before.open, before._keys, before._agents
        if self._accepts and isinstance(before._accepts, TokenBucketState):
            self._accepts = self._accepts.policy.start(now, before._accepts)

    def admit(self, now: float, key: Hashable = None) -> Verdict:
        """Whether a socket may open. It counts at once; call `release` when it closes. None is no key: not counted."""
        if self.open >= self.policy.total:
            return Rejected(None, "connections.total")
        if key is not None and not (verdict := self.ask_key(key)):
            return verdict
        if self._accepts is not None:
            accept = self._accepts.admit(now)
            if not accept:
                return Rejected(accept.retry_after, "connections.accept_rate")
        self.enter(key)
        return ADMITTED

    def enter(self, key: Hashable = None) -> None:
        """A socket has opened, admitted or not. Call `release` when it closes."""
        self.open += 1
        if key is not None:
            self.enter_key(key)

    def release(self, key: Hashable = None) -> None:
        """A socket that was admitted has closed."""
        self.open -= 1
        if key is not None:
            self.release_key(key)

    def ask_key(self, key: Hashable) -> Verdict:
        """Whether one more connection may use a key. It does not count yet."""
        return ADMITTED if self._keys.get(key, 0) < self.policy.per_key else Rejected(None, "connections.per_key")

    def enter_key(self, key: Hashable) -> None:
        """A connection uses a key. Call `release_key` when it is no more."""
        self._keys[key] = self._keys.get(key, 0) + 1

    def release_key(self, key: Hashable) -> None:
        """A connection that used a key is no more."""
        _release(self._keys, key)

    def ask_agent(self, agent: Hashable) -> Verdict:
        """Whether one more connection may be an agent's. It does not count yet."""
        return (
            ADMITTED if self._agents.get(agent, 0) < self.policy.per_agent else Rejected(None, "connections.per_agent")
        )

    def enter_agent(self, agent: Hashable) -> None:
        """A connection is an agent's. Call `release_agent` when it is no more."""
        self._agents[agent] = self._agents.get(agent, 0) + 1

    def admit_agent(self, agent: Hashable) -> Verdict:
        """Whether one more connection may be an agent's; if so, it is from now on."""
        verdict = self.ask_agent(agent)
        if verdict:
            self.enter_agent(agent)
        return verdict

    def release_agent(self, agent: Hashable) -> None:
        """A connection that was admitted as an agent's is no more."""
        _release(self._agents, agent)

    def admit_channel(self, joined: int) -> Verdict:
        """Whether a socket that has joined so many channels may join one more."""
        return ADMITTED if joined < self.policy.channels else Rejected(None, "connections.channels")


def _release(counts: dict[Hashable, int], name: Hashable) -> None:
    if counts[name] == 1:
        del counts[name]
    else:
        counts[name] -= 1
