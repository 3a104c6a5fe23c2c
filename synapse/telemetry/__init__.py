"""The record: what the core announces, and the table that is left of it.

The core says once, as a typed event on a `Bus`, what happens (`events`). A query's ending is an event with
the query's whole record, so the table of queries needs no joining: one ending, one row (`schema`). The
`Recorder` is a listener that leaves these rows as Parquet while it runs; `read_trace` reads them, also while
they are being written and after a kill; `summary` and `plot` say what they mean. Theory, simulation,
rehearsal and the live server report in this one table.

This room knows no query scheduler, channel or socket: it hears, and never asks. pyarrow, pandas and
matplotlib are imported when the first function that needs them is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synapse.telemetry.events import (
    Admitted,
    Bus,
    Dropped,
    Event,
    Finished,
    Joined,
    Left,
    Listener,
    PresenceChanged,
    Refused,
    Rejected,
    Started,
    Submitted,
    Thought,
)
from synapse.telemetry.recorder import Recorder
from synapse.telemetry.schema import COLUMNS, STATUSES, Column, Row, TraceError, arrow_schema, row
from synapse.telemetry.table import Latency, Summary, read_trace, summary, to_frame

if TYPE_CHECKING:
    from synapse.telemetry.figure import plot

__all__ = [
    "COLUMNS",
    "STATUSES",
    "Admitted",
    "Bus",
    "Column",
    "Dropped",
    "Event",
    "Finished",
    "Joined",
    "Latency",
    "Left",
    "Listener",
    "PresenceChanged",
    "Recorder",
    "Refused",
    "Rejected",
    "Row",
    "Started",
    "Submitted",
    "Summary",
    "Thought",
    "TraceError",
    "arrow_schema",
    "plot",
    "read_trace",
    "row",
    "summary",
    "to_frame",
]


def __getattr__(name: str) -> Any:
    if name == "plot":  # its module builds on matplotlib's Figure
        from synapse.telemetry.figure import plot

        return plot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
