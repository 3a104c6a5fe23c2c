"""What can be typed after ``synapse``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from synapse._version import __version__

INTERRUPTED, TERMINATED = 130, 143  # what a shell says of programs that SIGINT, SIGTERM have ended


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
