"""What a trace says: rows as a pandas frame, and the few numbers one asks for first.

Latencies are in s and start when the query was asked, so they include its wait in the queue.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from synapse.telemetry import files
from synapse.telemetry.schema import STATUSES, Row, TraceError, conform, to_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]

RESULTS = ("success", "error", "timeout")
"""The statuses of queries that end with a result: neither interrupted nor rejected."""

_TRIES = 10  # each time a recorder has joined files between our listing and our reading


class Latency(msgspec.Struct, frozen=True):
    """The quantiles of `count` latencies, in s, interpolated linearly. None where there are no latencies."""

    count: int
    p50: float | None
    p99: float | None


class Summary(msgspec.Struct, frozen=True):
    """A trace in a few numbers.

    Attributes
    ----------
    queries : int
        How many there were, with the rejected.
    statuses : dict
        How many ended in each way.
    duration : float
        From the first query asked to the last ending, s.
    throughput : float or None
        Endings of accepted queries, whatever their status, divided by `duration`: 1/s.
    first_thought : Latency
        From asking to the first thought, of those that had one.
    result : Latency
        From asking to the result, of those that had one (status success, error or timeout).
    """

    queries: int
    statuses: dict[str, int]
    duration: float
    throughput: float | None
    first_thought: Latency
    result: Latency

    def lines(self) -> list[tuple[str, str]]:
        """Names and values with their units, as a table shows them."""
        throughput = "-" if self.throughput is None else f"{self.throughput:.1f} queries/s"
        return [
            ("queries", str(self.queries)),
            *((status, str(count)) for status, count in self.statuses.items()),
            ("duration", in_unit(self.duration)),
            ("throughput", throughput),
            ("first thought p50", in_unit(self.first_thought.p50)),
            ("first thought p99", in_unit(self.first_thought.p99)),
            ("result p50", in_unit(self.result.p50)),
            ("result p99", in_unit(self.result.p99)),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name:<18} {value:>16}" for name, value in self.lines())

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:right">{html.escape(value)}</td></tr>'
            for name, value in self.lines()
        )
        return f"<table>{rows}</table>"


def read_trace(path: str | Path) -> pd.DataFrame:
    """Read a trace: a Parquet file, or a recorder's directory (also while it records, or after a kill).

    Parameters
    ----------
    path
        The file or the directory. All sessions of a directory are read, each row once.

    Returns
    -------
    pandas.DataFrame
        One row for each query, in the order of their endings within a session. The columns of `COLUMNS`, and
        ``latency`` (``finished - submitted``), ``wait`` (``started - submitted``) and
        ``first_thought_latency`` (``first_thought - submitted``), all in s, NaN where it did not come to that.

    Raises
    ------
    FileNotFoundError
        If there is no trace there.
    TraceError
        If a file is no table of queries, naming the column that is wrong.
    """
    import pyarrow as pa

    return _frame(pa.concat_tables(_tables(Path(path))))


def to_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as `read_trace` gives them, without a file between."""
    return _frame(to_table(rows))


def summary(frame: pd.DataFrame) -> Summary:
    """The few numbers one asks for first.

    Parameters
    ----------
    frame
        From `read_trace` or `to_frame`, or a selection of its rows.
    """
    counts = {str(status): int(count) for status, count in frame["status"].value_counts().items()}
    duration = float(frame["finished"].max() - frame["submitted"].min()) if len(frame) else 0.0
    accepted = len(frame) - counts.get("rejected", 0)
    return Summary(
        queries=len(frame),
        statuses={status: counts[status] for status in in_order(counts)},
        duration=duration,
        throughput=accepted / duration if duration > 0 else None,
        first_thought=_latency(frame["first_thought_latency"]),
        result=_latency(frame["latency"][frame["status"].isin(RESULTS)]),
    )


def in_order(statuses: Iterable[str]) -> list[str]:
    """Statuses as tables and legends show them: `STATUSES` first, then what else there is."""
    return sorted(statuses, key=lambda status: (STATUSES.index(status) if status in STATUSES else 99, status))


def in_unit(seconds: float | None) -> str:
    """A duration as people read it: 850 µs, 12.3 ms, 1.24 s."""
    if seconds is None:
        return "-"
    value, unit = (
        (seconds, "s") if seconds >= 1 else (seconds * 1e3, "ms") if seconds >= 1e-3 else (seconds * 1e6, "µs")
    )
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def _tables(path: Path) -> list[pa.Table]:
    for _ in range(_TRIES - 1):
        try:
            return _tables_now(path)
        except FileNotFoundError:
            if not path.is_dir():
                raise
    return _tables_now(path)


def _tables_now(path: Path) -> list[pa.Table]:
    import pyarrow as pa

    found = files.trace_files(path)
    if not found:
        raise FileNotFoundError(f"no trace in {path}: it has no Parquet files")
    tables = []
    for file in found:
        try:
            table = files.read(file)
        except pa.ArrowInvalid as error:
            raise TraceError(f"{file} is no Parquet file: {error}") from error
        tables.append(conform(table, str(file)))
    return tables


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    frame["latency"] = frame["finished"] - frame["submitted"]
    frame["wait"] = frame["started"] - frame["submitted"]
    frame["first_thought_latency"] = frame["first_thought"] - frame["submitted"]
    return frame


def _latency(values: pd.Series[float]) -> Latency:
    known = values.dropna()
    if known.empty:
        return Latency(0, None, None)
    return Latency(len(known), float(known.quantile(0.5)), float(known.quantile(0.99)))
