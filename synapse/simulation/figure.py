"""A run as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synapse.policies import kind_of
from synapse.simulation.timetable import fault_streams, spells
from synapse.simulation.variates import Variates
from synapse.telemetry.figure import TraceFigure
from synapse.telemetry.table import in_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from synapse.simulation.run import Run

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
PURPLE, BAND = "#CC79A7", "#F0E442"
FAILED = ("error", "timeout", "rejected", "given_up")
QUANTILES = ((0.5, "p50", "--"), (0.99, "p99", ":"))


def draw(run: Run, path: str | Path | None = None) -> TraceFigure:
    """What was asked and answered each second, the queue, and how long answers took. Bands are faults."""
    figure = TraceFigure(figsize=(9, 6.5), dpi=120, layout="constrained")
    panels = figure.subplot_mosaic([["rates", "rates"], ["queue", "latency"]], height_ratios=[3, 2])
    for panel in panels.values():
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.3)
    _draw_rates(panels["rates"], run)
    _draw_queue(panels["queue"], run)
    for panel in (panels["rates"], panels["queue"]):
        panel.set(xlabel="time (s)", xlim=(0, run.scenario.duration), ylim=(0, None))
        _draw_faults(panel, run)
        _put_legend_above(panel)
    _draw_latency(panels["latency"], run)
    figure.suptitle(_title(run), fontsize="medium")
    if path is not None:
        figure.savefig(path)
    return figure


def _title(run: Run) -> str:
    agents, nodes = run.scenario.agents.count, run.scenario.cluster.nodes
    return (
        f"{agents:,} agent{'s' * (agents > 1)}, {nodes:,} node{'s' * (nodes > 1)} of {run.scenario.node.slots:,} "
        f"slot{'s' * (run.scenario.node.slots > 1)}; seed {run.seed}, replication {run.replication}"
    )


def _draw_rates(axes: Axes, run: Run) -> None:
    series, edges = run.series, run.looks["time"]
    widths = np.diff(edges)
    failed = series[list(FAILED)].sum(axis=1)
    lines = (
        ("tried", series["tries"], ORANGE, ":"),
        ("asked", series["sent"], GREY, "-"),
        ("answered", series["ok"], BLUE, "-"),
        ("failed", failed, RED, "--"),
    )
    for label, counts, colour, style in lines:
        rates = counts.to_numpy() / widths
        axes.stairs(
            rates, edges, baseline=None, color=colour, linestyle=style, linewidth=1.5, label=label, clip_on=False
        )
    if run.scenario.warmup:
        axes.axvline(run.scenario.warmup, color=GREY, linewidth=0.8, linestyle="-.", label="measured from")
    axes.set_ylabel("per second")


def _draw_queue(axes: Axes, run: Run) -> None:
    """As it was at each look: between two of them it may have been otherwise."""
    times = run.looks["time"]
    axes.plot(times, run.looks["waiting"], color=ORANGE, linewidth=1.5, label="waiting")
    axes.plot(times, run.looks["running"], color=GREEN, linewidth=1.5, label="running")
    axes.set_ylabel("queries at the nodes")


def _draw_faults(axes: Axes, run: Run) -> None:
    scenario = run.scenario
    streams = fault_streams(Variates(run.seed, run.replication))
    shown = set()
    for spell in spells(scenario.faults, scenario.duration, streams, scenario.cluster.nodes):
        kind = kind_of(type(spell.fault)).replace("-", " ")
        label = None if kind in shown else kind
        shown.add(kind)
        if spell.end > spell.begin:
            end = min(spell.end, scenario.duration)
            axes.axvspan(spell.begin, end, color=BAND, alpha=0.4, linewidth=0, zorder=0, label=label)
        else:
            axes.axvline(spell.begin, color=PURPLE, linewidth=1, zorder=0, label=label)


def _put_legend_above(axes: Axes) -> None:
    columns = len(axes.get_legend_handles_labels()[1])
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=columns, frameon=False, fontsize="small",
        handlelength=1.6, columnspacing=1.2,
    )  # fmt: skip


def _draw_latency(axes: Axes, run: Run) -> None:
    lengths, share = run.latency.tail()
    axes.set(xlabel="latency (s)", ylabel="share that took longer")
    if not (share > 0).any():  # nothing that a logarithm could show
        return
    axes.plot(lengths[share > 0], share[share > 0], color=BLUE)
    axes.set(xscale="log", yscale="log", xlim=(max(run.latency.quantile(0.005), lengths[0]), None))
    for q, name, style in QUANTILES:
        value = run.latency.quantile(q)
        axes.axvline(value, color="black", linestyle=style, linewidth=1, label=f"{name} {in_unit(value)}")
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=2, frameon=False, fontsize="small",
        handlelength=1.6,
    )  # fmt: skip
