"""Do 95 % intervals cover the truth in 95 of 100 experiments? ``python -m validation.coverage``.

M/M/1 at a load of 0.9, whose mean and 99th percentile theory knows. Each experiment is a study of its own seed: ten
replications, and Student's interval of the mean over them, as every study has it.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from synapse.experiment import Interval, Results
from synapse.experiment.design import Point
from synapse.experiment.interval import of_share
from synapse.experiment.measure import measure
from synapse.simulation import Scenario
from validation.cases import BARE, SERVICE

LOAD = 0.9
CUSTOMERS, WARMUP = 20_000, 2_000
REPS = 10
LOW, HIGH = 0.90, 0.99
"""Between what coverage of the mean has to be: 200 experiments at 95 % are there but once in 500."""
METRICS = ("wait_mean", "wait_p99")


def scenario() -> Scenario:
    """M/M/1 at the load."""
    rate = LOAD / SERVICE
    return BARE.replace(
        {"agents.arrivals.rate": rate, "duration": (WARMUP + CUSTOMERS) / rate, "warmup": WARMUP / rate}
    )


def experiment(seed: int) -> dict[str, Interval]:
    """The intervals of one experiment."""
    base = scenario()
    rows = [measure(base, seed, rep, base.key) for rep in range(REPS)]
    summary = Results([Point({}, base, base.key)], rows, seed).summary.set_index("metric")
    return {
        name: Interval(*(float(summary.loc[name, end]) for end in ("mean", "low", "high")), REPS) for name in METRICS
    }


@click.command(help="How often a 95 % interval covers the truth.")
@click.option("--experiments", default=200, show_default=True, type=click.IntRange(10))
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1), help="Processes.")
def main(experiments: int, jobs: int) -> None:
    """Run them, print the table, and exit with 1 if intervals of the mean do not cover as they should."""
    theorem = scenario().theory()
    truth = dict(zip(METRICS, (theorem.metrics["wait_mean"], theorem.result.wait_quantile(0.99)), strict=True))
    found = _run(experiments, jobs)
    table = Table(title=f"95 % intervals of {experiments} experiments, M/M/1 at load {LOAD:g}, {REPS} x {CUSTOMERS:,}")
    for column in ("metric", "truth, s", "covered", "95 % (Wilson)", "must be"):
        table.add_column(column, justify="right")
    shares = {}
    for name in METRICS:
        covered = sum(each[name].low <= truth[name] <= each[name].high for each in found)
        share = shares[name] = of_share(covered, experiments)
        aim = f"{LOW:.0%} to {HIGH:.0%}" if name == "wait_mean" else "is reported"
        table.add_row(name, f"{truth[name]:.4f}", f"{share.mean:.1%}", f"{share.low:.1%} to {share.high:.1%}", aim)
    Console().print(table)
    sys.exit(not LOW <= shares["wait_mean"].mean <= HIGH)


def _run(experiments: int, jobs: int) -> list[dict[str, Interval]]:
    with ProcessPoolExecutor(jobs) as pool, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("experiments", total=experiments)
        advance = partial(progress.advance, task)
        futures: list[Future[dict[str, Interval]]] = [pool.submit(experiment, seed) for seed in range(experiments)]
        for future in futures:
            future.add_done_callback(lambda _: advance())
        return [future.result() for future in futures]


if __name__ == "__main__":
    main()
