"""What came out of a study, as tidy tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse.experiment import plan
from synapse.experiment.best import Best
from synapse.experiment.design import Point, at
from synapse.experiment.errors import StudyError
from synapse.experiment.interval import of_mean, of_share
from synapse.experiment.measure import UNITS
from synapse.experiment.regimes import collapsed, is_bistable
from synapse.experiment.store import Store
from synapse.policies import Policy

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from synapse.telemetry.figure import TraceFigure

EQUAL = 0.9  # of the largest share of queries answered, that latencies may be compared at
LESS_IS_BETTER = {
    name for name in UNITS if name.startswith(("latency", "first", "wait", "wasted", "refused", "abandoned", "tries"))
}
SHORT = {"p50": "latency_p50", "p99": "latency_p99", "latency": "latency_mean", "wait": "wait_mean"}
SERIES = ("goodput", "waiting")
TELLING = ("before", "final", "asked", "recovery")  # what tells in which regime a replication has ended
SHOWN = ("goodput", "success", "latency_mean", "latency_p99", "utilisation")


class Results:
    """Replications of all points.

    Parameters
    ----------
    points
        The design.
    rows
        What was measured.
    seed
        The study's.
    """

    def __init__(self, points: Sequence[Point], rows: Sequence[dict[str, Any]], seed: int) -> None:
        self.points = list(points)
        self.rows = list(rows)
        self.seed = seed
        self.axes = list(self.points[0].values) if self.points else []

    def __repr__(self) -> str:
        return f"<Results of {len(self.points)} points, {len(self.rows)} replications of seed {self.seed}>"

    @classmethod
    def load(cls, folder: str | Path) -> Results:
        """What is in a study's folder, also while another process still fills it.

        Raises
        ------
        StudyError
            If it is none, or another version's.
        """
        points, seed = plan.load(Path(folder))
        store = Store(Path(folder))
        rows = [row for point in points for row in store.of(point.key)]
        if lacking := next((name for name in (*UNITS, *TELLING) for row in rows if name not in row), None):
            raise StudyError(str(folder), f"was made by another version of Synapse: its parts have no {lacking!r}")
        return cls(points, rows, seed)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row for each replication: where it is on each axis, its key, rep and seed, and its metrics."""
        import pandas as pd

        self._check_rows()
        made = [
            {**point.values, **{name: value for name, value in row.items() if not name.startswith("series_")}}
            for point, rows in self._each()
            for row in rows
        ]
        return pd.DataFrame(made)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row for each point and metric, with its 95 % interval.

        ``mean``, ``low``, ``high`` and ``n``: Student's t over replications; a quantile is taken in each replication
        first. Where some replications have collapsed and some have not there is no mean: the ``note`` says how many,
        and `regimes` gives the probability.
        """
        import pandas as pd

        self._check_rows()
        made = []
        for point, rows in self._each():
            verdicts = collapsed(point, rows)
            note = f"bistable: {sum(verdicts)} of {len(rows)} collapsed" if is_bistable(verdicts) else ""
            for name in UNITS:
                found = of_mean([] if note else [row[name] for row in rows])
                numbers = {
                    "mean": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "n": len(rows) if note else found.n,
                }
                about = {"unit": UNITS[name], "note": note, "seed": self.seed, "key": point.key}
                made.append({**point.values, "metric": name, **numbers, **about})
        return pd.DataFrame(made)

    @cached_property
    def regimes(self) -> pd.DataFrame:
        """A row for each point: the probability of collapse (Wilson's interval), and how long others took to recover.

        ``recovery`` is the mean time, s, from the end of the last fault until goodput over 5 s is at 90 % of what it
        was before the first, over the replications that have done so before their end (``recovered`` of them) and have
        not collapsed, with its t-interval.
        """
        import pandas as pd

        self._check_rows()
        made = []
        for point, rows in self._each():
            verdicts = collapsed(point, rows)
            share = of_share(sum(verdicts), len(rows))
            others = of_mean(row["recovery"] for row, lost in zip(rows, verdicts, strict=True) if not lost)
            made.append({
                **point.values, "n": len(rows), "collapsed": sum(verdicts), "bistable": is_bistable(verdicts),
                "probability": share.mean, "low": share.low, "high": share.high,
                "recovery": others.mean, "recovery_low": others.low, "recovery_high": others.high,
                "recovered": others.n, "seed": self.seed, "key": point.key,
            })  # fmt: skip
        return pd.DataFrame(made)

    def where(self, **values: Any) -> Results:
        """Those of the points that have these values on these axes.

        Raises
        ------
        StudyError
            If there is no such axis, or no such point.
        """
        for axis in values:
            self._check_axis(axis)
        points = [point for point in self.points if all(_has(point, axis, value) for axis, value in values.items())]
        if not points:
            raise StudyError(next(iter(values), "where"), "no point has these values")
        keys = {point.key for point in points}
        return Results(points, [row for row in self.rows if row["key"] in keys], self.seed)

    def compare(self, axis: str, to: Any, metric: str = "goodput") -> pd.DataFrame:
        """Differences to one value of an axis, replication by replication under common random numbers.

        Parameters
        ----------
        axis, to
            The axis, and its value that the others are compared with: as it is called in tables, or the policy itself.
        metric
            What is compared.

        Returns
        -------
        pandas.DataFrame
            For each other value, at each point of the other axes: the mean ``difference`` with its t-interval, how
            many pairs there are, and a ``note`` in place of numbers where one of the two is bistable.

        Raises
        ------
        StudyError
            If there is no such axis, value or metric.
        """
        import pandas as pd

        self._check_axis(axis)
        name = metric_of(metric)
        bases = [point.values[axis] for point in self.points if _has(point, axis, to)]
        if not bases:
            there = ", ".join(dict.fromkeys(str(point.values[axis]) for point in self.points))
            raise StudyError(axis, f"has no value {to!r}; it has {there}")
        base = bases[0]
        notes = self.regimes.set_index("key")["bistable"].to_dict()
        by_values = {_frozen(point.values): (point, rows) for point, rows in self._each()}
        made = []
        for point, rows in self._each():
            other = by_values.get(_frozen({**point.values, axis: base}))
            if point.values[axis] == base or other is None:
                continue
            theirs = {row["rep"]: row[name] for row in other[1]}
            note = "bistable" if notes[point.key] or notes[other[0].key] else ""
            found = of_mean([] if note else [row[name] - theirs[row["rep"]] for row in rows if row["rep"] in theirs])
            numbers = {"difference": found.mean, "low": found.low, "high": found.high, "n": found.n}
            made.append({**point.values, "to": base, "metric": name, **numbers, "note": note})
        return pd.DataFrame(made)

    def best(self, metric: str = "goodput", least: bool | None = None) -> Best:
        """The point at which a metric is best, among those where no replication has collapsed.

        Where less is better, points that answer far fewer queries than another are left out: their few answers are
        quick because the others are lost.

        Parameters
        ----------
        metric
            Which.
        least
            Whether less is better. None: it is for latencies, waits and shares lost, as one would think.

        Raises
        ------
        StudyError
            If there is no such metric, or no point has it.
        """
        name = metric_of(metric)
        sign = -1.0 if (name in LESS_IS_BETTER if least is None else least) else 1.0
        means = []
        for point, rows in self._healthy(at_equal_success=sign < 0):
            found = of_mean(row[name] for row in rows)
            if not math.isnan(found.mean):
                means.append((sign * found.mean, point, found, rows))
        if not means:
            raise StudyError("metric", f"{name!r} has no mean at any point that has not collapsed")
        (_, point, value, rows), *others = sorted(means, key=lambda each: -each[0])
        if not others:
            return Best(point, name, value, of_mean([]))
        theirs = {row["rep"]: row[name] for row in others[0][3]}
        lead = of_mean(sign * (row[name] - theirs[row["rep"]]) for row in rows if row["rep"] in theirs)
        return Best(point, name, value, lead)

    def theory(self) -> pd.DataFrame:
        """`summary` with the exact values where a theorem holds (else NaN), and its name or why none does."""
        columns: dict[tuple[str, str], float] = {}
        names = {}
        for point in self.points:
            theorem = point.scenario.theory()
            names[point.key] = theorem.name or f"none: {theorem.why}"
            columns.update({(point.key, name): value for name, value in theorem.metrics.items()})
        pairs = zip(self.summary["key"], self.summary["metric"], strict=True)
        exact = [columns.get(pair, math.nan) for pair in pairs]
        return self.summary.assign(theory=exact, theorem=self.summary["key"].map(names))

    def to_xarray(self) -> xr.Dataset:
        """A full grid as a Dataset: a dimension for each axis and ``rep``, a variable for each metric.

        Raises
        ------
        StudyError
            If the points are no full grid.
        """
        size = math.prod(self.frame[axis].nunique() for axis in self.axes)
        if size != len(self.points):
            raise StudyError("points", f"must be a full grid of {size}; there are {len(self.points)}")
        dataset: xr.Dataset = self.frame.set_index([*self.axes, "rep"])[list(UNITS)].to_xarray()
        for name, unit in UNITS.items():
            dataset[name].attrs["units"] = unit
        dataset.attrs["seed"] = self.seed
        return dataset

    def plot(self, x: str, y: str = "goodput", hue: str | None = None, path: str | Path | None = None) -> TraceFigure:
        """Draw a metric along an axis: the mean, its 95 % band, and a dot for each replication.

        Parameters
        ----------
        x, y, hue
            The axis, the metric, and the axis that has colours.
        path
            Where to save it; the suffix says how (``.png``, ``.svg``, ``.pdf``).

        Raises
        ------
        StudyError
            If there is no such axis or metric, or yet another axis has several values.
        """
        from synapse.experiment.figures import draw

        self._check_rows()
        return draw(self, x, metric_of(y), hue, path)

    def welch(self, series: str = "goodput", window: int = 5, path: str | Path | None = None) -> TraceFigure:
        """Welch's plot, by which one declares a warm-up: nothing is ever cut off by itself.

        Parameters
        ----------
        series
            ``goodput``, 1/s, or ``waiting``, queries.
        window
            Of the moving average, s.
        path
            Where to save it.

        Raises
        ------
        StudyError
            If there is no such series, the window is none, or there is no replication.
        """
        from synapse.experiment.figures import welch

        self._check_rows()
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise StudyError("window", f"must be a whole number of s, at least 1; not {window!r}")
        if series not in SERIES:
            raise StudyError("series", f"must be one of {', '.join(SERIES)}; not {series!r}")
        return welch(self, series, window, path)

    def _each(self) -> list[tuple[Point, list[dict[str, Any]]]]:
        """Points that have replications, with these."""
        by_key: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            by_key.setdefault(row["key"], []).append(row)
        return [(point, by_key[point.key]) for point in self.points if point.key in by_key]

    def _healthy(self, at_equal_success: bool) -> list[tuple[Point, list[dict[str, Any]]]]:
        """Points where no replication has collapsed; if asked for, those that answer about as many as any."""
        alive = [(point, rows) for point, rows in self._each() if not any(collapsed(point, rows))]
        success = [of_mean(row["success"] for row in rows).mean for _, rows in alive]
        least = EQUAL * max(success, default=0.0) if at_equal_success else -math.inf
        return [each for each, share in zip(alive, success, strict=True) if share >= least]

    def _check_rows(self) -> None:
        if not self.rows:
            raise StudyError("results", "have no replication yet: run the study, or wait for its first part")

    def _check_axis(self, axis: str) -> None:
        if axis not in self.axes:
            raise StudyError(axis, f"is no axis; there are {', '.join(self.axes) or 'none'}")

    def _repr_html_(self) -> str:
        title = f"<p>{len(self.points)} points, {len(self.rows)} replications of seed {self.seed}; mean ± 95 %</p>"
        if not self.rows:
            return title
        parts = (self.summary[name].tolist() for name in ("mean", "low", "high", "unit", "note"))
        texts = [
            note or f"{mean:.4g} ± {(high - low) / 2:.2g} {unit}"
            for mean, low, high, unit, note in zip(*parts, strict=True)
        ]
        table = self.summary.assign(value=texts)
        shown = table[table["metric"].isin(SHOWN)]
        wide = shown.pivot_table(index=[*self.axes, "n"], columns="metric", values="value", aggfunc="first", sort=False)
        return title + str(wide.to_html())


def metric_of(name: str) -> str:
    """The name of a metric, which may be short: ``p99``.

    Raises
    ------
    StudyError
        If there is none.
    """
    full = SHORT.get(name, name)
    if full not in UNITS:
        close = get_close_matches(name, [*UNITS, *SHORT], n=1)
        hint = f". Did you mean {close[0]!r}?" if close else f"; there are {', '.join(UNITS)}"
        raise StudyError("metric", f"{name!r} is none{hint}")
    return full


def _has(point: Point, axis: str, value: Any) -> bool:
    """Whether a point has a value on an axis."""
    if isinstance(value, Policy):
        return bool(at(point.scenario, axis) == value)
    return bool(point.values[axis] == value)


def _frozen(values: dict[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(values.items())
