"""The best point, how sure it is, and its way to a live server."""

from __future__ import annotations

from typing import Any

import pytest

import synapse
from synapse.client.io import io_thread
from synapse.experiment import Results, Study, StudyError
from synapse.experiment.best import PARTS
from synapse.experiment.design import Point
from synapse.policies import Fifo, FixedTimeout
from synapse.simulation import Scenario
from tests.experiment.test_results import row
from tests.support.inline import Inline

BASE = Scenario(duration=5, warmup=1, agents={"count": 20})
WAYS = ("short", "long", "longer")


def results(**values: list[list[float]]) -> Results:
    points = [Point({"timeout": way}, BASE, way) for way in WAYS]
    rows = [
        row(rep, **({"goodput": 1.0, "latency_p99": 1.0} | {name: of[place][rep]})) | {"key": way}
        for name, of in values.items()
        for place, way in enumerate(WAYS)
        for rep in range(len(of[place]))
    ]
    return Results(points, rows, 1)


def test_more_goodput_is_better_and_less_latency() -> None:
    numbers = [[1.0, 1.2], [3.0, 3.2], [2.0, 2.1]]
    assert results(goodput=numbers).best().point.key == "long"
    assert results(latency_p99=numbers).best("p99").point.key == "short"
    assert results(latency_p99=numbers).best("p99", least=False).point.key == "long"


def test_the_lead_is_paired() -> None:
    best = results(goodput=[[1.0, 2.0, 3.0], [1.5, 2.6, 3.4], [0.0, 0.0, 0.0]]).best()
    assert best.lead.mean == pytest.approx(0.5)
    assert best.is_sure
    assert "next best" not in str(best)


def test_chance_is_no_lead() -> None:
    best = results(goodput=[[1.0, 2.0, 3.0], [1.5, 1.6, 3.4], [0.0, 0.0, 0.0]]).best()
    assert not best.is_sure
    assert "the next best may be as good" in str(best)


def test_a_bistable_point_is_never_the_best() -> None:
    points = [Point({"timeout": way}, BASE, way) for way in WAYS[:2]]
    steady = [row(rep, goodput=50.0) | {"key": "short"} for rep in range(2)]
    torn = [row(rep, goodput=200.0 * rep, final=100.0 * rep) | {"key": "long"} for rep in range(2)]
    assert Results(points, steady + torn, 1).best().point.key == "short"


def test_the_few_quick_answers_of_a_point_that_loses_most_are_not_the_best() -> None:
    points = [Point({"timeout": way}, BASE, way) for way in WAYS]
    dead = [row(rep, latency_p99=0.1, final=0.0, before=100.0) | {"key": "short"} for rep in range(2)]
    lossy = [row(rep, latency_p99=0.2, success=0.5) | {"key": "long"} for rep in range(2)]
    sound = [row(rep, latency_p99=0.9, success=0.99) | {"key": "longer"} for rep in range(2)]
    assert Results(points, dead + lossy + sound, 1).best("p99").point.key == "longer"


def test_without_a_mean_there_is_none() -> None:
    with pytest.raises(StudyError, match="metric: 'goodput' has no mean"):
        Results([], [], 1).best()


def test_its_rules_go_to_a_live_server_and_leave_the_others_alone() -> None:
    base = BASE.replace({"node.timeout.seconds": 7, "node.queue": {"kind": "fifo", "bound": 3}})
    best = Study(base, reps=2, node__slots=[1, 6]).run(Inline(), progress=False).best("utilisation")
    with synapse.connect() as agent:
        before = agent.server.policies
        after: Any = best.apply(agent.server)
        try:
            assert (after.timeout, after.queue) == (FixedTimeout(7), Fifo(3))
            assert after.concurrency.limit == best.point.scenario.node.slots == 1
            assert after.connections == before.connections
            assert set(best.rules) == set(PARTS)
        finally:
            agent.server.apply(before)
    io_thread().stop()
