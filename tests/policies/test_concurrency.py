"""Adaptive concurrency limits: Netflix's rules, ending by ending, and where they lead."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import AIMD, Fixed, Gradient2, PolicyError, Vegas

POLICIES: list[Any] = [
    Fixed(7),
    AIMD(),
    AIMD(period=0),
    AIMD(initial=5, least=1, most=9, backoff=0.5),
    Vegas(),
    Vegas(period=0),
    Vegas(initial=3, most=9, smoothing=0.5),
    Gradient2(),
    Gradient2(period=0),
    Gradient2(initial=5, least=1, most=9),
]


def busy(state: Any, inflight: int | None = None) -> Any:
    """A state with so many in flight; as many as it allows, if not said."""
    for _ in range(state.limit if inflight is None else inflight):
        state.on_start(0.0)
    return state


def end(state: Any, rtt: float, dropped: bool = False, times: int = 1) -> int:
    """Let some end; another starts in the place of each."""
    for _ in range(times):
        state.on_finish(0.0, rtt, dropped)
        state.on_start(0.0)
    limit: int = state.limit
    return limit


@given(
    policy=st.sampled_from(POLICIES),
    script=st.lists(st.none() | st.tuples(st.floats(0, 10), st.booleans()), max_size=200),
    gaps=st.lists(st.floats(-1, 3), min_size=1, max_size=5),
)
def test_a_limit_stays_in_its_range_and_lets_someone_run_whatever_happens(
    policy: Any, script: list[Any], gaps: list[float]
) -> None:
    """Also where time stands still or goes back."""
    state, now = policy.start(0.0), 0.0
    for turn, step in enumerate(script):
        now += gaps[turn % len(gaps)]
        if step is None:
            state.on_start(now)
        else:
            state.on_finish(now, *step)
        assert max(1, getattr(policy, "least", 1)) <= state.limit <= getattr(policy, "most", 7)
        assert isinstance(state.limit, int)


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_what_says_nothing_of_the_load_teaches_nothing(policy: Any) -> None:
    state = busy(policy.start(0.0))
    before = state.limit
    for _ in range(state.inflight):
        state.on_ignore(0.0)
    assert (state.limit, state.inflight) == (before, 0)


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_more_endings_than_starts_do_no_harm(policy: Any) -> None:
    state = policy.start(0.0)
    end(state, 1.0, times=3)
    state.on_ignore(0.0)
    state.on_ignore(0.0)
    assert state.inflight == 0


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_another_policy_of_its_kind_goes_on_from_what_was_learnt(policy: Any) -> None:
    state = busy(policy.start(0.0))
    end(state, 1.0, times=50)
    assert policy.start(0.0, state, running=3).limit == state.limit
    assert policy.start(0.0, state, running=3).inflight == 3
    assert policy.start(0.0, object()).limit == policy.initial


def test_what_was_learnt_is_brought_into_a_tighter_range() -> None:
    state = busy(AIMD(period=0).start(0.0))
    end(state, 1.0, times=50)
    assert AIMD(initial=20, most=30).start(0.0, state).limit == 30


class TestAIMD:
    def test_it_grows_by_one_while_at_least_half_of_it_is_used(self) -> None:
        assert end(busy(AIMD(period=0).start(0.0), 10), 0.1) == 21
        assert end(busy(AIMD(period=0).start(0.0), 9), 0.1) == 20

    def test_a_tenth_goes_at_a_timeout_and_at_a_run_that_takes_too_long(self) -> None:
        assert end(busy(AIMD(period=0, initial=50).start(0.0)), 0.1, dropped=True) == 45
        assert end(busy(AIMD(period=0, initial=50, timeout=5).start(0.0)), 5.01) == 45

    def test_it_saws_below_what_makes_runs_too_long(self) -> None:
        """Fifty servers of 0.1 s, and 0.2 s is too long: above a hundred in flight."""
        limits = overload(AIMD(initial=20, least=1, timeout=0.2, period=0.2), servers=50, service=0.1)
        assert max(limits) <= 105
        assert min(limits[len(limits) // 2 :]) >= 70
        assert len(set(limits[len(limits) // 2 :])) > 20


class TestVegas:
    def test_it_grows_fast_while_nothing_waits(self) -> None:
        state = busy(Vegas(period=0).start(0.0))
        end(state, 1.0)
        assert end(state, 1.0) == 26

    def test_it_grows_slowly_while_little_waits_holds_and_shrinks(self) -> None:
        """Of 20 in flight, 20 (1 - 1 / rtt) wait: 2 is little, 3 to 6 is right, 7 is too much."""
        for queue, expected in ((1, 26), (2, 21), (3, 20), (6, 20), (7, 19)):
            state = busy(Vegas(period=0).start(0.0))
            end(state, 1.0)
            assert end(state, 20 / (20 - queue + 1e-9)) == expected, queue

    def test_it_does_not_grow_when_it_is_not_the_limit_that_holds_back(self) -> None:
        state = busy(Vegas(period=0).start(0.0), 9)
        assert end(state, 1.0, times=100) == 20

    def test_a_timeout_is_too_much(self) -> None:
        state = busy(Vegas(period=0).start(0.0))
        end(state, 1.0)
        assert end(state, 1.0, dropped=True) == 19

    def test_the_shortest_time_is_measured_anew_now_and_then(self) -> None:
        state = busy(Vegas(period=0, initial=10, most=10).start(0.0))
        end(state, 1.0)
        end(state, 5.0, times=150)
        assert state.shortest == 1.0
        end(state, 5.0, times=150)
        assert state.shortest == 5.0

    @pytest.mark.parametrize("servers", [10, 50])
    def test_it_converges_to_what_is_served_at_once_and_a_few_that_wait(self, servers: int) -> None:
        """Little: as many in flight as servers, plus 3 to 6 that wait."""
        limits = overload(Vegas(), servers, service=0.1)
        assert all(servers + 3 <= limit <= servers + 6 for limit in limits[len(limits) // 2 :])

    def test_it_follows_a_loss_of_capacity(self) -> None:
        limits = overload(Vegas(period=0.2), servers=50, service=0.1, servers_later=25)
        assert all(27 <= limit <= 32 for limit in limits[-500:])

    def test_with_a_step_at_each_ending_it_swings(self) -> None:
        """As many steps as there are in flight, before the first one's effect is seen."""
        limits = overload(Vegas(period=0), servers=50, service=0.1)
        assert max(limits[2000:]) > 5 * min(limits[2000:])


