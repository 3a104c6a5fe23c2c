"""A real kill -9: what was on disk is read back, each row once and in order, whatever the recorder was doing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synapse.telemetry import Recorder, read_trace

PROGRAM = Path(__file__).with_name("killed_program.py")


@contextmanager
def program(how: str, trace: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "error", str(PROGRAM), how, str(trace)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def kill(process: subprocess.Popen[str]) -> int:
    """Kill it. Returns how many rows it said last that it had on disk."""
    process.kill()
    rest, _ = process.communicate()
    said = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    return int(said[-1]) if said else 0


def test_what_was_written_is_there_after_a_kill(tmp_path: Path) -> None:
    """Of what came after, at most the last interval is missing, and there is no hole in it."""
    with program("quiet", tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "100\n"
        kill(process)
    found = [int(ref) for ref in read_trace(tmp_path)["ref"]]
    assert 100 <= len(found) <= 150
    assert found == list(range(len(found)))


@pytest.mark.parametrize("moment", [1, 20, 61])
def test_a_kill_at_any_moment_leaves_each_row_once(tmp_path: Path, moment: int) -> None:
    """Also in the middle of writing a file or of joining many."""
    with program("busy", tmp_path) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(moment)][-1]
        said = max(said, kill(process))
    found = [int(ref) for ref in read_trace(tmp_path)["ref"]]
    assert len(found) >= said >= moment
    assert found == list(range(len(found)))
    with Recorder(tmp_path):  # the next run is not disturbed by what is left
        assert len(read_trace(tmp_path)) == len(found)


def test_the_trace_of_a_running_program_can_be_read(tmp_path: Path) -> None:
    """Though files are joined and deleted under the reader's hands."""
    with program("busy", tmp_path) as process:
        assert process.stdout is not None
        for _ in range(30):
            said = int(process.stdout.readline())
            found = [int(ref) for ref in read_trace(tmp_path)["ref"]]
            assert len(found) >= said
            assert found == list(range(len(found)))
