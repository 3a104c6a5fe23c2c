"""A study's design in its folder, so that its results can be read without the program that made them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from synapse.experiment.design import Point
from synapse.experiment.errors import StudyError
from synapse.simulation import Scenario

NAME = "design.json"


def save(folder: Path, points: Sequence[Point], seed: int) -> None:
    """Write it, in place of the one that is there."""
    table = {
        "seed": seed,
        "points": [{"key": point.key, "values": point.values, "scenario": point.scenario.encode()} for point in points],
    }
    beside = folder / f".{uuid4().hex}.tmp"
    beside.write_text(json.dumps(table, indent=1), encoding="utf-8")
    os.replace(beside, folder / NAME)


def load(folder: Path) -> tuple[list[Point], int]:
    """The points and the seed.

    Raises
    ------
    StudyError
        If there is none.
    """
    try:
        table = json.loads((folder / NAME).read_text(encoding="utf-8"))
        points = [Point(each["values"], Scenario.decode(each["scenario"]), each["key"]) for each in table["points"]]
        return points, int(table["seed"])
    except OSError:
        raise StudyError(str(folder), f"is no study's folder: it has no {NAME}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(str(folder / NAME), f"is no design: {error}") from None
