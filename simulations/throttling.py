"""Client throttling: can clients keep a load off an overloaded server, by what it has refused them lately?

A server takes up 100 queries/s and refuses the rest at once. Its clients refuse at home with the probability
max(0, (requests - K accepts)/(requests + 1)) over a window, so that about K times what is taken up arrives. Afterwards
the same rule is in the way: a share f of what is asked was taken up in the window, so K f is sent now. Where all of
that is taken up, f grows K-fold a window or slower: `flow` follows it, as a fluid without chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synapse.experiment import Claim, Lab, Page, above, below, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import Interval, of_mean
from synapse.simulation import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

CAPACITY, WINDOW, REPS = 100, 6.0, 6  # /s, s
PULSES = 30  # runs through an overload: how soon it is forgotten differs much
KS = (2.0, 1.5, 1.1)
LOADS = (0.5, 0.8, 1.3, 2.5, 5.0, 8.0)  # of the capacity
BASE = Scenario().replace(
    duration=72,
    warmup=12,
    agents={
        "count": 100,
        "arrivals": {"kind": "poisson", "rate": 1},
        "budget": {"kind": "adaptive-throttle", "window": WINDOW},
        "budget_per": "kind",
    },
    node={
        "slots": 1000,
        "service": {"kind": "deterministic", "value": 1e-4},
        "rate_limit": {"kind": "token-bucket", "rate": CAPACITY, "burst": 10, "per": "global"},
    },
)
USUAL, PEAK, PULSE, AFTER = 0.8, 5.0, 2, 10  # loads; windows
SHARED = (2, 5, 20, 100)  # requests of a client in a window
QUEUE = BASE.replace(
    {
        "duration": 150,
        "warmup": 60,
        "agents.arrivals.rate": 200,
        "agents.timeout": {"kind": "fixed", "seconds": 0.2},
        "agents.budget.window": 30,
        "node": {
            "slots": 1,
            "service": {"kind": "exponential", "mean": 0.01},
            "queue": {"kind": "fifo", "bound": 10**6},
            "timeout": {"kind": "fixed", "seconds": 1e5},
        },
    }
)
FREE = 0.0  # for no throttle


def steady(point: tuple[float, float], seed: int, rep: int) -> tuple[float, float]:
    """What arrives, in capacities; and the same for each that is taken up."""
    k, load = point
    run = BASE.replace({"agents.arrivals.rate": load * CAPACITY, "agents.budget.k": k}).run(
        seed, replication=rep, queries=False
    )
    return run.measured.tries / run.seconds / CAPACITY, run.measured.tries / run.measured.ok


def pulsed(k: float, seed: int, rep: int) -> list[float]:
    """The share of queries answered, each second, around two windows of overload."""
    pulse = {"kind": "load-pulse", "at": 2 * WINDOW, "width": PULSE * WINDOW, "factor": PEAK / USUAL}
    changes = {"duration": (2 + PULSE + AFTER) * WINDOW, "agents.arrivals.rate": USUAL * CAPACITY, "faults": [pulse]}
    series = BASE.replace({**changes, "agents.budget.k": k}).run(seed, replication=rep, queries=False).series
    return (series["ok"] / series["sent"]).tolist()  # type: ignore[no-any-return]


def flow(k: float, steps: int = 60) -> Any:
    """The same without chance: times in windows, and the share that is answered."""
    asked = np.full((2 + PULSE + AFTER) * steps, USUAL)
    asked[2 * steps : (2 + PULSE) * steps] = PEAK
    taken = asked.copy()
    for now in range(steps, len(asked)):
        past = slice(now - steps, now)
        sent = min(1.0, k * taken[past].sum() / asked[past].sum()) * asked[now]
        taken[now] = min(1.0, sent)
    return np.arange(len(asked)) / steps, taken / asked


def apart(requests: int, seed: int, rep: int) -> tuple[float, float]:
    """Tries per accept at a load of 5, if each client has its own history; and Jain's index of what each gets."""
    count = round(5 * CAPACITY * WINDOW / requests)
    changes = {"duration": 42, "agents.arrivals.rate": 5 * CAPACITY, "agents.budget_per": "agent"}
    scenario = BASE.replace({**changes, "agents.count": count})
    run = scenario.run(seed, replication=rep, queries=True)
    tries = run.queries
    taken = tries[(tries["status"] == "success") & (tries["submitted"] > scenario.warmup)]["agent"].value_counts()
    return run.measured.tries / run.measured.ok, float(taken.sum() ** 2 / (taken**2).sum() / count)


