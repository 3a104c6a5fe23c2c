"""Durations counted in bins of one percent: small, quick, and two of them can be added."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from synapse.simulation.distributions import Array

GROWTH = 1.01  # each bin is so much wider than the one before
SHORTEST = 1e-7  # s, what is shorter counts in the first bin
BINS = math.ceil(math.log(1e9 / SHORTEST) / math.log(GROWTH)) + 2
_LOG_GROWTH = math.log(GROWTH)
_LOG_SHORTEST = math.log(SHORTEST)


class Histogram:
    """How many durations there were of about each length.

    Count, mean and spread are exact, quantiles to half a percent.
    The first bin is for what takes no time (less than `SHORTEST`); the last, for more than 30 years.

    Attributes
    ----------
    counts : array of int
        Durations in each bin.
    total, squares : float
        Their sum, s, and the sum of their squares, s².
    longest : float
        The longest, s; 0 if there are none.
    """

    __slots__ = ("counts", "longest", "squares", "total")

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, dtype=np.int64)
        self.total = self.squares = self.longest = 0.0

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} durations, mean {self.mean:.4g} s>"

    def __len__(self) -> int:
        return self.count

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Their mean, s; NaN if there are none."""
        return self.total / self.count if self.count else math.nan

    @property
    def std(self) -> float:
        """Their standard deviation, s; NaN if there are none."""
        return math.sqrt(max(0.0, self.squares / self.count - self.mean**2)) if self.count else math.nan

    def add(self, durations: Sequence[float]) -> None:
        """Count durations, s."""
        if not durations:
            return
        values = np.asarray(durations, dtype=float)
        with np.errstate(divide="ignore"):
            places = np.floor((np.log(values) - _LOG_SHORTEST) / _LOG_GROWTH) + 1
        self.counts += np.bincount(np.clip(places, 0, BINS - 1).astype(np.intp), minlength=BINS)
        self.total += float(values.sum())
        self.squares += float((values**2).sum())
        self.longest = max(self.longest, float(values.max()))

    def __add__(self, other: Histogram) -> Histogram:
        both = Histogram()
        both.counts = self.counts + other.counts
        both.total, both.squares = self.total + other.total, self.squares + other.squares
        both.longest = max(self.longest, other.longest)
        return both

    def quantile(self, q: float) -> float:
        """What a share `q` of them does not exceed, s: the middle of its bin. NaN if there are none.

        Raises
        ------
        ValueError
            If `q` is not from 0 to 1.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"q must be from 0 to 1; not {q}")
        count = self.count
        if not count:
            return math.nan
        rank = max(1, math.ceil(q * count))
        place = int(np.searchsorted(np.cumsum(self.counts), rank))
        return min(self._middle(place), self.longest)

    def tail(self) -> tuple[Array, Array]:
        """Lengths, s, and the share of durations that is longer than each: for a plot."""
        used = np.flatnonzero(self.counts)
        edges = np.array([SHORTEST * GROWTH**place for place in used])
        return edges, 1.0 - np.cumsum(self.counts)[used] / max(1, self.count)

    def _middle(self, place: int) -> float:
        return 0.0 if place == 0 else SHORTEST * GROWTH ** (place - 0.5)
