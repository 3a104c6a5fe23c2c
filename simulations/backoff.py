"""Backoff and jitter: how many calls do clients make who contend for one row, and when is the last of them done?

Brooker's contention: N clients read the version of a row and write it back; a write whose version is no longer the
row's fails, and its client waits as its retry policy says, and begins anew. Each hop takes 10 ms, give or take 2 ms
(normal). All start at once. The policies are those that the live client retries by. Of all writes that are under way
at a time one succeeds, so that calls grow about as the square of N for those who do not spread out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse.experiment import Claim, Lab, Page, above, below, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import Interval, of_mean
from synapse.policies import Decorrelated, EqualJitter, Exponential, FullJitter, RetryPolicy, Table
from synapse.simulation import Environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

HOP, SPREAD = 0.010, 0.002  # s
BASE, CAP, TRIES = 0.010, 2.0, 10**6  # s; Brooker's base of 5 ms is doubled before the first wait
POLICIES: dict[str, RetryPolicy] = {
    "at once": Table((0.0,)),
    "exponential": Exponential(BASE, cap=CAP, tries=TRIES),
    "equal jitter": EqualJitter(BASE, cap=CAP, tries=TRIES),
    "full jitter": FullJitter(BASE, cap=CAP, tries=TRIES),
    "decorrelated": Decorrelated(BASE / 2, cap=CAP, tries=TRIES),
}
CLIENTS = (10, 25, 50, 100, 190)
REPS = 60
CALLS = {  # his own program at 50, 100 and 190 clients
    "at once": (690, 2421, 8007),
    "exponential": (627, 1856, 5168),
    "equal jitter": (346, 812, 1760),
    "full jitter": (331, 796, 1772),
    "decorrelated": (374, 1001, 2437),
}
TIMES = dict(zip(CALLS, (2.022, 63.716, 6.582, 4.834, 4.527), strict=True))  # s, with 100 clients


class Row:
    """A row with a version, and those who would write it."""

    def __init__(self, policy: RetryPolicy, clients: int, chance: np.random.Generator) -> None:
        self.env = Environment()
        self.version = self.calls = 0
        self._uniform = chance.random
        self._normal = chance.standard_normal
        for _ in range(clients):
            self._after(0.0, self.read, (policy.start(0.0), 1))

    def _after(self, delay: float, step: Callable[[Any], object], what: Any) -> None:
        self.env.call(delay + abs(HOP + SPREAD * self._normal()), step, what)

    def read(self, client: Any) -> None:
        """A client asks for the version."""
        self._after(0.0, self.answer, (*client, self.version))

    def answer(self, client: Any) -> None:
        """It hears it, and writes."""
        self._after(0.0, self.write, client)

    def write(self, client: Any) -> None:
        """Its write arrives, and succeeds if no one else's has meanwhile."""
        state, attempt, version = client
        self.calls += 1
        if version == self.version:
            self.version += 1
            self._after(0.0, _done, None)
        else:
            self._after(0.0, self.again, (state, attempt))

    def again(self, client: Any) -> None:
        """It hears that it has failed, and waits."""
        state, attempt = client
        delay = state.next_delay(attempt, self.env.time(), self._uniform())
        self._after(delay, self.read, (state, attempt + 1))


def _done(_: Any) -> None:
    """A client hears that it has succeeded."""


def contend(point: tuple[str, int], seed: int, rep: int) -> tuple[int, float]:
    """Writes that N clients need by a policy, and when the last one is done, s."""
    name, clients = point
    row = Row(POLICIES[name], clients, np.random.default_rng((seed, rep, clients)))
    row.env.run()
    return row.calls, row.env.time()


def measure(lab: Lab) -> dict[tuple[str, int], tuple[Interval, Interval]]:
    """For each policy and number of clients, calls and the time."""
    points = [(name, clients) for clients in reversed(CLIENTS) for name in POLICIES]
    found = lab.repeat(contend, points, REPS, least=10)
    return {
        point: (of_mean(calls for calls, _ in runs), of_mean(time for _, time in runs))
        for point, runs in zip(points, found, strict=True)
    }


def draw(found: dict[tuple[str, int], tuple[Interval, Interval]], figure: Figure) -> None:
    """Calls and time over clients."""
    left, right = figure.subplots(1, 2)
    for name, colour in zip(POLICIES, COLOURS, strict=False):
        for axes, place in ((left, 0), (right, 1)):
            ends = [found[name, clients][place] for clients in CLIENTS]
            mean, half = [end.mean for end in ends], [end.half for end in ends]
            axes.errorbar(CLIENTS, mean, half, fmt="o-", markersize=4, color=colour, capsize=3, label=name)
        left.plot((50, 100, 190), CALLS[name], "x", color="black", markersize=8, zorder=5)
        right.plot(100, TIMES[name], "x", color="black", markersize=8, zorder=5)
    left.plot([], [], "x", color="black", markersize=8, label="Brooker's own program")
    left.set(xlabel="clients", ylabel="calls until all are done", ylim=(0, None))
    right.set(xlabel="clients", ylabel="time until all are done (s)", yscale="log")
    left.legend(frameon=False, fontsize="small", loc="upper left")
    for axes in (left, right):
        axes.grid(alpha=0.3)


def claims(found: dict[tuple[str, int], tuple[Interval, Interval]]) -> Iterator[Claim]:
    """The numbers of Brooker's program, and what they mean."""
    for name, row in CALLS.items():
        for clients, calls in zip((50, 100, 190), row, strict=True):
            text = f"{clients} clients, {name}: as many calls as in Brooker's program."
            yield near(text, found[name, clients][0], calls, 0.02 * calls)
        time = TIMES[name]
        yield near(f"100 clients, {name}: done as soon as there (s).", found[name, 100][1], time, 0.05 * time)
    calls, time = ({name: found[name, 100][place] for name in POLICIES} for place in (0, 1))
    yield below("Full jitter needs less than half the calls of plain exponential.",
                calls["full jitter"].high / calls["exponential"].low, 0.5)  # fmt: skip
    yield below("It takes less than a tenth of its time.", time["full jitter"].high / time["exponential"].low, 0.1)
    yield above("It pays with time: coming back at once is done in half of it.",
                time["full jitter"].low / time["at once"].high, 2)  # fmt: skip
    yield above("Coming back at once costs two and a half times the calls.",
                calls["at once"].low / calls["full jitter"].high, 2.5)  # fmt: skip
    yield above("Backoff without jitter takes ten times as long as coming back at once.",
                time["exponential"].low / time["at once"].high, 10)  # fmt: skip


PAGE = Page(
    number=2,
    title="Backoff and jitter",
    question="How many calls do clients make who contend for one row, and when is the last of them done?",
    sources=("Brooker, Exponential backoff and jitter, AWS Architecture Blog 2015, and the program it was drawn with",),
    differs="Waits come from the policies of the live client; his program doubles its base before the first wait.",
    finding="With 100 clients, full jitter makes 0.8 thousand calls in 4.8 s; exponential alone 1.9 thousand in 64 s.",
    advice="Retry with full jitter: backoff without it brings those who failed together back together.",
    measure=measure,
    draw=draw,
    claims=claims,
)
