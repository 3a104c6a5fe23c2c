"""Priorities: do urgent queries stay quick when the server is overloaded, and who pays for it?

One server, one Poisson stream of queries. A quarter are urgent (priority 0), a quarter usual (5), half may wait (9).
Whoever is served stays; then the most urgent is next, which is the live server's default queue. Cobham's formula says
how long each class waits, also above a load of 1, where a class waits for ever only if it and those before it are
more than can be served.
"""

from __future__ import annotations

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
SHARES = {"urgent": 0.25, "usual": 0.25, "may wait": 0.5}
PRIORITIES = (0, 5, 9)
LOADS = (0.5, 0.7, 0.9, 1.2, 1.6)
REPS = 20
BASE = Scenario().replace(
    duration=210,
    warmup=10,
    agents={
        "count": 100,
        "arrivals": {"kind": "poisson", "rate": 1},
        "timeout": {"kind": "fixed", "seconds": 1e5},
        "kinds": [
            {"name": name, "share": share, "priority": priority}
            for (name, share), priority in zip(SHARES.items(), PRIORITIES, strict=True)
        ],
    },
    node={
        "slots": 1,
        "service": {"kind": "exponential", "mean": SERVICE},
        "timeout": {"kind": "fixed", "seconds": 1e5},
        "queue": {"kind": "priority", "bound": 10**9},
    },
)


def waits(load: float, seed: int, rep: int) -> list[float]:
    """Mean wait of each class that is answered, in services."""
    run = BASE.replace({"agents.arrivals.rate": load / SERVICE}).run(seed, replication=rep, queries=False)
    return [run.latencies[name].mean / SERVICE - 1 for name in SHARES]


def exact(load: float) -> list[float]:
    """Cobham's waits, in services; endless for a class that cannot be served."""
    return list(map(float, np.asarray(theory.cobham([load * share for share in SHARES.values()], 1).Wq)))


def measure(lab: Lab) -> dict[float, Any]:
    """For each load and class, the interval of the mean wait."""
    found = lab.repeat(waits, LOADS, REPS, least=5)
    return {
        load: [of_mean(column) for column in zip(*rows, strict=True)] for load, rows in zip(LOADS, found, strict=True)
    }


def draw(found: dict[float, Any], figure: Figure) -> None:
    """Waits over load."""
    axes = figure.add_subplot()
    fine = np.linspace(LOADS[0], LOADS[-1], 200)
    for place, name in enumerate(SHARES):
        colour = COLOURS[place]
        mean = [found[load][place].mean for load in LOADS]
        half = [found[load][place].half for load in LOADS]
        axes.errorbar(LOADS, mean, half, fmt="o", color=colour, capsize=3, label=f"{name}: simulated")
        line = np.array([exact(load)[place] for load in fine])
        axes.plot(
            fine, np.where(np.isfinite(line), line, np.nan), "-", color=colour, alpha=0.6, label=f"{name}: Cobham"
        )
    axes.axvline(1, color="#666666", linestyle=":")
    axes.set(xlabel="load", ylabel="mean wait (services)", yscale="log", ylim=(0.1, 1e4))
    axes.legend(frameon=False, ncols=3, fontsize="small", loc="upper left")
    axes.grid(alpha=0.3)


def claims(found: dict[float, Any]) -> Iterator[Claim]:
    """What Cobham says, and what it means."""
    for load in LOADS:
        for place, name in enumerate(SHARES):
            if np.isfinite(expected := exact(load)[place]):
                text = f"At load {load:g} the {name} ones wait as long as Cobham says."
                yield near(text, found[load][place], expected, 0.02 * expected)
    yield below("At load 1.6 the urgent ones still wait less than three services.", found[1.6][0], 3)
    yield above("At load 1.2 those that may wait do so for more than 100 services.", found[1.2][2], 100)


PAGE = Page(
    number=14,
    title="Priorities",
    question="Do urgent queries stay quick when the server is overloaded, and who pays for it?",
    sources=(
        "Cobham, Priority assignment in waiting line problems, Operations Research 2 (1954): the exact waits",
        "Zhou et al., Overload control for scaling WeChat microservices (DAGOR), SoCC 2018: admission by priority",
    ),
    differs="DAGOR refuses whole classes by a threshold on queueing time; here all wait, in an order.",
    finding="The urgent class waits under three services even at a load of 1.6, and the last class pays for all of it.",
    advice="Give priority 0 to what a person waits for, and keep its own load well below 1: above that it waits, too.",
    measure=measure,
    draw=draw,
    claims=claims,
)
