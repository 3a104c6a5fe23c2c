"""A run as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synapse.telemetry.figure import TraceFigure

if TYPE_CHECKING:
    from synapse.simulation.run import Run

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"


def draw(run: Run, path: str | Path | None = None) -> TraceFigure:
    """What was asked and answered each second, the queue, and how long answers took."""
    figure = TraceFigure(figsize=(9, 6.5), dpi=120, layout="constrained")
    panels = figure.subplot_mosaic([["rates", "rates"], ["queue", "latency"]], height_ratios=[3, 2])
    series = run.series
    time, rates = series.index.to_numpy(), panels["rates"]
    rates.step(time, series["sent"], where="pre", color=GREY, label="asked")
    rates.step(time, series["tries"], where="pre", color=ORANGE, linestyle=":", label="tried")
    rates.step(time, series["ok"], where="pre", color=BLUE, label="answered")
    failed = series[["error", "timeout", "rejected", "given_up"]].sum(axis=1)
    rates.step(time, failed, where="pre", color=RED, linestyle="--", label="failed")
    rates.axvline(run.scenario.warmup, color=GREY, linewidth=0.8, linestyle="-.", label="measured from")
    rates.set(xlabel="time (s)", ylabel="queries per second", ylim=(0, None))
    rates.legend(loc="upper left", ncols=5, frameon=False, fontsize="small")
    panels["queue"].step(time, series["waiting"], where="post", color=ORANGE, label="waiting")
    panels["queue"].step(time, series["running"], where="post", color=GREEN, label="running")
    panels["queue"].set(xlabel="time (s)", ylabel="queries", ylim=(0, None))
    panels["queue"].legend(frameon=False, fontsize="small")
    lengths, share = run.latency.tail()
    panels["latency"].set(xlabel="latency (s)", ylabel="share that took longer")
    if (share > 0).any():  # else there is nothing that a logarithm could show
        panels["latency"].plot(lengths[share > 0], share[share > 0], color=BLUE)
        panels["latency"].set(xscale="log", yscale="log")
    figure.suptitle(f"seed {run.seed}, replication {run.replication}")
    if path is not None:
        figure.savefig(path)
    return figure
