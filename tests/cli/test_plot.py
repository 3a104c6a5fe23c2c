"""``synapse plot``: a study's folder in, a picture out."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from synapse.cli import main
from synapse.experiment import Study
from synapse.simulation import Scenario
from tests.support.inline import Inline


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = Scenario(duration=5, warmup=1, agents={"count": 10, "think": {"kind": "exponential", "mean": 1}})
    Study(base, reps=2, slots=[1, 2], queue=["fifo", "lifo"], folder=tmp_path).run(Inline(), progress=False)
    return tmp_path


def plot(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["plot", *map(str, arguments)])


def test_a_study_is_drawn(folder: Path) -> None:
    made = plot(folder, "-x", "slots", "-y", "p99", "--hue", "queue", "-o", folder / "f.svg")
    assert made.exit_code == 0, made.output
    assert "<svg" in (folder / "f.svg").read_text()


def test_what_is_wrong_is_named(folder: Path) -> None:
    made = plot(folder, "-x", "slots", "-o", folder / "f.png")
    assert made.exit_code == 1
    assert "queue: has several values" in made.output
    (folder / "design.json").unlink()
    assert "is no study's folder: it has no design.json" in plot(folder, "-x", "slots").output
