"""Results: every number with its interval, and no mean where it means nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from synapse.experiment import Results, Study, StudyError
from synapse.experiment.design import Point
from synapse.experiment.interval import of_mean, of_share
from synapse.experiment.measure import UNITS
from synapse.policies import RetryBudget
from synapse.simulation import Scenario
from tests.support.inline import Inline

BASE = Scenario(duration=8, warmup=1, agents={"count": 40, "think": {"kind": "exponential", "mean": 0.5}})


@pytest.fixture(scope="module")
def results() -> Results:
    return Study(BASE, reps=4, slots=[2, 4], queue=["fifo", "lifo"]).run(Inline(), progress=False)


def row(rep: int, **named: Any) -> dict[str, Any]:
    numbers = dict.fromkeys(UNITS, 1.0) | {"before": math.nan, "final": 100.0, "asked": 100.0, "recovery": math.nan}
    return {"key": "k", "rep": rep, "seed": 1, **numbers, "wall": 0.1, **named}


def of_rows(*rows: dict[str, Any]) -> Results:
    return Results([Point({"timeout": 1.0}, BASE, "k")], rows, 1)


def test_a_summary_has_each_metric_of_each_point_with_its_interval(results: Results) -> None:
    assert len(results.summary) == 4 * len(UNITS)
    frame, line = results.frame, results.summary.set_index(["slots", "queue", "metric"]).loc[(4, "lifo", "latency_p99")]
    values = frame[(frame["slots"] == 4) & (frame["queue"] == "lifo")]["latency_p99"]
    found = of_mean(values)
    assert (line["mean"], line["low"], line["high"], line["n"]) == (found.mean, found.low, found.high, 4)
    assert (line["unit"], line["seed"]) == ("s", 1)


def test_a_bistable_point_has_a_probability_and_no_mean() -> None:
    rows = [row(rep, final=5.0 if rep < 3 else 100.0) for rep in range(10)]
    results = of_rows(*rows)
    assert results.summary["mean"].isna().all()
    assert set(results.summary["note"]) == {"bistable: 3 of 10 collapsed"}
    regime, share = results.regimes.iloc[0], of_share(3, 10)
    assert (regime["probability"], regime["low"], regime["high"]) == (share.mean, share.low, share.high)


def test_recovery_is_of_those_that_have_recovered() -> None:
    rows = [row(0, before=100.0, recovery=2.0), row(1, before=100.0, recovery=4.0), row(2, before=100.0, final=1.0)]
    regime = of_rows(*rows).regimes.iloc[0]
    assert (regime["recovery"], regime["recovered"], regime["collapsed"]) == (3.0, 2, 1)


def test_where_all_have_collapsed_the_mean_is_one() -> None:
    results = of_rows(*(row(rep, before=100.0, final=1.0) for rep in range(4)))
    assert results.regimes.iloc[0]["probability"] == 1.0
    assert (results.summary["mean"] == 1.0).all()


def test_a_lull_is_no_collapse() -> None:
    rows = [row(rep, final=final, asked=final) for rep, final in enumerate((100.0, 5.0, 90.0, 6.0))]
    assert not of_rows(*rows).regimes["bistable"].any()


def test_chance_is_no_collapse() -> None:
    assert not of_rows(row(0, final=0.5), row(1, final=2.0)).regimes.iloc[0]["bistable"]


def test_a_run_recovers_after_a_fault() -> None:
    base = Scenario(
        duration=40, warmup=2, node={"slots": 8}, faults=[{"kind": "slow-down", "at": 12, "width": 5, "factor": 20}],
        agents={"arrivals": {"kind": "poisson", "rate": 100}, "timeout": {"kind": "fixed", "seconds": 1}},
    )  # fmt: skip
    regime = Study(base, reps=3).run(Inline(), progress=False).regimes.iloc[0]
    assert (regime["collapsed"], regime["recovered"]) == (0, 3)
    assert 0 <= regime["recovery"] < 20


def test_comparisons_are_paired(results: Results) -> None:
    found = results.compare("queue", to="fifo", metric="p99")
    assert list(found["slots"]) == [2, 4]
    table = results.frame[results.frame["slots"] == 2].pivot_table(index="rep", columns="queue", values="latency_p99")
    expected = of_mean(table["lifo"] - table["fifo"])
    assert found.iloc[0][["difference", "low", "high"]].tolist() == pytest.approx(
        [expected.mean, expected.low, expected.high]
    )


def test_of_a_bistable_point_there_is_no_difference() -> None:
    points = [Point({"timeout": way}, BASE, way) for way in ("a", "b")]
    steady = [row(rep) | {"key": "a"} for rep in range(4)]
    torn = [row(rep, final=100.0 * (rep % 2)) | {"key": "b"} for rep in range(4)]
    line = Results(points, steady + torn, 1).compare("timeout", to="a").iloc[0]
    assert line["note"] == "bistable"
    assert math.isnan(line["difference"])


def test_without_a_replication_it_says_so() -> None:
    empty = Results([Point({"timeout": 1.0}, BASE, "k")], [], 1)
    for ask in (lambda: empty.summary, lambda: empty.regimes, empty.theory, lambda: empty.plot("timeout"), empty.welch):
        with pytest.raises(StudyError, match="results: have no replication yet"):
            ask()
    assert "0 replications" in empty._repr_html_()


def test_a_value_may_be_named_by_the_policy_itself() -> None:
    budget = RetryBudget()
    results = Study(BASE, reps=2, budget=[None, budget]).run(Inline(), progress=False)
    assert list(results.compare("budget", to=None)["budget"]) == ["RetryBudget"]
    assert list(results.compare("budget", to=budget)["to"]) == ["RetryBudget"]
    assert len(results.where(budget=budget).points) == 1
    with pytest.raises(StudyError, match="budget: has no value 'RetryBudge'; it has None, RetryBudget"):
        results.compare("budget", to="RetryBudge")


def test_theory_stands_beside_what_was_simulated() -> None:
    table = Study(BASE, reps=2, queue=["fifo", "codel"]).run(Inline(), progress=False).theory()
    exact = table.set_index(["queue", "metric"])["theory"]
    assert exact["fifo", "goodput"] == BASE.replace({"node.queue": "fifo"}).theory().metrics["goodput"]
    assert math.isnan(exact["codel", "goodput"])
    assert table[table["queue"] == "codel"]["theorem"].str.startswith("none: ").all()


def test_a_grid_is_a_dataset(results: Results) -> None:
    pytest.importorskip("xarray")
    dataset = results.to_xarray()
    assert dict(dataset.sizes) == {"slots": 2, "queue": 2, "rep": 4}
    frame = results.frame.set_index(["slots", "queue", "rep"])
    assert float(dataset["goodput"].sel(slots=4, queue="lifo", rep=2)) == frame.loc[(4, "lifo", 2), "goodput"]
    assert dataset["latency_p99"].attrs["units"] == "s"
    with pytest.raises(StudyError, match="points: must be a full grid of 4; there are 3"):
        Results(results.points[:3], results.rows, 1).to_xarray()


def test_a_plot_has_a_line_a_band_and_a_dot_for_each_replication(results: Results, tmp_path: Path) -> None:
    figure = results.plot("slots", "goodput", hue="queue", path=tmp_path / "f.png")
    dots, line, *_ = figure.axes[0].lines
    assert (len(dots.get_xdata()), len(line.get_xdata())) == (8, 2)  # type: ignore[arg-type]
    assert len(figure.axes[0].collections) == 2
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_words_on_an_axis_are_ticks(results: Results) -> None:
    figure = results.where(slots=2).plot("queue", "p99")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["fifo", "lifo"]


def test_welchs_plot_has_each_second_and_the_warm_up(results: Results) -> None:
    axes = results.where(slots=2, queue="fifo").welch(window=3).axes[0]
    mean, smooth, warmup = axes.lines
    assert (len(mean.get_xdata()), len(smooth.get_xdata())) == (8, 6)  # type: ignore[arg-type]
    assert warmup.get_xdata()[0] == BASE.warmup  # type: ignore[index]


def test_a_notebook_shows_a_table(results: Results) -> None:
    shown = results._repr_html_()
    assert "16 replications of seed 1" in shown
    assert "fifo" in shown
    assert "±" in shown
    assert "0 replications" in Results(results.points, [], 1)._repr_html_()


@pytest.mark.parametrize(
    ("ask", "problem"),
    [
        (lambda r: r.plot("slots", "p98", hue="queue"), "metric: 'p98' is none. Did you mean 'p99'?"),
        (lambda r: r.plot("slot"), "slot: is no axis; there are slots, queue"),
        (lambda r: r.plot("slots"), "queue: has several values: choose one by `where`"),
        (lambda r: r.compare("queue", to="none"), "queue: has no value 'none'"),
        (lambda r: r.compare("load", to=1), "load: is no axis"),
        (lambda r: r.where(slots=9), "slots: no point has these values"),
        (lambda r: r.welch("p99"), "series: must be one of goodput, waiting; not 'p99'"),
    ],
)
def test_what_is_wrong_is_named(results: Results, ask: Any, problem: str) -> None:
    with pytest.raises(StudyError) as caught:
        ask(results)
    assert str(caught.value).startswith(problem)
