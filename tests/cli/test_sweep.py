"""``synapse sweep`` and ``synapse slo``: a file in, a table with intervals and files out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from synapse.cli import main
from synapse.experiment import Results
from tests.support.pool import pool_is_put_away  # noqa: F401

SMALL = """
duration = 5
warmup = 1
[agents]
count = 20
arrivals = {kind = "poisson", rate = 40}
[node]
slots = 1
service = {kind = "exponential", mean = 0.01}
[sweep]
reps = 3
[sweep.grid]
"node.slots" = [1, 2]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), terminal_width=160, env={"COLUMNS": "160"})


def test_a_sweep_is_shown_and_kept(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = run("sweep", file, "--vary", "load=[0.2, 0.4]", "--out", out)
    assert shown.exit_code == 0, shown.output
    assert "4 points, 12 replications of seed 1" in shown.output
    assert " ± " in shown.output
    assert len(pd.read_parquet(out / "replications.parquet")) == 12
    summary = pd.read_parquet(out / "summary.parquet").set_index("metric")["n"]
    assert set(summary["goodput"]) == {3}
    assert set(summary["first_thought_p50"]) == {0}  # nothing is streamed
    assert Results.load(out).axes == ["node.slots", "load"]


def test_again_it_runs_only_what_is_missing(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("sweep", file, "--out", out)
    parts = set((out / "parts").iterdir())
    assert run("sweep", file, "--out", out).exit_code == 0
    assert set((out / "parts").iterdir()) == parts
    assert "8 replications" in run("sweep", file, "--out", out, "--reps", 4).output


def test_values_of_two_kinds_are_kept_as_words(file: Path, tmp_path: Path) -> None:
    shown = run(
        "sweep", file, "--vary", 'node.timeout=[1, {kind = "adaptive"}]', "--reps", 1, "--out", tmp_path / "out"
    )
    assert shown.exit_code == 0, shown.output
    assert "nan" not in shown.output
    kept = pd.read_parquet(tmp_path / "out" / "replications.parquet")
    assert set(kept["node.timeout"]) == {"1", "AdaptiveTimeout"}


def test_an_interrupt_keeps_and_shows_what_there_is(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run("sweep", file, "--out", out)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("synapse.experiment.study.compute", interrupted)
    shown = run("sweep", file, "--out", out, "--reps", 9)
    assert shown.exit_code == 130
    assert "6 replications" in shown.output
    assert "the same command goes on" in shown.output


def test_the_largest_load_is_found(file: Path) -> None:
    shown = run("slo", file, "latency < 20 ms", "--set", "sweep.x=1")
    assert shown.exit_code == 1
    shown = run("slo", file, "latency < 20 ms", "--between", 0.1, 0.95, "--reps", 2)
    assert shown.exit_code == 0, shown.output
    assert "The largest load at which latency < 20 ms" in shown.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["sweep", "--vary", "load=0.5"], "Error: load: must be varied by a list"),
        (["sweep", "--vary", "node.slotz=[1]"], "Error: node.slotz: is not known. Did you mean 'slots'?"),
        (["sweep", "--until", "soon"], "Error: until: must be as"),
        (["sweep", "--vary", "node.slots=[nan]"], "Error: node.slots: must be a whole number; not nan"),
        (["slo", "success < 3 s"], "Error: goal: success is in shares; not in s"),
        (["slo", "p99 < 1", "--vary", "node.slots"], "Error: node.slots: is varied by the study itself"),
        (["slo", "p98 < 1"], "Error: metric: 'p98' is none. Did you mean 'p99'?"),
        (["slo", "p99 < 1", "--vary", "node.slotz"], "is not known"),
    ],
)
def test_what_is_wrong_is_named(file: Path, tmp_path: Path, arguments: list[str], problem: str) -> None:
    command, *rest = arguments
    more = ["--out", tmp_path / "out"] if command == "sweep" else []
    shown = run(command, file, *rest, *more)
    assert shown.exit_code == 1
    assert problem in shown.output
