"""Timeouts: how long should a client wait for an answer, before it takes it for lost?

One exponential server, first come first served, which knows nothing of its clients' timeouts: what has timed out is
served, too, in vain. In M/M/1, a share e^-(1 - load)T of the answers take longer than T services. Clients that try once
lose just these. Clients that try again add them to the load, and beyond a point (`synapse.theory.retry_limit`) no
balance is left. A long timeout has its price where answers are lost: here, when one of four nodes hangs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse import theory
from synapse.experiment import Claim, Lab, Page, above, below, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import of_mean
from synapse.simulation import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

SERVICE = 0.01  # s
LOADS = (0.5, 0.7, 0.9)
EXACT = (0.5, 0.2, 0.05, 0.01)  # of the answers, that would come after the timeout
LATER = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 1e-3, 1e-4, 1e-6)
RETRIES, REPS = 3, 6
BUSY, LONGER = 0.9, 24  # a load at which runs differ much, and how many are made then
RARE, SURE = 0.05, 0.5  # a share that is told there only at a size from which on there are enough of them
FAR = {"kind": "fixed", "seconds": 1e5}
ALONE = Scenario().replace(
    duration=60,
    warmup=20,
    agents={
        "count": 1,
        "arrivals": {"kind": "poisson", "rate": 1},
        "retry": {"kind": "full-jitter", "base": 40 * SERVICE, "cap": 40 * SERVICE},
    },
    node={
        "slots": 1,
        "service": {"kind": "exponential", "mean": SERVICE},
        "timeout": FAR,
        "queue": {"kind": "fifo", "bound": 10**9},
    },
)
WAITS = (10, 30, 100, 300)  # services
HUNG = ALONE.replace(
    {
        "duration": 300,
        "agents.arrivals.rate": 100,
        "agents.on_timeout": "interrupt",
        "agents.retry": {"kind": "full-jitter", "base": SERVICE, "cap": SERVICE},
        "cluster": {"nodes": 4, "balancing": {"kind": "random"}},
        "faults": [{"kind": "slow-node", "node": 0, "at": 0, "factor": 1e6}],
    }
)
CLOSED = ALONE.replace(
    {
        "warmup": 10,
        "agents": {"count": 2000, "think": {"kind": "exponential", "mean": 10}, "retry": {"kind": "full-jitter"}},
        "node": {"slots": 12, "service": {"kind": "exponential", "mean": 0.05}, "timeout": FAR,
                 "queue": {"kind": "fifo", "bound": 240}},
        "faults": [{"kind": "slow-down", "at": 20, "width": 5, "factor": 4}],
    }
)  # fmt: skip
SWEEP = {(0.25, 0): (159, 8), (0.25, 1): (40, 2), (1.0, 0): (177, 9)}  # answers/s of another program, and 5 %
LONG = [(2.0, retries) for retries in (0, 4)]


def tipping(load: float) -> float:
    """The timeout below which clients with retries have no balance, in services."""
    waits = np.geomspace(1, 200, 400)
    return float(np.interp(load, theory.retry_limit(1, waits, RETRIES), waits))


def hanging(wait: Any) -> Any:
    """The mean latency in services when one try in four is lost: that of M/M/1 at a third, and the lost tries'."""
    chances = [0.75 * 0.25**lost for lost in range(RETRIES + 1)]
    return 1.5 + sum(lost * chance for lost, chance in enumerate(chances)) / sum(chances) * (wait + 0.5)


def timeout(load: float, later: float) -> float:
    """The timeout that a share of the answers exceeds, in services."""
    return -math.log(later) / (1 - load)


def useless(load: float, wait: float) -> float:
    """The share of its work that M/M/1 does for answers later than that many services: E[S; W + S > T]."""
    late = (1 - math.exp(-load * wait)) / load + (1 - (1 + load * wait) * math.exp(-load * wait)) / load**2
    idle = (1 - load) * (wait + 1) * math.exp(-wait)
    return idle + load * math.exp(-(1 - load) * wait) * ((1 - load) * late + 1)


