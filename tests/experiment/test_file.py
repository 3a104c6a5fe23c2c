"""A study in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse.experiment import Study
from synapse.policies import PolicyError

FILE = """
duration = 5
warmup = 1
[agents]
count = 20
[sweep]
reps = 4
seed = 9
until = "relative half-width < 5 %"
[sweep.grid]
"node.queue" = ["fifo", {kind = "codel", bound = 9}]
[sweep.zip]
"node.slots" = [2, 4]
"cluster.nodes" = [4, 2]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_grid_and_zip_are_crossed(tmp_path: Path) -> None:
    study = Study.load(written(tmp_path, FILE))
    assert (study.reps, study.seed) == (4, 9)
    assert study.until is not None
    assert study.until.bound == 0.05
    places = [tuple(point.values.values()) for point in study.points]
    assert places == [(queue, *pair) for queue in ("fifo", "CoDel") for pair in ((2, 4), (4, 2))]
    assert {point.scenario.agents.count for point in study.points} == {20}


def test_sobol_points_lie_in_their_box(tmp_path: Path) -> None:
    text = FILE + "[sweep.sobol]\npoints = 4\nranges = {load = [0.5, 0.9]}\n"
    loads = [point.values["load"] for point in Study.load(written(tmp_path, text)).points]
    assert len(loads) == 16
    assert all(0.5 <= load <= 0.9 for load in loads)


def test_what_the_caller_says_comes_first(tmp_path: Path) -> None:
    study = Study.load(
        written(tmp_path, FILE),
        {"agents.count": 30},
        reps=2,
        seed=0,
        until="half-width < 3",
        **{"node.queue": ["lifo"]},
    )
    assert (study.reps, study.seed, len(study.points)) == (2, 0, 2)
    assert study.until is not None
    assert not study.until.relative
    assert {point.scenario.agents.count for point in study.points} == {30}


def test_a_scenario_alone_is_a_study_of_one_point(tmp_path: Path) -> None:
    study = Study.load(written(tmp_path, "duration = 20"))
    assert (len(study.points), study.reps, study.seed, study.until) == (1, 30, 1, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("duration = ", "study.toml: .*is no TOML"),
        ("duration = -1", "study.toml: duration: must be"),
        ("[sweep]\nrepz = 3", "sweep: .*repz.*study.toml"),
        ("[sweep]\nreps = 0", "sweep: .*>= 1.*reps"),
        ("[sweep.grid]\n'node.slotz' = [1]", "node.slotz: is not known"),
        ("[sweep.grid]\n'node.slots' = 1", "sweep: .*array.*node.slots|sweep: .*array"),
        ("[sweep.zip]\n'node.slots' = [1]\nload = [1, 2]", "node.slots: must have 2 values"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        Study.load(written(tmp_path, text))
