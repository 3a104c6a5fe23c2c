"""Metastable failure: does a server come back from a pulse of load, when its clients time out and try again?

One exponential server, first come first served. Clients give up on a try after ten services and try again, three times
at most, after twenty services in the mean; the server does not know, and serves those tries, too. For a while, queries
come at twice the rate that can be served. With R retries a query is R + 1 tries once all of them time out. So the
server cannot drain what the pulse has left if the load is above 1/(R + 1), though it is healthy there without a pulse.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse import theory
from synapse.experiment import Claim, Lab, Page, below, between, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import of_mean
from synapse.simulation import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

SERVICE = 0.01  # s
TIMEOUT, RETRIES = 10, 3  # services; after the first try
END, PULSE_AT, LOOK = 20_000, 1000, 1000  # services; the last `LOOK` of them tell where it has ended up
REPS, CHANCY = 10, 20  # runs of a point; of one where chance decides
UNLIKELY = 0.01  # chance of two counts that differ so much, if both programs do the same: Fisher's exact test
ELSEWHERE = 10  # runs there
NEARLY = 0.1  # of the runs may differ where all of them, or none, recover elsewhere
BASE = Scenario().replace(
    duration=END * SERVICE,
    warmup=(END - LOOK) * SERVICE,
    agents={
        "count": 1,
        "arrivals": {"kind": "poisson", "rate": 1},
        "timeout": {"kind": "fixed", "seconds": TIMEOUT * SERVICE},
        "retry": {"kind": "full-jitter", "base": 40 * SERVICE, "cap": 40 * SERVICE},
    },
    node={
        "slots": 1,
        "service": {"kind": "exponential", "mean": SERVICE},
        "timeout": {"kind": "fixed", "seconds": 1e5},
        "queue": {"kind": "fifo", "bound": 10**9},
    },
)

WIDTHS = (0, 10, 30, 100, 300)  # services
TABLE = {  # of ten runs of another program, how many had recovered
    0.20: (10, 10, 10, 10, 10),
    0.24: (10, 10, 10, 8, 0),  # what the pulse has left drains, but slowly: by 0.04 a service
    0.26: (10, 10, 3, 0, 0),
    0.40: (9, 9, 1, 0, 0),
    0.60: (0, 0, 0, 0, 0),
}
MIXED = {(0.24, 100), (0.26, 10), (0.26, 30), (0.40, 0), (0.40, 10), (0.40, 30)}  # chance decides
MAP = [(load, width, RETRIES, "leave") for load in TABLE for width in WIDTHS]
AWARE = [(load, width, RETRIES, "deadline") for load in TABLE if load < 0.6 for width in (100, 300)]
SIDES = [(share / (retries + 1), 100, retries, "leave") for retries in (1, 7) for share in (0.8, 1.2)]
ONCE = (0.4, 0, 0, "leave")
SHOWN = {
    "load 0.4": (0.4, 100, RETRIES, "leave"),
    "load 0.2": (0.2, 100, RETRIES, "leave"),
    "load 0.4, the server knows the deadline": (0.4, 100, RETRIES, "deadline"),
}


def run(point: tuple[float, int, int, str], seed: int, rep: int) -> dict[str, Any]:
    """Where it ends up: whether nine of ten queries are answered, and tries per query; and goodput over time."""
    load, width, retries, on_timeout = point
    changes = {"agents.arrivals.rate": load / SERVICE, "agents.retry.tries": retries + 1}
    scenario = BASE.replace({**changes, "agents.on_timeout": on_timeout})
    if width:
        pulse = {"kind": "load-pulse", "at": PULSE_AT * SERVICE, "width": width * SERVICE, "factor": 2 / load}
        scenario = scenario.replace({"faults": [pulse]})
    result = scenario.run(seed, replication=rep, queries=False)
    counts = result.counts
    return {
        "recovered": result.goodput > 0.9 * result.offered,
        "tries": result.metrics["tries_per_query"],
        "failed": counts.timeout / counts.sent,
        "goodput": result.series["ok"].to_numpy() * SERVICE / load,
    }


def bronson(_: int, seed: int, rep: int) -> tuple[float, float]:
    """280 queries/s for a database that serves 300, after ten bad seconds, with one retry: tries/s, and answers/s."""
    changes = {"agents.arrivals.rate": 280, "node.service.mean": 1 / 300, "agents.timeout.seconds": 1.0}
    slow = {"kind": "slow-down", "at": 20, "width": 10, "factor": 10}
    scenario = BASE.replace({**changes, "agents.retry.tries": 2, "duration": 70, "warmup": 50, "faults": [slow]})
    result = scenario.run(seed, replication=rep, queries=False)
    return result.measured.tries / result.seconds, result.goodput


def measure(lab: Lab) -> dict[Any, Any]:
    """The runs at each point."""
    chancy = [point for point in MAP if point[:2] in MIXED]
    points = [point for point in dict.fromkeys([*MAP, *AWARE, *SIDES, *SHOWN.values()]) if point not in chancy]
    found: dict[Any, Any] = dict(zip(points, lab.repeat(run, points, REPS, least=2), strict=True))
    found |= zip(chancy, lab.repeat(run, chancy, CHANCY), strict=True)
    found[ONCE] = lab.repeat(run, [ONCE], 60, least=24)[0]
    found["bronson"] = lab.repeat(bronson, [0], REPS)[0]
    return found


def share(runs: list[dict[str, Any]]) -> float:
    """Of those that have recovered."""
    return float(np.mean([each["recovered"] for each in runs]))


def alike(recovered: int, runs: int) -> list[int]:
    """How many of our runs may recover, if so many of ten do elsewhere, for the two not to differ by Fisher's test."""
    from scipy import stats  # type: ignore[import-untyped]

    there = [recovered, ELSEWHERE - recovered]
    counts = range(runs + 1)
    return [count for count in counts if stats.fisher_exact([[count, runs - count], there]).pvalue >= UNLIKELY]


