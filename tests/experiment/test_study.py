"""Running a study: which tasks there are, and what comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from synapse.experiment import Study, StudyError
from synapse.experiment.blocks import SHORTEST, Block, work
from synapse.experiment.engine import engine
from synapse.experiment.shipping import Parcel
from synapse.simulation import Scenario
from tests.support.inline import Inline

BASE = Scenario(duration=5, warmup=1, agents={"count": 20, "think": {"kind": "exponential", "mean": 1}})


def test_each_point_has_its_replications() -> None:
    frame = Study(BASE, reps=3, node__slots=[1, 4]).run(Inline(), progress=False).frame
    assert list(zip(frame["node__slots"], frame["rep"], strict=True)) == [(s, r) for s in (1, 4) for r in range(3)]
    assert set(frame["seed"]) == {1}
    run = BASE.replace({"node.slots": 4}).run(1, replication=2)
    assert frame["latency_p99"].iloc[-1] == run.metrics["latency_p99"]


def test_replications_have_common_random_numbers_at_all_points() -> None:
    frame = Study(BASE, reps=2, node__queue=["fifo", {"kind": "fifo", "bound": 7}]).run(Inline(), False).frame
    light = frame.pivot_table(index="rep", columns="node__queue", values="offered")
    assert (light.iloc[:, 0] == light.iloc[:, 1]).all()  # nobody waits so long that the bound counts
    assert light.iloc[0, 0] != light.iloc[1, 0]


def test_the_same_study_gives_the_same_numbers() -> None:
    one, two = (Study(BASE, reps=2, seed=5).run(Inline(), False).frame for _ in range(2))
    pd.testing.assert_frame_equal(one.drop(columns="wall"), two.drop(columns="wall"))


def test_replications_are_bundled_into_tasks_worth_the_handing_out() -> None:
    pool = Inline()
    pool._max_workers = 1  # type: ignore[attr-defined]
    study = Study(BASE.replace(duration=1.5), reps=60)
    study.run(pool, progress=False)
    probing, *bundles = pool.tasks
    assert len(probing.reps) == 1
    assert sorted(rep for task in pool.tasks for rep in task.reps) == list(range(60))
    mean = study.results().frame["wall"].mean()
    assert len(pool.tasks) <= 3 + 60 * mean / SHORTEST * 3
    assert max(len(task.reps) for task in bundles) > 1


def test_running_again_computes_nothing_and_more_replications_only_the_new() -> None:
    study, pool = Study(BASE, reps=2), Inline()
    study.run(Inline(), progress=False)
    study.run(pool, progress=False)
    assert pool.tasks == []
    study.reps = 3
    study.run(pool, progress=False)
    assert [task.reps for task in pool.tasks] == [(2,)]


def test_what_had_come_before_an_interrupt_can_be_used() -> None:
    study = Study(BASE, reps=1, node__slots=[1, 2, 3])
    pool = Inline(stop_after=2)
    pool._max_workers = 1  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        study.run(pool, progress=False)
    assert list(study.results().frame["node__slots"]) == [1, 2]


def test_an_error_says_at_which_point(tmp_path: Path) -> None:
    (tmp_path / "times.txt").write_text("1\n2\n")
    arrivals = {"kind": "trace", "file": str(tmp_path / "times.txt")}
    study = Study(BASE.replace({"agents.arrivals": arrivals}), reps=1, node__slots=[2])
    (tmp_path / "times.txt").write_text("none\n")
    with pytest.raises(ValueError, match="cannot be read") as caught:
        study.run(Inline(), progress=False)
    assert caught.value.__notes__ == ["at {'node__slots': 2}"]


def test_a_worker_with_another_version_refuses() -> None:
    block = Block("key", Parcel(BASE), 1, (0,), engine())
    with pytest.raises(StudyError, match=r"executor: its workers run synapse .*; must be 9\.9\.9, as here"):
        work(msgspec.structs.replace(block, engine="9.9.9"))


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ({"reps": 0}, "reps: must be a whole number >= 1; not 0"),
        ({"seed": -1}, "seed: must be a whole number >= 0; not -1"),
        ({"base": {}}, "base: must be a Scenario"),
    ],
)
def test_what_is_wrong_is_named(named: dict[str, object], problem: str) -> None:
    with pytest.raises(StudyError, match=problem):
        Study(**{"base": BASE, **named})  # type: ignore[arg-type]


def test_an_executor_is_one_of_those_known() -> None:
    with pytest.raises(StudyError, match="executor: must be an Executor, a Dask client or cluster, or an address"):
        Study(BASE).run(executor=3, progress=False)


@pytest.mark.parametrize("python", [["-c"], ["-m", "IPython", "-c"]], ids=["script", "IPython"])
def test_a_policy_defined_in_a_notebook_runs_in_other_processes_as_it_does_here(
    python: list[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, *python, NOTEBOOK],
        cwd=tmp_path,
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout)
    assert told["here"] == told["there"] == told["by lab"]
    assert told["edited here"] == told["edited there"]
    assert max(told["edited here"]) < min(told["here"])
    assert 0 < max(told["here"]) < 0.6 * min(told["unlimited"])


NOTEBOOK = textwrap.dedent('''
    import json
    from typing import ClassVar

    import loky

    from synapse.experiment import Lab, Study
    from synapse.policies import ADMITTED, Policy, Rejected, register
    from synapse.simulation import Scenario

    def due(count, share):
        return int(count * share) > int((count - 1) * share)

    CELL = """
    class Counting:
        def __init__(self, policy): self.policy, self.count = policy, 0
        def admit(self, now, cost=1):
            self.count += 1
            return ADMITTED if due(self.count, self.policy.kept()) else Rejected(0.05, "some")
        def wait(self, now, cost=1): return 0.0
        def spend(self, now, cost=1): pass
        def idle(self, now): return True

    class Part(Policy, frozen=True, tag="part"):
        share: float = 1.0
        def __post_init__(self):
            super().__post_init__()
            if self.share > 1: raise ValueError
        def kept(self): return self.share

    @register
    class Some(Part, frozen=True, tag="some"):
        family: ClassVar = "rate-limit"
        per: str = "global"
        def start(self, now, before=None): return Counting(self)
        def half(self): return Some(self.share / 2)
        def kept(self): return super().kept()
    """

    def halved(policy, seed, rep):
        return base.replace({"node.rate_limit": policy.half()}).run(seed, replication=rep).goodput

    def here(): return [base.run(1, replication=rep).goodput for rep in range(3)]
    def there(): return list(Study(base, reps=3, folder="study").run(progress=False).frame["goodput"])

    exec(CELL)
    base = Scenario(duration=5, warmup=1, agents={"count": 20, "think": {"kind": "exponential", "mean": 1}})
    told = {"unlimited": here()}
    base = base.replace({"node.rate_limit": Some(share=0.25)})
    told |= {"here": here(), "there": there(), "by lab": Lab().repeat(halved, [Some(share=0.5)], 3)[0]}
    exec(CELL.replace("return super().kept()", "return super().kept() / 2"))
    base = base.replace()
    told |= {"edited here": here(), "edited there": there()}
    loky.get_reusable_executor().shutdown(wait=True)
    print(json.dumps(told))
''')
