"""A service station in a few lines: Poisson arrivals, a queue policy, servers. To hold policies against theory."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.policies.items import Item


class Customer(Item):
    """An item that knows how long its service takes and what became of it."""

    def __init__(self, arrived: float, service: float, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.arrived = arrived
        self.service = service
        self.waited: float | None = None  # None: never served


def run(
    policy: Any,
    load: float,
    servers: int,
    count: int,
    seed: int,
    customer: Callable[[float, float, float], Customer],
) -> list[Customer]:
    """Let `count` customers come at rate `load`; services are exponential with mean 1.

    `customer` is called with the time, the service and a random number.
    """
    lots = np.random.default_rng(seed)
    times = np.cumsum(lots.exponential(1 / load, count)).tolist()
    services, numbers = lots.exponential(1, count).tolist(), lots.random(count).tolist()
    queue = policy.start(0.0)
    busy: list[float] = []  # when each busy server is free
    came = [customer(*draw) for draw in zip(times, services, numbers, strict=True)]

    def serve(one: Customer, now: float) -> None:
        one.waited = now - one.arrived
        heapq.heappush(busy, now + one.service)

    for one in came:
        while busy and busy[0] <= one.arrived:
            now = heapq.heappop(busy)
            following, _ = queue.take(now)
            if following is not None:
                serve(following, now)
        if len(busy) < servers:
            serve(one, one.arrived)
        else:
            queue.offer(one, one.arrived)
    return came


def mean(values: list[float], batches: int = 40) -> tuple[float, float]:
    """The mean and its standard error, from batches."""
    means = [float(np.mean(part)) for part in np.array_split(np.asarray(values), batches)]
    return float(np.mean(means)), float(np.std(means, ddof=1) / np.sqrt(batches))
