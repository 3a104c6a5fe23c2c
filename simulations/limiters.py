"""Rate limiters: of the same limit, how much do they let pass at random, and how much at once at the worst?

Four limiters of one request each 10 ms in the long run: a token bucket that holds 10, and three that allow 10 in 100 ms
by the clock's windows, by a log, or by two counters. On the left they stand before a server that is never busy, and
requests come at random: a Poisson process. What is refused does not come back. On the right a client asks for as much
as it can get, at the worst moments: it rests, asks just before an edge, goes on asking, and then at random.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse import theory
from synapse.experiment import Claim, Lab, Page, above, below, between, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import Interval, of_mean
from synapse.policies import FixedWindow, RateLimitPolicy, SlidingCounter, SlidingLog, TokenBucket
from synapse.simulation import Scenario
from synapse.simulation.variates import Variates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATE = 100.0  # 1/s
LIMIT = 10
WINDOW = LIMIT / RATE  # s
LOADS = (0.5, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
REPS, ARRIVALS, SETTLE = 20, 4000, 2.0
PROBES = ((0.9, 5), (1.0, 10), (1.2, 50), (2.0, 10))  # load and limit
COUNTED = (0.7194, 0.7787, 0.7905, 0.4416)  # what a counter admits there, ± 0.0003, as another program simulated it
STEP = WINDOW / 100  # between a greedy client's moments
WIDTHS = tuple(round(0.02 * place, 2) for place in range(1, 101))  # of a window
SEARCHES, FLOODS = 100, 30
WITHIN = 0.003  # of all requests: a run's start and end, and luck that few replications do not tell
NAMES = ("token bucket", "fixed window", "sliding log", "sliding counter")
BASE = Scenario().replace(
    agents={"count": 1, "arrivals": {"kind": "poisson", "rate": RATE}},
    node={"slots": 1000, "service": {"kind": "deterministic", "value": 1e-5}},
)


def limiter(name: str, limit: int) -> RateLimitPolicy:
    """One of them, for everyone together."""
    if name == "token bucket":
        return TokenBucket(rate=RATE, burst=limit, per="global")
    kinds: dict[str, Any] = {"fixed window": FixedWindow, "sliding log": SlidingLog, "sliding counter": SlidingCounter}
    made: RateLimitPolicy = kinds[name](limit=limit, window=limit / RATE, per="global")
    return made


def exact(name: str, load: float) -> float:
    """The share that theory says is admitted."""
    if name == "token bucket":
        return float(theory.token_bucket(load, 1, LIMIT).admitted)
    kind = {"fixed window": theory.fixed_window, "sliding log": theory.sliding_log}[name]
    return float(kind(load, LIMIT, LIMIT).admitted)


def admitted(point: tuple[str, float, int], seed: int, rep: int) -> float:
    """The share of Poisson requests that is admitted."""
    name, load, limit = point
    changes = {"agents.arrivals.rate": load * RATE, "node.rate_limit": limiter(name, limit)}
    scenario = BASE.replace(changes, warmup=SETTLE, duration=SETTLE + ARRIVALS / (load * RATE))
    counts = scenario.run(seed, replication=rep, queries=False).measured
    return 1 - counts.tries_rejected / counts.tries


def moments(seed: int, search: int) -> Iterator[float]:
    """When a greedy client asks: from just before an edge on, and then in floods and rests of random lengths."""
    lengths = Variates(seed, search).generator("floods").exponential(50, (FLOODS, 2))
    at = 499  # steps: just before the fifth edge
    for rest, flood in np.vstack([[0, 250], np.ceil(lengths)]).astype(int):
        yield from ((at + rest + step) * STEP for step in range(flood))
        at += rest + flood


def worst(task: tuple[str, int, int]) -> list[int]:
    """The most that a greedy client is given within half-open windows of these widths, wherever they begin."""
    name, seed, search = task
    state = limiter(name, LIMIT).start(0.0)
    times: list[float] = []
    for now in moments(seed, search):
        while state.admit(now):
            times.append(now)
    given = np.array(times)
    return [int((np.searchsorted(given, given + width * WINDOW) - np.arange(len(given))).max()) for width in WIDTHS]


def measure(lab: Lab) -> dict[str, Any]:
    """Shares admitted, by limiter and load; those of counters at the probes; and the worst of all floods."""
    points = [(name, load, LIMIT) for name in NAMES for load in LOADS]
    probes = [("sliding counter", load, limit) for load, limit in PROBES if (load, limit) not in {(1.0, 10), (2.0, 10)}]
    shares = dict(zip(points + probes, lab.repeat(admitted, points + probes, REPS, least=4), strict=True))
    searches = range(lab.scaled(SEARCHES))
    floods = lab.each(worst, [(name, lab.seed, search) for name in NAMES for search in searches])
    most = np.array(floods).reshape(len(NAMES), len(searches), len(WIDTHS)).max(axis=1)
    return {"shares": shares, "most": dict(zip(NAMES, most, strict=True))}


def share(found: dict[str, Any], name: str, load: float, limit: int = LIMIT) -> Interval:
    """A limiter's share."""
    return of_mean(found["shares"][name, load, limit])


