"""``python -m benchmarks.window``: what watching costs the server, and how much a page can show.

The first part has real queries, with and without somebody who watches them; the second a real Chromium with a real
JupyterLab, and a storm of telemetry on the server's own bus: `StormChannel`.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path

import click
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks import cases
from benchmarks.load import masked, open_websocket, read_until
from benchmarks.servers import API_KEY, Server, pin_client, synapse_server
from tests.browser.lab import CONFIG, Notebook, chromium
from tests.support.phx import Phx
from tests.support.server import LiveServer, live_server

EVENTS_A_QUERY = 3 + 10 + 1  # submitted, admitted, started; ten thoughts; finished
FRAMES_A_QUERY = 12  # reply, ten thoughts, result
SMOOTH = 50.0  # frames/s
STORM = "c.SynapseApp.channels = {'bench:*': 'benchmarks.channels.StormChannel'}\n"
MEASURE = """async (seconds) => {
    const flow = document.querySelector(".syn-panel[aria-label=Flow]");
    const seen = () => Number(flow.dataset.events);
    let frames = 0, longest = 0, last = performance.now();
    const begin = last, before = seen();
    return await new Promise((resolve) => requestAnimationFrame(function turn(now) {
        frames++;
        longest = Math.max(longest, now - last);
        last = now;
        if (now - begin < 1000 * seconds) return requestAnimationFrame(turn);
        const took = (now - begin) / 1000;
        resolve([frames / took, (seen() - before) / took, longest]);
    }));
}"""


@click.command(help="Measure what watching costs, and how many events a second a page shows.")
@click.option("--seconds", default=4.0, show_default=True, help="How long each rate is measured.")
@click.option("--repeat", default=3, show_default=True, help="Runs of the first part; medians are shown.")
@click.option("--rates", default="2000,5000,10000,20000,50000", show_default=True, help="The storms, in events/s.")
@click.option("--only", type=click.Choice(["cost", "page"]), help="Only one of the two parts.")
def main(seconds: float, repeat: int, rates: str, only: str | None) -> None:
    """Run both parts and print their tables."""
    console = Console(width=110)
    if only != "page":
        console.print(cost(seconds, repeat))
    if only != "cost":
        console.print(page(seconds, [int(rate) for rate in rates.split(",")]))


def cost(seconds: float, repeat: int) -> Table:
    """Queries at full speed, unwatched and watched, in turns on one server."""
    pin_client()
    runs: dict[bool, list[cases.Figures]] = {False: [], True: []}
    with synapse_server("--SynapseApp.watch_with_keys=True") as server:
        for _ in range(repeat):
            for watched in (False, True):
                with observer(server, watched):
                    runs[watched].append(cases.queries(server, agents=50, thoughts=10, seconds=seconds))
    table = Table(title="Queries with ten thoughts, 50 agents, at full speed")
    for column in ("", "events/s", "us CPU/event"):
        table.add_column(column, justify="right")
    per_event: dict[bool, float] = {}
    for watched, figures in runs.items():
        rate = statistics.median(one.per_s for one in figures) * EVENTS_A_QUERY / FRAMES_A_QUERY
        cpu = statistics.median(one.cpu_per_op or 0.0 for one in figures) * FRAMES_A_QUERY / EVENTS_A_QUERY
        per_event[watched] = cpu
        table.add_row("watched" if watched else "unwatched", f"{rate:,.0f}", f"{cpu * 1e6:.1f}")
    share = (per_event[True] - per_event[False]) * 5000
    table.caption = f"To be watched at 5 000 events/s takes {100 * share:.1f} % of the server's core (aim: <= 10 %)"
    return table


@contextmanager
def observer(server: Server, wanted: bool) -> Iterator[None]:
    """Somebody who watches and throws away what comes, in a process of its own."""
    if not wanted:
        yield
        return
    context = get_context("spawn")
    watching = context.Event()
    process = context.Process(target=_watch, args=(server.port, server.path, watching), daemon=True)
    process.start()
    watching.wait(30)
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _watch(port: int, path: str, watching: object) -> None:
    with closing(open_websocket(port, path)) as sock:
        join = f'["1","1","cortex:monitor","phx_join",{{"api_key":"{API_KEY}","interval_ms":33}}]'
        sock.sendall(masked(join.encode()))
        read_until(sock, b'"snapshot"')
        watching.set()  # type: ignore[attr-defined]
        while sock.recv(2**16):
            pass


def page(seconds: float, rates: list[int]) -> Table:
    """Storms of events, shown by a Flow in Chromium: straight from the server, and relayed by the kernel."""
    table = Table(title="Events a second that a page shows")
    for column in ("way", "sent/s", "shown/s", "frames/s", "longest frame, ms", "smooth"):
        table.add_column(column, justify="left" if column == "way" else "right")
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright, chromium(playwright) as browser:
        options = {"config": CONFIG + STORM, "env": {"PYTHONPATH": str(Path(__file__).parents[1])}}
        with live_server(Path(home), **options) as server:  # type: ignore[arg-type]
            for way, make in (("WebSocket", "widgets.Flow()"), ("comm", f"widgets.Flow(url={server.url!r})")):
                for row in _show(browser, server, way, make, seconds, rates):
                    table.add_row(way, *row)
    return table


def _show(
    browser: Browser, server: LiveServer, way: str, make: str, seconds: float, rates: list[int]
) -> Iterator[tuple[str, ...]]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    # The kernel's key is in its environment, and an explicit address has the kernel relay.
    notebook = Notebook.open(context, server, f"{way}.ipynb", "from synapse import widgets", make)
    notebook.run_all()
    notebook.live("Flow")
    with Phx(server.url) as phx:
        phx.join("bench:storm")
        for rate in rates:
            phx.push("bench:storm", "storm", {"rate": rate, "seconds": seconds + 4})
            notebook.page.wait_for_function(
                "() => Number(document.querySelector('.syn-panel[aria-label=Flow]').dataset.events) > 0"
            )
            fps, shown, longest = notebook.page.evaluate(MEASURE, seconds)
            smooth = fps >= SMOOTH and shown >= 0.95 * rate
            yield f"{rate:,}", f"{shown:,.0f}", f"{fps:.0f}", f"{longest:.0f}", "yes" if smooth else "no"
            phx.push("bench:storm", "calm", {})
    context.close()


if __name__ == "__main__":
    main()