def queued(k: float, seed: int, rep: int) -> float:
    """Answers/s of a server that works through all that it is sent, twice what it can do in time."""
    throttle = {"agents.budget": None} if k == FREE else {"agents.budget.k": k}
    return QUEUE.replace(throttle).run(seed, replication=rep, queries=False).goodput


def means(runs: list[tuple[float, float]]) -> list[Interval]:
    """Of each number."""
    return [of_mean(column) for column in zip(*runs, strict=True)]


def measure(lab: Lab) -> dict[str, Any]:
    """What the replications say, for each part of the figure."""
    points = [(k, load) for k in KS for load in LOADS]
    return {
        "steady": dict(zip(points, map(means, lab.repeat(steady, points, REPS)), strict=True)),
        "pulsed": dict(zip(KS, map(np.array, lab.repeat(pulsed, KS, PULSES, least=8)), strict=True)),
        "apart": dict(zip(SHARED, map(means, lab.repeat(apart, SHARED, REPS)), strict=True)),
        "queued": dict(zip((*KS, FREE), map(np.array, lab.repeat(queued, (*KS, FREE), REPS, least=4)), strict=True)),
    }


def draw(found: dict[str, Any], figure: Figure) -> None:
    """What arrives over what is asked, the time after a pulse, and clients that each learn alone."""
    parts = figure.subplot_mosaic([["steady", "pulsed"], ["steady", "apart"]], width_ratios=(1, 1))
    fine = np.geomspace(LOADS[0], LOADS[-1], 200)
    parts["steady"].plot(fine, fine, "--", color="#666666", label="no throttle")
    for k, colour in zip(KS, COLOURS, strict=False):
        ends = [found["steady"][k, load][0] for load in LOADS]
        mean, half = [end.mean for end in ends], [end.half for end in ends]
        parts["steady"].errorbar(LOADS, mean, half, fmt="o", color=colour, markersize=4, capsize=2, label=f"K = {k:g}")
        parts["steady"].plot(fine, np.minimum(fine, k), color=colour, alpha=0.6)
        time, share = flow(k)
        parts["pulsed"].plot(time - 2 - PULSE, share, color=colour, alpha=0.6)
        seconds = found["pulsed"][k]
        places = (np.arange(seconds.shape[1]) + 0.5) / WINDOW - 2 - PULSE
        parts["pulsed"].plot(places, seconds.mean(axis=0), ".", color=colour, markersize=3)
    parts["steady"].set(xlabel="load asked (capacities)", ylabel="load that arrives (capacities)", xscale="log")
    parts["steady"].set_yscale("log")
    for axis in (parts["steady"].xaxis, parts["steady"].yaxis):
        axis.set_ticks((0.5, 1, 2, 4, 8), ("0.5", "1", "2", "4", "8"))
        axis.set_ticks((), minor=True)
    parts["steady"].legend(frameon=False, loc="upper left")
    parts["pulsed"].axvspan(-PULSE, 0, color="#cc0000", alpha=0.15, linewidth=0)
    parts["pulsed"].set(xlabel="windows after the overload", ylabel="answered", ylim=(0, 1.05))
    for place, (name, colour) in enumerate((("tries per accept", COLOURS[0]), ("Jain's index", COLOURS[3]))):
        ends = [found["apart"][requests][place] for requests in SHARED]
        mean, half = [end.mean for end in ends], [end.half for end in ends]
        parts["apart"].errorbar(SHARED, mean, half, fmt="o-", color=colour, markersize=4, capsize=2, label=name)
    parts["apart"].axhline(2, color=COLOURS[0], alpha=0.6)
    parts["apart"].set(xlabel="requests of each client in a window (K = 2)", xscale="log", ylim=(0, None))
    parts["apart"].legend(frameon=False, fontsize="small", loc="upper right")
    for axes in parts.values():
        axes.grid(alpha=0.3)


