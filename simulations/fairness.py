"""Fairness: what keeps one tenant who asks too much from being everybody's trouble?

Seven good tenants ask for seven tenths of a server's capacity, and an eighth for more and more. Either nothing keeps
them apart, or a limit on all, a limit for each key, or a queue that serves keys in turn (deficit round robin), whose
shares are max-min fair. Then eight nodes are given to tenants: all to all, in four pairs, or each of the 28 pairs to
another tenant (shuffle sharding), of whom one floods his nodes.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse import theory
from synapse.experiment import Claim, Lab, Page, above, below, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import Interval, of_mean
from synapse.policies import Fifo, Fixed, FixedTimeout, LeastLoaded, Policies
from synapse.simulation import Environment, Scenario
from synapse.simulation.distributions import Exponential
from synapse.simulation.node import Node, Try
from synapse.simulation.variates import Variates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.figure import Figure

SERVICE, SLOTS, GOOD = 0.01, 8, 7  # s, slots, tenants
CAPACITY = SLOTS / SERVICE  # 1/s
ASKS = 0.1 * CAPACITY  # what a good tenant asks, 1/s
LIMIT, BURST, BOUND = 1.25 * ASKS, 20, 100
AGENTS = 10  # of a good tenant; the other has as many more as he asks more
FAR = {"kind": "fixed", "seconds": 1e5}
LINE = {"node.queue": {"kind": "fifo", "bound": BOUND}}
RULES: dict[str, dict[str, Any]] = {
    "nothing": LINE,
    "a limit on all": {
        **LINE,
        "node.rate_limit": {"kind": "token-bucket", "rate": 0.95 * CAPACITY, "burst": BURST, "per": "global"},
    },
    "a limit a key": {**LINE, "node.rate_limit": {"kind": "token-bucket", "rate": LIMIT, "burst": BURST, "per": "key"}},
    "turns a key": {"node.queue": {"kind": "fair-share", "bound": BOUND, "per": "key"}},
    "turns an agent": {"node.queue": {"kind": "fair-share", "bound": BOUND, "per": "agent"}},
}
TIMES = (1, 2, 4, 8, 16, 32)  # what the other asks, in good tenants
DEMANDS = tuple(range(1, 9))  # of eight tenants, in twentieths of capacity
REPS = 6
BASE = Scenario().replace(
    duration=12,
    warmup=2,
    agents={"timeout": FAR},
    node={"slots": SLOTS, "service": {"kind": "exponential", "mean": SERVICE}, "timeout": FAR},
)
NODES, FLOOD, QUIET, LENGTH = 8, 24.0, 0.3, 1000.0  # the flood in nodes, all others' load a node, services
PAIRS = tuple(combinations(range(NODES), 2))
SHARDS: dict[str, tuple[tuple[int, ...], ...]] = {
    "all nodes": (tuple(range(NODES)),) * len(PAIRS),
    "four pairs": tuple((place % 4 * 2, place % 4 * 2 + 1) for place in range(len(PAIRS))),
    "shuffled": PAIRS,
}


def asked(rule: str, demands: tuple[float, ...], seed: int, rep: int) -> list[tuple[float, float]]:
    """For each tenant, the share of queries that is answered, and answers, 1/s; demands are in good tenants."""
    kinds = [{"name": f"tenant {place}", "share": share, "key": f"{place}"} for place, share in enumerate(demands)]
    changes = {
        "agents.kinds": kinds,
        "agents.count": round(AGENTS * sum(demands)),
        "agents.arrivals": {"kind": "poisson", "rate": ASKS * sum(demands)},
        **RULES[rule],
    }
    run = BASE.replace(changes).run(seed, replication=rep, queries=False)
    return [(each.ok / (each.sent - each.in_flight), each.ok / BASE.duration) for each in run.kinds.values()]


def beside(point: tuple[str, float], seed: int, rep: int) -> tuple[float, float]:
    """The share of good tenants' queries that is answered, and the other's answers, 1/s."""
    rule, times = point
    *good, other = asked(rule, (1.0,) * GOOD + (float(times),), seed, rep)
    return float(np.mean([share for share, _ in good])), other[1]


def portions(rule: str, seed: int, rep: int) -> list[float]:
    """Each tenant's answers, as shares of capacity, when all ask differently and together too much."""
    return [rate / CAPACITY for _, rate in asked(rule, tuple(each / 2 for each in DEMANDS), seed, rep)]


