"""Slow readers: what waits for one, how stale is what it reads, what does it lose, and who else pays?

One writes ten messages a second, at random, for two readers: a fast one, and one that reads two a second. Before each
stands a mailbox of the live server, which has room for 50 messages. A mailbox of K - 1 places before one who reads one
message at a time is M/M/1/K, whichever message is dropped. One that keeps the latest alone is M/M/1/2, and what is
read from it came λ/(λ+μ)² before in the mean: the last arrival before the end of a reading, if there was one since it
began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse import theory
from synapse.experiment import Claim, Lab, Page, above, below, near
from synapse.experiment.figures import COLOURS
from synapse.experiment.interval import Interval, of_mean
from synapse.policies import Coalesce, Credit, Disconnect, DropNewest, DropOldest
from synapse.simulation import Environment
from synapse.simulation.distributions import Exponential
from synapse.simulation.readers import Reader, Writer
from synapse.simulation.variates import Variates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WRITES, READS, FAST = 10.0, 2.0, 1000.0  # messages, 1/s
ROOM, SIZE = 50, 100  # messages; bytes of each
LONG, SETTLE, LOOK, AWAY = 300, 60, 5, 1.0  # s
POLICIES: dict[str, Any] = {
    "no bound": Disconnect(messages=10**6, size=2**30),
    "disconnect": Disconnect(messages=ROOM),
    "drop newest": DropNewest(messages=ROOM),
    "drop oldest": DropOldest(messages=ROOM),
    "coalesce": Coalesce(messages=ROOM),
    "credit": Credit(credit=ROOM),
}
PLACES, LOADS, MESSAGES = (2, 5, 20), (0.8, 1.0, 1.2), 3000
REPS = 20


def reader(env: Environment, chance: Variates, policy: Any, rate: float) -> Reader:
    """One who reads so many a second, in exponential times; who is cut off comes back after `AWAY`."""
    times = chance.stream(f"reads at {rate}", Exponential(1 / rate))
    one = Reader(env, policy, lambda _: next(times), lambda: env.call(AWAY, lambda _: one.connect(), None))
    return one


def write(env: Environment, readers: list[Reader], gaps: Iterator[float]) -> None:
    """Write to all of them, as soon as each has credit, for ever."""

    def when_ready(_: object, place: int = 0) -> None:
        if place < len(readers):
            readers[place].when_ready(lambda: when_ready(None, place + 1))
            return
        for each in readers:
            each.put(SIZE, stream="progress")
        env.call(next(gaps), when_ready, None)

    env.call(next(gaps), when_ready, None)


def stream(name: str, seed: int, rep: int) -> dict[str, Any]:
    """What waits for the slow one, and how old what it has read since the last look was; and what came of it all."""
    env, chance = Environment(), Variates(seed, rep)
    slow, fast = (reader(env, chance, POLICIES[name], rate) for rate in (READS, FAST))
    write(env, [slow, fast], chance.stream("writes", Exponential(1 / WRITES)))
    looks = []
    for until in range(LOOK, LONG + 1, LOOK):
        env.run(until)
        got = slow.reading
        gone = got.dropped + got.lost + got.missed
        looks.append((len(slow.mailbox), got.taken, got.age, gone, got.put, fast.reading.read))
    waiting, taken, age, gone, put, read = np.array(looks, dtype=float).T
    early = SETTLE // LOOK - 1
    return {
        "waiting": waiting,
        "ages": np.diff(age, prepend=0) / np.diff(taken, prepend=0),
        "age": (age[-1] - age[early]) / (taken[-1] - taken[early]),
        "lost": (gone[-1] - gone[early]) / (put[-1] - put[early]),
        "cuts": slow.reading.cuts / LONG,
        "most": slow.reading.most,
        "fast": read[-1] - read[early],
    }


def lost(point: tuple[str, int, float], seed: int, rep: int) -> float:
    """The share of messages that a mailbox drops, at a load of its reader alone."""
    name, places, load = point
    kind: Callable[..., Any] = {"drop newest": DropNewest, "drop oldest": DropOldest}[name]
    env, chance = Environment(), Variates(seed, rep)
    one = reader(env, chance, kind(messages=places - 1), 1.0)
    Writer(env, one, chance.stream("writes", Exponential(1 / load)).__next__)
    env.run(MESSAGES / load)
    return one.reading.dropped / one.reading.put


def measure(lab: Lab) -> dict[str, Any]:
    """The stream under each policy, and the losses of bounded mailboxes."""
    points = [(name, places, load) for name in ("drop newest", "drop oldest") for places in PLACES for load in LOADS]
    streams = dict(zip(POLICIES, lab.repeat(stream, POLICIES, REPS, least=5), strict=True))
    for runs in streams.values():
        for run, free in zip(runs, streams["no bound"], strict=True):
            run["held back"] = 1 - run["fast"] / free["fast"]  # of the same messages
    return {
        "streams": streams,
        "losses": dict(zip(points, lab.repeat(lost, points, REPS, least=10), strict=True)),
    }


def mean(found: dict[str, Any], name: str, what: str) -> Interval:
    """What came of a policy, over the replications."""
    return of_mean(run[what] for run in found["streams"][name])


def draw(found: dict[str, Any], figure: Figure) -> None:
    """What waits and how stale it is, over time; who loses what; and the losses beside M/M/1/K."""
    ((waiting, shares), (ages, losses)) = figure.subplots(2, 2)
    times = np.arange(LOOK, LONG + 1, LOOK)
    for name, colour in zip(POLICIES, COLOURS, strict=False):
        for axes, what in ((waiting, "waiting"), (ages, "ages")):
            runs = [run[what] for run in found["streams"][name]]
            axes.plot(times, np.mean(runs, axis=0), color=colour)
    waiting.set(ylabel="messages waiting", yscale="symlog", ylim=(0, 1e4), xticklabels=[])
    ages.set(xlabel="time (s)", ylabel="age when read (s)", yscale="log")
    draw_shares(found, shares)
    draw_losses(found, losses)
    for axes in (waiting, ages, shares, losses):
        axes.grid(alpha=0.3)


def draw_shares(found: dict[str, Any], axes: Axes) -> None:
    """Who pays; the names' colours are the legend of all."""
    rows = np.arange(len(POLICIES))
    for what, offset, colour, label in (
        ("lost", -0.2, "#444444", "lost (slow one)"),
        ("held back", 0.2, "#bbbbbb", "held back (fast one)"),
    ):
        axes.barh(rows + offset, [mean(found, name, what).mean for name in POLICIES], 0.4, color=colour, label=label)
    axes.set(xlabel="share of all messages", xlim=(0, 1), ylim=(len(POLICIES) - 0.5, -1.7))
    axes.set_yticks(rows, list(POLICIES))
    for tick, colour in zip(axes.get_yticklabels(), COLOURS, strict=False):
        tick.set_color(colour)
    axes.legend(frameon=False, fontsize="x-small", ncols=2, loc="upper center")


