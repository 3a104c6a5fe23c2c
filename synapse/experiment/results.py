"""What came out of a study, as tidy tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse.experiment import plan
from synapse.experiment.design import Point
from synapse.experiment.store import Store

if TYPE_CHECKING:
    import pandas as pd


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
            If it is none.
        """
        points, seed = plan.load(Path(folder))
        store = Store(Path(folder))
        return cls(points, [row for point in points for row in store.of(point.key)], seed)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row for each replication: where it is on each axis, its key, rep and seed, and its metrics."""
        import pandas as pd

        by_key: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            by_key.setdefault(row["key"], []).append(row)
        made = [
            {**point.values, **{name: value for name, value in row.items() if not name.startswith("series_")}}
            for point in self.points
            for row in by_key.get(point.key, [])
        ]
        return pd.DataFrame(made)