class Tenants:
    """They ask the least loaded of their nodes. The outlet of all nodes; the last tenant has the first one's."""

    wasted = 0.0

    def __init__(self, shards: tuple[tuple[int, ...], ...], streams: Variates) -> None:
        self.env = env = Environment()
        rules = Policies(queue=Fifo(20), concurrency=Fixed(1), timeout=FixedTimeout(1e9))
        nodes = [Node(env, f"{place}", rules, 1, self) for place in range(NODES)]
        self.shards = [[nodes[place] for place in shard] for shard in (*shards, shards[0])]
        self.sent, self.refused = np.zeros(len(self.shards)), np.zeros(len(self.shards))
        self._choose = LeastLoaded().start(0.0).choose
        self._lots, self._services = streams.stream("lots"), streams.stream("services", Exponential(1.0))
        for tenant in range(len(self.shards)):
            rate = FLOOD if tenant == len(shards) else QUIET * NODES / len(shards)
            self._ask_on(tenant, streams.stream(f"gaps {tenant}", Exponential(1 / rate)))

    def _ask_on(self, tenant: int, gaps: Iterator[float]) -> None:
        def ask(_: None) -> None:
            job = Try(self, tenant, "", 5, "", 1, self.env.time())  # type: ignore[arg-type]
            job.timeout, job.demand = None, next(self._services)
            node = self._choose(self.shards[tenant], "", next(self._lots))
            self.sent[tenant] += 1
            self.refused[tenant] += node.scheduler.submit(job) is not None
            self.env.call(next(gaps), ask, None)

        self.env.call(next(gaps), ask, None)

    def thought(self, job: Any, thought: Any) -> None:
        """There are none."""

    def ended(self, job: Any, data: Any) -> None:
        """It is enough to know who was refused."""


def sharded(how: str, seed: int, rep: int) -> list[float]:
    """The share of each good tenant's queries that is answered."""
    tenants = Tenants(SHARDS[how], Variates(seed, rep))
    tenants.env.run(until=LENGTH)
    return [float(share) for share in (1 - tenants.refused / tenants.sent)[:-1]]


def measure(lab: Lab) -> dict[str, Any]:
    """All three, a row a replication."""
    points = [(rule, times) for rule in RULES for times in TIMES]
    rows = lab.repeat(beside, points, REPS)
    return {
        "beside": {point: np.array(each) for point, each in zip(points, rows, strict=True)},
        "portions": dict(zip(RULES, map(np.array, lab.repeat(portions, RULES, REPS)), strict=True)),
        "sharded": dict(zip(SHARDS, map(np.array, lab.repeat(sharded, SHARDS, REPS)), strict=True)),
    }


def level(demands: tuple[float, ...]) -> list[float]:
    """Max-min fair shares of 1: who asks less than the level has it all, and the others have the level."""
    shares, left = [0.0] * len(demands), 1.0
    order = sorted(range(len(demands)), key=demands.__getitem__)
    for done, place in enumerate(order):
        shares[place] = min(demands[place], left / (len(demands) - done))
        left -= shares[place]
    return shares


FAIR = level(tuple(each / 20 for each in DEMANDS))
EXACT: dict[str, Callable[[float], float]] = {
    "nothing": lambda times: 1 - float(theory.mmck((GOOD + times) * ASKS * SERVICE, 1, SLOTS, SLOTS + BOUND).p_block),
    "a limit on all": lambda times: float(theory.token_bucket((GOOD + times) * ASKS, 0.95 * CAPACITY, BURST).admitted),
    "a limit a key": lambda _: float(theory.token_bucket(ASKS, LIMIT, BURST).admitted),
}


