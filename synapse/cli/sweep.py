"""``synapse sweep`` and ``synapse slo``: studies of a file, from the command line."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from synapse.cli.simulate import change
from synapse.experiment import Results, Study, StudyError
from synapse.experiment.measure import UNITS
from synapse.experiment.results import SHOWN

if TYPE_CHECKING:
    import pandas as pd


def study_of(
    file: Path,
    changes: Iterable[str],
    axes: Iterable[str] = (),
    reps: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    until: str | None = None,
) -> Study:
    """The study of a file, with changes as ``agents.count=10000`` and axes as ``node.queue=["fifo", "codel"]``.

    Raises
    ------
    OSError
        If the file cannot be read.
    PolicyError
        If it is no study, or not with these changes.
    """
    return Study.load(
        file, dict(map(change, changes)), reps=reps, seed=seed, folder=out, until=until, **dict(map(_axis, axes))
    )


def keep(results: Results, out: Path) -> None:
    """Write what plots and notebooks read: a row for each replication, and one for each point and metric."""
    for frame, name in ((results.frame, "replications"), (results.summary, "summary")):
        words = {axis: frame[axis].astype(str) for axis in results.axes if frame[axis].dtype == object}
        frame.assign(**words).to_parquet(out / f"{name}.parquet", index=False)


def table(results: Results) -> Table:
    """Each point with its most telling metrics, mean and half its 95 % interval."""
    made = Table(title=repr(results).strip("<>"), caption="mean ± half of the 95 % interval, over replications")
    for name in (*results.axes, "n"):
        made.add_column(name, justify="right", overflow="fold")
    for name in SHOWN:
        unit = UNITS[name] and f"\n{UNITS[name]}"
        made.add_column(name.replace("latency_", "") + unit, justify="right")
    for _, rows in results.summary.groupby([*results.axes, "key"], sort=False, dropna=False):
        first = rows.iloc[0]
        found = {row["metric"]: _shown(row["mean"], (row["high"] - row["low"]) / 2) for _, row in rows.iterrows()}
        cells = [first["note"]] if first["note"] else [found[name] for name in SHOWN]
        made.add_row(*(str(first[axis]) for axis in results.axes), str(first["n"]), *cells)
    return made


def table_of_goals(frame: pd.DataFrame, goal: str, vary: str) -> Table:
    """The largest value for each point, with its interval."""
    made = Table(title=f"The largest {vary} at which {goal}", caption="low and high: where the 95 % interval meets it")
    axes = [name for name in frame.columns if name not in (vary, "low", "high", "goal", "n", "seed", "key")]
    for name in (*axes, vary, "low", "high", "n"):
        made.add_column(name, justify="right")
    for _, row in frame.iterrows():
        ends = (_shown(row[name], math.nan) for name in (vary, "low", "high"))
        made.add_row(*(str(row[name]) for name in axes), *ends, str(row["n"]))
    return made


def _axis(text: str) -> tuple[str, list[Any]]:
    name, equals, values = text.partition("=")
    try:
        made = tomllib.loads(f"values = {values}")["values"] if equals else None
    except tomllib.TOMLDecodeError:
        made = None
    if not isinstance(made, list):
        raise StudyError(
            name.strip(), f'must be varied by a list, as --vary \'node.queue=["fifo", "codel"]\'; not {text!r}'
        )
    return name.strip(), made


def _shown(mean: float, half: float) -> str:
    if math.isnan(mean):
        return "–"
    return f"{mean:.4g}" if math.isnan(half) else f"{mean:.4g} ± {half:.2g}"
