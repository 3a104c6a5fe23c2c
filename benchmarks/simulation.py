"""``python -m benchmarks.simulation``: how fast simulated time passes, beside SimPy as its handbook has it, and Ciw.

All sides run on one core, in turns; times are CPU times of the thread, and the table has the best of the turns: what a
run costs when nothing disturbs it. Memory, and Synapse compiled, are measured in processes of their own.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import ciw
import click
import simpy
from rich.console import Console
from rich.table import Table

from synapse.simulation import Scenario

ROOT = Path(__file__).parents[1]
SLOTS, SERVICE, LOAD = 8, 0.05, 0.9
RATE = LOAD * SLOTS / SERVICE  # 1/s
PATIENCE = 30.0  # s

MM8 = Scenario(
    warmup=1,
    agents={
        "arrivals": {"kind": "poisson", "rate": RATE},
        "timeout": {"kind": "none"},
    },
    node={
        "slots": SLOTS,
        "service": {"kind": "exponential", "mean": SERVICE},
        "queue": {"kind": "fifo", "bound": 9999},
        "timeout": {"kind": "none"},
    },
)
AGENTS = Scenario(
    agents={"timeout": {"kind": "fixed", "seconds": 1.0}, "retry": {"kind": "full-jitter", "tries": 5}},
    cluster={"nodes": 4},
    node={
        "service": {"kind": "lognormal", "mean": SERVICE, "cv": 1.0},
        "queue": {"kind": "fifo", "bound": 240},
        "rate_limit": {"kind": "token-bucket", "rate": 0.5, "burst": 3},
    },
)
AIMS = {10_000: 2.0}  # s of wall time


@dataclass(frozen=True)
class Turn:
    """What one side did in one turn: customers or events, and the time it took, s."""

    done: int
    seconds: float


def synapse(customers: int) -> Turn:
    scenario = MM8.replace(duration=customers / RATE)
    begin = time.thread_time()
    run = scenario.run(queries=False)
    return Turn(run.counts.sent, time.thread_time() - begin)


def synapse_compiled(folder: str, customers: int) -> Turn:
    """The same with what is installed in a folder, compiled (`scripts/compile`); in a process of its own."""
    program = (
        "import sys; from benchmarks.simulation import synapse; from synapse.simulation import COMPILED; "
        "assert COMPILED; synapse(1000); turn = synapse(int(sys.argv[1])); print(turn.done, turn.seconds)"
    )
    found = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join([folder, str(ROOT)])}
    command = [sys.executable, "-c", program, str(customers)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, env=found)
    done, seconds = shown.stdout.split()
    return Turn(int(done), float(seconds))


def simpy_plain(customers: int) -> Turn:
    """A process for each customer and a Resource, as in SimPy's handbook; waits and latencies are kept, as we do."""
    env, lots = simpy.Environment(), random.Random(1)
    desk = simpy.Resource(env, SLOTS)
    waits: list[float] = []
    latencies: list[float] = []

    def customer() -> Generator[simpy.Event]:
        arrived = env.now
        with desk.request() as turn:
            yield turn
            waits.append(env.now - arrived)
            yield env.timeout(lots.expovariate(1 / SERVICE))
        latencies.append(env.now - arrived)

    return _simpy(env, customers, customer, lots)


def simpy_patient(customers: int) -> Turn:
    """The same with a timeout each, as every query has by default: the handbook's bank where customers renege."""
    env, lots = simpy.Environment(), random.Random(1)
    desk = simpy.Resource(env, SLOTS)
    waits: list[float] = []
    latencies: list[float] = []

    def customer() -> Generator[simpy.Event]:
        arrived = env.now
        with desk.request() as turn:
            came = yield turn | env.timeout(PATIENCE)
            waits.append(env.now - arrived)
            if turn in came:
                yield env.timeout(lots.expovariate(1 / SERVICE))
                latencies.append(env.now - arrived)

    return _simpy(env, customers, customer, lots)


def _simpy(
    env: simpy.Environment, customers: int, customer: Callable[[], Generator[simpy.Event]], lots: random.Random
) -> Turn:
    def source() -> Generator[simpy.Event]:
        for _ in range(customers):
            yield env.timeout(lots.expovariate(RATE))
            env.process(customer())

    begin = time.thread_time()
    env.process(source())
    env.run()
    return Turn(customers, time.thread_time() - begin)


