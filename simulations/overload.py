"""Overload: whom should a queue serve when more is asked than can be answered, and whom should it turn away?

Four slots, Poisson arrivals, exponential service, and agents who have no use for an answer that comes later than ten
services. They do not slow down when they are refused, and they tell the server of their patience only where the queue
asks for it: by a deadline that comes with the query. The queue holds a second's work, and its policy is all that
differs. One that is told of deadlines and drops the hopeless is M/M/c with deterministic patience, whose answer is
known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synapse import theory
from synapse.experiment import Claim, Lab, Page, above, below, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import Interval, of_mean
from synapse.simulation import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERVICE, SLOTS = 0.01, 4  # s, queries at once
CAPACITY = SLOTS / SERVICE  # 1/s
PATIENCE = 10  # services
RESERVE = 5  # services that the deadline queue keeps for an answer: a share of exp(-5) takes longer, and is cut
CUT = 0.02  # what that, and ten seconds of a run, may differ from theory, as a share of capacity
BOUND = int(CAPACITY)
QUEUES: dict[str, dict[str, Any]] = {
    "first come": {"kind": "fifo", "bound": BOUND},
    "CoDel": {"kind": "codel", "bound": BOUND, "target": 0.005, "interval": 0.1},
    "last come": {"kind": "lifo", "bound": BOUND},
    "adaptive": {"kind": "adaptive-lifo", "bound": BOUND, "interval": 0.1},
    "adaptive, 5 ms": {"kind": "adaptive-lifo", "bound": BOUND, "interval": 0.1, "target": 0.005},
    "deadline": {"kind": "deadline", "bound": BOUND, "service": RESERVE * SERVICE},
}
LOADS = (0.7, 0.9, 1.1, 1.4, 2.0)
REPS = 10
FAR = {"kind": "fixed", "seconds": 1e5}
BASE = Scenario().replace(
    duration=20,
    warmup=10,
    agents={"count": 100, "arrivals": {"kind": "poisson", "rate": 1}, "timeout": FAR},
    node={"slots": SLOTS, "service": {"kind": "exponential", "mean": SERVICE}, "timeout": FAR},
)
LONGEST = 20  # services: longer than any answer takes
TABLE = ((7.2, 0.5), (9.6, 0.5), (9.6, 1.0), (9.6, 2.0), (16.0, 1.0))  # load in slots, and wait, of eight slots


def told(patience: float, reserve: float) -> dict[str, Any]:
    """What makes a server end a query after a patience, in services, and not begin it with less than a reserve left."""
    return {
        "agents.timeout.seconds": patience * SERVICE,
        "agents.on_timeout": "deadline",
        "node.queue": {"kind": "deadline", "bound": BOUND, "service": reserve * SERVICE},
    }


def answered(point: tuple[str, float], seed: int, rep: int) -> tuple[float, float, float]:
    """Answers in time, as a share of capacity; and the answers' 99th percentile and mean, in services."""
    name, load = point
    changes = told(PATIENCE, RESERVE) if name == "deadline" else {"node.queue": QUEUES[name]}
    scenario = BASE.replace({"agents.arrivals.rate": load * CAPACITY, **changes})
    run = scenario.run(seed, replication=rep, queries=False)
    longest, beyond = run.latency.tail()
    late = np.append(beyond, 0.0)[np.searchsorted(longest, PATIENCE * SERVICE)]
    return run.goodput / CAPACITY * (1 - late), run.latency.quantile(0.99) / SERVICE, run.latency.mean / SERVICE


def dropped(point: tuple[float, float], seed: int, rep: int) -> float:
    """The share that eight slots drop, of so many Erlang, when nobody is let wait longer than so many services."""
    offered, wait = point
    changes = {"agents.arrivals.rate": offered / SERVICE, "node.slots": 8, **told(LONGEST + wait, LONGEST)}
    run = BASE.replace(changes).run(seed, replication=rep, queries=False)
    return 1 - run.measured.ok / run.measured.sent


def measure(lab: Lab) -> dict[Any, Any]:
    """What each queue answers at each load, a row a replication; and intervals of what the deadline queue drops."""
    points = [(name, load) for name in QUEUES for load in LOADS]
    rows = lab.repeat(answered, points, REPS, least=4)
    drops = [of_mean(each) for each in lab.repeat(dropped, TABLE, REPS, least=4)]
    return {
        "queues": {point: np.array(each) for point, each in zip(points, rows, strict=True)},
        "drops": dict(zip(TABLE, drops, strict=True)),
    }


def in_theory(load: float) -> float:
    """What M/M/c with patience answers, as a share of capacity."""
    queue = theory.mmcd(load * SLOTS, 1, SLOTS, PATIENCE - RESERVE)
    return float(queue.throughput) / SLOTS