def claims(found: dict[str, Any]) -> Iterator[Claim]:
    """What arrives is K times what is taken up; and what that costs afterwards, and alone."""
    for k in KS:
        for load in LOADS:
            arrives, per_accept = found["steady"][k, load]
            if load < min(k, 1):
                yield near(f"K = {k:g}: a load of {load:g} arrives as it is.", arrives, load, 0.01 * load)
            elif load > k:
                text = f"K = {k:g}, load {load:g}: {k:g} tries for each that is taken up."
                yield near(text, per_accept, k, 0.03)
    for k in KS:
        runs = found["pulsed"][k]
        begin = round((2 + PULSE) * WINDOW)
        time, share = flow(k)
        for windows in (1, 3, 6):
            seen = of_mean(runs[:, begin : begin + round(windows * WINDOW)].mean(axis=1))
            fluid = share[(time >= 2 + PULSE) & (time < 2 + PULSE + windows)].mean()
            text = f"K = {k:g}: answered in {windows} windows after an overload, as a fluid would be."
            yield near(text, seen, float(fluid), 0.03)
    late = slice(round((3 + PULSE) * WINDOW), round((5 + PULSE) * WINDOW))
    after = {k: of_mean(found["pulsed"][k][:, late].mean(axis=1)) for k in KS}
    yield above("K = 2: a window after it, nearly all is answered.", after[2.0], 0.9)
    yield below("K = 1.1: less than half, for two windows more.", after[1.1], 0.5)
    forgotten = [
        of_mean(found["pulsed"][1.1][:, begin : begin + round(WINDOW)].mean(axis=1))
        for begin in (round((2 + PULSE + windows) * WINDOW) for windows in (5, 9))
    ]
    yield below("K = 1.1: five windows after it, the next still is not.", forgotten[0], 0.9)
    yield above("K = 1.1: nine windows after it, it is forgotten.", forgotten[1], 0.9)
    rare, often = found["apart"][SHARED[0]], found["apart"][SHARED[-1]]
    yield above("Clients who each ask twice a window send more than K times what is taken up.", rare[0], 2.5)
    yield below("Those with long histories of their own drift apart: Jain's index.", often[1], 0.7)
    yield below("Without a throttle, a queue that works through all of it answers nothing in time.",
                of_mean(found["queued"][FREE]), 1)  # fmt: skip
    yield above("With K = 2 it answers more than a quarter of what it can.", of_mean(found["queued"][2.0]), 25)
    yield above(
        "With K = 1.1, more than with 2, by answers/s.", of_mean(found["queued"][1.1] - found["queued"][2.0]), 0
    )


PAGE = Page(
    number=8,
    title="Client throttling",
    question="Can clients keep a load off an overloaded server, by what it has refused them lately?",
    sources=("Beyer et al., Site reliability engineering (2016), ch. 21, eq. 21-1: K = 2 over two minutes",),
    differs="The window is of 6 s, not of 2 minutes. Refusing costs our server nothing; a queue is simulated for that.",
    finding="K times what is taken up arrives, at any load; but K = 1.1 takes nine windows to forget an overload.",
    advice="Take K = 2, and one throttle for all agents of a process: near 1 it stands in the way of recovery.",
    measure=measure,
    draw=draw,
    claims=claims,
)
