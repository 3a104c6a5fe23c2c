"""``python -m benchmarks.policies``: what a decision costs, in ns.

Each row is the best of several runs, each with a fresh state, under arrivals at 1.5 times the rate, so that two of
three are admitted; the loop's own cost is taken off. Targets: 1 us a rate limit, 5 us an ask of a queue.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import click
from rich.console import Console
from rich.table import Table

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
    Disconnect,
    DropNewest,
    DropOldest,
    FairShare,
    Fifo,
    FixedWindow,
    FullJitter,
    Gate,
    Gradient2,
    LeastLoaded,
    Lifo,
    PowerOfTwo,
    Priority,
    Random,
    RetryBudget,
    RoundRobin,
    SlidingCounter,
    SlidingLog,
    TokenBucket,
    Unlimited,
    Vegas,
)

LIMIT_NS, QUEUE_NS = 1000, 5000

Case = Callable[[], int]
"""Makes a fresh state, asks it, and says how often."""

Row = tuple[str, Case, int | None]
"""Name, case, target in ns."""


def arrivals(count: int, rate: float, seed: int = 1) -> list[float]:
    lots = random.Random(seed)
    now, times = 1000.0, []
    for _ in range(count):
        now += lots.expovariate(rate)
        times.append(now)
    return times


def asking(start: Callable[[], Callable[[float], Any]], times: list[float]) -> Case:
    def run() -> int:
        ask = start()
        for now in times:
            ask(now)
        return len(times)

    return run


def rate_limits(times: list[float]) -> Iterator[Row]:
    policies: dict[str, Any] = {
        "Unlimited": Unlimited(),
        "TokenBucket": TokenBucket(rate=1, burst=10),
        "GCRA": GCRA(rate=1, burst=10),
        "FixedWindow": FixedWindow(limit=10, window=10),
        "SlidingLog": SlidingLog(limit=10, window=10),
        "SlidingCounter": SlidingCounter(limit=10, window=10),
    }
    policies["All of two"] = All((TokenBucket(rate=1, burst=10), FixedWindow(limit=1000, window=1000)))
    for name, policy in policies.items():
        target = None if name == "All of two" else LIMIT_NS
        yield name, asking(lambda policy=policy: policy.start(times[0]).admit, times), target
    never = TokenBucket(rate=1e-6, burst=1)
    yield "TokenBucket, all refused", asking(lambda: never.start(times[0]).admit, times), LIMIT_NS
    who = [SimpleNamespace(agent=f"agent-{n % 1000}", key="key", connection=n) for n in range(len(times))]

    def gate() -> int:  # a thousand keys share the rate
        gate = Gate(TokenBucket(rate=1e-3, burst=10), times[0])
        for now, asker in zip(times, who, strict=True):
            gate.admit(now, asker)
        return len(times)

    yield "Gate, 1,000 keys", gate, LIMIT_NS


def queues(times: list[float]) -> Iterator[Row]:
    """Two takes for three offers: the queue fills up, then evicts and serves."""
    lots = random.Random(2)
    items = [
        SimpleNamespace(priority=lots.randrange(10), agent=f"agent-{lots.randrange(50)}", key="key", deadline=now + 900)
        for now in times
    ]
    for policy in (Fifo(), Lifo(), AdaptiveLifo(), Priority(), CoDel(), Deadline(), FairShare()):

        def run(policy: Any = policy) -> int:
            queue = policy.start(times[0])
            offer, take = queue.offer, queue.take
            asks = 0
            for turn, (item, now) in enumerate(zip(items, times, strict=True)):
                offer(item, now)
                if turn % 3:
                    take(now)
                    asks += 1
            return asks + len(times)

        yield type(policy).__name__, run, QUEUE_NS


def mailboxes(times: list[float]) -> Iterator[Row]:
    """A reader that takes a hundred at a time, from a mailbox for 64 where it drops."""
    message = b"x" * 200
    policies: list[Any] = [Disconnect(), DropOldest(64), DropNewest(64), Coalesce(64), Credit()]
    for policy in policies:

        def run(policy: Any = policy) -> int:
            box = policy.start(times[0])
            put = box.put
            for turn, now in enumerate(times):
                put(message, now, turn % 100)
                if turn % 100 == 0:
                    box.drain(2**20)
            return len(times)

        yield type(policy).__name__, run, None


def others(times: list[float]) -> Iterator[Row]:
    for limit in (AIMD(), Vegas(), Gradient2()):

        def learn(limit: Any = limit) -> int:
            state = limit.start(times[0])
            for now in times:
                state.on_start(now)
                state.on_finish(now, 1.0 + now % 1.0, False)
            return len(times)

        yield f"{type(limit).__name__}, start and finish", learn, None

    def observe() -> int:
        timeout = AdaptiveTimeout().start(times[0])
        for now in times:
            timeout.observe(now % 1.0)
        return len(times)

    yield "AdaptiveTimeout.observe", observe, None
    for guard in (RetryBudget(), AdaptiveThrottle(), CircuitBreaker()):
        yield type(guard).__name__, asking(lambda guard=guard: guard.start(times[0]).admit, times), None
    retry = FullJitter()
    yield "FullJitter", asking(lambda: lambda now: retry.next_delay(2, now, 0.5), times), None
    nodes = [SimpleNamespace(name=f"node-{n}", load=n % 3) for n in range(10)]
    for balancer in (Random(), RoundRobin(), LeastLoaded(), PowerOfTwo(), ConsistentHash()):

        def choose(balancer: Any = balancer) -> int:
            state = balancer.start(times[0])
            for now in times:
                state.choose(nodes, "agent", now % 1.0)
            return len(times)

        yield f"{type(balancer).__name__}, 10 nodes", choose, None
    door = Connections(total=10**9, accept_rate=1, accept_burst=10)
    yield "Connections", asking(lambda: door.start(times[0]).admit, times), None


def measure(case: Case, repeat: int, floor: float = 0.0) -> float:
    """The best ns of CPU an ask, `floor` of it the loop's own."""
    best = math.inf
    for _ in range(repeat):
        began = time.thread_time_ns()
        asks = case()
        best = min(best, (time.thread_time_ns() - began) / asks)
    return max(0.0, best - floor)


@click.command(help="Measure what a policy's decision costs.")
@click.option("--count", default=20_000, show_default=True, help="Decisions a run.")
@click.option("--repeat", default=15, show_default=True, help="Runs of each; the best is shown.")
def main(count: int, repeat: int) -> None:
    """Run the cases and print the table."""
    times = arrivals(count, rate=1.5)
    floor = measure(asking(lambda: math.floor, times), repeat)
    table = Table(title=f"A decision, in ns (an empty call of {floor:.0f} ns taken off)")
    for column in ("family", "policy", "ns", "target"):
        table.add_column(column, justify="left" if column in ("family", "policy") else "right")
    families = {
        "rate limit": rate_limits(times),
        "queue": queues(times),
        "mailbox": mailboxes(times),
        "other": others(times),
    }
    missed = []
    for family, cases in families.items():
        for number, (name, case, target) in enumerate(cases):
            cost = measure(case, repeat, floor)
            table.add_row(family if not number else "", name, f"{cost:,.0f}", f"<= {target:,}" if target else "")
            if target and cost > target:
                missed.append(name)
        table.add_section()
    Console().print(table)
    if missed:
        raise SystemExit(f"over target: {', '.join(missed)}")


if __name__ == "__main__":
    main()
