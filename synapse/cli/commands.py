"""What can be typed after ``synapse``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from synapse._version import __version__

INTERRUPTED, TERMINATED = 130, 143  # what a shell says of programs that SIGINT, SIGTERM have ended

# what several commands have
SET = click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="Another value than the file's; repeatable."
)
REPS = click.option("--reps", type=click.IntRange(1), help="Replications of each point.  [default: the file's, or 30]")
SEED = click.option(
    "--seed", type=click.IntRange(0), help="The chance of all replications.  [default: the file's, or 1]"
)
EXECUTOR = click.option(
    "--executor", metavar="ADDRESS", help="A Dask scheduler, tcp://host:8786.  [default: this machine]"
)
FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE.toml")


@contextmanager
def _in_a_line() -> Iterator[None]:
    """Say what is wrong with what was typed or read in a line, without a traceback."""
    from synapse.policies import PolicyError

    try:
        yield
    except (PolicyError, OSError) as error:
        raise click.ClickException(str(error)) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="synapse")
def main() -> None:
    """Synapse: real-time agents in Jupyter.

    A server for your own agents is a command of Jupyter's: jupyter synapse --help
    """


@main.command(short_help="See it work: a real server, 20 agents, 203 queries.")
@click.option("--agents", type=click.IntRange(1, 500), default=20, show_default=True, help="How many agents connect.")
@click.option(
    "--queries",
    type=click.IntRange(4, 20_000),
    default=200,
    show_default=True,
    help="How many queries they ask of the echo handler, all together.",
)
@click.option(
    "--kernel/--no-kernel",
    default=True,
    show_default=True,
    help="Ask three more queries, of a Jupyter kernel.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="The folder for queries.parquet and queries.png; what it has of these names is replaced.",
)
@click.option("--screenshot", type=click.Path(dir_okay=False, path_type=Path), hidden=True)
@click.argument("server_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- SERVER OPTIONS]")
def demo(
    agents: int, queries: int, kernel: bool, out: Path, screenshot: Path | None, server_options: tuple[str, ...]
) -> None:
    """See it work, in less than a minute.

    Starts a Jupyter Server with Synapse on a free port of this machine, connects agents over WebSockets,
    asks queries, interrupts one of them in mid-stream, and shows who is there and what they think. Then it
    stops the server and compares what the agents heard with what the server recorded.

    Of the queries to the echo handler one is interrupted, one is made to fail and one to time out; all
    others must succeed. The exit code is 0 only if every query had exactly the ending that it should have.

    What follows -- goes to the server as it is; jupyter synapse --help lists its options.

    \b
    Examples:
      synapse demo
      synapse demo --agents 100 --queries 2000
      synapse demo --no-kernel --out traces/today
      synapse demo -- --SynapseApp.idle_timeout=60
    """  # noqa: D301  the backslash is click's: it keeps the lines of the examples apart
    from synapse.cli.demo import Plan, run

    plan = Plan(agents, queries, kernel, out, screenshot, server_options)
    try:
        code = asyncio.run(run(plan))
    except (KeyboardInterrupt, asyncio.CancelledError) as stop:
        click.echo("Stopped before the end: nothing was saved.", err=True)
        code = INTERRUPTED if isinstance(stop, KeyboardInterrupt) else TERMINATED
    raise SystemExit(code)


@main.command(short_help="Simulate a cluster and its agents.")
@FILE
@SET
@click.option("--reps", type=click.IntRange(1, 100_000), default=5, show_default=True, help="How many replications.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The chance of all replications.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for Parquet files and a plot; what it has of their names is replaced.",
)
def simulate(file: Path, changes: tuple[str, ...], reps: int, seed: int, out: Path | None) -> None:
    """Simulate a cluster and its agents, as a TOML file describes them. An empty file does.

    Shows means over independent replications with their 95 % confidence intervals (Student's t), beside what queueing
    theory says, where a theorem holds. The same file and seed give the same numbers. Ctrl-C ends it early, and keeps
    the replications that are finished.

    \b
    Examples:
      synapse simulate cluster.toml
      synapse simulate cluster.toml --set agents.count=10000 --set agents.timeout.seconds=2
      synapse simulate cluster.toml --reps 20 --out results
    """  # noqa: D301
    from rich.console import Console

    from synapse.cli.simulate import scenario_of
    from synapse.cli.simulate import simulate as run

    with _in_a_line():  # files that the scenario names are read when it runs
        finished = run(scenario_of(file, changes), reps, seed, out, Console())
    if not finished:
        click.echo("Stopped before the end: what was finished is kept.", err=True)
        raise SystemExit(INTERRUPTED)


@main.command(short_help="Run a study: a scenario, with some of it varied.")
@FILE
@click.option("--vary", "axes", multiple=True, metavar="NAME=[VALUES]", help="An axis, besides the file's; repeatable.")
@SET
@REPS
@SEED
@click.option("--until", metavar="RULE", help="When there are enough: 'relative half-width of p99 < 5 %'.")
@EXECUTOR
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("sweep-output"), show_default=True,
    help="The folder that keeps all replications; those that are there are not run again.",
)  # fmt: skip
def sweep(
    file: Path, axes: tuple[str, ...], changes: tuple[str, ...], reps: int | None, seed: int | None, until: str | None,
    executor: str | None, out: Path,
) -> None:  # fmt: skip
    """Run a study: the scenario of a TOML file, with some of it varied, many replications of each point.

    What varies stands in the file, or is said by --vary:

    \b
      [sweep]
      reps = 20
      [sweep.grid]
      "agents.timeout.seconds" = [0.5, 1, 2]
      "node.queue" = ["fifo", {kind = "codel", bound = 240}]

    Shows means with their 95 % intervals (Student's t). Ctrl-C, or a crash, loses nothing that is finished: the same
    command goes on. `synapse plot DIR` draws what is there, also meanwhile.

    \b
    Examples:
      synapse sweep cluster.toml --vary 'load=[0.5, 0.7, 0.9]' --reps 10
      synapse sweep cluster.toml --until 'relative half-width of p99 < 5 %' --out results
    """  # noqa: D301
    from rich.console import Console

    from synapse.cli.sweep import keep, study_of, table

    with _in_a_line():
        study = study_of(file, changes, axes, reps, seed, out, until)
        finished = True
        try:
            results = study.run(executor)
        except KeyboardInterrupt:
            finished, results = False, study.results()
        if results.rows:
            keep(results, out)
            Console().print(table(results))
    if not finished:
        click.echo("Stopped before the end: what was finished is kept, and the same command goes on.", err=True)
        raise SystemExit(INTERRUPTED)


@main.command(short_help="Find the largest load that still meets an objective.")
@FILE
@click.argument("goal", metavar="GOAL")
@click.option("--vary", default="load", show_default=True, metavar="NAME", help="What is made larger.")
@click.option("--between", type=(float, float), default=(0.05, 2.0), show_default=True, metavar="FROM TO",
              help="Where to search: the goal is met at the first and missed at the second.")  # fmt: skip
@SET
@REPS
@SEED
@EXECUTOR
@click.option("--out", type=click.Path(file_okay=False, path_type=Path),
              help="A folder that keeps all replications; those that are there are not run again.")  # fmt: skip
def slo(
    file: Path, goal: str, vary: str, between: tuple[float, float], changes: tuple[str, ...], reps: int | None,
    seed: int | None, executor: str | None, out: Path | None,
) -> None:  # fmt: skip
    """Find the largest load, or whatever --vary names, at which the mean over replications still meets a goal.

    GOAL is as 'p99 < 0.5', 'p99 < 500 ms' or 'success > 99 %'. If the file has a [sweep], there is an answer for each
    of its points.

    \b
    Examples:
      synapse slo cluster.toml 'p99 < 0.5'
      synapse slo cluster.toml 'success > 99 %' --vary agents.count --between 100 5000
    """  # noqa: D301
    from rich.console import Console

    from synapse.cli.sweep import study_of, table_of_goals

    try:
        with _in_a_line():
            study = study_of(file, changes, (), reps, seed, out)
            frame = study.slo(goal, vary, between, executor=executor, progress=True)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    Console().print(table_of_goals(frame, goal, vary))


@main.command(short_help="Draw a metric of a study along an axis.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@click.option("-x", "axis", required=True, metavar="AXIS", help="What was varied.")
@click.option(
    "-y", "metric", default="goodput", show_default=True, metavar="METRIC", help="What came out: goodput, p99."
)
@click.option("--hue", metavar="AXIS", help="What else was varied, in colours.")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("study.png"), show_default=True,
    help="The picture: .png, .svg or .pdf.",
)  # fmt: skip
def plot(folder: Path, axis: str, metric: str, hue: str | None, out: Path) -> None:
    """Draw a metric of a study along an axis, from the folder that the study keeps its replications in.

    Shows the mean over replications, its 95 % band, and a dot for each replication; also of a study that still runs.

    \b
    Examples:
      synapse plot results -x load
      synapse plot results -x timeout -y p99 --hue queue -o timeouts.svg
    """  # noqa: D301
    from synapse.experiment import Results

    try:
        with _in_a_line():
            Results.load(folder).plot(axis, metric, hue, out)
    except ValueError as error:  # a suffix that matplotlib does not know
        raise click.ClickException(f"-o {out}: {error}") from None


@main.command(short_help="Run canonical studies, and check what they claim.")
@click.argument("names", nargs=-1, metavar="[NAME|PATH]...")
@click.option("--list", "listing", is_flag=True, help="Which there are.")
@click.option("--all", "everything", is_flag=True, help="All that come with Synapse.")
@click.option("--check", is_flag=True, help="Fail if a claim does not hold.")
@click.option("--size", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
              help="The share of the full number of replications.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The chance of all of it.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("study-output"),
    show_default=True,
    help="The folder for NAME.png and NAME.json; what it has of these names is replaced.",
)
def study(
    names: tuple[str, ...], listing: bool, everything: bool, check: bool, size: float, seed: int, out: Path
) -> None:
    """Run canonical studies of timeouts, retries, limits and overload, and check what they claim.

    Each answers one question by simulation, draws one figure, holds what it found against published or exact numbers,
    and ends with one sentence of advice. NAME is one that comes with Synapse; PATH is a Python file with a PAGE.

    \b
    Examples:
      synapse study --list
      synapse study metastable
      synapse study --all --check
      synapse study ./my_study.py --size 0.2
    """  # noqa: D301
    from rich.console import Console

    from synapse.cli import study as command
    from synapse.experiment import Lab
    from synapse.experiment.library import find, pages

    console = Console()
    try:
        with _in_a_line():
            if listing:
                console.print(command.listed())
                return
            chosen = dict(map(find, names)) | (pages() if everything else {})
            if not chosen:
                raise click.UsageError("name a study, or say --all; --list shows which there are")
            out.mkdir(parents=True, exist_ok=True)
            lab = Lab(size, seed, progress=console.is_terminal)
            failed = [
                (name, claim)
                for name, page in chosen.items()
                for claim in command.study(name, page, lab, out, console).failed
            ]
    except KeyboardInterrupt:
        click.echo("Stopped before the end: studies that were finished are kept.", err=True)
        raise SystemExit(INTERRUPTED) from None
    for name, claim in failed:
        click.echo(f"{name}: does not hold: {claim.text} (missed by {claim.miss:.3g})", err=True)
    if check and failed:
        raise SystemExit(1)
