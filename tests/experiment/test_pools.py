"""Where tasks run: a real Dask cluster on the loopback, one of whose workers is killed in the middle."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed")

STUDY = """
import sys
from synapse.experiment import Study
from synapse.simulation import Scenario

base = Scenario(duration=30, warmup=1, agents={"count": 100, "think": {"kind": "exponential", "mean": 1}})
frame = Study(base, reps=6, folder=sys.argv[2], slots=[4, 8]).run(sys.argv[1], progress=False).frame
print(sorted(zip(frame["slots"], frame["rep"])) == [(s, r) for s in (4, 8) for r in range(6)])
"""


def dask(role: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{role}", *arguments, "--no-dashboard"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def scheduler() -> Iterator[str]:
    process = dask("scheduler", "--host", "127.0.0.1", "--port", "0")
    assert process.stderr is not None
    try:
        yield next(found[0] for line in process.stderr if (found := re.search(r"tcp://127\.0\.0\.1:\d+", line)))
    finally:
        process.kill()
        process.communicate()


def test_a_killed_worker_loses_nothing_and_nothing_comes_twice(scheduler: str, tmp_path: Path) -> None:
    workers = [dask("worker", scheduler, "--nthreads", "1", "--no-nanny") for _ in range(2)]
    study = subprocess.Popen(
        [sys.executable, "-c", STUDY, scheduler, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while study.poll() is None and not list(tmp_path.glob("parts/*.parquet")):
            time.sleep(0.01)  # a folder tells of no change
        workers[0].send_signal(signal.SIGKILL)
        out, problems = study.communicate(timeout=300)
    finally:
        for process in (study, *workers):
            process.kill()
            process.communicate()
    assert out.strip() == "True", problems