def draw(found: dict[Any, Any], figure: Figure) -> None:
    """Goodput over time, and who comes back."""
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    time = np.arange(1, round(END * SERVICE) + 1) - 0.5
    left.axvspan(PULSE_AT * SERVICE, (PULSE_AT + 100) * SERVICE, color="#cc0000", alpha=0.3, linewidth=0)
    for (name, point), colour in zip(SHOWN.items(), (COLOURS[3], COLOURS[0], COLOURS[2]), strict=True):
        runs = np.array([each["goodput"] for each in found[point]])
        left.plot(time, runs.T, color=colour, alpha=0.25, linewidth=0.7)
        left.plot(time, runs.mean(axis=0), color=colour, label=name)
    left.set(xlabel="time (s)", ylabel="goodput (share of the usual rate of queries)", xlim=(0, 60), ylim=(-0.05, 3))
    left.set_title("One second at twice what can be served", fontsize="medium")
    left.legend(frameon=False, fontsize="small", loc="upper right")
    left.grid(alpha=0.3)
    loads = list(TABLE)
    shares = np.array([[share(found[load, width, RETRIES, "leave"]) for load in loads] for width in WIDTHS])
    right.pcolormesh(shares, cmap="RdYlGn", vmin=-0.15, vmax=1.15, edgecolors="white", linewidth=2)
    for (row, column), value in np.ndenumerate(shares):
        right.text(column + 0.5, row + 0.5, f"{value:.0%}", ha="center", va="center", fontsize="small")
    right.axvline(2, color="black", linestyle="--")
    right.text(2, 5.03, "1/(R + 1)", ha="center", va="bottom", fontsize="small")
    right.set_xticks(np.arange(5) + 0.5, [f"{load:g}" for load in loads])
    right.set_yticks(np.arange(5) + 0.5, [str(width) for width in WIDTHS])
    right.set(xlabel="load", ylabel="width of the pulse (services)")
    right.set_title("Runs that recover\n", fontsize="medium")


def claims(found: dict[Any, Any]) -> Iterator[Claim]:
    """The table, the border, and what it costs to do without retries."""
    for load, row in TABLE.items():
        for width, recovered in zip(WIDTHS, row, strict=True):
            runs = found[load, width, RETRIES, "leave"]
            if (load, width) not in MIXED:
                text = f"Load {load:g}, pulse of {width}: {'all' if recovered else 'none'} recover, as elsewhere."
                yield _nearly(text, runs, recovered > 0)
            elif len(counts := alike(recovered, len(runs))) <= len(runs):  # fewer runs could not differ
                text = f"Load {load:g}, pulse of {width}: as many recover as elsewhere ({recovered} of {ELSEWHERE})."
                yield between(text, share(runs), counts[0] / len(runs), counts[-1] / len(runs))
    for point in SIDES:
        load, _, retries, _ = point
        is_stable = theory.retry_fixed_point(load, 1, TIMEOUT, retries).region == "stable"
        text = f"{'All' if is_stable else 'None'} recover at load {load:.2g} when a query is {retries + 1} tries."
        yield _nearly(text, found[point], is_stable)
    aware = [each for point in AWARE for each in found[point]]
    yield near("A server that knows deadlines recovers from all of it up to a load of 0.4.", share(aware), 1)
    down = [each for each in found[SHOWN["load 0.4"]] if not each["recovered"]]
    yield near("When down, each query is R + 1 tries.", of_mean(each["tries"] for each in down), RETRIES + 1, 0.05)
    once = of_mean(each["failed"] for each in found[ONCE])
    yield near("Without retries, e^-6 of the queries fail at load 0.4.", once, math.exp(-0.6 * TIMEOUT), 2e-4)
    healthy = [each for each in found[0.4, 0, RETRIES, "leave"] if each["recovered"]]
    most = max((each["failed"] for each in healthy), default=math.nan)
    yield below("With three retries, none in 10,000 do, while it is healthy.", most, 1e-4)
    tries, goodput = zip(*found["bronson"], strict=True)
    yield near("Bronson's database is asked 560 times a second long after the trigger.", of_mean(tries), 560, 10)
    yield below("It answers less than a tenth of its 280 queries/s.", of_mean(goodput), 28)


def _nearly(text: str, runs: list[dict[str, Any]], every: bool) -> Claim:
    return between(text, share(runs), 1 - NEARLY, 1) if every else between(text, share(runs), 0, NEARLY)


PAGE = Page(
    number=1,
    title="Metastable failure",
    question="Does a server come back from a pulse of load, when its clients time out and try again?",
    sources=(
        "Bronson, Aghayev, Charapko, Zhu, Metastable failures in distributed systems, HotOS 2021: with the database",
        "Huang et al., Metastable failures in the wild, OSDI 2022: 22 such failures at 11 organisations",
    ),
    differs="Bronson's clients share connections; here they are Poisson, and the pulse is of load or of slowness.",
    finding="With three retries it comes back from any pulse at a load of 0.2 and from none of a second at 0.4.",
    advice="Send deadlines with queries, so that late work is dropped; or keep the load below 1/(tries of a query).",
    measure=measure,
    draw=draw,
    claims=claims,
)
