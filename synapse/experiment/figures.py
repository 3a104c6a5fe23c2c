"""Results as pictures: a dot for each replication, the mean with its 95 % band, and no mean where it means nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from synapse.experiment.errors import StudyError
from synapse.experiment.measure import UNITS
from synapse.telemetry.figure import TraceFigure

if TYPE_CHECKING:
    from synapse.experiment.results import Results

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#666666")


def draw(results: Results, x: str, metric: str, hue: str | None, path: str | Path | None) -> TraceFigure:
    """One metric along an axis, a colour for each value of another."""
    for axis in (x, hue):
        if axis is not None and axis not in results.axes:
            raise StudyError(axis, f"is no axis; there are {', '.join(results.axes) or 'none'}")
    rest = [axis for axis in results.axes if axis not in (x, hue) and results.frame[axis].nunique() > 1]
    if rest:
        raise StudyError(rest[0], "has several values: choose one by `where`")
    figure = TraceFigure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    frame, summary = results.frame, results.summary
    summary = summary[summary["metric"] == metric]
    numeric = pd.api.types.is_numeric_dtype(frame[x])
    places = {value: value if numeric else place for place, value in enumerate(frame[x].unique())}
    groups: list[Any] = [None] if hue is None else list(frame[hue].unique())
    for number, group in enumerate(groups):
        colour = COLOURS[number % len(COLOURS)]
        dots = frame if hue is None else frame[frame[hue] == group]
        line = summary if hue is None else summary[summary[hue] == group]
        axes.plot(dots[x].map(places), dots[metric], "o", color=colour, alpha=0.35, markersize=3, markeredgewidth=0)
        line = line.assign(place=line[x].map(places)).sort_values("place")
        axes.plot(line["place"], line["mean"], "-", color=colour, label=None if group is None else str(group))
        axes.fill_between(
            line["place"].astype(float), line["low"].astype(float), line["high"].astype(float),
            color=colour, alpha=0.2, linewidth=0,
        )  # fmt: skip
    if not numeric:
        axes.set_xticks(list(places.values()), [str(value) for value in places])
    axes.set(xlabel=x, ylabel=f"{metric.replace('_', ' ')}{f' ({UNITS[metric]})' if UNITS.get(metric) else ''}")
    axes.grid(alpha=0.3)
    if hue is not None:
        axes.legend(title=hue, frameon=False)
    if (summary["note"] != "").any():
        axes.set_title("no mean where some replications have collapsed: see the dots", fontsize="small")
    if path is not None:
        figure.savefig(path)
    return figure


def welch(results: Results, series: str, window: int, path: str | Path | None) -> TraceFigure:
    """Welch's plot: the mean over replications at each second, and its moving average, beside the declared warm-up."""
    import numpy as np

    figure = TraceFigure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for number, point in enumerate(results.points):
        rows = [row for row in results.rows if row["key"] == point.key]
        if not rows:
            continue
        mean = np.mean([row[f"series_{series}"] for row in rows], axis=0)
        time = np.arange(1, len(mean) + 1)
        colour = COLOURS[number % len(COLOURS)]
        width = min(window, len(mean))
        smooth = np.convolve(mean, np.full(width, 1 / width), mode="valid")
        axes.plot(time, mean, color=colour, alpha=0.25, linewidth=0.8)
        label = ", ".join(f"{name} {value}" for name, value in point.values.items()) or f"{len(rows)} replications"
        axes.plot(time[: len(smooth)] + (width - 1) / 2, smooth, color=colour, label=label)
        axes.axvline(point.scenario.warmup, color="#666666", linewidth=0.8, linestyle="-.")
    axes.set(xlabel="time (s)", ylabel=f"{series}, mean over replications", ylim=(0, None))
    axes.legend(frameon=False, fontsize="small")
    if path is not None:
        figure.savefig(path)
    return figure
