"""Sensitivity: how much of a metric's variance is due to each of the things that vary (Sobol' 1993, by scipy)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from synapse.experiment.design import check_ranges
from synapse.experiment.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 500  # of the bootstrap
Array: TypeAlias = np.ndarray[Any, Any]


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

    if isinstance(points, bool) or not isinstance(points, int) or points < 2 or points & (points - 1):
        raise StudyError("points", f"must be a power of two, 2 or more; not {points!r}")
    check_ranges(ranges)
    made = _evaluated(evaluate, ranges, points, seed)
    rng = np.random.default_rng(seed)
    found = _sobol(made, np.arange(points))
    with np.errstate(invalid="ignore", divide="ignore"):  # of few points, those chosen may be all the same
        resampled = np.array([_sobol(made, rng.integers(points, size=points)) for _ in range(RESAMPLES)])
    low, high = np.nanquantile(resampled, [0.025, 0.975], axis=0)
    columns = {"first": found[0], "first_low": low[0], "first_high": high[0],
               "total": found[1], "total_low": low[1], "total_high": high[1]}  # fmt: skip
    return pd.DataFrame({"axis": list(ranges), **columns})


def _evaluated(
    evaluate: Callable[[Sequence[Mapping[str, float]]], Sequence[float]],
    ranges: Mapping[str, tuple[float, float]],
    points: int,
    seed: int,
) -> dict[str, Array]:
    """The function at two sets of points, A and B, and for each number at A with that number from B."""
    from scipy import stats  # type: ignore[import-untyped]

    count = len(ranges)
    unit = stats.qmc.Sobol(2 * count, rng=seed).random(points)
    low, high = zip(*ranges.values(), strict=True)
    a, b = stats.qmc.scale(unit[:, :count], low, high), stats.qmc.scale(unit[:, count:], low, high)
    mixed = [np.where(np.arange(count) == number, b, a) for number in range(count)]
    places = [dict(zip(ranges, map(float, place), strict=True)) for place in np.concatenate([a, b, *mixed])]
    values = np.array(evaluate(places), dtype=float)
    if np.isnan(values).any():
        raise StudyError("metric", "is not there at some of the points: narrow the ranges")
    if np.ptp(values) == 0:
        raise StudyError("metric", "is the same at all points: nothing of it depends on these ranges")
    f_a, f_b, *f_ab = values.reshape(2 + count, 1, points)
    return {"f_A": f_a, "f_B": f_b, "f_AB": np.array(f_ab)}


def _sobol(made: Mapping[str, Array], chosen: Array) -> tuple[Array, Array]:
    """First and total indices, from these of the points."""
    from scipy import stats

    found = stats.sobol_indices(func={name: values[..., chosen] for name, values in made.items()}, n=len(chosen))
    return np.ravel(found.first_order), np.ravel(found.total_order)
