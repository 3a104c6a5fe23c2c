"""A trace as a picture: every query over time, and how long first thoughts and results took.

No pyplot: a figure belongs to who asked for it, not to a global list, and needs no display. Statuses differ
in colour (Okabe and Ito's, which colour-blind people can tell apart) and in shape.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synapse.telemetry.table import RESULTS, in_order, in_unit

if TYPE_CHECKING:
    import pandas as pd

_LOOKS = {
    "success": ("#0072B2", "o"),
    "error": ("#D55E00", "X"),
    "timeout": ("#E69F00", "^"),
    "interrupted": ("#CC79A7", "s"),
    "rejected": ("#000000", "|"),
}
_OTHER = ("#666666", "D")
_QUANTILES = ((0.5, "p50", "--"), (0.99, "p99", ":"))


class TraceFigure(Figure):
    """A figure that notebooks show without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def plot(frame: pd.DataFrame, path: str | Path | None = None) -> TraceFigure:
    """Draw a trace.

    Parameters
    ----------
    frame
        From `read_trace` or `to_frame`, or a selection of its rows.
    path
        Where to save it; the suffix says how (``.png``, ``.svg``, ``.pdf``).
    """
    figure = TraceFigure(figsize=(9, 6.5), dpi=120, layout="constrained")
    panels = figure.subplot_mosaic([["queries", "queries"], ["thought", "result"]], height_ratios=[3, 2])
    _draw_queries(panels["queries"], frame)
    if len(frame):
        figure.legend(loc="outside upper center", ncols=6, frameon=False)
    _draw_latency(panels["thought"], frame["first_thought_latency"].dropna(), "First thought", "#009E73")
    _draw_latency(panels["result"], frame["latency"][frame["status"].isin(RESULTS)], "Result", "#0072B2")
    panels["thought"].set_ylabel("fraction of queries")
    if path is not None:
        figure.savefig(path)
    return figure


def _draw_queries(axes: Axes, frame: pd.DataFrame) -> None:
    """Each query where it ended. The rejected have no latency: they are ticks on the time axis."""
    scale, unit = _unit(frame["latency"])
    ended = frame["finished"] - frame["submitted"].min()
    latency = frame["latency"] * scale
    for status in in_order(frame["status"].unique()):
        colour, marker = _LOOKS.get(status, _OTHER)
        chosen = frame["status"] == status
        label = f"{status} ({int(chosen.sum())})"
        if status == "rejected":
            on_axis = axes.get_xaxis_transform()
            low = [0.02] * int(chosen.sum())
            axes.plot(ended[chosen], low, marker, color=colour, markersize=9, transform=on_axis, label=label)
        else:
            size, alpha = (5, 0.6) if status == "success" else (6.5, 0.9)  # the few must not drown in the many
            axes.plot(
                ended[chosen], latency[chosen], marker, color=colour, label=label,
                markersize=size, markeredgewidth=0, alpha=alpha,
            )  # fmt: skip
    accepted = latency[frame["status"] != "rejected"]
    if _wide(accepted):
        axes.set_yscale("log")
    elif len(accepted):
        axes.set_ylim(bottom=0)
    axes.set_title(f"{len(frame)} queries", loc="left")
    axes.set_xlabel("time of the ending, since the first query was asked [s]")
    axes.set_ylabel(f"latency of the ending [{unit}]")
    axes.grid(alpha=0.3)


def _draw_latency(axes: Axes, latency: pd.Series[float], name: str, colour: str) -> None:
    """The share of queries that took at most so long, with its median and its 99th percentile."""
    axes.set_title(name, loc="left")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    scale, unit = _unit(latency)
    axes.set_xlabel(f"latency [{unit}]")
    if latency.empty:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center")
        return
    axes.ecdf(latency * scale, color=colour)
    if _wide(latency):
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)
    for quantile, label, style in _QUANTILES:
        value = float(latency.quantile(quantile))
        axes.axvline(value * scale, color="black", linestyle=style, linewidth=1, label=f"{label} {in_unit(value)}")
    axes.legend(loc="lower right", handles=axes.lines[-len(_QUANTILES) :])


def _unit(latency: pd.Series[float]) -> tuple[float, str]:
    """The factor and the name of the unit that suits these."""
    return (1, "s") if latency.max() >= 2 else (1e3, "ms")


def _wide(latency: pd.Series[float]) -> bool:
    """Whether the slowest hide the others on a linear axis."""
    return bool(len(latency) and latency.min() > 0 and latency.max() > 50 * latency.median())
