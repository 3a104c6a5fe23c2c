"""When faults happen, and what a cluster is told then."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import PolicyError
from synapse.simulation.env import Environment
from synapse.simulation.faults import (
    DependencySlowDown,
    Fault,
    LoadPulse,
    Netsplit,
    NodeCrash,
    ReconnectHerd,
    SlowDown,
    SlowNode,
)
from synapse.simulation.timetable import Action, expand, schedule


def no_streams(place: int) -> Callable[[], float]:
    raise AssertionError("nothing here is by lot")


def streams(seed: int = 1) -> Callable[[int], Callable[[], float]]:
    return lambda place: Random(f"{seed} {place}").random


def told(*faults: Fault, duration: float = 100, nodes: int = 4) -> list[tuple[Any, ...]]:
    """Times, methods and arguments."""
    return [
        (time, action.do, *action.arguments)
        for time, action in expand(faults, duration, no_streams, nodes)
    ]  # fmt: skip


class TestOneFault:
    def test_a_node_crashes_and_is_there_again(self) -> None:
        assert told(NodeCrash(at=20, node=1, restart_after=5)) == [(20, "crash", 1), (25, "restart", 1)]
        assert told(NodeCrash(at=20, node=1)) == [(20, "crash", 1)]

    def test_a_node_is_slow_for_a_while(self) -> None:
        assert told(SlowNode(at=20, node=2, factor=3, width=5)) == [(20, "slow", 2, 3), (25, "slow", 2, 1)]

    def test_all_are(self) -> None:
        assert told(SlowDown(at=20, width=5, factor=4), nodes=2) == [
            (20, "slow", 0, 4), (20, "slow", 1, 4), (25, "slow", 0, 1), (25, "slow", 1, 1),
        ]  # fmt: skip

    def test_a_slow_dependency_slows_its_share_of_the_service(self) -> None:
        assert told(DependencySlowDown(at=1, factor=5, share=0.25), nodes=1) == [(1, "slow", 0, 2.0)]

    def test_nodes_of_no_group_are_a_group_of_their_own(self) -> None:
        assert told(Netsplit(at=1, groups=((1, 2),), heal_after=9)) == [(1, "split", ((0, 3), (1, 2))), (10, "heal")]

    def test_a_split_that_parts_no_one_is_none(self) -> None:
        assert told(Netsplit(at=1, groups=((0, 1, 2, 3),), heal_after=9)) == []

    def test_load_rises_and_falls(self) -> None:
        assert told(LoadPulse(at=0, factor=2, width=10)) == [(0, "pulse", 2), (10, "pulse", 1)]

    def test_connections_break(self) -> None:
        assert told(ReconnectHerd(at=7, share=0.5)) == [(7, "drop", 0.5)]

    def test_what_would_happen_at_the_end_or_later_does_not(self) -> None:
        assert told(SlowNode(at=5, node=0, width=5), NodeCrash(at=10, node=1), duration=10) == [(5, "slow", 0, 4)]


class TestOverlap:
    def test_factors_multiply_and_leave_exactly_nothing_behind(self) -> None:
        both = SlowNode(at=0, node=0, factor=3, width=10), SlowDown(at=5, factor=0.1, width=10)
        assert told(*both, nodes=1) == [
            (0, "slow", 0, 3), (5, "slow", 0, pytest.approx(0.3)), (10, "slow", 0, 0.1), (15, "slow", 0, 1.0),
        ]  # fmt: skip

    def test_one_that_follows_on_another_of_the_same_size_changes_nothing(self) -> None:
        assert told(LoadPulse(at=0, factor=2, width=10), LoadPulse(at=10, factor=2, width=10)) == [
            (0, "pulse", 2), (20, "pulse", 1),
        ]  # fmt: skip

    def test_a_node_is_there_again_when_its_last_crash_has_ended(self) -> None:
        assert told(NodeCrash(at=0, node=1, restart_after=10), NodeCrash(at=5, node=1, restart_after=10)) == [
            (0, "crash", 1), (15, "restart", 1),
        ]  # fmt: skip

    def test_nodes_reach_each_other_when_no_split_parts_them(self) -> None:
        assert told(
            Netsplit(at=0, groups=((0, 1),), heal_after=10), Netsplit(at=5, groups=((1, 2),), heal_after=10)
        ) == [
            (0, "split", ((0, 1), (2, 3))),
            (5, "split", ((0,), (1,), (2,), (3,))),
            (10, "split", ((0, 3), (1, 2))),
            (15, "heal"),
        ]

    def test_what_ends_comes_before_what_begins(self) -> None:
        assert told(NodeCrash(at=0, node=2, restart_after=5), NodeCrash(at=5, node=1)) == [
            (0, "crash", 2), (5, "restart", 2), (5, "crash", 1),
        ]  # fmt: skip


class TestByLot:
    def test_a_node_may_be_by_lot_when_the_time_is_not(self) -> None:
        hit = {expand([NodeCrash(at=5)], 10, streams(seed), 3)[0][1].arguments[0] for seed in range(30)}
        assert hit == {0, 1, 2}

    def test_they_come_at_their_rate_while_they_are_not_there(self) -> None:
        """Up for 100 s in the mean, down for 25: 8 crashes in 1,000 s."""
        fault = NodeCrash(rate=0.01, node=0, restart_after=25)
        crashes = [
            sum(action.do == "crash" for _, action in expand([fault], 10_000, streams(seed), 1)) for seed in range(50)
        ]
        # A renewal process: variance over mean is the square of the cycle's coefficient of variation, .64.
        assert sum(crashes) / 50 == pytest.approx(80, abs=3 * (80 * 0.64 / 50) ** 0.5 + 1)

    def test_gaps_are_exponential(self) -> None:
        times = [time for time, _ in expand([ReconnectHerd(rate=2)], 5000, streams(), 1)]
        gaps = [after - before for before, after in pairwise(times)]
        assert sum(gaps) / len(gaps) == pytest.approx(0.5, abs=3 * 0.5 / len(gaps) ** 0.5)
        assert sum(gap > 0.5 for gap in gaps) / len(gaps) == pytest.approx(0.3679, abs=0.015)

    def test_any_node_may_be_hit(self) -> None:
        hit = [
            action.arguments[0]
            for _, action in expand([NodeCrash(rate=1, restart_after=0.01)], 3000, streams(), 3)
            if action.do == "crash"
        ]
        for node in range(3):
            assert hit.count(node) / len(hit) == pytest.approx(1 / 3, abs=3 * (2 / 9 / len(hit)) ** 0.5)

    def test_a_crash_without_a_restart_happens_once(self) -> None:
        assert len(expand([NodeCrash(rate=1, node=0)], 1000, streams(), 1)) == 1

    def test_each_has_a_stream_of_its_own(self) -> None:
        herd = ReconnectHerd(rate=1)
        alone = expand([herd], 100, streams(), 4)
        beside = expand([herd, NodeCrash(rate=1, restart_after=1)], 100, streams(), 4)
        assert [entry for entry in beside if entry[1].do == "drop"] == alone
        assert expand([herd], 100, streams(2), 4) != alone


@given(
    faults=st.lists(
        st.builds(SlowNode, at=st.integers(0, 30), node=st.integers(0, 2), width=st.none() | st.integers(1, 9))
        | st.builds(SlowDown, at=st.integers(0, 30), factor=st.sampled_from([0.1, 3.0, 7.0]), width=st.integers(1, 9))
        | st.builds(NodeCrash, at=st.integers(0, 30), node=st.integers(0, 2), restart_after=st.integers(1, 9))
        | st.builds(Netsplit, at=st.integers(0, 30), groups=st.just(((0, 1),)), heal_after=st.integers(1, 9))
        | st.builds(LoadPulse, at=st.integers(0, 30), width=st.integers(1, 9))
    )
)
def test_only_changes_are_told_and_all_is_well_when_all_has_ended(faults: list[Fault]) -> None:
    cluster = Notes()
    env = Environment()
    timetable = expand(faults, 1000, no_streams, 3)
    schedule(env, cluster, timetable)
    env.run(None)
    assert [time for time, _ in timetable] == sorted(time for time, _ in timetable)
    assert cluster.gone == set()
    assert cluster.groups is None
    assert cluster.factor == 1.0
    for node in range(3):
        left = [
            fault.factor
            for fault in faults
            if isinstance(fault, SlowNode) and fault.width is None and fault.node == node
        ]
        assert cluster.slowed.get(node, 1.0) == pytest.approx(4.0 ** len(left))


def test_a_timetable_happens_to_a_cluster_when_it_says() -> None:
    env, cluster = Environment(100.0), Notes()
    schedule(env, cluster, [(1.0, Action("crash", (0,))), (3.0, Action("drop", (0.5,)))])
    env.run(102.0)
    assert (cluster.gone, cluster.dropped) == ({0}, [])
    env.run(104.0)
    assert cluster.dropped == [0.5]


def test_a_node_that_is_not_there_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"faults\[0\]\.node: must name nodes that there are, 0 to 1; not 2"):
        expand([NodeCrash(at=1, node=2)], 10, no_streams, 2)


class Notes:
    """A cluster that notes how it is, and takes offence at being told what it knows."""

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.slowed: dict[int, float] = {}
        self.groups: Any = None
        self.factor = 1.0
        self.dropped: list[float] = []

    def crash(self, node: int) -> None:
        assert node not in self.gone
        self.gone.add(node)

    def restart(self, node: int) -> None:
        self.gone.remove(node)

    def slow(self, node: int, factor: float) -> None:
        assert self.slowed.get(node, 1.0) != factor
        self.slowed[node] = factor

    def split(self, groups: Any) -> None:
        assert self.groups != groups
        self.groups = groups

    def heal(self) -> None:
        assert self.groups is not None
        self.groups = None

    def pulse(self, factor: float) -> None:
        assert self.factor != factor
        self.factor = factor

    def drop(self, share: float) -> None:
        self.dropped.append(share)