class TestPeriod:
    def test_a_step_is_taken_from_the_mean_of_a_period(self) -> None:
        state = busy(Gradient2(initial=100, least=1, period=5).start(0.0))
        for number in range(10):
            state.on_finish(100.0, 1.0 + number, False)
            state.on_start(100.0)
        assert state.long == pytest.approx(5.5)
        end(state, 1000.0, times=50)
        assert state.long == pytest.approx(5.5)

    def test_it_lasts_two_round_trips_and_ten_endings_at_least(self) -> None:
        state = busy(AIMD(period=1, timeout=100).start(0.0))
        steps = []
        for now in range(100):
            before = state.limit
            state.on_finish(float(now), 20.0, False)
            state.on_start(float(now))
            if state.limit != before:
                steps.append(now)
        assert steps == [9, 49, 89]

    def test_one_timeout_in_a_period_is_a_loss(self) -> None:
        state = busy(AIMD(initial=50, period=1).start(0.0))
        state.on_finish(0.0, 0.1, True)
        assert end(state, 0.1, times=9) == 45


class TestGradient2:
    def test_while_times_stay_the_same_it_grows_by_the_smoothed_queue(self) -> None:
        state = busy(Gradient2(period=0).start(0.0))
        end(state, 1.0, times=10)
        assert state.estimate == pytest.approx(20 + 10 * 0.2 * 4)

    def test_it_shrinks_when_times_grow_beyond_tolerance_by_at_most_half_of_its_smoothing(self) -> None:
        state = busy(Gradient2(period=0, initial=100).start(0.0), 150)
        end(state, 1.0, times=11)
        before, long = state.estimate, state.long
        end(state, 2.0)
        long += (2.0 - long) * 2 / 601
        assert state.long == pytest.approx(long)
        assert state.estimate == pytest.approx(0.8 * before + 0.2 * (before * 1.5 * long / 2 + 4))
        before = state.estimate
        end(state, 1000.0)
        assert state.estimate == pytest.approx(0.8 * before + 0.2 * (before * 1.5 * state.long / 1000.0 + 4), rel=0.2)
        assert state.estimate >= 0.9 * before

    def test_within_tolerance_slower_is_no_sign_of_load(self) -> None:
        state = busy(Gradient2(period=0, initial=100).start(0.0), 150)
        end(state, 1.0, times=11)
        before = state.estimate
        end(state, 1.45)
        assert state.estimate == pytest.approx(before + 0.8)

    def test_the_first_ten_are_a_plain_mean(self) -> None:
        state = Gradient2(period=0).start(0.0)
        for rtt in range(1, 11):
            end(state, float(rtt))
        assert state.long == pytest.approx(5.5)

    def test_when_the_load_has_gone_the_long_mean_falls_quickly(self) -> None:
        state = busy(Gradient2(period=0).start(0.0))
        end(state, 10.0, times=20)
        end(state, 1.0, times=50)
        assert state.long < 2.2

    def test_it_does_not_grow_when_it_is_not_the_limit_that_holds_back(self) -> None:
        assert end(busy(Gradient2(period=0).start(0.0), 9), 1.0, times=100) == 20

    def test_a_loss_of_capacity_is_met_before_slow_becomes_normal(self) -> None:
        """Its long mean is calm, then all takes four times as long."""
        state = busy(Gradient2(period=0, initial=100).start(0.0), 100)
        end(state, 0.1, times=600)
        before = state.limit
        lowest = min(end(state, 0.4) for _ in range(100))
        assert lowest < before / 2


