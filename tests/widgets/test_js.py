"""The pages' own logic, in Node: a world that is fed with telemetry, its bins, its filter and its playback."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import foreign

HERE = Path(__file__).parent


def test_the_worlds_own_tests_pass() -> None:
    ended = subprocess.run([foreign._node(), "--test", str(HERE / "world.test.mjs")], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
