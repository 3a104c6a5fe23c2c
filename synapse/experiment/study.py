"""A study: a scenario, what to vary in it, and how many replications of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse.experiment import plan
from synapse.experiment.blocks import compute
from synapse.experiment.design import Design, Point, changed, check_ranges, crossed, grid, points_of
from synapse.experiment.engine import point_key
from synapse.experiment.errors import StudyError
from synapse.experiment.interval import Interval, of_mean
from synapse.experiment.pools import pool_of
from synapse.experiment.results import Results
from synapse.experiment.slo import Goal, largest
from synapse.experiment.store import Store
from synapse.simulation import Scenario

if TYPE_CHECKING:
    import pandas as pd


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
        **axes: Any,
    ) -> None:
        if not isinstance(base, Scenario):
            raise StudyError("base", f"must be a Scenario; not {base!r}")
        self.base = base
        self.reps = _whole("reps", reps, 1)
        self.seed = _whole("seed", seed, 0)
        self.points = points_of(base, crossed(*designs, grid(**axes)), seed)
        self.folder = None if folder is None else Path(folder)
        self.store = Store(self.folder)
        if self.folder is not None:
            plan.save(self.folder, self.points, self.seed)

    def __repr__(self) -> str:
        axes = ", ".join(self.points[0].values) if self.points else ""
        return f"<Study of {len(self.points)} points ({axes}), {self.reps} replications each, seed {self.seed}>"

    def run(self, executor: Any = None, progress: bool = True) -> Results:
        """Run what is missing.

        Parameters
        ----------
        executor
            Where: see `pool_of`. None: processes on this machine.
        progress
            Whether to show a bar.

        Returns
        -------
        Results
            All replications. If it is interrupted, what has come is kept: `results` gives it, and `run` goes on.
        """
        with pool_of(executor) as pool:
            compute([(point, self.reps) for point in self.points], self.store, pool, self.seed, progress)
        return self.results()

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
    ) -> pd.DataFrame:
        """The largest value, of the load for example, at which a goal is still met, for each point.

        Parameters
        ----------
        goal
            ``p99 < 0.5``, ``p99 < 500 ms``, ``success > 99 %``; the mean over replications has to meet it.
        vary
            What is made larger: ``load``, or a number of the scenario.
        between
            Where to search: the goal must be met at the first and missed at the second.
        tolerance
            How near to the value is near enough.
        executor
            Where it runs: see `run`.

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

        wanted = Goal.parse(goal)
        check_ranges({vary: between})
        made = []
        with pool_of(executor) as pool:
            for point in self.points:

                def evaluate(value: float, point: Point = point) -> Interval:
                    scenario = changed(point.scenario, {vary: value})
                    there = Point({**point.values, vary: value}, scenario, point_key(scenario, self.seed))
                    compute([(there, self.reps)], self.store, pool, self.seed)
                    return of_mean(row[wanted.metric] for row in self.store.of(there.key)[: self.reps])

                found = largest(wanted, evaluate, float(between[0]), float(between[1]), tolerance)
                ends = {vary: found.mean, "low": found.low, "high": found.high}
                made.append({**point.values, **ends, "goal": goal, "n": found.n, "seed": self.seed, "key": point.key})
        return pd.DataFrame(made)


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise StudyError(name, f"must be a whole number >= {least}; not {value!r}")
    return value
