"""Presence after a crash and after a netsplit: when do all nodes know who is there, and how often are they wrong?

Eight nodes with ten agents each tell each other who is present, as Phoenix.Tracker does. Each 1.5 s a node tells what
is new, and if nothing is, every eleventh time that it is there: each 16.5 s. Who has not been heard for 30 s is down,
which each node sees at its next 1.5 s. So a crash is seen 30 s after the last word, which is up to 1.5 s old if the
node was busy, and up to 16.5 s if it was idle. After a netsplit nodes see each other with the next word, and some idle
ones have one sooner, as they pass on what they hear. A third cluster gives a sign of life each 3 s, and waits for 10 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse.experiment import Claim, Lab, Page, above, below, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import of_mean
from synapse.policies import Table
from synapse.simulation import Scenario
from synapse.simulation.presence import Status
from synapse.simulation.variates import Variates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NODES, PERIOD, LATENCY = 8, 1.5, 0.001  # s
CLUSTERS: dict[str, tuple[dict[str, Any], float, float]] = {  # what is changed; s from word to word; s until down
    "idle": ({}, 16.5, 30.0),
    "busy": ({"agents.connection.lifetime": {"kind": "exponential", "mean": 2.0}}, PERIOD, 30.0),
    "idle, quick": (
        {"presence.replication": {"kind": "phoenix-tracker", "max_silent_periods": 1, "down_period": 10}}, 3.0, 10.0
    ),
}  # fmt: skip
STILL = ("idle", "idle, quick")
SAMPLE = 2 * PERIOD  # s: how often a node asks for what it does not know
SETTLE, LONG = 40.0, 340.0  # s
SPLIT, CHURN = 60.0, 40.0  # s: how long a netsplit is at least, and after how much of it half of the agents come anew
LOSS = 0.05
EPS = 1e-9  # of a share, by rounding
CRASHES = {"idle": 200, "busy": 40, "idle, quick": 100}  # replications; busy ones differ less, and take longer
SPLITS = {"idle": 120, "busy": 20, "idle, quick": 60}
WATCHES = 20
EVENLY = (0.7548776662466927, 0.5698402909980532)  # steps of two parts of a turn that are spread evenly, however many
TOLD = 1.6  # s: a period, and what it takes agents to come anew
AFTER = np.arange(0, 33, 0.25)  # s
BASE = Scenario(duration=SETTLE, warmup=0).replace(
    agents={
        "count": 10 * NODES,
        "arrivals": {"kind": "poisson", "rate": 0.01},
        "connection": {"reconnect": Table(jitter=1)},
    },
    cluster={"nodes": NODES, "per": "connection"},
    presence={"latency": {"kind": "deterministic", "value": LATENCY}},
)


def moments(seed: int, rep: int) -> list[float]:
    """Two times within what lies between two signs of life, s: any, whatever has been said when."""
    begin = Variates(seed).stream("moments")
    return [16.5 * ((next(begin) + rep * step) % 1) for step in EVENLY]


def crash(name: str, seed: int, rep: int) -> list[float]:
    """How long after a node's crash each other takes it for down, s."""
    at = SETTLE + moments(seed, rep)[0]
    fault = {"kind": "node-crash", "node": 0, "at": at}
    run = BASE.replace(CLUSTERS[name][0], duration=at + 33, faults=[fault]).run(seed, replication=rep, queries=False)
    return [time - at for time, _, ref, _ in _seen(run, Status.DOWN, at) if ref[0] == 0]


