"""The reconnect herd: a node is gone, and all its clients come to another at once. How soon are they back?

Ten thousand clients notice within 50 ms. The node that is left accepts 1,000 connections a second, lets 128 wait, and
refuses others. So it takes 10 s at least. Each client tries (again) when its policy says. Without jitter they come in
waves, and of each the node takes what may wait, 128, and what it accepts while the wave lasts, 50 at first and ever
fewer, as those in front get in; then it is idle until the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse.experiment import Claim, Lab, Page, above, below, between, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import Interval, of_mean
from synapse.policies import FullJitter, Table
from synapse.simulation import Environment, Scenario
from synapse.simulation.herd import AcceptQueue, Herd
from synapse.simulation.variates import Variates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIENTS, ACCEPTS, BACKLOG, NOTICE = 10_000, 1000.0, 128, 0.05  # accepts in 1/s, notice in s
FASTEST = CLIENTS / ACCEPTS  # s
STEP, SHOWN = 0.1, 30.0  # s
REPS = 8


def first_within(seconds: float) -> Table:
    """Try first at any time within so many seconds, and so again."""
    return Table((seconds / 2,), jitter=1)


POLICIES: dict[str, Any] = {
    "Phoenix's table": Table(),
    "the table, jittered": Table(jitter=1),
    "full jitter": FullJitter(base=0.1, cap=5, tries=10**6),
    "first try within 10 s": first_within(10),
}
KNOWN = {  # tries, and seconds until 99 % are back, as another program simulated it
    "Phoenix's table": (321e3, 285),
    "the table, jittered": (86e3, 14.6),
    "full jitter": (64e3, 11.4),
    "first try within 10 s": (10e3, 10.0),
}
SPREADS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0)  # s
FEW = 100
CRASH = Scenario(duration=60, warmup=0).replace(
    agents={
        "count": 2 * CLIENTS,
        "arrivals": {"kind": "poisson", "rate": 1},
        "connection": {"reconnect": Table(jitter=1), "accepts": ACCEPTS, "backlog": BACKLOG},
    },
    cluster={"nodes": 2, "per": "connection"},
    faults=[{"kind": "node-crash", "node": 0, "at": 1}],
)


def herd(point: tuple[Any, int], seed: int, rep: int) -> dict[str, Any]:
    """What becomes of so many clients with a policy."""
    policy, clients = point
    env = Environment()
    draw = Variates(seed, rep).rows("herd", clients).draw
    it = Herd(env, AcceptQueue(env, ACCEPTS, BACKLOG), policy, clients, draw, NOTICE)
    env.run(None)
    back = np.array(it.connected)
    return {
        "tries": len(it.tries),
        "half": it.reached(0.5),
        "most": it.reached(0.99),
        "all": it.reached(1.0),
        "peak": it.peak(STEP),
        "wave": float(np.sum((back > 100) & (back <= 200))) / 20,  # of those every 5 s
        "steps": np.histogram(it.tries, np.arange(0, SHOWN + STEP / 2, STEP))[0],
        "times": np.quantile(back, np.linspace(0, 1, 201)),
    }


def crash(reconnect: Table, seed: int, rep: int) -> float:
    """Tries per lost connection, in a whole scenario in which one of two nodes crashes."""
    run = CRASH.replace({"agents.connection.reconnect": reconnect}).run(seed, replication=rep, queries=False)
    ((dropped, tries, _, _),) = run.connections
    return tries / dropped


def measure(lab: Lab) -> dict[str, Any]:
    """Each policy with all clients; two of them with few; first tries within other times; and a whole scenario."""
    spreads = [(first_within(seconds), CLIENTS) for seconds in SPREADS]
    few = [(POLICIES[name], FEW) for name in ("Phoenix's table", "first try within 10 s")]
    points = [(policy, CLIENTS) for policy in POLICIES.values()]
    found = lab.repeat(herd, points + spreads + few, REPS)
    (crashes,) = lab.repeat(crash, [Table(jitter=1)], REPS)
    return {
        "all": dict(zip(POLICIES, found, strict=False)),
        "spreads": dict(zip(SPREADS, found[len(points) :], strict=False)),
        "few": found[-2:],
        "crash": of_mean(crashes),
    }


def mean(runs: list[dict[str, Any]], what: str) -> Interval:
    """One number of them."""
    return of_mean(run[what] for run in runs)


def draw(found: dict[str, Any], figure: Figure) -> None:
    """Tries over time, those who are back over time, and both over how far first tries are spread."""
    panels = figure.subplot_mosaic([["tries", "tries"], ["back", "spread"]])
    tries, back, spread = panels["tries"], panels["back"], panels["spread"]
    for (name, runs), colour in zip(found["all"].items(), COLOURS, strict=False):
        steps = np.mean([run["steps"] for run in runs], axis=0)
        tries.stairs(np.maximum(steps, 0.1), np.arange(len(steps) + 1) * STEP, color=colour, label=name)
        back.plot(np.mean([run["times"] for run in runs], axis=0), np.linspace(0, 1, 201), color=colour)
    tries.axhline(ACCEPTS * STEP, color="#666666", linestyle=":", label="all that are accepted")
    tries.set(xlabel="time (s)", ylabel="tries per 100 ms", yscale="log", ylim=(0.5, 5e5), xlim=(-0.3, SHOWN))
    tries.legend(frameon=False, fontsize="small", ncols=3, loc="upper center")
    at = np.geomspace(0.05, FASTEST, 100)
    back.plot(at, at / FASTEST, ":", color="#666666")
    back.set(xlabel="time (s)", ylabel="share connected", xscale="log", xlim=(0.05, 400), ylim=(0, 1.03))
    per_client = [mean(runs, "tries").mean / CLIENTS for runs in found["spreads"].values()]
    spread.plot(SPREADS, per_client, "o-", color=COLOURS[3], label="tries per client")
    most = [mean(runs, "most").mean / FASTEST for runs in found["spreads"].values()]
    spread.plot(SPREADS, most, "s-", color=COLOURS[4], label="time for 99 %, in 10 s")
    spread.set(xlabel="first tries within (s)", xscale="log", xticks=SPREADS, ylim=(0, None))
    spread.set_xticks([], minor=True)
    spread.set_xticklabels([f"{seconds:g}" for seconds in SPREADS])
    spread.legend(frameon=False, fontsize="small")
    for axes in panels.values():
        axes.grid(alpha=0.3)


def claims(found: dict[str, Any]) -> Iterator[Claim]:
    """Another program's numbers; why they are so; and what a wide spread costs."""
    for name, (tries, seconds) in KNOWN.items():
        runs = found["all"][name]
        yield near(f"As many tries as another program found: {name}.", mean(runs, "tries"), tries, 0.03 * tries)
        text = f"As long until 99 % are back as another program found, s: {name}."
        yield near(text, mean(runs, "most"), seconds, 0.03 * seconds)
        yield above(f"None is quicker than the node accepts, s: {name}.", min(run["all"] for run in runs), FASTEST)
    table, spread = found["all"]["Phoenix's table"], found["all"]["first try within 10 s"]
    least, more = BACKLOG, ACCEPTS * NOTICE
    text = "Without jitter a wave leaves the backlog, and what is accepted while it lasts."
    yield between(text, mean(table, "wave"), least, least + more)
    pairs = zip(table, found["all"]["the table, jittered"], strict=True)
    worse = of_mean(one["most"] / other["most"] for one, other in pairs)
    yield above("Jitter alone makes it more than fifteen times as quick.", worse, 15)
    yield near("With first tries within 10 s, 125 try at once at most, per 100 ms.", mean(spread, "peak"), 125, 15)
    yield below("A client then tries little more than once.", of_mean(run["tries"] / CLIENTS for run in spread), 1.05)
    tight = of_mean(run["tries"] / CLIENTS for run in found["spreads"][5.0])
    yield between("Within half of that, it tries about twice.", tight, 1.5, 2.5)
    wide = mean(found["spreads"][40.0], "most")
    yield near("Within four times that, it takes as long as the spread, s.", wide, 0.99 * 40, 0.3)
    few, few_spread = found["few"]
    yield below("A hundred clients alone are back by Phoenix's table in half a second, s.", mean(few, "all"), 0.5)
    yield near("With first tries within 10 s, half of them are not for 5 s.", mean(few_spread, "half"), 5, 0.5)
    tries = KNOWN["the table, jittered"][0] / CLIENTS
    yield near("A node crash in a whole scenario takes as many tries per client.", found["crash"], tries, 0.03 * tries)


PAGE = Page(
    number=12,
    title="The reconnect herd",
    question="A node is gone and ten thousand clients reconnect: how many tries does it take, and how long?",
    sources=(
        "phoenix.js 1.8, reconnectAfterMs: the table, which has no jitter",
        "Brooker, Exponential backoff and jitter, AWS Architecture Blog (2015): full jitter",
    ),
    differs="Who finds the backlog full hears so at once; Linux drops the SYN, and the kernel tries again after 1 s.",
    finding="Phoenix's table without jitter takes 323,000 tries and 289 s until 99 % are back; the same with jitter "
    "86,000 and 14.5 s; a first try within 10 s, which is how long accepting them takes, one each and 10 s.",
    advice="Spread the first try over the clients a node has by the connections another accepts a second, and jitter "
    "every later one; a table without jitter keeps the herd together.",
    measure=measure,
    draw=draw,
    claims=claims,
)