def draw_losses(found: dict[str, Any], axes: Axes) -> None:
    """The bounded mailboxes beside theory."""
    fine = np.linspace(0.7, 1.3, 50)
    for places, colour in zip(PLACES, ("#000000", "#666666", "#aaaaaa"), strict=True):
        axes.plot(fine, theory.mmck(fine, 1, 1, places).p_block, "-", color=colour, label=f"M/M/1/{places}")
        for name, mark in (("drop newest", "v"), ("drop oldest", "^")):
            values = [of_mean(found["losses"][name, places, load]) for load in LOADS]
            axes.errorbar(
                LOADS, [one.mean for one in values], [one.half for one in values], fmt=mark, capsize=2, markersize=5,
                color=COLOURS[list(POLICIES).index(name)], fillstyle="none",
            )  # fmt: skip
    axes.set(xlabel="load of the reader", ylabel="share dropped", ylim=(0, None))
    axes.legend(frameon=False, fontsize="small")


def claims(found: dict[str, Any]) -> Iterator[Claim]:
    """What each policy costs, and whom."""
    for (name, places, load), shares in found["losses"].items():
        expected = float(theory.mmck(load, 1, 1, places).p_block)
        text = f"At load {load:g} a mailbox of {places - 1} that has to {name} drops what M/M/1/{places} blocks."
        yield near(text, of_mean(shares), expected, 0.005)
    pairs = zip(found["streams"]["drop newest"], found["streams"]["drop oldest"], strict=True)
    yield near("Of the same messages both drop as many.", max(abs(a["lost"] - b["lost"]) for a, b in pairs), 0)
    rates = of_mean(run["waiting"][-1] / LONG for run in found["streams"]["no bound"])
    grows = "Without a bound, what waits grows by what is written less what is read, 1/s."
    yield near(grows, rates, WRITES - READS, 0.1)
    stale = of_mean(run["ages"][-1] for run in found["streams"]["no bound"])
    age = (LONG - LOOK / 2) * (1 - READS / WRITES)
    yield near("Without a bound, what is read in the end is four fifths as old as it all, s.", stale, age, 0.03 * age)
    queue = theory.mmck(WRITES, READS, 1, ROOM + 1)
    newest, oldest = mean(found, "drop newest", "age"), mean(found, "drop oldest", "age")
    yield near("With the newest dropped, what is read is as old as M/M/1/51 waits, s.", newest, float(queue.Wq), 0.5)
    yield near("With the oldest dropped, it is as old as 50 writings, s.", oldest, ROOM / WRITES, 0.1)
    coalesced = mean(found, "coalesce", "age")
    last = WRITES / (WRITES + READS) ** 2
    yield near("With the latest alone kept, it is as old as the last before a reading ends, s.", coalesced, last, 0.003)
    for name, places in (("drop newest", ROOM + 1), ("drop oldest", ROOM + 1), ("coalesce", 2)):
        blocked = float(theory.mmck(WRITES, READS, 1, places).p_block)
        yield near(f"The slow one loses what M/M/1/{places} blocks: {name}.", mean(found, name, "lost"), blocked, 0.01)
    cut, kept = found["streams"]["disconnect"], found["streams"]["drop oldest"]
    more = of_mean(one["lost"] - other["lost"] for one, other in zip(cut, kept, strict=True))
    yield above("Who is cut off loses more than who is not,", more, 0)
    yield above("and is cut off more than six times a minute, 1/s.", mean(found, "disconnect", "cuts"), 0.1)
    yield near("With credit nothing is lost.", max(run["lost"] for run in found["streams"]["credit"]), 0)
    for name in POLICIES:
        if name != "no bound":
            most = max(run["most"] for run in found["streams"][name])
            yield below(f"No more wait than there is room for: {name}.", most, ROOM)
        if name != "credit":
            yield near(f"Nothing is held back from the fast one: {name}.", mean(found, name, "held back"), 0, 0.002)
    pace = mean(found, "credit", "held back")
    yield near("With credit the fast one is given what the slow one reads.", pace, 1 - READS / WRITES, 0.02)


PAGE = Page(
    number=11,
    title="Slow readers",
    question="What waits for a slow reader, how stale is what it reads, what does it lose, and who else pays?",
    sources=(
        "RFC 7567, section 2: drop front and tail drop",
        "RFC 9113, section 5.2: credit, as HTTP/2's flow control",
        "ReactiveX' onBackpressureLatest: only the latest is kept",
        "Redis' client-output-buffer-limit: who is too slow is cut off",
    ),
    differs="Readers stay as slow as they are, messages are of one size, and no slot is held while the writer waits.",
    finding="One who reads a fifth of what is written loses four fifths, whatever is dropped; the policy chooses how "
    "stale the rest is: 0.07 s (coalesced), 5 s (oldest dropped) or 25 s (newest dropped). Credit loses nothing, and "
    "holds all others to a fifth of the pace.",
    advice="Coalesce progress, drop the oldest of views, cut off agents who must not miss an ending unawares, and give "
    "credit only where all readers of a stream may be held to the slowest one's pace.",
    measure=measure,
    draw=draw,
    claims=claims,
)
