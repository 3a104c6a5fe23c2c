"""A value of each kind, none of them as usual."""

from __future__ import annotations

from typing import Any

import pytest

from synapse.policies import (
    AIMD,
    GCRA,
    AdaptiveLifo,
    AdaptiveThrottle,
    AdaptiveTimeout,
    All,
    CircuitBreaker,
    Coalesce,
    CoDel,
    Connections,
    ConsistentHash,
    Credit,
    Deadline,
    Decorrelated,
    Disconnect,
    DropNewest,
    DropOldest,
    EqualJitter,
    Exponential,
    FairShare,
    Fifo,
    Fixed,
    FixedHedge,
    FixedTimeout,
    FixedWindow,
    FullJitter,
    Gradient2,
    LeastLoaded,
    Lifo,
    NoHedge,
    NoRetry,
    NoTimeout,
    PerPriority,
    PowerOfTwo,
    Priority,
    QuantileHedge,
    Random,
    RetryBudget,
    RoundRobin,
    SlidingCounter,
    SlidingLog,
    Table,
    TokenBucket,
    Unlimited,
    Vegas,
)
from synapse.policies.base import kind_of

SAMPLES: dict[str, list[Any]] = {
    "rate-limit": [
        Unlimited(per="key"),
        TokenBucket(rate=5, burst=10),
        GCRA(rate=0.5, burst=1, per="global"),
        FixedWindow(limit=1000, window=3600, per="connection"),
        SlidingLog(limit=5, window=0.1),
        SlidingCounter(limit=5, window=10),
        All((TokenBucket(rate=5, burst=10), FixedWindow(limit=1000, window=3600, per="key"))),
    ],
    "concurrency": [Fixed(8), AIMD(timeout=2), Vegas(initial=5, period=0), Gradient2(tolerance=2)],
    "queue": [
        Fifo(0, at_bound="evict-oldest"),
        Lifo(5),
        AdaptiveLifo(5, target=0.005),
        Priority(7),
        CoDel(target=0.1, interval=1),
        Deadline(service=0.5),
        FairShare(9, per="key", weights={"lab": 2, "x": 0.5}),
    ],
    "timeout": [NoTimeout(), FixedTimeout(3), PerPriority((1, 2.5)), AdaptiveTimeout(quantile=0.5)],
    "hedge": [NoHedge(), FixedHedge(0.01), QuantileHedge(quantile=0.99)],
    "retry": [
        NoRetry(),
        Exponential(base=1),
        EqualJitter(tries=2),
        FullJitter(factor=3),
        Decorrelated(cap=1),
        Table((0, 1), 0.5, 3),
    ],
    "guard": [RetryBudget(ratio=0.2), AdaptiveThrottle(k=1.1), CircuitBreaker(probes=3)],
    "mailbox": [Disconnect(after=5), DropOldest(9), DropNewest(9), Coalesce(9, 100), Credit(9)],
    "connections": [Connections(per_key=5, accept_rate=100)],
    "balancing": [Random(), RoundRobin(), LeastLoaded(), PowerOfTwo(3), ConsistentHash(9)],
}
ALL = [
    pytest.param(family, value, id=f"{family} {kind_of(type(value))}")
    for family, values in SAMPLES.items()
    for value in values
]
