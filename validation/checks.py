"""What replications say of a number, beside what it must be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from validation.cases import Case, Exact, numbers

CONFIDENCE = 0.95
ROUNDING = 1e-9  # of a number that is the same in all replications


@dataclass(frozen=True)
class Check:
    """One number of one case.

    Attributes
    ----------
    case, name
        Whose, and which.
    exact
        What it must be.
    mean, error
        Mean over the replications and its standard error.
    replications
        How many.
    """

    case: Case
    name: str
    exact: Exact
    mean: float
    error: float
    replications: int

    @property
    def half(self) -> float:
        """Half the width of the confidence interval of the difference, by Student's t."""
        return math.hypot(self.error * self._quantile((1 - CONFIDENCE) / 2), self.exact.half)

    @property
    def inside(self) -> bool:
        """Whether the exact value is in the confidence interval."""
        return abs(self.mean - self.exact.value) <= self.half + ROUNDING

    @property
    def sigmas(self) -> float:
        """How unlikely the difference is, in the standard deviations of a normal law that are as unlikely."""
        away = abs(self.mean - self.exact.value)
        if away <= ROUNDING + self.exact.half:
            return 0.0
        if not self.error:
            return math.inf
        chance = stats.t.sf(math.sqrt(max(0.0, away**2 - self.exact.half**2)) / self.error, self.replications - 1)
        return float(stats.norm.isf(chance))

    def _quantile(self, tail: float) -> float:
        return float(stats.t.isf(tail, self.replications - 1))


def replicate(case: Case, arrivals: int, seed: int, replication: int, least: float = 0.0) -> dict[str, float]:
    """The numbers of one replication. Parameters are `Case.sized`'s."""
    return numbers(case.sized(arrivals, least=least).run(case.seed(seed), replication=replication, queries=False))


def checks(case: Case, results: Iterable[dict[str, float]]) -> Iterator[Check]:
    """What the replications of a case say."""
    results = list(results)
    for name, exact in case.exact.items():
        values = np.array([result[name] for result in results])
        error = float(values.std(ddof=1)) / math.sqrt(len(values))
        yield Check(case, name, exact, float(values.mean()), error, len(values))


def chance(listed: Sequence[Check]) -> float:
    """How likely it is that no more of them are inside, if all is right."""
    inside = sum(check.inside for check in listed)
    return float(stats.binom.cdf(inside, len(listed), CONFIDENCE))
