"""The largest load that still meets an objective: with common random numbers a metric is a function with a root."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache

import msgspec

from synapse.experiment.errors import StudyError
from synapse.experiment.interval import Interval
from synapse.experiment.measure import UNITS
from synapse.experiment.results import metric_of

GOAL = re.compile(r"\s*(?P<metric>\w+)\s*(?P<sign>[<>])=?\s*(?P<bound>[\d.]+(?:[eE][+-]?\d+)?)\s*(?P<unit>ms|s|%|)\s*")
SCALES = {"": 1.0, "s": 1.0, "ms": 1e-3, "%": 1e-2}
HOPELESS = 1e9  # how far a metric that is not there (nobody was answered) is from any bound


class Goal(msgspec.Struct, frozen=True):
    """What a metric must be: below or above a bound.

    Attributes
    ----------
    metric : str
        Its full name.
    below : bool
        Whether it must be less.
    bound : float
        Than what, in the metric's unit.
    """

    metric: str
    below: bool
    bound: float

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Read ``p99 < 0.5``, ``p99 < 500 ms``, ``success > 99 %``.

        Raises
        ------
        StudyError
            If it is none.
        """
        found = GOAL.fullmatch(text)
        if found is None:
            raise StudyError("goal", f"must be as 'p99 < 0.5' or 'success > 99 %'; not {text!r}")
        metric = metric_of(found["metric"])
        if found["unit"] and (found["unit"] in ("s", "ms")) != (UNITS[metric] == "s"):
            raise StudyError("goal", f"{metric} is in {UNITS[metric] or 'shares'}; not in {found['unit']}")
        try:
            bound = float(found["bound"]) * SCALES[found["unit"]]
        except ValueError:
            raise StudyError("goal", f"has no number: {found['bound']!r}") from None
        return cls(metric, found["sign"] == "<", bound)

    def miss(self, value: float) -> float:
        """By how much a value misses it; negative if it meets it."""
        if math.isnan(value):
            return HOPELESS
        return value - self.bound if self.below else self.bound - value


def largest(goal: Goal, evaluate: Callable[[float], Interval], low: float, high: float, tolerance: float) -> Interval:
    """The largest value that meets a goal, and its interval.

    The interval's ends are where the metric's own 95 % interval meets the bound: below ``low`` it surely does, above
    ``high`` surely not. NaN where that is outside of what was searched.

    Parameters
    ----------
    goal
        What must be met.
    evaluate
        The metric's mean and interval at a value.
    low, high
        Where to search; it must be met at `low` and missed at `high`.
    tolerance
        How near to the root is near enough.

    Raises
    ------
    StudyError
        If it is missed at `low` or met at `high`.
    """
    known = cache(evaluate)
    if goal.miss(known(low).mean) > 0:
        raise StudyError(
            "between", f"must begin where the goal is met; {goal.metric} is {known(low).mean:.4g} at {low:g}"
        )
    if goal.miss(known(high).mean) <= 0:
        raise StudyError(
            "between", f"must end where the goal is missed; {goal.metric} is {known(high).mean:.4g} at {high:g}"
        )

    def worst(x: float) -> float:
        return goal.miss(known(x).high if goal.below else known(x).low)

    def best(x: float) -> float:
        return goal.miss(known(x).low if goal.below else known(x).high)

    root = _root(lambda x: goal.miss(known(x).mean), low, high, tolerance)
    return Interval(root, _root(worst, low, root, tolerance), _root(best, root, high, tolerance), known(root).n)


def _root(miss: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    from scipy.optimize import brentq  # type: ignore[import-untyped]

    if miss(low) > 0 or miss(high) < 0:
        return math.nan
    return float(brentq(miss, low, high, xtol=tolerance))
