"""Sensitivity: how much of a metric's variance is due to each of the things that vary (Sobol' 1993, by scipy)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse.experiment.design import check_ranges
from synapse.experiment.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 999  # of the bootstrap


def indices(
    evaluate: Callable[[Sequence[Mapping[str, float]]], Sequence[float]],
    ranges: Mapping[str, tuple[float, float]],
    points: int,
    seed: int,
) -> pd.DataFrame:
    """First-order and total Sobol' indices of a function of independent, uniform numbers (Saltelli 2010).

    Parameters
    ----------
    evaluate
        The function, for many places at once.
    ranges
        From and to, of each number.
    points
        A power of two. The function is evaluated at ``points * (2 + len(ranges))`` places.
    seed
        Of the points.

    Raises
    ------
    StudyError
        If the number of points is no power of two, a range is none, or the function is the same everywhere.
    """
    import pandas as pd
    from scipy import stats  # type: ignore[import-untyped]

    if isinstance(points, bool) or not isinstance(points, int) or points < 2 or points & (points - 1):
        raise StudyError("points", f"must be a power of two, 2 or more; not {points!r}")
    check_ranges(ranges)
    names = list(ranges)
    laws = [stats.uniform(low, high - low) for low, high in ranges.values()]

    def function(places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        values = evaluate([dict(zip(names, map(float, place), strict=True)) for place in places.T])
        made = np.array(values, dtype=float)[None, :]
        if np.isnan(made).any():
            raise StudyError("metric", "is not there at some of the points: narrow the ranges")
        if np.ptp(made) == 0:
            raise StudyError("metric", "is the same at all points: nothing of it depends on these ranges")
        return made

    found = stats.sobol_indices(func=function, n=points, dists=laws, rng=np.random.default_rng(seed))
    with np.errstate(invalid="ignore"), warnings.catch_warnings():  # an index that never varies has itself alone
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        spread = found.bootstrap(confidence_level=0.95, n_resamples=RESAMPLES)
    ends = {}
    for name in ("first", "total"):
        index = getattr(found, f"{name}_order")
        interval = getattr(spread, f"{name}_order").confidence_interval
        for end in ("low", "high"):
            bound = getattr(interval, end)
            ends[f"{name}_{end}"] = np.where(np.isnan(bound), index, bound)
    columns = {"first": found.first_order, "total": found.total_order, **ends}
    frame = pd.DataFrame({"axis": names, **{name: np.ravel(values) for name, values in columns.items()}})
    return frame[["axis", "first", "first_low", "first_high", "total", "total_low", "total_high"]]
