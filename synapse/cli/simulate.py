"""``synapse simulate``: replications of a scenario, a table with confidence intervals, and files of what came out."""

from __future__ import annotations

import math
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from synapse.experiment.interval import CONFIDENCE, of_mean
from synapse.policies import PolicyError
from synapse.simulation import Run, Scenario, Theorem
from synapse.simulation.run import METRICS
from synapse.simulation.theorem import simulated


def scenario_of(file: Path, changes: tuple[str, ...]) -> Scenario:
    """The scenario of a file, with changes as ``agents.count=10000``.

    Raises
    ------
    OSError
        If the file cannot be read.
    PolicyError
        If it is no scenario, or not with these changes.
    """
    scenario = Scenario.load(file)
    return scenario.replace(dict(map(change, changes))) if changes else scenario


def simulate(scenario: Scenario, replications: int, seed: int, out: Path | None, console: Console) -> bool:
    """Run the replications, show the table, keep the files. False if it was interrupted: what is finished is kept."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        scenario.save(out / "scenario.toml")
    runs: list[Run] = []
    finished = True
    with _bar(console) as bar:
        task = bar.add_task("", total=replications * scenario.duration, done=0, of=replications)
        try:
            for number in range(replications):
                begun = number * scenario.duration
                run = scenario.run(
                    seed, replication=number,
                    progress=lambda now, begun=begun: bar.update(task, completed=begun + now),
                )  # fmt: skip
                if out is not None:
                    run.save(out / f"replication-{number:03d}")
                runs.append(run)
                bar.update(task, completed=begun + scenario.duration, done=len(runs))
        except KeyboardInterrupt:
            finished = False
    if runs:
        console.print(table(runs, scenario.theory(), seed))
        if out is not None:
            _keep(runs, out)
    return finished


def table(runs: list[Run], theorem: Theorem, seed: int) -> Table:
    """Means over the runs with confidence intervals, beside what theory says."""
    count = len(runs)
    made = Table(title=f"{count} replication{'s' * (count > 1)} of seed {seed}", caption=_caption(theorem))
    for column in ("", "mean", f"± {CONFIDENCE:.0%}", "theory", "unit"):
        made.add_column(column, justify="left" if column in ("", "unit") else "right")
    names = {**METRICS, **{name: "" for name in theorem.metrics if name not in METRICS}}
    for name, unit in names.items():
        found = of_mean(simulated(run, name) for run in runs)
        if math.isnan(found.mean):
            continue  # nothing of the kind is simulated
        predicted = theorem.metrics.get(name)
        made.add_row(
            name.replace("_", " "),
            _shown(found.mean),
            _shown(found.half),
            "" if predicted is None else _shown(predicted),
            unit,
        )
    for reason, policy in sorted({what for run in runs for what in run.refusals}):
        found = of_mean(run.refusals.get((reason, policy), 0) / run.scenario.duration for run in runs)
        made.add_row(f"{reason} by {policy}", _shown(found.mean), _shown(found.half), "", "1/s")
    return made


def change(text: str) -> tuple[str, Any]:
    """Read ``NAME=VALUE``.

    Raises
    ------
    PolicyError
        If there is no value.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise PolicyError("", f"--set {text}: must be NAME=VALUE, as agents.count=10000")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.fields[done]} of {task.fields[of]} replications"), BarColumn(), TimeRemainingColumn(),
        console=console, transient=True,
    )  # fmt: skip


def _caption(theorem: Theorem) -> str:
    return f"theory: {theorem.name}, {theorem.why}" if theorem.name else f"no theorem holds: {theorem.why}"


def _shown(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def _keep(runs: list[Run], out: Path) -> None:
    """What is of all runs together."""
    import pandas as pd

    rows = [{"seed": run.seed, "replication": run.replication, **run.metrics} | asdict(run.counts) for run in runs]
    pd.DataFrame(rows).to_parquet(out / "replications.parquet", index=False)
    runs[0].plot(out / "replication-000.png")