def more(found: dict[str, Any], one: str, other: str, load: float) -> Interval:
    """How much more one admits than the other, of the same requests."""
    pairs = zip(found["shares"][one, load, LIMIT], found["shares"][other, load, LIMIT], strict=True)
    return of_mean(first - second for first, second in pairs)


def draw(found: dict[str, Any], figure: Figure) -> None:
    """Shares over load; the worst over the width of the window."""
    left, right = figure.subplots(1, 2)
    fine = np.linspace(LOADS[0], LOADS[-1], 100)
    left.plot(fine, np.minimum(1, 1 / fine), ":", color="#666666", label="all that the rate allows")
    for name, colour in zip(NAMES, COLOURS, strict=False):
        shares = [share(found, name, load) for load in LOADS]
        style: dict[str, Any] = {"fmt": "o", "color": colour, "capsize": 3, "markersize": 4}
        left.errorbar(LOADS, [each.mean for each in shares], [each.half for each in shares], **style, label=name)
        if name != "sliding counter":
            left.plot(fine, [exact(name, load) for load in fine], "-", color=colour, alpha=0.6)
        right.step(WIDTHS, found["most"][name], where="post", color=colour, label=name)
    left.set(xlabel="load (asked / granted)", ylabel="share admitted", ylim=(0.4, 1.02), title="at random: lines exact")
    right.set(xlabel="width (windows)", ylabel="most admitted within it", ylim=(0, None), title="at the worst")
    left.legend(frameon=False, fontsize="small")
    for axes in (left, right):
        axes.grid(alpha=0.3)


def claims(found: dict[str, Any]) -> Iterator[Claim]:
    """Theory's numbers; who lets more pass; and who lets how much pass at once."""
    for name in NAMES[:3]:
        for load in LOADS:
            text = f"At load {load:g} the {name} admits what theory says."
            yield near(text, share(found, name, load), exact(name, load), WITHIN)
    for (load, limit), known in zip(PROBES, COUNTED, strict=True):
        text = f"At load {load:g} a sliding counter of {limit} admits what another program found."
        yield near(text, share(found, "sliding counter", load, limit), known, WITHIN)
    for load in (0.8, 1.0, 1.2):
        bucket = more(found, "token bucket", "fixed window", load)
        yield above(f"At load {load:g} the token bucket admits more than the fixed window.", bucket, 0)
        window = more(found, "fixed window", "sliding log", load)
        yield above(f"At load {load:g} the fixed window admits more than the sliding log.", window, 0)
        counter = more(found, "sliding counter", "sliding log", load)
        yield between(f"At load {load:g} counter and log differ by less than 0.025.", counter, -0.025, 0.025)
    most = {name: dict(zip(WIDTHS, map(float, values), strict=True)) for name, values in found["most"].items()}
    yield near("No window has more than 10 with the log.", most["sliding log"][1.0], LIMIT)
    yield near("Two hundredths of a window have 20 with the fixed window.", most["fixed window"][0.02], 2 * LIMIT)
    yield near("No window has more than 20 with the fixed window.", most["fixed window"][1.0], 2 * LIMIT)
    for name in ("token bucket", "sliding log", "sliding counter"):
        yield near(f"Two hundredths of a window have 10 with the {name}.", most[name][0.02], LIMIT)
    room = [LIMIT + LIMIT * width - given for width, given in most["token bucket"].items()]
    yield above("No window, however wide, has more than burst + rate * width with the token bucket.", min(room), 0)
    yield below("A greedy client is given that much, to within one.", max(room), 1)
    text = "A window has more than 10 with the counter, but less than 20."
    yield between(text, most["sliding counter"][1.0], LIMIT + 1, 2 * LIMIT - 1)


PAGE = Page(
    number=9,
    title="Rate limiters",
    question="Limiters of the same rate: how much do they let pass at random, and how much at once at the worst?",
    sources=(
        "Turner, New directions in communications, IEEE Communications Magazine 24 (1986): the leaky bucket",
        "ITU-T I.371: the generic cell rate algorithm, which decides as a token bucket does",
        "Erlang (1917): the loss of M/D/L/L. Takács, Introduction to the theory of queues (1962): that of M/D/1/b",
        "Cloudflare, How we built rate limiting capable of scaling to millions of domains (2017): the sliding counter",
    ),
    differs="Refused requests do not come back, and cost nothing; a real client would retry.",
    finding="At a load of 1 the token bucket admits 95 %, the fixed window 87 %, log 79 %, counter 78 %. At worst "
    "the fixed window gives 20 at one edge, bucket and counter 10 at once and 19 in a window, the log 10 in any.",
    advice="Limit by a token bucket, with the burst that the thing behind it can bear at once; take the log only where "
    "somebody was promised that no window ever has more.",
    measure=measure,
    draw=draw,
    claims=claims,
)