def ciw_plain(customers: int) -> Turn:
    """Ciw's handbook has the records read in the end."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=RATE)],
        service_distributions=[ciw.dists.Exponential(rate=1 / SERVICE)],
        number_of_servers=[SLOTS],
    )
    ciw.seed(1)
    begin = time.thread_time()
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(customers)
    simulation.get_all_records()
    return Turn(customers, time.thread_time() - begin)


def agents(count: int) -> tuple[Turn, float]:
    """60 s of so many agents at a load of about 0.8; also the wall time, s."""
    slots = max(1, round(count / 10 * SERVICE / 0.8 / 4))
    scenario = AGENTS.replace({"agents.count": count, "node.slots": slots, "node.queue.bound": slots * 80})
    begin, wall = time.thread_time(), time.perf_counter()
    run = scenario.run(queries=False)
    return Turn(run.events, time.thread_time() - begin), time.perf_counter() - wall


def memory(count: int) -> int:
    """The greatest resident memory of a process that has simulated so many agents, bytes."""
    program = (
        "import sys; from pathlib import Path; from benchmarks.simulation import agents; agents(int(sys.argv[1])); "
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"  # KiB; of this program alone
    )
    shown = subprocess.run([sys.executable, "-c", program, str(count)], check=True, capture_output=True, text=True)
    return int(shown.stdout) * 1024


def tables(repeat: int, customers: int = 100_000, most: int = 100_000) -> list[Table]:
    """Measure all."""
    return [_mm8(repeat, customers), _agents(repeat, most), _memory(most)]


def _mm8(repeat: int, customers: int) -> Table:
    with TemporaryDirectory() as folder:
        subprocess.run([ROOT / "scripts" / "compile", folder], check=True, env={**os.environ, "PYTHON": sys.executable})
        sides: dict[str, Callable[[int], Turn]] = {
            "SimPy": simpy_plain,
            "SimPy, timeouts": simpy_patient,
            "Ciw": ciw_plain,
            "synapse": synapse,
            "synapse, compiled": partial(synapse_compiled, folder),
        }
        costs: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(repeat):
            for name, side in sides.items():
                turn = side(customers)
                costs[name].append(turn.seconds / turn.done)
    best = {name: min(each) for name, each in costs.items()}
    table = _table(
        f"M/M/8, load {LOAD:g}, {customers:,} customers", "model", "us CPU each", "1/s", "synapse", "compiled", "aim"
    )
    aims = {"SimPy": ">= 4 x", "Ciw": ">= 8 x"}
    for name, cost in best.items():
        ratios = (f"{cost / best[ours]:.2f} x" for ours in ("synapse", "synapse, compiled"))
        table.add_row(name, f"{cost * 1e6:.2f}", f"{1 / cost:,.0f}", *ratios, aims.get(name, ""))
    return table


def _agents(repeat: int, most: int) -> Table:
    table = _table("Agents x 60 s, 4 nodes, timeouts, retries, rate limits", "agents", "events", "events/s", "CPU s",
                   "wall s", "cost/event", "aim")  # fmt: skip
    first = None
    for count in (1_000, 10_000, 100_000):
        if count > most:
            break
        turns = [agents(count) for _ in range(repeat if count < 100_000 else 1)]
        turn, wall = min(turns, key=lambda each: each[0].seconds)
        cost = turn.seconds / turn.done
        first = cost if first is None else first
        aim = f"<= {AIMS[count]:g} s" if count in AIMS else "<= 3.5 x" if count == 100_000 else ""
        table.add_row(
            f"{count:,}", f"{turn.done:,}", f"{1 / cost:,.0f}", f"{turn.seconds:.2f}", f"{wall:.2f}",
            f"{cost / first:.2f} x", aim,
        )  # fmt: skip
    return table


def _memory(most: int) -> Table:
    table = _table("Memory that agents add", "agents", "KiB each", "aim")
    few, many = most // 10, most
    each = (memory(many) - memory(few)) / (many - few) / 1024
    table.add_row(f"{few:,} to {many:,}", f"{each:.2f}", "<= 1")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column == "model" else "right")
    return table


@click.command(help="Measure the simulation beside SimPy and Ciw.")
@click.option("--repeat", default=3, show_default=True, help="Turns of each side; the best are shown.")
@click.option("--customers", default=100_000, show_default=True, help="Customers of a turn at M/M/8.")
@click.option("--most", default=100_000, show_default=True, help="The most agents.")
def main(repeat: int, customers: int, most: int) -> None:
    """Measure, and print the tables."""
    console = Console()
    for table in tables(repeat, customers, most):
        console.print(table)


if __name__ == "__main__":
    main()