def draw(found: dict[Any, Any], figure: Figure) -> None:
    """Answers in time, and how long the slow ones take, over load."""
    left, right = figure.subplots(1, 2)
    for place, name in enumerate(QUEUES):
        _line(left, [of_mean(found["queues"][name, load][:, 0]) for load in LOADS], place, name)
        _line(right, [of_mean(found["queues"][name, load][:, 1]) for load in LOADS], place, name)
    fine = np.linspace(LOADS[0], LOADS[-1], 100)
    left.plot(fine, [in_theory(load) for load in fine], "k--", linewidth=1, label="deadline: M/M/c+D")
    right.axhline(PATIENCE, color="#666666", linestyle=":")
    right.text(LOADS[-1], PATIENCE * 1.07, "patience", ha="right", fontsize="small", color="#666666")
    left.set(xlabel="load", ylabel="answered in time (of capacity)", ylim=(-0.03, 1.08))
    right.set(xlabel="load", ylabel="99th percentile of answers (services)", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)


def _line(axes: Axes, values: list[Interval], place: int, name: str) -> None:
    means, halves = [value.mean for value in values], [value.half for value in values]
    marker = "os^vDX"[place]
    axes.errorbar(
        LOADS, means, halves, fmt=f"{marker}-", color=COLOURS[place], capsize=3, markersize=9 - place, label=name
    )


def claims(found: dict[Any, Any]) -> Iterator[Claim]:
    """What holds past saturation, what it costs below it, and what theory says."""
    queues = found["queues"]
    good = {point: of_mean(rows[:, 0]) for point, rows in queues.items()}
    for load in (1.4, 2.0):
        yield below(f"At load {load:g}, first come answers no one in time.", good["first come", load], 0.02)
        for name in ("last come", "adaptive", "adaptive, 5 ms", "deadline"):
            yield above(f"At load {load:g}, {name} uses nine tenths of capacity well.", good[name, load], 0.9)
    yield near("At load 2, that is 0.2 % of capacity.", good["first come", 2.0], 0.002, 0.002)
    for name in ("last come", "deadline"):
        yield near(f"At load 2, {name} answers 99 %.", good[name, 2.0], 0.99, 0.015)
    text = "At load 2, CoDel answers 11 % in time: these askers do not slow down."
    yield near(text, good["CoDel", 2.0], 0.11, 0.01)
    tail = of_mean(queues["adaptive, 5 ms", 2.0][:, 1])
    yield below("At load 2, a limit of 5 ms keeps the 99th percentile within patience.", tail, PATIENCE)
    fair, unfair, strict = (queues[name, 0.9] for name in ("first come", "last come", "adaptive, 5 ms"))
    exact = float(theory.mmc(0.7 * SLOTS, 1, SLOTS).W)
    usual = of_mean(queues["first come", 0.7][:, 2])
    yield near("At load 0.7, first come takes as long in the mean as Erlang says.", usual, exact, 0.01 * exact)
    yield near("At load 0.9, last come takes as long in the mean.", of_mean(unfair[:, 2] / fair[:, 2]), 1, 0.02)
    worse, cost = of_mean(unfair[:, 1] / fair[:, 1]), of_mean(fair[:, 0] - strict[:, 0])
    yield near("At load 0.9, last come's 99th percentile is 3.8 times as long.", worse, 3.8, 0.3)
    yield near("At load 0.9, a limit of 5 ms costs 5 % of capacity in answers in time.", cost, 0.05, 0.005)
    for load in LOADS:
        text = f"At load {load:g}, the deadline queue answers what M/M/c+D does."
        yield near(text, good["deadline", load], in_theory(load), CUT)
    for (offered, wait), share in found["drops"].items():
        exact = float(theory.mmcd(offered, 1, 8, wait).p_abandon)
        yield near(
            f"Of {offered:g} Erlang, eight slots and a wait of {wait:g} drop as many.", share, exact, 0.03 * exact
        )


PAGE = Page(
    number=7,
    title="Overload",
    question="Whom should a queue serve when more is asked than can be answered, and whom should it turn away?",
    sources=(
        "Nichols and Jacobson, Controlling queue delay, ACM Queue 10(5), 2012; RFC 8289: CoDel",
        "Maurer, Fail at scale, ACM Queue 13(8), 2015: adaptive LIFO, and a 5 ms limit once a queue stands for 100 ms",
        "Baccelli and Hebuterne, On queues with impatient customers, Performance 1981: M/M/c+D",
    ),
    differs="CoDel's senders slow down when it drops; these askers do not, and none of them tries again.",
    finding=(
        "At twice what it can bear, first come answers 0.2 % of capacity in time, CoDel 11 %, last come and deadline "
        "99 %; but at 0.9, last come's 99th percentile is 3.8 times first come's, and a limit of 5 ms costs 5 %."
    ),
    advice=(
        "Send a deadline with each query and use the deadline queue; where agents send none, use adaptive-lifo; and "
        "never a fifo that takes longer than patience."
    ),
    measure=measure,
    draw=draw,
    claims=claims,
)