def draw(found: dict[str, Any], figure: Figure) -> None:
    """Who is answered beside one who asks too much; what each has when all do; who is hit by a flood."""
    beside, shares, hit = figure.subplots(1, 3)
    fine = np.geomspace(TIMES[0], TIMES[-1], 60)
    for place, rule in enumerate(RULES):
        values = [of_mean(found["beside"][rule, times][:, 0]) for times in TIMES]
        means, halves = [value.mean for value in values], [value.half for value in values]
        marker, colour = "os^Dv"[place], COLOURS[place]
        beside.errorbar(TIMES, means, halves, fmt=marker, color=colour, capsize=2, markersize=9 - place, label=rule)
        if rule in EXACT:
            beside.plot(fine, [EXACT[rule](times) for times in fine], color=colour, alpha=0.6)
    for rule, marker in (("nothing", "o"), ("turns a key", "D")):
        values = [of_mean(column) for column in found["portions"][rule].T]
        means, halves = [value.mean for value in values], [value.half for value in values]
        colour = COLOURS[list(RULES).index(rule)]
        shares.errorbar(DEMANDS, means, halves, fmt=marker, color=colour, capsize=2, markersize=5)
    shares.plot(DEMANDS, FAIR, "k--", linewidth=1, label="max-min fair")
    for how, style in zip(SHARDS, ("-", "--", ":"), strict=True):
        ordered = np.sort(found["sharded"][how].mean(axis=0))
        hit.step(np.arange(len(ordered)) + 1, ordered, "k" + style, where="mid", label=how)
    beside.plot([], [], color="#666666", label="theory")
    beside.set(xlabel="the other asks (good tenants)", ylabel="good tenants' answered share")
    beside.set(ylim=(0, 1.05), xscale="log")
    beside.set_xticks(TIMES, [str(times) for times in TIMES])
    shares.set(xlabel="asked (twentieths of capacity)", ylabel="answered (of capacity)", ylim=(0, None))
    hit.set(xlabel="tenant, worst first", ylabel="answered share beside a flood", ylim=(0, 1.05))
    for axes in (beside, shares, hit):
        axes.grid(alpha=0.3)
    shares.legend(frameon=False, fontsize="small")
    hit.legend(frameon=False, fontsize="small", loc="center right")
    figure.legend(
        *beside.get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False, fontsize="small"
    )


def claims(found: dict[str, Any]) -> Iterator[Claim]:
    """Who is kept apart from whom, at what price."""
    beside = found["beside"]
    for times in TIMES[2:]:
        for rule, exact in EXACT.items():
            text = f"Beside one who asks {times} times as much, {rule}: good tenants are answered as theory says."
            yield near(text, of_mean(beside[rule, times][:, 0]), exact(times), 0.015)
        text = f"Beside one who asks {times} times as much, turns a key: good tenants are answered."
        yield above(text, of_mean(beside["turns a key", times][:, 0]), 0.99)
    other = {rule: of_mean(beside[rule, 32][:, 1] / CAPACITY) for rule in RULES}
    yield near(
        "Turns leave the other what nobody else wants, three tenths.", other["turns a key"], 1 - 0.1 * GOOD, 0.015
    )
    yield near("A limit a key leaves him his limit, and much idle.", other["a limit a key"], LIMIT / CAPACITY, 0.005)
    text = "Turns an agent are no help against one with many agents."
    yield below(text, of_mean(beside["turns an agent", 32][:, 0]), 0.35)
    shares = found["portions"]["turns a key"]
    for place, fair in enumerate(FAIR):
        text = f"One who asks for {DEMANDS[place]}/20 of capacity has the max-min fair share by turns."
        yield near(text, of_mean(shares[:, place]), fair, 0.03 * fair)
    yield above("Jain's index of shares to fair ones is nearly 1 by turns.", jain(shares), 0.99)
    yield below("In one line it is not.", jain(found["portions"]["nothing"]), 0.9)
    for how, part in (("all nodes", 1.0), ("four pairs", 0.25), ("shuffled", 1 / math.comb(NODES, 2))):
        hit = of_mean((found["sharded"][how] < 0.5).mean(axis=1))
        yield near(f"With {how}, a flood takes most answers from {part:.1%} of tenants.", hit, part, 0.001)
    yield near("Theory: four of 2048 nodes are 7.3e11 shards.", float(math.comb(2048, 4)), 7.3e11, 0.05e11)


def jain(shares: Any) -> Interval:
    """Jain's index of fairness of what each has, to what were fair."""
    ratios = shares / np.array(FAIR)
    return of_mean(ratios.sum(axis=1) ** 2 / (ratios.shape[1] * (ratios**2).sum(axis=1)))


PAGE = Page(
    number=10,
    title="Fairness",
    question="What keeps one tenant who asks too much from being everybody's trouble?",
    sources=(
        "Shreedhar and Varghese, Efficient fair queuing using deficit round robin, SIGCOMM 1995",
        "Jain, Chiu and Hawe, A quantitative measure of fairness, DEC TR-301 (1984)",
        "MacCárthaigh, Workload isolation using shuffle-sharding, Amazon Builders' Library (2019)",
    ),
    differs="All queries cost one turn, where DRR counts bytes; Amazon's flood kills nodes, here it fills queues.",
    finding=(
        "Beside one who asks 32 times as much, good tenants keep 25 % of their answers with no rule or one for all, "
        "and all with a limit or turns a key; and shuffled pairs let a flood hit 3.6 % of tenants, not 25 %."
    ),
    advice=(
        "Queue by fair-share per key, which wastes nothing; add a rate limit per key for who pays for how much; and "
        "do not count by agent where one tenant may have many."
    ),
    measure=measure,
    draw=draw,
    claims=claims,
)
