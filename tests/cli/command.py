"""The ``synapse`` command as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SYNAPSE = Path(sys.executable).with_name("synapse")
PATIENCE = 120.0  # s


class Outcome(NamedTuple):
    """What is left of a process: its exit code, what it printed, and the temporary files that it forgot."""

    code: int
    output: str
    forgotten: list[str]


class Command:
    """A running ``synapse``, whose output and errors come in one stream.

    Parameters
    ----------
    arguments
        What follows ``synapse``.
    home
        Its working directory; its temporary files go there, too.
    """

    def __init__(self, *arguments: str, home: Path) -> None:
        self._temporary = home / "tmp"
        self._temporary.mkdir()
        environment = {**os.environ, "TMPDIR": str(self._temporary), "COLUMNS": "100"}
        self.process = subprocess.Popen(
            [SYNAPSE, *arguments], cwd=home, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        )  # fmt: skip
        self._read: list[str] = []

    def read_until(self, words: str) -> None:
        """Read its output, to the line that has these words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._read.append(line)
            if words in line:
                return
        raise AssertionError(f"it never said {words!r}:\n{''.join(self._read)}")

    def wait(self) -> Outcome:
        """Wait for its end."""
        rest, _ = self.process.communicate(timeout=PATIENCE)
        forgotten = sorted(path.name for path in self._temporary.iterdir())
        return Outcome(self.process.returncode, "".join(self._read) + rest, forgotten)


def synapse(*arguments: str, home: Path) -> Outcome:
    """Run the command to its end."""
    return Command(*arguments, home=home).wait()
