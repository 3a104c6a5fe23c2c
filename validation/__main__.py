"""``python -m validation``: the battery, the metastable table and the studies, and whether the whole is plausible."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from scipy import stats  # type: ignore[import-untyped]

from synapse.cli.study import study
from synapse.experiment import Lab
from synapse.experiment.library import pages
from validation import checks as statistics
from validation.cases import Case, battery
from validation.checks import Check, chance, replicate
from validation.metastable import PULSES, WIDTHS, Pulse, recovered

LEAST = 20.0  # relaxation times that a replication is measured at least
IMPLAUSIBLE = 1e-3  # chance, if all is right, below which it is not taken for luck
NO_LUCK = 6.0  # sigmas of one check that no luck explains
TEN = 10  # replications of a pulse, as in the reference
Task = tuple[Callable[..., Any], tuple[Any, ...]]


@click.command(help="Hold the simulator against queueing theory.")
@click.option("--replications", default=10, show_default=True, type=click.IntRange(2), help="Of each case.")
@click.option("--arrivals", default=10_000, show_default=True, type=click.IntRange(100), help="Of each replication.")
@click.option("--full", is_flag=True, help="20 replications of 1 000 000 arrivals: hours.")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--only", default="", help="Only cases whose name contains this; 'metastable', 'published', 'studies', too."
)
@click.option("--jobs", default=multiprocessing.cpu_count(), show_default=True, help="Processes.")
def main(replications: int, arrivals: int, full: bool, seed: int, only: str, jobs: int) -> None:
    """Run what is chosen, print the tables, and exit with 1 if it is implausible."""
    if full:
        replications, arrivals = 20, 1_000_000
    console = Console(width=max(100, Console().width))
    cases = [case for case in battery() if only in str(case)]
    pulses = PULSES if only in "metastable" else []
    problems = [] if only not in "published" else _published(console)
    tasks: list[Task] = [
        *((replicate, (case, arrivals, seed, number, LEAST)) for case in cases for number in range(replications)),
        *((recovered, (pulse, seed, number)) for pulse in pulses for number in range(TEN)),
    ]
    results = _run(tasks, jobs) if tasks else {}
    if cases:
        console.print(f"{replications} replications of {arrivals:,} arrivals or more, seed {seed}")
        listed = [check for case in cases for check in statistics.checks(case, results[str(case)])]
        problems += _show_checks(console, listed)
    if pulses:
        problems += _show_pulses(console, {pulse: sum(results[str(pulse)]) for pulse in pulses})
    if only in "studies":
        problems += check_studies(console, Lab(seed=seed))
    for problem in problems:
        console.print(f"[red]implausible[/]: {problem}")
    sys.exit(bool(problems))


def _published(console: Console) -> list[str]:
    """The tests of the theory: published numbers, and tables, to the printed digits."""
    command = [sys.executable, "-m", "pytest", "tests/theory", "-q", "-p", "no:cacheprovider", "--tb=line"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines() or ["no answer"]
    console.print(f"published numbers and tables, to the printed digits (tests/theory): {lines[-1]}")
    return [] if done.returncode == 0 else [f"theory: {line}" for line in lines]


def check_studies(console: Console, lab: Lab) -> list[str]:
    """The canonical studies, as ``synapse study --all --check``; which of their claims do not hold."""
    return [
        f"{name}: does not hold: {claim.text} (missed by {claim.miss:.3g})"
        for name, page in pages().items()
        for claim in study(name, page, lab, None, console).failed
    ]


def _run(tasks: Sequence[Task], jobs: int) -> dict[str, list[Any]]:
    """The results of all tasks, in order, by the names of their first arguments."""
    columns = (TextColumn("{task.completed} of {task.total} runs"), BarColumn(), TimeElapsedColumn())
    with (
        ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool,
        Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress,
    ):
        bar = progress.add_task("", total=len(tasks))
        futures: list[Future[Any]] = [pool.submit(function, *arguments) for function, arguments in tasks]
        try:
            for _ in as_completed(futures):
                progress.advance(bar)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    results: dict[str, list[Any]] = defaultdict(list)
    for (_, arguments), future in zip(tasks, futures, strict=True):
        results[str(arguments[0])].append(future.result())
    return results


def _show_checks(console: Console, listed: list[Check]) -> list[str]:
    table = Table("case", "number")
    for column in ("exact", "simulated", "± 95 %", "inside"):
        table.add_column(column, justify="right")
    before: Case | None = None
    for check in listed:
        table.add_row(
            "" if check.case is before else str(check.case), check.name,
            f"{check.exact.value:.6f}", f"{check.mean:.6f}", f"{check.half:.6f}",
            "yes" if check.inside else f"no, {check.sigmas:.1f} σ",
        )  # fmt: skip
        before = check.case
    console.print(table)
    inside, luck = sum(check.inside for check in listed), chance(listed)
    console.print(f"{inside} of {len(listed)} inside their 95 % CI; chance of no more, if all is right: {luck:.2g}")
    problems = [f"{inside} of {len(listed)} inside, chance {luck:.2g}"] if luck < IMPLAUSIBLE else []
    problems += [f"{check.case} {check.name}: {check.sigmas:.1f} σ" for check in listed if check.sigmas > NO_LUCK]
    return problems


def _show_pulses(console: Console, seen: dict[Pulse, int]) -> list[str]:
    title = "Recovered of 10 after a pulse of w services, here / in the reference"
    table = Table("λ", *(f"w={width}" for width in WIDTHS), "server drops what timed out, w=100", "w=300", title=title)
    for load in dict.fromkeys(pulse.load for pulse in seen):
        row = sorted((pulse for pulse in seen if pulse.load == load), key=lambda pulse: (pulse.aware, pulse.width))
        table.add_row(f"{load:.2f}", *(f"{seen[pulse]} / {pulse.reference}" for pulse in row))
    console.print(table)
    return [
        f"λ={pulse.load} w={pulse.width}{' aware' * pulse.aware}: {count} of 10 recovered, {pulse.reference} there"
        for pulse, count in seen.items()
        if _differ(count, pulse.reference) < IMPLAUSIBLE
    ]


def _differ(count: int, reference: int) -> float:
    """How likely it is that two tens of one kind differ so much (Fisher's exact test)."""
    return float(stats.fisher_exact([[count, TEN - count], [reference, TEN - reference]]).pvalue)


if __name__ == "__main__":
    main()