def alone(point: tuple[float, float, int], seed: int, rep: int) -> tuple[float, float]:
    """Queries answered of those asked, and work done in vain of all."""
    load, wait, retries = point
    changes: dict[str, float] = {"agents.arrivals.rate": load / SERVICE, "agents.retry.tries": retries + 1}
    changes |= {"agents.timeout.seconds": wait * SERVICE, "duration": 60 if retries else 250}
    run = ALONE.replace(changes).run(seed, replication=rep, queries=False)
    return run.goodput / run.offered, run.metrics["wasted"]


def hung(wait: float, seed: int, rep: int) -> tuple[float, float]:
    """Mean and p99 of latencies, in services, when one of four nodes hangs."""
    run = HUNG.replace({"agents.timeout.seconds": wait * SERVICE}).run(seed, replication=rep, queries=False)
    return run.latency.mean / SERVICE, run.latency.quantile(0.99) / SERVICE


def closed(point: tuple[float, int], seed: int, rep: int) -> float:
    """Answers/s that 2000 agents get who would ask 200 queries/s, with five slow seconds."""
    wait, retries = point
    changes = {"agents.timeout": {"kind": "fixed", "seconds": wait}, "agents.retry.tries": retries + 1}
    return CLOSED.replace(changes).run(seed, replication=rep, queries=False).goodput


def measure(lab: Lab) -> dict[Any, Any]:
    """What the replications say of all that is drawn and claimed: for each point, a list for each number."""
    once = [(load, timeout(load, later), 0) for load in LOADS for later in EXACT if load < BUSY]
    busy = [(BUSY, timeout(BUSY, later), 0) for later in EXACT if later > RARE or lab.size >= SURE]
    again = [(load, timeout(load, later), RETRIES) for load in LOADS for later in LATER]
    made = [*lab.repeat(alone, once, REPS, least=4), *lab.repeat(alone, busy, LONGER, least=8)]
    made += lab.repeat(alone, again, REPS, least=2)
    made += lab.repeat(hung, WAITS, REPS, least=2)
    columns = ([*zip(*runs, strict=True)] for runs in made)
    found: dict[Any, Any] = dict(zip((*once, *busy, *again, *WAITS), columns, strict=True))
    sweep = [*SWEEP, (1.0, 4), *LONG]
    return found | dict(zip(sweep, map(of_mean, lab.repeat(closed, sweep, REPS, least=4)), strict=True))


def draw(found: dict[Any, Any], figure: Figure) -> None:
    """Goodput and waste over the timeout, for each load; and latency with a node that hangs."""
    parts = figure.subplot_mosaic([["goodput", "hung"], ["wasted", "hung"]], width_ratios=(3, 2))
    for load, colour in zip(LOADS, COLOURS, strict=False):
        waits = [timeout(load, later) for later in LATER]
        fine = np.geomspace(waits[0], waits[-1], 200)
        parts["goodput"].plot(fine, 1 - np.exp(-(1 - load) * fine), color=colour, alpha=0.6, label=f"load {load:g}")
        parts["wasted"].plot(fine, [useless(load, wait) for wait in fine], color=colour, alpha=0.6)
        for place, name in enumerate(("goodput", "wasted")):
            tried = [wait for later in EXACT if (load, wait := timeout(load, later), 0) in found]
            ends = [of_mean(found[load, wait, 0][place]) for wait in tried]
            mean, half = [end.mean for end in ends], [end.half for end in ends]
            parts[name].errorbar(tried, mean, half, fmt="o", color=colour, markersize=4, capsize=2)
            for wait in waits:
                dots = found[load, wait, RETRIES][place]
                parts[name].plot([wait] * len(dots), dots, "x", color=colour, markersize=5, alpha=0.7)
            parts[name].axvline(tipping(load), color=colour, linestyle=":")
    parts["goodput"].plot([], [], "o-", color="#666666", markersize=4, label="one try: simulated, exact")
    parts["goodput"].plot([], [], "x", color="#666666", markersize=5, label="four tries: each run")
    parts["goodput"].plot([], [], ":", color="#666666", label="their tipping point")
    parts["goodput"].set(ylabel="answered", xscale="log", xlim=(1, 1000), ylim=(-0.05, 1.05))
    parts["wasted"].set(
        ylabel="work in vain", xscale="log", xlim=(1, 1000), ylim=(-0.05, 1.05), xlabel="timeout (services)"
    )
    parts["goodput"].legend(frameon=False, fontsize="x-small", loc="center right")
    for place, name in enumerate(("mean", "p99")):
        ends = [of_mean(found[wait][place]) for wait in WAITS]
        mean, half = [end.mean for end in ends], [end.half for end in ends]
        parts["hung"].errorbar(
            WAITS, mean, half, fmt="o", color=COLOURS[3 + place], markersize=4, capsize=2, label=name
        )  # fmt: skip
    fine = np.geomspace(WAITS[0], WAITS[-1], 50)
    parts["hung"].plot(fine, hanging(fine), color=COLOURS[3], alpha=0.6, label="exact mean")
    parts["hung"].plot(fine, 3 * fine, color=COLOURS[4], alpha=0.6, label="three timeouts")
    parts["hung"].set(xlabel="timeout (services)", ylabel="latency (services)", xscale="log", yscale="log")
    parts["hung"].set_title("One node of four hangs; four tries", fontsize="medium")
    parts["hung"].legend(frameon=False, fontsize="small", loc="upper left")
    for axes in parts.values():
        axes.grid(alpha=0.3)


