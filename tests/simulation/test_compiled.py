"""What was compiled does what its source does, to the last bit.

The package is compiled as users compile it, and a Python that runs it simulates what hypothesis draws, beside this one,
which runs the source. `scripts/nightly` runs the tests of the core with it, too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import example, given, settings

from synapse.simulation import Scenario
from tests.simulation.strategies import scenarios

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

BUSY = Scenario(  # so many calls lapse that the schedule is swept
    duration=20,
    agents={
        "think": {"kind": "exponential", "mean": 1},
        "timeout": {"kind": "adaptive"},
        "patience": {"kind": "exponential", "mean": 1},
    },
    node={"slots": 3},
)

SIMULATE = """
import hashlib, json, sys
from synapse.cortex import job, scheduler
from synapse.simulation import Scenario, env
assert all(not module.__file__.endswith(".py") for module in (job, scheduler)) and env.COMPILED
for line in sys.stdin:
    run = Scenario.from_toml(json.loads(line)).run(seed=5, queries=True)
    print(run.digest, hashlib.blake2b(repr(run._rows).encode()).hexdigest(), flush=True)
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Scenario], str]]:
    """Simulates a scenario by the compiled package. Returns digests of the run, and of all its tries."""
    folder = tmp_path_factory.mktemp("compiled")
    quickly = {**os.environ, "PYTHON": sys.executable, "CFLAGS": "-O0"}
    subprocess.run([ROOT / "scripts" / "compile", folder], check=True, env=quickly)
    found = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": str(folder)}
    command = [sys.executable, "-W", "error", "-c", SIMULATE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=found) as python:
        assert python.stdin is not None
        assert python.stdout is not None

        def digest(scenario: Scenario) -> str:
            print(json.dumps(scenario.to_toml()), file=python.stdin, flush=True)
            return python.stdout.readline().strip()

        yield digest
        python.stdin.close()
        assert python.wait() == 0


@settings(max_examples=100, deadline=None)
@example(scenario=BUSY)
@given(scenario=scenarios())
def test_the_same_bits_come_out(compiled: Callable[[Scenario], str], scenario: Scenario) -> None:
    run = scenario.run(seed=5, queries=True)
    assert compiled(scenario) == f"{run.digest} {blake2b(repr(run._rows).encode()).hexdigest()}"
