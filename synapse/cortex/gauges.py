"""What an observer is told of a node's state: the snapshot it begins with, and gauges from then on."""

from __future__ import annotations

from typing import Any

import msgspec


class Waiting(msgspec.Struct, frozen=True):
    """What waits for readers that lag: on how many connections, how many messages and bytes, the most on one."""

    connections: int
    messages: int
    bytes: int
    deepest: int


class Rates(msgspec.Struct, frozen=True):
    """Queries a second since the gauges before these."""

    submitted: float
    rejected: float
    ended: float


class Gauges(msgspec.Struct, frozen=True):
    """How the node is at the time `at`, in s.

    Parameters
    ----------
    agents, connections, observers
        How many are connected; how many of the connections watch.
    running, waiting, limit
        Queries that hold a slot, that wait for one; how many may run now.
    submitted, rejected, ended
        Queries since the node's start.
    rates
        Since the gauges before these; None for the first.
    lag
        How late the latest of the loop's timers was since then, in s; None if the driver does not measure it.
    mailboxes
        What waits for slow readers.
    refusals
        Refused queries by policy, since the first of those who watch now came.
    rtt
        Agents' round trips, in s, as far as the driver knows them: in turns, where there are many agents.
    """

    at: float
    agents: int
    connections: int
    observers: int
    running: int
    waiting: int
    limit: int
    submitted: int
    rejected: int
    ended: int
    rates: Rates | None
    lag: float | None
    mailboxes: Waiting
    refusals: dict[str, int]
    rtt: dict[str, float]


class Present(msgspec.Struct, frozen=True):
    """An agent that is here. `online_at` is Unix time in s; `metas` are those of its presence."""

    agent: str
    online_at: float
    connections: int
    metas: list[dict[str, Any]]


class Unfinished(msgspec.Struct, frozen=True):
    """A query without an ending. Times are in s on the node's clock."""

    agent: str
    ref: str
    handler: str
    priority: int
    attempt: int
    submitted: float
    started: float | None
    first_thought: float | None
    thoughts: int


class Snapshot(msgspec.Struct, frozen=True):
    """Everything an observer has to know of what was before it came.

    Parameters
    ----------
    at
        Now, in s on the node's clock, as in all events.
    epoch
        Unix time (s) at that clock's zero.
    node
        The node's name in events.
    agents, queries
        Who is here, and what is unfinished.
    policies
        The rules in force.
    gauges
        How the node is.
    """

    at: float
    epoch: float
    node: str
    agents: list[Present]
    queries: list[Unfinished]
    policies: dict[str, Any]
    gauges: Gauges
