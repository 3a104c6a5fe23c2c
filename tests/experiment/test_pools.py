"""Where tasks run: a real Dask cluster on the loopback, one of whose workers is killed in the middle; and others."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse.experiment import Study, StudyError
from synapse.experiment.store import Store
from synapse.simulation import Scenario

distributed = pytest.importorskip("distributed")

REPS = 30
STUDY = f"""
import sys
from synapse.experiment import Study, store
from synapse.simulation import Scenario

store.EVERY = 0.0
base = Scenario(duration=120, warmup=1, agents={{"count": 100, "think": {{"kind": "exponential", "mean": 1}}}})
frame = Study(base, reps={REPS}, folder=sys.argv[2], slots=[4, 8]).run(sys.argv[1], progress=False).frame
print(sorted(zip(frame["slots"], frame["rep"])) == [(s, r) for s in (4, 8) for r in range({REPS})])
"""
SMALL = Scenario(duration=5, warmup=1, agents={"count": 10, "think": {"kind": "exponential", "mean": 1}})
IN_PROCESS = """
import json
from distributed import Client, LocalCluster
from synapse.experiment import Study
from synapse.experiment.pools import pool_of, workers_of
from tests.experiment.test_pools import SMALL

def goodput(executor):
    return list(Study(SMALL, reps=3).run(executor, progress=False).frame["goodput"])

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=3, processes=False, dashboard_address=None) as cluster:
        with Client(cluster, set_as_default=False) as client:
            with pool_of(client) as pool:
                told = {"workers": workers_of(pool)}
            told |= {"client": goodput(client), "cluster": goodput(cluster), "open": client.status}
    print(json.dumps(told))
"""
NOBODY = """
from synapse.experiment import pools

pools.PATIENCE = 0.1
with pools.pool_of("tcp://127.0.0.1:1"):
    pass
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


def done_by(client: distributed.Client) -> int:
    """By how many workers tasks have been finished."""
    finished = client.run(lambda dask_worker: any("memory" in event for event in dask_worker.state.log))
    return sum(finished.values())


def test_a_killed_worker_loses_nothing_and_nothing_comes_twice(scheduler: str, tmp_path: Path) -> None:
    workers = [dask("worker", scheduler, "--nthreads", "1", "--no-nanny") for _ in range(2)]
    try:
        with distributed.Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            study = subprocess.Popen(
                [sys.executable, "-c", STUDY, scheduler, str(tmp_path)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            workers.append(study)
            while study.poll() is None and done_by(client) < 2:
                time.sleep(0.01)  # a worker tells of no change
            while study.poll() is None and not list(tmp_path.glob("parts/*.parquet")):
                time.sleep(0.01)  # nor does a folder
            workers[0].send_signal(signal.SIGKILL)
            kept = len(Store(tmp_path).rows)
        out, problems = study.communicate(timeout=300)
    finally:
        for process in workers:
            process.kill()
            process.communicate()
    assert 0 < kept < 2 * REPS
    assert out.strip() == "True", problems


def test_a_client_and_a_cluster_count_their_workers_and_stay_open() -> None:
    done = subprocess.run([sys.executable, "-c", IN_PROCESS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    here = [SMALL.run(1, replication=rep).goodput for rep in range(3)]
    assert json.loads(done.stdout) == {"workers": 6, "client": here, "cluster": here, "open": "running"}


@pytest.mark.parametrize("address", ["foo", "tcp://", "foo://127.0.0.1:8786", "tcp://127.0.0.1:http"])
def test_what_is_no_address_is_refused_at_once(address: str) -> None:
    with pytest.raises(StudyError, match=f"executor: must be an address as tcp://host:8786; not '{address}'"):
        Study(SMALL).run(address, progress=False)


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    """In a process of its own: a client that Dask cannot connect leaves its thread behind."""
    done = subprocess.run([sys.executable, "-c", NOBODY], capture_output=True, text=True, timeout=60)
    assert "StudyError: executor: no Dask scheduler answers at 'tcp://127.0.0.1:1': " in done.stderr
