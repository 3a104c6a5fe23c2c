"""``python -m benchmarks``: all cases, interleaved and repeated, medians and ratios in one table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from functools import partial

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import cases
from benchmarks.cases import Figures
from benchmarks.servers import Server, pin_client, synapse_server, tornado_server

Case = Callable[[Server], Figures]

HEARTBEATS = {"hb 1 x 1": (1, 1, 1.0), "hb 100 x 1": (100, 1, 3.0), "hb 100 x 16": (100, 16, 3.5)}
"""Name: connections, in flight each, the target as a ratio to bare Tornado."""


@click.command(help="Measure Synapse beside a bare Tornado echo, each on a core of its own.")
@click.option("--repeat", default=3, show_default=True, help="Runs of each case; medians are shown.")
@click.option("--seconds", default=3.0, show_default=True, help="How long each rate is measured.")
@click.option("--idle-connections", default=1000, show_default=True, help="Connections of the memory cases.")
@click.option("--only", default="", help="Only cases whose name contains this.")
def main(repeat: int, seconds: float, idle_connections: int, only: str) -> None:
    """Run the cases and print the table."""
    pin_client()
    rates: dict[str, tuple[Case, float]] = {
        name: (partial(cases.heartbeat, connections=connections, depth=depth, seconds=seconds), target)
        for name, (connections, depth, target) in HEARTBEATS.items()
        if only in name
    }
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("measuring", total=len(rates) * repeat * 2 + 2)
        table = Table(title="Round trips: medians of interleaved runs")
        for column in (
            "case",
            "server",
            "per s",
            "p50 ms",
            "p99 ms",
            "CPU us/op",
            "client busy",
            "x Tornado",
            "target",
        ):
            table.add_column(column, justify="left" if column in ("case", "server") else "right")
        for name, (case, target) in rates.items():
            ours, floor = [], []
            for _ in range(repeat):
                for factory, runs in ((tornado_server, floor), (synapse_server, ours)):
                    with factory() as server:
                        runs.append(case(server))
                    progress.advance(task)
            _rows(table, name, floor, ours, target)
        memory = Table(title=f"Memory of an idle joined connection, {idle_connections} of them")
        for column in ("case", "KiB a connection", "connect + join per s", "target"):
            memory.add_column(column, justify="left" if column == "case" else "right")
        for compressed in (False, True):
            name = "idle, compression" if compressed else "idle"
            if only in name:
                with synapse_server(f"--SynapseApp.compression={compressed}") as server:
                    figures = cases.idle(server, idle_connections, compressed)
                kib = (figures.bytes_per_connection or 0) / 1024
                memory.add_row(name, f"{kib:.1f}", f"{figures.per_s:.0f}", "<= 24 KiB")
            progress.advance(task)
    console = Console()
    console.print(table)
    console.print(memory)


def _rows(table: Table, name: str, floor: list[Figures], ours: list[Figures], target: float) -> None:
    ratio = statistics.median(one.per_s / other.per_s for one, other in zip(ours, floor, strict=True))
    for label, runs in (("tornado", floor), ("synapse", ours)):
        last = (f"{ratio:.2f}", f">= {target:g}") if label == "synapse" else ("", "")
        table.add_row(
            name if label == "tornado" else "",
            label,
            f"{_median(run.per_s for run in runs):,.0f}",
            f"{1e3 * _median(run.p50 or 0 for run in runs):.2f}",
            f"{1e3 * _median(run.p99 or 0 for run in runs):.2f}",
            f"{1e6 * _median(run.cpu_per_op or 0 for run in runs):.1f}",
            f"{_median(run.client_share or 0 for run in runs):.2f}",
            *last,
        )


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    main()
