"""The lab: what a page's measurements run with, so that the same page can be run at full size or at a small one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from synapse.experiment.design import Design
from synapse.experiment.errors import StudyError
from synapse.experiment.pools import pool_of
from synapse.experiment.results import Results
from synapse.experiment.shipping import Parcel
from synapse.experiment.study import Study
from synapse.simulation import Scenario

Item = TypeVar("Item")
Made = TypeVar("Made")


class Lab:
    """Where a page is measured.

    Parameters
    ----------
    size
        The share of the full number of replications, or of whatever else makes it sure: 1 is as published.
    seed
        The chance of all of it.
    folder
        Where replications are kept. None: in memory alone.
    executor
        Where it runs: see `pool_of`.
    progress
        Whether to show bars.

    Raises
    ------
    StudyError
        If the size is no number > 0.
    """

    def __init__(
        self,
        size: float = 1.0,
        seed: int = 1,
        folder: Path | None = None,
        executor: Any = None,
        progress: bool = False,
    ) -> None:
        if isinstance(size, bool) or not isinstance(size, (int, float)) or not 0 < size < float("inf"):
            raise StudyError("size", f"must be a number > 0; not {size!r}")
        self.size = size
        self.seed = seed
        self.folder = folder
        self.executor = executor
        self.progress = progress

    def __repr__(self) -> str:
        return f"<Lab at size {self.size:g}, seed {self.seed}>"

    def scaled(self, full: float, least: int = 3) -> int:
        """A number that is `full` at full size, and at least `least`."""
        return max(least, round(full * self.size))

    def study(self, base: Scenario, *designs: Design, reps: int, least: int = 3, **axes: Any) -> Results:
        """Run a `Study` of as many replications as the size asks for."""
        wanted = self.scaled(reps, least)
        study = Study(base, *designs, reps=wanted, seed=self.seed, folder=self.folder, **axes)
        return study.run(self.executor, self.progress)

    def repeat(
        self, function: Callable[[Item, int, int], Made], points: Iterable[Item], reps: int, least: int = 3
    ) -> list[list[Made]]:
        """For each point, what ``function(point, seed, rep)`` makes in as many replications as the size asks for."""
        tasks = [(function, point, self.seed, rep) for point in points for rep in range(self.scaled(reps, least))]
        made = self.each(_called, tasks)
        size = self.scaled(reps, least)
        return [made[start : start + size] for start in range(0, len(made), size)]

    def each(self, function: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
        """What a function makes of each item, in their order, side by side: for models that no `Scenario` describes.

        What is made of them must be plain values (numbers, text, tuples, dicts, arrays): they come from other
        processes. Items go there; they may also be scenarios and policies, and the function may be a notebook's.
        """
        with pool_of(self.executor) as pool:
            futures = [pool.submit(_shipped, Parcel((function, item))) for item in items]
            try:
                return [future.result() for future in _with_bar(futures, self.progress)]
            finally:
                for future in futures:
                    future.cancel()


def _shipped(task: Parcel) -> Any:
    function, item = task.open()
    return function(item)


def _called(task: tuple[Callable[..., Made], Any, int, int]) -> Made:
    function, point, seed, rep = task
    return function(point, seed, rep)


def _with_bar(futures: list[Any], shown: bool) -> Iterable[Any]:
    if not shown:
        return futures
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    bar: Iterable[Any] = tqdm(futures, unit="task")
    return bar
