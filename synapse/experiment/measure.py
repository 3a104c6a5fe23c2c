"""A run as one row of numbers: what replications are compared by."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from synapse.simulation import Scenario
from synapse.simulation.run import METRICS
from synapse.simulation.theorem import simulated

SHARES = {"refused": "", "abandoned": ""}
UNITS = {**METRICS, **SHARES}
"""The metrics of a row, with their units."""

WINDOW = 5  # s over which goodput is averaged to see whether it has recovered
RECOVERED = 0.9  # of the goodput before the first fault
LAST = 0.25  # the part of the measured time that tells where a run has ended up


def measure(scenario: Scenario, seed: int, rep: int, key: str) -> dict[str, Any]:
    """Run a replication and take its numbers.

    Returns
    -------
    dict
        Its key, rep and seed; `UNITS`; goodput ``before`` the first fault and in the ``final`` quarter, and how many
        queries were ``asked`` in that quarter, 1/s; the ``recovery`` time, s; how long it took, s; and each second's
        ``series_goodput`` and ``series_waiting``.
    """
    began = time.perf_counter()
    run = scenario.run(seed, replication=rep, queries=False)
    goodput = np.nan_to_num(run.series["ok"].to_numpy(dtype=float))
    ends = run.series.index.to_numpy(dtype=float)
    last = ends > scenario.duration - last_part(scenario)
    before, recovery = _around_faults(scenario, goodput, ends)
    return {
        "key": key,
        "rep": rep,
        "seed": seed,
        **{name: float(simulated(run, name)) for name in UNITS},
        "before": before,
        "final": _mean(goodput[last]),
        "asked": _mean(run.series["sent"].to_numpy(dtype=float)[last]),
        "recovery": recovery,
        "wall": time.perf_counter() - began,
        "series_goodput": goodput.tolist(),
        "series_waiting": [float(value) for value in run.series["waiting"]],
    }


def last_part(scenario: Scenario) -> float:
    """How long the final part is, s."""
    return max(1.0, (scenario.duration - scenario.warmup) * LAST)


def _around_faults(
    scenario: Scenario, goodput: np.ndarray[Any, Any], ends: np.ndarray[Any, Any]
) -> tuple[float, float]:
    """Goodput before the first fault, and the time from the last one's end until goodput is back."""
    times = [(fault.at, _length(fault)) for fault in scenario.faults]
    if not times or any(at is None for at, _ in times):  # none, or at random times
        return math.nan, math.nan
    first = min(at for at, _ in times if at is not None)
    over = max(at + length for at, length in times if at is not None)
    before = _mean(goodput[(ends > scenario.warmup) & (ends <= first)])
    if math.isnan(before) or len(goodput) < WINDOW:
        return before, math.nan
    smooth = np.convolve(goodput, np.full(WINDOW, 1 / WINDOW), mode="valid")
    begins = ends[: len(smooth)] - 1
    back = begins[(begins >= over) & (smooth >= RECOVERED * before)]
    return before, float(back[0] - over) if len(back) else math.nan


def _length(fault: Any) -> float:
    """How long a fault lasts, s; 0 if it is a moment, or for ever."""
    return next(
        (float(value) for name in ("width", "restart_after", "heal_after") if (value := getattr(fault, name, None))),
        0.0,
    )


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if len(values) else math.nan