def claims(found: dict[Any, Any]) -> Iterator[Claim]:
    """What is exact, what collapses, and what long timeouts cost."""
    for load in LOADS:
        for later in EXACT:
            if (load, wait := timeout(load, later), 0) not in found:
                continue
            once = [of_mean(column) for column in found[load, wait, 0]]
            text = f"Load {load:g}, a timeout of {wait:.3g} services, one try: {1 - later:.0%} are answered."
            yield near(text, once[0], 1 - later, 0.01)
            yield near("The work in vain is as in M/M/1.", once[1], useless(load, wait), 0.01)
        short, long = timeout(load, 0.2), timeout(load, 1e-6)
        yield above(f"Theory: at load {load:g}, {short:.3g} services are too short for retries.", tipping(load), short)
        down, up = found[load, short, RETRIES], found[load, long, RETRIES]
        yield below("There, four tries answer nothing, where one answers 80 %.", max(down[0]), 0.01)
        yield above("And nearly all work is in vain.", min(down[1]), 0.95)
        yield above(f"At {long:.3g}, twice what one in 1000 exceeds, four tries answer all.", min(up[0]), 0.98)
    for (wait, retries), (expected, within) in SWEEP.items():
        text = f"2000 agents, {wait:g} s, {retries} retries: as many answers as elsewhere."
        yield near(text, found[wait, retries], expected, within)
    yield below("1 s: four retries answer fewer than none.", found[1.0, 4], 177 - 9)
    for point in LONG:
        yield near(f"2 s: {point[1]} retries answer as many as elsewhere.", found[point], 182.5, 9)
    for wait in WAITS[1:]:
        mean, p99 = (of_mean(column) for column in found[wait])
        yield near(f"A hung node, {wait} services: the mean grows by it.", mean, hanging(wait), 0.02 * hanging(wait))
        yield near("The worst of a hundred wait three timeouts.", p99, 3 * wait + 2, 0.02 * 3 * wait)


PAGE = Page(
    number=4,
    title="Choosing a timeout",
    question="How long should a client wait for an answer, before it takes it for lost?",
    sources=(
        "Bronson et al., Metastable failures in distributed systems, HotOS 2021: retries of work that is still served",
        "Brooker, Timeouts, retries and backoff with jitter, Amazon Builders' Library: take a latency's quantile",
    ),
    differs="The sweep of 2000 agents was of another program; its backoff and its queue's bound are not known.",
    finding="A timeout that one in five exceeds loses a fifth with one try, and everything with four.",
    advice="Take twice the p99.9 of good days: shorter ones make load of slowness, longer ones are waited for in full.",
    measure=measure,
    draw=draw,
    claims=claims,
)
