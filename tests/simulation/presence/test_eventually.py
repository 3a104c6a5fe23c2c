"""Whatever happens: once it is quiet, all nodes agree, and are right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse.simulation.presence import Replication, Status, Tag
from tests.simulation.presence.cluster import Cluster

NODES = 4
QUICK = Replication(max_silent_periods=4, down_period=9, permdown_period=30)

node = st.integers(0, NODES - 1)
steps = st.lists(
    st.tuples(st.just("join"), node)
    | st.tuples(st.just("leave"), st.integers(0, 10**6))
    | st.tuples(st.sampled_from(["crash", "stop", "restart"]), node)
    | st.tuples(st.just("split"), st.sets(node))
    | st.tuples(st.just("heal"))
    | st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 5.0, 12.0, 40.0])),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(steps=steps, seed=st.integers(0, 999), loss=st.sampled_from([0.0, 0.3]))
def test_once_the_network_is_whole_and_no_one_comes_or_goes_all_views_become_right(
    steps: list[Any], seed: int, loss: float
) -> None:
    cluster = Cluster(seed, NODES, present=2, loss=loss, policy=QUICK, settle=0)
    roster, tags = cluster.roster, list(cluster.tags)
    for what, *how in steps:
        do(cluster, tags, what, how)
    cluster.links.heal()
    cluster.links._loss = 0.0
    cluster.wait(60)
    for observer in cluster.nodes:
        if roster.running(observer):
            assert roster.online(observer) == set(tags)
    assert cluster.convergence.fraction == 1.0


def do(cluster: Cluster, tags: list[Tag], what: str, how: list[Any]) -> None:
    roster = cluster.roster
    match what, how:
        case "join", [place] if roster.running(place):
            tags.append(roster.join(place))
        case "leave", [number] if tags:
            roster.leave(tags.pop(number % len(tags)))
        case "restart", [place]:
            roster.restart(place)
        case "crash" | "stop", [place]:
            getattr(roster, what)(place)
            tags[:] = [tag for tag in tags if tag[0][0] != place]
        case "split", [group]:
            cluster.links.split([group])
        case "heal", _:
            cluster.links.heal()
        case "wait", [seconds]:
            cluster.wait(seconds)


def test_a_cluster_that_loses_a_tenth_of_all_messages_converges_and_stays_up_when_busy() -> None:
    cluster = Cluster(nodes=6, loss=0.1, busy=True)
    joined = [cluster.roster.join(node) for node in cluster.nodes for _ in range(3)]
    cluster.wait(30)
    assert all(tag in cluster.roster.online(node) for tag in joined for node in cluster.nodes)
    assert cluster.links.lost / cluster.links.sent == pytest.approx(0.1, abs=0.02)
    assert cluster.seen(Status.DOWN, 0) == []
