"""Retry amplification: how many tries does a query become when tries fail, and what do budgets and breakers take away?

Queries come at random, and each try fails with the same probability, by itself: its service, uniform on 0.1 to 0.2 s,
is longer than its timeout. Nothing ever waits. A client makes up to four tries; its guard may forbid some. Then the
same in three layers, each of which retries what the layer below has given up, each with a guard of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synapse import theory
from synapse.experiment import Claim, Lab, Page, above, below, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import Interval, of_mean
from synapse.policies import CircuitBreaker, FullJitter, GuardPolicy, RetryBudget
from synapse.simulation import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

RETRY = FullJitter(base=0.01, cap=0.01, tries=4)
RETRIES, LAYERS = RETRY.tries - 1, 3
BUDGET = RetryBudget(ratio=0.1)
FAILING = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
REPS, QUERIES = 8, 2000
BASE = Scenario().replace(
    duration=130,
    warmup=30,
    agents={
        "count": 10,
        "arrivals": {"kind": "poisson", "rate": 30},
        "on_timeout": "deadline",
        "retry": RETRY,
        "budget_per": "kind",
    },
    node={"slots": 10**6, "service": {"kind": "uniform", "low": 0.1, "high": 0.2}},
)
PLAIN, SAVED, BROKEN = "4 tries", "4 tries, retry budget of 10 %", "4 tries, circuit breaker"
DEEP, SAVED_DEEP = "3 layers of 4 tries", "3 layers of 4 tries, each with a budget"
GUARDS: dict[str, GuardPolicy | None] = {PLAIN: None, SAVED: BUDGET, BROKEN: CircuitBreaker(threshold=0.5)}
STACKS: dict[str, RetryBudget | None] = {DEEP: None, SAVED_DEEP: BUDGET}
Found = dict[tuple[str, float], tuple[Interval, Interval]]


def ask(point: tuple[str, float], seed: int, rep: int) -> tuple[float, float]:
    """Tries per query of one layer of clients, and the share of queries that are answered."""
    name, failing = point
    changes = {"agents.timeout": {"kind": "fixed", "seconds": 0.2 - 0.1 * failing}, "agents.budget": GUARDS[name]}
    metrics = BASE.replace(changes).run(seed, replication=rep, queries=False).metrics
    return metrics["tries_per_query"], metrics["success"]


class Stack:
    """Layers of clients above one that fails."""

    def __init__(self, budget: RetryBudget | None, failing: float, chance: np.random.Generator) -> None:
        self.tries = 0
        self._guards = [budget and budget.start(0.0) for _ in range(LAYERS)]
        self._failing = failing
        self._uniform = chance.random

    def ask(self, layer: int = 0) -> bool:
        """Whether a layer gets an answer, from the one below or at the bottom."""
        if layer == LAYERS:
            self.tries += 1
            return self._uniform() >= self._failing
        guard, state = self._guards[layer], RETRY.start(0.0)
        for attempt in range(1, RETRY.tries + 1):
            if guard is not None and not guard.admit(0.0, attempt=attempt):
                return False
            if self.ask(layer + 1):
                return True
            if state.next_delay(attempt, 0.0, 0.0) is None:
                return False
        return False


def ask_stack(point: tuple[str, float], seed: int, rep: int) -> tuple[float, float]:
    """The same of several layers, once they have used up what their budgets had at the start."""
    name, failing = point
    stack = Stack(STACKS[name], failing, np.random.default_rng((seed, rep)))
    for _ in range(QUERIES):
        stack.ask()
    before = stack.tries
    answered = sum(stack.ask() for _ in range(QUERIES))
    return (stack.tries - before) / QUERIES, answered / QUERIES


def measure(lab: Lab) -> Found:
    """For each kind of client and each failure rate, tries per query and the share answered."""
    found: Found = {}
    for function, names in ((ask, GUARDS), (ask_stack, STACKS)):
        points = [(name, failing) for name in names for failing in FAILING]
        for point, runs in zip(points, lab.repeat(function, points, REPS), strict=True):
            tries, answered = zip(*runs, strict=True)
            found[point] = of_mean(tries), of_mean(answered)
    return found


def draw(found: Found, figure: Figure) -> None:
    """Tries and answers over the share of tries that fail."""
    left, right = figure.subplots(1, 2)
    for name, colour in zip((*GUARDS, *STACKS), COLOURS, strict=False):
        for axes, place in ((left, 0), (right, 1)):
            ends = [found[name, failing][place] for failing in FAILING]
            mean, half = [end.mean for end in ends], [end.half for end in ends]
            axes.errorbar(FAILING, mean, half, fmt="o", markersize=4, color=colour, capsize=3, label=name)
            if name not in (PLAIN, DEEP):
                axes.plot(FAILING, mean, ":", color=colour, alpha=0.7)
    fine = np.linspace(0, 1, 400)
    for layers, colour in ((1, COLOURS[0]), (LAYERS, COLOURS[3])):
        left.plot(fine, theory.amplification(fine, RETRIES, layers), color=colour, alpha=0.6)
        right.plot(fine, 1 - fine ** ((RETRIES + 1) ** layers), color=colour, alpha=0.6)
    right.plot(fine, 1 - fine, "--", color="#666666", label="one try")
    left.plot([], [], color="#666666", alpha=0.6, label="exact")
    left.set(xlabel="share of tries that fail", ylabel="tries per query", yscale="log", ylim=(0.004, 100))
    left.set_yticks((0.01, 0.1, 1, 4, 16, 64), ("0.01", "0.1", "1", "4", "16", "64"))
    right.set(xlabel="share of tries that fail", ylabel="share of queries that are answered")
    left.legend(frameon=False, fontsize="x-small", loc="lower left")
    for axes in (left, right):
        axes.grid(alpha=0.3)


def claims(found: Found) -> Iterator[Claim]:
    """Geometric sums, the bound of a budget, and what it costs."""
    tries = {point: ends[0] for point, ends in found.items()}
    answered = {point: ends[1] for point, ends in found.items()}
    for failing in (0.1, 0.2, 0.5, 1.0):
        one, three = (float(theory.amplification(failing, RETRIES, layers)) for layers in (1, LAYERS))
        yield near(
            f"{failing * 100:g} % fail: tries per query are a geometric sum.", tries[PLAIN, failing], one, 0.002 * one
        )
        text = f"{failing * 100:g} % fail: four tries answer all but the fourth power."
        yield near(text, answered[PLAIN, failing], 1 - failing**4, 5e-4)
        text = f"{failing * 100:g} % fail: three layers make as many tries as their amplifications multiply to."
        yield near(text, tries[DEEP, failing], three, 0.002 * three)
    yield near("When all fails, three layers of four tries make 64 of one query.", tries[DEEP, 1.0], 64)
    for failing in (0.2, 0.5, 1.0):
        yield near(f"{failing * 100:g} % fail: a budget of a tenth allows 1.1.", tries[SAVED, failing], 1.1, 0.003)
    yield below("Three layers of budgets make less than 1.34 tries of a query.", tries[SAVED_DEEP, 1.0], 1.34)
    missed = 1 - answered[SAVED, 0.01].mean
    yield below("1 % fail: with the budget not one in 10,000 queries fails.", missed, 1e-4)
    yield near("Its price: with 50 % failing, 55 % are answered rather than 94 %.", answered[SAVED, 0.5], 0.55, 0.005)
    closed = float(theory.amplification(0.2, RETRIES))
    yield near("20 % fail: the breaker stays closed, and retries go on.", tries[BROKEN, 0.2], closed, 0.002 * closed)
    yield below("80 % fail: the breaker lets a tenth of a try through for each query.", tries[BROKEN, 0.8], 0.1)
    yield below("Its price: it answers less than half of what one try each would.", answered[BROKEN, 0.8], 0.1)
    yield above("80 % fail: four tries answer more than twice as many as one.", answered[PLAIN, 0.8], 2 * (1 - 0.8))


PAGE = Page(
    number=3,
    title="Retry amplification and budgets",
    question="How many tries does a query become when tries fail, and what do budgets and breakers take away?",
    sources=(
        "Beyer et al., Site reliability engineering (2016), ch. 21: budgets of a tenth, and layers that make 64 tries",
        "Brooker, Fixing retries with token buckets and circuit breakers, 2022",
    ),
    differs="Brooker's breaker forbids retries alone; ours, as Hystrix's, is open for first tries, too.",
    finding="When all fails, one layer of four tries makes 4 of a query, three layers 64, and a budget of a tenth 1.1.",
    advice="Retry in one layer only and give it a budget: `synapse.connect(retry=FullJitter(), budget=RetryBudget())`.",
    measure=measure,
    draw=draw,
    claims=claims,
)
