"""Designs: which scenarios a study compares. A design is a list of changes, each a table from names to values.

Names are those of `Scenario.replace`, ``agents.timeout.seconds``; the name of a section can be left out, ``queue``; as
a Python keyword it is written with ``__`` in place of the dot; and ``load`` is the offered load.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

import msgspec
import numpy as np

from synapse.experiment.engine import point_key
from synapse.experiment.errors import StudyError
from synapse.experiment.load import LOAD, at_load
from synapse.policies import FixedTimeout, PolicyError
from synapse.policies.base import Policy
from synapse.simulation import Scenario
from synapse.simulation.scenario import PART
from synapse.simulation.spec import Agents, Cluster, Node

Changes: TypeAlias = dict[str, Any]
Design: TypeAlias = Sequence[Mapping[str, Any]]

SECTIONS = {"agents": Agents, "node": Node, "cluster": Cluster}


class Point(msgspec.Struct, frozen=True):
    """One scenario of a study.

    Attributes
    ----------
    values : dict
        Where it is on each axis: a number, or the name of a policy.
    scenario : Scenario
        What is simulated there.
    key : str
        A name for its content, the seed and the engine: the same in any process.
    """

    values: dict[str, Any]
    scenario: Scenario
    key: str


def grid(**axes: Iterable[Any]) -> list[Changes]:
    """Every value of each axis with every value of the others."""
    return [dict(zip(axes, values, strict=True)) for values in product(*_lists(axes).values())]


def zipped(axes: Mapping[str, Iterable[Any]]) -> list[Changes]:
    """The first values of all axes, the second ones, and so on.

    Raises
    ------
    StudyError
        If the lists are not equally long.
    """
    lists = _lists(axes)
    longest = max(map(len, lists.values()), default=0)
    for name, values in lists.items():
        if len(values) != longest:
            raise StudyError(name, f"must have {longest} values, as many as the others; not {len(values)}")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def sobol(points: int, ranges: Mapping[str, tuple[float, float]], seed: int = 1) -> list[Changes]:
    """Scrambled Sobol points, which fill a box evenly (scipy.stats.qmc).

    Parameters
    ----------
    points
        How many; a power of two keeps them balanced.
    ranges
        From and to, of each axis.
    seed
        Of the scrambling.

    Raises
    ------
    StudyError
        If their number is no power of two, or a range is none.
    """
    from scipy.stats import qmc  # type: ignore[import-untyped]

    if isinstance(points, bool) or not isinstance(points, int) or points < 1 or points & (points - 1):
        raise StudyError("points", f"must be a power of two; not {points!r}")
    check_ranges(ranges)
    unit = qmc.Sobol(len(ranges), rng=seed).random(points)
    scaled = qmc.scale(unit, *zip(*ranges.values(), strict=True))
    return [dict(zip(ranges, map(float, row), strict=True)) for row in scaled]


def check_ranges(ranges: Mapping[str, tuple[float, float]]) -> None:
    """See that each is from less to more.

    Raises
    ------
    StudyError
        If one is not, or there is none.
    """
    if not ranges:
        raise StudyError("ranges", "must name an axis")
    for name, ends in ranges.items():
        if not _is_range(ends):
            raise StudyError(name, f"must be (from, to), with from < to; not {ends!r}")


def _is_range(ends: Any) -> bool:
    if not isinstance(ends, Sequence) or isinstance(ends, str) or len(ends) != 2:
        return False
    if not all(isinstance(end, (int, float, np.generic)) for end in ends):
        return False
    return bool(-math.inf < ends[0] < ends[1] < math.inf)


def crossed(*designs: Design) -> list[Changes]:
    """Every change of each design with every change of the others.

    Raises
    ------
    StudyError
        If two designs change the same.
    """
    made: list[Changes] = []
    for changes in product(*designs):
        names = [name for change in changes for name in change]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise StudyError(twice, "is in two designs")
        made.append({name: value for change in changes for name, value in change.items()})
    return made


def changed(base: Scenario, changes: Mapping[str, Any]) -> Scenario:
    """A scenario with changes. Where a whole number is meant, others are rounded; the load is set last.

    Raises
    ------
    PolicyError
        If it is none then.
    """
    plain = {full_name(name): value for name, value in changes.items() if name != LOAD}
    scenario = base.replace({name: _value(base, name, value) for name, value in plain.items()}) if plain else base
    return at_load(scenario, changes[LOAD]) if LOAD in changes else scenario


def points_of(base: Scenario, changes: Sequence[Changes], seed: int) -> list[Point]:
    """The points of a design, in its order.

    Raises
    ------
    StudyError
        If a value makes no scenario: on which axis.
    """
    names = list(changes[0]) if changes else []
    for change in changes:
        if odd := set(change) ^ set(names):
            raise StudyError(min(odd), "is varied at some points and not at others")
    scenarios = []
    for change in changes:
        try:
            scenarios.append(changed(base, change))
        except PolicyError as error:
            raise StudyError(error.path, f"{error.problem} (at {_told(change)})") from None
    columns = {name: _labels(name, [change[name] for change in changes], scenarios) for name in names}
    return [
        Point({name: columns[name][place] for name in names}, scenario, point_key(scenario, seed))
        for place, scenario in enumerate(scenarios)
    ]


def full_name(name: str) -> str:
    """A name as `Scenario.replace` knows it."""
    name = name.replace("__", ".")
    first = (PART.findall(name) or [""])[0]
    if first in Scenario.__struct_fields__:
        return name
    section = next((each for each, cls in SECTIONS.items() if first in cls.__struct_fields__), None)
    return name if section is None else f"{section}.{name}"


def at(scenario: Scenario, name: str) -> Any:
    """What a scenario has by a name; None if it has nothing there."""
    value: Any = scenario
    for part in PART.findall(full_name(name)):
        if part.startswith("["):
            value = value[int(part[1:-1])] if int(part[1:-1]) < len(value) else None
        else:
            value = getattr(value, part, None)
    return value


def _value(base: Scenario, name: str, value: Any) -> Any:
    now = at(base, name)
    if isinstance(now, int) and not isinstance(now, bool) and isinstance(value, float):
        if not math.isfinite(value):
            raise StudyError(name, f"must be a whole number; not {value}")
        return round(value)
    if name.endswith("timeout") and isinstance(value, (int, float)) and not isinstance(value, bool):
        return FixedTimeout(float(value))
    return value


def _lists(axes: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    lists = {}
    for name, values in axes.items():
        if isinstance(values, (str, Mapping, Policy)) or not isinstance(values, Iterable):
            raise StudyError(name, f"must be a list of values; not {values!r}")
        lists[name] = [value.item() if isinstance(value, np.generic) else value for value in values]
        if not lists[name]:
            raise StudyError(name, "must have a value")
    return lists


def _labels(name: str, values: list[Any], scenarios: list[Scenario]) -> list[Any]:
    """Short names for values on an axis: numbers and words are their own; policies, their class and what differs."""
    things = [
        value if value is None or isinstance(value, (bool, int, float, str)) else at(scenario, name)
        for value, scenario in zip(values, scenarios, strict=True)
    ]
    return [_label(thing, things) for thing in things]


def _label(thing: Any, others: list[Any]) -> Any:
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    if not isinstance(thing, Policy):
        return repr(thing)
    alike = [other for other in others if type(other) is type(thing)]
    told = (name for name in thing.__struct_fields__ if any(getattr(o, name) != getattr(thing, name) for o in alike))
    fields = ", ".join(f"{name}={getattr(thing, name)!r}" for name in told)
    return f"{type(thing).__name__}({fields})" if fields else type(thing).__name__


def _told(change: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in change.items())
