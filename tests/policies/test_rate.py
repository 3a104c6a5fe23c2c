"""Rate limits: what each promises, that it keeps it over any window, and that `retry_after` is honest."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from synapse.policies import (
    ADMITTED,
    GCRA,
    All,
    FixedWindow,
    Rejected,
    SlidingCounter,
    SlidingLog,
    TokenBucket,
    Unlimited,
)

LIMITS = [
    TokenBucket(rate=3, burst=4),
    TokenBucket(rate=0.1, burst=1),
    GCRA(rate=3, burst=4),
    GCRA(rate=0.1, burst=1),
    FixedWindow(limit=4, window=0.7),
    SlidingLog(limit=4, window=0.7),
    SlidingCounter(limit=4, window=0.7),
    All((TokenBucket(rate=7, burst=2), SlidingLog(limit=5, window=3))),
]

starts = st.sampled_from([0.0, 0.3, 1000.0, 1e6, 1.7e9])
gaps = st.lists(st.floats(0, 3) | st.sampled_from([0.0, 0.1, 0.2, 0.7, 1 / 3, 1.0, 1e-9]), max_size=80)
limits = st.sampled_from(LIMITS)


def times_of(start: float, gaps: list[float]) -> list[float]:
    times, now = [], start
    for gap in gaps:
        now += gap
        times.append(now)
    return times


def admitted(policy: Any, times: list[float]) -> list[float]:
    state = policy.start(times[0] if times else 0.0)
    return [now for now in times if state.admit(now)]


def most_in_a_window(times: list[float], window: float) -> int:
    """The most events in any half-open window, by looking at those that begin with an event."""
    return max((sum(1 for other in times if first <= other < first + window) for first in times), default=0)


class TestContracts:
    @given(start=starts, gaps=gaps, rate=st.sampled_from([0.1, 1.0, 3.0, 1e4]), burst=st.integers(1, 9))
    def test_a_token_bucket_admits_at_most_a_burst_and_the_rate_over_any_window(
        self, start: float, gaps: list[float], rate: float, burst: int
    ) -> None:
        for policy in (TokenBucket(rate, burst), GCRA(rate, burst)):
            times = admitted(policy, times_of(start, gaps))
            for i, first in enumerate(times):
                for count, last in enumerate(times[i:], start=1):
                    assert count <= burst + rate * (last - first) + 1e-6

    @given(start=starts, gaps=gaps, limit=st.integers(1, 6), window=st.sampled_from([0.1, 0.7, 1.0, 5.0]))
    def test_a_sliding_log_admits_at_most_its_limit_in_any_window(
        self, start: float, gaps: list[float], limit: int, window: float
    ) -> None:
        times = admitted(SlidingLog(limit, window), times_of(start, gaps))
        assert most_in_a_window(times, window) <= limit

    @given(start=starts, gaps=gaps, limit=st.integers(1, 6), window=st.sampled_from([0.1, 0.7, 1.0, 5.0]))
    def test_windows_and_counters_admit_at_most_their_limit_in_an_aligned_window(
        self, start: float, gaps: list[float], limit: int, window: float
    ) -> None:
        for policy in (FixedWindow(limit, window), SlidingCounter(limit, window)):
            times = admitted(policy, times_of(start, gaps))
            windows = [int(now / window) for now in times]
            assert max(map(windows.count, windows), default=0) <= limit
            assert most_in_a_window(times, window) <= 2 * limit

    @given(start=starts, gaps=gaps)
    def test_several_admit_no_more_than_each_of_them(self, start: float, gaps: list[float]) -> None:
        policy = All((TokenBucket(rate=7, burst=2), SlidingLog(limit=5, window=3)))
        times = admitted(policy, times_of(start, gaps))
        assert most_in_a_window(times, 3) <= 5
        assert all(later - first > 1 / 7 - 1e-6 for first, later in zip(times, times[2:], strict=False))

    def test_a_fixed_window_lets_twice_its_limit_through_around_an_edge(self) -> None:
        times = admitted(FixedWindow(limit=5, window=10), [9.99] * 10 + [10.0] * 10)
        assert times == [9.99] * 5 + [10.0] * 5
        assert most_in_a_window(times, 10) == 10

    def test_a_sliding_log_does_not(self) -> None:
        assert admitted(SlidingLog(limit=5, window=10), [9.99] * 10 + [10.0] * 10 + [20.0]) == [9.99] * 5 + [20.0]

    def test_a_sliding_counter_lets_a_little_through(self) -> None:
        assert admitted(SlidingCounter(limit=5, window=10), [9.99] * 10 + [10.0] * 10 + [12.0] * 10) == (
            [9.99] * 5 + [12.0]
        )

    @given(gaps=gaps)
    def test_no_limit_admits_all(self, gaps: list[float]) -> None:
        times = times_of(0.0, gaps)
        assert admitted(Unlimited(), times) == times


class TestTokenBucketIsGCRA:
    @pytest.mark.parametrize(("rate", "burst", "load"), [(1.0, 10, 1.0), (0.3, 3, 1.5), (1234.5, 50, 0.95)])
    def test_not_one_of_a_million_decisions_differs(self, rate: float, burst: int, load: float) -> None:
        lots = np.random.default_rng(1)
        times = (1e5 + np.cumsum(lots.exponential(1 / (load * rate), 1_000_000))).tolist()
        bucket, gcra = TokenBucket(rate, burst).start(times[0]).admit, GCRA(rate, burst).start(times[0]).admit
        assert sum(bool(bucket(now)) is not bool(gcra(now)) for now in times) == 0

    @given(
        gaps=st.lists(st.integers(0, 12), max_size=200),
        tick=st.sampled_from([Fraction(1, 10), Fraction(1, 3), Fraction(1), Fraction(1, 1000)]),
        rate=st.sampled_from([Fraction(1), Fraction(5), Fraction(10, 3), Fraction(1, 7)]),
        burst=st.integers(1, 5),
        costs=st.lists(st.integers(1, 3), min_size=1, max_size=5),
    )
    def test_both_decide_as_exact_arithmetic_does_even_where_it_is_a_tie(
        self, gaps: list[int], tick: Fraction, rate: Fraction, burst: int, costs: list[int]
    ) -> None:
        """Who comes exactly on time is admitted, whatever a tenth is in binary."""
        now, tokens = Fraction(0), Fraction(burst)
        bucket, gcra = TokenBucket(float(rate), burst).start(0.0), GCRA(float(rate), burst).start(0.0)
        for turn, gap in enumerate(gaps):
            cost = costs[turn % len(costs)]
            now += gap * tick
            tokens = min(Fraction(burst), tokens + gap * tick * rate)
            expected = tokens >= cost
            tokens -= cost * expected
            assert bool(bucket.admit(float(now), cost)) == bool(gcra.admit(float(now), cost)) == expected

    def test_a_client_that_keeps_exactly_to_its_rate_is_never_refused(self) -> None:
        times = [0.2 * n for n in range(100_000)]
        assert admitted(TokenBucket(rate=5, burst=1), times) == times
        assert admitted(GCRA(rate=5, burst=1), times) == times

    @given(gaps=gaps, checked=st.lists(st.floats(0, 3), max_size=5))
    def test_tokens_and_schedule_tell_the_same_story(self, gaps: list[float], checked: list[float]) -> None:
        bucket, gcra = TokenBucket(rate=3, burst=4).start(0.0), GCRA(rate=3, burst=4).start(0.0)
        for now in times_of(0.0, gaps):
            bucket.admit(now)
            gcra.admit(now)
            assert bucket.tokens(now) == pytest.approx(4 - 3 * gcra.ahead(now), abs=1e-9)


class TestRetryAfter:
    @given(policy=limits, start=starts, gaps=gaps, cost=st.integers(1, 2))
    def test_who_asks_again_then_is_admitted_and_who_asks_earlier_is_not(
        self, policy: Any, start: float, gaps: list[float], cost: int
    ) -> None:
        state = policy.start(start)
        for now in times_of(start, gaps):
            verdict = state.admit(now, cost)
            if not verdict and verdict.retry_after is not None:
                assert verdict.retry_after > 0
                later = now + verdict.retry_after
                assert copy.deepcopy(state).admit(later, cost) is ADMITTED
                earlier = now + 0.99 * verdict.retry_after
                if later - earlier > 1e-6:  # else the clock, or the slack of a billionth token, cannot tell them apart
                    assert not copy.deepcopy(state).admit(earlier, cost)

    @given(
        now=st.floats(-1e9, 1e9),
        rate=st.floats(1e-6, 1e6),
        burst=st.integers(1, 100),
        window=st.floats(1e-3, 1e6),
    )
    def test_it_holds_for_any_clock_and_any_rate(self, now: float, rate: float, burst: int, window: float) -> None:
        for policy in (
            TokenBucket(rate, burst),
            GCRA(rate, burst),
            FixedWindow(burst, window),
            SlidingLog(burst, window),
            SlidingCounter(burst, window),
        ):
            state: Any = policy.start(now)
            for _ in range(burst):
                assert state.admit(now)
            verdict = state.admit(now)
            assert isinstance(verdict, Rejected)
            assert verdict.retry_after is not None
            assert state.admit(now + verdict.retry_after), policy

    @given(policy=limits, start=starts, gaps=gaps)
    def test_waiting_and_asking_agree(self, policy: Any, start: float, gaps: list[float]) -> None:
        state = policy.start(start)
        for now in times_of(start, gaps):
            wait = state.wait(now)
            verdict = state.admit(now)
            assert bool(verdict) == (wait == 0.0)
            assert verdict is ADMITTED or verdict.retry_after == wait

    @pytest.mark.parametrize("policy", LIMITS)
    def test_what_can_never_be_admitted_is_told_so(self, policy: Any) -> None:
        verdict = policy.start(0.0).admit(0.0, cost=1000)
        assert verdict.retry_after is None

    @pytest.mark.parametrize("policy", LIMITS)
    def test_a_refusal_names_what_refused(self, policy: Any) -> None:
        verdict = policy.start(0.0).admit(0.0, cost=1000)
        assert verdict.policy in {policy.start(0.0).kind, "token-bucket", "sliding-log"}

    def test_several_say_when_the_slowest_lets_in(self) -> None:
        state = All((TokenBucket(rate=1, burst=1), TokenBucket(rate=0.1, burst=1))).start(0.0)
        assert state.admit(0.0)
        assert state.admit(0.0) == Rejected(10.0, "token-bucket")


class TestTime:
    @pytest.mark.parametrize("policy", LIMITS)
    @given(times=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]) | st.floats(0, 5), max_size=60))
    def test_what_is_admitted_at_an_earlier_time_would_be_at_the_latest(self, policy: Any, times: list[float]) -> None:
        """A second state is told the latest time seen instead, and has room for all that the first one admits.

        Who is refused is told an honest time all the same.
        """
        state, still = policy.start(0.0), policy.start(0.0)
        latest = 0.0
        for now in times:
            latest = max(latest, now)
            verdict = state.admit(now)
            if verdict:
                assert still.wait(latest) == 0.0
                still.spend(latest)
            else:
                assert copy.deepcopy(state).admit(now + verdict.retry_after)

    @given(policy=limits, now=st.floats(0, 1e9))
    def test_time_standing_still_admits_a_burst_and_no_more(self, policy: Any, now: float) -> None:
        state = policy.start(now)
        most = getattr(policy, "burst", None) or getattr(policy, "limit", None) or 2
        assert sum(bool(state.admit(now)) for _ in range(50)) == most

    @given(policy=limits, gaps=gaps, back=st.floats(0, 100))
    def test_who_is_refused_after_a_step_back_is_told_an_honest_time_too(
        self, policy: Any, gaps: list[float], back: float
    ) -> None:
        state = policy.start(1000.0)
        for now in times_of(1000.0, gaps):
            state.admit(now)
            verdict = copy.deepcopy(state).admit(now - back)
            if not verdict:
                assert copy.deepcopy(state).admit(now - back + verdict.retry_after)


class TestAll:
    def test_if_one_refuses_nothing_is_spent(self) -> None:
        state = All((TokenBucket(rate=1, burst=5), TokenBucket(rate=1, burst=1))).start(0.0)
        assert [bool(state.admit(0.0)) for _ in range(3)] == [True, False, False]
        roomy, tight = state.states
        assert roomy.wait(0.0, 4) == 0.0
        assert tight.wait(0.0) == 1.0

    @given(start=starts, gaps=gaps)
    def test_all_of_one_is_that_one(self, start: float, gaps: list[float]) -> None:
        times = times_of(start, gaps)
        for policy in LIMITS[:-1]:
            assert admitted(All((policy,)), times) == admitted(policy, times)  # type: ignore[arg-type]


class TestIdle:
    @given(policy=limits, start=starts, gaps=gaps, later=gaps)
    def test_an_idle_state_can_be_forgotten(
        self, policy: Any, start: float, gaps: list[float], later: list[float]
    ) -> None:
        """A fresh one decides the same from then on."""
        state, now = policy.start(start), start
        for now in times_of(start, gaps):
            state.admit(now)
        assume(state.idle(now))
        fresh = policy.start(now)
        for after in times_of(now, later):
            assert bool(state.admit(after)) == bool(fresh.admit(after))

    @pytest.mark.parametrize("policy", LIMITS)
    def test_each_becomes_idle_after_a_rest(self, policy: Any) -> None:
        state = policy.start(0.0)
        assert state.admit(0.0)
        assert not state.idle(0.0)
        assert state.idle(100.0)


class TestCarryingOn:
    """A policy that takes the place of another of its kind starts from what was used."""

    @pytest.mark.parametrize("policy", LIMITS)
    def test_the_same_policy_goes_on_as_if_nothing_had_happened(self, policy: Any) -> None:
        times = np.cumsum(np.random.default_rng(3).exponential(0.2, 300)).tolist()
        one = policy.start(0.0)
        other = policy.start(0.0)
        for turn, now in enumerate(times):
            if turn % 10 == 0:
                other = policy.start(now, other)
            assert bool(one.admit(now)) == bool(other.admit(now))

    def test_a_tighter_burst_takes_what_is_above_it(self) -> None:
        state = TokenBucket(rate=1, burst=2).start(0.0, TokenBucket(rate=1, burst=10).start(0.0))
        assert [bool(state.admit(0.0)) for _ in range(3)] == [True, True, False]

    def test_a_wider_burst_is_no_gift(self) -> None:
        used_up = TokenBucket(rate=1, burst=1).start(0.0)
        used_up.admit(0.0)
        state = TokenBucket(rate=1, burst=10).start(0.0, used_up)
        assert not state.admit(0.5)
        assert state.admit(1.0)

    def test_a_schedule_is_carried_on_in_admissions_not_in_seconds(self) -> None:
        used_up = GCRA(rate=1, burst=4).start(0.0)
        used_up.admit(0.0, 4)
        state = GCRA(rate=10, burst=4).start(0.0, used_up)
        assert state.wait(0.0) == pytest.approx(0.1)

    def test_another_kind_begins_afresh(self) -> None:
        used_up = GCRA(rate=1, burst=1).start(0.0)
        used_up.admit(0.0)
        assert TokenBucket(rate=1, burst=1).start(0.0, used_up).admit(0.0)
