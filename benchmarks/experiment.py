"""``python -m benchmarks.experiment``: what the experiment layer costs, beside the bare runs, and what two cores gain.

Wall times, in turns; each figure is the median of the turns' ratios.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import loky  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

from synapse.experiment import Study
from synapse.simulation import Scenario

REPS = 6
SECOND = Scenario(agents={"count": 12_000, "think": {"kind": "exponential", "mean": 10}}, node={"slots": 80})
"""A run of it takes about a second."""
TINY = Scenario(duration=2, warmup=0.5, agents={"count": 5})
POINTS, TINY_REPS = 40, 30


def bare(reps: int) -> float:
    """Runs in this process, one after the other, s."""
    begin = time.perf_counter()
    for rep in range(reps):
        SECOND.run(1, replication=rep, queries=False)
    return time.perf_counter() - begin


def studied(reps: int, workers: int) -> float:
    """The same as a study of so many processes, which are there already, s."""
    pool = loky.get_reusable_executor(max_workers=workers, reuse=False)
    try:
        Study(TINY, reps=2 * workers).run(pool, progress=False)
        begin = time.perf_counter()
        Study(SECOND, reps=reps).run(pool, progress=False)
        return time.perf_counter() - begin
    finally:
        pool.shutdown(wait=True)


def resumed() -> float:
    """To run a study again whose 1 200 runs are all there, with its results as a table, s."""
    with tempfile.TemporaryDirectory() as folder:

        def study() -> Study:
            return Study(TINY, reps=TINY_REPS, folder=Path(folder), agents__count=range(5, 5 + POINTS))

        study().run(progress=False)
        begin = time.perf_counter()
        frame = study().run(progress=False).frame
        took = time.perf_counter() - begin
        assert len(frame) == POINTS * TINY_REPS
        return took


def table(repeat: int) -> Table:
    """Measure all."""
    bare(1)  # imports, and what numpy keeps
    turns = [(bare(REPS), studied(REPS, 1), studied(REPS, 2)) for _ in range(repeat)]

    def median(of: Callable[[float, float, float], float]) -> float:
        return statistics.median(of(*turn) for turn in turns)

    made = Table(title=f"Experiments: {REPS} runs of {median(lambda alone, *_: alone) / REPS:.2f} s")
    for column in ("case", "measured", "aim"):
        made.add_column(column, justify="left" if column == "case" else "right")
    overhead = median(lambda alone, one, _: one / alone - 1)
    made.add_row("a study on one process, over bare runs", f"{overhead:+.1%}", "<= +10%")
    made.add_row("two processes, over one", f"{median(lambda _, one, two: one / two):.2f} x", ">= 1.6 x")
    made.add_row(f"{POINTS * TINY_REPS:,} runs that are there already", f"{resumed():.2f} s", "<= 1 s")
    return made


@click.command(help="Measure the experiment layer.")
@click.option("--repeat", default=3, show_default=True, help="Turns; medians are shown.")
def main(repeat: int) -> None:
    """Measure, and print the table."""
    Console().print(table(repeat))


if __name__ == "__main__":
    main()
