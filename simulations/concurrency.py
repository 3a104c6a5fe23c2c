"""Concurrency limits: can a server find out by itself how many queries it should work on at once?

A node of 40 slots that is asked one and a half times what it can answer loses half of its slots after a minute, and
has them back a minute later. Nobody waits before the limit: who comes above it is refused. Whoever is let in beyond the
slots waits inside, unseen but for the time it takes. By Little's law, as many as there are slots are enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synapse.experiment import Claim, Lab, Page, above, below, between, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import Interval, of_mean
from synapse.simulation import Scenario
from synapse.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

SERVICE, SLOTS, LEFT = 0.1, 40, 20  # s, slots, and those that are left in between
DOWN, UP, END = 60.0, 120.0, 180.0  # s
PATIENCE = 0.5  # s
LIMITS: dict[str, dict[str, Any]] = {
    "fixed at 120": {"kind": "fixed", "limit": 120},
    "AIMD": {"kind": "aimd", "timeout": 2 * SERVICE},
    "Gradient2": {"kind": "gradient2"},
    "Vegas": {"kind": "vegas"},
}
EVEN = {"kind": "deterministic", "value": SERVICE}
UNEVEN = {"kind": "exponential", "mean": SERVICE}
REPS = 5
BASE = Scenario().replace(
    duration=END,
    warmup=0,
    agents={
        "count": 100,
        "arrivals": {"kind": "poisson", "rate": 1.5 * SLOTS / SERVICE},
        "timeout": {"kind": "fixed", "seconds": 1e5},
    },
    node={"slots": SLOTS, "timeout": {"kind": "fixed", "seconds": 1e5}, "queue": {"kind": "fifo", "bound": 0}},
)


def watched(point: tuple[str, dict[str, Any], float], seed: int, rep: int) -> Any:
    """Each second: the limit, the mean time of an answer (s), all answers and those in time (1/s)."""
    name, law, duration = point
    scenario = BASE.replace({"node.concurrency": LIMITS[name], "node.service": law, "duration": duration})
    world = World(scenario, seed, rep, queries=False)
    node, population = world.cluster.nodes[0], world.populations[0]
    seconds: list[tuple[float, ...]] = []

    def look(_: None) -> None:
        times = np.array(population.latencies)
        population.latencies.clear()
        population.waits.clear()
        in_time = int(np.count_nonzero(times <= PATIENCE))
        seconds.append((node.scheduler.limit, float(times.mean()), len(times), in_time))
        world.env.call(1.0, look, None)

    def have(slots: int) -> None:
        node.slots = slots

    world.env.call(1.0, look, None)
    world.env.call(DOWN, have, LEFT)
    world.env.call(UP, have, SLOTS)
    world.run()
    return np.array(seconds)


def measure(lab: Lab) -> dict[str, Any]:
    """Of each limit, its seconds in all replications: an array by replication, second and number."""
    points = {name: (name, EVEN, END) for name in LIMITS}
    points |= {f"{name}, uneven": (name, UNEVEN, DOWN) for name in ("Vegas", "Gradient2")}
    rows = lab.repeat(watched, points.values(), REPS)
    return {name: np.array(each) for name, each in zip(points, rows, strict=True)}


def over(found: Any, column: int, begin: float, end: float) -> Interval:
    """The mean of a number over some seconds."""
    return of_mean(found[:, int(begin) : int(end), column].mean(axis=1))


def draw(found: dict[str, Any], figure: Figure) -> None:
    """The limit, the time of an answer, and answers in time, over time."""
    panels = figure.subplots(3, 1, sharex=True)
    for place, name in enumerate(LIMITS):
        for axes, column in zip(panels, (0, 1, 3), strict=True):
            rows = found[name][:, :, column]
            time = np.arange(1, rows.shape[1] + 1)
            mean = rows.mean(axis=0)
            half = [of_mean(each).half for each in rows.T]
            axes.plot(time, mean, color=COLOURS[place], linewidth=1.2, label=name)
            axes.fill_between(time, mean - half, mean + half, color=COLOURS[place], alpha=0.2, linewidth=0)
    limit, rtt, good = panels
    slots = np.array([SLOTS, SLOTS, LEFT, LEFT, SLOTS, SLOTS])
    edges = [0, DOWN, DOWN, UP, UP, END]
    limit.plot(edges, slots, "k--", linewidth=1, label="slots: Little's law")
    good.plot(edges, slots / SERVICE, "k--", linewidth=1)
    rtt.axhline(PATIENCE, color="#666666", linestyle=":")
    rtt.text(2, PATIENCE * 1.03, "patience", fontsize="small", color="#666666", va="bottom")
    limit.set(ylabel="limit (queries)", ylim=(0, None))
    rtt.set(ylabel="answer takes (s)", ylim=(0, 0.75))
    good.set(ylabel="in time (1/s)", xlabel="time (s)", xlim=(0, END), ylim=(0, None))
    for axes in panels:
        axes.grid(alpha=0.3)
    figure.legend(*limit.get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)


def claims(found: dict[str, Any]) -> Iterator[Claim]:
    """Where the limits go, what that saves, and what it costs."""
    for slots, begin, end in ((SLOTS, 45, DOWN), (LEFT, 105, UP)):
        for name, least, most in (
            ("Vegas", slots + 3, slots + 6),  # its queue
            ("Gradient2", slots, slots * 1.5**2),  # its tolerance of what it takes for normal, which is no more by then
            ("AIMD", slots, 2 * slots + 1),  # its timeout of two services
        ):
            text = f"With {slots} slots, {name}'s limit is from {least} to {most:g}; Little's is {slots}."
            yield between(text, over(found[name], 0, begin, end), least, most)
            served = over(found[name], 3, begin, end)
            yield above(f"It answers nine tenths of what {slots} slots can, in time.", served, 0.9 * slots / SERVICE)
    for name, limit in (("Vegas", 26), ("Gradient2", 40), ("AIMD", 39)):
        yield near(f"With 20 slots, {name}'s limit goes to {limit}.", over(found[name], 0, 105, UP), limit, 1)
    fixed = found["fixed at 120"]
    yield above("A fixed limit of 120 is well chosen for 40 slots.", over(fixed, 3, 45, DOWN), 0.9 * SLOTS / SERVICE)
    yield below("With 20 slots, it answers hardly anyone in time.", over(fixed, 3, 75, UP), 0.05 * LEFT / SERVICE)
    yield above("For all it lets in wait inside.", over(fixed, 1, 75, UP), PATIENCE)
    for name in ("AIMD", "Gradient2", "Vegas"):
        text = f"{name} refuses instead: an answer takes half of patience at most."
        yield below(text, over(found[name], 1, 105, UP), PATIENCE / 2)
    later = found["Gradient2"][:, 105:120, 0].mean(axis=1) - found["Gradient2"][:, 85:100, 0].mean(axis=1)
    yield above("Gradient2 takes slow for normal if it lasts: its limit rises.", of_mean(later), 0)
    text = "Where services are uneven, Vegas sees queues that are not there, and uses a sixth of the slots."
    sixth = SLOTS / SERVICE / 6
    yield near(text, over(found["Vegas, uneven"], 2, 45, DOWN - 1), sixth, 0.1 * sixth)
    yield above("Gradient2 does not.", over(found["Gradient2, uneven"], 2, 45, DOWN - 1), 0.9 * SLOTS / SERVICE)


PAGE = Page(
    number=6,
    title="Adaptive concurrency",
    question="Can a server find out by itself how many queries it should work on at once?",
    sources=(
        "Netflix, concurrency-limits (GitHub, 2018): AIMDLimit, Gradient2Limit, VegasLimit, with their constants",
        "Brakmo and Peterson, TCP Vegas, IEEE JSAC 13(8), 1995",
        "Little, A proof for the queuing formula L = λW, Operations Research 9 (1961)",
    ),
    differs="AIMD's timeout is two services, not five seconds; a step is taken each second, as in the live server.",
    finding=(
        "When half of 40 slots go, Vegas goes to 26, Gradient2 to 40 and AIMD to 39, and all answer what 20 slots can, "
        "where a fixed 120 answers no one in time; but with exponential services Vegas uses a sixth of the slots."
    ),
    advice=(
        "Where the right number of slots may change, use aimd with a timeout of twice a usual answer, or gradient2; "
        "vegas only where all answers take the same time."
    ),
    measure=measure,
    draw=draw,
    claims=claims,
)
