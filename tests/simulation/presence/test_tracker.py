"""The periods, and what a tracker sends when."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from synapse.policies import PolicyError
from synapse.simulation.env import Environment
from synapse.simulation.links import Links
from synapse.simulation.presence import Changes, Convergence, Replication, Tracker
from synapse.simulation.presence.tracker import Farewell, Heartbeat, Transfer, TransferRequest

OTHER = (1, 1)


class Bench:
    """One tracker, and a node that only listens."""

    def __init__(self, policy: Replication | None = None) -> None:
        self.env = Environment()
        self.links = Links(self.env, lambda: 0.0, Random(1).random)
        self.heard: list[tuple[float, Any]] = []
        self.links.attach(1, lambda message: self.heard.append((self.env.time(), message)))
        convergence = Convergence(self.env, 2)
        convergence.started(0)
        self.tracker = Tracker(self.env, self.links, (0, 1), policy or Replication(), lambda: 0.0, convergence)

    def say(self, message: Any) -> None:
        self.links.send(1, 0, message)

    def said(self, kind: type) -> list[Any]:
        return [message for _, message in self.heard if isinstance(message, kind)]


def test_an_idle_node_says_at_once_and_after_each_ten_silent_periods_that_it_is_there() -> None:
    bench = Bench()
    bench.env.run(60)
    assert [time for time, _ in bench.heard] == pytest.approx([0, 16.5, 33, 49.5])
    assert all(message.delta is None for _, message in bench.heard)


def test_news_is_told_with_the_next_heartbeat_and_the_silence_counted_from_there() -> None:
    bench = Bench()
    bench.env.run(2)
    bench.tracker.track()
    bench.env.run(25)
    assert [(time, message.delta is not None) for time, message in bench.heard] == [
        (0.0, False), (3.0, True), (19.5, False),
    ]  # fmt: skip


def test_the_first_heartbeat_comes_within_a_quarter_of_a_period() -> None:
    env = Environment()
    times = []
    for u in (0.0, 0.5, 0.999):
        links = Links(env, lambda: 0.0, Random(1).random)
        links.attach(1, lambda message: times.append(env.time()))
        convergence = Convergence(env, 2)
        convergence.started(0)
        Tracker(env, links, (0, 1), Replication(), lambda u=u: u, convergence)
    env.run(1)
    assert times == pytest.approx([0, 0.1875, 0.374625])


def test_who_knows_more_is_asked_every_second_period_and_those_who_do_not_are_not() -> None:
    bench = Bench()
    bench.env.run(1)
    bench.say(Heartbeat(OTHER, None, {OTHER: 3}))
    bench.env.run(1.6)
    (asked,) = bench.said(TransferRequest)
    assert asked.context == {(0, 1): 0, OTHER: 0}
    bench.say(Transfer(OTHER, Changes({OTHER: 3}, {}, {OTHER: {2}})))
    bench.say(Heartbeat(OTHER, None, {(0, 1): 0, OTHER: 3}))
    bench.env.run(10)
    assert bench.said(TransferRequest) == [asked]
    assert set(bench.tracker.set.online()) == {(OTHER, 2)}


def test_who_asks_is_told_all_that_is_known_of_those_it_knows() -> None:
    bench = Bench()
    tag = bench.tracker.track()
    bench.say(TransferRequest(OTHER, {OTHER: 0}))
    bench.say(TransferRequest(OTHER, {OTHER: 0, (0, 1): 0}))
    bench.env.run(0.1)
    assert [len(answer.state) for answer in bench.said(Transfer)] == [0, 1]
    assert bench.said(Transfer)[1].state.values == {tag[0]: {tag[1]}}


def test_a_farewell_is_believed_of_the_start_it_is_from_only() -> None:
    bench = Bench()
    bench.say(Farewell(OTHER))  # of one never heard of
    bench.say(Heartbeat((1, 2), None, {(1, 2): 0}))
    bench.say(Farewell(OTHER))
    bench.env.run(0.1)
    assert bench.tracker.replicas[1].ref == (1, 2)
    bench.say(Farewell((1, 2)))
    bench.env.run(0.2)
    assert bench.tracker.replicas == {}


def test_a_crashed_node_says_nothing_any_more_and_leaves_no_timer() -> None:
    bench = Bench()
    bench.env.run(1)
    bench.tracker.crash()
    assert len(bench.env) == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"down_period": 2}, "down_period: must be at least two broadcast periods, 3 s; not 2"),
        ({"max_silent_periods": 0}, "down_period: must be at least two broadcast periods, 3 s; not 0"),
        ({"permdown_period": 30}, "permdown_period: must be longer than the down period, 30 s; not 30"),
        ({"broadcast_period": 0}, "broadcast_period: must be a number > 0 and <= 1e.09, in s; not 0"),
        ({"clock_sample_periods": 0}, "clock_sample_periods: must be a whole number >= 1"),
    ],
)
def test_periods_that_make_no_sense_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        Replication(**fields)


def test_the_periods_are_phoenixs_own_unless_others_are_given() -> None:
    policy = Replication()
    assert (policy.broadcast_period, policy.max_silent_periods, policy.down, policy.permdown_period) == (
        1.5,
        10,
        30,
        1200,
    )
    assert Replication(broadcast_period=1, max_silent_periods=5).down == 10
