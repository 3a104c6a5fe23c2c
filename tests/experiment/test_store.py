"""Kept replications: nothing is computed twice, and nothing is lost when a process is killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

import synapse
from synapse.experiment import Results, Study, StudyError
from synapse.experiment.engine import engine
from synapse.experiment.store import Store
from synapse.policies import FAMILIES, Policy, register
from synapse.simulation import Scenario
from tests.support.inline import Inline

BASE = Scenario(duration=5, warmup=1, agents={"count": 20, "think": {"kind": "exponential", "mean": 1}})
KILLED = """
import sys
from synapse.experiment import Study, store
from synapse.simulation import Scenario
from tests.experiment.test_store import BASE
from tests.support.inline import Inline

store.EVERY = 0.0
Study(BASE, reps=10_000, folder=sys.argv[1]).run(Inline(), progress=False)
"""


def reps_of(pool: Inline) -> list[int]:
    return sorted(rep for task in pool.tasks for rep in task.reps)


def test_another_study_of_the_same_folder_finds_what_is_there(tmp_path: Path) -> None:
    first = Study(BASE, reps=2, folder=tmp_path).run(Inline(), progress=False)
    pool = Inline()
    again = Study(BASE, reps=3, folder=tmp_path).run(pool, progress=False)
    assert reps_of(pool) == [2]
    assert again.frame.iloc[:2].equals(first.frame)


def test_another_seed_or_scenario_is_computed(tmp_path: Path) -> None:
    Study(BASE, reps=1, folder=tmp_path).run(Inline(), progress=False)
    for study in (Study(BASE, reps=1, seed=2, folder=tmp_path), Study(BASE, reps=1, slots=[3], folder=tmp_path)):
        pool = Inline()
        study.run(pool, progress=False)
        assert reps_of(pool) == [0]


def test_another_engine_computes_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Study(BASE, reps=1, folder=tmp_path).run(Inline(), progress=False)
    monkeypatch.setattr("synapse.experiment.engine.engine", lambda: "9.9.9")
    assert Study(BASE, reps=1, folder=tmp_path).results().rows == []


@pytest.mark.parametrize("file", ["simulation/world.py", "experiment/measure.py"])
def test_an_edit_makes_another_engine(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(synapse.__file__).parent
    shutil.copytree(root, tmp_path / "synapse")
    monkeypatch.setattr(synapse, "__file__", str(tmp_path / "synapse" / "__init__.py"))
    before = engine.__wrapped__()
    assert before == engine()
    with (tmp_path / "synapse" / file).open("a") as code:
        code.write("# another\n")
    assert engine.__wrapped__() != before


def test_a_policy_that_is_not_used_changes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unused(Policy, frozen=True, tag="unused"):
        family: ClassVar = "queue"

    key = Study(BASE).points[0].key
    monkeypatch.setitem(FAMILIES, "queue", dict(FAMILIES["queue"]))
    register(Unused)
    assert Study(BASE).points[0].key == key
    assert Study(BASE, queue=["unused"]).points[0].key != key


def test_what_a_killed_process_has_finished_is_not_computed_again(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    try:
        while len(list((tmp_path / "parts").glob("*.parquet"))) < 3:
            assert process.poll() is None
            time.sleep(0.01)  # a folder tells of no change
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = {rep for _, rep in Store(tmp_path).rows}
    wanted, pool = max(kept) + 2, Inline()
    results = Study(BASE, reps=wanted, folder=tmp_path).run(pool, progress=False)
    assert reps_of(pool) == sorted(set(range(wanted)) - kept)
    assert list(results.frame["rep"]) == list(range(wanted))
    numbers = results.frame.drop(columns="wall")
    assert numbers.equals(Study(BASE, reps=wanted).run(Inline(), progress=False).frame.drop(columns="wall"))


def test_what_was_being_written_when_it_was_killed_is_not_read(tmp_path: Path) -> None:
    Study(BASE, reps=1, folder=tmp_path).run(Inline(), progress=False)
    (tmp_path / "parts" / ".half.tmp").write_bytes(b"PAR1")
    assert len(Store(tmp_path).rows) == 1


def test_an_interrupt_writes_what_has_come(tmp_path: Path) -> None:
    pool = Inline(stop_after=2)
    pool._max_workers = 1  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        Study(BASE, reps=1, slots=[1, 2, 3], folder=tmp_path).run(pool, progress=False)
    assert len(Store(tmp_path).rows) == 2


def test_two_that_have_computed_the_same_leave_it_once(tmp_path: Path) -> None:
    one, two = (Study(BASE, reps=2, folder=tmp_path) for _ in range(2))
    one.run(Inline(), progress=False)
    two.run(Inline(), progress=False)
    assert len(list((tmp_path / "parts").glob("*.parquet"))) == 2
    assert list(Results.load(tmp_path).frame["rep"]) == [0, 1]


def test_results_are_read_from_a_folder(tmp_path: Path) -> None:
    made = Study(BASE, reps=2, queue=["fifo", "lifo"], folder=tmp_path).run(Inline(), progress=False)
    read = Results.load(tmp_path)
    assert read.frame.equals(made.frame)
    assert [point.scenario for point in read.points] == [point.scenario for point in made.points]


def test_the_parts_of_another_version_are_named(tmp_path: Path) -> None:
    Study(BASE, reps=1, folder=tmp_path).run(Inline(), progress=False)
    (part,) = (tmp_path / "parts").iterdir()
    pd.read_parquet(part).drop(columns="asked").to_parquet(part)
    with pytest.raises(StudyError, match="was made by another version of Synapse: its parts have no 'asked'"):
        Results.load(tmp_path)


def test_a_file_that_is_no_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is no study's folder: it has no design.json"):
        Results.load(tmp_path)
    (tmp_path / "design.json").write_text("{}")
    with pytest.raises(StudyError, match=r"design.json: is no design: 'points'"):
        Results.load(tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.parquet").write_bytes(b"nothing")
    with pytest.raises(StudyError, match=r"a.parquet: is no part of a study"):
        Store(tmp_path)
