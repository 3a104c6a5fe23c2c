"""``synapse``: what it says of itself, and how little it needs for that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from synapse import __version__
from synapse.cli import main
from tests.cli.command import synapse


def test_the_installed_command_tells_its_version(tmp_path: Path) -> None:
    assert synapse("--version", home=tmp_path) == (0, f"synapse, version {__version__}\n", [])


def test_help_names_the_commands_and_the_one_for_a_server() -> None:
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    assert "demo      See it work" in shown.output
    assert "simulate  Simulate a cluster" in shown.output
    assert "jupyter synapse --help" in shown.output


def test_help_of_the_demo_explains_every_option_and_its_default() -> None:
    shown = CliRunner().invoke(main, ["demo", "--help"], terminal_width=100)
    assert shown.exit_code == 0
    text = " ".join(shown.output.split())
    for words in ("--agents", "default: 20", "--queries", "default: 200", "--no-kernel", "demo-output", "exit code"):
        assert words in text


@pytest.mark.parametrize("arguments", [["--agents", "0"], ["--queries", "3"], ["--agents", "many"], ["--nonsense"]])
def test_an_option_that_makes_no_sense_is_a_usage_error(arguments: list[str]) -> None:
    shown = CliRunner().invoke(main, ["demo", *arguments])
    assert shown.exit_code == 2
    assert arguments[0] in shown.output


def test_help_imports_nothing_heavy() -> None:
    heavy = {"jupyter_server", "tornado", "pandas", "pyarrow", "matplotlib", "rich", "synapse.client", "synapse.server"}
    program = f"import sys, synapse.cli; print(*({heavy!r} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""
