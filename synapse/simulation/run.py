"""What came out of one replication."""

from __future__ import annotations

import html
import json
import math
from dataclasses import asdict
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from synapse.simulation.distributions import Array
from synapse.simulation.histogram import Histogram
from synapse.simulation.tally import OUTCOMES, Counts
from synapse.telemetry.schema import Row, to_table
from synapse.telemetry.table import in_unit, to_frame

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]

    from synapse.simulation.presence import Convergence
    from synapse.simulation.readers import Reading
    from synapse.simulation.scenario import Scenario
    from synapse.telemetry.figure import TraceFigure

SERIES = ("time", "sent", *OUTCOMES, "tries", "served", "wasted", "waiting", "running")
"""What is noted each second: counts and slot-time (s) so far, and how many wait and run at that moment."""

METRICS = {
    "offered": "1/s",
    "goodput": "1/s",
    "success": "",
    "latency_mean": "s",
    "latency_p50": "s",
    "latency_p99": "s",
    "first_thought_p50": "s",
    "first_thought_p99": "s",
    "wait_mean": "s",
    "wait_p99": "s",
    "utilisation": "",
    "wasted": "",
    "tries_per_query": "",
}
"""The numbers of a run that one compares, with their units."""


class Run:
    """One replication of a scenario. Counters are of the whole run; rates, latencies and shares, from the warm-up on.

    Attributes
    ----------
    scenario, seed, replication
        What was run.
    kinds : dict
        The `Counts` of each kind of agents.
    measured : Counts
        What was counted after the warm-up, of all kinds.
    seconds : float
        How long that was.
    refusals : dict
        How many tries were refused, by (reason, policy).
    latencies : dict
        Of each kind: times from asking to the answer of queries asked after the warm-up, a `Histogram`.
    first_thoughts : dict
        The same to the first thought of the answer, where answers are streamed.
    wait : Histogram
        Times that accepted tries waited for their turn.
    utilisation : float
        The share of all slots' time that was used.
    useful, wasted : float
        Slot-time used, s, for answers that someone waited for, and for others.
    looks : dict
        `SERIES`, each an array.
    reading : list of Reading
        What became of messages in mailboxes, for each kind, where readers are simulated.
    connections : list of tuple
        Connections dropped, tries to make one, made, and open at the end, for each kind, where they are simulated.
    presence : Convergence or None
        How right the nodes were about who is there.
    events : int
        How many events have happened.
    wall : float
        How long it took, s.
    """

    def __init__(
        self,
        *,
        scenario: Scenario,
        seed: int,
        replication: int,
        kinds: dict[str, Counts],
        measured: Counts,
        seconds: float,
        refusals: dict[tuple[str, str], int],
        latencies: dict[str, Histogram],
        first_thoughts: dict[str, Histogram],
        wait: Histogram,
        utilisation: float,
        useful: float,
        wasted: float,
        looks: dict[str, Array],
        rows: list[Row] | None,
        reading: list[Reading],
        connections: list[tuple[int, int, int, int]],
        presence: Convergence | None,
        events: int,
        wall: float,
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.replication = replication
        self.kinds = kinds
        self.measured = measured
        self.seconds = seconds
        self.refusals = refusals
        self.latencies = latencies
        self.first_thoughts = first_thoughts
        self.wait = wait
        self.utilisation = utilisation
        self.useful = useful
        self.wasted = wasted
        self.looks = looks
        self._rows = rows
        self.reading = reading
        self.connections = connections
        self.presence = presence
        self.events = events
        self.wall = wall

    def __repr__(self) -> str:
        return (
            f"<Run of seed {self.seed}, replication {self.replication}: {self.goodput:.1f} queries/s answered of "
            f"{self.offered:.1f}, p99 {in_unit(_known(self.latency.quantile(0.99)))}>"
        )

    @cached_property
    def counts(self) -> Counts:
        """What became of all queries and tries."""
        return sum(self.kinds.values(), Counts())

    @cached_property
    def latency(self) -> Histogram:
        """The latencies of all kinds together."""
        return sum(self.latencies.values(), Histogram())

    @property
    def first_thought(self) -> Histogram:
        """The times to the first thought, of all kinds together."""
        return sum(self.first_thoughts.values(), Histogram())

    @property
    def offered(self) -> float:
        """Queries asked, 1/s."""
        return self.measured.sent / self.seconds

    @property
    def goodput(self) -> float:
        """Queries answered, 1/s."""
        return self.measured.ok / self.seconds

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The numbers of `METRICS`; NaN where there is nothing to tell."""
        ended = sum(getattr(self.measured, outcome) for outcome in OUTCOMES)
        used = self.useful + self.wasted
        values = (
            self.offered, self.goodput, self.measured.ok / ended if ended else math.nan,
            self.latency.mean, self.latency.quantile(0.5), self.latency.quantile(0.99),
            self.first_thought.quantile(0.5), self.first_thought.quantile(0.99),
            self.wait.mean, self.wait.quantile(0.99), self.utilisation,
            self.wasted / used if used else 0.0,
            self.measured.tries / self.measured.sent if self.measured.sent else math.nan,
        )  # fmt: skip
        return dict(zip(METRICS, values, strict=True))

    @property
    def queries(self) -> pd.DataFrame:
        """All tries, as `synapse.telemetry.read_trace` gives a live server's queries.

        Raises
        ------
        ValueError
            If the run has kept none.
        """
        return to_frame(self._kept())

    @property
    def series(self) -> pd.DataFrame:
        """Each second of it: what has come since the last look, and how many wait and run now."""
        import pandas as pd

        frame = pd.DataFrame(self.looks).set_index("time")
        sums = [name for name in frame.columns if name not in ("waiting", "running")]
        frame[sums] = frame[sums].diff()
        return frame.iloc[1:]

    @property
    def digest(self) -> str:
        """A name for all that has come out, how long it took excepted: the same for the same scenario and seed."""
        return blake2b(json.dumps(self._plain(), sort_keys=True).encode(), digest_size=16).hexdigest()

    def summary(self) -> Summary:
        """The few numbers one asks for first."""
        return Summary(self._lines())

    def save(self, folder: str | Path) -> None:
        """Write `summary.json`, `series.parquet` and, if they were kept, `queries.parquet` into a folder."""
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_text(json.dumps(self._plain(), indent=1, sort_keys=True) + "\n")
        self.series.reset_index().to_parquet(folder / "series.parquet", index=False)
        if self._rows is not None:
            pq.write_table(self.table(), folder / "queries.parquet")

    def table(self) -> pa.Table:
        """All tries, as the Arrow table that a live server's recorder leaves."""
        return to_table(self._kept())

    def plot(self, path: str | Path | None = None) -> TraceFigure:
        """Draw it: what was asked and answered, the queue, and latencies.

        Parameters
        ----------
        path
            Where to save it; the suffix says how (``.png``, ``.svg``, ``.pdf``).
        """
        from synapse.simulation.figure import draw

        return draw(self, path)

    def _kept(self) -> list[Row]:
        if self._rows is None:
            raise ValueError("this run has kept no table of queries: run it with queries=True")
        return self._rows

    def _lines(self) -> list[tuple[str, str]]:
        numbers, counts = self.metrics, self.counts
        lines = [("queries", f"{counts.sent:,}")]
        lines += [(name.replace("_", " "), f"{getattr(counts, name):,}") for name in (*OUTCOMES, "in_flight")]
        lines += [
            ("tries per query", f"{numbers['tries_per_query']:.3f}"),
            ("offered", f"{self.offered:.1f} /s"),
            ("goodput", f"{self.goodput:.1f} /s"),
            ("latency mean", in_unit(_known(numbers["latency_mean"]))),
            ("latency p50", in_unit(_known(numbers["latency_p50"]))),
            ("latency p99", in_unit(_known(numbers["latency_p99"]))),
            *self._lines_of_thoughts(),
            ("wait mean", in_unit(_known(numbers["wait_mean"]))),
            ("utilisation", f"{self.utilisation:.1%}"),
            ("wasted work", f"{numbers['wasted']:.1%}"),
        ]
        lines += [(f"refused: {policy}", f"{times:,}") for (_, policy), times in self.refusals.items()]
        return lines + self._lines_of_parts()

    def _lines_of_thoughts(self) -> list[tuple[str, str]]:
        if not self.scenario.node.thoughts:
            return []
        names = ("first_thought_p50", "first_thought_p99")
        return [(name.replace("_", " "), in_unit(_known(self.metrics[name]))) for name in names]

    def _lines_of_parts(self) -> list[tuple[str, str]]:
        """What is there in some scenarios only."""
        lines = []
        if self.connections:
            drops, tries, made, _ = map(sum, zip(*self.connections, strict=True))
            lines += [("connections lost", f"{drops:,}"), ("made again", f"{made:,}"), ("tries for that", f"{tries:,}")]
        if self.reading:
            read, dropped = sum(each.read for each in self.reading), sum(each.dropped for each in self.reading)
            lost = sum(each.lost + each.missed for each in self.reading)
            lines += [("messages read", f"{read:,}"), ("dropped", f"{dropped:,}"), ("lost by cuts", f"{lost:,}")]
            taken = sum(each.taken for each in self.reading)
            lines.append(("mean age when read", in_unit(sum(each.age for each in self.reading) / max(1, taken))))
        if self.presence is not None:
            lines.append(("presence right", f"{self.presence.fraction:.1%}"))
        return lines

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def _plain(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario.encode(),
            "key": self.scenario.key,
            "seed": self.seed,
            "replication": self.replication,
            "kinds": {name: asdict(counts) for name, counts in self.kinds.items()},
            "measured_s": self.seconds,
            "metrics": {name: _known(value) for name, value in self.metrics.items()},
            "refusals": {f"{reason}/{policy}": times for (reason, policy), times in self.refusals.items()},
            "reading": [msgspec.structs.asdict(each) for each in self.reading],
            "connections": self.connections,
            "presence": None if self.presence is None else [self.presence.times, self.presence.right],
            "series": {name: values.tolist() for name, values in self.looks.items()},
            "events": self.events,
        }


class Summary:
    """Names and values with their units, as a table shows them."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self.lines = lines

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.lines)
        return "\n".join(f"{name:<{width}} {value:>14}" for name, value in self.lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:right">{html.escape(value)}</td></tr>'
            for name, value in self.lines
        )
        return f"<table>{rows}</table>"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
