"""A table of queries as a still picture, for where no page can play it.

A PNG, because a page that does not trust a notebook shows no other picture of its; on no ground of its own and in
colours that do on black and on white. No pyplot: it belongs to no global list, and needs no display.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from synapse.telemetry.table import in_unit
from synapse.widgets.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, LANE, MARGIN, DPI = 9.2, 0.22, 0.75, 110  # inches but the last
MOST_LANES, MOST_SPANS, TRACKS = 24, 1500, 3
COLOURS = {
    "success": "#388e3c",
    "error": "#d32f2f",
    "timeout": "#f57c00",
    "interrupted": "#a149a8",
    "rejected": "#d32f2f",
}
GREY = "#808080"


def picture(table: Table) -> bytes:
    """The first lanes of a table, and of very many queries an even choice; a line below says of how many. A PNG."""
    from matplotlib.figure import Figure

    lanes = table.agents[:MOST_LANES]
    rows = chosen(table)
    figure = Figure(figsize=(WIDTH, MARGIN + LANE * max(1, len(lanes))), dpi=DPI, layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    _draw(axes, table, rows)
    axes.set_yticks(range(len(lanes)), [name if len(name) <= 20 else f"{name[:19]}…" for name in lanes])
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.set_xlim(0, table.duration or 1.0)
    axes.set_xlabel(f"s since the first query ({caption(table, len(rows))})", color=GREY, fontsize=9)
    axes.tick_params(colors=GREY, labelsize=9, length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[:].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True)
    return buffer.getvalue()


def chosen(table: Table) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The rows to draw."""
    rows = np.flatnonzero(table.lane < MOST_LANES)
    if len(rows) > MOST_SPANS:
        rows = rows[np.linspace(0, len(rows) - 1, MOST_SPANS).astype(np.intp)]
    return rows


def caption(table: Table, drawn: int) -> str:
    """What it shows, in words."""
    text = f"{len(table)} queries of {len(table.agents)} agents in {in_unit(table.duration)}"
    return text if drawn == len(table) else f"{text}; {drawn} of them are drawn"


def _draw(axes: Axes, table: Table, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> None:
    """Hollow while it waits, filled while it thinks; the rejected are crosses."""
    begin, started, _, end = (table.times[name][rows] for name in table.times)
    tall = 0.8 / TRACKS
    y = table.lane[rows] - 0.4 + (_tracks(table, rows) + 0.5) * tall
    began = np.where(np.isnan(started), end, started)
    statuses = table.frame["status"].to_numpy()[rows]
    refused = statuses == "rejected"
    paint = np.array([COLOURS.get(str(status), GREY) for status in statuses])
    accepted = ~refused
    if accepted.any():
        where = (y[accepted], (began - begin)[accepted], begin[accepted])
        axes.barh(where[0], where[1], left=where[2], height=tall / 3, color=GREY, alpha=0.6)
        spans = (end - began)[accepted]
        axes.barh(where[0], spans, left=began[accepted], height=0.85 * tall, color=paint[accepted], alpha=0.75)
    axes.plot(begin[refused], y[refused], "x", color=COLOURS["rejected"], markersize=4)


def _tracks(table: Table, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Which place each has where several lie side by side: the first that is free by then."""
    free = [[-1.0] * TRACKS for _ in table.agents]
    tracks = np.zeros(len(rows), dtype=np.intp)
    for place, row in enumerate(rows):
        lane = free[table.lane[row]]
        begin = table.times["submitted"][row]
        track = next((one for one, until in enumerate(lane) if until <= begin), TRACKS - 1)
        lane[track] = table.times["finished"][row]
        tracks[place] = track
    return tracks
