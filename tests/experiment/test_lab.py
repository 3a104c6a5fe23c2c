"""The lab: sizes, and what runs in it side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synapse.experiment import Lab, StudyError
from synapse.simulation import Scenario
from tests.support.inline import Inline

SMALL = Scenario(duration=5, warmup=1, agents={"count": 10, "think": {"kind": "exponential", "mean": 1}})


def told(point: str, seed: int, rep: int) -> tuple[str, int, int]:
    return point, seed, rep


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf"), True, "1"])
def test_a_size_that_makes_no_sense_is_refused(size: Any) -> None:
    with pytest.raises(StudyError, match="size: must be a number > 0; not"):
        Lab(size)


@pytest.mark.parametrize(("size", "made"), [(1, 20), (0.5, 10), (0.1, 4), (3, 60)])
def test_numbers_are_scaled_but_never_below_the_least(size: float, made: int) -> None:
    assert Lab(size).scaled(20, least=4) == made


def test_a_study_has_the_replications_that_the_size_asks_for_and_the_labs_seed(tmp_path: Path) -> None:
    lab = Lab(0.5, seed=7, folder=tmp_path, executor=Inline())
    frame = lab.study(SMALL, reps=8, slots=[1, 2]).frame
    assert list(frame.groupby("slots")["rep"].count()) == [4, 4]
    assert set(frame["seed"]) == {7}
    assert frame["goodput"].iloc[0] == SMALL.replace({"node.slots": 1}).run(7, replication=0).goodput
    again = Inline()
    Lab(0.5, seed=7, folder=tmp_path, executor=again).study(SMALL, reps=8, slots=[1, 2])
    assert again.tasks == []


def test_each_point_is_repeated_with_the_seed_and_a_number_of_its_own() -> None:
    made = Lab(0.5, seed=3, executor=Inline()).repeat(told, ["a", "b"], 8, least=2)
    assert made == [[(point, 3, rep) for rep in range(4)] for point in ("a", "b")]


def test_no_points_make_nothing() -> None:
    assert Lab(executor=Inline()).repeat(told, [], 8) == []


def test_items_keep_their_order() -> None:
    assert Lab(executor=Inline()).each(str, [3, 1, 2]) == ["3", "1", "2"]


def test_one_that_fails_is_heard_of() -> None:
    with pytest.raises(ValueError, match="'x'"):
        Lab(executor=Inline()).each(int, ["1", "x", "2"])


def test_it_says_what_it_is() -> None:
    assert repr(Lab(0.25, seed=4)) == "<Lab at size 0.25, seed 4>"
