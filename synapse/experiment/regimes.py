"""Regimes: whether replications of one point end up in different states, where a mean of them means nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from synapse.experiment.design import Point
from synapse.experiment.measure import last_part

COLLAPSED = 0.5  # of the goodput that there should be
SURE = 4.0  # standard deviations of a Poisson count that a loss must exceed to be none of chance


def collapsed(point: Point, rows: Sequence[dict[str, Any]]) -> list[bool]:
    """Which replications have collapsed.

    One has, if its goodput in the last quarter of the measured time is below half of what it should be, and by more
    than chance: half of what it was before the first fault, or, where there is none, of the best replication's; and in
    any case half of what is asked for then, as a lull is no collapse.
    """
    best = max((row["final"] for row in rows if not math.isnan(row["final"])), default=0.0)
    seconds = last_part(point.scenario)
    verdicts = []
    for row in rows:
        due = min(best if math.isnan(row["before"]) else row["before"], row["asked"]) * seconds
        got = row["final"] * seconds
        verdicts.append(bool(got < COLLAPSED * due and due - got > SURE * math.sqrt(due)))
    return verdicts


def is_bistable(verdicts: Sequence[bool]) -> bool:
    """Whether some have collapsed and some have not."""
    return any(verdicts) and not all(verdicts)