def split(name: str, seed: int, rep: int) -> dict[str, Any]:
    """A netsplit into halves, in which half of the agents come anew: what is right meanwhile, and after it."""
    begin, end = moments(seed, rep)
    at, healed = SETTLE + begin, SETTLE + begin + SPLIT + end
    faults = [
        {"kind": "netsplit", "at": at, "groups": [list(range(NODES // 2))], "heal_after": healed - at},
        {"kind": "reconnect-herd", "at": at + CHURN, "share": 0.5},
    ]
    run = BASE.replace(CLUSTERS[name][0], duration=healed + 33, faults=faults).run(seed, replication=rep, queries=False)
    right = run.presence
    assert right is not None
    agreed = right.converged_at(healed)
    return {
        "early": right.fraction_at(at + 13),
        "late": right.fraction_at(at + CHURN - 1),
        "told": [right.fraction_at(at + CHURN + after) for after in (0.1, TOLD / 2, TOLD)],
        "up": [time - healed for time, *_ in _seen(run, Status.UP, healed)],
        "agreed": float("nan") if agreed is None else agreed - healed,
        "after": [right.fraction_at(healed + after) for after in AFTER],
    }


def alarms(name: str, seed: int, rep: int) -> float:
    """How often a node is taken for down that is not, per sign of life, where some messages are lost."""
    changes = {**CLUSTERS[name][0], "presence.loss": LOSS}
    run = BASE.replace(changes, duration=LONG).run(seed, replication=rep, queries=False)
    signs = NODES * (NODES - 1) * (LONG - SETTLE) / CLUSTERS[name][1]
    return len(_seen(run, Status.DOWN, SETTLE)) / signs


def _seen(run: Any, status: Status, since: float) -> list[Any]:
    return [each for each in run.presence.seen if each[3] is status and each[0] >= since]


def measure(lab: Lab) -> dict[str, Any]:
    """Crashes, netsplits, and false alarms, in each cluster."""
    return {
        "crash": {name: lab.repeat(crash, [name], reps, least=10)[0] for name, reps in CRASHES.items()},
        "split": {name: lab.repeat(split, [name], reps, least=5)[0] for name, reps in SPLITS.items()},
        "alarms": dict(zip(STILL, lab.repeat(alarms, STILL, WATCHES, least=5), strict=True)),
    }


def noticed(name: str, after: Any) -> Any:
    """The share that has noticed: ``down - A + V``, with the last word's age A and the time V to a node's next look."""
    _, word, down = CLUSTERS[name]
    ages = np.linspace(0, word, 400)
    return np.mean(np.clip((np.asarray(after)[:, None] - down + ages) / PERIOD, 0, 1), axis=1)


def draw(found: dict[str, Any], figure: Figure) -> None:
    """Who has noticed a crash; who is seen again after a netsplit, and who is right."""
    crashed, healed = figure.subplots(1, 2)
    for name, colour in zip(CLUSTERS, COLOURS, strict=False):
        runs, word = found["split"][name], CLUSTERS[name][1]
        ups = [time for run in runs for time in run["up"]]
        for axes, times, line in (
            (crashed, np.concatenate(found["crash"][name]), noticed(name, AFTER)),
            (healed, np.array(ups), np.minimum(AFTER / word, 1)),
        ):
            axes.plot(AFTER, line, "-", color=colour, alpha=0.6)
            shares = [np.mean(times <= after) for after in AFTER[::4]]
            axes.plot(AFTER[::4], shares, "o", color=colour, markersize=4, label=name)
        if name in STILL:
            right = np.mean([run["after"] for run in runs], axis=0)
            healed.plot(AFTER, right, "--", color=colour, label=f"{name}: views right")
    crashed.set(xlabel="time since the crash (s)", ylabel="share of nodes that take it for down", title="lines: exact")
    healed.set(xlabel="time since the netsplit ended (s)", ylabel="share of pairs that see each other", xlim=(-0.5, 25))
    healed.set_title("lines: with nothing to pass on")
    for axes in (crashed, healed):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")


def claims(found: dict[str, Any]) -> Iterator[Claim]:
    """The bounds that follow from the constants, and what they mean."""
    for name, (_, word, down) in CLUSTERS.items():
        crashes, splits = found["crash"][name], found["split"][name]
        times = [time for run in crashes for time in run]
        yield near(f"All seven others see a crash: {name}.", min(map(len, crashes)), NODES - 1)
        yield above(f"None sees it before {down - word:g} s: {name}.", min(times), down - word)
        yield below(f"All see it within {down + PERIOD:g} s: {name}.", max(times), down + PERIOD + LATENCY)
        middle = down - word / 2 + PERIOD / 2
        yield near(f"They see it after {middle:g} s in the mean: {name}.", of_mean(map(np.mean, crashes)), middle, 0.2)
        ups = [max(run["up"]) for run in splits]
        yield below(f"After a netsplit all see each other within {word:g} s: {name}.", max(ups), word + LATENCY)
    apart = (NODES / 2 - 1) / (NODES - 1)
    for name in STILL:
        word, splits = CLUSTERS[name][1], found["split"][name]
        yield near(
            f"In a netsplit each half shows itself alone: {name}.", min(run["late"] for run in splits), apart, EPS
        )
        early, half, late = (of_mean(run["told"][place] for run in splits) for place in range(3))
        yield below(f"Of news at all nodes hardly one has heard after 0.1 s: {name}.", early, 0.2 * apart)
        yield near(f"After half a period half of those within reach have: {name}.", half, 0.5 * apart, 0.05)
        yield near(f"After {TOLD:g} s all have: {name}.", late, apart, EPS)
        worst = max(run["agreed"] for run in splits)
        text = f"Once they see each other, nodes are right after one exchange, within {SAMPLE:g} s: {name}."
        yield below(text, worst, word + SAMPLE + 3 * LATENCY)
    yield near("For 13 s of a netsplit no idle node notices.", min(run["early"] for run in found["split"]["idle"]), 1)
    rates = {name: of_mean(rate * 60 / CLUSTERS[name][1] for rate in found["alarms"][name]) for name in STILL}
    lost = LOSS * (1 - LOSS) * 60 / CLUSTERS["idle"][1]
    text = "Two signs of life, 33 s, are further apart than 30 s: each that is lost is an alarm, 1/min for each pair."
    yield near(text, rates["idle"], lost, 0.05 * lost)
    yield below("The quick ones must lose three signs of life for that, 1/min.", rates["idle, quick"], 0.1 * lost)


PAGE = Page(
    number=13,
    title="Presence in a cluster",
    question="When do all nodes know who is there after a crash or a netsplit, and how often are they wrong?",
    sources=(
        "Phoenix.Tracker (phoenix_pubsub 2.1, lib/phoenix/tracker/shard.ex): the protocol and its constants",
        "Almeida, Shoker and Baquero, Delta state replicated data types (2016): what the nodes exchange",
    ),
    differs="One shard; clocks run alike; messages are lost one by one, where Erlang's TCP would delay them instead.",
    finding="A busy node's crash shows after 28.5 to 31.5 s, an idle one's after 13.5 to 31.5 s, news within 1.5 s; "
    "after a netsplit idle nodes are right within 19.5 s, and one lost sign of life is a false alarm.",
    advice="Do not use presence as a failure detector with Phoenix's periods; where a node's loss must show sooner, "
    "set max_silent_periods to 1 and down_period to 10 s, for five times as many signs of life.",
    measure=measure,
    draw=draw,
    claims=claims,
)
