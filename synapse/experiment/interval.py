"""Confidence intervals over independent replications, which is the only way to one that covers what it says.

Within one run, answers are correlated: an interval from them that ignores it covers the truth far too rarely. So each
replication gives one number (a mean, a quantile), and Student's t tells how far these are from each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np

CONFIDENCE = 0.95


class Interval(msgspec.Struct, frozen=True):
    """An estimate and its interval; NaN where there is none to tell.

    Attributes
    ----------
    mean, low, high : float
        The estimate, and the ends of its 95 % interval.
    n : int
        Of how many replications.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """Half the width."""
        return (self.high - self.low) / 2

    @property
    def relative(self) -> float:
        """Half the width as a share of the estimate."""
        return self.half / abs(self.mean) if self.mean else math.inf


def of_mean(values: Iterable[float]) -> Interval:
    """Student's t-interval of the mean of independent values. Those that are NaN are left out."""
    known = np.array([value for value in values if not math.isnan(value)], dtype=float)
    count = len(known)
    if count < 2:
        return Interval(float(known[0]) if count else math.nan, math.nan, math.nan, count)
    from scipy import stats  # type: ignore[import-untyped]

    mean = float(known.mean())
    half = float(known.std(ddof=1) / math.sqrt(count) * stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
    return Interval(mean, mean - half, mean + half, count)


def of_share(successes: int, count: int) -> Interval:
    """Wilson's interval of a probability, from independent trials (Wilson 1927)."""
    if not count:
        return Interval(math.nan, math.nan, math.nan, 0)
    from scipy import stats

    ends = stats.binomtest(successes, count).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(successes / count, float(ends.low), float(ends.high), count)
