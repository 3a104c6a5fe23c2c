"""Balancing: which node should a query go to, and what does the answer cost if what is known of the nodes is old?

Nodes of one slot each, Poisson arrivals, exponential service, and each balancing policy of the live server. By lot, a
node is M/M/1. In turn, it is E/M/1, as a node's arrivals are every n-th. Of d looked at by lot, theory knows the limit
of many nodes. Then all loads are looked at only now and then, and in between everyone sees the same old ones.
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
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERVICE = 0.01  # s
FEW, SOME, MANY = 10, 50, 100  # nodes: fewer do where their number matters less
POLICIES: dict[str, dict[str, Any]] = {
    "random": {"kind": "random"},
    "round-robin": {"kind": "round-robin"},
    "2 choices": {"kind": "power-of-two", "choices": 2},
    "3 choices": {"kind": "power-of-two", "choices": 3},
    "5 choices": {"kind": "power-of-two", "choices": 5},
    "least-loaded": {"kind": "least-loaded"},
}
LOADS = (0.5, 0.7, 0.9, 0.95)
AGES = (1, 3, 10, 30, 60)  # services
KNOW_NOTHING = ("random", "round-robin")
OLD = ("2 choices", "least-loaded")
LOAD = 0.9  # at which loads are old
REPS = 6
FINITE = 0.04  # how much longer the nodes let wait at most than endlessly many would, as a share
FAR = {"kind": "fixed", "seconds": 1e5}
BASE = Scenario().replace(
    agents={"count": 100, "arrivals": {"kind": "poisson", "rate": 1}, "timeout": FAR},
    node={
        "slots": 1,
        "service": {"kind": "exponential", "mean": SERVICE},
        "timeout": FAR,
        "queue": {"kind": "fifo", "bound": 10**9},
    },
)


def times(point: tuple[str, int, float, float, float, float], seed: int, rep: int) -> tuple[float, float]:
    """Mean and 99th percentile of the time to an answer: a policy, nodes, their load, and times, all in services."""
    name, nodes, load, age, warmup, measured = point
    scenario = BASE.replace(
        {
            "warmup": warmup * SERVICE,
            "duration": (warmup + measured) * SERVICE,
            "agents.arrivals.rate": nodes * load / SERVICE,
            "cluster.nodes": nodes,
            "cluster.balancing": POLICIES[name],
            "cluster.stale": age * SERVICE,
        }
    )
    run = scenario.run(seed, replication=rep, queries=False)
    return run.wait.mean / SERVICE + 1, run.latency.quantile(0.99) / SERVICE


def measure(lab: Lab) -> dict[str, dict[tuple[str, float], Any]]:
    """What `times` says, a row a replication, by policy and load; and by policy and age."""
    points = {}
    for name in POLICIES:
        for load in LOADS:
            if name not in KNOW_NOTHING:
                points["fresh", name, load] = (name, MANY, load, 0.0, 2 / (1 - load), lab.scaled(100, 40))
            elif load <= LOAD:  # it takes too long to settle beyond
                settles = 3 / (1 - math.sqrt(load)) ** 2
                measured = lab.scaled(12_000, 2000) if load == LOAD else lab.scaled(1500, 500)
                points["fresh", name, load] = (name, FEW, load, 0.0, settles, measured)
    for name in OLD:
        for age in AGES:
            points["old", name, age] = (name, SOME, LOAD, age, 100 + 3 * age, max(lab.scaled(300, 100), 2 * age))
    found: dict[str, dict[tuple[str, float], Any]] = {"fresh": {}, "old": {}}
    rows = lab.repeat(times, points.values(), REPS, least=4)
    for (what, name, value), each in zip(points, rows, strict=True):
        found[what][name, value] = np.array(each)
    return found


def in_turn(load: float) -> float:
    """Mean time at a node of E/M/1, in services: 1/(1 - s), with s = E[exp(-(1 - s) A)] for the time A between two."""
    root = load
    for _ in range(10_000):
        root = (1 + (1 - root) / (FEW * load)) ** -FEW
    return 1 / (1 - root)


def choices(count: int) -> Callable[[float], float]:
    """Mean time with so many choices of endlessly many nodes, in services."""
    return lambda load: float(theory.power_of_d(load, 1, count).W)


EXACT: dict[str, Callable[[float], float]] = {
    "random": choices(1),
    "round-robin": in_turn,
    **{f"{count} choices": choices(count) for count in (2, 3, 5)},
}


def draw(found: dict[str, Any], figure: Figure) -> None:
    """Mean and tail over load, and the mean over the age of what is known."""
    mean, tail, old = figure.subplots(1, 3)
    fresh = found["fresh"]
    fine = np.linspace(LOADS[0], LOADS[-1], 60)
    for place, name in enumerate(POLICIES):
        colour = COLOURS[place]
        loads = [load for load in LOADS if (name, load) in fresh]
        _dots(mean, loads, [fresh[name, load][:, 0] for load in loads], colour, "o", name)
        _dots(
            tail,
            loads,
            [fresh[name, load][:, 1] for load in loads],
            colour,
            "o" if name in KNOW_NOTHING else "o-",
            name,
        )
        if name in EXACT:
            mean.plot(fine, [EXACT[name](load) for load in fine], color=colour, alpha=0.6)
        if name in KNOW_NOTHING:
            tail.plot(fine, [EXACT[name](load) * math.log(100) for load in fine], color=colour, alpha=0.6)
        if name in OLD:
            _dots(old, AGES, [found["old"][name, age][:, 0] for age in AGES], colour, "o-", name)
            old.axhline(fresh[name, LOAD][:, 0].mean(), color=colour, linestyle=":")
    old.axhline(EXACT["random"](LOAD), color=COLOURS[0])
    mean.plot([], [], color="#666666", label="theory")
    mean.set(xlabel="load", ylabel="mean time (services)", yscale="log")
    tail.set(xlabel="load", ylabel="99th percentile (services)", yscale="log", ylim=(4, 120))
    old.set(xlabel="age of loads (services)", xscale="log", yscale="log")
    old.set_ylabel(f"mean time (services), load {LOAD:g}")
    old.text(AGES[0], 1.15, "dotted: fresh loads", fontsize="small", color="#666666", va="bottom")
    old.text(AGES[0], 10.4, "random", fontsize="small", color=COLOURS[0], va="bottom")
    for axes in (mean, tail, old):
        axes.grid(alpha=0.3)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    figure.legend(*mean.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)


def _dots(axes: Axes, x: Any, rows: list[Any], colour: str, style: str, name: str) -> None:
    values = [of_mean(row) for row in rows]
    means, halves = [value.mean for value in values], [value.half for value in values]
    axes.errorbar(x, means, halves, fmt=style, color=colour, capsize=2, markersize=4, linewidth=1, label=name)


def claims(found: dict[str, Any]) -> Iterator[Claim]:
    """What theory says, what one more choice is worth, and how old news herds."""
    fresh, old = found["fresh"], found["old"]
    for name, exact in EXACT.items():
        for load in LOADS:
            if (name, load) in fresh:
                text = f"At load {load:g}, {name} takes as long as theory says."
                value = exact(load)
                yield near(text, of_mean(fresh[name, load][:, 0]), value, FINITE * value)
    for load in LOADS:
        ratio = of_mean(fresh["least-loaded", load][:, 0] / fresh["5 choices", load][:, 0])
        yield below(f"At load {load:g}, least-loaded is better than five choices.", ratio, 1)
    random = EXACT["random"](LOAD)
    slow = of_mean(fresh["2 choices", LOAD][:, 1])
    text = f"At load {LOAD:g}, a second choice divides the 99th percentile by four or more."
    yield below(text, slow, random * math.log(100) / 4)
    two, least = ({age: old[name, age][:, 0] for age in AGES} for name in OLD)
    ratio = of_mean(least[3] / two[3])
    yield above("With loads three services old, least-loaded is worse than two choices.", ratio, 1)
    knowing = of_mean(fresh["least-loaded", LOAD][:, 0])
    yield near(f"At load {LOAD:g}, least-loaded takes 1.1 services.", knowing, 1.1, 0.05)
    yield near("With loads ten services old, it takes 20, twice as long as chance.", of_mean(least[10]), 2 * random, 1)
    yield near("With these, two choices take 5, half as long as chance.", of_mean(two[10]), random / 2, 0.25)
    yield above("With loads sixty services old, two choices are worse, too.", of_mean(two[60]), random)


PAGE = Page(
    number=15,
    title="Balancing",
    question="Which node should a query go to, and what does old news of the nodes cost?",
    sources=(
        "Vvedenskaya, Dobrushin and Karpelevich, Queueing system with selection of the shortest of two queues (1996)",
        "Mitzenmacher, The power of two choices in randomized load balancing, IEEE TPDS 12(10), 2001: the table",
        "Mitzenmacher, How useful is old information?, IEEE TPDS 11(1), 2000: the herd",
    ),
    differs=(
        f"Theory has endlessly many nodes; here are {MANY}, {FEW} by lot and in turn, and {SOME} with old news, "
        "which comes of all nodes at once."
    ),
    finding=(
        "At a load of 0.9 a second choice brings ten services down to 2.6, as theory says, knowing all loads to 1.1; "
        "but with loads ten services old, least-loaded takes 20, twice as long as chance, and two choices 5."
    ),
    advice=(
        "Balance by power-of-two; use least-loaded only where loads are fresher than a service takes, as in a process."
    ),
    measure=measure,
    draw=draw,
    claims=claims,
)
