"""``python -m benchmarks``: all cases, interleaved and repeated, medians and ratios in one table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import cases, experiment, isolation, scheduler, simulation
from benchmarks.cases import Figures
from benchmarks.isolation import CULPRITS, Culprit
from benchmarks.load import Rate
from benchmarks.servers import Server, pin_client, synapse_server, tornado_server, unpin

Case = Callable[[Server], Figures]
Start = Callable[[], AbstractContextManager[Server]]


@dataclass(frozen=True)
class Duel:
    """A case, what bare Tornado does of it, and the ratio we aim at."""

    name: str
    ours: Case
    theirs: Case
    target: float
    baseline: str = "echo"


def duels(seconds: float) -> list[Duel]:
    """All comparisons."""
    beat = partial(cases.heartbeat, seconds=seconds)
    beats = {(1, 1): 1.0, (100, 1): 4.0, (100, 16): 5.0}
    listed = []
    for (connections, depth), target in beats.items():
        case = partial(beat, connections=connections, depth=depth)
        listed.append(Duel(f"heartbeat {connections} x {depth}", case, case, target))
    streamed = partial(cases.queries, agents=50, thoughts=10, seconds=seconds)
    listed.append(Duel("query frames, 50 agents", streamed, partial(beat, connections=100, depth=16), 4.0))
    shouted = partial(cases.fan_out, members=1000, seconds=seconds)
    listed.append(Duel("fan-out to 1000", shouted, shouted, 5.0, "fanout"))
    connected = partial(cases.connects, connections=1000)
    listed.append(Duel("connect (+ join)", connected, connected, 0.0))
    return listed


@click.command(help="Measure Synapse beside bare Tornado, server and client on a core each.")
@click.option("--repeat", default=3, show_default=True, help="Runs of each case; medians are shown.")
@click.option("--seconds", default=3.0, show_default=True, help="How long each rate is measured.")
@click.option("--idle-connections", default=1000, show_default=True, help="Connections of the memory cases.")
@click.option("--only", default="", help="Only cases whose name contains this.")
def main(repeat: int, seconds: float, idle_connections: int, only: str) -> None:
    """Run the cases and print the tables."""
    pin_client()
    chosen = [duel for duel in duels(seconds) if only in duel.name]
    memory = [name for name in ("memory", "memory, compressed") if only in name]
    rates = _table("Rates: medians of interleaved runs", "case", "server", "per s", "p50 ms", "p99 ms", "us CPU/op",
                   "client busy", "ratio", "aim")  # fmt: skip
    sizes = _table(f"{idle_connections} idle joined connections", "case", "KiB each", "aim")
    culprits = [culprit for culprit in CULPRITS if only in f"isolation: {culprit.name}"]
    with Progress(console=Console(stderr=True)) as progress:
        total = len(chosen) * repeat * 2 + len(memory) + len(culprits) * repeat + 1
        task = progress.add_task("measuring", total=total)
        costs = _costs(only)
        progress.advance(task)
        for duel in chosen:
            theirs: list[Figures] = []
            ours: list[Figures] = []
            for _ in range(repeat):
                for start, case, runs in _sides(duel, theirs, ours):
                    with start() as server:
                        runs.append(case(server))
                    progress.advance(task)
            _rows(rates, duel, theirs, ours)
        for name in memory:
            compressed = name.endswith("compressed")
            with synapse_server(f"--SynapseApp.compression={compressed}") as server:
                figures = cases.idle(server, idle_connections, compressed)
            sizes.add_row(name, f"{(figures.bytes_per_connection or 0) / 1024:.1f}", "<= 24")
            progress.advance(task)
        harms = _harms(culprits, repeat, seconds, lambda: progress.advance(task))
    console = Console(width=max(110, Console().width))
    simulated = simulation.tables(repeat) if only in "simulation" else []
    unpin()
    studied = [experiment.table(repeat)] if only in "experiment" else []
    for table in (costs, rates, sizes, harms, *simulated, *studied):
        if table.row_count:
            console.print(table)


def _sides(duel: Duel, theirs: list[Figures], ours: list[Figures]) -> list[tuple[Start, Case, list[Figures]]]:
    return [(partial(tornado_server, duel.baseline), duel.theirs, theirs), (synapse_server, duel.ours, ours)]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column in ("case", "server") else "right")
    return table


def _rows(table: Table, duel: Duel, theirs: list[Figures], ours: list[Figures]) -> None:
    ratio = statistics.median(one.per_s / other.per_s for one, other in zip(ours, theirs, strict=True))
    for label, runs in (("tornado", theirs), ("synapse", ours)):
        verdict = (f"{ratio:.2f}", f">= {duel.target:g}" if duel.target else "") if label == "synapse" else ("", "")
        table.add_row(
            duel.name if label == "tornado" else "",
            label,
            f"{statistics.median(run.per_s for run in runs):,.0f}",
            _median((run.p50 for run in runs), 1e3, 2),
            _median((run.p99 for run in runs), 1e3, 2),
            _median((run.cpu_per_op for run in runs), 1e6, 1),
            _median((run.client_share for run in runs), 1, 2),
            *verdict,
        )


def _costs(only: str) -> Table:
    table = _table("The scheduler's own cost", "case", "us CPU/query", "aim")
    for name, cost in scheduler.measure() if only in "scheduler" else ():
        table.add_row(name, f"{cost:.1f}", f"<= {scheduler.TARGET_US:g}")
    return table


def _harms(culprits: Sequence[Culprit], repeat: int, seconds: float, done: Callable[[], object]) -> Table:
    """The medians of all looks, alone and beside each culprit."""
    table = _table(f"Isolation: {isolation.AGENTS} others, alone and beside", "case", "p50 ms alone", "beside",
                   "p99 ms alone", "beside ", "ratio of p99", "aim")  # fmt: skip
    for culprit in culprits:
        alone: list[Rate] = []
        beside: list[Rate] = []
        for _ in range(repeat):
            for looks, seen in zip((alone, beside), isolation.measure(culprit, seconds), strict=True):
                looks.extend(seen)
            done()
        ratio = statistics.median(rate.p99 for rate in beside) / statistics.median(rate.p99 for rate in alone)
        p50s = [_median((rate.p50 for rate in looks), 1e3, 2) for looks in (alone, beside)]
        p99s = [_median((rate.p99 for rate in looks), 1e3, 2) for looks in (alone, beside)]
        table.add_row(culprit.name, *p50s, *p99s, f"{ratio:.2f}", f"<= {isolation.TARGET:g}")
    return table


def _median(values: Iterable[float | None], scale: float, digits: int) -> str:
    known = [value for value in values if value is not None]
    return f"{scale * statistics.median(known):.{digits}f}" if known else ""


if __name__ == "__main__":
    main()
