"""A table of queries as columns of numbers, in the form in which a page gets it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse.telemetry import COLUMNS, STATUSES, TraceError, read_trace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MOST_ROWS = 300_000
TIMES = ("submitted", "started", "first_thought", "finished")


class Table:
    """Queries that are over, in the order of their submission; times are s since the first of them.

    Attributes
    ----------
    agents : list of str
        Their names, in an order in which 10 comes after 9.
    lane : numpy.ndarray
        Whose each query is: a place in `agents`.
    times : dict
        A column of `TIMES` each, NaN where it did not come to that.
    start : float
        What was taken off all times, s.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        import numpy as np

        self.frame = frame = frame.sort_values("submitted", kind="stable", ignore_index=True)
        self.start = float(frame["submitted"].iloc[0]) if len(frame) else 0.0
        names = frame["agent"].astype(str)
        self.agents = sorted(set(names), key=_natural)
        places = {name: place for place, name in enumerate(self.agents)}
        self.lane = names.map(places).to_numpy(dtype=np.uint32)
        self.times: dict[str, np.ndarray[Any, Any]] = {
            name: frame[name].to_numpy(dtype=np.float64, na_value=np.nan) - self.start for name in TIMES
        }
        self.duration = float(np.nanmax(self.times["finished"])) if len(frame) else 0.0

    def __len__(self) -> int:
        return len(self.frame)

    def for_page(self) -> dict[str, Any]:
        """What ``js/playback.js`` reads."""
        import numpy as np

        frame = self.frame
        known = {status: place for place, status in enumerate(STATUSES)}
        columns = {
            "agent": self.lane,
            "status": frame["status"].map(known).to_numpy(dtype=np.uint8),
            "thoughts": frame["thoughts"].to_numpy(dtype=np.uint32),
            "priority": frame["priority"].to_numpy(dtype=np.uint8),
            **self.times,
        }
        reasons = frame["reason"].astype(object)
        return {
            "rows": len(self),
            "start": self.start,
            "duration": self.duration,
            "agents": self.agents,
            "statuses": [*STATUSES],
            "refs": frame["ref"].astype(str).tolist(),
            "reasons": reasons.where(reasons.notna(), None).tolist(),
            "columns": {name: np.ascontiguousarray(column).tobytes() for name, column in columns.items()},
        }


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]


def to_table(what: Any) -> Table:
    """Read a table out of a frame, a path, or anything with a table as its ``queries``.

    Raises
    ------
    TraceError
        Naming the column that is missing or has a value that it cannot have.
    ValueError
        If there are too many rows.
    FileNotFoundError
        If there is no trace at that path.
    """
    frame = read_trace(what) if isinstance(what, str | Path) else getattr(what, "queries", what)
    source = type(what).__name__
    names = getattr(frame, "columns", None)
    if names is None:
        raise TraceError(f"{source} is no table of queries, no path of one, and has none as its `queries`")
    for column in COLUMNS:
        if column.name not in names:
            raise TraceError(f"{source} is no table of queries: it has no column {column.name!r}")
        if not column.nullable and frame[column.name].isna().any():
            raise TraceError(f"{source}: column {column.name!r} lacks some of its values")
    unknown = set(frame["status"]) - set(STATUSES)
    if unknown:
        raise TraceError(f"{source}: column 'status' has {min(map(str, unknown))!r}, which is none of {STATUSES}")
    if len(frame) > MOST_ROWS:
        raise ValueError(f"{source} has {len(frame)} rows; a page takes {MOST_ROWS}: select some of them")
    return Table(frame)
