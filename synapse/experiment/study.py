"""A study: a scenario, what to vary in it, and how many replications of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synapse.experiment import plan
from synapse.experiment.blocks import compute
from synapse.experiment.design import Design, Point, at, changed, check_ranges, crossed, grid, points_of
from synapse.experiment.engine import point_key
from synapse.experiment.errors import StudyError
from synapse.experiment.file import read
from synapse.experiment.interval import Interval, of_mean
from synapse.experiment.pools import pool_of
from synapse.experiment.regimes import collapsed, is_bistable
from synapse.experiment.results import Results, metric_of
from synapse.experiment.sensitivity import indices
from synapse.experiment.slo import Goal, largest
from synapse.experiment.store import Store
from synapse.experiment.until import Until
from synapse.simulation import Scenario

if TYPE_CHECKING:
    import pandas as pd

NOTHING = of_mean([])


class Study:
    """Replications of a scenario at each point of a design.

    The same replication at any two points has the same chance (common random numbers), so that they differ by what
    was varied alone.

    Parameters
    ----------
    base
        The scenario.
    designs
        Lists of changes, as `zipped` and `sobol` make them; they are crossed with each other and with the axes.
    reps
        Replications of each point.
    seed
        The chance of all of them.
    folder
        Where replications are kept: those that are there are not computed again, by whatever process and for whatever
        study, as long as scenario, seed and engine are the same. None: in memory alone.
    until
        When there are enough replications, if not `reps` say so: see `run`.
    axes
        Values by name, each combined with each: ``queue=[Fifo(240), CoDel()]``, ``agents__count=[100, 200]``,
        ``**{"agents.timeout.seconds": [1, 2]}``, ``load=[0.5, 0.9]``.

    Raises
    ------
    StudyError
        If a value makes no scenario.

    Examples
    --------
    >>> study = Study(Scenario(duration=20), reps=3, load=[0.5, 0.9])
    >>> [round(point.values["load"], 1) for point in study.points]
    [0.5, 0.9]
    """

    def __init__(
        self,
        base: Scenario,
        *designs: Design,
        reps: int = 30,
        seed: int = 1,
        folder: str | Path | None = None,
        until: str | None = None,
        **axes: Any,
    ) -> None:
        if not isinstance(base, Scenario):
            raise StudyError("base", f"must be a Scenario; not {base!r}")
        self.base = base
        self.reps = _whole("reps", reps, 1)
        self.seed = _whole("seed", seed, 0)
        self.until = until if until is None else Until.parse(until)
        self.points = points_of(base, crossed(*designs, grid(**axes)), seed)
        self.folder = None if folder is None else Path(folder)
        self.store = Store(self.folder)

    def __repr__(self) -> str:
        axes = ", ".join(self.points[0].values) if self.points else ""
        return f"<Study of {len(self.points)} points ({axes}), {self.reps} replications each, seed {self.seed}>"

    @classmethod
    def load(
        cls,
        path: str | Path,
        changes: Mapping[str, Any] | None = None,
        *,
        reps: int | None = None,
        seed: int | None = None,
        folder: str | Path | None = None,
        until: str | None = None,
        **axes: Any,
    ) -> Study:
        """Read a study from a TOML file: a scenario, and in ``[sweep]`` what varies. See `synapse.experiment.file`.

        Parameters
        ----------
        path
            The file.
        changes
            Other values than the file's, as for `Scenario.replace`.
        reps, seed, until
            In place of the file's; without both, 30, 1 and None.
        folder
            As in `Study`.
        axes
            Axes in place of the file's of the same name, or besides them.

        Raises
        ------
        OSError
            If it cannot be read.
        PolicyError
            If it is no study: the file, the field, and what is allowed.
        """
        base, sweep = read(Path(path))
        scenario = base.replace(changes) if changes else base
        chance = next(value for value in (seed, sweep.seed, 1) if value is not None)
        count = next(value for value in (reps, sweep.reps, 30) if value is not None)
        return cls(
            scenario, *sweep.designs(chance, axes), reps=count, seed=chance, folder=folder,
            until=sweep.until if until is None else until,
        )  # fmt: skip

    def run(
        self, executor: Any = None, progress: bool = True, *, until: str | None = None, most: int = 1000
    ) -> Results:
        """Run what is missing.

        Parameters
        ----------
        executor
            Where: see `pool_of`. None: processes on this machine.
        progress
            Whether to show a bar.
        until
            Run more than `reps` until the interval of each point is narrow enough: ``relative half-width < 5 %`` (of
            the goodput), ``half-width of p99 < 0.01``. None: as the study says. A bistable point has no mean, and gets
            no more.
        most
            Replications of a point beyond which `until` is given up; its interval then says how wide it still is.

        Returns
        -------
        Results
            All replications. If it is interrupted, what has come is kept: `results` gives it, and `run` goes on.

        Raises
        ------
        StudyError
            If `until` or `most` is none, or there is no such executor.
        """
        rule = self.until if until is None else Until.parse(until)
        most = max(self.reps, _whole("most", most, 1))
        if self.folder is not None:
            plan.save(self.folder, self.points, self.seed)
        wanted = {point.key: self.reps for point in self.points}
        with pool_of(executor) as pool:
            while True:
                tasks = [(point, wanted[point.key]) for point in self.points]
                compute(tasks, self.store, pool, self.seed, progress)
                if rule is None:
                    return self.results()
                now = {point.key: min(most, rule.wanted(point, self.store.of(point.key))) for point in self.points}
                if all(now[key] <= count for key, count in wanted.items()):
                    return self.results()
                wanted = {key: max(count, now[key]) for key, count in wanted.items()}

    def results(self) -> Results:
        """What there is so far, also while it runs or after it was interrupted."""
        rows = [row for point in self.points for row in self.store.of(point.key)]
        return Results(self.points, rows, self.seed)

    def slo(
        self,
        goal: str,
        vary: str = "load",
        between: tuple[float, float] = (0.05, 2.0),
        tolerance: float = 1e-3,
        executor: Any = None,
        progress: bool = False,
    ) -> pd.DataFrame:
        """The largest value, of the load for example, at which a goal is still met, for each point.

        Parameters
        ----------
        goal
            ``p99 < 0.5``, ``p99 < 500 ms``, ``success > 99 %``; the mean over replications has to meet it. Where some
            of them collapse, or have the metric not at all, it is missed.
        vary
            What is made larger: ``load``, or a number of the scenario.
        between
            Where to search: the goal must be met at the first and missed at the second.
        tolerance
            How near to the value is near enough.
        executor
            Where it runs: see `run`.
        progress
            Whether to show which values have been tried.

        Returns
        -------
        pandas.DataFrame
            For each point the value, and as ``low`` and ``high`` where the metric's 95 % interval meets the bound
            (NaN: not between the two).

        Raises
        ------
        StudyError
            If the goal is none, or is not met at the first or met at the second value.
        """
        import pandas as pd
        from tqdm.auto import tqdm  # type: ignore[import-untyped]

        wanted = Goal.parse(goal)
        check_ranges({vary: between})
        if vary in self.points[0].values:
            raise StudyError(vary, "is varied by the study itself: name another, or take it off its axes")
        made = []
        with pool_of(executor) as pool, tqdm(unit="value", disable=not progress) as bar:
            for point in self.points:

                def evaluate(value: float, point: Point = point) -> Interval:
                    scenario = changed(point.scenario, {vary: value})
                    there = Point({**point.values, vary: value}, scenario, point_key(scenario, self.seed))
                    compute([(there, self.reps)], self.store, pool, self.seed)
                    bar.set_postfix({vary: value}, refresh=False)
                    bar.update()
                    rows = self.store.of(there.key)[: self.reps]
                    values = [row[wanted.metric] for row in rows]
                    is_there = not is_bistable(collapsed(there, rows)) and not any(map(math.isnan, values))
                    return of_mean(values) if is_there else NOTHING

                found = largest(wanted, evaluate, float(between[0]), float(between[1]), tolerance)
                ends = {vary: found.mean, "low": found.low, "high": found.high}
                if isinstance(at(point.scenario, vary), int):  # the metric is that of whole numbers: a stair
                    ends = {name: math.floor(end) if math.isfinite(end) else end for name, end in ends.items()}
                made.append({**point.values, **ends, "goal": goal, "n": found.n, "seed": self.seed, "key": point.key})
        return pd.DataFrame(made)

    def sensitivity(
        self,
        ranges: Mapping[str, tuple[float, float]],
        metric: str = "goodput",
        points: int = 64,
        executor: Any = None,
        progress: bool = True,
    ) -> pd.DataFrame:
        """How much of a metric's variance is due to each of some numbers, alone and together with the others.

        Parameters
        ----------
        ranges
            From and to, of each: ``{"load": (0.5, 0.9), "agents.timeout": (0.5, 5)}``; evenly and independently.
        metric
            Whose mean over the replications is looked at.
        points
            A power of two; scenarios run are ``points * (2 + len(ranges))``, ``reps`` times each.
        executor, progress
            As for `run`.

        Returns
        -------
        pandas.DataFrame
            For each axis the ``first`` index (its own share of the variance) and the ``total`` one (with all that it
            does together with others), each with its 95 % interval by bootstrap.

        Raises
        ------
        StudyError
            If a range or the number of points is none, there is no such metric, some replications of a point collapse,
            or the study has axes of its own with several values.
        """
        if len(self.points) != 1:
            raise StudyError("ranges", f"need a study of one point, the base; this one has {len(self.points)}")
        name = metric_of(metric)

        def evaluate(places: Sequence[Mapping[str, float]]) -> list[float]:
            there = points_of(self.points[0].scenario, list(map(dict, places)), self.seed)
            compute([(point, self.reps) for point in there], self.store, pool, self.seed, progress)
            found = [(point, self.store.of(point.key)[: self.reps]) for point in there]
            for point, rows in found:
                if is_bistable(collapsed(point, rows)):
                    raise StudyError(
                        "metric", f"is bistable at {point.values}: it has no mean there; narrow the ranges"
                    )
            return [of_mean(row[name] for row in rows).mean for _, rows in found]

        with pool_of(executor) as pool:
            return indices(evaluate, ranges, points, self.seed)


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, np.integer):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise StudyError(name, f"must be a whole number >= {least}; not {value!r}")
    return value