@pytest.mark.parametrize("policy", [Fixed(20), AIMD(timeout=0.2), Vegas(), Gradient2()])
def test_overload_is_refused_instead_of_queued(policy: Any) -> None:
    refused, longest = [], []
    overload(policy, servers=10, service=0.1, refused=refused, rtts=longest)
    assert sum(refused) > 0.3 * len(refused)
    assert max(longest) <= 0.1 * 200 / 10 + 0.2


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: AIMD(least=30, most=20), "least"),
        (lambda: AIMD(initial=5), "initial"),
        (lambda: Vegas(initial=20, most=10), "initial"),
        (lambda: Gradient2(initial=500), "initial"),
        (lambda: AIMD(backoff=1.0), "backoff"),
        (lambda: Fixed(0), "limit"),
    ],
)
def test_a_range_that_is_none_is_refused(make: Any, path: str) -> None:
    with pytest.raises(PolicyError) as caught:
        make()
    assert caught.value.path == path


def overload(
    policy: Any,
    servers: int,
    service: float,
    *,
    servers_later: int | None = None,
    refused: list[bool] | None = None,
    rtts: list[float] | None = None,
) -> list[int]:
    """Poisson arrivals at twice the capacity, served first come first served. The limit after each ending."""
    state, limits = policy.start(0.0), []
    gaps = np.random.default_rng(5).exponential(service / servers / 2, 20_000)
    waiting: deque[float] = deque()
    ends: list[tuple[float, float]] = []  # when, since when
    open_servers = servers
    for number, now in enumerate(np.cumsum(gaps).tolist()):
        if servers_later is not None and number == len(gaps) // 2:
            open_servers = servers_later
        while ends and ends[0][0] <= now:
            at, since = heapq.heappop(ends)
            state.on_finish(at, at - since, False)
            limits.append(state.limit)
            if rtts is not None:
                rtts.append(at - since)
            while waiting and len(ends) < open_servers:
                heapq.heappush(ends, (at + service, waiting.popleft()))
        admitted = len(ends) + len(waiting) < state.limit
        if refused is not None:
            refused.append(not admitted)
        if admitted:
            state.on_start(now)
            if len(ends) < open_servers:
                heapq.heappush(ends, (now + service, now))
            else:
                waiting.append(now)
    return limits
