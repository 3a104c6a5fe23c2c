"""Designs: giving a list where a value was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from synapse.experiment import Study, StudyError, grid, sobol, zipped
from synapse.experiment.design import changed, crossed, points_of
from synapse.policies import CoDel, Fifo, FixedTimeout
from synapse.simulation import Scenario

BASE = Scenario(duration=10, warmup=1, agents={"count": 20})


def values(*designs: Any, **axes: Any) -> list[dict[str, Any]]:
    return [point.values for point in points_of(BASE, crossed(*designs, grid(**axes)), 1)]


def test_every_value_of_an_axis_meets_every_value_of_the_others() -> None:
    assert values(node__slots=[1, 2], load=[0.5, 0.9]) == [
        {"node__slots": 1, "load": 0.5}, {"node__slots": 1, "load": 0.9},
        {"node__slots": 2, "load": 0.5}, {"node__slots": 2, "load": 0.9},
    ]  # fmt: skip


def test_zipped_values_go_together_and_are_crossed_with_axes() -> None:
    design = zipped({"agents.count": [10, 20], "node.slots": [1, 2]})
    assert [tuple(each.values()) for each in values(design, queue=["fifo", "lifo"])] == [
        (10, 1, "fifo"), (10, 1, "lifo"), (20, 2, "fifo"), (20, 2, "lifo"),
    ]  # fmt: skip


def test_sobol_points_fill_a_box_evenly_and_are_the_same_again() -> None:
    ranges = {"load": (0.2, 0.6), "agents.timeout.seconds": (1.0, 5.0)}
    made = sobol(8, ranges, seed=3)
    assert made == sobol(8, ranges, seed=3)
    assert sum(each["load"] < 0.4 for each in made) == 4
    assert all(1.0 <= each["agents.timeout.seconds"] <= 5.0 for each in made)


def test_without_axes_there_is_the_base_alone() -> None:
    assert values() == [{}]


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("agents.count", 7, {"agents.count": 7}),
        ("slots", 3, {"node.slots": 3}),
        ("timeout", 0.5, {"agents.timeout": FixedTimeout(0.5)}),
        ("node__timeout", 2, {"node.timeout": FixedTimeout(2)}),
        ("agents.count", 7.6, {"agents.count": 8}),
        ("duration", 30, {"duration": 30}),
    ],
)
def test_names_are_short_where_that_is_clear(name: str, value: Any, same: dict[str, Any]) -> None:
    assert changed(BASE, {name: value}) == BASE.replace(same)


def test_numpys_numbers_are_numbers() -> None:
    study = Study(BASE, reps=np.int64(3), agents__count=np.arange(5, 7), timeout=np.arange(1, 3))
    assert [tuple(point.values.values()) for point in study.points] == [(5, 1), (5, 2), (6, 1), (6, 2)]
    assert study.reps == 3


def test_policies_are_called_by_their_class_where_that_tells_them_apart() -> None:
    assert [each["queue"] for each in values(queue=[Fifo(240), CoDel()])] == ["Fifo", "CoDel"]
    labels = [each["queue"] for each in values(queue=[Fifo(10), Fifo(20), CoDel()])]
    assert labels[2] == "CoDel"
    assert labels[:2] == ["Fifo(bound=10)", "Fifo(bound=20)"]


def test_a_key_is_of_the_content_and_of_the_seed() -> None:
    key = points_of(BASE, grid(queue=[Fifo(240)]), 1)[0].key
    assert key == points_of(BASE, grid(node__queue=[{"kind": "fifo", "bound": 240}]), 1)[0].key
    assert key != points_of(BASE, grid(queue=[Fifo(241)]), 1)[0].key
    assert key != points_of(BASE, grid(queue=[Fifo(240)]), 2)[0].key


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: values(queue="fifo"), "queue: must be a list of values; not 'fifo'"),
        (lambda: values(queue=Fifo(3)), "queue: must be a list of values"),
        (lambda: values(queue=[]), "queue: must have a value"),
        (lambda: values(agents__cuont=[3]), r"agents.cuont: is not known. Did .* \(at agents__cuont=3\)"),
        (lambda: values(slots=[0]), "node.slots: must be a whole number >= 1"),
        (lambda: values(load=[-1]), "load: must be a number > 0; not -1"),
        (lambda: zipped({"a": [1], "b": [1, 2]}), "a: must have 2 values, as many as the others; not 1"),
        (lambda: values([{"load": 1}], load=[2]), "load: is in two designs"),
        (lambda: sobol(6, {"load": (0, 1)}), "points: must be a power of two; not 6"),
        (lambda: sobol(8, {"load": (2, 1)}), r"load: must be \(from, to\), with from < to"),
        (lambda: sobol(4.0, {"load": (0, 1)}), "points: must be a power of two; not 4.0"),  # type: ignore[arg-type]
        (lambda: sobol(8, {"load": 3}), r"load: must be \(from, to\)"),  # type: ignore[dict-item]
        (lambda: sobol(8, {"load": ("a", "b")}), r"load: must be \(from, to\)"),  # type: ignore[dict-item]
        (lambda: points_of(BASE, [{"load": 0.5}, {"node.slots": 2}], 1), "load: is varied at some points and not"),
        (lambda: values(slots=[float("nan")]), "slots: must be a whole number; not nan"),
        (lambda: sobol(8, {}), "ranges: must name an axis"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(make: Any, problem: str) -> None:
    with pytest.raises(StudyError, match=problem):
        make()
