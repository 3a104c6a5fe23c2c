"""What is left of a demo: the trace as one Parquet file, a plot of it, and a table for the terminal."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from synapse.cli.demo.play import Heard
from synapse.cli.demo.script import Ask
from synapse.cli.demo.verdict import Recorded
from synapse.telemetry import STATUSES, Latency, plot, read_trace, summary

if TYPE_CHECKING:
    import pandas as pd


class Saved(msgspec.Struct, frozen=True):
    """Where the trace and its plot are, and the trace itself."""

    trace: Path
    plot: Path
    frame: pd.DataFrame


def save(recorded: Path, out: Path) -> Saved:
    """Copy the server's record, which is one file when the server has stopped in good order, and plot it.

    Raises
    ------
    OSError, synapse.telemetry.TraceError
        If there is no such record, or it cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    trace, picture = out / "queries.parquet", out / "queries.png"
    files = sorted(recorded.glob("queries-*.parquet"))
    if len(files) != 1:
        raise FileNotFoundError(f"the server left {len(files)} files of its record, not 1")
    shutil.copyfile(files[0], trace)
    frame = read_trace(trace)
    plot(frame, picture)
    return Saved(trace, picture, frame)


def rows(frame: pd.DataFrame) -> list[Recorded]:
    """A trace, as far as it is compared with what the agents heard."""
    columns = (frame[name].tolist() for name in ("agent", "ref", "status", "thoughts"))
    return [Recorded(*values) for values in zip(*columns, strict=True)]


def table(asks: Sequence[Ask], heard: Sequence[Heard], frame: pd.DataFrame) -> RenderableType:
    """The summary, by the server's record."""
    whole = summary(frame)
    lines = Table.grid(padding=(0, 3))
    lines.add_row(_endings(asks, whole.statuses), _latencies(whole.first_thought, whole.result, heard))
    rate = "-" if whole.throughput is None else f"{whole.throughput:.1f}"
    words = (
        f"{whole.queries} queries in {whole.duration:.1f} s: {rate} queries/s, {int(frame['thoughts'].sum())} thoughts"
    )
    note = "Latencies run from the asking on: the wait for a free slot is part of them."
    return Padding(Group(Text(words, "bold"), Text(), lines, Text(), Text(note, "dim")), (1, 1))


def _endings(asks: Sequence[Ask], ended: dict[str, int]) -> Table:
    due = Counter(ask.status for ask in asks)
    table = Table(box=None, pad_edge=False)
    table.add_column("ending")
    table.add_column("expected", justify="right")
    table.add_column("recorded", justify="right")
    for status in [*STATUSES, *sorted(set(ended) - set(STATUSES))]:
        if due[status] or ended.get(status):
            right = due[status] == ended.get(status, 0)
            count = Text(str(ended.get(status, 0)), "green" if right else "bold red")
            table.add_row(status, str(due[status]), count)
    return table


def _latencies(first: Latency, result: Latency, heard: Sequence[Heard]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("latency")
    table.add_column("p50", justify="right")
    table.add_column("p99", justify="right")
    table.add_row("first thought", _ms(first.p50), _ms(first.p99))
    table.add_row("result", _ms(result.p50), _ms(result.p99))
    for one in heard:
        if one.interrupt is not None:
            table.add_row("interrupt", _ms(one.interrupt), "")
    return table


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:,.1f} ms"
