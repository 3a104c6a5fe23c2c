"""A study in a file: a scenario's TOML, with a ``[sweep]`` that says what to vary in it.

::

    duration = 30             # s; the scenario, as `Scenario.load` reads it

    [sweep]
    reps = 20
    seed = 1
    until = "relative half-width of p99 < 5 %"

    [sweep.grid]              # every value with every value of the others
    "agents.timeout.seconds" = [0.5, 1, 2]
    "node.queue" = ["fifo", {kind = "codel", bound = 240}]

    [sweep.zip]               # the first values of all, the second ones, and so on
    "node.slots" = [2, 4]
    "cluster.nodes" = [4, 2]

    [sweep.sobol]             # points that fill a box evenly
    points = 64
    ranges = {load = [0.5, 0.9]}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from synapse.experiment.design import Design, grid, sobol, zipped
from synapse.experiment.errors import StudyError
from synapse.simulation import Scenario
from synapse.simulation.scenario import in_file, located, parsed, text_of

Axes = dict[str, list[Any]]


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sobol points: how many, and between which ends."""

    points: int
    ranges: dict[str, tuple[float, float]]


class Sweep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says of a study, besides its scenario.

    Attributes
    ----------
    reps, seed, until
        As in `Study` and `Study.run`. None: not said.
    grid, zip, sobol
        What varies.
    """

    reps: Annotated[int, Meta(ge=1)] | None = None
    seed: Annotated[int, Meta(ge=0)] | None = None
    until: str | None = None
    grid: Axes = {}
    zip: Axes = {}
    sobol: Box | None = None

    def designs(self, seed: int, more: Mapping[str, Any]) -> list[Design]:
        """Its designs, to be crossed; `more` takes the place of axes of the same name, or is added to them."""
        made: list[Design] = [grid(**{**{name: v for name, v in self.grid.items() if name not in more}, **more})]
        if self.zip:
            made.append(zipped(self.zip))
        if self.sobol is not None:
            made.append(sobol(self.sobol.points, self.sobol.ranges, seed))
        return made


def read(path: Path) -> tuple[Scenario, Sweep]:
    """The scenario and the sweep of a file. One without ``[sweep]`` has a study of one point.

    Raises
    ------
    OSError
        If it cannot be read.
    PolicyError
        If it is none: the file, the field, and what is allowed.
    """
    with in_file(path):
        table = parsed(text_of(path))
    plan = table.pop("sweep", {})
    try:
        sweep = msgspec.convert(plan, Sweep)
    except msgspec.ValidationError as error:
        raise StudyError("sweep", f"{error} (in {path})") from None
    with in_file(path):
        return Scenario.decode(located(table, path.parent)), sweep
