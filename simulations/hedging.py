"""Hedging: when an answer is late, is it worth to ask another node, too?

Queries go to nodes by lot, each with the live server's scheduler. After a while without an answer, as the hedge policy
says, another node by lot is asked, and the first answer counts; the other try is called off, or goes on in vain.

First, a cause for hedging: nodes with spare room, where one service in two hundred hangs for two hundred times as long
as the others take. Then, a cause against it: busy nodes of one slot, all alike. If the late try goes on, these are
M/M/1 under one retry after a timeout, whose fixed point is known; and two tries are two independent exponential times.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse import theory
from synapse.experiment import Claim, Lab, Page, above, below, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import Interval, of_mean
from synapse.policies import Fifo, Fixed, FixedHedge, FixedTimeout, HedgePolicy, NoHedge, Policies, QuantileHedge
from synapse.simulation import Environment
from synapse.simulation.distributions import Exponential, Hyperexponential, Law
from synapse.simulation.node import Node, Try
from synapse.simulation.variates import Variates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SLOTS = 100
RULES = {slots: Policies(queue=Fifo(10**9), concurrency=Fixed(slots), timeout=FixedTimeout(1e9)) for slots in (1, 4)}
HANGS = Hyperexponential(1.0, 10.0)  # services in all that follows: 1 in 200 takes 100 of them in the mean, others 0.5
EVEN = Exponential(1.0)
DELAYS = (1.0, 3.0, 10.0, 30.0, 100.0)
SPARE = 0.3
LOADS = (0.1, 0.3, 0.5, 0.7)
DELAY = 5.0
TWICE = (0.2, 1 / 3, 0.4)  # loads at which all is asked twice at once
LONGER = "for twice as many queries, at the highest load"
REPS = 6


class Copy(Try):
    """One try of a query; `other` is its hedge, or what it hedges."""

    __slots__ = ("other",)

    def __init__(self, askers: Any, number: int, asked: float, demand: float, other: Copy | None = None) -> None:
        super().__init__(askers, number, "", 5, "", 1 if other is None else 2, asked)
        self.timeout = None
        self.demand = demand
        self.other = other


class Askers:
    """Who asks, hedges, and takes the first answer: the outlet of all nodes."""

    def __init__(self, hedge: HedgePolicy, load: float, law: Law, slots: int, streams: Variates) -> None:
        self.env = env = Environment()
        self.nodes = [Node(env, f"{place}", RULES[slots], slots, self) for place in range(SLOTS // slots)]
        self.hedge = hedge.start(0.0)
        self.cancels = self.alike = False
        self.latencies: list[float] = []
        self.hedged: list[int] = []  # which query before the last
        self.wasted = 0.0
        self._gaps = streams.stream("gap", Exponential(1 / (load * SLOTS)))
        self._demands = [streams.stream(f"demand {copy}", law) for copy in (1, 2)]
        self._lots = [streams.stream(f"lot {copy}") for copy in (1, 2)]

    def ask(self, left: int) -> None:
        """A query comes, and then others."""
        if left:
            self.env.call(next(self._gaps), self.ask, left - 1)
        now = self.env.time()
        first = Copy(self, left, now, next(self._demands[0]))
        delay = self.hedge.delay(now)
        self._send(first)
        if delay is not None:
            self.env.call(delay, self._ask_again, first)

    def _ask_again(self, first: Copy) -> None:
        if first.wanted:
            self.hedged.append(first.row)
            demand = first.demand if self.alike else next(self._demands[1])
            first.other = Copy(self, first.row, first.asked, demand, first)
            self._send(first.other)

    def _send(self, copy: Copy) -> None:
        copy.node = self.nodes[int(next(self._lots[copy.attempt - 1]) * len(self.nodes))]
        copy.node.scheduler.submit(copy)

    def thought(self, job: Any, thought: Any) -> None:
        """There are none."""

    def ended(self, job: Any, data: Any) -> None:  # noqa: ARG002
        """A try has ended."""
        if not job.wanted:
            return
        job.wanted = False
        latency = self.env.time() - job.asked
        self.latencies.append(latency)
        self.hedge.observe(latency)
        if job.other is not None:
            job.other.wanted = False
            if self.cancels:
                self.env.call(0.0, self._call_off, job.other)

    def _call_off(self, copy: Copy) -> None:
        assert copy.node is not None
        copy.node.scheduler.interrupt(copy, "answered by another")


def served(
    point: tuple[HedgePolicy, float, Law, int, bool, bool, int], seed: int, rep: int
) -> tuple[float, float, float]:
    """99.9th percentile and mean of latencies, in services, and hedges a query; the first fifth is not counted."""
    hedge, load, law, slots, cancels, alike, queries = point
    askers = Askers(hedge, load, law, slots, Variates(seed, rep))
    askers.cancels, askers.alike = cancels, alike
    askers.ask(queries)
    askers.env.run()
    counted = queries * 4 // 5
    latencies = askers.latencies[-counted:]
    hedges = sum(before_last <= counted for before_last in askers.hedged)
    return float(np.quantile(latencies, 0.999)), float(np.mean(latencies)), hedges / counted


def measure(lab: Lab) -> dict[Any, Any]:
    """What `served` says, a row a replication."""
    many = lab.scaled(40_000, 12_000)
    points: dict[Any, Any] = {("hangs", None): (NoHedge(), SPARE, HANGS, 4, True, False, many)}
    for delay in DELAYS:
        points["hangs", delay] = (FixedHedge(delay), SPARE, HANGS, 4, True, False, many)
    points["alike", 10.0] = (FixedHedge(10.0), SPARE, HANGS, 4, True, True, many)
    for load in LOADS:
        points["never", load] = (NoHedge(), load, EVEN, 1, False, False, many)
        points["goes on", load] = (FixedHedge(DELAY), load, EVEN, 1, False, False, many)
        points["called off", load] = (FixedHedge(DELAY), load, EVEN, 1, True, False, many)
    points["never", LONGER] = (NoHedge(), LOADS[-1], EVEN, 1, False, False, 2 * many)
    points["goes on", LONGER] = (FixedHedge(DELAY), LOADS[-1], EVEN, 1, False, False, 2 * many)
    for load in TWICE:
        points["twice", load] = (FixedHedge(0.0), load, EVEN, 1, False, False, many)
    for load in (0.3, 0.7):
        points["quantile", load] = (QuantileHedge(0.95), load, EVEN, 1, False, False, 40_000)
    rows = lab.repeat(served, points.values(), REPS, least=5)
    return {name: np.array(each) for name, each in zip(points, rows, strict=True)}


def share(load: float) -> float:
    """Hedges a query in theory, where the late try goes on: those that reproduce themselves. NaN: there is no rest."""
    return float(theory.retry_fixed_point(load, 1, DELAY, 1).p_timeout)


def tail(load: float) -> float:
    """The 99.9th percentile then: beyond the delay, two tries are under way, each at the same rate."""
    rate = 1 - load * (1 + share(load))
    return (math.log(1000) / rate + DELAY) / 2


def draw(found: dict[Any, Any], figure: Figure) -> None:
    """Percentile and hedges over the delay, and both over load."""
    (left, right), (hedged, asked) = figure.subplots(2, 2, sharex="col", height_ratios=[2, 1])
    fine = np.linspace(LOADS[0], LOADS[-1], 200)
    _dots(left, DELAYS, [found["hangs", delay][:, 0] for delay in DELAYS], 0, "o-", "hedged")
    left.axhline(found["hangs", None][:, 0].mean(), color="k", linestyle="--", label="not hedged")
    _dots(hedged, DELAYS, [found["hangs", delay][:, 2] for delay in DELAYS], 0, "o-", "hedged")
    right.plot(fine, math.log(1000) / (1 - fine), "k--", linewidth=1, label="theory")
    right.plot(fine, [tail(load) for load in fine], "k--", linewidth=1)
    asked.plot(fine, [share(load) for load in fine], "k--", linewidth=1)
    for place, name in enumerate(("never", "goes on", "called off"), 1):
        text = "not hedged" if name == "never" else f"the late try {'is ' * (name == 'called off')}{name}"
        _dots(right, LOADS, [found[name, load][:, 0] for load in LOADS], place, "o", text)
        if name != "never":
            _dots(asked, LOADS, [found[name, load][:, 2] for load in LOADS], place, "o", text)
    for axes in (right, asked):
        axes.axvline(float(theory.retry_limit(1, DELAY, 1)), color="#666666", linestyle=":")
    left.set(ylabel="99.9th percentile (services)", xscale="log", yscale="log", title="some services hang, load 0.3")
    right.set(yscale="log", title=f"all alike, hedged after {DELAY:g} services")
    hedged.set(xlabel="hedged after (services)", ylabel="hedges a query", yscale="log")
    asked.set(xlabel="load", yscale="log")
    for axes in (left, right, hedged, asked):
        axes.grid(alpha=0.3)
    hedged.xaxis.set_major_formatter("{x:g}")
    left.legend(frameon=False)
    right.legend(framealpha=1, edgecolor="none", ncols=2, fontsize="small")


def _dots(axes: Axes, x: Any, rows: list[Any], place: int, style: str, name: str) -> None:
    values: list[Interval] = [of_mean(row) for row in rows]
    means, halves = [value.mean for value in values], [value.half for value in values]
    axes.errorbar(x, means, halves, fmt=style, color=COLOURS[place], capsize=3, markersize=4, label=name)


def claims(found: dict[Any, Any]) -> Iterator[Claim]:
    """Where it helps, and where it hurts."""
    bare, quick, alike = found["hangs", None], found["hangs", 10.0], found["alike", 10.0]
    yield above(
        "A hedge after ten services divides the 99.9th percentile by five.", of_mean(bare[:, 0] / quick[:, 0]), 5
    )
    yield near("Without one it is 180 services.", of_mean(bare[:, 0]), 180, 15)
    yield near("With one it is 11.", of_mean(quick[:, 0]), 11, 0.5)
    yield near("It asks for half a percent more.", of_mean(quick[:, 2]), 0.005, 0.0005)
    yield above("It is of little use where it is the query that is long.", of_mean(alike[:, 0] / bare[:, 0]), 0.8)
    for load in (0.1, 0.3, 0.5, 0.7):
        exact = math.log(1000) / (1 - load)
        text = f"At load {load:g}, nobody hedges: M/M/1's 99.9th percentile."
        yield near(text, of_mean(found["never", load][:, 0]), exact, 0.03 * exact)
    for load in (0.1, 0.3, 0.5):
        rows = found["goes on", load]
        yield near(
            f"At load {load:g}, as many hedge as the fixed point says.",
            of_mean(rows[:, 2]),
            share(load),
            0.03 * share(load),
        )
        yield near(
            f"At load {load:g}, the 99.9th percentile is theory's.", of_mean(rows[:, 0]), tail(load), 0.03 * tail(load)
        )
    star = float(theory.retry_limit(1, DELAY, 1))
    yield near("Theory: beyond a load of 0.585, hedges breed hedges.", star, 0.5853, 0.0001)
    never, goes_on, called_off = (found[name, 0.7] for name in ("never", "goes on", "called off"))
    worse, longer = (goes_on[:, 0] / never[:, 0], found["goes on", LONGER][:, 0] / found["never", LONGER][:, 0])
    yield above("At load 0.7, hedges that go on make the percentile worse.", of_mean(worse), 1)
    text = "This is without end: after twice as many queries, it is worse by half or more."
    yield above(text, of_mean(longer / worse), 1.5)
    yield above("Most queries are then asked twice.", of_mean(goes_on[:, 2]), 0.5)
    yield below("Hedges that are called off still make it better.", of_mean(called_off[:, 0] / never[:, 0]), 1)
    for load in TWICE:
        exact = 1 / (2 * (1 - 2 * load))
        text = f"At load {load:.3g}, asking two at once takes the mean of the better of two M/M/1."
        yield near(text, of_mean(found["twice", load][:, 1]), exact, 0.02 * exact)
    for load in (0.3, 0.7):
        text = f"At load {load:g}, a hedge at the 95th percentile of late asks about 5 % twice."
        yield near(text, of_mean(found["quantile", load][:, 2]), 0.05, 0.01)
    text = "Theory: of a hundred leaves, each slow once in a hundred, 63.4 % of queries see a slow one."
    yield near(text, float(theory.fan_out(0.01, 100)), 0.634, 0.0005)


PAGE = Page(
    number=5,
    title="Hedging",
    question="When an answer is late, is it worth to ask another node, too?",
    sources=(
        "Dean and Barroso, The tail at scale, CACM 56(2), 2013: 99.9th percentile from 1800 to 74 ms for 2 % more",
        "Vulimiri et al., Low latency via redundancy, CoNEXT 2013: asking two at once helps below a load of 1/3",
    ),
    differs="BigTable's reads fan out to a hundred servers; here a query is one, and its tries' lengths are lots.",
    finding=(
        "Where one service in 200 hangs, a hedge after ten services brings the 99.9th percentile from 180 services to "
        "11, for 0.5 % more tries; on busy nodes hedges that go on breed hedges, and at a load of 0.7 queues then grow "
        "without end."
    ),
    advice=(
        "Hedge late, at the 95th percentile or after, call the loser off, and keep hedges in a retry budget; without "
        "that, do not hedge above a load of one half."
    ),
    measure=measure,
    draw=draw,
    claims=claims,
)
