"""What a run tells: numbers, a table, tables of queries and seconds, pictures, files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from synapse.simulation import Run, Scenario
from synapse.simulation.run import METRICS
from synapse.simulation.timetable import fault_streams, spells
from synapse.simulation.variates import Variates
from synapse.simulation.world import MOST_QUERIES, expected
from synapse.telemetry import COLUMNS, read_trace


@pytest.fixture(scope="module")
def run() -> Run:
    return Scenario(
        duration=20,
        warmup=5,
        agents={"count": 60, "think": {"kind": "exponential", "mean": 1}, "retry": "full-jitter"},
        node={"slots": 2, "queue": {"kind": "fifo", "bound": 4}},
    ).run(seed=2, queries=True)


def test_queries_come_in_the_live_servers_schema(run: Run, tmp_path: Path) -> None:
    frame = run.queries
    assert {column.name for column in COLUMNS} <= set(frame.columns)
    assert len(frame) == run.counts.tries - run.counts.tries_in_flight
    run.save(tmp_path)
    assert read_trace(tmp_path / "queries.parquet").equals(frame)


def test_its_numbers_are_those_of_its_queries(run: Run) -> None:
    frame = run.queries
    served = frame[(frame["status"] == "success") & (frame["finished"] >= 5)]
    assert run.goodput == pytest.approx(len(served) / 15)
    accepted = frame[(frame["status"] != "rejected") & (frame["finished"] >= 5)]
    waits = accepted["started"].fillna(accepted["finished"]) - accepted["submitted"]
    assert run.wait.count == len(waits)
    assert run.wait.mean == pytest.approx(waits.mean())
    busy = (frame["finished"] - frame["started"]).sum() / (2 * 20)
    assert run.utilisation == pytest.approx(busy, rel=0.2)
    assert run.refusals[("overloaded", "fifo")] == (frame["status"] == "rejected").sum()


def test_each_second_adds_up_to_the_whole(run: Run) -> None:
    series = run.series
    assert len(series) == 20
    assert series["sent"].sum() == run.counts.sent
    assert series["ok"].sum() == run.counts.ok
    assert (series["running"] <= 2).all()
    assert (series["waiting"] <= 4).all()
    assert (series["served"] <= 2 + 1e-9).all()


def test_it_sums_itself_up_with_units(run: Run) -> None:
    text = str(run.summary())
    for words in ("goodput", " /s", "latency p99", "ms", "utilisation", "%", "refused: fifo"):
        assert words in text
    assert "<table>" in run._repr_html_()
    assert "queries/s answered of" in repr(run)
    assert list(run.metrics) == list(METRICS)


def test_it_tells_when_first_thoughts_come_where_answers_are_streamed(run: Run) -> None:
    assert math.isnan(run.metrics["first_thought_p50"])
    streamed = run.scenario.replace({"node.thoughts": 4, "agents.retry": "none"}).run(seed=1)
    answered = streamed.queries.query("status == 'success' and submitted >= @streamed.scenario.warmup")
    for name, share in (("first_thought_p50", 0.5), ("first_thought_p99", 0.99)):
        exact = answered["first_thought_latency"].quantile(share)
        assert streamed.metrics[name] == pytest.approx(exact, rel=0.02)
    assert "first thought p99" in str(streamed.summary())
    assert streamed.first_thought.count == streamed.latency.count


def test_it_tells_of_connections_messages_and_presence_where_they_are() -> None:
    scenario = Scenario(
        duration=8,
        warmup=1,
        agents={"count": 20, "connection": {}, "reading": {"rate": 9}, "think": {"kind": "exponential", "mean": 0.3}},
        cluster={"nodes": 2},
        node={"thoughts": 5, "mailbox": {"kind": "drop-oldest", "messages": 2}},
        faults=[{"kind": "node-crash", "at": 3, "node": 0}],
        presence={},
    )
    run = scenario.run()
    told = dict(run.summary().lines)
    drops, tries, made, _ = run.connections[0]
    assert drops > 0
    assert (told["connections lost"], told["made again"], told["tries for that"]) == (str(drops), str(made), str(tries))
    assert told["messages read"] == f"{run.reading[0].read:,}"
    assert told["dropped"] == f"{run.reading[0].dropped:,}" != "0"
    assert told["mean age when read"].endswith(" ms")
    assert told["presence right"] == f"{run.presence.fraction:.1%}"
    assert json.loads(json.dumps(run._plain()))["presence"] == [run.presence.times, run.presence.right]


def test_it_draws_itself(run: Run, tmp_path: Path) -> None:
    figure = run.plot(tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 10_000
    assert [axes.get_xlabel() for axes in figure.axes] == ["time (s)", "time (s)", "latency (s)"]
    assert figure._suptitle.get_text() == "60 agents, 1 node of 2 slots; seed 2, replication 0"


def test_its_picture_shows_the_faults_when_they_happened() -> None:
    faults = [{"kind": "slow-down", "at": 3, "width": 2}, {"kind": "node-crash", "rate": 1, "restart_after": 1}]
    run = Scenario(duration=9.5, warmup=1, agents={"count": 20}, faults=faults).run(seed=4)
    rates = run.plot().axes[0]
    spans = [round(patch.get_x() + patch.get_width(), 9) for patch in rates.patches if hasattr(patch, "get_x")]
    crashes = spells(run.scenario.faults, 9.5, fault_streams(Variates(4)), 1)[1:]
    assert len(crashes) > 1
    assert spans == [5.0, *(round(min(crash.end, 9.5), 9) for crash in crashes)]
    labels = [text.get_text() for text in rates.get_legend().get_texts()]
    assert labels[-2:] == ["slow down", "node crash"]


def test_a_run_of_nothing_can_be_told_and_drawn() -> None:
    nothing = Scenario(duration=2, warmup=1, agents={"count": 1, "think": {"kind": "deterministic", "value": 9}}).run()
    assert (nothing.counts.sent, nothing.goodput) == (0, 0.0)
    assert "-" in str(nothing.summary())
    nothing.plot()


def test_its_summary_is_json(run: Run, tmp_path: Path) -> None:
    run.save(tmp_path)
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["seed"] == 2
    assert Scenario.decode(told["scenario"]) == run.scenario
    assert told["kinds"]["agents"]["sent"] == run.counts.sent


def test_a_large_run_keeps_no_queries_unless_it_is_asked_to() -> None:
    large = Scenario(duration=1, warmup=0, agents={"count": 10, "arrivals": {"kind": "poisson", "rate": 200_000}})
    assert expected(large) > MOST_QUERIES
    small = large.replace({"agents.arrivals.rate": 20})
    assert len(small.run().queries) > 0
    with pytest.raises(ValueError, match="queries=True"):
        _ = small.run(queries=False).queries
