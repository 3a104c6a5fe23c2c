"""``synapse simulate``: a file in, a table with intervals and files out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from synapse.cli import main
from synapse.simulation import Run, Scenario
from synapse.telemetry import read_trace

SMALL = 'duration = 5\nwarmup = 1\n[agents]\ncount = 20\nthink = {kind = "exponential", mean = 1}\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def simulate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)], terminal_width=100)


def test_it_shows_means_intervals_and_theory(file: Path) -> None:
    shown = simulate(file, "--reps", 3, "--seed", 7)
    assert shown.exit_code == 0
    assert "3 replications of seed 7" in shown.output
    assert "± 95%" in shown.output
    assert "theory: M/M/c//N" in shown.output
    assert shown.output == simulate(file, "--reps", 3, "--seed", 7).output


def test_it_shows_what_each_rule_has_refused(file: Path) -> None:
    bucket = 'node.rate_limit={kind = "token-bucket", rate = 0.1, burst = 1}'
    shown = simulate(file, "--reps", 2, "--set", bucket)
    assert "rate_limited by token-bucket" in shown.output
    assert "first thought" not in shown.output  # nothing is streamed
    assert "first thought p99" in simulate(file, "--reps", 1, "--set", "node.thoughts=3").output


def test_an_empty_file_is_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").touch()
    assert simulate(tmp_path / "empty.toml", "--reps", 1, "--set", "agents.count=10").exit_code == 0


def test_values_can_be_set(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    changes = ["agents.count=7", "node.queue=fifo", "node.service={kind='deterministic', value=0.1}"]
    assert simulate(file, *(word for change in changes for word in ("--set", change)), "--out", out).exit_code == 0
    scenario = Scenario.load(out / "scenario.toml")
    assert scenario.agents.count == 7
    assert scenario.node.service.mean == 0.1
    assert scenario.node.queue == Scenario(node={"queue": "fifo"}).node.queue


def test_all_that_came_out_is_in_the_folder(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert simulate(file, "--reps", 2, "--out", out).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "replication-000", "replication-000.png", "replication-001", "replications.parquet", "scenario.toml",
    ]  # fmt: skip
    replications = pd.read_parquet(out / "replications.parquet")
    assert list(replications["replication"]) == [0, 1]
    queries = read_trace(out / "replication-001" / "queries.parquet")
    assert len(queries) + replications["tries_in_flight"][1] == replications["tries"][1]
    series = pd.read_parquet(out / "replication-001" / "series.parquet")
    assert series["sent"].sum() == replications["sent"][1]


@pytest.mark.parametrize(
    ("text", "changes", "problem"),
    [
        (
            '[agents]\narrivals = {kind = "trace", file = "nowhere.txt"}',
            [],
            "nowhere.txt' cannot be read: [Errno 2] No such file",
        ),
        ("", ["=3"], "a value without a name"),
        ("[agents]\ncount = 0", [], "small.toml: agents.count: must be a whole number >= 1"),
        ("", ["agents.cuont=3"], "agents.cuont: is not known. Did you mean 'count'?"),
        ("", ["agents.count"], "--set agents.count: must be NAME=VALUE"),
        ("", ["agents.count=many"], "agents.count: must be a whole number >= 1 and <= 10000000; not 'many'"),
    ],
)
def test_what_is_wrong_is_named(file: Path, text: str, changes: list[str], problem: str) -> None:
    file.write_text(text)
    shown = simulate(file, *(word for change in changes for word in ("--set", change)))
    assert shown.exit_code == 1
    assert problem in shown.output


def test_a_folder_that_cannot_be_made_is_named(file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    shown = simulate(file, "--out", tmp_path / "taken" / "out")
    assert shown.exit_code == 1
    assert "Error: [Errno 20] Not a directory" in shown.output


def test_ctrl_c_keeps_what_is_finished(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Scenario.run

    def interrupted(self: Scenario, seed: int = 1, *, replication: int = 0, **named: Any) -> Run:
        if replication == 2:
            raise KeyboardInterrupt
        return run(self, seed, replication=replication, **named)

    monkeypatch.setattr(Scenario, "run", interrupted)
    shown = simulate(file, "--reps", 9, "--out", tmp_path / "out")
    assert shown.exit_code == 130
    assert "2 replications of seed 1" in shown.output
    assert "Stopped before the end" in shown.output
    assert len(pd.read_parquet(tmp_path / "out" / "replications.parquet")) == 2
